//! From segment to segment along the chain, and what the end of the last one means.

use super::evidence::Evidence;
use super::report::End;
use super::verdict::{self, Break, Tail};
use super::walk::{Step, Walk};
use super::{Halt, Phase, Recovery, Sink};
use crate::format::{FIRST_BATCH, Incarnation};
use crate::meta::CutKind;
use crate::{Epoch, Io, LogLimits};

impl Recovery {
    pub(super) fn next_segment(&mut self, n: usize, out: &mut Vec<Io>) -> Result<(), Halt> {
        let Some(segment) = self.segments.get(n).copied() else {
            return self.conclude(None, out);
        };
        let successor = self.segments.get(n + 1).copied();
        let incarnation = Incarnation(segment.header.incarnation);
        let end = match (successor, self.meta.cut) {
            (Some(next), _) => next.header.pred_end,
            // R3: a cut that was recorded is finished first, so that what it removed cannot come back.
            (None, Some(cut)) if cut.incarnation == incarnation => cut.offset,
            (None, _) => segment.header.bytes,
        };
        let stop = self.abandoning().filter(|cut| cut.incarnation == incarnation && cut.offset == 0);
        let end = if end == 0 { segment.header.bytes } else { end }; // a cut whose place is not known yet
        let mut walk = Walk::new(segment, successor, end);
        walk.stop = stop.map(|cut| cut.next);
        walk.window = self.window_of(segment.header.epoch());
        if walk.expected.offset == end {
            return self.segment_ended(n, walk, out);
        }
        self.phase = Phase::Walk(n, walk);
        self.read_window(segment.slot, FIRST_BATCH, end, out);
        Ok(())
    }

    pub(super) fn walk(
        &mut self,
        n: usize,
        mut walk: Walk,
        bytes: &[u8],
        out: &mut Vec<Io>,
        sink: Sink<'_>,
    ) -> Result<(), Halt> {
        let recent = self.is_recent(n).then_some(&mut self.recent);
        match walk.take(bytes, &self.id, &mut self.report, recent, sink) {
            Step::Read => {
                let (slot, at, end) = (walk.segment.slot, walk.expected.offset, walk.end);
                self.phase = Phase::Walk(n, walk);
                self.read_window(slot, at, end, out);
                Ok(())
            }
            Step::End => self.segment_ended(n, walk, out),
            Step::Broken(broken) if !walk.is_last() => Err(Halt::inside(&broken)),
            Step::Broken(broken) => {
                let at = broken.offset;
                self.look_behind(walk, broken, at, Evidence::default(), out)
            }
        }
    }

    /// Whether batches of this segment may still be in memory when all of the log was read.
    fn is_recent(&self, n: usize) -> bool {
        let successors = self.segments.iter().skip(n + 2); // the end of each segment is in the header behind it
        successors.map(|next| next.header.pred_end).sum::<u64>() <= self.limits.tail_bytes as u64
    }

    pub(super) fn segment_ended(&mut self, n: usize, walk: Walk, out: &mut Vec<Io>) -> Result<(), Halt> {
        walk.seam()?;
        walk.stopped()?;
        if !walk.is_last() {
            return self.next_segment(n + 1, out);
        }
        // The last segment is full to its end, or was cut here before.
        let cut = self.meta.cut.filter(|cut| cut.incarnation == walk.expected.incarnation);
        let uncertain = self.meta.uncertain || cut.is_some_and(|c| c.why == CutKind::Uncertain);
        let tail = if uncertain { Tail::Uncertain } else { Tail::Certain };
        self.report.end = Some(End { finished_cut: cut.is_some(), ..end(&walk, tail) });
        self.conclude(Some(walk), out)
    }

    pub(super) fn look_behind(
        &mut self,
        walk: Walk,
        broken: Break,
        at: u64,
        evidence: Evidence,
        out: &mut Vec<Io>,
    ) -> Result<(), Halt> {
        if at < walk.end {
            let (slot, end) = (walk.segment.slot, walk.end);
            self.phase = Phase::Tail { walk, broken, at, evidence };
            self.read_window(slot, at, end, out);
            return Ok(());
        }
        let tail = verdict::verdict(&broken, &evidence, walk.window)?;
        let tail = if self.meta.uncertain { Tail::Uncertain } else { tail };
        self.report.end = Some(End { leftover: evidence.unexplained(), ..end(&walk, tail) });
        self.conclude(Some(walk), out)
    }

    /// How many bytes a follower has under way at most; of an epoch that was issued here, its batches tell more.
    fn window_of(&self, epoch: Epoch) -> Option<u64> {
        let LogLimits { writes_in_flight, buffer_bytes, .. } = self.limits;
        (!self.meta.issued_here(epoch)).then_some((writes_in_flight * buffer_bytes) as u64)
    }
}

fn end(walk: &Walk, tail: Tail) -> End {
    End {
        slot: walk.segment.slot,
        incarnation: walk.expected.incarnation,
        offset: walk.expected.offset,
        tail,
        leftover: None,
        finished_cut: false,
    }
}
