//! What an answer waits for beyond its own disk: the members that it asked for (R13), and the proof that nobody else led
//! when a read came (R16).

use seawall::map::{By, Change, MemberId};
use seawall::message::{Commit, Consistency};
use seawall::position::{Epoch, Index};
use seawall::refusal::{Code, Outcome};
use seawall::reply::Flags;
use seawall::{Value, row};
use seawall_node::replica::Kind;
use seawall_node::seam::order::Errand;
use seawall_node::shard::ReadProof;

use crate::client::{Answer, refusal, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER, SHARD};
use crate::support::limits;
use crate::volatile::Crash;

const SECOND: u64 = 1_000_000;
const NEWEST: Consistency = Consistency::Linearizable;

/// Both run, and a commit needs the leader alone.
pub fn loose() -> Duo {
    let mut duo = Duo::new(limits(), 1);
    duo.start(LEADER);
    duo.start(FOLLOWER);
    duo.pass(4 * SECOND);
    duo.order(LEADER, Errand::Release(MemberId(2)));
    duo.pass(SECOND);
    assert_eq!((duo.status(LEADER).state, duo.status(FOLLOWER).state), ("serving", "streaming"));
    duo
}

fn by_round_trip() -> Duo {
    let mut duo = Duo::proving(limits(), 2, ReadProof::RoundTrip);
    duo.start(LEADER);
    duo.start(FOLLOWER);
    duo.pass(4 * SECOND);
    duo.commit_now(1);
    duo
}

fn on(members: u8) -> Commit {
    let wide = |name: &'static str| (name, Value::from("7".repeat(8)));
    Commit::new("p").key("k").first_sent(Duo::WALL_US).durable_on(members).put(&row("t", "r"), [wide("a")])
}

/// The policy is content with the leader's disk, and this commit is not: it would be told that two members have what one
/// has.
#[test]
fn a_commit_that_wants_two_members_waits_for_the_second() {
    let mut duo = loose();
    duo.parted = true;
    let (plain, wide) = (duo.commit(LEADER, 2), duo.send_commit(LEADER, &on(2)));
    duo.settle();
    assert!(matches!(duo.answer(LEADER, plain), Some(Answer::Committed(..))), "as the policy says");
    assert_eq!(duo.answer(LEADER, wide), None);
    // The same key again asks for the same: it waits, too, and asks for less: it is answered.
    let (again, less) = (duo.send_commit(LEADER, &on(2)), duo.send_commit(LEADER, &on(1)));
    assert_eq!(duo.answer(LEADER, again), None);
    assert!(matches!(duo.answer(LEADER, less), Some(Answer::Committed(..))));
    duo.parted = false;
    duo.pass(3 * SECOND);
    for slot in [wide, again] {
        let answer = duo.answer(LEADER, slot);
        assert!(matches!(answer, Some(Answer::Committed(..))), "{answer:?}");
    }
}

#[test]
fn more_members_than_there_are_is_refused_before_anything_is_appended() {
    let mut duo = loose();
    let slot = duo.send_commit(LEADER, &on(3));
    let refused = refusal(duo.answer(LEADER, slot).expect("at once"));
    assert_eq!((refused.code, refused.outcome), (Code::DurabilityUnavailable, Outcome::None));
    duo.crash(FOLLOWER, &Crash::Process);
    duo.pass(4 * SECOND);
    let before = duo.status(LEADER).appended;
    let slot = duo.send_commit(LEADER, &on(2));
    let refused = refusal(duo.answer(LEADER, slot).expect("at once"));
    assert_eq!((refused.code, refused.outcome), (Code::DurabilityUnavailable, Outcome::None));
    assert_eq!(duo.status(LEADER).appended, before);
}

/// The member dies while the answer waits for it: whoever waits is told that it may have happened, and what to ask.
#[test]
fn whoever_waits_too_long_for_a_member_is_told_what_is_missing() {
    let mut duo = loose();
    duo.parted = true;
    let slot = duo.send_commit(LEADER, &on(2));
    duo.pass(9 * SECOND);
    assert_eq!(duo.answer(LEADER, slot), None, "not before its time");
    duo.pass(2 * SECOND);
    let late = refusal(duo.answer(LEADER, slot).expect("it gave up"));
    assert_eq!((late.code, late.outcome), (Code::DurabilityTimeout, Outcome::Unknown));
    assert!(late.reason.observed.contains("member 2"), "{late}");
    assert!(late.reason.detail.request_key().is_some(), "what to RESOLVE");
}

