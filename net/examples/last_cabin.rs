//! The last cabin: two guests want it, one gets the hold, and only who still has the hold can book, once.
//! `cargo run -p seawall-net --example last_cabin [HOST:PORT]`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people; its guests are threads"
)]

use std::thread;

use seawall::client::{Committed, Settled};
use seawall::message::term::Ttl;
use seawall::{Client, Commit, Outcome, Refusal, RowRef, row};

const SAILING: &str = "FJORD-2026-09-12";

fn main() -> seawall::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7411".to_owned());
    let guests: Vec<_> = ["ada", "grace"]
        .map(|guest| {
            let address = address.clone();
            (guest, thread::spawn(move || want(&address, guest)))
        })
        .into();
    for (guest, wanted) in guests {
        match wanted.join().expect("a guest does not panic")? {
            Ok(booked) => println!("{guest} booked C14 at {}", booked.version),
            Err(why) => println!("{guest} was told: {why}"),
        }
    }
    let booking = Client::connect(&address)?.get(SAILING, &booking())?;
    println!("the booking: {} as of {}", booking.row.unwrap_or_default(), booking.token);
    Ok(())
}

fn hold() -> RowRef {
    row("hold", "C14")
}

fn booking() -> RowRef {
    row("booking", "C14")
}

/// Holds the cabin for ten minutes, then books it under that very hold.
fn want(address: &str, guest: &str) -> seawall::Result<Result<Committed, Refusal>> {
    let mut db = Client::connect(address)?;
    let ten_minutes = Ttl::from_ms(600_000).expect("within the limits");
    let take = Commit::new(SAILING)
        .key(format!("hold-{guest}"))
        .check(booking().absent())
        .check(hold().absent())
        .put_for(&hold(), [("by", guest)], ten_minutes);
    let held = match decided(&mut db, &take)? {
        Ok(held) => held,
        Err(why) => return Ok(Err(why)),
    };
    // The version is the fencing token: a hold that expired and was taken again has another one.
    let book = Commit::new(SAILING)
        .key(format!("book-{guest}"))
        .check(hold().version().eq(held.version))
        .delete(&hold())
        .put(&booking(), [("guest", guest)])
        .event("booked", "C14");
    decided(&mut db, &book)
}

/// What was decided; what nobody knows is settled first.
fn decided(db: &mut Client, commit: &Commit) -> seawall::Result<Result<Committed, Refusal>> {
    loop {
        let unknown = match db.commit(commit)? {
            Outcome::Committed(done) => return Ok(Ok(done)),
            Outcome::Rejected(why) => return Ok(Err(why)),
            Outcome::Unknown(unknown) => unknown,
        };
        match db.resolve(SAILING, unknown)? {
            Settled::Committed(done) => return Ok(Ok(done)),
            Settled::Rejected(why) => return Ok(Err(why)),
            // It never happened; sent once more, it is told so by a rejection.
            Settled::Aborted | Settled::InFlight | Settled::Unseen(_) => {}
            end @ (Settled::Expired | Settled::Lost) => panic!("a key of this minute cannot be {end:?}"),
        }
    }
}
