//! R23: a checkpoint on its way to a follower, and connections that are lost meanwhile.

use seawall::message::Commit;
use seawall::row;

use crate::duo::{Duo, FOLLOWER, LEADER};
use crate::forgery::next_piece;
use crate::snapshot::folding;
use crate::volatile::Crash;

const SECOND: u64 = 1_000_000;
const ROWS: u64 = 40;

/// A leader with a checkpoint of many pieces, and an empty follower that has the first four of them.
fn halfway() -> (Duo, u64) {
    let mut duo = Duo::new(folding(), 1);
    duo.start(LEADER);
    duo.pass(3 * SECOND);
    for n in 0..2 * ROWS {
        let key = format!("r{}", n % ROWS);
        let commit = Commit::new("p").put(&row("t", key.as_str()), [("a", format!("{n:02000}"))]);
        duo.send_commit(LEADER, &commit);
        duo.settle();
    }
    duo.pass(SECOND);
    duo.start(FOLLOWER);
    let pieces = pieces_until(&mut duo, |duo, seen| seen.len() == 5 && next_piece(duo).is_some());
    assert!(duo.members[FOLLOWER].disk.offered.len() as u64 >= pieces[4]);
    (duo, pieces[4])
}

/// Where the pieces begin that arrive from now on, until it is enough.
fn pieces_until(duo: &mut Duo, enough: impl Fn(&Duo, &[u64]) -> bool) -> Vec<u64> {
    let mut seen = Vec::new();
    for _ in 0..10_000 {
        seen.extend(next_piece(duo));
        if enough(duo, &seen) {
            return seen;
        }
        duo.go_on();
    }
    panic!("it is never enough: {seen:?}, {:?}", duo.following())
}

fn streams(duo: &mut Duo) -> Vec<u64> {
    let mut seen = Vec::new();
    for _ in 0..10_000 {
        if duo.status(FOLLOWER).state == "streaming" {
            return seen;
        }
        seen.extend(next_piece(duo));
        duo.go_on();
    }
    panic!("it never streams: {seen:?}, {:?}", duo.status(FOLLOWER))
}

/// The leader greets it anew, and goes on where it was: one piece asks how far that is.
#[test]
fn a_transfer_goes_on_where_a_lost_connection_ended_it() {
    let (mut duo, had) = halfway();
    duo.wire.clear();
    duo.parted = true;
    duo.pass(3 * SECOND);
    duo.parted = false;
    let seen = streams(&mut duo);
    let again: Vec<&u64> = seen.iter().filter(|offset| **offset < had).collect();
    assert!(again.iter().all(|offset| **offset == 0), "{again:?} of {seen:?}, and it had {had}");
    assert!(seen.contains(&had), "{seen:?}");
    assert_eq!(duo.following().validated, duo.status(LEADER).durable);
}

/// What it had was in no log and had no name.
#[test]
fn a_transfer_begins_anew_after_a_death() {
    let (mut duo, had) = halfway();
    duo.crash_and_start(FOLLOWER, &Crash::Process);
    let seen = streams(&mut duo);
    assert!(seen.first() == Some(&0) && seen.iter().filter(|offset| **offset < had).count() > 2, "{seen:?}");
    assert_eq!(duo.following().validated, duo.status(LEADER).durable);
}
