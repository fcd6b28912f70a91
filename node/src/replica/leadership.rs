//! A leader's account of its members: what is committed (R13), whether a read is proven (R16), who is silent.

use std::collections::BTreeMap;
use std::fmt;

use seawall::map::MemberId;
use seawall::position::{Epoch, Index};

use super::sync_set::{Change, Deposed, NoChange, SyncSet, Way};
use crate::params::{LEASE_MARGIN_PPM, LEASE_MARGIN_US};

/// What the map says of the shard, as far as a leader acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Members that must hold a commit, the leader included.
    pub min_in_sync: usize,
    /// A required member that is silent for so long stops writes.
    pub member_timeout_us: u64,
    pub lease_us: u64,
}

#[derive(Clone, Debug)]
pub struct Leadership {
    epoch: Epoch,
    policy: Policy,
    /// The index of its `EpochStart`: the first thing that this epoch commits.
    start: Index,
    set: SyncSet,
    members: BTreeMap<MemberId, Member>,
    committed: Index,
}

/// A member as this leader knows it. Positions belong to a session: an R_HELLO that is answered replaces them, also by
/// lower ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Member {
    session: u64,
    validated: Index,
    heard_us: u64,
    /// Since when it has taken nothing of what it lacks.
    lacks_since_us: Option<u64>,
    /// On the leader's own clock, less the margin.
    promised_until_us: u64,
    /// When the newest message was sent that it answered in this session.
    answered_us: Option<u64>,
}

/// What an R_ACK says, as far as it counts here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub session: u64,
    pub validated: Index,
    /// The send time of the very message that it answers, by the leader's clock; and the promise that it carries.
    pub echo_us: u64,
    pub lease_us: u64,
    /// R24: a stalled disk counts as a failed one.
    pub disk_answered: bool,
}

/// Why a read is not proven: whose promise is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unproven {
    pub member: MemberId,
}

/// Why nothing is appended: members that are missing, or silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    TooFew {
        need: usize,
        have: usize,
    },
    Silent {
        member: MemberId,
        for_us: u64,
    },
    /// It answers, and takes nothing of what it lacks.
    Stuck {
        member: MemberId,
        for_us: u64,
    },
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |us: u64| us / 1_000_000;
        match self {
            Unavailable::TooFew { need, have } => {
                write!(f, "R13: {have} of {need} members that a commit needs are in the sync set")
            }
            Unavailable::Silent { member, for_us } => {
                write!(f, "R13: member {member} has said nothing for {} s", seconds(*for_us))
            }
            Unavailable::Stuck { member, for_us } => {
                write!(f, "R24: member {member} answers, and has taken nothing for {} s", seconds(*for_us))
            }
        }
    }
}

