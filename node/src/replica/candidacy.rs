//! The way to the leadership (R15), in this order:
//!
//! ```text
//! wait out one's own lease promise -> persist the promise -> R_FENCE -> compare-and-swap -> EpochStart
//! ```
//! A candidate acknowledges and grants nothing meanwhile. What it has at the second step is what it will lead with.

use std::collections::{BTreeMap, BTreeSet};

use seawall::map::{Generation, MemberId};
use seawall::position::{Epoch, Index};
use seawall::replication::{Agreement, EpochTable, Epochs};

/// The entry of the map that a candidate read, and on whose generation it compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub generation: Generation,
    pub epoch: Epoch,
    pub leader: Option<MemberId>,
    pub sync: BTreeSet<MemberId>,
    /// Everybody who has a replica of the shard.
    pub members: BTreeSet<MemberId>,
    /// So many must have a record before it is committed, the leader included.
    pub min_in_sync: usize,
    /// A loss was accepted, and no `EpochStart` that says so is committed.
    pub loss_open: bool,
}

impl Recorded {
    /// Whose validation every commit of this generation needed, the leader's own included.
    fn write_set(&self) -> BTreeSet<MemberId> {
        self.sync.iter().copied().chain(self.leader).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of a recorded sync member, or of the recorded leader after a start.
    Recorded,
    /// `--accept-loss`: of any other member.
    AcceptLoss,
    /// `--accept-split` too: these were declared powered off.
    AcceptSplit { off: BTreeSet<MemberId> },
}

/// What a promotion states: an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Nothing,
    /// Behind the first, up to the second.
    Between(Index, Index),
    Unknown,
}

/// The log of a candidate, and how far it can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub epochs: Epochs,
    pub last: Index,
    /// It began with an empty disk, and was not recorded since.
    pub reseeding: bool,
    /// Bytes behind its end are torn, reordered or rotten (R2): what it had acknowledged may be among them.
    pub uncertain: bool,
}

#[derive(Clone, Debug)]
pub struct Candidacy {
    me: MemberId,
    kind: Kind,
    read: Recorded,
    epoch: Epoch,
    own: Own,
    fenced: BTreeMap<MemberId, Fenced>,
    asked: bool,
}

#[derive(Clone, Copy, Debug)]
struct Fenced {
    agrees: Index,
    last: Index,
    /// It has what this candidate had, and lost.
    has_what_is_lost: bool,
    /// It may have had more itself.
    uncertain: bool,
}

/// What the candidate is waiting for, one line each: `promote` shows them.
pub type Missing = Vec<String>;

/// What the authority is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub expected: Generation,
    pub epoch: Epoch,
    pub leader: MemberId,
    /// Proven to hold the whole log of the candidate.
    pub sync: BTreeSet<MemberId>,
    pub loss_open: bool,
    pub loss: Loss,
    /// Where the loss that this promotion accepts begins, as the map is to tell it. One of nothing begins behind the log.
    pub loss_from: Option<Index>,
    /// Whether the old leader can commit nothing any more.
    pub old_leader_fenced: bool,
}

/// Who may not stand, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotElectable {
    /// Neither recorded in the sync set nor the recorded leader.
    NotRecorded,
    /// It began with an empty disk, and was not recorded since.
    Reseeding,
    /// Its own lease promise still runs.
    Granted { left_us: u64 },
}

impl Candidacy {
    /// `promised` is the highest epoch that this member promised: the new one is above it, and above the map's.
    pub fn stand(
        me: MemberId,
        kind: Kind,
        read: Recorded,
        promised: Epoch,
        own: Own,
        lease_left_us: u64,
    ) -> Result<Self, NotElectable> {
        // Where a loss was accepted for this member, and nothing was acknowledged since, what it has is the log (R15).
        let accepted = kind != Kind::Recorded || read.loss_open && read.leader == Some(me);
        if kind == Kind::Recorded && !read.write_set().contains(&me) {
            return Err(NotElectable::NotRecorded);
        }
        if own.reseeding && (!accepted || own.last == Index(0)) {
            return Err(NotElectable::Reseeding);
        }
        if lease_left_us > 0 {
            return Err(NotElectable::Granted { left_us: lease_left_us });
        }
        let epoch = Epoch(read.epoch.max(promised).0 + 1);
        Ok(Self { me, kind, read, epoch, own, fenced: BTreeMap::new(), asked: false })
    }

    /// To be persisted as a promise that binds nobody, before anything else.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whom to send R_FENCE.
    pub fn to_fence(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.read
            .members
            .iter()
            .copied()
            .filter(|member| *member != self.me && !self.fenced.contains_key(member))
    }

    /// A member has persisted the new epoch; this is what it holds. `uncertain`: it may have acknowledged more.
    pub fn fenced(
        &mut self,
        by: MemberId,
        epoch: Epoch,
        epochs: &EpochTable<'_>,
        last: Index,
        uncertain: bool,
    ) {
        if epoch == self.epoch && !self.asked {
            let own = &self.own;
            let agrees = match own.epochs.table().agreement(own.last, epochs, last) {
                Agreement::Until(index) => index,
                // Nothing is proven of it.
                Agreement::Unknown | Agreement::Impossible { .. } => Index(0),
            };
            // Nobody has more of an epoch than its leader had (R9).
            let came_from_here =
                self.read.leader == Some(self.me) && epochs.epoch_of(last) == Some(self.read.epoch);
            let has_what_is_lost = last > own.last && (own.uncertain && agrees == own.last || came_from_here);
            self.fenced.insert(by, Fenced { agrees, last, has_what_is_lost, uncertain });
        }
    }

