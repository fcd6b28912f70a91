//! A leader that requires nobody: no member's word proves anything, and how old a state may be at most, its own or a
//! follower's, is proven by the authority alone (R16, R22).

use seawall::Token;
use seawall::map::{By, Change, MemberId, ShardId};
use seawall::message::Consistency;
use seawall::position::{Epoch, Index, Lineage, Position};
use seawall::refusal::Code;
use seawall::reply::Flags;

use crate::client::{RELAXED, refusal, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER, SHARD};
use crate::support::LOG;
use crate::volatile::Crash;
use crate::waits::loose;

const SECOND: u64 = 1_000_000;
/// Of the map of this world; a heartbeat is shorter than the half of it.
const LEASE_US: u64 = 400_000;

fn younger_than(ms: u32) -> Consistency {
    Consistency::MaxStaleness { ms }
}

/// How old the follower's state is at most, by itself; `None`: not proven.
fn age_us(duo: &mut Duo) -> Option<u64> {
    let slot = duo.read_later(FOLLOWER, RELAXED);
    duo.answer(FOLLOWER, slot)?;
    Some(u64::from(duo.last_reply(FOLLOWER, slot).staleness_ms?) * 1000)
}

/// Somebody else was made the leader, and neither of these two has heard of it.
fn usurped(duo: &mut Duo) {
    let epoch = Epoch(duo.status(LEADER).epoch + 1);
    let by = By { actor: "an operator", reason: "a test" };
    let member = MemberId(FOLLOWER as u32 + 1);
    let lead = Change::Lead { shard: SHARD, member, epoch, sync: [].into(), loss_from: Some(Index(1)) };
    duo.map = duo.map.next(by, &lead).expect("a map").into();
}

#[test]
fn a_follower_of_a_leader_that_requires_nobody_serves_what_the_authority_proves() {
    let mut duo = loose();
    let index = duo.commit_now(1);
    duo.pass(SECOND);
    assert_eq!(duo.read(FOLLOWER, younger_than(700)), row_of(1));
    let epoch = duo.status(LEADER).epoch;
    let (lineage_tag, position) = (Lineage(LOG.lineage).tag(), Position::new(epoch, index));
    let token = Token { lineage_tag, shard: ShardId(1), position };
    assert_eq!(duo.read(FOLLOWER, Consistency::Session { token, max_wait_ms: 0 }), row_of(1));
}

/// The authority names another leader: what follows the one of before gets older, and is not served for ever.
#[test]
fn what_the_authority_does_not_prove_gets_older() {
    let mut duo = loose();
    duo.commit_now(1);
    usurped(&mut duo);
    duo.pass(2 * SECOND);
    let refused = refusal(duo.read(FOLLOWER, younger_than(1000)));
    assert_eq!(refused.code, Code::StaleBound, "{refused}");
    duo.pass(10 * SECOND);
    let refused = refusal(duo.read(FOLLOWER, RELAXED));
    assert_eq!(refused.code, Code::ReplicaUnsafe, "{refused}");
}

/// The authority looked, another leader won, and then the answer came. What the follower said meanwhile is not proven by
/// it: time counts from before the question.
#[test]
fn an_answer_of_the_authority_proves_nothing_of_the_time_after_the_question() {
    let mut duo = loose();
    duo.commit_now(1);
    duo.silent_authority = Some(Vec::new());
    duo.questions.clear();
    let asked = (0..20).any(|_| {
        duo.tick();
        duo.settle();
        !duo.questions.is_empty()
    });
    assert!(asked, "a follower said its time, and nobody asks for it");
    usurped(&mut duo);
    duo.pass(2 * SECOND);
    duo.authority_answers();
    duo.pass(SECOND);
    let asked_us = duo.questions[0];
    let (age_us, since_us) = (age_us(&mut duo).expect("it was proven"), duo.now_us - asked_us);
    assert!(age_us >= since_us, "{age_us} us, and the question was asked {since_us} us ago");
    assert!(age_us < since_us + LEASE_US, "the answer proves what was said before: {age_us} us");
}

/// A probe is the time of one process on one machine. Whoever comes back may count from another beginning.
#[test]
fn a_probe_ends_with_its_session() {
    let mut duo = loose();
    duo.commit_now(1);
    duo.silent_authority = Some(Vec::new());
    duo.pass(SECOND);
    duo.crash(FOLLOWER, &Crash::Process);
    duo.pass(10 * SECOND);
    duo.start(FOLLOWER);
    duo.pass(2 * SECOND);
    duo.silent_authority.as_mut().expect("it is silent").truncate(1);
    usurped(&mut duo);
    duo.authority_answers();
    duo.pass(SECOND);
    let refused = refusal(duo.read(FOLLOWER, RELAXED));
    assert_eq!(refused.code, Code::ReplicaUnsafe, "{refused}");
    assert!(refused.to_string().contains("never since the start"), "{refused}");
}

#[test]
fn the_authority_is_asked_for_followers_and_for_nobody_else() {
    let mut duo = loose();
    duo.questions.clear();
    duo.pass(10 * SECOND);
    let asked = duo.questions.len() as u64;
    assert!((20..=10 * SECOND / (LEASE_US / 2)).contains(&asked), "{asked} times in ten seconds");
    let closest = duo.questions.windows(2).map(|pair| pair[1] - pair[0]).min();
    assert!(closest >= Some(LEASE_US / 2), "{closest:?}");
    duo.crash(FOLLOWER, &Crash::Process);
    duo.pass(8 * SECOND);
    duo.questions.clear();
    duo.pass(10 * SECOND);
    assert!(duo.questions.is_empty(), "nobody follows: {:?}", duo.questions);
    // Somebody reads at the leader: that is asked, once.
    assert_eq!(duo.read(LEADER, younger_than(100)), row_of_nothing());
    assert_eq!(duo.questions.len(), 1);
}

fn row_of_nothing() -> crate::client::Answer {
    crate::client::Answer::Row([None; 2])
}

/// The leader itself: an age is a bound on what others may have committed, and only the authority knows of them.
#[test]
fn a_bounded_read_at_a_leader_that_requires_nobody_is_proven_by_the_authority() {
    let mut duo = loose();
    duo.commit_now(1);
    let slot = duo.read_later(LEADER, younger_than(100));
    assert_eq!(duo.answer(LEADER, slot), Some(row_of(1)));
    let said = duo.last_reply(LEADER, slot);
    assert_eq!((said.flags, said.staleness_ms), (Flags::AUTHORITY, Some(0)));
    usurped(&mut duo);
    let slot = duo.read_later(LEADER, younger_than(60_000));
    duo.pass(SECOND);
    assert_eq!(duo.answer(LEADER, slot), None, "the authority knows another leader");
}
