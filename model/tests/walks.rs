//! With all rules: every state of these scopes, and none breaks an invariant.
#![forbid(unsafe_code)]

use seawall_model::check::walk;
use seawall_model::protocol::Protocol;
use seawall_model::rules::{Clause, Rules};
use seawall_model::scope::Scope;

const SMALL: Scope = Scope::SMALL;

/// Nothing is broken, everything that should be met is met, and there was enough to see: a model in which little can
/// happen holds as well.
#[track_caller]
fn holds(scope: Scope, at_least: usize) {
    let walk = walk(Protocol::new(scope));
    assert!(walk.broken.is_none(), "{:#?}", walk.broken);
    assert!(walk.unmet.is_empty(), "{:?}", walk.unmet);
    assert!(walk.states >= at_least, "only {} states", walk.states);
}

#[test]
fn one_failover() {
    holds(SMALL, 20_000);
}

#[test]
fn both_followers_in_the_set() {
    holds(Scope { sync: Scope::BOTH, ..SMALL }, 30_000);
}

#[test]
fn two_writes_and_set_changes() {
    holds(Scope { writes: 2, generations: 3, ..SMALL }, 500_000);
}

#[test]
fn two_failovers() {
    holds(Scope { epochs: 3, generations: 3, ..SMALL }, 1_700_000);
}

#[test]
fn leases() {
    holds(Scope { leases: true, ..SMALL }, 140_000);
}

#[test]
fn leases_of_a_leader_that_may_stand_alone() {
    holds(Scope { leases: true, min_in_sync: 1, sync: Scope::BOTH, ..SMALL }, 230_000);
}

#[test]
fn an_accepted_loss() {
    holds(Scope { accept_loss: true, generations: 3, ..SMALL }, 650_000);
}

#[test]
fn an_accepted_loss_under_leases() {
    holds(Scope { accept_loss: true, leases: true, min_in_sync: 1, ..SMALL }, 600_000);
}

#[test]
fn a_lost_disk() {
    holds(Scope { damages: 1, generations: 3, ..SMALL }, 400_000);
}

#[test]
fn requests_that_outlive_their_sender() {
    holds(Scope { late_requests: true, ..SMALL }, 900_000);
}

/// One guarantee outlives an operator who declares a member powered off that is not: a deposed leader without a sync
/// set asks the authority, and does not answer reads. I1 and I6 do not outlive it.
#[test]
fn a_false_declaration_gives_no_stale_read() {
    let scope = Scope { accept_loss: true, false_declarations: true, leases: true, ..SMALL };
    let alone = Scope { min_in_sync: 1, sync: seawall_model::state::Set::of_bits(0), ..scope };
    let broken = walk(Protocol::new(alone)).broken.map(|execution| execution.broken).unwrap_or_default();
    assert!(!broken.is_empty(), "a false declaration is not without consequences");
    assert!(!broken.contains(&seawall_model::witness::I2), "{broken:?}");
}

/// The second line behind R12 to R15: what they would lose is noticed before it is cut.
#[test]
fn the_hard_stop_ends_what_would_be_a_loss() {
    let walk = walk(Protocol::new(SMALL).without(Clause::OnlyRecorded));
    let execution = walk.broken.expect("an async member was promoted");
    assert_eq!(execution.broken, [seawall_model::witness::NOBODY_HALTS], "{execution:#?}");
}

#[test]
fn every_clause_has_a_case() {
    for clause in Clause::ALL {
        let cases = seawall_model::cases::CASES.iter().filter(|case| case.clause == *clause).count();
        assert_eq!(cases, 1, "{clause:?}");
        assert!(Rules::all().has(*clause) && !Rules::all().without(*clause).has(*clause), "{clause:?}");
    }
}
