//! Where something stands in history.

use std::fmt;
use std::str::FromStr;

use crate::wire::{Malformed, Reader};

/// The fencing number of a shard's leader; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// The contiguous number of a record in a shard's log; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

/// A place in a shard's history, and the version of a row that was last written there. Ordered by epoch first,
/// so an index that is used again after a loss is never mistaken for the old one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The leader's fencing number.
    pub epoch: Epoch,
    /// The record's number.
    pub index: Index,
}

impl Position {
    /// The position of a record.
    pub const fn new(epoch: u64, index: u64) -> Position {
        Position { epoch: Epoch(epoch), index: Index(index) }
    }

    /// Appends epoch and index, eight bytes each.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.epoch.0.to_le_bytes());
        out.extend_from_slice(&self.index.0.to_le_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Position, Malformed> {
        Ok(Position { epoch: Epoch(reader.u64()?), index: Index(reader.u64()?) })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch.0, self.index.0)
    }
}

/// The text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPosition;

impl fmt::Display for NoPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not a position: write EPOCH:INDEX, as versions and lease tokens are shown, 3:142 for example"
        )
    }
}

impl std::error::Error for NoPosition {}

/// The inverse of its `Display`.
impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Position, NoPosition> {
        let (epoch, index) = text.split_once(':').ok_or(NoPosition)?;
        let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse().map_err(|_| NoPosition),
            false => Err(NoPosition), // a sign, say
        };
        Ok(Position::new(number(epoch)?, number(index)?))
    }
}

/// The random name of one history of data. A restore into the past begins a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lineage(pub [u8; 16]);

impl Lineage {
    /// What tokens and event ids carry instead of all sixteen bytes.
    pub fn tag(&self) -> u32 {
        crc32c::crc32c(&self.0)
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
