//! R11, R16: executions of a deposed leader that is asked and does not know it. Random worlds seldom come to them: each
//! is played by hand, and each is what one planted bug breaks (`tests/src/plants/scripted.rs`).

use seawall::map::{MemberId, Policy};
use seawall::message::Consistency;
use seawall::refusal::Code;
use seawall_node::replica::Kind;
use seawall_node::seam::Event;
use seawall_node::seam::order::Errand;
use seawall_node::shard::ReadProof;

use crate::client::{Answer, refusal, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER, Letter, POLICY, SHARD, THIRD};
use crate::forgery::{next_ack, until};
use crate::support::limits;
use crate::volatile::Crash;

const SECOND: u64 = 1_000_000;
const NEWEST: Consistency = Consistency::Linearizable;
/// Over, and another one leads, before the leader gives up on who is silent.
const LEASE_US: u64 = 700_000;
/// For a candidate: to fence, and to win.
const TAKEOVER_US: u64 = 400_000;

/// One leads, the next one is required, and either of them may serve alone. Committed is 1.
fn led(members: u32, read_proof: ReadProof) -> Duo {
    drifting([0; 3], members, read_proof)
}

fn drifting(drift_ppm: [i64; 3], members: u32, read_proof: ReadProof) -> Duo {
    leased(700, drift_ppm, members, read_proof)
}

fn leased(lease_ms: u32, drift_ppm: [i64; 3], members: u32, read_proof: ReadProof) -> Duo {
    let policy = Policy { min_in_sync: 1, lease_ms, ..POLICY };
    let mut duo = Duo::of(members, limits(), policy, read_proof);
    duo.drift_ppm = drift_ppm;
    (0..members as usize).for_each(|nth| duo.start(nth));
    duo.pass(4 * SECOND);
    duo.order(LEADER, Errand::Require(MemberId(2)));
    duo.pass(SECOND);
    for other in 3..=members {
        duo.order(LEADER, Errand::Release(MemberId(other)));
        duo.pass(SECOND);
    }
    duo.pass(2 * SECOND); // and what they had promised is over
    let entry = duo.map.replicas(SHARD).expect("it is in the map");
    assert_eq!(entry.sync, [MemberId(2)].into());
    duo.commit_now(1);
    assert_eq!((duo.status(LEADER).state, duo.following().state), ("serving", "streaming"));
    duo
}

/// A member that was told to lead serves, and has committed 2. The leader of before has heard of nothing.
fn led_elsewhere(duo: &mut Duo, nth: usize) {
    let slot = duo.commit(nth, 2);
    duo.settle();
    let answer = duo.answer(nth, slot);
    assert!(matches!(answer, Some(Answer::Committed(..))), "{answer:?}");
    assert_eq!((duo.status(LEADER).state, duo.read(nth, NEWEST)), ("serving", row_of(2)));
}

/// What the leader of before says of a read is not 1.
fn is_refused(duo: &mut Duo) {
    let why = refusal(duo.read(LEADER, NEWEST));
    assert_eq!(why.code, Code::LeaseUnproven, "{why}");
}

/// The next R_ACK of the required member, taken off the wire: it is late.
fn late_ack(duo: &mut Duo) -> Letter {
    until(duo, next_ack);
    duo.wire.pop_front().expect("an R_ACK is next")
}

/// A member is started again just after it has promised, and is told to lead: it does not know any more when it promised,
/// and whom.
#[test]
fn a_promise_is_kept_over_a_restart() {
    let mut duo = led(2, ReadProof::Lease);
    let ack = late_ack(&mut duo);
    duo.wire.push_front(ack);
    duo.step();
    duo.cut_off = Some(LEADER);
    duo.crash_and_start(FOLLOWER, &Crash::Process);
    duo.settle();
    duo.order(FOLLOWER, Errand::Promote(Kind::Recorded));
    for _ in 0..10 {
        duo.pass(LEASE_US / 10);
        if duo.status(FOLLOWER).state == "serving" {
            led_elsewhere(&mut duo, FOLLOWER);
            is_refused(&mut duo);
        }
    }
    duo.pass(TAKEOVER_US);
    led_elsewhere(&mut duo, FOLLOWER);
    is_refused(&mut duo);
}

/// An R_ACK is so late that the promise in it is over when it arrives, and its member leads by then.
#[test]
fn a_promise_counts_from_when_it_was_asked_for() {
    let mut duo = led(2, ReadProof::Lease);
    let late = late_ack(&mut duo);
    duo.wire.clear();
    duo.cut_off = Some(LEADER);
    duo.order(FOLLOWER, Errand::Promote(Kind::Recorded)); // it promises no more
    duo.pass(LEASE_US + TAKEOVER_US);
    led_elsewhere(&mut duo, FOLLOWER);
    duo.wire.push_back(late);
    duo.settle();
    is_refused(&mut duo);
}

