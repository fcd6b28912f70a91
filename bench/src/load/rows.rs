//! Which rows there are, and what stands in them: an answer can be judged by itself.
//!
//! Row *n* lives in partition `n % 256`, enough of them to reach every shard of a node. Its key is a pair: its group,
//! which has 100 places, and its number. Its value begins with its number, so a row tells whose it is.

use std::ops::Range;

use seawall::key::{Key, Part, parts};
use seawall::message::scan::PageRow;
use seawall::value::ValueRef;
use seawall::{Commit, RowRef, row, row::Fields};

pub const PARTITIONS: usize = 256;
/// Rows of a full group: what a scan asks for.
pub const GROUP: usize = 100;

pub const TABLE: &str = "bench";
pub const FIELD: &str = "v";
/// Bytes of the number at the front of a value.
pub const NUMBER: usize = 8;

pub fn partition(number: usize) -> usize {
    number % PARTITIONS
}

/// Within its partition.
pub fn group(number: usize) -> usize {
    number / PARTITIONS / GROUP
}

/// How many of `keys` rows are in the group of row `number`.
pub fn rows_in_group(number: usize, keys: usize) -> usize {
    let places: Range<usize> = group(number) * GROUP..(group(number) + 1) * GROUP;
    // Of the rows below `keys`, so many are in this partition.
    let in_partition = keys / PARTITIONS + usize::from(partition(number) < keys % PARTITIONS);
    in_partition.clamp(places.start, places.end) - places.start
}

/// Decimal digits, as wide as the largest.
pub fn digits<const WIDTH: usize>(mut number: usize) -> [u8; WIDTH] {
    let mut digits = [0; WIDTH];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    digits
}

pub const PARTITION_DIGITS: usize = 3;
pub const GROUP_DIGITS: usize = 4;
pub const ROW_DIGITS: usize = 8;

/// The row whose key is made of these texts.
pub fn row_of(group: &str, number: &str) -> RowRef {
    row(TABLE, (group, number))
}

/// Puts row `number`, for a load that wants it to be there.
pub fn put(number: usize, mut value: Vec<u8>) -> Commit {
    let text = |digits: &[u8]| String::from_utf8_lossy(digits).into_owned();
    let partition = text(&digits::<PARTITION_DIGITS>(partition(number)));
    let group = text(&digits::<GROUP_DIGITS>(group(number)));
    let at = row_of(&group, &text(&digits::<ROW_DIGITS>(number)));
    value[..NUMBER].copy_from_slice(&(number as u64).to_be_bytes());
    Commit::new(partition).put(&at, [(FIELD, value)])
}

/// Whose value this is, by its own word.
pub fn number_in(row: &[u8]) -> Result<usize, String> {
    let fields = Fields::open(row).map_err(|why| format!("a row cannot be read: {why}"))?;
    for field in fields {
        match field.map_err(|why| format!("a row cannot be read: {why}"))? {
            (FIELD, ValueRef::Bytes(value)) => {
                let number = value.first_chunk::<NUMBER>().ok_or("a value is too short for its number")?;
                return Ok(u64::from_be_bytes(*number) as usize);
            }
            (FIELD, _) => return Err(format!("field {FIELD} does not hold bytes")),
            _ => {}
        }
    }
    Err(format!("a row without field {FIELD}"))
}

/// What is wrong with a row of a page that was asked for the group of row `asked`.
pub fn complaint(asked: usize, row: &PageRow<'_>) -> Option<String> {
    let number = match number_in(row.found.row) {
        Ok(number) => number,
        Err(why) => return Some(why),
    };
    let (group_text, row_text) = (digits::<GROUP_DIGITS>(group(number)), digits::<ROW_DIGITS>(number));
    let expected = [&group_text[..], &row_text[..]];
    let is_its_key = parts(row.key)
        .map(|part| matches!(&part, Part::Text(text) if expected.contains(&text.as_bytes())))
        .eq([true, true]);
    let in_group = (partition(number), group(number)) == (partition(asked), group(asked));
    (!is_its_key || !in_group).then(|| {
        let key = Key::from_bytes(row.key).map_or_else(|_| "no key".to_owned(), |key| key.to_string());
        format!("a page of the group of row {asked} shows the value of row {number} under {key}")
    })
}

#[cfg(test)]
mod tests {
    use seawall::position::Position;
    use seawall::{Row, Value};

    use super::*;

    #[test]
    fn groups_are_counted_as_they_are_filled() {
        for keys in [1, 255, 256, 257, 25_600, 25_601, 60_000] {
            let mut counted = std::collections::BTreeMap::new();
            for number in 0..keys {
                *counted.entry((partition(number), group(number))).or_insert(0) += 1;
            }
            for number in 0..keys {
                let expected = counted[&(partition(number), group(number))];
                assert_eq!(rows_in_group(number, keys), expected, "row {number} of {keys}");
                assert!(expected <= GROUP);
            }
        }
    }

    fn encoded(value: impl Into<Value>) -> Vec<u8> {
        let mut bytes = Vec::new();
        Row::new().with(FIELD, value).encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_value_tells_whose_it_is_and_what_is_none_is_said() {
        let value = [&77_u64.to_be_bytes()[..], &[1, 2, 3]].concat();
        assert_eq!(number_in(&encoded(value)), Ok(77));
        for (row, why) in [
            (encoded(vec![0_u8; 7]), "too short"),
            (encoded("text"), "does not hold bytes"),
            (vec![9], "cannot be read"),
            (vec![0, 0], "without field"),
        ] {
            assert!(number_in(&row).unwrap_err().contains(why));
        }
    }

    #[test]
    fn a_row_of_a_page_is_of_its_group_and_under_its_own_key() {
        let page_row = |number: usize, key: &Key| {
            let row = encoded(number.to_be_bytes().to_vec());
            let found = seawall::message::read::Found { version: Position::new(1, 1), row: &row };
            complaint(256, &PageRow { key: key.as_bytes(), found })
        };
        let key = |group: &str, number: &str| row_of(group, number).key;
        assert_eq!(page_row(512, &key("0000", "00000512")), None);
        assert!(page_row(512, &key("0000", "00000768")).is_some(), "another row's value");
        assert!(page_row(513, &key("0000", "00000513")).is_some(), "another partition's");
        assert!(page_row(25_600, &key("0001", "00025600")).is_some(), "another group's");
    }
}
