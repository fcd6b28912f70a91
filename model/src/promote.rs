//! How a member becomes the leader: R10 and R15; and the authority that decides.

use crate::log::{Kind, Log, Record};
use crate::protocol::Protocol;
use crate::rules::Clause;
use crate::state::{
    Ack, Candidate, Cas, Leader, Loss, MEMBERS, Map, Member, Promise, Promoted, Promotion, Request, Role,
    Set, State,
};

impl Protocol {
    /// Above the map and every promise that it met.
    fn next_epoch(state: &State, me: Member) -> u8 {
        1 + state.map.epoch.max(state.replicas[me].promise.epoch)
    }

    pub(crate) fn may_stand(&self, state: &State, me: Member, kind: Promotion) -> bool {
        let replica = &state.replicas[me];
        let (recorded, old) = (state.map.write_set().has(me), state.map.write_set());
        let electable = match kind {
            Promotion::Recorded => recorded || !self.has(Clause::OnlyRecorded),
            Promotion::AcceptLoss => self.scope.accept_loss && !recorded && state.ghost.lost.is_none(),
            Promotion::AcceptSplit => {
                let declared = old.members().all(|member| self.declared_off(state, member));
                self.scope.accept_loss && !recorded && state.ghost.lost.is_none() && declared
            }
        };
        let waits = replica.lease_promised && self.has(Clause::WaitOutOwnPromise);
        matches!(replica.role, Role::Follower { .. })
            && electable
            && !waits
            && !replica.reseeding
            && Protocol::next_epoch(state, me) <= self.scope.epochs
            && state.map.generation < self.scope.generations
    }

    /// What an operator says to be powered off is so, but for a scope in which operators are wrong.
    fn declared_off(&self, state: &State, member: Member) -> bool {
        state.is_down(member) || self.scope.false_declarations
    }

    /// It stops acknowledging and granting, and fences itself for the new epoch.
    pub(crate) fn stand(&self, state: &mut State, me: Member, kind: Promotion) {
        let epoch = Protocol::next_epoch(state, me);
        let own = state.replicas[me].log.len();
        let loss = match (kind, self.has(Clause::LossMeasuredAtFence)) {
            (Promotion::Recorded, _) => Loss::Indexes { after: own, until: own },
            (Promotion::AcceptLoss, false) => Loss::Indexes { after: own, until: own },
            (Promotion::AcceptLoss, true) | (Promotion::AcceptSplit, _) => Loss::Unknown,
        };
        let (fenced, proven) = (Set::default(), Set::default());
        let candidate = Candidate { map: state.map, epoch, kind, fenced, proven, loss, asked: None };
        if self.has(Clause::PersistBeforeCas) && self.has(Clause::CandidateStops) {
            let leader = (!self.has(Clause::FenceBindsNobody)).then_some(me);
            self.promise(state, me, Promise { epoch, leader });
        }
        state.replicas[me].role = Role::Candidate(candidate);
    }

    pub(crate) fn candidate(state: &State, me: Member) -> Option<&Candidate> {
        match &state.replicas[me].role {
            Role::Candidate(candidate) => Some(candidate),
            Role::Down | Role::Follower { .. } | Role::Leader(_) | Role::Halted => None,
        }
    }

    pub(crate) fn may_fence(state: &State, me: Member, to: Member) -> bool {
        Protocol::candidate(state, me).is_some_and(|it| it.asked.is_none() && !it.fenced.has(to) && to != me)
    }

    pub(crate) fn fence(&self, state: &mut State, me: Member, to: Member) {
        if let Some(epoch) = Protocol::candidate(state, me).map(|it| it.epoch) {
            self.send(state, me, to, Request::Fence { epoch });
        }
    }

    /// Persisted; the positions and the epoch table.
    pub(crate) fn hear_fenced(&self, state: &mut State, from: Member, me: Member, epoch: u8, log: &Log) {
        let replica = &mut state.replicas[me];
        let mine = replica.log.prefix(replica.durable);
        let Role::Candidate(candidate) = &mut replica.role else { return };
        if candidate.epoch != epoch || candidate.asked.is_some() {
            return;
        }
        candidate.fenced = candidate.fenced.with(from);
        let after = mine.agrees_until(log);
        if after == mine.len() {
            candidate.proven = candidate.proven.with(from);
        }
        let measures = candidate.kind == Promotion::AcceptLoss && candidate.map.write_set().has(from);
        if measures && self.has(Clause::LossMeasuredAtFence) {
            candidate.loss = match candidate.loss {
                Loss::Unknown => Loss::Indexes { after, until: log.len() },
                Loss::Indexes { after: a, until } => {
                    Loss::Indexes { after: a.min(after), until: until.max(log.len()) }
                }
            };
        }
    }

