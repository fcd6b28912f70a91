//! R10, R14: executions of members that count for more than they have. Random worlds seldom come to them: each is played
//! by hand, and each is what one planted bug breaks (`tests/src/plants/scripted.rs`).

use seawall::Token;
use seawall::map::{MemberId, Policy, ShardId};
use seawall::message::Consistency;
use seawall::position::{Lineage, Position};
use seawall_node::replica::Kind;
use seawall_node::seam::Event;
use seawall_node::seam::order::Errand;
use seawall_node::shard::ReadProof;
use seawall_wal::{BLOCK, Done, Io, IoError, IoStep, LogLimits};

use crate::client::{Answer, RELAXED, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER, Op, POLICY, SHARD, THIRD};
use crate::forgery::{next_ack, next_hello, next_welcome, until};
use crate::snapshot::folding;
use crate::support::{LOG, limits};
use crate::volatile::{Crash, Volatile};

const SECOND: u64 = 1_000_000;
const NEWEST: Consistency = Consistency::Linearizable;
const SECOND_MEMBER: MemberId = MemberId(2);
const ENOSPC: i32 = 28;

/// One leads, the other one follows, and nobody requires it. Committed is 1.
fn loose() -> Duo {
    let mut duo = Duo::new(limits(), 1);
    duo.start(LEADER);
    duo.pass(3 * SECOND);
    duo.start(FOLLOWER);
    duo.pass(3 * SECOND);
    duo.commit_now(1);
    assert!(!is_recorded(&duo), "the policy needs nobody");
    assert_eq!(duo.following().state, "streaming");
    duo
}

fn is_recorded(duo: &Duo) -> bool {
    duo.map.replicas(SHARD).is_some_and(|entry| entry.sync.contains(&SECOND_MEMBER))
}

/// The follower gets another disk, with nothing on it.
pub fn loses_its_disk(duo: &mut Duo) {
    duo.crash(FOLLOWER, &Crash::Process);
    duo.members[FOLLOWER].disk = Volatile::new();
    duo.start(FOLLOWER);
}

/// The leader dies for good, the follower is told to lead, and it must not: what was acknowledged is not there.
fn may_not_lead(duo: &mut Duo) {
    duo.crash(LEADER, &Crash::Process);
    duo.members[FOLLOWER].obeyed.clear();
    duo.order(FOLLOWER, Errand::Promote(Kind::Recorded));
    duo.pass(4 * SECOND);
    let told = duo.members[FOLLOWER].obeyed.clone();
    assert!(matches!(&told[..], [Err(why)] if why.starts_with("R14") || why.starts_with("R15")), "{told:?}");
    assert_ne!(duo.status(FOLLOWER).state, "serving");
}

/// A member has acknowledged, loses its disk, and is greeted anew; only then its R_ACK arrives. Were it counted, the member
/// would be as good as level: it would be recorded, and could lead with nothing.
#[test]
fn an_ack_from_before_a_loss_does_not_make_a_member_level() {
    let mut duo = loose();
    duo.pass(5 * SECOND); // nothing more is appended
    until(&mut duo, next_ack);
    let late = duo.wire.pop_front().expect("an R_ACK is next");
    loses_its_disk(&mut duo);
    until(&mut duo, next_welcome);
    duo.step();
    duo.wire.clear(); // what is shipped to it is under way for long
    duo.wire.push_front(late);
    duo.step();
    duo.wire.clear();
    duo.parted = true;
    duo.order(LEADER, Errand::Require(SECOND_MEMBER));
    duo.pass(SECOND / 2);
    assert!(!is_recorded(&duo), "it has nothing");
    may_not_lead(&mut duo);
}

