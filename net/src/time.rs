//! Microseconds since 1970, UTC, as people write them: `2026-07-14T18:30:00.250000Z`. No clock is read here.

use std::fmt;

const DAY_US: i64 = 86_400_000_000;
/// Days from 0000-03-01, where the computation of a date is simplest, to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;
/// Days of 400 years.
const ERA: i64 = 146_097;

/// Writes `us` as RFC 3339 in UTC; outside of the years 0 to 9999, which it cannot express, as the bare number.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, us: i64) -> fmt::Result {
    let (year, month, day) = date_of(us.div_euclid(DAY_US));
    if !(0..=9999).contains(&year) {
        return write!(f, "{us}");
    }
    let of_day = us.rem_euclid(DAY_US);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
    if fraction != 0 {
        write!(f, ".{fraction:06}")?;
    }
    write!(f, "Z")
}

/// Reads RFC 3339 in UTC (`Z` only), or a bare number of microseconds.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if let Ok(us) = text.parse() {
        return Some(us);
    }
    let (date, clock) = text.strip_suffix(['Z', 'z'])?.split_once(['T', 't', ' '])?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    if fraction.is_empty() || fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.parse::<i64>().ok()? * 10i64.pow(6 - fraction.len() as u32);
    let days = days_of(year, month, day);
    if date_of(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(days * DAY_US + ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction)
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut pieces = text.split(separator).map(|piece| {
        let digits = (2..=4).contains(&piece.len()) && piece.bytes().all(|b| b.is_ascii_digit());
        if digits { piece.parse().ok() } else { None }
    });
    let three = [pieces.next()??, pieces.next()??, pieces.next()??];
    pieces.next().is_none().then_some(three)
}

/// Days since 1970-01-01. The year is taken to begin in March, so that the leap day is its last.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + in_year - DAYS_TO_1970
}

/// The inverse of [`days_of`].
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_1970;
    let (era, in_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / (ERA - 1)) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}