    /// R2: what stood behind an uncertain end is settled by somebody else of the write set, before anybody leads with what is
    /// left. Why it is not settled.
    fn unsettled(&self, old: &BTreeSet<MemberId>) -> Option<String> {
        let last = self.own.last.0;
        let have_it = self.fenced.iter().filter(|(_, fenced)| fenced.has_what_is_lost);
        // Whom an operator may promote without more ado comes first.
        if let Some((member, fenced)) =
            have_it.max_by_key(|(member, fenced)| (old.contains(member), fenced.last))
        {
            let how = if old.contains(member) { "" } else { " with --accept-loss" };
            return Some(format!(
                "R2: member {member}, which has more of this log than is left here, up to index {} and not {last}: \
                 promote that one{how}, or accept a loss here",
                fenced.last.0
            ));
        }
        let others: BTreeSet<MemberId> = old.iter().copied().filter(|member| *member != self.me).collect();
        let asked = others.is_empty() || others.iter().any(|member| self.fenced.contains_key(member));
        (self.own.uncertain && !asked).then(|| {
            format!(
                "R2: an answer to R_FENCE from one of {}: bytes behind index {last} are torn, reordered or rotten here, \
                 and nobody else has said what they were; or accept a loss",
                names(&others)
            )
        })
    }

    /// What the authority may be asked for now, or what is still missing for it.
    pub fn claim(&self) -> Result<Claim, Missing> {
        let old = self.read.write_set();
        let missing = match &self.kind {
            Kind::Recorded => self.unsettled(&old).into_iter().collect(),
            // Whoever is of the write set itself counts itself, whatever it was told to accept.
            Kind::AcceptLoss if old.contains(&self.me) => Vec::new(),
            Kind::AcceptLoss if old.iter().any(|member| self.fenced.contains_key(member)) => Vec::new(),
            Kind::AcceptLoss => vec![format!(
                "an answer to R_FENCE from one of {}: one of them can still commit",
                names(&old)
            )],
            Kind::AcceptSplit { off } => {
                let silent = |member: &&MemberId| !self.fenced.contains_key(member) && !off.contains(member);
                let others = self.read.members.iter().filter(|member| **member != self.me);
                others
                    .filter(silent)
                    .map(|m| format!("member {m}: neither fenced nor declared powered off"))
                    .collect()
            }
        };
        if !missing.is_empty() {
            return Err(missing);
        }
        let loss = self.loss(&old);
        let loss_from = match (&self.kind, loss) {
            (Kind::Recorded, _) => None,
            (_, Loss::Nothing) => Some(Index(self.own.last.0 + 1)),
            (_, Loss::Between(after, _)) => Some(Index(after.0 + 1)),
            // What it has of the log is right, and its end is not.
            (Kind::AcceptLoss, Loss::Unknown) if !self.own.reseeding => Some(Index(self.own.last.0 + 1)),
            (_, Loss::Unknown) => Some(Index(1)),
        };
        Ok(Claim {
            expected: self.read.generation,
            epoch: self.epoch,
            leader: self.me,
            sync: self.sync(&old),
            loss_open: self.kind != Kind::Recorded || self.read.loss_open,
            loss,
            loss_from,
            old_leader_fenced: self
                .read
                .leader
                .is_none_or(|leader| leader == self.me || self.fenced.contains_key(&leader)),
        })
    }

    /// Who holds the whole log of this candidate.
    pub fn proven(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.fenced.iter().filter(|(_, fenced)| fenced.agrees == self.own.last).map(|(member, _)| *member)
    }

    /// Of those who are proven: whoever was required before, and others only while too few are.
    fn sync(&self, old: &BTreeSet<MemberId>) -> BTreeSet<MemberId> {
        let (mut sync, others): (BTreeSet<_>, BTreeSet<_>) =
            self.proven().partition(|member| old.contains(member));
        let lacks = self.read.min_in_sync.saturating_sub(1 + sync.len());
        sync.extend(others.into_iter().take(lacks));
        sync
    }

    /// From here on nothing is added to what was proven.
    pub fn asked(&mut self) {
        self.asked = true;
    }

    /// Whether this member of the write set still has what it acknowledged.
    fn is_whole(&self, old: &BTreeSet<MemberId>) -> bool {
        !self.own.reseeding && self.unsettled(old).is_none()
    }

    /// Whatever was acknowledged is validated on every member of the write set, so one that is fenced holds all of it.
    fn loss(&self, old: &BTreeSet<MemberId>) -> Loss {
        match self.kind {
            Kind::Recorded => Loss::Nothing,
            Kind::AcceptLoss if old.contains(&self.me) && self.is_whole(old) => Loss::Nothing,
            Kind::AcceptSplit { .. } => Loss::Unknown,
            Kind::AcceptLoss => {
                let held = || {
                    self.fenced.iter().filter(|(member, _)| old.contains(member)).map(|(_, fenced)| fenced)
                };
                let (after, until) = (held().map(|f| f.agrees).min(), held().map(|f| f.last).max());
                // What somebody is certain of bounds what the others may have had.
                match after.zip(until).filter(|_| held().any(|f| !f.uncertain)) {
                    Some((after, until)) if after < until => Loss::Between(after, until),
                    Some(_) => Loss::Nothing,
                    None => Loss::Unknown,
                }
            }
        }
    }
}

fn names(members: &BTreeSet<MemberId>) -> String {
    members.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
