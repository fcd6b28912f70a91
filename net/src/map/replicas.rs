//! Who keeps a shard: its leader, its sync set, everybody else, and the policy that commits follow.

use std::collections::BTreeSet;

use super::{Generation, MapError, Member, MemberId, ShardId};
use crate::limits::{LEASE_MAX_MS, MEMBER_TIMEOUT_MAX_MS, REPLICAS_MAX};
use crate::position::{Epoch, Index};

/// What a commit needs, and how long a member may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many members must have a record before it is committed, the leader included. The recorded sync set is
    /// required whole, however large it is; this is what it may not fall below.
    pub min_in_sync: u8,
    /// After so long without a word from a required member writes are refused.
    pub member_timeout_ms: u32,
    /// How long a follower promises not to adopt a higher epoch, each time that it does.
    pub lease_ms: u32,
}

/// Of one node alone. The times are the usual ones: a member that is silent for longer than any pause of a healthy
/// machine, and a lease that is shorter than that.
impl Default for Policy {
    fn default() -> Policy {
        Policy { min_in_sync: 1, member_timeout_ms: 5_000, lease_ms: 2_000 }
    }
}

/// A loss that an operator accepted, and that no committed `EpochStart` has told yet: whoever leads next tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLoss {
    /// The epoch of the promotion that accepted it, the last one if there were several.
    pub epoch: Epoch,
    /// The first index that may be lost. A loss that nobody could measure begins with the first of all.
    pub from: Index,
}

/// What a member is to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Leads it in its epoch.
    Leader,
    /// Recorded: every commit needs its validation, and it may take over.
    Sync,
    /// Follows, and counts for nothing.
    Async,
}

/// Who keeps a shard, in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// Which shard.
    pub shard: ShardId,
    /// The highest epoch that was ever won by a compare-and-swap; 0: none was.
    pub epoch: Epoch,
    /// Who won it; `None`: nobody leads.
    pub leader: Option<MemberId>,
    /// The recorded sync set, without the leader.
    pub sync: BTreeSet<MemberId>,
    /// Everybody else who follows.
    pub asyncs: BTreeSet<MemberId>,
    /// What commits need.
    pub policy: Policy,
    /// An accepted loss that is not told yet.
    pub open_loss: Option<OpenLoss>,
    /// The generation that changed this entry last: the same one means that nothing was changed.
    pub changed: Generation,
}

impl Replicas {
    /// Of a shard that lives on one node, which needs no name.
    pub fn alone(shard: ShardId, changed: Generation) -> Replicas {
        Replicas {
            shard,
            epoch: Epoch(0),
            leader: None,
            sync: BTreeSet::new(),
            asyncs: BTreeSet::new(),
            policy: Policy::default(),
            open_loss: None,
            changed,
        }
    }

    /// The leader, then the sync set, then the others.
    pub fn all(&self) -> impl Iterator<Item = MemberId> {
        self.write_set().chain(self.asyncs.iter().copied())
    }

    /// The leader and its sync set: any one of them has all that was acknowledged.
    pub fn write_set(&self) -> impl Iterator<Item = MemberId> {
        self.leader.into_iter().chain(self.sync.iter().copied())
    }

    /// What a member is to this shard; `None`: nothing.
    pub fn place_of(&self, member: MemberId) -> Option<Place> {
        match member {
            _ if self.leader == Some(member) => Some(Place::Leader),
            _ if self.sync.contains(&member) => Some(Place::Sync),
            _ if self.asyncs.contains(&member) => Some(Place::Async),
            _ => None,
        }
    }

    /// Whether this may stand in a map of this generation and these members, which ascend.
    pub(super) fn check(&self, generation: Generation, members: &[Member]) -> Result<(), MapError> {
        let shard = self.shard;
        let mut seen = BTreeSet::new();
        for member in self.all() {
            if members.binary_search_by_key(&member, |known| known.id).is_err() {
                return Err(MapError::NoMember { shard, member });
            }
            if !seen.insert(member) {
                return Err(MapError::Twice { shard, member });
            }
        }
        let (there, Policy { min_in_sync, member_timeout_ms, lease_ms }) = (seen.len(), self.policy);
        if there > REPLICAS_MAX {
            return Err(MapError::Replicas { shard, there });
        }
        // A node alone has no name, and is there all the same.
        if !(1..=there.max(1)).contains(&usize::from(min_in_sync)) {
            return Err(MapError::MinInSync { shard, min_in_sync, there: there.max(1) });
        }
        if !(1..=MEMBER_TIMEOUT_MAX_MS).contains(&member_timeout_ms) {
            return Err(MapError::MemberTimeout { shard, ms: member_timeout_ms });
        }
        if !(1..=LEASE_MAX_MS).contains(&lease_ms) {
            return Err(MapError::Lease { shard, ms: lease_ms });
        }
        if self.leader.is_some() && self.epoch == Epoch(0) {
            return Err(MapError::LeaderWithoutEpoch(shard));
        }
        let of_epochs = |loss: &OpenLoss| (1..=self.epoch.0).contains(&loss.epoch.0) && loss.from.0 > 0;
        if self.open_loss.is_some_and(|loss| !of_epochs(&loss)) {
            return Err(MapError::OpenLoss(shard));
        }
        if !(1..=generation.0).contains(&self.changed.0) {
            return Err(MapError::Changed { shard, changed: self.changed });
        }
        Ok(())
    }
}
