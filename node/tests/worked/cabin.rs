//! The last cabin: one owner of the hold at a time, holds that end by a record, one booking, and an authorisation of
//! a payment that is consumed once.

use std::collections::BTreeSet;

use seawall::position::Position;
use seawall::{Commit, RowRef, row};

use crate::fields;
use crate::history::{History, Moment, holds, text};
use crate::world::{Crash, SECOND, World, every_crash, keyed, must_be_seen, ttl};

const SAILING: &str = "HP-2026-07-14";
const HOLD_SECONDS: u64 = 600;

#[derive(Clone, Copy, PartialEq)]
enum Care {
    Full,
    /// A hold is written over another one.
    NoFree,
    /// A booking is confirmed on whatever hold there is, or none.
    NoHold,
    /// An authorisation is taken unseen.
    NoAuth,
}

fn hold_of(cabin: &str) -> RowRef {
    row("hold", cabin)
}

fn booking_of(cabin: &str) -> RowRef {
    row("booking", cabin)
}

fn hold(care: Care, key: &str, cabin: &str, id: &str, by: &str) -> Commit {
    let commit = keyed(SAILING, key).check(booking_of(cabin).absent());
    let commit = match care {
        Care::NoFree => commit,
        _ => commit.check(hold_of(cabin).absent()),
    };
    commit
        .put_for(&hold_of(cabin), fields!["id" => id, "by" => by], ttl(HOLD_SECONDS))
        .event("cabin-held", cabin)
}

/// What a confirmation rests on: the hold, the version that its owner was told, and the authorisation.
struct Claim<'a> {
    cabin: &'a str,
    hold: &'a str,
    version: Position,
    auth: &'a str,
}

fn confirm(care: Care, booking: &str, claim: &Claim<'_>) -> Commit {
    let (hold, auth) = (hold_of(claim.cabin), row("consumed", claim.auth));
    let mut commit = keyed(SAILING, &format!("confirm-{booking}"));
    if care != Care::NoHold {
        commit = commit.check(hold.field("id").eq(claim.hold)).check(hold.version().eq(claim.version));
    }
    if care != Care::NoAuth {
        commit = commit.check(auth.absent());
    }
    commit
        .put(&auth, fields!["by" => booking])
        .delete(&hold)
        .put(&booking_of(claim.cabin), fields!["id" => booking, "hold" => claim.hold, "auth" => claim.auth])
        .event("booking-confirmed", booking)
}

fn script(world: &mut World, care: Care) {
    let early = world.send(&hold(care, "hold-BK-70001", "C14", "H-9900", "BK-70001")).at();
    world.pass((HOLD_SECONDS + 2) * SECOND);
    let late = Claim { cabin: "C14", hold: "H-9900", version: early, auth: "auth_1AA1" };
    world.send(&confirm(care, "BK-70001", &late));
    let race = world.send_all(&[
        hold(care, "hold-BK-88421", "C14", "H-9917", "BK-88421"),
        hold(care, "hold-BK-90210", "C14", "H-9918", "BK-90210"),
    ]);
    // The loser knows of no version, and guesses.
    let version = if race[0].is_done() { race[0].at() } else { early };
    let guess = Claim { cabin: "C14", hold: "H-9918", version, auth: "auth_9ZZ9" };
    world.send(&confirm(care, "BK-90210", &guess));
    let claim = Claim { cabin: "C14", hold: "H-9917", version, auth: "auth_7QK2" };
    world.send(&confirm(care, "BK-88421", &claim));
    world.send(&confirm(care, "BK-88421", &claim)); // the answer is late, and the passenger impatient
    world.send(&hold(care, "hold-BK-55555", "C14", "H-9919", "BK-55555"));
    let other = world.send(&hold(care, "hold-BK-66666", "C15", "H-9920", "BK-66666")).at();
    let twice = Claim { cabin: "C15", hold: "H-9920", version: other, auth: "auth_7QK2" };
    world.send(&confirm(care, "BK-66666", &twice));
}

