//! Who the log is for: a start is told, and may find that it was told wrongly.

use super::{Halt, Recovery};
use crate::Epoch;
use crate::meta::Meta;

/// What a start is to do with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The only replica: it takes the next epoch itself.
    Alone,
    /// The epoch was promised durably and won by compare-and-swap (R15).
    Lead { epoch: Epoch },
    /// No epoch is taken; the log is at rest where it ends.
    Follow,
}

impl Recovery {
    /// The metadata as this start leaves it, but for the cut. `taken` is its epoch; a follower takes none.
    pub(super) fn meta_for(&self, taken: Option<Epoch>) -> Meta {
        let (sequence, start) = (self.meta.sequence + 1, self.meta.start + 1);
        // Until the next fold takes them away, the rotten ones that somebody accepted are met by every start.
        let cleared = self.meta.cleared && !self.report.corrupt.is_empty();
        let was = Meta { sequence, start, cleared, ..self.meta };
        let found = self.report.found_epoch;
        let Some(epoch) = taken else {
            // What was issued here and cut off may be followed by epochs that were not. A log that never followed is
            // its own to the end.
            let through = if was.followed { was.own.1.min(found) } else { found };
            return Meta { followed: true, own: (was.own.0, through), ..was };
        };
        let goes_on = found == Epoch(0) || was.issued_here(found);
        let own = (if goes_on { was.own.0 } else { epoch }, epoch);
        let bound = was.bound.filter(|_| was.epoch == epoch);
        // Whoever leads with what began as an empty disk does it by an accepted loss: its log is the log now (R15).
        Meta { epoch, bound, issued: epoch, own, reseeding: false, ..was }
    }

    /// R10: an epoch has one leader, and of that one process.
    pub(super) fn check_role(&self) -> Result<(), Halt> {
        let Start::Lead { epoch } = self.role else { return Ok(()) };
        let headers = self.found.iter().filter_map(|f| f.header.ok());
        let found = headers.map(|header| header.epoch()).max().unwrap_or_default();
        let found = found.max(self.boundary().cut.epoch);
        let meta = &self.meta;
        // Before there were followers, every promise was an epoch taken.
        let before = meta.issued == Epoch(0) && !meta.followed;
        let issued = if before { meta.epoch } else { meta.issued };
        let wrong = if meta.epoch > epoch {
            format!("epoch {} is promised", meta.epoch.0)
        } else if let Some(bound) = meta.bound.filter(|_| meta.epoch == epoch) {
            format!("epoch {} is promised to member {}, start {}", epoch.0, bound.leader, bound.start)
        } else if epoch <= issued {
            format!("epoch {} was led here by an earlier start", issued.0)
        } else if epoch <= found {
            format!("the log holds epoch {}", found.0)
        } else {
            return Ok(());
        };
        Err(Halt::not_to_lead(epoch, wrong))
    }
}
