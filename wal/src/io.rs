//! What the log asks of the world, and what it hears back. One [`Io`] gives exactly one [`Done`], in any order.

use crate::Buffer;

/// Names one operation among those a log has under way; never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IoId(pub u64);

/// A place in a shard's pool of segment files: `slot-000017.seg`. What is in it, its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotId(pub u32);

/// A file of one shard's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileId {
    /// The small metadata: two checksummed copies (R6).
    Meta,
    Slot(SlotId),
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
}

impl Io {
    pub fn id(&self) -> IoId {
        match self {
            Io::Write { id, .. } | Io::Read { id, .. } | Io::Prepare { id, .. } => *id,
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
}

impl std::fmt::Display for IoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let step = match self.step {
            IoStep::Open => "open",
            IoStep::Write => "write",
            IoStep::Flush => "flush",
            IoStep::Read => "read",
            IoStep::Prepare => "preparing a segment",
        };
        write!(f, "{step} failed: {}", std::io::Error::from_raw_os_error(self.errno))
    }
}
