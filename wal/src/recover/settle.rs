//! What recovery writes, in this order: the new epoch with the cut, and the last window again. Then the log runs.

use super::Tail;
use super::walk::Walk;
use super::{Halt, Phase, Progress, Recovery};
use crate::batch::Expected;
use crate::format::{Incarnation, Predecessor};
use crate::log::{Checkpoint, Log, Resume};
use crate::meta::{Cut, Meta};
use crate::recover::chain::Segment;
use crate::segments::{Closed, Pool};
use crate::{Epoch, FileId, Index, Io};

/// Incarnations of one epoch: more segments than it will ever have, in a number that people can still read.
const PER_EPOCH: u64 = 1_000_000_000;

impl Recovery {
    /// The first change on disk: the epoch that this start takes (R10), and the cut if something is cut (R3).
    pub(super) fn settle(&mut self, walk: Option<Walk>, out: &mut Vec<Io>) -> Result<(), Halt> {
        let epoch = Epoch(self.meta.epoch.max(self.report.found_epoch).0 + 1);
        self.report.epoch = epoch;
        let cut = match (&walk, self.report.end) {
            (Some(walk), Some(end)) if end.leftover.is_some() || end.finished_cut => Some(Cut {
                incarnation: end.incarnation,
                offset: end.offset,
                next: walk.expected.next,
                uncertain: end.tail == Tail::Uncertain,
            }),
            // The segment that names the end of the one that was cut may not be durable yet.
            _ => self.meta.cut,
        };
        self.chain = walk.as_ref().map_or(0, |walk| walk.expected.chain);
        let (sequence, start) = (self.meta.sequence + 1, self.meta.start + 1);
        self.meta = Meta { sequence, start, epoch, cut, ..self.meta };
        self.phase = Phase::Settle { walk };
        let block = self.meta.encode(&self.id);
        self.write(FileId::Meta, self.meta.offset(), &block, out);
        Ok(())
    }

    /// Readable is not durable: the batches that no later one proves durable are written again, byte for byte,
    /// and flushed, before any position is reported.
    pub(super) fn rewrite(&mut self, walk: Walk, from: Expected, out: &mut Vec<Io>) -> Result<(), Halt> {
        let (at, end) = (from.offset, walk.expected.offset);
        if at < end {
            let slot = walk.segment.slot;
            self.phase = Phase::Rewrite { walk, from, writing: false };
            self.read_window(slot, at, end, out);
        } else {
            self.phase = Phase::Ended;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Progress {
        let predecessor = match &self.report.end {
            Some(end) => Predecessor { incarnation: end.incarnation, end: end.offset, chain: self.chain },
            None => Predecessor::default(),
        };
        // A number that a header bears was used, whatever became of its segment. So was the one of a recorded cut:
        // its header may be lost by now, and the cut must never meet another segment.
        let used = self.found.iter().filter_map(|f| f.header.ok()).map(|header| header.incarnation);
        let cut = self.meta.cut.map_or(0, |cut| cut.incarnation.0);
        let newest = used.max().unwrap_or(0).max(self.boundary().incarnation.0).max(cut);
        // Nor is the number of one that this start cannot see: each epoch, and an epoch is taken once, has its own.
        let next = (newest + 1).max(self.report.epoch.0 * PER_EPOCH + 1);
        let next_slot = self.slots.last().map_or(0, |(slot, _)| slot.0 + 1);
        self.spares.sort_by_key(|s| s.slot);
        let resume = Resume {
            epoch: self.report.epoch,
            last: self.report.last,
            predecessor,
            pool: Pool {
                spares: std::mem::take(&mut self.spares),
                closed: self.closed(),
                next_slot,
                next_incarnation: Incarnation(next),
            },
            checkpoints: self.older().chain(self.base).collect(),
            outdated: self.report.corrupt.iter().map(|corrupt| corrupt.id).collect(),
            next_io: self.io.0,
        };
        let buffers = std::mem::take(&mut self.buffers);
        let recent = std::mem::take(&mut self.recent);
        let log = Log::resume(self.id, self.limits, buffers, recent, resume);
        Progress::Recovered(Box::new(log), self.report.clone())
    }

    /// The whole chain, as the running log sees it: the last segment is closed, too.
    fn closed(&self) -> Vec<Closed> {
        let chain: Vec<&Segment> = self.kept.iter().chain(&self.segments).collect();
        let successors = chain.iter().skip(1).map(|s| (s.header.pred_end, Index(s.header.first_index - 1)));
        let last = self.report.end.map(|end| (end.offset, self.report.last));
        let ends = successors.chain(last);
        let close = |(segment, (end, last)): (&&Segment, (u64, Index))| {
            let header = &segment.header;
            let incarnation = Incarnation(header.incarnation);
            Closed { slot: segment.slot, bytes: header.bytes, incarnation, end, last }
        };
        chain.iter().zip(ends).map(close).collect()
    }

    /// Checkpoints before the one that was read. Of these, only the headers were looked at.
    fn older(&self) -> impl Iterator<Item = Checkpoint> {
        self.candidates.iter().map(|c| Checkpoint { boundary: c.stream.boundary(), bytes: c.bytes })
    }
}
