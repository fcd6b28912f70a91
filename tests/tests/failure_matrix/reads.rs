//! F-RS1, F-RS2: what is answered while something is wrong.

use seawall::map::ShardId;
use seawall::message::Consistency;
use seawall::position::Position;
use seawall::refusal::{Code, Refusal};
use seawall::{Token, position::Lineage};
use seawall_node::replica::Kind;
use seawall_node::seam::order::Errand;
use seawall_wal::{BLOCK, FileId};

use crate::Seen;
use crate::client::{Answer, RELAXED, refusal, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER};
use crate::forgery::{bend, next_ack, next_beat, next_blocks, until};
use crate::support::{LOG, limits};
use crate::volatile::Crash;

const SECOND: u64 = 1_000_000;

fn at_least(epoch: u64, index: u64, max_wait_ms: u32) -> Consistency {
    let token = Token {
        lineage_tag: Lineage(LOG.lineage).tag(),
        shard: ShardId(1),
        position: Position::new(epoch, index),
    };
    Consistency::Session { token, max_wait_ms }
}

pub fn serving() -> (Duo, u64) {
    let mut duo = Duo::serving(limits());
    let last = duo.commit_now(1);
    (duo, last)
}

/// Something goes wrong with the follower.
pub type Breaks = fn(&mut Duo);

/// The follower halts: what comes for the commit of 2 is not whole.
pub fn halt(duo: &mut Duo) {
    duo.commit(LEADER, 2);
    let mut blocks = until(duo, next_blocks);
    blocks[200] ^= 1;
    bend(duo, &blocks);
    duo.settle();
    assert_eq!(duo.members[FOLLOWER].loud.len(), 1);
}

pub fn rot_metadata(duo: &mut Duo) {
    duo.crash(FOLLOWER, &Crash::Process);
    for copy in [0, BLOCK] {
        duo.members[FOLLOWER].disk.rot(FileId::Meta, copy + 9, 1);
    }
    duo.start(FOLLOWER);
    duo.settle();
}

/// What is wrong, who is asked then, and what the refusal says.
type Unsafe = (&'static str, fn() -> Refusal, Code, &'static str);

const UNSAFE: &[Unsafe] = &[
    (
        "its log is being read",
        || {
            let (mut duo, _) = serving();
            duo.crash_and_start(FOLLOWER, &Crash::Process);
            refusal(duo.read(FOLLOWER, RELAXED))
        },
        Code::NotReady,
        "recovering",
    ),
    (
        "no leader was ever heard",
        || {
            let mut duo = Duo::new(limits(), 2);
            duo.start(FOLLOWER);
            duo.settle();
            refusal(duo.read(FOLLOWER, RELAXED))
        },
        Code::ReplicaUnsafe,
        "uninitialised; last proven never since the start",
    ),
    (
        "the leader is silent for eleven seconds",
        || {
            let (mut duo, _) = serving();
            duo.parted = true;
            duo.pass(9 * SECOND);
            assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(1), "what is proven is served");
            duo.pass(2 * SECOND);
            refusal(duo.read(FOLLOWER, Consistency::MaxStaleness { ms: 60_000 }))
        },
        Code::ReplicaUnsafe,
        "ms ago",
    ),
    (
        "older than the read allows",
        || {
            let (mut duo, _) = serving();
            duo.parted = true;
            duo.pass(2 * SECOND);
            refusal(duo.read(FOLLOWER, Consistency::MaxStaleness { ms: 1000 }))
        },
        Code::StaleBound,
        "ms",
    ),
    (
        "halted",
        || {
            let (mut duo, _) = serving();
            halt(&mut duo);
            refusal(duo.read(FOLLOWER, RELAXED))
        },
        Code::ReplicaUnsafe,
        "R1: slot-000000.seg",
    ),
    (
        "its metadata is rotten",
        || {
            let (mut duo, _) = serving();
            rot_metadata(&mut duo);
            refusal(duo.read(FOLLOWER, RELAXED))
        },
        Code::ReplicaUnsafe,
        "halted",
    ),
    (
        "a linearizable read",
        || {
            let (mut duo, _) = serving();
            refusal(duo.read(FOLLOWER, Consistency::Linearizable))
        },
        Code::NotLeader,
        "",
    ),
    (
        "what was read elsewhere is not here",
        || {
            let (mut duo, last) = serving();
            refusal(duo.read(FOLLOWER, at_least(1, last + 1, 0)))
        },
        Code::NotCaughtUp,
        "",
    ),
    (
        "a leader whose follower promises nothing",
        || {
            let (mut duo, _) = serving();
            duo.crash(FOLLOWER, &Crash::Process);
            duo.pass(SECOND);
            refusal(duo.read(LEADER, Consistency::Linearizable))
        },
        Code::LeaseUnproven,
        "promise of member 2",
    ),
];

