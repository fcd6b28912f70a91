//! The first program: put a row, read it back. `cargo run -p seawall-net --example first [HOST:PORT]`
#![allow(clippy::print_stdout, reason = "a program for people")]

use seawall::{Client, Commit, Outcome, row};

fn main() -> seawall::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7411".to_owned());
    let mut db = Client::connect(address)?;
    let sailing = "HP-2026-07-14"; // the scope of the invariant
    let cabin = row("cabin", "C14");
    let hold = Commit::new(sailing).put(&cabin, [("state", "held"), ("by", "BK-88421")]);
    match db.commit(&hold)? {
        Outcome::Committed(c) => println!("held, {} replayed={}", c.token, c.replayed),
        Outcome::Rejected(why) => println!("no: {why}"),
        Outcome::Unknown(unknown) => println!("perhaps: {unknown}"),
    }
    let now = db.get(sailing, &cabin)?; // linearizable; the session is kept
    match now.row {
        Some(row) => println!("{cabin} {row} as of {}", now.token),
        None => println!("{cabin} is not there as of {}", now.token),
    }
    Ok(())
}
