//! The first program on tokio: a cabin is held if it is free.
//! `cargo run -p seawall-net --features tokio --example async_first [HOST:PORT]`
#![allow(clippy::print_stdout, reason = "a program for people")]

use seawall::client::tokio::Client;
use seawall::{Commit, Outcome, row};

#[tokio::main(flavor = "current_thread")]
async fn main() -> seawall::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7411".to_owned());
    let mut db = Client::connect(address).await?;
    let sailing = "HP-2026-07-14"; // the scope of the invariant
    let (cabin, total) = (row("cabin", "C14"), row("total", "held"));
    let hold = Commit::new(sailing)
        .key("hold-BK-88421") // send it again as often as you like
        .check(cabin.field("state").eq("free"))
        .merge(&cabin, [("state", "held"), ("by", "BK-88421")])
        .add(&total, "count", 1, ..=total.field("limit"))
        .event("cabin-held", "C14");
    match db.commit(&hold).await? {
        Outcome::Committed(c) => println!("held, {} replayed={}", c.token, c.replayed),
        Outcome::Rejected(why) => println!("no: {why}"),
        Outcome::Unknown(key) => println!("settled: {:?}", db.resolve(sailing, key).await?),
    }
    let now = db.get(sailing, &cabin).await?; // linearizable; the session is kept
    println!("{:?} as of {}", now.row, now.token);
    Ok(())
}