impl Leadership {
    pub fn new(
        epoch: Epoch,
        start: Index,
        policy: Policy,
        set: SyncSet,
        committed: Index,
        now_us: u64,
    ) -> Self {
        assert!(committed < start, "what this epoch commits begins with its first record");
        let fresh = Member { heard_us: now_us, ..Member::default() };
        let members = set.recorded().iter().map(|member| (*member, fresh)).collect();
        Self { epoch, policy, start, set, members, committed }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What an operator changed in the map holds from now on.
    pub fn follow(&mut self, policy: Policy) {
        self.policy = policy;
    }

    pub fn lease_us(&self) -> u64 {
        self.policy.lease_us
    }

    pub fn set(&self) -> &SyncSet {
        &self.set
    }

    /// Nobody is required: no promise of anybody proves anything.
    pub fn is_alone(&self) -> bool {
        self.set.required().next().is_none()
    }

    pub fn committed(&self) -> Index {
        self.committed
    }

    /// Its `EpochStart` is committed, and everything before it (R10).
    pub fn serves(&self) -> bool {
        self.committed >= self.start
    }

    /// A session began. What the member had acknowledged before counts no more: its disk may be another one.
    pub fn greeted(&mut self, member: MemberId, session: u64, validated: Index, now_us: u64) {
        // To be greeted again and again is no progress.
        let lacks_since_us = self.members.get(&member).and_then(|known| known.lacks_since_us);
        let fresh = Member { session, validated, heard_us: now_us, lacks_since_us, ..Member::default() };
        self.members.insert(member, fresh);
    }

    /// Whether it said anything new; of an older session it says nothing.
    pub fn acknowledged(&mut self, member: MemberId, ack: &Ack, now_us: u64) -> bool {
        let Some(known) = self.members.get_mut(&member).filter(|known| known.session == ack.session) else {
            return false;
        };
        known.heard_us = now_us;
        if ack.lease_us > 0 && ack.disk_answered {
            let until = ack.echo_us.saturating_add(less_margin(ack.lease_us));
            known.promised_until_us = known.promised_until_us.max(until);
        }
        known.answered_us = known.answered_us.max(Some(ack.echo_us));
        let news = ack.validated > known.validated;
        if news {
            known.lacks_since_us = None;
        }
        known.validated = known.validated.max(ack.validated);
        news
    }

    /// R13: durable here, and validated by everybody who is required. Never before `EpochStart`.
    pub fn advance(&mut self, durable: Index) -> Index {
        let positions = self.set.required().map(|member| self.validated(member));
        let last = positions.fold(durable, Index::min);
        if self.enough() && last >= self.start && last > self.committed {
            self.committed = last;
        }
        self.committed
    }

    pub fn validated(&self, member: MemberId) -> Index {
        self.members.get(&member).map_or(Index(0), |member| member.validated)
    }

    fn enough(&self) -> bool {
        self.in_sync() >= self.policy.min_in_sync
    }

    fn in_sync(&self) -> usize {
        1 + self.set.required().count()
    }

    /// R24: whose disk stands still, or is full, answers and takes nothing. Looked at again and again.
    pub fn watch(&mut self, durable: Index, now_us: u64) {
        for member in self.set.required() {
            let known = self.members.entry(member).or_default();
            let lacks = known.validated < durable;
            known.lacks_since_us = lacks.then(|| known.lacks_since_us.unwrap_or(now_us));
        }
    }

    /// R13: what stops writes until the recorded set is changed. No member is left out silently.
    pub fn unavailable(&self, now_us: u64) -> Option<Unavailable> {
        if !self.enough() {
            return Some(Unavailable::TooFew { need: self.policy.min_in_sync, have: self.in_sync() });
        }
        let silent_for = |member| {
            let heard = self.members.get(&member).map_or(0, |known| known.heard_us);
            (member, now_us.saturating_sub(heard))
        };
        let silent = self.set.required().map(silent_for).max_by_key(|(_, us)| *us)?;
        let (member, for_us) = silent;
        let timeout_us = self.policy.member_timeout_us;
        if for_us >= timeout_us {
            return Some(Unavailable::Silent { member, for_us });
        }
        let since = |member| self.members.get(&member).and_then(|known| known.lacks_since_us);
        let stuck = |member| Some((member, now_us.saturating_sub(since(member)?)));
        let (member, for_us) = self.set.required().filter_map(stuck).max_by_key(|(_, us)| *us)?;
        (for_us >= timeout_us).then_some(Unavailable::Stuck { member, for_us })
    }

    /// R16: the promises of all who are required run, by this clock. `Ok` says until when; with nobody required only
    /// the authority can prove anything, and that is `None`.
    pub fn lease(&self, now_us: u64) -> Result<Option<u64>, Unproven> {
        let mut until = None;
        for member in self.set.required() {
            let promised = self.members.get(&member).map_or(0, |known| known.promised_until_us);
            if promised <= now_us {
                return Err(Unproven { member });
            }
            until = Some(until.map_or(promised, |until: u64| until.min(promised)));
        }
        Ok(until)
    }

    /// Whether each member that is required, and there is one, has answered what was sent then or later: so long nobody
    /// else led, whatever clocks did (R16).
    pub fn answered_since(&self, us: u64) -> bool {
        let answered = |member| self.members.get(&member).is_some_and(|known| known.answered_us >= Some(us));
        !self.is_alone() && self.set.required().all(answered)
    }

    /// For how long the lease has run out: so old may what this leader knows be. `None`: it never had one, or nobody is
    /// required and nothing is proven.
    pub fn unproven_us(&self, now_us: u64) -> Option<u64> {
        let promised = |member| self.members.get(&member).map_or(0, |known| known.promised_until_us);
        let until_us = self.set.required().map(promised).min().filter(|until_us| *until_us > 0)?;
        Some(now_us.saturating_sub(until_us))
    }

    /// R14: a member enters only once it is level with the last index of this moment.
    pub fn may_enter(&self, member: MemberId, last: Index) -> bool {
        self.validated(member) >= last
    }

    pub fn begin_change(&mut self, member: MemberId, way: Way) -> Result<(), NoChange> {
        self.set.begin(member, way)
    }

    /// What to ask the authority to record.
    pub fn ask_change(&mut self) -> Option<std::collections::BTreeSet<MemberId>> {
        self.set.ask()
    }

    /// Its answer; who leads no more must hear of it.
    pub fn change_answered(&mut self, won: bool) -> Result<(), Deposed> {
        self.set.answered(won)
    }

    /// The map moved on without it: it never will be recorded as it was asked for.
    pub fn change_not_sent(&mut self) {
        self.set.not_sent();
    }

    pub fn change(&self) -> Option<Change> {
        self.set.change()
    }
}

/// The two clocks drift, so the leader counts less than it was promised.
fn less_margin(lease_us: u64) -> u64 {
    lease_us.saturating_sub(lease_us * LEASE_MARGIN_PPM / 1_000_000 + LEASE_MARGIN_US)
}
