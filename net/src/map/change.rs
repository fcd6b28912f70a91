//! How one map becomes the next: pure, so that whoever asks the authority, the authority and a test see the same.
//!
//! A change says which epoch it is made in. Only the leader of that epoch changes the set of its shard, so what it
//! requires is never less than what is recorded (R14); only [`Change::Lead`] goes to a higher one (R10, R15).

use std::collections::BTreeSet;
use std::fmt;

use super::{Generation, Map, MapError, Member, MemberId, OpenLoss, Parts, Place, Policy, Replicas, ShardId};
use crate::limits::AUDIT_TEXT_MAX;
use crate::position::{Epoch, Index};

/// Who changes a map, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By<'a> {
    /// An operator by name, or the node that acts by itself.
    pub actor: &'a str,
    /// In the words of whoever decided.
    pub reason: &'a str,
}

/// The change that made a map of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What, as [`Change`] is shown.
    pub change: String,
}

impl Audit {
    pub(super) fn check(&self) -> Result<(), MapError> {
        let texts = [&self.actor, &self.reason, &self.change];
        let said = texts.into_iter().all(|text| (1..=AUDIT_TEXT_MAX).contains(&text.len()));
        if said { Ok(()) } else { Err(MapError::Audit) }
    }
}

/// What shall be different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node joins the cluster; it keeps no shard yet.
    AddMember(Member),
    /// A promotion, or a leader's start: `member` leads from now on.
    Lead {
        /// Which shard.
        shard: ShardId,
        /// Who leads.
        member: MemberId,
        /// Above every epoch before.
        epoch: Epoch,
        /// The members that are proven to hold its log; all others become async.
        sync: BTreeSet<MemberId>,
        /// A loss that this promotion accepts: from which index on.
        loss_from: Option<Index>,
    },
    /// Of the shard's epoch, by whoever leads it.
    In {
        /// Which shard.
        shard: ShardId,
        /// The epoch in which it was decided: another one in the map means that somebody else leads.
        epoch: Epoch,
        /// What.
        change: InEpoch,
    },
}

/// What is changed in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InEpoch {
    /// An async member comes into the sync set.
    Require(MemberId),
    /// A member of the sync set leaves it, and stays as async.
    Release(MemberId),
    /// The `EpochStart` that tells the open loss is committed.
    LossTold,
    /// Another policy.
    SetPolicy(Policy),
    /// A member of the cluster begins to follow, as async.
    AddReplica(MemberId),
    /// An async member follows no more.
    RemoveReplica(MemberId),
}

/// Why a change cannot be made to this map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotChanged {
    /// The map has no such shard.
    NoShard(ShardId),
    /// Decided in another epoch than the map's.
    OtherEpoch {
        /// The map's.
        current: Epoch,
        /// That of the change.
        decided_in: Epoch,
    },
    /// An epoch to lead in that is not above the map's.
    NotAbove {
        /// The map's.
        current: Epoch,
        /// The one that was asked for.
        asked: Epoch,
    },
    /// It does not keep the shard.
    NoReplica(MemberId),
    /// It is not recorded, and no loss is accepted.
    NotElectable(MemberId),
    /// It has another place than the change takes it from.
    Place {
        /// Who.
        member: MemberId,
        /// What it is; `None`: nothing to this shard.
        is: Option<Place>,
        /// What it must be; `None`: nothing.
        needs: Option<Place>,
    },
    /// Nobody leads, so nobody can answer for a set.
    NoLeader(ShardId),
    /// No loss is open.
    NoOpenLoss(ShardId),
    /// What would come out is no map.
    Invalid(MapError),
}

impl Map {
    /// The next map: this change made, one generation on, with who and why kept in it.
    pub fn next(&self, by: By<'_>, change: &Change) -> Result<Map, NotChanged> {
        // No map has the last generation, so there is a next one.
        let generation = Generation(self.generation().0 + 1);
        let mut parts = Parts { generation, ..self.parts().clone() };
        match change {
            Change::AddMember(member) => {
                let at = parts.members.partition_point(|known| known.id < member.id);
                parts.members.insert(at, member.clone());
            }
            Change::Lead { shard, member, epoch, sync, loss_from } => {
                entry(&mut parts, *shard)?.lead(*member, *epoch, sync, *loss_from)?;
            }
            Change::In { shard, epoch, change } => entry(&mut parts, *shard)?.change(*epoch, *change)?,
        }
        let (actor, reason) = (by.actor.to_owned(), by.reason.to_owned());
        parts.audit = Some(Audit { actor, reason, change: change.to_string() });
        Map::of(parts).map_err(NotChanged::Invalid)
    }
}

/// What is said of a shard, about to be changed by the map's new generation.
fn entry(parts: &mut Parts, shard: ShardId) -> Result<&mut Replicas, NotChanged> {
    let generation = parts.generation;
    let found = parts.replicas.iter_mut().find(|replicas| replicas.shard == shard);
    let entry = found.ok_or(NotChanged::NoShard(shard))?;
    entry.changed = generation;
    Ok(entry)
}