    /// A takeover needs a fence of the old write set; a recorded candidate is one itself.
    pub(crate) fn may_ask(&self, state: &State, me: Member) -> bool {
        let Some(candidate) = Protocol::candidate(state, me) else { return false };
        let old = candidate.map.write_set();
        let fenced = match candidate.kind {
            Promotion::Recorded => true,
            Promotion::AcceptLoss => {
                !candidate.fenced.and(old).is_empty() || !self.has(Clause::FenceOfOldWriteSet)
            }
            Promotion::AcceptSplit => {
                let everybody = self.has(Clause::SplitNamesEverybody);
                let others = if everybody { Set::of_bits((1 << MEMBERS) - 1).without(me) } else { old };
                let silent = |other| candidate.fenced.has(other) || self.declared_off(state, other);
                others.members().all(silent)
            }
        };
        candidate.asked.is_none() && fenced
    }

    /// The sync sets that it may publish: any part of what is proven, for proofs get lost too.
    pub(crate) fn publishable(&self, state: &State, me: Member) -> Vec<Set> {
        let Some(candidate) = Protocol::candidate(state, me) else { return Vec::new() };
        let others = Set::of_bits((1 << MEMBERS) - 1).without(me);
        let most = if self.has(Clause::PublishProven) { candidate.proven } else { others };
        (0..1 << MEMBERS).map(Set::of_bits).filter(|set| set.less(most).is_empty()).collect()
    }

    pub(crate) fn ask(&self, state: &mut State, me: Member, sync: Set) {
        let log = state.replicas[me].log.prefix(state.replicas[me].durable);
        let Role::Candidate(candidate) = &mut state.replicas[me].role else { return };
        candidate.asked = Some(sync);
        let new = Map {
            generation: candidate.map.generation + 1,
            epoch: candidate.epoch,
            leader: me,
            sync,
            loss_open: self.accepts_loss(candidate),
        };
        let promotion = Some(Promoted { kind: candidate.kind, loss: candidate.loss, log });
        let expected = candidate.map.generation;
        if self.has(Clause::EpochByCas) {
            state.cas[me] = Some(Cas::Asked { expected, new, promotion });
        } else {
            self.lead(state, me);
        }
    }

    /// An accepted loss stays open until an `EpochStart` that says so is committed.
    fn accepts_loss(&self, candidate: &Candidate) -> bool {
        let inherited = candidate.map.loss_open && self.has(Clause::LossInherited);
        candidate.kind != Promotion::Recorded || inherited
    }

    /// The authority compares and swaps. Whoever asked may be gone.
    pub(crate) fn cas_lands(&self, state: &mut State, me: Member) {
        let Some(Cas::Asked { expected, new, promotion }) = state.cas[me] else { return };
        let blind = promotion.is_some() && !self.has(Clause::CasOnGeneration);
        let won = state.map.generation == expected || blind;
        if won {
            state.map = Map { generation: state.map.generation + 1, ..new };
            if let Some(promoted) = promotion.filter(|it| it.kind != Promotion::Recorded) {
                state.ghost.lose(new.epoch, &promoted);
            }
        }
        state.cas[me] =
            Protocol::waits(state, me, new.epoch).then_some(if won { Cas::Won } else { Cas::Lost });
    }

    /// Whether the process that asked is still there to hear the answer.
    fn waits(state: &State, me: Member, epoch: u8) -> bool {
        match &state.replicas[me].role {
            Role::Candidate(candidate) => candidate.asked.is_some() && candidate.epoch == epoch,
            Role::Leader(leader) => leader.pending.is_some() && leader.epoch == epoch,
            Role::Down | Role::Follower { .. } | Role::Halted => false,
        }
    }

    /// Takes out of a state what can make no difference any more: acknowledgements that say nothing to their receiver,
    /// and what the authority is sure to refuse.
    pub(crate) fn settle(&self, state: &mut State) {
        for me in 0..MEMBERS {
            for from in 0..MEMBERS {
                let stale = |ack: &Ack| !Protocol::is_news(state, from, me, *ack);
                if state.acks[from][me].as_ref().is_some_and(stale) {
                    state.acks[from][me] = None;
                }
            }
            if let Some(Cas::Asked { expected, new, promotion }) = state.cas[me] {
                let blind = promotion.is_some() && !self.has(Clause::CasOnGeneration);
                if expected != state.map.generation && !blind {
                    state.cas[me] = Protocol::waits(state, me, new.epoch).then_some(Cas::Lost);
                }
            }
        }
    }

