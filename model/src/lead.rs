//! What a leader does: appends, ships, commits, changes the sync set, and answers reads. R13, R14 and R16.

use crate::log::{Kind, Record};
use crate::protocol::Protocol;
use crate::rules::Clause;
use crate::state::{Ack, Append, Cas, Leader, Map, Member, Promise, Request, Role, Set, State};

impl Protocol {
    /// Whether it may answer clients: its `EpochStart` is committed, and with it everything before.
    pub(crate) fn serves(&self, leader: &Leader) -> bool {
        leader.committed >= leader.start || !self.has(Clause::ServeAfterEpochStart)
    }

    /// Whose validation a commit needs: what is recorded, and while the result of a compare-and-swap is unknown both
    /// the old and the new set.
    pub(crate) fn required(&self, leader: &Leader) -> Set {
        let Some(pending) = leader.pending else { return leader.recorded };
        let mut required = leader.recorded.and(pending);
        if self.has(Clause::RequireBeforeRecord) {
            required = required.or(pending.less(leader.recorded));
        }
        if self.has(Clause::OldAndNewTogether) {
            required = required.or(leader.recorded.less(pending));
        }
        required
    }

    pub(crate) fn enough(&self, set: Set) -> bool {
        1 + set.count() >= self.scope.min_in_sync || !self.has(Clause::MinInSync)
    }

    pub(crate) fn may_append(&self, state: &State, me: Member) -> bool {
        let Some(leader) = state.leader(me) else { return false };
        let wanted = state.writes < self.scope.writes && state.replicas[me].log.has_room();
        wanted && self.serves(leader) && self.enough(self.required(leader))
    }

    pub(crate) fn append(&self, state: &mut State, me: Member) {
        let Some(epoch) = state.leader(me).map(|leader| leader.epoch) else { return };
        state.writes += 1;
        let replica = &mut state.replicas[me];
        replica.log.push(Record { epoch, kind: Kind::Write(state.writes) });
        if self.has(Clause::DurableAtHome) {
            replica.durable = replica.log.len();
        }
        self.commit(state, me);
    }

    /// Sends R_HELLO or R_APPEND: what is durable at home, verbatim.
    pub(crate) fn ship(&self, state: &mut State, me: Member, to: Member) {
        let replica = &state.replicas[me];
        let Role::Leader(leader) = &replica.role else { return };
        let append = Append {
            epoch: leader.epoch,
            log: replica.log.prefix(replica.durable),
            committed: leader.committed,
            required: self.required(leader).has(to),
            recorded: leader.recorded.has(to),
        };
        self.send(state, me, to, Request::Append(append));
    }

    pub(crate) fn hear_ack(&self, state: &mut State, from: Member, me: Member, ack: Ack) {
        let Some(leader) = state.leader_mut(me).filter(|leader| leader.epoch == ack.epoch) else { return };
        leader.matched[from] = ack.validated;
        leader.leases = if ack.lease { leader.leases.with(from) } else { leader.leases };
        self.keep_proof(state, me);
        self.commit(state, me);
    }

    /// FENCED_EPOCH, with the promise: whoever is below it steps down, and will go above it.
    pub(crate) fn hear_refused(&self, state: &mut State, me: Member, promise: u8) {
        let proposed = match &state.replicas[me].role {
            Role::Leader(leader) => leader.epoch,
            Role::Candidate(candidate) => candidate.epoch,
            Role::Down | Role::Follower { .. } | Role::Halted => return,
        };
        if promise > proposed {
            self.step_down(state, me);
            let promise = Promise { epoch: promise, leader: None };
            state.replicas[me].promise = promise;
            state.replicas[me].promise_on_disk = promise;
        }
    }

    /// Whether an acknowledgement can still tell its receiver anything.
    pub(crate) fn is_news(state: &State, from: Member, me: Member, ack: Ack) -> bool {
        let news = |leader: &Leader| {
            leader.matched[from] != ack.validated || (ack.lease && !leader.leases.has(from))
        };
        state.leader(me).is_some_and(|leader| leader.epoch == ack.epoch && news(leader))
    }

    /// R13. Everything that may move the commit index ends here.
    pub(crate) fn commit(&self, state: &mut State, me: Member) {
        let replica = &state.replicas[me];
        let Role::Leader(leader) = &replica.role else { return };
        let required = self.required(leader);
        if !self.enough(required) {
            return;
        }
        let home = if self.has(Clause::DurableAtHome) { replica.durable } else { replica.log.len() };
        let positions = required.members().map(|member| leader.matched[member]);
        let validated = if self.has(Clause::WholeSet) { positions.min() } else { positions.max() };
        let last = home.min(validated.unwrap_or(home));
        if last <= leader.committed || last < leader.start {
            return;
        }
        let (epoch, log) = (leader.epoch, replica.log.prefix(last));
        if let Some(leader) = state.leader_mut(me) {
            leader.committed = last;
        }
        let replica = &mut state.replicas[me];
        replica.known_committed = last.min(replica.durable);
        state.ghost.commit(epoch, &log);
    }

