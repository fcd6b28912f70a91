//! What an operator tells one shard of this member, and what became of it. Each order is answered once.

use seawall::map::{Generation, MemberId};
use seawall::position::{Epoch, Index};

use crate::replica::{Kind, Loss};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub errand: Errand,
    /// Who, and why: both stand in the map, and in the log where the order changes what it holds.
    pub actor: String,
    pub reason: String,
    /// Whoever asks gave this order already, and waits for its answer.
    pub again: bool,
}

impl Order {
    pub fn is_the_same_as(&self, other: &Order) -> bool {
        (&self.errand, &self.actor, &self.reason) == (&other.errand, &other.actor, &other.reason)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// This member shall lead (R15).
    Promote(Kind),
    /// This member leads, and shall hand over without a loss: it takes nothing more until the other one has all.
    HandOver(MemberId),
    /// This member leads: a member that is level comes into the sync set, or one of the set leaves it (R14).
    Require(MemberId),
    Release(MemberId),
    /// This member is halted, and shall open its log again without the latch (R25). Nothing is mended.
    Clear,
    /// This member shall put its log aside, whole, and begin anew with what the leader has (R14).
    Reseed,
}

/// What was done. The error of an order that was not done says why, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It leads, and serves.
    Leads {
        epoch: Epoch,
        /// Of its `EpochStart`.
        start: Index,
        in_sync: Vec<MemberId>,
        loss: Loss,
        /// Whether the leader of before can commit nothing any more; if not, it may until it hears of this.
        old_leader_fenced: bool,
    },
    /// The map says so; the other member opens its log, and leads in an epoch above this one.
    HandedOver { to: MemberId, epoch: Epoch },
    /// The map of this generation says so.
    Recorded { generation: Generation },
    /// Its log was opened again, and it is not halted.
    Cleared,
    /// The log of before is in the quarantine, under this number; it begins anew.
    Reseeds { aside: u64 },
}

pub type Obeyed = Result<Done, String>;