/// A recorded member comes back with an empty disk while nobody else is there. It must not lead with nothing.
#[test]
fn a_recorded_member_with_an_empty_disk_does_not_lead() {
    let mut duo = Duo::new(limits(), 2);
    duo.start(LEADER);
    duo.start(FOLLOWER);
    duo.pass(4 * SECOND);
    duo.commit_now(1);
    assert!(is_recorded(&duo), "both have to have it");
    duo.crash(LEADER, &Crash::Process);
    loses_its_disk(&mut duo);
    duo.pass(SECOND);
    assert!(duo.following().reseeding, "the shard has been led, and nothing is here");
    may_not_lead(&mut duo);
}

/// A recorded member that had everything is silent, and may have lost it since: the leadership does not go to it, or nobody
/// would lead until an operator saw it.
#[test]
fn who_is_away_is_handed_nothing() {
    let mut duo = loose();
    duo.order(LEADER, Errand::Require(SECOND_MEMBER));
    duo.pass(SECOND);
    assert!(is_recorded(&duo));
    loses_its_disk(&mut duo);
    duo.cut_off = Some(FOLLOWER);
    duo.pass(3 * SECOND);
    duo.order(LEADER, Errand::HandOver(SECOND_MEMBER));
    duo.pass(3 * SECOND);
    let leader = duo.map.replicas(SHARD).and_then(|entry| entry.leader);
    assert_eq!((leader, duo.status(LEADER).state), (Some(MemberId(1)), "serving"));
}

/// A greeting of a session that was long over arrives. By what it says of the leader's log, what is committed here since would
/// be nobody's.
#[test]
fn a_greeting_that_is_late_judges_nobody() {
    let mut duo = loose();
    duo.parted = true;
    duo.pass(3 * SECOND); // it is given up, and greeted again
    duo.parted = false;
    until(&mut duo, |duo| next_hello(duo).then_some(()));
    let late = duo.wire.pop_front().expect("an R_HELLO is next");
    duo.pass(3 * SECOND); // and again
    assert_eq!(duo.following().state, "streaming");
    for n in 2..20 {
        duo.commit_now(n);
    }
    duo.pass(SECOND);
    duo.wire.push_front(late);
    duo.pass(SECOND);
    assert_eq!((duo.following().state, &duo.members[FOLLOWER].loud), ("streaming", &Vec::new()));
}

/// A follower holds segments of records that a required member never got, and that one leads next. Were they in a
/// checkpoint, they could not be cut off any more: the follower would be stuck with them, and after a start they would be its
/// state.
#[test]
fn what_is_not_committed_is_in_no_checkpoint() {
    let limits = LogLimits { tail_bytes: 256 * BLOCK, ..folding() };
    let mut duo = Duo::of(3, limits, Policy { min_in_sync: 1, ..POLICY }, ReadProof::Lease);
    (0..3).for_each(|nth| duo.start(nth));
    duo.pass(4 * SECOND);
    duo.order(LEADER, Errand::Require(MemberId(3)));
    duo.pass(SECOND);
    let committed = duo.commit_now(1);
    duo.cut_off = Some(THIRD);
    for n in 2..40 {
        duo.commit(LEADER, n);
        duo.settle();
    }
    let own = duo.following();
    assert!((own.validated, own.applied) == (committed + 38, committed), "{own:?}");
    duo.crash(LEADER, &Crash::Process);
    duo.cut_off = None;
    duo.order(THIRD, Errand::Promote(Kind::Recorded));
    duo.pass(SECOND);
    duo.crash_and_start(FOLLOWER, &Crash::Process);
    for _ in 0..80 {
        assert_ne!(duo.read(FOLLOWER, RELAXED), row_of(39), "it was committed nowhere");
        duo.pass(SECOND / 20);
    }
    assert_eq!((duo.status(THIRD).state, duo.status(FOLLOWER).state), ("serving", "streaming"));
    assert_eq!((duo.read(THIRD, NEWEST), duo.read(FOLLOWER, RELAXED)), (row_of(1), row_of(1)));
}

