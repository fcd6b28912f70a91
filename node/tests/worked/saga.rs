//! A trip over three partitions, which no commit can hold together: a saga of keyed steps, each with its
//! compensation, and a row that says where it stands. Wherever its coordinator or the node dies, the next coordinator
//! ends it: with all of it, or with nothing.

use seawall::{Commit, RowRef, row};

use crate::fields;
use crate::history::{History, holds, int, text};
use crate::world::{Answer, Crash, Unheard, World, every_crash, keyed, must_be_seen};

const SAGA: &str = "saga-7";
const STEPS: [&str; 3] = ["flight", "hotel", "car"];
const ALL: [&str; 4] = ["flight", "hotel", "car", SAGA];
const ROOM: i64 = 2;

#[derive(Clone, Copy, PartialEq)]
enum Care {
    Full,
    /// The last step that was done is not compensated.
    NoLast,
    /// A compensation gives back without a look at the booking.
    NoBooking,
    /// Each coordinator has keys of its own, and steps do not look.
    NoKey,
}

/// What becomes of the third step.
#[derive(Clone, Copy, PartialEq)]
enum Third {
    Fits,
    /// There is no car.
    Full,
    /// Nobody waits for an answer: the step is resolved, and the saga goes back.
    GivenUp,
}

fn stock() -> RowRef {
    row("stock", "free")
}

fn booking() -> RowRef {
    row("booking", SAGA)
}

fn step(care: Care, life: usize, name: &str) -> Commit {
    let key = match care {
        Care::NoKey => format!("{SAGA}:{name}:{life}"),
        _ => format!("{SAGA}:{name}"),
    };
    let commit = keyed(name, &key);
    let commit = if care == Care::NoKey { commit } else { commit.check(booking().absent()) };
    commit.put(&booking(), fields!["state" => "booked"]).add(&stock(), "count", -1, 0..)
}

fn compensate(care: Care, name: &str) -> Commit {
    let commit = keyed(name, &format!("{SAGA}:compensate:{name}"));
    let commit = match care {
        Care::NoBooking => commit,
        _ => commit.check(booking().field("state").eq("booked")),
    };
    commit.merge(&booking(), [("state", "cancelled")]).add(&stock(), "count", 1, ..)
}

/// The saga goes from one state to another; it is at `done` steps then.
fn moves(from: (&str, usize), to: (&str, usize)) -> Commit {
    let saga = row("saga", "state");
    keyed(SAGA, &format!("{}:{}", to.0, to.1))
        .check(saga.field("state").eq(from.0))
        .check(saga.field("done").eq(from.1 as i64))
        .merge(&saga, fields!["state" => to.0, "done" => to.1 as i64])
}

/// One coordinator: it reads where the saga stands, and goes on from there until it is ended.
fn coordinate(world: &mut World, care: Care, third: Third, life: usize) -> Result<(), Unheard> {
    loop {
        let saga = world.read(SAGA, &row("saga", "state")).expect("it was begun");
        let done = usize::try_from(int(&saga, "done")).unwrap();
        let next = match text(&saga, "state") {
            "running" if done == STEPS.len() => ("done", done),
            "running" => {
                let name = STEPS[done];
                let given_up = third == Third::GivenUp && done == 2 && {
                    let status = world.resolve(name, &format!("{SAGA}:{name}"))?;
                    assert_eq!(status, "ABORTED", "nobody sent it");
                    true
                };
                match given_up || !world.try_send(&step(care, life, name))?.is_done() {
                    true => ("compensating", done),
                    false => ("running", done + 1),
                }
            }
            "compensating" if done == 0 => ("compensated", 0),
            "compensating" => {
                if care != Care::NoLast || done == 1 {
                    world.try_send(&compensate(care, STEPS[done - 1]))?;
                }
                ("compensating", done - 1)
            }
            _ => return Ok(()),
        };
        world.try_send(&moves((text(&saga, "state"), done), next))?;
    }
}

fn script(world: &mut World, care: Care, third: Third) {
    for name in STEPS {
        let room = if name == "car" && third == Third::Full { 0 } else { ROOM };
        world.send(
            &keyed(name, &format!("open:{name}")).put(&stock(), fields!["count" => room, "of" => room]),
        );
    }
    world.send(&keyed(SAGA, "begin").put(&row("saga", "state"), fields!["state" => "running", "done" => 0]));
    for life in 0.. {
        if coordinate(world, care, third, life).is_ok() {
            break;
        }
    }
    // What was delayed on the way arrives now.
    for name in STEPS {
        if care != Care::NoKey {
            let late: Answer = world.send(&step(care, 0, name));
            assert!(name != "car" || late.is_done() == (third == Third::Fits));
        }
    }
}

/// At each index nothing is given away twice or comes back twice, and the saga's row says only what is true.
fn check(history: &History) -> Result<(), String> {
    for moment in &history.0 {
        let booked = |name: &str| {
            moment.row(name, "booking", SAGA).is_some_and(|booking| text(booking, "state") == "booked")
        };
        for name in STEPS {
            let Some(stock) = moment.row(name, "stock", "free") else { continue };
            let (free, of) = (int(stock, "count"), int(stock, "of"));
            let taken = i128::from(booked(name));
            holds(free + taken == of, moment, || format!("{name}: {free} free, {taken} booked of {of}"))?;
        }
        let saga = moment.row(SAGA, "saga", "state").map_or("", |saga| text(saga, "state"));
        let count = STEPS.iter().filter(|name| booked(name)).count();
        let message = || format!("the saga is {saga}, and {count} steps are booked");
        holds(saga != "done" || count == STEPS.len(), moment, message)?;
        holds(saga != "compensated" || count == 0, moment, message)?;
    }
    let last = history.last();
    let saga = last.row(SAGA, "saga", "state").map_or("", |saga| text(saga, "state"));
    holds(["done", "compensated"].contains(&saga), last, || format!("the saga ended as {saga}"))
}

#[test]
fn a_saga_ends_with_all_of_it_or_with_nothing() {
    for (third, end) in [(Third::Fits, "done"), (Third::Full, "compensated"), (Third::GivenUp, "compensated")]
    {
        every_crash(&ALL, |world| script(world, Care::Full, third), check);
        let mut world = World::new(&ALL, Crash::Never);
        script(&mut world, Care::Full, third);
        let saga = world.read(SAGA, &row("saga", "state")).unwrap();
        assert_eq!(text(&saga, "state"), end);
    }
}

#[test]
fn the_checker_sees_a_coordinator_that_is_careless() {
    let lost = "and 1 steps are booked";
    must_be_seen(&ALL, |world| script(world, Care::NoLast, Third::Full), check, lost);
    // The flight is given back although it was never booked.
    let back = |world: &mut World| {
        script(world, Care::Full, Third::Full);
        world.send(&compensate(Care::NoBooking, "car"));
    };
    must_be_seen(&ALL, back, check, "free, 0 booked");
}

/// Without a key of its own a step is done again by whoever comes after a crash: the checker must see it.
#[test]
fn the_checker_sees_a_step_without_a_key() {
    let seen = (0..30).any(|nth| {
        let mut world = World::new(&ALL, Crash::After(nth));
        script(&mut world, Care::NoKey, Third::Fits);
        check(&world.history()).is_err()
    });
    assert!(seen, "no crash makes a step happen twice");
}
