//! What is cut off for good: copied to the quarantine, written down as cut, and taken away, in this order. A crash
//! anywhere leaves a recorded cut, and the next recovery goes on.
//!
//! Where a log goes on in a new segment, that segment's header says where the old one ends, and nothing needs to be
//! taken away. A follower goes on in the same segment, and with other segments behind it.

use super::walk::Walk;
use super::{Halt, Phase, Recovery, Start};
use crate::format::FIRST_BATCH;
use crate::meta::{Cut, CutKind, Meta};
use crate::segments::Spare;
use crate::{FileId, Io, SlotId};

/// A part of a slot that is no part of the log any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned {
    pub slot: SlotId,
    pub from: u64,
    pub to: u64,
}

impl Recovery {
    /// A cut that is recorded and takes away what lies behind.
    pub(super) fn abandoning(&self) -> Option<Cut> {
        self.meta.cut.filter(|cut| cut.why == CutKind::Abandoned)
    }

    /// The log is known to its end, and nothing was written yet.
    pub(super) fn conclude(&mut self, walk: Option<Walk>, out: &mut Vec<Io>) -> Result<(), Halt> {
        self.check_role()?;
        self.check_survived()?;
        let mark = self.meta.durable.max(self.meta.clean);
        if self.report.last < mark {
            return Err(Halt::below_mark(self.report.end.as_ref(), self.report.last, mark));
        }
        let cut_here = self.report.end.is_some_and(|end| end.leftover.is_some() || end.finished_cut);
        if self.abandoning().is_some() || self.role == Start::Follow && cut_here {
            let tail = walk.as_ref().map(|walk| Abandoned {
                slot: walk.segment.slot,
                from: walk.expected.offset,
                to: walk.segment.header.bytes,
            });
            let segments = self.dropped.iter().map(|f| Abandoned { slot: f.slot, from: 0, to: f.bytes });
            self.report.abandoned = segments.chain(tail).filter(|range| range.from < range.to).collect();
        }
        // What a cut with a known place takes away is in the quarantine already; it may be half gone here.
        let copied = self.abandoning().is_some_and(|cut| cut.offset != 0);
        let first = if copied { self.report.abandoned.len() } else { 0 };
        // A header that is gone may have gone in a cache only: readable is not durable.
        let gone = self.found.iter().filter(|f| copied && f.header.is_err());
        let gone = gone.map(|f| Abandoned { slot: f.slot, from: 0, to: FIRST_BATCH });
        self.erasing = self.report.abandoned.iter().copied().chain(gone).collect();
        self.quarantine(walk, first, out)
    }

    pub(super) fn quarantine(
        &mut self,
        walk: Option<Walk>,
        nth: usize,
        out: &mut Vec<Io>,
    ) -> Result<(), Halt> {
        let Some(Abandoned { slot, from, to }) = self.report.abandoned.get(nth).copied() else {
            return self.settle(walk, out);
        };
        let id = self.issue(FileId::Slot(slot), from, 0, true);
        self.phase = Phase::Quarantine { walk, nth };
        out.push(Io::Quarantine { id, cut: self.meta.sequence + 1, slot, from, to });
        Ok(())
    }

    /// The cut as this recovery records it.
    pub(super) fn cut_to_record(&self, walk: Option<&Walk>) -> Option<Cut> {
        let erases = !self.report.abandoned.is_empty() || self.abandoning().is_some();
        match (walk, self.report.end) {
            (Some(walk), Some(end)) if end.leftover.is_some() || end.finished_cut => {
                let why = match end.tail {
                    _ if erases => CutKind::Abandoned,
                    super::Tail::Uncertain => CutKind::Uncertain,
                    super::Tail::Certain => CutKind::Certain,
                };
                let next = walk.expected.next;
                Some(Cut { incarnation: end.incarnation, offset: end.offset, next, why })
            }
            // Nothing is left behind the checkpoint, or at all.
            (None, _) if erases => {
                let offset = self.boundary().end.max(FIRST_BATCH);
                self.abandoning().map(|cut| Cut { offset, ..cut })
            }
            // The segment that names the end of the one that was cut may not be durable yet.
            _ => self.meta.cut,
        }
    }

    /// Whatever is recorded as cut off goes; then the cut is finished.
    pub(super) fn erase(&mut self, out: &mut Vec<Io>) -> Result<(), Halt> {
        let end = self.erasing.first().map_or(0, |range| range.to);
        self.erase_on(0, end, out)
    }

    /// From back to front, and a segment's header last: what is still there has a header, and is known for what it
    /// is.
    pub(super) fn erase_on(&mut self, nth: usize, end: u64, out: &mut Vec<Io>) -> Result<(), Halt> {
        let Some(Abandoned { slot, from, .. }) = self.erasing.get(nth).copied() else {
            return self.clear(out);
        };
        if end <= from {
            let next = self.erasing.get(nth + 1).map_or(0, |range| range.to);
            return self.erase_on(nth + 1, next, out);
        }
        let front = if end > FIRST_BATCH { from.max(FIRST_BATCH) } else { from };
        let start = front.max(end.saturating_sub(self.limits.buffer_bytes as u64));
        let len = usize::try_from(end - start).expect("no more than a buffer");
        self.phase = Phase::Erase { nth, end: start };
        let mut buf = self.take(len);
        buf.bytes_mut()[..len].fill(0);
        let id = self.issue(FileId::Slot(slot), start, len, true);
        out.push(Io::Write { id, file: FileId::Slot(slot), offset: start, buf, at: 0, len });
        Ok(())
    }

    /// A follower's log goes on where the cut was: from now on nothing there is cut off.
    fn clear(&mut self, out: &mut Vec<Io>) -> Result<(), Halt> {
        let finished = self.abandoning().is_some() || self.role == Start::Follow;
        if self.meta.cut.is_none() || !finished {
            return self.twice(out);
        }
        let least = self.limits.small_slot_bytes;
        let free = self.dropped.iter().filter(|f| f.bytes >= least);
        self.spares.extend(free.map(|f| Spare { slot: f.slot, bytes: f.bytes }));
        self.meta = Meta { sequence: self.meta.sequence + 1, cut: None, ..self.meta };
        self.phase = Phase::Clear;
        self.write_meta(out);
        Ok(())
    }
}
