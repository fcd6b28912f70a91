//! Reservations: a sailing has ten places, four agents sell them to twenty parties at once, and no eleventh is sold.
//! Run it again, and every request is answered as it was: nothing happens twice.
//! `cargo run -p seawall-net --example reservations [HOST:PORT]`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people; its agents are threads"
)]

use std::thread;

use seawall::client::Settled;
use seawall::{Client, Code, Commit, Outcome, RowRef, row};

const SAILING: &str = "FJORD-2026-08-01";
const PLACES: i64 = 10;
const AGENTS: usize = 4;
const PARTIES: usize = 20;

fn main() -> seawall::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7411".to_owned());
    let mut db = Client::connect(&address)?;
    // Under a key, so that a second run does not give the places back.
    let open = Commit::new(SAILING).key("open").put(&places(), [("limit", PLACES), ("taken", 0)]);
    assert!(commit(&mut db, &open)?, "nothing forbids it");

    let agents: Vec<_> = (0..AGENTS)
        .map(|agent| {
            let address = address.clone();
            thread::spawn(move || sell(&address, agent))
        })
        .collect();
    let mut sold = 0;
    for agent in agents {
        sold += agent.join().expect("an agent does not panic")?;
    }

    let now = db.get(SAILING, &places())?;
    println!("sold {sold} of {PARTIES}; {} as of {}", now.row.unwrap_or_default(), now.token);
    assert_eq!(sold, PLACES as usize);
    Ok(())
}

/// The counter that must not pass its limit; both are fields of one row.
fn places() -> RowRef {
    row("places", "all")
}

/// Each agent serves every fourth party and returns how many got a place.
fn sell(address: &str, agent: usize) -> seawall::Result<usize> {
    let mut db = Client::connect(address)?;
    let mut sold = 0;
    for party in (agent..PARTIES).step_by(AGENTS) {
        let name = format!("party-{party}");
        let booking = row("booking", &name);
        let reserve = Commit::new(SAILING)
            .key(format!("reserve-{name}"))
            .check(booking.absent())
            .add(&places(), "taken", 1, ..=places().field("limit"))
            .put(&booking, [("agent", agent as i64)])
            .event("reserved", &name);
        sold += usize::from(commit(&mut db, &reserve)?);
    }
    Ok(sold)
}

/// Whether it happened; that nobody knows yet is no answer to give to a guest, so it is settled.
fn commit(db: &mut Client, commit: &Commit) -> seawall::Result<bool> {
    match db.commit(commit)? {
        Outcome::Committed(_) => Ok(true),
        Outcome::Rejected(why) if why.code == Code::Constraint => Ok(false), // sold out
        Outcome::Rejected(why) => panic!("nothing else can be in the way: {why}"),
        Outcome::Unknown(unknown) => {
            let settled = db.resolve(SAILING, unknown)?;
            Ok(matches!(settled, Settled::Committed(_)))
        }
    }
}