pub fn while_unsafe() -> Seen {
    let mut seen = Seen {
        condition: "a replica in each state in which it is not safe to read is asked",
        outcome: "the read is refused, with the rule, what it would take, and what there is",
        ..Seen::default()
    };
    for &(what, ask, code, observed) in UNSAFE {
        seen.points += 1;
        let why = ask();
        assert_eq!(why.code, code, "{what}: {why}");
        assert!(!why.reason.rule.is_empty() && !why.reason.expected.is_empty(), "{what}: {why}");
        let said = why.to_string();
        assert!(said.contains(observed), "{what}: {said}");
        seen.explains(what, &said);
    }
    seen
}

pub fn during_evaluation() -> Seen {
    let mut seen = Seen {
        condition: "a read waits for what it asked for, or for what it looked at to be committed; meanwhile the replica \
                    halts, its proof runs out, its role changes, or its lease ends",
        outcome: "it is refused, with the reason; or evaluated again, and answered by the new state alone",
        ..Seen::default()
    };
    // It halts.
    let (mut duo, last) = serving();
    let waiting = duo.read_later(FOLLOWER, at_least(1, last + 1, 3000));
    assert_eq!(duo.answer(FOLLOWER, waiting), None);
    halt(&mut duo);
    let why = refusal(duo.answer(FOLLOWER, waiting).expect("it is answered at once"));
    assert_eq!(why.code, Code::ReplicaUnsafe, "{why}");
    seen.met("the replica halted", &why);

    // What it waits for comes, and is as old as that by then.
    let (mut duo, last) = serving();
    let waiting = duo.read_later(FOLLOWER, at_least(1, last + 1, 20_000));
    duo.commit(LEADER, 2);
    until(&mut duo, |duo| next_beat(duo).filter(|committed| *committed > last));
    let late = duo.wire.pop_front().expect("the heartbeat");
    duo.wire.clear();
    duo.parted = true;
    duo.pass(11 * SECOND);
    assert_eq!(duo.answer(FOLLOWER, waiting), None);
    duo.wire.push_back(late);
    duo.step();
    let why = refusal(duo.answer(FOLLOWER, waiting).expect("it is answered"));
    assert_eq!(why.code, Code::StaleBound, "{why}");
    seen.met("its proof ran out", &why);

    // It becomes the leader.
    let (mut duo, last) = serving();
    let waiting = duo.read_later(FOLLOWER, at_least(1, last + 1, 60_000));
    duo.crash(LEADER, &Crash::Process);
    duo.pass(2 * SECOND);
    duo.order(FOLLOWER, Errand::Promote(Kind::Recorded));
    duo.pass(5 * SECOND);
    duo.start(LEADER);
    duo.pass(5 * SECOND);
    assert_eq!(duo.status(FOLLOWER).state, "serving");
    let why = refusal(duo.answer(FOLLOWER, waiting).expect("it is answered"));
    assert_eq!(why.code, Code::TokenLostHistory, "what it waited for is not in this history: {why}");
    seen.met("its role changed", &why);

    // The acknowledgement that commits what it looked at comes when the leader's lease is over.
    let (mut duo, last) = serving();
    let commit = duo.commit(LEADER, 2);
    let waiting = duo.read_later(LEADER, Consistency::Linearizable);
    until(&mut duo, |duo| next_ack(duo).filter(|validated| *validated > last));
    let late = duo.wire.pop_front().expect("the acknowledgement");
    duo.wire.clear();
    duo.parted = true;
    duo.pass(SECOND);
    assert_eq!((duo.answer(LEADER, commit), duo.answer(LEADER, waiting)), (None, None));
    duo.wire.push_back(late);
    duo.step();
    assert!(matches!(duo.answer(LEADER, commit), Some(Answer::Committed(..))), "it is on both");
    let why = refusal(duo.answer(LEADER, waiting).expect("it is answered"));
    assert_eq!(why.code, Code::LeaseUnproven, "{why}");
    seen.met("its lease ended", &why);

    // Nothing happens to it: it is evaluated when what it waits for is there.
    let (mut duo, last) = serving();
    let waiting = duo.read_later(FOLLOWER, at_least(1, last + 1, 3000));
    duo.commit_now(2);
    assert_eq!(duo.answer(FOLLOWER, waiting), Some(row_of(2)));
    seen
}

impl Seen {
    fn met(&mut self, what: &'static str, why: &Refusal) {
        self.points += 1;
        assert!(!why.reason.rule.is_empty() && !why.reason.observed.is_empty(), "{why}");
        self.explains(what, &why.to_string());
    }
}