    pub(crate) fn cas_answers(&self, state: &mut State, me: Member) {
        let won = state.cas[me].take() == Some(Cas::Won);
        match state.replicas[me].role {
            Role::Candidate(_) if won => self.lead(state, me),
            Role::Candidate(_) => self.step_down(state, me),
            Role::Leader(_) => self.set_change_answered(state, me, won),
            Role::Down | Role::Follower { .. } | Role::Halted => {}
        }
    }

    /// A new segment that begins with `EpochStart`.
    fn lead(&self, state: &mut State, me: Member) {
        let replica = &mut state.replicas[me];
        let Role::Candidate(candidate) = replica.role else { return };
        let kind = Kind::EpochStart { accepts_loss: self.accepts_loss(&candidate) };
        replica.log.cut(replica.durable);
        replica.log.push(Record { epoch: candidate.epoch, kind });
        replica.durable = replica.log.len();
        let leader = Leader {
            epoch: candidate.epoch,
            start: replica.log.len(),
            generation: candidate.map.generation + 1,
            recorded: candidate.asked.unwrap_or_default(),
            pending: None,
            matched: [0; MEMBERS],
            committed: replica.known_committed,
            leases: Set::default(),
            kept_proof: false,
        };
        replica.role = Role::Leader(leader);
        self.promise(state, me, Promise { epoch: candidate.epoch, leader: Some(me) });
        self.commit(state, me);
    }

    pub(crate) fn may_continue(&self, state: &State, me: Member) -> bool {
        let replica = &state.replicas[me];
        let mine = Promise { epoch: state.map.epoch, leader: Some(me) };
        let began = replica.log.records().iter().any(|record| record.epoch == state.map.epoch);
        !self.has(Clause::NewEpochAtStart)
            && replica.role == Role::Follower { of: 0 }
            && state.map.leader == me
            && replica.promise_on_disk == mine
            && began
    }

    /// What R10 forbids: a process takes up the epoch of the one before it.
    pub(crate) fn continue_epoch(&self, state: &mut State, me: Member) {
        let replica = &mut state.replicas[me];
        let before = replica.log.records().iter().take_while(|record| record.epoch < state.map.epoch).count();
        replica.role = Role::Leader(Leader {
            epoch: state.map.epoch,
            start: 1 + u8::try_from(before).expect("a log is short"),
            generation: state.map.generation,
            recorded: state.map.sync,
            pending: None,
            matched: [0; MEMBERS],
            committed: replica.known_committed,
            leases: Set::default(),
            kept_proof: false,
        });
        self.commit(state, me);
    }

    /// Power goes: what was not durable is gone, and so is what was on its way to this process.
    pub(crate) fn crash(&self, state: &mut State, me: Member) {
        let replica = &mut state.replicas[me];
        replica.log.cut(replica.durable);
        replica.known_committed = replica.known_committed.min(replica.durable);
        replica.promise = replica.promise_on_disk;
        replica.lease_promised = false;
        replica.role = Role::Down;
        for other in 0..MEMBERS {
            state.requests[other][me] = None;
            state.acks[other][me] = None;
        }
        if matches!(state.cas[me], Some(Cas::Won | Cas::Lost)) {
            state.cas[me] = None;
        }
    }

    /// A process that begins; a crash that is followed by a start is one step.
    pub(crate) fn restart(&self, state: &mut State, me: Member) {
        self.crash(state, me);
        let replica = &mut state.replicas[me];
        replica.role = Role::Follower { of: 0 };
        replica.lease_promised = self.scope.leases && self.has(Clause::AfterStartAsGranted);
    }

    /// The disk is lost with log and metadata, and the member knows it.
    pub(crate) fn damage(&self, state: &mut State, me: Member) {
        self.crash(state, me);
        state.damages += 1;
        let replica = &mut state.replicas[me];
        replica.log.cut(0);
        replica.durable = 0;
        replica.known_committed = 0;
        replica.promise = Promise::default();
        replica.promise_on_disk = Promise::default();
        replica.reseeding = true;
        self.restart(state, me);
    }
}