impl Replicas {
    fn lead(
        &mut self,
        member: MemberId,
        epoch: Epoch,
        sync: &BTreeSet<MemberId>,
        loss_from: Option<Index>,
    ) -> Result<(), NotChanged> {
        if epoch <= self.epoch {
            return Err(NotChanged::NotAbove { current: self.epoch, asked: epoch });
        }
        let named = std::iter::once(&member).chain(sync);
        if let Some(stranger) = named.into_iter().find(|named| self.place_of(**named).is_none()) {
            return Err(NotChanged::NoReplica(*stranger));
        }
        // Before the first epoch there is nothing that could be lost.
        let recorded = self.place_of(member) != Some(Place::Async) || self.epoch == Epoch(0);
        if !recorded && loss_from.is_none() {
            return Err(NotChanged::NotElectable(member));
        }
        self.asyncs = self.all().filter(|other| *other != member && !sync.contains(other)).collect();
        self.sync.clone_from(sync);
        (self.leader, self.epoch) = (Some(member), epoch);
        // One that is open stays open until it is told, whoever leads (0006).
        self.open_loss = match (self.open_loss, loss_from) {
            (open, None) => open,
            (None, Some(from)) => Some(OpenLoss { epoch, from }),
            (Some(open), Some(from)) => Some(OpenLoss { epoch, from: from.min(open.from) }),
        };
        Ok(())
    }

    fn change(&mut self, epoch: Epoch, change: InEpoch) -> Result<(), NotChanged> {
        if epoch != self.epoch {
            return Err(NotChanged::OtherEpoch { current: self.epoch, decided_in: epoch });
        }
        match change {
            InEpoch::Require(_) | InEpoch::Release(_) | InEpoch::LossTold if self.leader.is_none() => {
                return Err(NotChanged::NoLeader(self.shard));
            }
            InEpoch::Require(member) => self.moves(member, Some(Place::Async), Some(Place::Sync))?,
            InEpoch::Release(member) => self.moves(member, Some(Place::Sync), Some(Place::Async))?,
            InEpoch::AddReplica(member) => self.moves(member, None, Some(Place::Async))?,
            InEpoch::RemoveReplica(member) => self.moves(member, Some(Place::Async), None)?,
            InEpoch::SetPolicy(policy) => self.policy = policy,
            InEpoch::LossTold => {
                self.open_loss.take().ok_or(NotChanged::NoOpenLoss(self.shard))?;
            }
        }
        Ok(())
    }

    /// From one place among the followers, or from none, to another.
    fn moves(&mut self, member: MemberId, needs: Option<Place>, to: Option<Place>) -> Result<(), NotChanged> {
        let is = self.place_of(member);
        if is != needs {
            return Err(NotChanged::Place { member, is, needs });
        }
        self.sync.remove(&member);
        self.asyncs.remove(&member);
        match to {
            Some(Place::Sync) => drop(self.sync.insert(member)),
            Some(Place::Async) => drop(self.asyncs.insert(member)),
            Some(Place::Leader) | None => {}
        }
        Ok(())
    }
}

/// As the audit keeps it.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::AddMember(Member { id, address, peer, .. }) => {
                write!(f, "member {id} joins, at {address}, for members at {peer}")
            }
            Change::Lead { shard, member, epoch, sync, loss_from } => {
                write!(f, "shard {shard}: member {member} leads epoch {}", epoch.0)?;
                match &sync.iter().map(MemberId::to_string).collect::<Vec<_>>()[..] {
                    [] => write!(f, ", nobody in sync")?,
                    sync => write!(f, ", in sync {}", sync.join(", "))?,
                }
                match loss_from {
                    Some(from) => write!(f, ", a loss accepted from index {} on", from.0),
                    None => Ok(()),
                }
            }
            Change::In { shard, epoch, change } => {
                write!(f, "shard {shard}, epoch {}: ", epoch.0)?;
                match change {
                    InEpoch::Require(member) => write!(f, "member {member} comes into the sync set"),
                    InEpoch::Release(member) => write!(f, "member {member} leaves the sync set"),
                    InEpoch::LossTold => write!(f, "the accepted loss is told"),
                    InEpoch::SetPolicy(Policy { min_in_sync, member_timeout_ms, lease_ms }) => write!(
                        f,
                        "min_in_sync {min_in_sync}, member_timeout_ms {member_timeout_ms}, lease_ms {lease_ms}"
                    ),
                    InEpoch::AddReplica(member) => write!(f, "member {member} begins to follow"),
                    InEpoch::RemoveReplica(member) => write!(f, "member {member} follows no more"),
                }
            }
        }
    }
}

/// What a member is, in words.
struct Is(Option<Place>);

impl fmt::Display for Is {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(Place::Leader) => "the leader",
            Some(Place::Sync) => "in the sync set",
            Some(Place::Async) => "async",
            None => "no replica of the shard",
        })
    }
}

impl fmt::Display for NotChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotChanged::NoShard(shard) => write!(f, "the map has no shard {shard}"),
            NotChanged::OtherEpoch { current, decided_in } => write!(
                f,
                "decided in epoch {}, and the map is at epoch {}: ask whoever leads it",
                decided_in.0, current.0
            ),
            NotChanged::NotAbove { current, asked } => write!(
                f,
                "epoch {} is not above the map's, {}: take one above it and above every promise met",
                asked.0, current.0
            ),
            NotChanged::NoReplica(member) => {
                write!(f, "member {member} does not keep the shard: add it as a replica first")
            }
            NotChanged::NotElectable(member) => write!(
                f,
                "member {member} is not recorded in the sync set: promote one that is, or accept a loss"
            ),
            NotChanged::Place { member, is, needs } => {
                write!(f, "member {member} is {}; this can be done if it is {}", Is(*is), Is(*needs))
            }
            NotChanged::NoLeader(shard) => {
                write!(f, "nobody leads shard {shard}: promote a member, then change its set")
            }
            NotChanged::NoOpenLoss(shard) => write!(f, "no accepted loss of shard {shard} is open"),
            NotChanged::Invalid(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for NotChanged {}