/// A required member is gone: a commit is in doubt, and a read that saw it is nothing that anybody may know.
#[test]
fn what_is_never_committed_is_in_doubt_for_its_sender_and_refused_to_a_reader() {
    let mut duo = Duo::serving(limits());
    duo.commit_now(1);
    duo.parted = true;
    let (commit, read) = (duo.commit(LEADER, 2), duo.read_later(LEADER, NEWEST));
    duo.pass(11 * SECOND);
    let late = refusal(duo.answer(LEADER, commit).expect("it gave up"));
    assert_eq!((late.code, late.outcome), (Code::DurabilityTimeout, Outcome::Unknown));
    let unseen = refusal(duo.answer(LEADER, read).expect("it gave up"));
    assert_eq!((unseen.code, unseen.outcome), (Code::DurabilityUnavailable, Outcome::None));
    duo.parted = false;
    duo.pass(3 * SECOND);
    assert_eq!(duo.read(LEADER, NEWEST), row_of(2), "it was committed after all");
}

/// The lease runs, and a paused machine could stop its clock: in the stricter mode each read is answered by a member that
/// spoke after it came.
#[test]
fn a_read_by_round_trip_waits_for_a_member_that_spoke_after_it_came() {
    let mut leased = Duo::serving(limits());
    leased.commit_now(1);
    leased.parted = true;
    assert_eq!(leased.read(LEADER, NEWEST), row_of(1), "the lease answers");
    let mut duo = by_round_trip();
    duo.parted = true;
    let slot = duo.read_later(LEADER, NEWEST);
    duo.settle();
    assert_eq!(duo.answer(LEADER, slot), None);
    duo.parted = false;
    duo.pass(2 * SECOND);
    assert_eq!(duo.answer(LEADER, slot), Some(row_of(1)));
    let slot = duo.read_later(LEADER, NEWEST);
    duo.settle();
    assert_eq!(duo.answer(LEADER, slot), Some(row_of(1)), "without a tick");
    let said = duo.last_reply(LEADER, slot);
    assert_eq!((said.flags, said.staleness_ms), (Flags::ROUND_TRIP, Some(0)));
}

#[test]
fn a_read_that_nobody_proves_is_refused() {
    let mut duo = by_round_trip();
    duo.parted = true;
    let slot = duo.read_later(LEADER, NEWEST);
    duo.pass(11 * SECOND);
    let refused = refusal(duo.answer(LEADER, slot).expect("it gave up"));
    assert_eq!((refused.code, refused.outcome), (Code::LeaseUnproven, Outcome::None));
}

/// Nobody is required, so nobody's word proves anything; another member was made the leader, and this one has not heard of
/// it. What it knows is old by now.
#[test]
fn where_nobody_is_required_the_authority_proves_a_read() {
    let mut duo = loose();
    duo.commit_now(1);
    let slot = duo.read_later(LEADER, NEWEST);
    assert_eq!(duo.answer(LEADER, slot), Some(row_of(1)));
    let said = duo.last_reply(LEADER, slot);
    assert_eq!((said.flags, said.staleness_ms), (Flags::AUTHORITY, Some(0)));
    let epoch = Epoch(duo.status(LEADER).epoch + 1);
    let by = By { actor: "an operator", reason: "a test" };
    let member = MemberId(FOLLOWER as u32 + 1);
    let loss_from = Some(Index(1));
    let lead = Change::Lead { shard: SHARD, member, epoch, sync: [].into(), loss_from };
    duo.map = duo.map.next(by, &lead).expect("a map").into();
    let slot = duo.read_later(LEADER, NEWEST);
    duo.pass(SECOND);
    assert_eq!(duo.answer(LEADER, slot), None, "the authority knows another leader");
}

/// Whoever accepts a loss needs a fence of somebody who could still commit, and is told of whom while none comes.
#[test]
fn a_promotion_that_waits_for_a_fence_says_whose() {
    let mut duo = loose();
    duo.crash(LEADER, &Crash::Process);
    duo.pass(2 * SECOND);
    duo.order(FOLLOWER, Errand::Promote(Kind::AcceptLoss));
    duo.pass(40 * SECOND);
    let [Err(why)] = &duo.members[FOLLOWER].obeyed[..] else { panic!("{:?}", duo.members[FOLLOWER].obeyed) };
    assert!(why.contains("an answer to R_FENCE from one of 1"), "{why}");
}

/// R13: the required member has it in memory, says so with each heartbeat, and its disk stands still.
#[test]
fn what_a_required_member_has_received_is_not_counted() {
    let mut duo = Duo::new(limits(), 2);
    duo.start(LEADER);
    duo.start(FOLLOWER);
    duo.pass(4 * SECOND);
    duo.commit_now(1);
    duo.members[FOLLOWER].stuck = true;
    let slot = duo.commit(LEADER, 2);
    duo.pass(SECOND / 3);
    assert_eq!(duo.answer(LEADER, slot), None, "nothing of it is durable there");
    duo.members[FOLLOWER].stuck = false;
    duo.pass(SECOND / 10);
    let answer = duo.answer(LEADER, slot);
    assert!(matches!(answer, Some(Answer::Committed(..))), "{answer:?}");
}
