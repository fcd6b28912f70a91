//! What a member does with what it receives from leaders and candidates: R11 and R12.

use crate::log::Kind;
use crate::protocol::Protocol;
use crate::rules::Clause;
use crate::state::{Ack, Append, Candidate, Cas, Leader, Member, Promise, Request, Role, State};

impl Protocol {
    /// Puts a request on its way, or at once to its receiver where requests are never late.
    pub(crate) fn send(&self, state: &mut State, from: Member, to: Member, request: Request) {
        if self.scope.late_requests {
            state.requests[from][to] = Some(request);
        } else {
            self.receive(state, from, to, request);
        }
    }

    pub(crate) fn receive(&self, state: &mut State, from: Member, me: Member, request: Request) {
        match (request, state.replicas[me].role) {
            (_, Role::Down | Role::Halted) => {}
            (Request::Append(append), _) => self.receive_append(state, from, me, &append),
            (Request::Fence { epoch }, _) => self.receive_fence(state, from, me, epoch),
        }
    }

    /// R_HELLO or R_APPEND.
    fn receive_append(&self, state: &mut State, from: Member, me: Member, append: &Append) {
        if !self.admit(state, from, me, append) {
            return;
        }
        let streams = match state.replicas[me].role {
            Role::Follower { of } => of == append.epoch,
            Role::Candidate(_) => true,
            Role::Down | Role::Leader(_) | Role::Halted => false,
        };
        let ack = |validated, lease| Ack { epoch: append.epoch, validated, lease };
        if !streams {
            if self.find_divergence(state, me, append) {
                let validated = state.replicas[me].durable;
                state.acks[me][from] = Some(ack(validated, false));
            }
            return;
        }
        let replica = &mut state.replicas[me];
        for record in append.log.records().iter().skip(replica.log.len() as usize) {
            replica.log.push(*record);
        }
        let validated = if self.has(Clause::Validated) {
            replica.durable = replica.log.len();
            replica.durable
        } else {
            replica.log.len()
        };
        replica.known_committed = replica.known_committed.max(append.committed.min(replica.durable));
        if append.recorded || !self.has(Clause::ReaddedBeforeElectable) {
            replica.reseeding = false;
        }
        let lease = self.scope.leases && append.required;
        replica.lease_promised |= lease;
        state.acks[me][from] = Some(ack(validated, lease));
    }

    /// Whether a leader may be followed at all. A member that does adopts its epoch.
    fn admit(&self, state: &mut State, from: Member, me: Member, append: &Append) -> bool {
        let replica = &mut state.replicas[me];
        let fresh = replica.role != Role::Follower { of: append.epoch };
        if replica.reseeding && fresh && append.required && self.has(Clause::LeavesBeforeData) {
            return false;
        }
        let superseded = match replica.role {
            Role::Candidate(Candidate { epoch, .. }) => append.epoch >= epoch,
            Role::Down | Role::Follower { .. } | Role::Leader(_) | Role::Halted => true,
        };
        if !superseded && self.has(Clause::CandidateStops) {
            return false;
        }
        match append.epoch.cmp(&replica.promise.epoch) {
            std::cmp::Ordering::Less if self.has(Clause::RefuseLower) => {
                let promise = replica.promise.epoch;
                self.hear_refused(state, from, promise);
                return false;
            }
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => match replica.promise.leader {
                Some(leader) if leader != from => {
                    replica.role = Role::Halted;
                    return false;
                }
                _ => self.promise(state, me, Promise { epoch: append.epoch, leader: Some(from) }),
            },
            std::cmp::Ordering::Greater => {
                if replica.lease_promised && self.has(Clause::RefuseDuringPromise) {
                    return false;
                }
                self.promise(state, me, Promise { epoch: append.epoch, leader: Some(from) });
            }
        }
        if superseded && !matches!(state.replicas[me].role, Role::Follower { .. }) {
            self.step_down(state, me);
        }
        true
    }

    /// R12: both epoch tables tell how far the logs are one. Returns whether the member may stream.
    fn find_divergence(&self, state: &mut State, me: Member, append: &Append) -> bool {
        // No member knows more to be committed than truly was, so it is allowed to know that much.
        let known = state.ghost.known_below(append.epoch, &state.replicas[me].log);
        let replica = &mut state.replicas[me];
        let Role::Follower { of } = replica.role else { return false };
        let connected = of != 0 && !self.has(Clause::AtEachEpoch);
        let keep = match () {
            () if connected => replica.log.len(),
            () if self.has(Clause::ByEpochTable) => replica.log.agrees_until(&append.log),
            () => replica.known_committed.min(append.log.len()),
        };
        let covers = |record: &crate::log::Record, last: u8| {
            matches!(record.kind, Kind::EpochStart { accepts_loss: true }) && record.epoch > last
        };
        if keep < known && self.has(Clause::HardStop) {
            let last = replica.log.records().last().map_or(0, |record| record.epoch);
            let behind = append.log.records().iter().skip(keep as usize);
            if !behind.into_iter().any(|record| covers(record, last)) {
                replica.role = Role::Halted;
                return false;
            }
        }
        replica.log.cut(keep);
        replica.durable = replica.durable.min(keep);
        replica.known_committed = replica.known_committed.min(keep);
        replica.role = Role::Follower { of: append.epoch };
        true
    }

    /// R_FENCE. A member that lost its metadata proves nothing, so it does not answer.
    fn receive_fence(&self, state: &mut State, from: Member, me: Member, epoch: u8) {
        let replica = &state.replicas[me];
        if replica.reseeding && self.has(Clause::FencedIsWhole) {
            return;
        }
        if epoch <= replica.promise.epoch {
            let promise = replica.promise.epoch;
            return self.hear_refused(state, from, promise);
        }
        if replica.lease_promised && self.has(Clause::RefuseDuringPromise) {
            return;
        }
        let log = replica.log.prefix(replica.durable);
        let leader = (!self.has(Clause::FenceBindsNobody)).then_some(from);
        self.promise(state, me, Promise { epoch, leader });
        if !matches!(state.replicas[me].role, Role::Follower { .. }) {
            self.step_down(state, me);
        }
        self.hear_fenced(state, me, from, epoch, &log);
    }

    pub(crate) fn promise(&self, state: &mut State, me: Member, promise: Promise) {
        let replica = &mut state.replicas[me];
        replica.promise = promise;
        if self.has(Clause::PersistBeforeReply) {
            replica.promise_on_disk = promise;
        }
    }

    /// A leader or a candidate becomes a follower of nobody. What waited for a commit is answered.
    pub(crate) fn step_down(&self, state: &mut State, me: Member) {
        let replica = &mut state.replicas[me];
        if let Role::Leader(Leader { epoch, committed, .. }) = replica.role
            && !self.has(Clause::UnknownAfterAppend)
        {
            for record in replica.log.records().iter().skip(committed as usize) {
                if let (true, Kind::Write(write)) = (record.epoch == epoch, record.kind) {
                    state.ghost.answered_none |= 1 << write;
                }
            }
        }
        replica.role = Role::Follower { of: 0 };
        if matches!(state.cas[me], Some(Cas::Won | Cas::Lost)) {
            state.cas[me] = None;
        }
    }
}
