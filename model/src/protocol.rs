//! What can happen next: the protocol as `stateright` walks through it.

use stateright::{Model, Property};

use crate::log::{Kind, Log, Record};
use crate::rules::{Clause, Rules};
use crate::scope::Scope;
use crate::state::{Cas, Ghost, Leader, MEMBERS, Map, Member, Promise, Promotion, Replica, Role, Set, State};
use crate::witness;

#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub rules: Rules,
    pub scope: Scope,
}

/// One step of one party. Everything between two steps is as slow as it likes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Action {
    Append(Member),
    Ship {
        leader: Member,
        to: Member,
    },
    Fence {
        candidate: Member,
        to: Member,
    },
    Request {
        from: Member,
        to: Member,
    },
    Ack {
        from: Member,
        to: Member,
    },
    ChangeSet {
        leader: Member,
        sync: Set,
    },
    Stand(Member, Promotion),
    AskAuthority {
        candidate: Member,
        sync: Set,
    },
    CasLands(Member),
    CasAnswers(Member),
    LeaseEnds {
        leader: Member,
        of: Member,
    },
    PromiseEnds(Member),
    /// A crash and a start: memory is gone. A member that crashed and stays away is one that takes no more steps.
    Restart(Member),
    /// Away, and known to be: only `--accept-split` asks for that.
    PowerOff(Member),
    Damage(Member),
    /// Without R13's "validated" or "durable": what was received or appended becomes durable later.
    Flush(Member),
    /// Without R13's "no silent downgrade": a silent member is no longer waited for.
    Shrink {
        leader: Member,
        member: Member,
    },
    /// Without R10: the epoch of the process before is taken up.
    Continue(Member),
}

impl Protocol {
    pub fn new(scope: Scope) -> Protocol {
        Protocol { rules: Rules::all(), scope }
    }

    #[must_use]
    pub fn without(self, clause: Clause) -> Protocol {
        Protocol { rules: self.rules.without(clause), ..self }
    }

    pub(crate) fn has(&self, clause: Clause) -> bool {
        self.rules.has(clause)
    }

    /// A leads epoch 1, whose `EpochStart` is committed everywhere.
    fn beginning(&self) -> State {
        let mut log = Log::default();
        log.push(Record { epoch: 1, kind: Kind::EpochStart { accepts_loss: false } });
        let promise = Promise { epoch: 1, leader: Some(0) };
        let role = |member: Member| match member {
            0 => Role::Leader(Leader {
                epoch: 1,
                start: 1,
                generation: 1,
                recorded: self.scope.sync,
                pending: None,
                matched: [1; MEMBERS],
                committed: 1,
                leases: Set::default(),
                kept_proof: false,
            }),
            _ => Role::Follower { of: 1 },
        };
        let replica = |member| Replica {
            log,
            durable: 1,
            known_committed: 1,
            promise,
            promise_on_disk: promise,
            reseeding: false,
            lease_promised: false,
            role: role(member),
        };
        let ghost = Ghost {
            committed: log,
            epoch: 1,
            committed_by: std::array::from_fn(|epoch| u8::from(epoch == 1)),
            lost: None,
            answered_none: 0,
            forked: false,
            understated: false,
        };
        State {
            replicas: std::array::from_fn(replica),
            map: Map { generation: 1, epoch: 1, leader: 0, sync: self.scope.sync, loss_open: false },
            cas: [None; MEMBERS],
            requests: [[None; MEMBERS]; MEMBERS],
            acks: [[None; MEMBERS]; MEMBERS],
            writes: 0,
            damages: 0,
            ghost,
        }
    }

    fn leader_actions(&self, state: &State, me: Member, actions: &mut Vec<Action>) {
        let Some(leader) = state.leader(me) else { return };
        if self.may_append(state, me) {
            actions.push(Action::Append(me));
        }
        for to in (0..MEMBERS).filter(|to| *to != me) {
            actions.push(Action::Ship { leader: me, to });
        }
        actions.extend(
            self.set_changes(state, me).into_iter().map(|sync| Action::ChangeSet { leader: me, sync }),
        );
        actions.extend(leader.leases.members().map(|of| Action::LeaseEnds { leader: me, of }));
        if !self.has(Clause::NoSilentShrink) {
            let shrink = |member| Action::Shrink { leader: me, member };
            actions.extend(leader.recorded.members().map(shrink));
        }
    }

