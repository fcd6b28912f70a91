use seawall::position::Epoch;
use seawall_node::replica::{Grant, Heard, Incarnation, Promise};

use crate::{A, B};

fn leader(member: seawall::map::MemberId, start: u64) -> Incarnation {
    Incarnation { member, start }
}

#[test]
fn a_lower_epoch_is_refused_and_a_higher_one_persisted_first() {
    let promise = Promise { epoch: Epoch(5), leader: Some(leader(A, 1)) };
    assert_eq!(promise.meets(Epoch(4), leader(B, 1), 0), Heard::Fenced { promised: Epoch(5) });
    assert_eq!(promise.meets(Epoch(5), leader(A, 1), 9), Heard::Known);
    let adopted = Promise { epoch: Epoch(6), leader: Some(leader(B, 7)) };
    assert_eq!(promise.meets(Epoch(6), leader(B, 7), 0), Heard::Adopt(adopted));
}

/// R11: whoever takes over while the old leader may still count on the promise makes it answer stale reads.
#[test]
fn no_higher_epoch_while_a_lease_promise_runs() {
    let promise = Promise { epoch: Epoch(5), leader: Some(leader(A, 1)) };
    let mut grant = Grant::after_start(1_000, 0);
    grant.remembered(2_000);
    grant.grant(1_000, 2_000);
    assert_eq!(
        promise.meets(Epoch(6), leader(B, 1), grant.left_us(1_500)),
        Heard::Granted { left_us: 1_500 }
    );
    assert_eq!(promise.fenced_by(Epoch(6), grant.left_us(2_999)), Heard::Granted { left_us: 1 });
    assert!(matches!(promise.fenced_by(Epoch(6), grant.left_us(3_000)), Heard::Adopt(_)));
}

/// R16: after a start nobody knows what was granted before it.
#[test]
fn a_start_behaves_as_if_it_had_just_granted_the_longest_lease() {
    let grant = Grant::after_start(10_000, 2_000);
    assert_eq!(grant.left_us(11_000), 1_000);
}

#[test]
#[should_panic(expected = "a start must know")]
fn a_lease_longer_than_what_is_remembered_is_not_granted() {
    Grant::after_start(0, 2_000).grant(0, 2_001);
}

/// 0006: two candidates choose the same epoch; the one that loses has promised it to itself, and must not halt at the
/// winner's first message.
#[test]
fn a_fence_binds_nobody() {
    let fenced = match Promise::default().fenced_by(Epoch(2), 0) {
        Heard::Adopt(promise) => promise,
        other => panic!("{other:?}"),
    };
    assert_eq!(fenced.fenced_by(Epoch(2), 0), Heard::Known, "the answer may have been lost");
    let bound = Promise { epoch: Epoch(2), leader: Some(leader(B, 3)) };
    assert_eq!(fenced.meets(Epoch(2), leader(B, 3), 0), Heard::Adopt(bound));
    assert_eq!(
        bound.fenced_by(Epoch(2), 0),
        Heard::Fenced { promised: Epoch(2) },
        "somebody leads it: the log goes on"
    );
}

/// R10: equal epoch, other leader or other start of it.
#[test]
fn two_leaders_of_one_epoch_are_an_integrity_failure() {
    let bound = leader(A, 1);
    let promise = Promise { epoch: Epoch(5), leader: Some(bound) };
    assert_eq!(promise.meets(Epoch(5), leader(B, 1), 0), Heard::TwoLeaders { bound });
    assert_eq!(promise.meets(Epoch(5), leader(A, 2), 0), Heard::TwoLeaders { bound });
}