    /// The sync sets that the leader may ask to be recorded: one member more or one less.
    pub(crate) fn set_changes(&self, state: &State, me: Member) -> Vec<Set> {
        let Some(leader) = state.leader(me) else { return Vec::new() };
        if leader.pending.is_some() || leader.generation >= self.scope.generations {
            return Vec::new();
        }
        let level = |to: Member| leader.matched[to] == state.replicas[me].durable;
        let may_enter = |to: Member| level(to) || !self.has(Clause::CaughtUp);
        let change = |to: Member| match leader.recorded.has(to) {
            true => Some(leader.recorded.without(to)),
            false => may_enter(to).then(|| leader.recorded.with(to)),
        };
        (0..crate::state::MEMBERS).filter(|to| *to != me).filter_map(change).collect()
    }

    pub(crate) fn change_set(&self, state: &mut State, me: Member, sync: Set) {
        let start = state.leader(me).and_then(|leader| state.replicas[me].log.at(leader.start));
        let open = matches!(start, Some(Record { kind: Kind::EpochStart { accepts_loss: true }, .. }));
        let Some(leader) = state.leader_mut(me) else { return };
        leader.pending = Some(sync);
        let new = Map {
            generation: leader.generation + 1,
            epoch: leader.epoch,
            leader: me,
            sync,
            loss_open: open && leader.committed < leader.start,
        };
        state.cas[me] = Some(Cas::Asked { expected: leader.generation, new, promotion: None });
        self.commit(state, me);
    }

    /// Only the leader of an epoch changes its set, so a compare-and-swap that lost says: deposed.
    pub(crate) fn set_change_answered(&self, state: &mut State, me: Member, won: bool) {
        let Some(leader) = state.leader_mut(me) else { return };
        match leader.pending.take() {
            Some(sync) if won => {
                leader.recorded = sync;
                leader.generation += 1;
                self.commit(state, me);
            }
            _ => self.step_down(state, me),
        }
    }

    /// Whether it would answer a linearizable read now (R16).
    pub(crate) fn proves_lease(&self, state: &State, me: Member) -> bool {
        let Some(leader) = state.leader(me) else { return false };
        if !self.scope.leases || !self.serves(leader) {
            return false;
        }
        if !self.has(Clause::CheckedAtReply) && leader.kept_proof {
            return true;
        }
        let set = if self.has(Clause::PendingPromisesToo) { self.required(leader) } else { leader.recorded };
        if set.is_empty() {
            let recorded = state.map.leader == me && state.map.generation == leader.generation;
            return recorded || !self.has(Clause::EmptySetByCas);
        }
        match self.has(Clause::AllPromises) {
            true => set.less(leader.leases).is_empty(),
            false => !set.and(leader.leases).is_empty(),
        }
    }

    /// Without the check at the reply, a proof found once serves for ever.
    fn keep_proof(&self, state: &mut State, me: Member) {
        let found = !self.has(Clause::CheckedAtReply) && self.proves_lease(state, me);
        if let Some(leader) = state.leader_mut(me) {
            leader.kept_proof |= found;
        }
    }

    /// By the leader's own clock, counted from the send time and less the drift margin.
    pub(crate) fn lease_ends(&self, state: &mut State, me: Member, of: Member) {
        if let Some(leader) = state.leader_mut(me) {
            leader.leases = leader.leases.without(of);
        }
    }

    /// On the follower's clock. The margin is what keeps every leader's count shorter.
    pub(crate) fn promise_may_end(&self, state: &State, me: Member) -> bool {
        let counted = |leader: &Leader| leader.leases.has(me);
        let believed = (0..crate::state::MEMBERS).any(|other| state.leader(other).is_some_and(counted));
        state.replicas[me].lease_promised && (!believed || !self.has(Clause::DriftMargin))
    }

    pub(crate) fn promise_ends(&self, state: &mut State, me: Member) {
        state.replicas[me].lease_promised = false;
        if !self.has(Clause::FromSendTime) {
            return;
        }
        for ack in state.acks[me].iter_mut().flatten() {
            ack.lease = false;
        }
    }
}
