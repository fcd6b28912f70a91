//! What recovery writes, in this order: the new epoch with the cut, and the last window again. Then the log runs.

use super::Tail;
use super::walk::Walk;
use super::{Follower, Halt, Phase, Progress, Recovery, Start, Tip};
use crate::batch::Expected;
use crate::format::{Incarnation, Predecessor};
use crate::log::{Checkpoint, Log, Resume};
use crate::meta::Meta;
use crate::recover::chain::Segment;
use crate::segments::{Closed, Pool};
use crate::{Epoch, Index, Io};

/// Incarnations of one epoch: more segments than it will ever have, in a number that people can still read.
const PER_EPOCH: u64 = 1_000_000_000;

impl Recovery {
    /// The first change on disk: the epoch that this start takes (R10), and the cut if something is cut (R3).
    pub(super) fn settle(&mut self, walk: Option<Walk>, out: &mut Vec<Io>) -> Result<(), Halt> {
        let taken = match self.role {
            Start::Alone => {
                let epoch = Epoch(self.meta.epoch.max(self.report.found_epoch).0 + 1);
                Some(epoch)
            }
            Start::Lead { epoch } => Some(epoch),
            Start::Follow => None,
        };
        self.report.epoch = taken.unwrap_or(self.meta.epoch);
        let cut = self.cut_to_record(walk.as_ref());
        let uncertain = self.report.end.is_some_and(|end| end.tail == Tail::Uncertain);
        self.tip = walk.as_ref().map(|walk| Tip {
            next: walk.expected,
            segment: Some((walk.segment.slot, walk.segment.header)),
            committed: Index(0),
        });
        let meta = self.meta_for(taken);
        // Nothing stands behind the checkpoint, and that was right: it stays so until something does. One that was to be
        // adopted, and is not there, never was.
        let base = self.boundary().incarnation;
        let bare = match () {
            () if walk.is_none() => base,
            () if meta.bare > base => meta.bare_before,
            () => meta.bare,
        };
        let bare_before = Incarnation::default();
        self.meta = Meta { cut, bare, bare_before, uncertain: uncertain && taken.is_none(), ..meta };
        self.phase = Phase::Settle { walk };
        self.write_meta(out);
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
            Ok(())
        } else {
            self.erase(out)
        }
    }

    pub(super) fn finish(&mut self) -> Progress {
        let base = self.boundary();
        let tip = self.tip.unwrap_or(Tip {
            next: Expected {
                incarnation: base.incarnation,
                offset: base.end,
                epoch: base.cut.epoch,
                next: Index(base.cut.index.0 + 1),
                chain: base.chain,
            },
            segment: None,
            committed: Index(0),
        });
        let Expected { incarnation, offset: end, chain, .. } = tip.next;
        let predecessor = Predecessor { incarnation, end, chain };
        // A number that a header bears was used, whatever became of its segment. So was the one of a recorded cut:
        // its header may be lost by now, and the cut must never meet another segment.
        let used = self.found.iter().filter_map(|f| f.header.ok()).map(|header| header.incarnation);
        let cut = self.meta.cut.map_or(0, |cut| cut.incarnation.0);
        let newest = used.max().unwrap_or(0).max(self.boundary().incarnation.0).max(cut);
        // Nor is the number of one that this start cannot see: each epoch, and an epoch is taken once, has its own.
        let next = (newest + 1).max(self.report.epoch.0 * PER_EPOCH + 1);
        let next_slot = self.slots.last().map_or(0, |(slot, _)| slot.0 + 1);
        self.spares.sort_by_key(|s| s.slot);
        // Between a checkpoint that came from elsewhere and older ones there is no log.
        let adopted = self.base.is_some() && self.meta.bare == base.incarnation;
        let older: Vec<_> = self.older().filter(|_| adopted).map(|older| older.id()).collect();
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
            checkpoints: self.older().filter(|_| !adopted).chain(self.base).collect(),
            outdated: older.into_iter().chain(self.report.corrupt.iter().map(|corrupt| corrupt.id)).collect(),
            digest: self.report.checkpoint.map(|c| (c.cut, c.digest & u128::from(u64::MAX))),
            meta: self.meta,
            next_io: self.io.0,
        };
        let buffers = std::mem::take(&mut self.buffers);
        let recent = std::mem::take(&mut self.recent);
        let report = self.report.clone();
        if self.role == Start::Follow {
            let known = self.meta.committed.max(report.committed).max(base.cut.index);
            let tip = Tip { committed: known.min(report.last), ..tip };
            let log = Follower::resume(self.id, self.limits, buffers, recent, resume, tip);
            return Progress::AtRest(Box::new(log), report);
        }
        let log = Log::resume(self.id, self.limits, buffers, recent, resume);
        Progress::Recovered(Box::new(log), report)
    }

    /// The whole chain, as the running log sees it: the last segment is closed, too.
    fn closed(&self) -> Vec<Closed> {
        let chain: Vec<&Segment> = self.kept.iter().chain(&self.segments).collect();
        let successors = chain.iter().skip(1).map(|s| (s.header.pred_end, Index(s.header.first_index - 1)));
        let base = self.boundary();
        let last = self.report.end.map_or((base.end, base.cut.index), |end| (end.offset, self.report.last));
        let ends = successors.chain([last]);
        let close = |(segment, (end, last)): (&&Segment, (u64, Index))| {
            let header = segment.header;
            let incarnation = Incarnation(header.incarnation);
            Closed { slot: segment.slot, bytes: header.bytes, incarnation, header, end, last }
        };
        chain.iter().zip(ends).map(close).collect()
    }

    /// Checkpoints before the one that was read. Of these, only the headers were looked at.
    fn older(&self) -> impl Iterator<Item = Checkpoint> {
        self.candidates.iter().map(|c| Checkpoint { boundary: c.stream.boundary(), bytes: c.bytes })
    }
}
