//! The properties: what holds in every state, and what must be reached or a check would have shown nothing.

use stateright::{Model, Property};

use crate::log::{Kind, Record};
use crate::protocol::Protocol;
use crate::state::{Leader, MEMBERS, Member, Role, State};

pub const I1: &str = "I1";
pub const I2: &str = "I2";
pub const I6: &str = "I6";
pub const NONE_MEANS_NONE: &str = "none means none";
pub const TOKENS: &str = "R21";
pub const NOBODY_HALTS: &str = "nobody halts";

const KEPT: &str = "met: a promotion that keeps what was acknowledged";
const CUT_BACK: &str = "met: an old leader that is cut back and follows";
const SET_CHANGED: &str = "met: a sync set that grew, and a commit that needed all of it";
const EVERY_EPOCH: &str = "met: the last epoch commits by its sync set";
const ORPHANED_SWAP: &str = "met: a compare-and-swap that won when its process was gone";
const LOSS: &str = "met: a promotion that accepts a loss, serves, and has lost an acknowledged write";
const READ: &str = "met: a linearizable read in a later epoch";
const RESEEDED: &str = "met: a member that lost its disk and is recorded again";

pub(crate) fn properties(protocol: &Protocol) -> Vec<Property<Protocol>> {
    let scope = &protocol.scope;
    let mut properties = vec![
        Property::always(I1, Protocol::keeps_acknowledged),
        Property::always(I2, Protocol::reads_are_fresh),
        Property::always(I6, Protocol::one_epoch_commits),
        Property::always(NONE_MEANS_NONE, Protocol::none_means_none),
        Property::always(TOKENS, Protocol::tokens_are_judged_rightly),
        Property::always(NOBODY_HALTS, Protocol::nobody_halts),
        Property::sometimes(KEPT, |_, state| keeps(state)),
        Property::sometimes(CUT_BACK, |_, state| cut_back(state)),
        Property::sometimes(SET_CHANGED, set_changed),
        Property::sometimes(EVERY_EPOCH, |protocol, state: &State| {
            state.ghost.epoch == protocol.scope.epochs
        }),
        Property::sometimes(ORPHANED_SWAP, |_, state| orphaned_swap(state)),
    ];
    let mut met = |wanted: bool, property| properties.extend(wanted.then_some(property));
    met(scope.accept_loss, Property::sometimes(LOSS, |_, state| accepted_loss(state)));
    met(scope.leases, Property::sometimes(READ, reads));
    met(scope.damages > 0, Property::sometimes(RESEEDED, |_, state| reseeded(state)));
    properties
}

/// The properties of every state that do not hold in this one.
pub fn broken(protocol: &Protocol, state: &State) -> Vec<&'static str> {
    let always = protocol.properties().into_iter().filter(|it| !it.name.starts_with("met"));
    always.filter(|it| !(it.condition)(protocol, state)).map(|it| it.name).collect()
}

fn serving(state: &State) -> impl Iterator<Item = (Member, &Leader)> {
    let leaders = (0..MEMBERS).filter_map(|member| Some((member, state.leader(member)?)));
    leaders.filter(|(_, leader)| leader.committed >= leader.start)
}

fn is_write(record: &Record) -> bool {
    matches!(record.kind, Kind::Write(_))
}

fn keeps(state: &State) -> bool {
    let old = |record: &Record| is_write(record) && record.epoch == 1;
    state.ghost.committed.records().iter().any(old) && serving(state).any(|(_, leader)| leader.epoch > 1)
}

fn cut_back(state: &State) -> bool {
    let gone = (1..=state.writes).any(|write| {
        let holds = |record: &Record| record.kind == Kind::Write(write);
        !state.replicas.iter().any(|replica| replica.log.records().iter().any(holds))
    });
    gone && matches!(state.replicas[0].role, Role::Follower { of } if of > 1) && state.damages == 0
}

fn set_changed(protocol: &Protocol, state: &State) -> bool {
    serving(state).any(|(member, leader)| {
        let grew = leader.epoch > 1 || leader.recorded.count() > protocol.scope.sync.count();
        let last = state.replicas[member].log.at(leader.committed);
        grew && !leader.recorded.is_empty() && last.is_some_and(|record| is_write(&record))
    })
}

fn orphaned_swap(state: &State) -> bool {
    let leader = &state.replicas[state.map.leader];
    let began = leader.log.records().iter().any(|record| record.epoch == state.map.epoch);
    state.map.epoch > 1 && matches!(leader.role, Role::Follower { .. } | Role::Down) && !began
}

fn accepted_loss(state: &State) -> bool {
    let Some(lost) = &state.ghost.lost else { return false };
    let gone = lost.history.records().iter().skip(lost.kept as usize).any(is_write);
    gone && serving(state).any(|(_, leader)| leader.epoch >= lost.epoch)
}

fn reads(protocol: &Protocol, state: &State) -> bool {
    serving(state).any(|(member, leader)| leader.epoch > 1 && protocol.proves_lease(state, member))
}

fn reseeded(state: &State) -> bool {
    let whole = state.replicas.iter().all(|replica| !replica.reseeding && !replica.log.is_empty());
    state.damages > 0 && whole && !state.map.sync.is_empty()
}
