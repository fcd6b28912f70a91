//! An execution in words.

use crate::log::{Kind, Log};
use crate::protocol::{Action, Protocol};
use crate::state::{Cas, Loss, MEMBERS, Map, Member, Promotion, Role, Set, State};
use crate::witness;

pub fn name(member: Member) -> &'static str {
    ["A", "B", "C"][member]
}

pub fn names(set: Set) -> String {
    format!("{{{}}}", set.members().map(name).collect::<Vec<_>>().join(", "))
}

/// A log as one word for each record: `e1` is the `EpochStart` of epoch 1, `w1` the first write, `e2*` accepts a loss.
fn records(log: &Log) -> String {
    let word = |record: &crate::log::Record| match record.kind {
        Kind::EpochStart { accepts_loss } => {
            format!("e{}{}", record.epoch, if accepts_loss { "*" } else { "" })
        }
        Kind::Write(write) => format!("w{write}"),
        Kind::Nothing => String::new(),
    };
    format!("[{}]", log.records().iter().map(word).collect::<Vec<_>>().join(" "))
}

fn map(map: &Map) -> String {
    let Map { generation, epoch, leader, sync, .. } = map;
    format!("generation {generation}: epoch {epoch}, leader {}, sync set {}", name(*leader), names(*sync))
}

/// What one step did, seen from outside.
pub fn step(before: &State, action: Action, after: &State) -> String {
    let mut said = vec![deed(before, action, after)];
    for member in 0..MEMBERS {
        said.extend(changes(before, after, member));
    }
    said.extend((before.map != after.map).then(|| format!("the map is now {}", map(&after.map))));
    said.join("; ")
}

fn deed(before: &State, action: Action, after: &State) -> String {
    match action {
        Action::Append(me) => format!("{} appends w{}", name(me), after.writes),
        Action::Ship { leader, to } => format!("{} ships to {}", name(leader), name(to)),
        Action::Fence { candidate, to } => {
            let proven =
                |state: &State| Protocol::candidate(state, candidate).is_some_and(|it| it.proven.has(to));
            let (me, to_name) = (name(candidate), name(to));
            match (after.replicas[to].promise == before.replicas[to].promise, proven(after)) {
                (true, _) => format!("{me} sends R_FENCE to {to_name}, which does not promise"),
                (false, true) => format!("{me} sends R_FENCE to {to_name}, which proves to hold {me}'s log"),
                (false, false) => format!("{me} sends R_FENCE to {to_name}, which answers"),
            }
        }
        Action::Request { from, to } => format!("what {} sent reaches {}", name(from), name(to)),
        Action::Ack { from, to } => {
            let ack = before.acks[from][to];
            let lease = ack.is_some_and(|ack| ack.lease);
            let promise = if lease { ", with its lease promise," } else { "" };
            let position = ack.map_or(0, |ack| ack.validated);
            format!("{}'s R_ACK of index {position}{promise} reaches {}", name(from), name(to))
        }
        Action::ChangeSet { leader, sync } => {
            format!("{} asks the authority to record the sync set {}", name(leader), names(sync))
        }
        Action::Stand(me, kind) => stand(before, me, kind, after),
        Action::AskAuthority { candidate, sync } => {
            format!(
                "{} asks the authority for the leadership, with the sync set {}",
                name(candidate),
                names(sync)
            )
        }
        Action::CasLands(me) if before.map == after.map => format!("the authority refuses {}", name(me)),
        Action::CasLands(me) => format!("{}'s compare-and-swap succeeds", name(me)),
        Action::CasAnswers(me) => match before.cas[me] {
            Some(Cas::Won) => format!("{} hears that it succeeded", name(me)),
            _ => format!("{} hears that it failed", name(me)),
        },
        Action::LeaseEnds { leader, of } => {
            format!("on {}'s clock, {}'s lease promise runs out", name(leader), name(of))
        }
        Action::PromiseEnds(me) => format!("on {}'s own clock, its lease promise runs out", name(me)),
        Action::Restart(me) => format!("{} crashes and starts", name(me)),
        Action::PowerOff(me) => format!("{} is powered off", name(me)),
        Action::Damage(me) => format!("{} crashes and starts with an empty disk, and knows it", name(me)),
        Action::Flush(me) => format!("{}'s write becomes durable", name(me)),
        Action::Shrink { leader, member } => format!("{} no longer waits for {}", name(leader), name(member)),
        Action::Continue(me) => format!("{} takes up its epoch {} again", name(me), after.map.epoch),
    }
}