/// The clock of the member that promised is as much faster than the leader's as clocks may be. Another one waits only for
/// that promise to end, and leads at once.
#[test]
fn a_promise_counts_less_than_it_was_made_for() {
    let mut duo = drifting([-250, 250, 0], 3, ReadProof::Lease);
    duo.pass(5 * SECOND); // whatever its disk does, it acknowledges, and promises again
    let ack = late_ack(&mut duo);
    duo.wire = [ack].into();
    duo.step();
    duo.wire.clear(); // nothing is promised after it
    duo.cut_off = Some(LEADER);
    duo.order(THIRD, Errand::Promote(Kind::AcceptLoss));
    let promised_us = duo.now_us;
    duo.pass(LEASE_US - 400_000); // it asks again and again, and not all the time
    assert_ne!(duo.status(THIRD).state, "serving", "the promise runs");
    // By the clock of the member that promised it is over; by the leader's, almost.
    duo.now_us = promised_us + LEASE_US - LEASE_US / 4_000;
    while duo.status(THIRD).state != "serving" {
        duo.event(THIRD, Event::Tick);
        duo.settle();
        assert!(duo.now_us < promised_us + LEASE_US, "it takes too long to show anything");
    }
    led_elsewhere(&mut duo, THIRD);
    is_refused(&mut duo);
}

/// A member has answered, and leads; its answer to the leader of before comes later than a read that came there.
#[test]
fn an_answer_to_what_was_sent_before_a_read_came_proves_nothing() {
    let mut duo = led(2, ReadProof::RoundTrip);
    let late = late_ack(&mut duo);
    duo.wire.clear();
    duo.cut_off = Some(LEADER);
    duo.order(FOLLOWER, Errand::Promote(Kind::Recorded)); // it promises no more
    duo.pass(LEASE_US + TAKEOVER_US);
    led_elsewhere(&mut duo, FOLLOWER);
    let slot = duo.read_later(LEADER, NEWEST);
    duo.wire.push_back(late);
    duo.settle();
    assert_eq!(duo.answer(LEADER, slot), None, "2 was answered before it came");
}

/// The leader is cut off and its lease runs. Whoever stands meanwhile waits until the promise is over that it rests on.
#[test]
fn a_promise_that_runs_is_waited_out() {
    let mut duo = led(3, ReadProof::Lease);
    duo.cut_off = Some(LEADER);
    duo.order(THIRD, Errand::Promote(Kind::AcceptLoss));
    duo.pass(LEASE_US - 250_000);
    let leader = |duo: &Duo| duo.map.replicas(SHARD).and_then(|entry| entry.leader);
    assert_eq!((leader(&duo), duo.read(LEADER, NEWEST)), (Some(MemberId(1)), row_of(1)), "it may be read");
    duo.pass(3 * SECOND);
    assert_eq!(leader(&duo), Some(MemberId(3)));
}

/// R24: the required member takes part in everything but what needs its disk, and nothing needs it: nobody writes.
#[test]
fn a_disk_that_stands_still_renews_no_lease_though_nothing_is_written() {
    let mut duo = led(2, ReadProof::Lease);
    duo.pass(5 * SECOND);
    assert_eq!(duo.read(LEADER, NEWEST), row_of(1));
    duo.members[FOLLOWER].stuck = true;
    duo.pass(4 * SECOND);
    is_refused(&mut duo);
    duo.members[FOLLOWER].stuck = false;
    duo.pass(SECOND);
    assert_eq!(duo.read(LEADER, NEWEST), row_of(1));
}

/// One more member is told to lead before the one that stands may ask. Each waits for the leader that is gone, and each meets the
/// epoch of the others meanwhile, and would stand again above it, for ever.
#[test]
fn of_several_that_stand_one_leads() {
    for candidates in [2..4, 2..5] {
        let mut duo = led(candidates.end - 1, ReadProof::Lease);
        duo.crash(LEADER, &Crash::Process);
        duo.pass(SECOND); // nobody waits for a promise
        for member in candidates {
            let kind = if member == 2 { Kind::Recorded } else { Kind::AcceptLoss };
            duo.order(member as usize - 1, Errand::Promote(kind));
            duo.pass(SECOND / 24); // it has fenced the others, and lingers for the leader of before
        }
        let leader = |duo: &Duo| duo.map.replicas(SHARD).and_then(|entry| entry.leader);
        assert_eq!(leader(&duo), Some(MemberId(1)), "nobody leads yet");
        duo.pass(3 * SECOND);
        assert_ne!(leader(&duo), Some(MemberId(1)), "they outbid each other");
    }
}

/// The leader is gone. Whoever promised it something goes on to ask its disk, and its disk answers: that renews nothing.
#[test]
fn a_promise_that_nobody_asks_for_is_not_renewed() {
    let mut duo = leased(2000, [0; 3], 3, ReadProof::Lease);
    duo.crash(LEADER, &Crash::Process);
    duo.pass(SECOND);
    duo.order(THIRD, Errand::Promote(Kind::AcceptLoss));
    duo.pass(6 * SECOND);
    let entry = duo.map.replicas(SHARD).expect("it is in the map");
    assert_eq!(entry.leader, Some(MemberId(3)));
    assert_eq!(duo.following().state, "streaming", "member 2 follows whoever leads now");
}