fn check(history: &History) -> Result<(), String> {
    let mut confirmed = BTreeSet::new();
    for (before, after) in history.changes() {
        consumed_once(after)?;
        for (topic, booking) in &after.events {
            let again = topic == "booking-confirmed" && !confirmed.insert(booking.clone());
            holds(!again, after, || format!("{booking} was told twice"))?;
        }
        for cabin in ["C14", "C15"] {
            let [old, new] = [before, after].map(|moment| moment.row(SAILING, "booking", cabin));
            holds(old.is_none() || old == new, after, || format!("the booking of {cabin} changed"))?;
            let [was, is] = [before, after].map(|moment| moment.row(SAILING, "hold", cabin));
            holds(new.is_none() || is.is_none(), after, || format!("{cabin} is booked and held"))?;
            let taken_over = was.is_some() && is.is_some() && was != is;
            holds(!taken_over, after, || format!("the hold of {cabin} changed hands"))?;
            let booked = (old.is_none()).then_some(new).flatten();
            if let Some(booked) = booked {
                let held = was.map(|hold| text(hold, "id"));
                let rests_on = text(booked, "hold");
                let message = || format!("{cabin} was booked on hold {rests_on}, and {held:?} was there");
                holds(held == Some(rests_on), after, message)?;
            }
            if was.is_some() && is.is_none() && booked.is_none() {
                let held = history.0.iter().rev().skip_while(|moment| moment.at >= after.at);
                let since =
                    held.take_while(|moment| moment.row(SAILING, "hold", cabin).is_some()).last().unwrap();
                let ended = after.time_us - since.time_us >= (HOLD_SECONDS * SECOND) as i64;
                holds(ended, after, || format!("the hold of {cabin} vanished before its end"))?;
            }
        }
    }
    Ok(())
}

/// Each authorisation pays for one booking, and says for which.
fn consumed_once(moment: &Moment) -> Result<(), String> {
    let bookings = moment.table(SAILING, "booking");
    let auths: BTreeSet<&str> = bookings.values().map(|booking| text(booking, "auth")).collect();
    holds(auths.len() == bookings.len(), moment, || "an authorisation pays for two bookings".into())?;
    let consumed = moment.table(SAILING, "consumed");
    for booking in bookings.values() {
        let by = consumed.get(text(booking, "auth")).map(|row| text(row, "by"));
        let message = || format!("the authorisation of {booking:?} is consumed by {by:?}");
        holds(by == Some(text(booking, "id")), moment, message)?;
    }
    holds(consumed.len() == auths.len(), moment, || "an authorisation was consumed for nothing".into())
}

#[test]
fn the_last_cabin_is_held_by_one_and_booked_once() {
    every_crash(&[SAILING], |world| script(world, Care::Full), check);
    let mut world = World::new(&[SAILING], Crash::Never);
    script(&mut world, Care::Full);
    let done = |key: &str| world.outcomes()[key] == "done";
    assert!(done("confirm-BK-88421") && !done("confirm-BK-90210") && !done("confirm-BK-70001"));
    assert!(!done("confirm-BK-66666"), "the authorisation was consumed");
    let history = world.history();
    let booked = history.last().row(SAILING, "booking", "C14").unwrap();
    assert_eq!(text(booked, "id"), "BK-88421");
}

#[test]
fn the_checker_sees_a_clerk_who_is_careless() {
    let bugs = [
        (Care::NoFree, "changed hands"),
        (Care::NoHold, "and None was there"),
        (Care::NoAuth, "pays for two bookings"),
    ];
    let impatient = |world: &mut World| {
        world.send(&hold(Care::Full, "hold-BK-70001", "C14", "H-9900", "BK-70001"));
        world.pass((HOLD_SECONDS - 2) * SECOND);
        world.send(&keyed(SAILING, "tidy-up").delete(&hold_of("C14")));
    };
    must_be_seen(&[SAILING], impatient, check, "vanished before its end");
    for (care, what) in bugs {
        must_be_seen(&[SAILING], |world| script(world, care), check, what);
    }
}
