use seawall::map::MemberId;
use seawall::position::{Epoch, Index};
use seawall_node::replica::leadership::{Policy, Unavailable, Unproven};
use seawall_node::replica::sync_set::Way;
use seawall_node::replica::{Ack, Leadership, SyncSet};

use crate::{B, C};

const POLICY: Policy = Policy { min_in_sync: 2, member_timeout_us: 1_000_000, lease_us: 2_000_000 };
/// The index of `EpochStart`.
const START: u64 = 11;

fn leader(recorded: &[MemberId]) -> Leadership {
    with(recorded, POLICY)
}

fn with(recorded: &[MemberId], policy: Policy) -> Leadership {
    let set = SyncSet::new(recorded.iter().copied());
    let mut leader = Leadership::new(Epoch(3), Index(START), policy, set, Index(8), 0);
    for member in [B, C] {
        leader.greeted(member, 1, Index(8), 0);
    }
    leader
}

fn ack(validated: u64) -> Ack {
    Ack { session: 1, validated: Index(validated), echo_us: 0, lease_us: 0, disk_answered: true }
}

fn granting(echo_us: u64) -> Ack {
    Ack { echo_us, lease_us: POLICY.lease_us, ..ack(START) }
}

#[test]
fn a_commit_needs_everybody_who_is_required() {
    let mut leader = leader(&[B, C]);
    leader.acknowledged(B, &ack(20), 0);
    assert_eq!(leader.advance(Index(20)), Index(8), "C holds nothing of it");
    leader.acknowledged(C, &ack(15), 0);
    assert_eq!(leader.advance(Index(20)), Index(15));
    assert_eq!(leader.advance(Index(12)), Index(15), "never back");
}

/// R9 and R13: what the followers have and the leader could still lose is not committed.
#[test]
fn a_commit_needs_the_leader_s_own_disk() {
    let mut leader = leader(&[B]);
    leader.acknowledged(B, &ack(20), 0);
    assert_eq!(leader.advance(Index(13)), Index(13));
}

/// R10: records of earlier epochs are committed by this epoch's first one, and not before it.
#[test]
fn nothing_is_committed_before_the_epoch_s_first_record() {
    let mut leader = leader(&[B]);
    leader.acknowledged(B, &ack(START - 1), 0);
    assert_eq!(leader.advance(Index(START)), Index(8));
    assert!(!leader.serves());
    leader.acknowledged(B, &ack(START), 0);
    assert_eq!(leader.advance(Index(START)), Index(START));
    assert!(leader.serves());
}

/// R13: with an empty set and `min_in_sync` of 2 a leader alone commits nothing.
#[test]
fn too_few_members_commit_nothing() {
    let mut alone = leader(&[]);
    assert_eq!(alone.advance(Index(20)), Index(8));
    assert_eq!(alone.unavailable(0), Some(Unavailable::TooFew { need: 2, have: 1 }));
    let mut contented = with(&[], Policy { min_in_sync: 1, ..POLICY });
    assert_eq!(contented.advance(Index(20)), Index(20));
}

/// Nobody is left out silently: a member that says nothing stops writes until the set is changed.
#[test]
fn a_silent_member_stops_writes() {
    let mut leader = leader(&[B, C]);
    leader.acknowledged(B, &ack(START), 900_000);
    assert_eq!(leader.unavailable(999_999), None);
    let silent = Unavailable::Silent { member: C, for_us: 1_000_000 };
    assert_eq!(leader.unavailable(1_000_000), Some(silent));
    leader.acknowledged(C, &ack(START), 1_000_000);
    assert_eq!(leader.unavailable(1_000_000), None);
}

/// R24: its disk stands still, or is full. To be greeted again changes nothing; to take something does.
#[test]
fn a_member_that_answers_and_takes_nothing_stops_writes() {
    let mut leader = leader(&[B]);
    leader.acknowledged(B, &ack(START), 0);
    leader.watch(Index(START), 5_000_000);
    leader.acknowledged(B, &ack(START), 5_000_000);
    assert_eq!(leader.unavailable(5_000_000), None, "it lacks nothing, however long that is so");
    leader.watch(Index(START + 2), 5_100_000);
    for now in [5_500_000, 6_000_000, 6_100_000] {
        assert_eq!(leader.unavailable(now - 1), None);
        leader.greeted(B, 2, Index(START), now);
        leader.watch(Index(START + 2), now);
    }
    let stuck = Unavailable::Stuck { member: B, for_us: 1_000_000 };
    assert_eq!(leader.unavailable(6_100_000), Some(stuck));
    leader.acknowledged(B, &Ack { session: 2, ..ack(START + 1) }, 6_200_000);
    leader.watch(Index(START + 2), 6_200_000);
    assert_eq!(leader.unavailable(6_300_000), None, "it takes what it lacks");
}

/// A member that starts again on a lost disk holds nothing of what it had acknowledged.
#[test]
fn an_older_session_counts_for_nothing() {
    let mut leader = leader(&[B]);
    leader.acknowledged(B, &ack(15), 0);
    leader.greeted(B, 2, Index(0), 0);
    assert!(!leader.acknowledged(B, &ack(20), 0), "it is from the connection before");
    assert_eq!(leader.advance(Index(20)), Index(8));
    leader.acknowledged(B, &Ack { session: 2, ..ack(12) }, 0);
    assert_eq!(leader.advance(Index(20)), Index(12));
}

/// R16: one of them could lead by now.
#[test]
fn a_lease_needs_the_promises_of_all() {
    let mut leader = leader(&[B, C]);
    leader.acknowledged(B, &granting(0), 0);
    assert_eq!(leader.lease(10), Err(Unproven { member: C }));
    leader.acknowledged(C, &granting(0), 0);
    assert!(leader.lease(10).is_ok());
}

/// The promise began when the member answered, which is after the message was sent; and its clock may be faster.
#[test]
fn a_lease_is_counted_from_the_send_time_less_the_margin() {
    let mut leader = leader(&[B]);
    leader.acknowledged(B, &granting(5_000), 1_500_000);
    let until = 5_000 + 2_000_000 - (1_000 + 1_000); // 500 ppm, and a millisecond
    assert_eq!(leader.lease(until - 1), Ok(Some(until)));
    assert_eq!(leader.lease(until), Err(Unproven { member: B }));
}

/// 0006: a member that may be recorded already can lead, so its promise is needed, too.
#[test]
fn a_lease_needs_members_on_their_way_in() {
    let mut leader = leader(&[B]);
    leader.acknowledged(B, &granting(0), 0);
    leader.acknowledged(C, &ack(START), 0);
    assert!(leader.may_enter(C, Index(START)) && !leader.may_enter(C, Index(START + 1)));
    leader.begin_change(C, Way::In).expect("nothing is under way");
    assert_eq!(leader.lease(10), Err(Unproven { member: C }));
}

/// R24: what cannot write can promise nothing.
#[test]
fn a_stalled_disk_grants_nothing() {
    let mut leader = leader(&[B]);
    leader.acknowledged(B, &Ack { disk_answered: false, ..granting(0) }, 0);
    assert_eq!(leader.lease(10), Err(Unproven { member: B }));
}

#[test]
fn with_nobody_required_no_clock_proves_anything() {
    assert_eq!(with(&[], Policy { min_in_sync: 1, ..POLICY }).lease(10), Ok(None));
}
