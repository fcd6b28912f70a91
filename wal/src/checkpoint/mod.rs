//! Checkpoints: the state at the end of a closed segment, as one immutable sorted file.
//!
//! Nothing takes a checkpoint *from* the running state. [`fold()`] merges the previous checkpoint with the wholly
//! committed closed segments behind it, so every replica builds the same bytes at the same boundary. [`Writer`] is
//! the one way to make such bytes, [`Reader`] the one way to look into them. All of it is bytes in, bytes out: who
//! calls maps and writes the files, flushes them and reads them back.

mod block;
mod fold;
mod format;
mod read;
mod sort;
mod stream;
mod write;

use crate::format::{Incarnation, LogId};
use crate::{Epoch, Index, Space};

pub use fold::{FoldLimits, Folded, fold};
pub use format::{BLOCK_TARGET, MAX_VALUE};
pub use read::{Cursor, Reader};
pub use stream::Stream;
pub use write::{Finished, Writer};

/// Which write made an entry. An index that was lost and used again has another epoch (R21).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub epoch: Epoch,
    pub index: Index,
}

/// One entry of a checkpoint. There are no tombstones: what a checkpoint lacks does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    pub space: Space,
    pub key: &'a [u8],
    pub version: Version,
    pub value: &'a [u8],
}

/// The end of the last folded segment, where a checkpoint stands and the next segment must continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary {
    pub log: LogId,
    /// Version of the last record that was folded.
    pub cut: Version,
    /// Leader time of that record.
    pub time_us: i64,
    /// The last folded segment; 0 before the first.
    pub incarnation: Incarnation,
    pub end: u64,
    /// Checksum of the last header in it.
    pub chain: u32,
}

impl Boundary {
    /// Before the first segment of a log.
    pub fn start(log: LogId) -> Self {
        let (cut, incarnation) = (Version::default(), Incarnation(0));
        Self { log, cut, time_us: 0, incarnation, end: 0, chain: 0 }
    }
}

/// Where bytes were wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Checkpoint,
    /// Counted from 0 in the order in which the segments were given.
    Segment(usize),
}

/// Bytes that are no checkpoint, or no segment that may be folded. A corrupt checkpoint is an integrity failure:
/// nothing here goes on with what could still be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub rule: &'static str,
    pub place: Place,
    pub offset: u64,
    pub expected: String,
    pub observed: String,
}

impl Fault {
    fn new(place: Place, offset: u64, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self { rule: "R8", place, offset, expected: expected.into(), observed: observed.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rule, offset, expected, observed, .. } = self;
        match self.place {
            Place::Checkpoint => write!(f, "checkpoint, offset {offset}: ")?,
            Place::Segment(nth) => write!(f, "segment {nth} of the fold, offset {offset}: ")?,
        }
        write!(f, "expected {expected}, observed {observed} ({rule})")
    }
}

impl std::error::Error for Fault {}

/// When to fold is a function of the log alone, so that replicas fold at the same boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldPolicy {
    /// Less closed log than this is never worth a fold, but for the next line.
    pub least_bytes: u64,
    /// Each start opens a segment, however little it writes: so many slots are worth one.
    pub most_segments: usize,
}

impl Default for FoldPolicy {
    fn default() -> Self {
        Self { least_bytes: 256 << 20, most_segments: 64 }
    }
}

impl FoldPolicy {
    /// For who needs every record to stay in the log.
    pub const NEVER: Self = Self { least_bytes: u64::MAX, most_segments: usize::MAX };

    /// A fold rewrites the whole checkpoint. Waiting until as much log has closed keeps what is written for each
    /// byte of log constant, however large the state is.
    pub fn should_fold(&self, closed_bytes: u64, closed_segments: usize, size_of_last: u64) -> bool {
        closed_bytes >= self.least_bytes.max(size_of_last) || closed_segments >= self.most_segments
    }
}
