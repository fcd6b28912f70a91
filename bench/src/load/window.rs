//! Which replies count, and what is counted.
//!
//! A reply counts when it arrives within the measured window, whenever its request was sent. A latency runs from the
//! moment a request was written to the moment its reply was seen; both moments are those at which the thread woke for
//! a batch of events. So a latency includes the time that other connections of the same batch took here.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use seawall::Code;

/// Nanoseconds since the run began.
pub type Nanos = u64;

const LONGEST_US: u64 = 60_000_000;
const DIGITS: u8 = 3;
/// Lines of failures that are kept; the rest is only counted.
const FAILURES: usize = 8;

/// From its first moment up to, but not including, its last.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from: Nanos,
    pub until: Nanos,
}

impl Window {
    pub fn after(warmup: Duration, seconds: Duration) -> Window {
        let from = nanos(warmup);
        Window { from, until: from + nanos(seconds) }
    }

    pub fn holds(&self, now: Nanos) -> bool {
        (self.from..self.until).contains(&now)
    }
}

pub fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).expect("a run lasts less than 500 years")
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Done,
    /// Done, and there was no such row.
    NotFound,
    /// Nothing happened, or it was rejected.
    Refused(Code),
    /// It may have happened.
    Unknown(Code),
}

/// What happened to the requests of a thread, or of all.
#[derive(Debug)]
pub struct Tally {
    /// In microseconds, of what was done within the window.
    pub latencies: Histogram<u64>,
    /// Done within the window.
    pub done: u64,
    /// Reads among these that found no row.
    pub not_found: u64,
    /// Within the window.
    pub refusals: BTreeMap<Code, u64>,
    /// Done at any time, warm-up and draining included.
    pub done_ever: u64,
    /// Requests whose fate is unknown, and connections that were lost; at any time.
    pub errors: u64,
    /// The first of these in words.
    pub failures: Vec<String>,
}

impl Default for Tally {
    fn default() -> Tally {
        let latencies = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("sensible bounds");
        Tally {
            latencies,
            done: 0,
            not_found: 0,
            refusals: BTreeMap::new(),
            done_ever: 0,
            errors: 0,
            failures: Vec::new(),
        }
    }
}

impl Tally {
    /// The reply to a request that was sent at `sent` was seen at `now`.
    pub fn ended(&mut self, window: Window, sent: Nanos, now: Nanos, ended: Ended) {
        let counts = window.holds(now);
        match ended {
            Ended::Done | Ended::NotFound => {
                self.done_ever += 1;
                if counts {
                    self.done += 1;
                    self.not_found += u64::from(ended == Ended::NotFound);
                    self.latencies.saturating_record(now.saturating_sub(sent) / 1000);
                }
            }
            Ended::Refused(code) | Ended::Unknown(code) => {
                if counts {
                    *self.refusals.entry(code).or_default() += 1;
                }
                if matches!(ended, Ended::Unknown(_)) {
                    self.failed(1, || format!("a request ended as {code}: whether it happened is unknown"));
                }
            }
        }
    }

    /// `count` requests or connections failed; never none.
    pub fn failed(&mut self, count: u64, why: impl FnOnce() -> String) {
        self.errors += count.max(1);
        if self.failures.len() < FAILURES {
            self.failures.push(why());
        }
    }

    pub fn add(&mut self, part: Tally) {
        self.latencies.add(&part.latencies).expect("the same bounds everywhere");
        self.done += part.done;
        self.not_found += part.not_found;
        self.done_ever += part.done_ever;
        self.errors += part.errors;
        for (code, count) in part.refusals {
            *self.refusals.entry(code).or_default() += count;
        }
        let room = FAILURES.saturating_sub(self.failures.len());
        self.failures.extend(part.failures.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { from: 1_000_000, until: 3_000_000 };

    #[test]
    fn only_replies_within_the_window_count_whenever_they_were_asked_for() {
        let mut tally = Tally::default();
        for (sent, now) in [(0, 999_999), (0, 1_000_000), (1_500_000, 2_999_999), (2_900_000, 3_000_000)] {
            tally.ended(WINDOW, sent, now, Ended::Done);
        }
        assert_eq!((tally.done, tally.done_ever, tally.latencies.len()), (2, 4, 2));
        assert_eq!((tally.latencies.min(), tally.latencies.max()), (1000, 1499));
    }

    #[test]
    fn latencies_beyond_the_scale_are_kept_at_its_ends() {
        let mut tally = Tally::default();
        let long = Window { from: 0, until: Nanos::MAX };
        tally.ended(long, 0, 10, Ended::Done);
        tally.ended(long, 0, 90_000_000_000, Ended::NotFound);
        assert_eq!((tally.latencies.len(), tally.not_found), (2, 1));
        assert!(tally.latencies.max() >= LONGEST_US);
    }

    #[test]
    fn refusals_count_by_code_within_the_window_and_unknown_ones_are_errors_at_any_time() {
        let mut tally = Tally::default();
        tally.ended(WINDOW, 0, 2_000_000, Ended::Refused(Code::Throttled));
        tally.ended(WINDOW, 0, 2_000_000, Ended::Unknown(Code::LogFailed));
        tally.ended(WINDOW, 0, 0, Ended::Refused(Code::Throttled));
        tally.ended(WINDOW, 0, 9_000_000, Ended::Unknown(Code::LogFailed));
        assert_eq!(tally.refusals, BTreeMap::from([(Code::LogFailed, 1), (Code::Throttled, 1)]));
        assert_eq!((tally.done_ever, tally.errors, tally.failures.len()), (0, 2, 2));
    }

    #[test]
    fn parts_add_up() {
        let part = || {
            let mut tally = Tally::default();
            tally.ended(WINDOW, 0, 2_000_000, Ended::Done);
            tally.ended(WINDOW, 0, 2_000_000, Ended::Refused(Code::Throttled));
            (0..FAILURES).for_each(|_| tally.failed(0, || "lost".to_owned()));
            tally
        };
        let mut whole = part();
        whole.add(part());
        assert_eq!((whole.done, whole.latencies.len(), whole.refusals[&Code::Throttled]), (2, 2, 2));
        assert_eq!((whole.errors, whole.failures.len()), (2 * FAILURES as u64, FAILURES));
    }
}
