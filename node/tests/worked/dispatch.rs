//! Drivers are claimed by a lease: by one dispatcher at a time; a dispatcher that dies frees its driver when the
//! lease ends; and a claim that ended moves nobody.

use seawall::position::Position;
use seawall::{Commit, RowRef, row};

use crate::fields;
use crate::history::{History, Moment, holds, text};
use crate::world::{Answer, Crash, SECOND, World, every_crash, keyed, must_be_seen, ttl};

const ZONE: &str = "zone-4";
const CLAIM_SECONDS: u64 = 30;
const ALLOWED: [(&str, &str); 7] = [
    ("", "available"),
    ("available", "dispatched"),
    ("dispatched", "dispatched"), // by another dispatcher, when the claim ended
    ("dispatched", "on_trip"),
    ("on_trip", "available"),
    ("available", "offline"),
    ("offline", "available"),
];

#[derive(Clone, Copy, PartialEq)]
enum Care {
    Full,
    /// A trip starts on a claim that may have ended.
    NoFence,
    /// Whoever is on the way is claimed, too.
    NoLease,
    /// A driver goes offline from anywhere.
    NoState,
}

fn driver() -> RowRef {
    row("driver", "D7")
}

fn claim(care: Care, key: &str, trip: &str) -> Commit {
    let commit = keyed(ZONE, key).check(driver().field("status").is_in(["available", "dispatched"]));
    let commit = match care {
        Care::NoLease => commit,
        _ => commit.lease_acquire(&driver(), ttl(CLAIM_SECONDS)),
    };
    commit.merge(&driver(), [("status", "dispatched"), ("trip", trip)]).event("dispatched", trip)
}

fn start(care: Care, key: &str, trip: &str, token: Position) -> Commit {
    let commit = keyed(ZONE, key).check(driver().field("status").eq("dispatched"));
    let commit = match care {
        Care::NoFence | Care::NoLease => commit,
        _ => commit.check(driver().lease_held(token)).lease_release(&driver(), token),
    };
    commit.merge(&driver(), [("status", "on_trip"), ("trip", trip)])
}

fn becomes(care: Care, key: &str, from: &str, to: &str) -> Commit {
    let commit = keyed(ZONE, key);
    let commit = match care {
        Care::NoState => commit,
        _ => commit.check(driver().field("status").eq(from)),
    };
    commit.merge(&driver(), [("status", to), ("trip", "")])
}

fn script(world: &mut World, care: Care) {
    world.send(&keyed(ZONE, "hello").put(&driver(), fields!["status" => "available", "trip" => ""]));
    let race = world.send_all(&[claim(care, "dispatch-T1", "T1"), claim(care, "dispatch-T2", "T2")]);
    let stale = race[0].at();
    world.send(&becomes(care, "offline-1", "available", "offline"));
    // The dispatcher of T1 is not heard of again, until the lease has ended and T3 has the driver.
    world.pass((CLAIM_SECONDS + 2) * SECOND);
    let token = world.send(&claim(care, "dispatch-T3", "T3"));
    world.send(&start(care, "start-T1", "T1", stale));
    if let Answer::Done(token) = token {
        world.send(&start(care, "start-T3", "T3", token));
    }
    world.send(&claim(care, "dispatch-T4", "T4"));
    world.send(&becomes(care, "finish-T3", "on_trip", "available"));
    world.send(&becomes(care, "offline-2", "available", "offline"));
    world.send(&claim(care, "dispatch-T5", "T5"));
}

fn check(history: &History) -> Result<(), String> {
    for (before, after) in history.changes() {
        let (was, is) = (status(before), status(after));
        if was == is {
            continue;
        }
        let allowed = ALLOWED.contains(&(was.0, is.0));
        holds(allowed, after, || format!("a driver went from {was:?} to {is:?}"))?;
        // The lease as it stood when this record was decided.
        let held = before.lease(ZONE, "driver", "D7", after.time_us);
        match is.0 {
            "dispatched" => {
                holds(held.is_none(), after, || format!("claimed for {} while claimed for {}", is.1, was.1))?;
                let token = after.lease(ZONE, "driver", "D7", after.time_us);
                holds(token == Some(after.at), after, || format!("dispatched under {token:?}"))?;
            }
            "on_trip" => {
                let message = || format!("started {} on the claim of {}", is.1, was.1);
                holds(is.1 == was.1, after, message)?;
                holds(held.is_some(), after, || format!("started {} on a claim that ended", is.1))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The driver's status, and trip.
fn status(moment: &Moment) -> (&str, &str) {
    let driver = moment.row(ZONE, "driver", "D7");
    driver.map_or(("", ""), |row| (text(row, "status"), text(row, "trip")))
}

#[test]
fn a_driver_is_claimed_by_one_and_a_claim_that_ended_moves_nobody() {
    every_crash(&[ZONE], |world| script(world, Care::Full), check);
    let mut world = World::new(&[ZONE], Crash::Never);
    script(&mut world, Care::Full);
    let refused: Vec<(String, String)> =
        world.outcomes().into_iter().filter(|(_, outcome)| outcome != "done").collect();
    let no = |key: &str, rule: &str| (key.to_owned(), rule.to_owned());
    let expected = [
        no("dispatch-T2", "lease.free"),
        no("dispatch-T4", "check.state_in"),
        no("dispatch-T5", "check.state_in"),
        no("offline-1", "check.compare"),
        no("start-T1", "lease.held"),
    ];
    assert_eq!(refused, expected);
}

/// Nobody waits for the record that removes a lease: it ends by leader time.
#[test]
fn a_driver_is_free_again_when_the_claim_ends_and_not_before() {
    let mut world = World::new(&[ZONE], Crash::Never);
    world.send(&keyed(ZONE, "hello").put(&driver(), fields!["status" => "available", "trip" => ""]));
    world.send(&claim(Care::Full, "dispatch-T1", "T1"));
    world.bench().pass((CLAIM_SECONDS - 1) * SECOND);
    assert_eq!(world.send(&claim(Care::Full, "dispatch-T2", "T2")).outcome(), "lease.free");
    world.bench().pass(SECOND);
    assert!(world.send(&claim(Care::Full, "dispatch-T3", "T3")).is_done());
    check(&world.history()).unwrap();
}

#[test]
fn the_checker_sees_a_dispatcher_who_is_careless() {
    let bugs = [
        (Care::NoFence, "on the claim of"),
        (Care::NoLease, "dispatched under"),
        (Care::NoState, "went from"),
    ];
    let late = |world: &mut World| {
        world.send(&keyed(ZONE, "hello").put(&driver(), fields!["status" => "available", "trip" => ""]));
        let token = world.send(&claim(Care::Full, "dispatch-T1", "T1")).at();
        world.bench().pass(CLAIM_SECONDS * SECOND);
        world.send(&start(Care::NoFence, "start-T1", "T1", token));
    };
    must_be_seen(&[ZONE], late, check, "on a claim that ended");
    for (care, what) in bugs {
        must_be_seen(&[ZONE], |world| script(world, care), check, what);
    }
}
