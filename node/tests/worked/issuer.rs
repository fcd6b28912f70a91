//! Reservations against the limit of an issuer, from two desks at once: exposure is the sum of what is live, and
//! never above the limit.

use seawall::{Commit, RowRef, row};

use crate::fields;
use crate::history::{History, holds, int, text};
use crate::world::{Crash, World, every_crash, keyed, must_be_seen};

const ISSUER: &str = "MUNI-77";

fn exposure() -> RowRef {
    row("issuer", "exposure")
}

/// How much of it is done as it should be.
#[derive(Clone, Copy, PartialEq)]
enum Care {
    Full,
    /// Exposure grows without a look at the limit.
    NoLimit,
    /// What is released is released again.
    NoState,
    /// The reservation is written, exposure is not.
    NoExposure,
}

fn reserve(care: Care, key: &str, id: &str, amount: i64) -> Commit {
    let reservation = row("reservation", id);
    let commit = keyed(ISSUER, key)
        .check(reservation.absent())
        .put(&reservation, fields!["amount" => amount, "state" => "live"])
        .event("reserved", id);
    match care {
        Care::NoExposure => commit,
        Care::NoLimit => commit.add(&exposure(), "amount", amount, ..),
        _ => commit.add(&exposure(), "amount", amount, ..=exposure().field("limit")),
    }
}

fn release(care: Care, key: &str, id: &str, amount: i64) -> Commit {
    let reservation = row("reservation", id);
    let commit = keyed(ISSUER, key);
    let commit = match care {
        Care::NoState => commit,
        _ => commit.check(reservation.field("state").eq("live")),
    };
    commit.merge(&reservation, [("state", "released")]).add(&exposure(), "amount", -amount, 0..)
}

fn script(world: &mut World, care: Care) {
    let opened = keyed(ISSUER, "open").put(&exposure(), fields!["amount" => 0, "limit" => 100]);
    assert!(world.send(&opened).is_done());
    world.send_all(&[
        reserve(care, "madrid-1", "R1", 60),
        reserve(care, "new-york-1", "R2", 60),
        reserve(care, "madrid-2", "R3", 40),
        reserve(care, "new-york-2", "R3", 1),
    ]);
    world.send_all(&[release(care, "madrid-3", "R3", 40), release(care, "new-york-3", "R3", 40)]);
    world.send(&release(care, "madrid-4", "R1", 60));
    world.send_all(&[reserve(care, "new-york-4", "R4", 100), reserve(care, "madrid-5", "R5", 1)]);
}

fn check(history: &History) -> Result<(), String> {
    for moment in &history.0 {
        let live = moment.table(ISSUER, "reservation").values().filter(|row| text(row, "state") == "live");
        let sum: i128 = live.map(|row| int(row, "amount")).sum();
        let Some(issuer) = moment.row(ISSUER, "issuer", "exposure") else {
            holds(sum == 0, moment, || "reservations without an issuer".into())?;
            continue;
        };
        let (exposure, limit) = (int(issuer, "amount"), int(issuer, "limit"));
        holds(exposure == sum, moment, || format!("exposure is {exposure}, {sum} is live"))?;
        holds(exposure <= limit, moment, || format!("exposure {exposure} is above the limit {limit}"))?;
    }
    Ok(())
}

#[test]
fn exposure_is_what_is_live_and_within_the_limit_at_every_index() {
    every_crash(&[ISSUER], |world| script(world, Care::Full), check);
    let mut world = World::new(&[ISSUER], Crash::Never);
    script(&mut world, Care::Full);
    let refused: Vec<(String, String)> =
        world.outcomes().into_iter().filter(|(_, outcome)| outcome != "done").collect();
    let no = |key: &str, rule: &str| (key.to_owned(), rule.to_owned());
    let expected = [
        no("madrid-5", "add.ceiling"),
        no("new-york-1", "add.ceiling"),
        no("new-york-2", "check.absent"),
        no("new-york-3", "check.compare"),
    ];
    assert_eq!(refused, expected);
}

#[test]
fn the_checker_sees_a_desk_that_is_careless() {
    let bugs = [
        (Care::NoLimit, "above the limit"),
        (Care::NoState, "exposure is"),
        (Care::NoExposure, "exposure is"),
    ];
    for (care, what) in bugs {
        must_be_seen(&[ISSUER], |world| script(world, care), check, what);
    }
}

/// A timeout is settled and not guessed at: a reservation whose answer was not heard is resolved; if it was not
/// done, it is sent under another key, and the delayed original never is.
#[test]
fn a_timeout_becomes_an_answer() {
    for die in [Crash::Before, Crash::After, Crash::Unheard] {
        // The second operation of the disk is the reservation's record.
        let mut world = World::new(&[ISSUER], die(1));
        world.send(&keyed(ISSUER, "open").put(&exposure(), fields!["amount" => 0, "limit" => 100]));
        let original = reserve(Care::Full, "madrid-1", "R1", 60);
        world.try_send(&original).expect_err("nobody hears of it");
        let status = world.resolve(ISSUER, "madrid-1").unwrap();
        let lost = matches!(die(1), Crash::Before(_));
        assert_eq!(status, if lost { "ABORTED" } else { "COMMITTED" });
        if lost {
            assert!(world.send(&reserve(Care::Full, "madrid-1/2", "R1", 60)).is_done());
        }
        assert_eq!(world.send(&original).is_done(), !lost);
        check(&world.history()).unwrap();
        assert_eq!(int(&world.read(ISSUER, &exposure()).unwrap(), "amount"), 60);
    }
}
