//! The write-ahead log as bytes.
//!
//! `wal` knows bytes, not rows: a record is metadata plus entries `(space, key) -> bytes | tombstone`, and nothing
//! here looks into a key or a value. It makes no syscall, starts no thread and reads no clock: it asks for I/O by
//! handing out an [`Io`] and learns the result from a [`Done`].
//!
//! The way of the data: [`mod@record`] -> [`batch`] -> [`Log`] -> [`Io::Write`]; and back at a start:
//! [`Io::Read`] -> [`Recovery`] -> records and a [`recover::Report`] -> [`Log`], or [`Follower`], which writes what a
//! leader's log wrote. A [`Scan`] is the same way, ended
//! before anything is written.
#![forbid(unsafe_code)]

pub mod batch;
pub mod buffer;
pub mod checkpoint;
pub mod format;
pub mod fuzz;
pub mod io;
mod limits;
mod log;
pub mod meta;
pub mod record;
pub mod recover;
pub mod scan;
mod scrub;
mod segments;

pub use buffer::{BLOCK, Buffer};
pub use format::LogId;
pub use io::{
    AdoptJob, CheckpointId, Done, FileId, FoldDone, FoldError, FoldJob, Io, IoError, IoId, IoStep, SlotId,
};
pub use limits::LogLimits;
pub use log::follow::{Follower, NoCut, Rejected, Validated};
pub use log::{
    Cause, Checkpoint, Cursor, Differs, Digests, Failure, Gone, Invalid, Log, LogStats, NoRoom, NotTaken,
    Portion, Stretch, Wish,
};
pub use record::{Entry, Kind, Record, Space};
pub use recover::{Act, Ordered, Progress, Recovery, Replay, Replayed, Start};
pub use scan::Scan;
pub use scrub::{Flaw, Rot, ScrubJob, Scrubbed};
pub use segments::Closed;

/// The contiguous number of a record in a shard's log; the first record is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

/// The fencing number of a shard's leader; the first epoch is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);