/// A request to record a member is under way when its disk is lost. It comes to be, and the map says that the member has
/// everything.
#[test]
fn a_map_that_comes_late_does_not_make_a_lost_disk_whole() {
    let mut duo = loose();
    duo.holds_proposals = true;
    duo.order(LEADER, Errand::Require(SECOND_MEMBER));
    until(&mut duo, |duo| (!duo.proposals.is_empty()).then_some(()));
    loses_its_disk(&mut duo);
    duo.parted = true;
    duo.settle();
    assert!(duo.following().reseeding, "the shard has been led, and nothing is here");
    let late = duo.proposals.pop().expect("it was asked for");
    duo.propose(late);
    duo.settle();
    assert!(is_recorded(&duo));
    assert!(duo.following().reseeding, "the map knows nothing of the loss");
    may_not_lead(&mut duo);
}

/// A follower holds a record that is not committed, and a read waits there for it. It is promoted, and its disk has no room
/// for the segment in which its epoch begins: it leads nobody yet, and what is durable at home may be on no other disk.
#[test]
fn a_leader_without_a_first_record_commits_nothing() {
    let mut duo = Duo::new(limits(), 2);
    duo.start(LEADER);
    duo.start(FOLLOWER);
    pass_without_room(&mut duo, 4 * SECOND);
    let slot = duo.commit(LEADER, 1);
    pass_without_room(&mut duo, SECOND);
    assert!(matches!(duo.answer(LEADER, slot), Some(Answer::Committed(..))), "both have it");
    let last = duo.status(LEADER).durable;
    assert_eq!(duo.members[FOLLOWER].disk.found().slots.len(), 1, "there is no spare one");
    duo.commit(LEADER, 2);
    until(&mut duo, |duo| next_ack(duo).filter(|validated| *validated > last));
    duo.wire.clear();
    duo.crash(LEADER, &Crash::Process);
    assert!(duo.keeps(FOLLOWER, 2), "and the leader of before never heard of it");
    pass_without_room(&mut duo, SECOND);
    let position = Position::new(duo.status(FOLLOWER).epoch, last + 1);
    let token = Token { lineage_tag: Lineage(LOG.lineage).tag(), shard: ShardId(1), position };
    let read = duo.read_later(FOLLOWER, Consistency::Session { token, max_wait_ms: 60_000 });
    assert_eq!(duo.answer(FOLLOWER, read), None);
    duo.order(FOLLOWER, Errand::Promote(Kind::Recorded));
    for _ in 0..400 {
        no_room(&mut duo);
        duo.go_on();
        let answer = duo.answer(FOLLOWER, read);
        assert_ne!(answer, Some(row_of(2)), "it is committed nowhere");
        assert!(!matches!(answer, Some(Answer::Row(_))), "{answer:?}");
    }
    let own = duo.status(FOLLOWER);
    let known = own.replication.as_ref().map(|own| (own.epoch, own.committed.unwrap_or_default()));
    assert_eq!((own.state, known), ("recovering", Some((2, last))), "{own:?}");
}

fn pass_without_room(duo: &mut Duo, us: u64) {
    let until_us = duo.now_us + us;
    while duo.now_us < until_us {
        no_room(duo);
        duo.go_on();
    }
}

/// The disk of the follower makes no second slot.
fn no_room(duo: &mut Duo) {
    if duo.members[FOLLOWER].disk.found().slots.is_empty() {
        return;
    }
    let ops = &mut duo.members[FOLLOWER].ops;
    let nth = ops.iter().position(|op| matches!(op, Op::UnderWay(Io::Prepare { .. })));
    if let Some(Op::UnderWay(Io::Prepare { id, .. })) = nth.and_then(|nth| ops.remove(nth)) {
        let result = Err(IoError { step: IoStep::Prepare, errno: ENOSPC });
        let done = Done { id, result, buf: None };
        ops.push_back(Op::Ended(Event::Disk { shard: SHARD, done }));
    }
}
