//! What the log asks of the world, and what it hears back. One [`Io`] gives exactly one [`Done`], in any order.

use crate::checkpoint::{Boundary, Fault, FoldLimits, Folded};
use crate::{Buffer, LogId};

/// Names one operation among those a log has under way; never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IoId(pub u64);

/// A place in a shard's pool of segment files: `slot-000017.seg`. What is in it, its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotId(pub u32);

/// A checkpoint, named by its cut: the highest index in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckpointId(pub u64);

/// A file of one shard's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileId {
    /// The small metadata: two checksummed copies (R6).
    Meta,
    Slot(SlotId),
    Checkpoint(CheckpointId),
}

/// One operation, to be executed once. Offsets and lengths are multiples of [`crate::BLOCK`].
#[derive(Debug)]
pub enum Io {
    /// Writes `buf[at..at + len]` at `offset` and reports only when it is on stable storage.
    Write { id: IoId, file: FileId, offset: u64, buf: Buffer, at: usize, len: usize },
    /// Reads `len` bytes at `offset` into the front of `buf`.
    Read { id: IoId, file: FileId, offset: u64, buf: Buffer, len: usize },
    /// Makes the file of `slot`: `bytes` of really written zeros, flushed, its name durable (R5).
    Prepare { id: IoId, slot: SlotId, bytes: u64 },
    /// Makes the next checkpoint. It may take long, and nothing waits for it; ends with a [`FoldDone`].
    Fold(FoldJob),
    /// Copies `from..to` of a slot to a file beside the log, durably, before those bytes are cut off: named by the
    /// number of the cut and the place, it replaces what an attempt before a crash left under that name.
    Quarantine { id: IoId, cut: u64, slot: SlotId, from: u64, to: u64 },
    /// Appends a line to the audit of this data directory, durably.
    Audit { id: IoId, line: String },
    /// Moves every file of the log but its metadata, of which it leaves a copy, to a place beside the log that bears this
    /// number, durably. What an attempt before a crash moved there stays there.
    PutAside { id: IoId, number: u64 },
    /// Reads `len` bytes at `offset` of a segment or a checkpoint into the front of `buf`, for a follower that is
    /// behind. It may take long and nothing waits for it, and not before `pause_us` have passed it begins. The slot may be
    /// used again meanwhile, and a checkpoint be removed: what was read is judged when it is there.
    ReadBack { id: IoId, file: FileId, offset: u64, buf: Buffer, len: usize, pause_us: u64 },
    /// Writes a piece of the leader's checkpoint into a file with an unfinished name. Offset 0 makes the file anew.
    /// Not flushed: [`Io::Adopt`] does that, and no start looks for it.
    WriteOffered { id: IoId, offset: u64, bytes: Vec<u8> },
    /// Flushes that file, reads it back, lets [`AdoptJob::verify`] judge it, and gives it its name, durably; or removes
    /// it. Ends with a [`FoldDone`].
    Adopt(AdoptJob),
    /// Takes the name of `file` away, and its room with it. Not flushed: after a crash the file may be back.
    Remove { id: IoId, file: FileId },
}

/// One fold: the previous checkpoint and the closed segments behind it become the next one.
///
/// Whoever executes it gives the bytes of the files to [`FoldJob::run`], writes what comes out into a file with an
/// unfinished name, flushes it, reads it back, lets [`FoldJob::verify`] judge what was read, and only then gives it
/// the name of [`Folded::checkpoint`], durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldJob {
    pub id: IoId,
    pub log: LogId,
    pub previous: Option<CheckpointId>,
    /// Oldest first, each with its recorded end.
    pub segments: Vec<(SlotId, u64)>,
    pub limits: FoldLimits,
}

/// The last step of a checkpoint that came from the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdoptJob {
    pub id: IoId,
    pub log: LogId,
    /// As the leader said it.
    pub boundary: Boundary,
    pub bytes: u64,
}

/// The end of a fold, or of an adoption.
#[derive(Clone, Debug)]
pub struct FoldDone {
    pub id: IoId,
    pub result: Result<Folded, FoldError>,
}

/// Why there is no new checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoldError {
    /// The file with this name could not be read or written: tried again.
    Io { file: String, error: IoError },
    /// Bytes that were once whole are not any more (R8): an integrity failure, never tried again.
    Fault { file: FileId, fault: Fault },
}

impl Io {
    /// Nothing on the commit path waits for it: it is for a thread beside the workers.
    pub fn may_take_long(&self) -> bool {
        match self {
            Io::Write { .. } | Io::Read { .. } | Io::Prepare { .. } => false,
            Io::Fold(_) | Io::Adopt(_) | Io::WriteOffered { .. } => true,
            Io::Quarantine { .. } | Io::ReadBack { .. } | Io::Remove { .. } => true,
            Io::Audit { .. } | Io::PutAside { .. } => true,
        }
    }

    pub fn id(&self) -> IoId {
        match self {
            Io::Write { id, .. }
            | Io::Read { id, .. }
            | Io::Prepare { id, .. }
            | Io::Quarantine { id, .. }
            | Io::Audit { id, .. }
            | Io::PutAside { id, .. }
            | Io::ReadBack { id, .. }
            | Io::WriteOffered { id, .. }
            | Io::Adopt(AdoptJob { id, .. })
            | Io::Remove { id, .. }
            | Io::Fold(FoldJob { id, .. }) => *id,
        }
    }
}

/// The end of one operation. `Ok` carries the number of bytes moved: fewer than asked is a short result, and the
/// log treats it as an error (R4).
#[derive(Debug)]
pub struct Done {
    pub id: IoId,
    pub result: Result<usize, IoError>,
    /// The buffer of the operation, back whatever the result.
    pub buf: Option<Buffer>,
}

/// An error of the operating system, and the step that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoError {
    pub step: IoStep,
    pub errno: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoStep {
    Open,
    Write,
    Flush,
    Read,
    Prepare,
    Fold,
    Remove,
    Quarantine,
    Audit,
    PutAside,
}

impl std::fmt::Display for IoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let step = match self.step {
            IoStep::Open => "open",
            IoStep::Write => "write",
            IoStep::Flush => "flush",
            IoStep::Read => "read",
            IoStep::Prepare => "preparing a segment",
            IoStep::Fold => "making a checkpoint",
            IoStep::Remove => "removing a file",
            IoStep::Quarantine => "copying what is cut off",
            IoStep::Audit => "writing to audit.log",
            IoStep::PutAside => "moving the log to the quarantine",
        };
        write!(f, "{step} failed: {}", std::io::Error::from_raw_os_error(self.errno))
    }
}

impl std::fmt::Display for FileId {
    /// The name of the file in the shard's directory.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FileId::Meta => write!(f, "meta"),
            FileId::Slot(SlotId(slot)) => write!(f, "slot-{slot:06}.seg"),
            FileId::Checkpoint(CheckpointId(cut)) => write!(f, "checkpoint-{cut:012}.ckp"),
        }
    }
}

impl std::fmt::Display for FoldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FoldError::Io { file, error } => write!(f, "{file}: {error}"),
            FoldError::Fault { file, fault } => write!(f, "{file}: {fault}"),
        }
    }
}
