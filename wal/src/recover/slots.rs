//! Which slots hold the log, which are free, and whether one of them hides something.

use super::chain::{self, Found};
use super::evidence::Evidence;
use super::{Halt, Phase, Recovery};
use crate::buffer::BLOCK;
use crate::format::{FIRST_BATCH, Incarnation};
use crate::segments::Spare;
use crate::{FileId, Io};

impl Recovery {
    pub(super) fn next_header(&mut self, n: usize, out: &mut Vec<Io>) -> Result<(), Halt> {
        let Some((slot, size)) = self.slots.get(n).copied() else {
            return self.next_cut(0, out);
        };
        if size < 2 * FIRST_BATCH || !size.is_multiple_of(BLOCK as u64) {
            let expected = size.max(2 * FIRST_BATCH).next_multiple_of(FIRST_BATCH);
            return Err(Halt::slot_size(slot, expected, size));
        }
        self.phase = Phase::Headers(n);
        self.read(FileId::Slot(slot), 0, BLOCK, out);
        Ok(())
    }

    /// The checkpoint is known: what continues it?
    pub(super) fn link(&mut self, out: &mut Vec<Io>) -> Result<(), Halt> {
        let base = self.boundary();
        if let Some(cut) = self.abandoning().filter(|cut| cut.next <= base.cut.index) {
            return Err(Halt::cut_in_checkpoint(base.cut.index, cut.next));
        }
        let cut = self.abandoning().map(|cut| cut.incarnation);
        let behind = |f: &Found| f.header.is_ok_and(|h| cut.is_some_and(|cut| h.incarnation > cut.0));
        let (dropped, found): (Vec<Found>, Vec<Found>) = self.found.iter().copied().partition(behind);
        self.dropped = dropped;
        let bare = [cut, Some(self.meta.bare), Some(self.meta.bare_before)].contains(&Some(base.incarnation));
        // An adoption that came to nothing, or a checkpoint of before it that stands in for it, has its whole log.
        let gone = Some(self.meta.bare).filter(|bare| *bare <= base.incarnation).unwrap_or_default();
        let chain = chain::link(&found, &base, bare, gone).map_err(|halt| {
            // Without the checkpoint, or the segment, the log is not complete: that is what has to be said.
            let rotten = found.iter().filter(|f| !f.blank).find_map(|f| Some((f.slot, f.header.err()?)));
            match (self.report.corrupt.last(), rotten) {
                (Some(corrupt), _) => Halt::corrupt_checkpoint(corrupt),
                (None, Some((slot, why))) => halt.by_header(slot, why),
                (None, None) => halt,
            }
        })?;
        self.report.segments = chain.segments.len();
        self.report.found_epoch = match chain.segments.last() {
            Some(newest) => newest.header.epoch(),
            None => base.cut.epoch,
        };
        (self.kept, self.segments) = (chain.kept, chain.segments);
        let mut strays = chain.strays;
        strays.extend(chain.free);
        strays.extend(self.found.iter().filter(|f| self.is_kept(f)));
        self.next_stray(strays, FIRST_BATCH, Evidence::default(), out)
    }

    /// Batches of a segment lie under its header. Those of any segment that counts which lie in a slot without one
    /// were written under a header that is gone, or went elsewhere.
    ///
    /// A slot that a checkpoint covers may be in use again, under a header that went elsewhere: there, whatever is
    /// newer than its own header counts.
    pub(super) fn watched(&self, stray: Option<&Found>) -> Incarnation {
        if let Some(Found { header: Ok(header), .. }) = stray.filter(|stray| self.is_kept(stray)) {
            return Incarnation(header.incarnation + 1);
        }
        let behind = self.boundary().incarnation.0 + 1;
        let oldest = self.kept.iter().chain(&self.segments).next();
        Incarnation(oldest.map_or(behind, |s| s.header.incarnation))
    }

    fn is_kept(&self, found: &Found) -> bool {
        self.kept.iter().any(|segment| segment.slot == found.slot)
    }

    /// Every byte of a slot without a header is looked at: a header that was lost over live batches is corruption.
    /// Of a slot that waits to be used again, the front is enough: whatever began there wrote its first batch there.
    pub(super) fn next_stray(
        &mut self,
        mut strays: Vec<Found>,
        at: u64,
        evidence: Evidence,
        out: &mut Vec<Io>,
    ) -> Result<(), Halt> {
        let Some(stray) = strays.last().copied() else { return self.next_segment(0, out) };
        let covered = stray.header.is_ok();
        if at < stray.bytes && !(covered && at > FIRST_BATCH) {
            self.phase = Phase::Stray { strays, at, evidence };
            self.read_window(stray.slot, at, stray.bytes, out);
            return Ok(());
        }
        if let Some(offset) = evidence.batch_at {
            return Err(Halt::headless(stray.slot, stray.header.err(), offset));
        }
        // A header torn by a crash during a roll is overwritten by the next roll; anything else is left alone.
        let known = covered || evidence.unexplained().is_none();
        if known && !self.is_kept(&stray) && stray.bytes >= self.limits.small_slot_bytes {
            self.spares.push(Spare { slot: stray.slot, bytes: stray.bytes });
        }
        strays.pop();
        self.next_stray(strays, FIRST_BATCH, Evidence::default(), out)
    }
}
