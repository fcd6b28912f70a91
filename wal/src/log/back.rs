//! Reading the log back from its segments, for a follower that is behind what is in memory.
//!
//! [`Log::cursor`] finds the segment, [`Log::read_back`] asks for its next bytes, [`Log::came_back`] gives what came,
//! and [`Log::stretch`] judges it: a slot may have been used again, or be read while the device writes to it.

use std::ops::Range;

use super::Log;
use crate::batch::{Batch, BatchError, Expected};
use crate::format::{BatchHeader, NotValid};
use crate::{Buffer, CheckpointId, Done, FileId, Index, Io, IoError, IoId};

/// Reads for others: none of them is the commit path's, and an error in one is not the log's.
#[derive(Debug, Default)]
pub(super) struct Back {
    under_way: Vec<(IoId, usize)>,
    came: Vec<(IoId, Result<Buffer, IoError>)>,
}

/// Where in the log a reader is: in front of a batch, or of where one will be.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    at: Expected,
    /// What lies before it in the segment is passed over.
    wanted: Index,
    /// The next batch has so many bytes, which was more than what was read.
    least: usize,
}

/// How much is read back at most, a larger batch apart, and after which pause.
#[derive(Clone, Copy, Debug)]
pub struct Portion {
    pub bytes: usize,
    pub pause_us: u64,
}

/// Whole batches in what was read.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// `None`: only such as were passed over, or less than one.
    pub first: Option<BatchHeader>,
    pub range: Range<usize>,
    pub last: Index,
}

impl Back {
    pub fn outstanding(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Takes back its own reads, and nothing else.
    pub fn ended(&mut self, done: Done) -> Option<Done> {
        let Some(nth) = self.under_way.iter().position(|(id, _)| *id == done.id) else { return Some(done) };
        let (id, asked) = self.under_way.swap_remove(nth);
        let result = match (done.result, done.buf) {
            (Ok(moved), Some(buf)) if moved == asked => Ok(buf),
            (Err(error), _) => Err(error),
            // A file that is shorter by now is another one.
            _ => Err(IoError { step: crate::IoStep::Read, errno: 0 }),
        };
        self.came.push((id, result));
        None
    }
}

impl Cursor {
    /// The next index that it gives.
    pub fn next(&self) -> Index {
        self.wanted.max(self.at.next)
    }

    /// Fewer bytes than this hold no batch; 0 if that is not known.
    pub fn least(&self) -> usize {
        self.least
    }
}

impl Log {
    /// In front of the segment that holds `from`, or will; `None`: no segment reaches back so far.
    pub fn cursor(&self, from: Index) -> Option<Cursor> {
        let segment = self.keep.segments.stored().rfind(|s| s.header.first_index() <= from)?;
        Some(Cursor { at: Expected::first(&segment.header), wanted: from, least: 0 })
    }

    /// The first index that the segments hold.
    pub fn oldest_stored(&self) -> Option<Index> {
        self.keep.segments.stored().next().map(|segment| segment.header.first_index())
    }

    /// Asks for what stands at the cursor, no more than one buffer. `Ok(None)`: nothing does yet. `Err`: the segment
    /// is gone.
    pub fn read_back(
        &mut self,
        cursor: &mut Cursor,
        portion: Portion,
        out: &mut Vec<Io>,
    ) -> Result<Option<IoId>, Gone> {
        let here = cursor.at.incarnation.0;
        let mut stored = self.keep.segments.stored().skip_while(|s| s.header.incarnation != here);
        let mut segment = stored.next().ok_or(Gone)?;
        while segment.end <= cursor.at.offset {
            let Some(next) = stored.next() else { return Ok(None) };
            (segment, cursor.at) = (next, Expected::first(&next.header));
        }
        drop(stored);
        let left = usize::try_from(segment.end - cursor.at.offset).unwrap_or(usize::MAX);
        let bytes = left.min(portion.bytes.max(cursor.least).min(self.limits.buffer_bytes));
        let (file, portion) = (FileId::Slot(segment.slot), Portion { bytes, ..portion });
        Ok(Some(self.ask_back(file, cursor.at.offset, portion, out)))
    }

    /// These checkpoints are not removed.
    pub fn hold(&mut self, checkpoints: Vec<CheckpointId>) {
        self.keep.held = checkpoints;
    }

    /// The same for bytes of a checkpoint.
    pub fn read_checkpoint(
        &mut self,
        id: CheckpointId,
        offset: u64,
        portion: Portion,
        out: &mut Vec<Io>,
    ) -> IoId {
        self.ask_back(FileId::Checkpoint(id), offset, portion, out)
    }

    fn ask_back(&mut self, file: FileId, offset: u64, portion: Portion, out: &mut Vec<Io>) -> IoId {
        let Portion { bytes: len, pause_us } = portion;
        let (id, buf) = (self.issue(), Buffer::new(u16::MAX, crate::buffer::whole_blocks(len)));
        self.back.under_way.push((id, len));
        out.push(Io::ReadBack { id, file, offset, buf, len, pause_us });
        id
    }

    /// The reads that ended.
    pub fn came_back(&mut self) -> Vec<(IoId, Result<Buffer, IoError>)> {
        std::mem::take(&mut self.back.came)
    }

    /// The batches of `bytes`, which were read at the cursor, up to the last durable one; the cursor moves behind them.
    pub fn stretch(&self, cursor: &mut Cursor, bytes: &[u8]) -> Result<Stretch, NotValid> {
        let (mut first, mut from, mut end) = (None, 0, 0);
        let mut at = cursor.at;
        while at.next <= self.durable
            && let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty())
        {
            let batch = match Batch::read(rest, &self.id, &at, usize::MAX) {
                Ok(batch) => batch,
                Err(BatchError::Incomplete(_)) if end > 0 => break,
                // Once more with all of it, if there is room for that and it was not tried yet.
                Err(BatchError::Incomplete(whole))
                    if bytes.len() < whole && cursor.least < whole && whole <= self.limits.buffer_bytes =>
                {
                    cursor.least = whole;
                    break;
                }
                Err(BatchError::Incomplete(_)) => return Err(NotValid::Short),
                Err(BatchError::Invalid(why)) => return Err(why),
            };
            let behind = end + batch.header.blocks();
            match batch.header.last_index() < cursor.wanted {
                true => from = behind,
                // A reader stands between two batches.
                false if batch.header.first_index < cursor.wanted.0 => {
                    return Err(NotValid::Field("first index"));
                }
                false => first = first.or(Some(batch.header)),
            }
            (end, at) = (behind, batch.next());
        }
        if end > 0 {
            (cursor.at, cursor.least) = (at, 0);
        }
        Ok(Stretch { first, range: from..end, last: Index(at.next.0 - 1) })
    }
}

/// What was to be read back is not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;
