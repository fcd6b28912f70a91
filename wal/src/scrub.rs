//! What is kept is read again now and then: a bit that turns in a segment behind the checkpoint, or in the checkpoint
//! itself, is met by nobody else until it is needed.
//!
//! [`crate::Log::scrub`] says what to read, [`ScrubJob::run`] judges it in a thread beside the workers, and
//! [`crate::Log::keeps`] says whether that is still a part of the log when it has ended.

use crate::batch::{Batch, BatchError, Expected};
use crate::format::{Incarnation, SegmentHeader};
use crate::io::{AdoptJob, FoldError};
use crate::{BLOCK, Buffer, Checkpoint, CheckpointId, Closed, FileId, Index, IoError, IoId, LogId};

/// How far a round has come: the checkpoints first, the newest of them before the others, then the closed segments, the
/// oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrubbed {
    Nothing,
    /// The checkpoints from the newest to this one.
    DownTo(CheckpointId),
    /// And all segments up to this one.
    Through(Incarnation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Checkpoint(Checkpoint),
    Segment(Closed),
}

/// Fills a slice with the bytes at an offset.
pub type ReadAt<'a> = dyn FnMut(u64, &mut [u8]) -> Result<(), IoError> + 'a;

/// One file, to be read from front to back, from the disk and not from a cache where that is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubJob {
    log: LogId,
    what: What,
    buffer_bytes: usize,
}

/// Bytes that were whole, and are not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rot {
    pub rule: &'static str,
    pub file: FileId,
    pub offset: u64,
    /// What was to begin there; of a checkpoint, its cut.
    pub index: Index,
    pub expected: String,
    pub observed: String,
}

impl std::fmt::Display for Rot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rule, file, offset, index, expected, observed } = self;
        write!(
            f,
            "{rule}: {file}, offset {offset}, index {}: expected {expected}, observed {observed}",
            index.0
        )
    }
}

/// Why a file was not found whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    Rot(Rot),
    /// It could not be read, for a reason that says nothing of its bytes: another round tries again.
    Unread(IoError),
}

impl ScrubJob {
    pub(crate) fn new(log: LogId, what: What, buffer_bytes: usize) -> Self {
        Self { log, what, buffer_bytes }
    }

    pub(crate) fn what(&self) -> &What {
        &self.what
    }

    pub fn file(&self) -> FileId {
        match &self.what {
            What::Checkpoint(checkpoint) => FileId::Checkpoint(checkpoint.id()),
            What::Segment(closed) => FileId::Slot(closed.slot),
        }
    }

    /// So much is read.
    pub fn bytes(&self) -> u64 {
        match &self.what {
            What::Checkpoint(checkpoint) => checkpoint.bytes,
            What::Segment(closed) => closed.end,
        }
    }

    /// What a buffer for it must hold.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Where a round stands once this has ended.
    pub fn behind(&self) -> Scrubbed {
        match &self.what {
            What::Checkpoint(checkpoint) => Scrubbed::DownTo(checkpoint.id()),
            What::Segment(closed) => Scrubbed::Through(closed.incarnation),
        }
    }

    /// `read` fills its slice with the bytes at an offset. An error of the device is rot: an unreadable sector is not
    /// torn (R2).
    pub fn run(&self, buffer: &mut Buffer, read: &mut ReadAt<'_>) -> Result<(), Flaw> {
        match &self.what {
            What::Checkpoint(checkpoint) => self.checkpoint(checkpoint, buffer, read),
            What::Segment(closed) => self.segment(closed, buffer, read),
        }
    }

    fn checkpoint(
        &self,
        checkpoint: &Checkpoint,
        buffer: &mut Buffer,
        read: &mut ReadAt<'_>,
    ) -> Result<(), Flaw> {
        let (boundary, bytes) = (checkpoint.boundary, checkpoint.bytes);
        let job = AdoptJob { id: IoId(0), log: self.log, boundary, bytes };
        let mut offset = 0;
        let judged = job.verify(buffer, |at, bytes| {
            offset = at;
            read(at, bytes).map_err(|error| FoldError::Io { file: String::new(), error })
        });
        let (expected, index) = ("the checkpoint as it was made".to_owned(), boundary.cut.index);
        match judged {
            Ok(_) => Ok(()),
            Err(FoldError::Io { error, .. }) => Err(self.unread("R8", offset, index, error)),
            Err(FoldError::Fault { fault, .. }) => {
                let observed = format!("{} where {} belongs", fault.observed, fault.expected);
                Err(self.rot("R8", fault.offset, index, expected, observed))
            }
        }
    }

    fn segment(&self, closed: &Closed, buffer: &mut Buffer, read: &mut ReadAt<'_>) -> Result<(), Flaw> {
        let mut at = Expected::first(&closed.header);
        read(0, &mut buffer.bytes_mut()[..BLOCK]).map_err(|e| self.unread("R2", 0, at.next, e))?;
        let header = SegmentHeader::read(&buffer.bytes()[..BLOCK], &self.log);
        if header != Ok(closed.header) {
            let observed =
                header.map_or_else(|why| why.to_string(), |_| "another segment's header".to_owned());
            return Err(self.rot("R2", 0, at.next, "the header of the segment".to_owned(), observed));
        }
        while at.offset < closed.end {
            let left = usize::try_from(closed.end - at.offset).unwrap_or(usize::MAX);
            let len = left.min(buffer.capacity());
            read(at.offset, &mut buffer.bytes_mut()[..len])
                .map_err(|e| self.unread("R2", at.offset, at.next, e))?;
            let (bytes, mut used) = (&buffer.bytes()[..len], 0);
            while used < len {
                match Batch::read(&bytes[used..], &self.log, &at, usize::MAX) {
                    Ok(batch) => {
                        used += batch.header.blocks();
                        at = batch.next();
                    }
                    Err(BatchError::Incomplete(_)) if used > 0 => break,
                    Err(why) => {
                        return Err(self.rot(
                            "R2",
                            at.offset,
                            at.next,
                            "a whole batch".to_owned(),
                            told(why),
                        ));
                    }
                }
            }
        }
        let (observed, expected) = (at.next.0 - 1, closed.last.0);
        if (at.offset, observed) != (closed.end, expected) {
            let expected = format!("its last index {expected} before offset {}", closed.end);
            return Err(self.rot("R2", at.offset, at.next, expected, format!("index {observed}")));
        }
        Ok(())
    }

    fn rot(&self, rule: &'static str, offset: u64, index: Index, expected: String, observed: String) -> Flaw {
        Flaw::Rot(Rot { rule, file: self.file(), offset, index, expected, observed })
    }

    fn unread(&self, rule: &'static str, offset: u64, index: Index, error: IoError) -> Flaw {
        const EIO: i32 = 5;
        match error.errno {
            EIO => self.rot(rule, offset, index, "bytes that can be read".to_owned(), error.to_string()),
            _ => Flaw::Unread(error),
        }
    }
}

fn told(why: BatchError) -> String {
    match why {
        BatchError::Incomplete(bytes) => format!("a batch of {bytes} bytes that is cut short"),
        BatchError::Invalid(why) => why.to_string(),
    }
}