    fn member_actions(&self, state: &State, me: Member, actions: &mut Vec<Action>) {
        let replica = &state.replicas[me];
        for kind in [Promotion::Recorded, Promotion::AcceptLoss, Promotion::AcceptSplit] {
            if self.may_stand(state, me, kind) {
                actions.push(Action::Stand(me, kind));
            }
        }
        for to in (0..MEMBERS).filter(|to| Protocol::may_fence(state, me, *to)) {
            actions.push(Action::Fence { candidate: me, to });
        }
        if self.may_ask(state, me) {
            let ask = |sync| Action::AskAuthority { candidate: me, sync };
            actions.extend(self.publishable(state, me).into_iter().map(ask));
        }
        let mut may = |can: bool, action: Action| actions.extend(can.then_some(action));
        may(matches!(state.cas[me], Some(Cas::Asked { .. })), Action::CasLands(me));
        may(matches!(state.cas[me], Some(Cas::Won | Cas::Lost)), Action::CasAnswers(me));
        may(self.promise_may_end(state, me), Action::PromiseEnds(me));
        may(self.may_continue(state, me), Action::Continue(me));
        may(replica.durable < replica.log.len(), Action::Flush(me));
        may(replica.role != Role::Halted, Action::Restart(me));
        let off = self.scope.accept_loss && !matches!(replica.role, Role::Down | Role::Halted);
        may(off, Action::PowerOff(me));
        may(state.damages < self.scope.damages, Action::Damage(me));
    }

    fn step(&self, state: &mut State, action: Action) {
        match action {
            Action::Append(me) => self.append(state, me),
            Action::Ship { leader, to } => self.ship(state, leader, to),
            Action::Fence { candidate, to } => self.fence(state, candidate, to),
            Action::Request { from, to } => {
                if let Some(request) = state.requests[from][to].take() {
                    self.receive(state, from, to, request);
                }
            }
            Action::Ack { from, to } => {
                if let Some(ack) = state.acks[from][to].take() {
                    self.hear_ack(state, from, to, ack);
                }
            }
            Action::ChangeSet { leader, sync } => self.change_set(state, leader, sync),
            Action::Stand(me, kind) => self.stand(state, me, kind),
            Action::AskAuthority { candidate, sync } => self.ask(state, candidate, sync),
            Action::CasLands(me) => self.cas_lands(state, me),
            Action::CasAnswers(me) => self.cas_answers(state, me),
            Action::LeaseEnds { leader, of } => self.lease_ends(state, leader, of),
            Action::PromiseEnds(me) => self.promise_ends(state, me),
            Action::PowerOff(me) => self.crash(state, me),
            Action::Restart(me) => self.restart(state, me),
            Action::Damage(me) => self.damage(state, me),
            Action::Flush(me) => {
                state.replicas[me].durable = state.replicas[me].log.len();
                self.commit(state, me);
            }
            Action::Shrink { leader: me, member } => {
                if let Some(leader) = state.leader_mut(me) {
                    leader.recorded = leader.recorded.without(member);
                }
                self.commit(state, me);
            }
            Action::Continue(me) => self.continue_epoch(state, me),
        }
    }

    /// A shipment that only tells its receiver what is committed changes nothing that is checked.
    fn is_idle(last: &State, next: &State, action: Action) -> bool {
        let Action::Ship { to, .. } = action else { return false };
        let mut same = *next;
        same.replicas[to].known_committed = last.replicas[to].known_committed;
        same == *last
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.beginning()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for me in 0..MEMBERS {
            self.leader_actions(state, me, actions);
            self.member_actions(state, me, actions);
            for to in 0..MEMBERS {
                if state.requests[me][to].is_some() {
                    actions.push(Action::Request { from: me, to });
                }
                if state.acks[me][to].is_some() {
                    actions.push(Action::Ack { from: me, to });
                }
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = *last;
        self.step(&mut next, action);
        self.settle(&mut next);
        let changed = next != *last && !Protocol::is_idle(last, &next, action);
        changed.then_some(next)
    }

    fn properties(&self) -> Vec<Property<Protocol>> {
        witness::properties(self)
    }
}