fn stand(before: &State, me: Member, kind: Promotion, after: &State) -> String {
    let epoch = Protocol::candidate(after, me).map_or(0, |it| it.epoch);
    let how = match kind {
        Promotion::Recorded if before.map.leader == me => "as the recorded leader",
        Promotion::Recorded if before.map.sync.has(me) => "as a recorded sync member",
        Promotion::Recorded => "without being recorded",
        Promotion::AcceptLoss => "with --accept-loss",
        Promotion::AcceptSplit => "with --accept-loss and --accept-split",
    };
    format!("{} stands for epoch {epoch}, {how}", name(me))
}

/// What changed at a member, and what of it others can see.
fn changes(before: &State, after: &State, member: Member) -> Vec<String> {
    let (was, is) = (&before.replicas[member], &after.replicas[member]);
    let me = name(member);
    let mut said = Vec::new();
    if is.promise.epoch > was.promise.epoch && is.role != Role::Halted {
        let kept = if is.promise_on_disk == is.promise { "persists" } else { "has only in memory" };
        said.push(format!("{me} {kept} the promise of epoch {}", is.promise.epoch));
    }
    if is.promise.epoch < was.promise.epoch {
        said.push(format!("{me} has forgotten its promise of epoch {}", was.promise.epoch));
    }
    if is.log != was.log {
        let cut = was.log.same_until(&is.log) < was.log.len();
        let verb = if cut { "is cut to" } else { "has" };
        said.push(format!("{me} {verb} {}", records(&is.log)));
    }
    if is.reseeding != was.reseeding && !is.reseeding {
        said.push(format!("{me} counts as whole again"));
    }
    match (&was.role, &is.role) {
        (Role::Halted, _) => {}
        (_, Role::Halted) => said.push(format!("{me} HALTS: an integrity failure")),
        (Role::Leader(_) | Role::Candidate(_), Role::Follower { .. }) => {
            said.push(format!("{me} steps down"));
        }
        (Role::Candidate(_), Role::Leader(leader)) => said.push(format!("{me} leads epoch {}", leader.epoch)),
        _ => {}
    }
    let committed = |state: &State| state.leader(member).map_or(0, |leader| leader.committed);
    if before.leader(member).is_some() && committed(after) > committed(before)
        || before.leader(member).is_none() && after.leader(member).is_some_and(|it| it.committed >= it.start)
    {
        said.push(format!("{me} commits up to index {} and answers", committed(after)));
    }
    said
}

/// What is wrong in the last state.
pub fn verdict(protocol: &Protocol, state: &State) -> Vec<String> {
    let mut said = Vec::new();
    for broken in witness::broken(protocol, state) {
        said.push(match broken {
            witness::I1 => format!("**I1**: {}", lost(state)),
            witness::I2 => format!("**I2**: {}", stale(protocol, state)),
            witness::I6 => "**I6**: two epochs have committed at one index".to_owned(),
            witness::NONE_MEANS_NONE => "**a `none` was not final**: the write is committed".to_owned(),
            witness::TOKENS => "**R21**: a token is judged wrongly".to_owned(),
            _ => "**a halt** that needs a person, and nothing is wrong with any disk".to_owned(),
        });
    }
    said
}

fn lost(state: &State) -> String {
    if state.ghost.understated {
        return match state.ghost.lost.map(|lost| lost.stated) {
            Some(Loss::Unknown) => "a write is acknowledged after the loss was stated".to_owned(),
            _ => "an acknowledged write is lost that the stated loss does not cover".to_owned(),
        };
    }
    let newest = |member: &Member| {
        state.leader(*member).is_some_and(|it| it.committed >= it.start && it.epoch >= state.ghost.epoch)
    };
    let lacks = |member: &Member| !state.replicas[*member].log.starts_with(&state.ghost.committed);
    let committed = records(&state.ghost.committed);
    match (0..MEMBERS).find(|member| newest(member) && lacks(member)) {
        Some(member) => format!("{committed} was committed, and {} serves without all of it", name(member)),
        None => format!("{committed} was committed, and no disk holds all of it"),
    }
}

fn stale(protocol: &Protocol, state: &State) -> String {
    let stale = |member: &Member| {
        state.leader(*member).is_some_and(|leader| {
            let seen = state.replicas[*member].log.prefix(leader.committed);
            protocol.proves_lease(state, *member) && !seen.starts_with(&state.ghost.committed)
        })
    };
    let who = (0..MEMBERS).find(stale).map_or("somebody", name);
    format!("{who} would answer a linearizable read without all of {}", records(&state.ghost.committed))
}
