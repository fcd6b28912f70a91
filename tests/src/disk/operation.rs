//! Operations that the disk has under way.

use seawall::map::ShardId;
use seawall_wal::{AdoptJob, Buffer, Done, FileId, FoldDone, FoldJob, IoId, SlotId};

#[derive(Debug)]
pub struct Operation {
    pub id: IoId,
    pub shard: ShardId,
    pub task: Task,
}

#[derive(Debug)]
pub enum Task {
    Write {
        file: FileId,
        offset: usize,
        buf: Buffer,
        at: usize,
        len: usize,
        pieces: Vec<Piece>,
        fate: Fate,
        /// Where the device puts it instead.
        astray: Option<(FileId, usize)>,
        /// The newest accepted write when the flush began: the flush covers nothing later.
        flushing: Option<u64>,
    },
    Read {
        file: FileId,
        offset: usize,
        buf: Buffer,
        len: usize,
    },
    Prepare {
        slot: SlotId,
        bytes: usize,
        fails: bool,
    },
    Fold(FoldJob),
    Offered {
        offset: usize,
        bytes: Vec<u8>,
    },
    Adopt(AdoptJob),
    /// A copy in the quarantine, or a line of the audit: it is not looked at again.
    Kept,
    /// All files but the metadata leave the log.
    PutAside,
    Remove(FileId),
}

/// What an operation ends with.
#[derive(Debug)]
pub enum Ended {
    Io(Done),
    Fold(FoldDone),
}

/// What the device accepts at once; `from..to` counts from the begin of the write.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub from: usize,
    pub to: usize,
    pub accepted: bool,
}

/// How a write will end, drawn when it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Good,
    WriteError,
    FlushError,
    /// The device takes so many bytes and no more.
    Short(usize),
}
