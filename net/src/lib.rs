//! Seawall on the wire, and the thin client.
//!
//! The way of a request: bytes -> [`frame`] (whole and undamaged) -> [`message`] (checked, borrowed) -> the node. The
//! way back: [`reply`] or [`refusal`] -> frame -> bytes. [`session`] joins the two for each end of a connection.
//!
//! What members of a cluster say to each other is in [`replication`], made of the same frames.
//!
//! What rows are made of: [`value`] in [`row`](mod@row)s, named by [`key`]s, found by an [`address`] whose hash the [`map`]
//! gives to a shard. Where things stand in history: [`position`] and [`token`].
//!
//! ```no_run
//! use seawall::{Client, Commit, Outcome, row};
//!
//! fn main() -> seawall::Result<()> {
//!     let mut db = Client::connect("127.0.0.1:7411")?;
//!     let sailing = "HP-2026-07-14"; // the scope of the invariant
//!     let (cabin, total) = (row("cabin", "C14"), row("total", "held"));
//!     let hold = Commit::new(sailing)
//!         .key("hold-BK-88421") // send it again as often as you like
//!         .check(cabin.field("state").eq("free"))
//!         .merge(&cabin, [("state", "held"), ("by", "BK-88421")])
//!         .add(&total, "count", 1, ..=total.field("limit"))
//!         .event("cabin-held", "C14");
//!     match db.commit(&hold)? {
//!         Outcome::Committed(c) => println!("held, {} replayed={}", c.token, c.replayed),
//!         Outcome::Rejected(why) => println!("no: {why}"),
//!         Outcome::Unknown(key) => println!("settled: {:?}", db.resolve(sailing, key)?),
//!     }
//!     let now = db.get(sailing, &cabin)?; // linearizable; the session is kept
//!     println!("{:?} as of {}", now.row, now.token);
//!     Ok(())
//! }
//! ```
//!
//! [`Client`] is for applications; behind the feature `tokio`, `client::tokio` has the same calls to be awaited. But for
//! them, nothing here does I/O, reads a clock or starts a thread; and bytes from
//! outside never cause a panic.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod address;
pub mod client;
pub mod frame;
pub mod fuzz;
pub mod glance;
pub mod key;
pub mod limits;
mod list;
pub mod map;
pub mod message;
pub mod number;
mod percent;
pub mod position;
pub mod refusal;
pub mod replication;
pub mod reply;
pub mod row;
pub mod session;
pub mod tags;
mod time;
pub mod token;
pub mod value;
mod wire;

pub use address::{RowRef, row};
pub use client::{Client, Error, Outcome, Result};
pub use key::Key;
pub use list::{List, ListIter};
pub use message::Commit;
pub use message::condition::now;
pub use refusal::{Code, Refusal};
pub use row::Row;
pub use token::Token;
pub use value::Value;
pub use wire::{Malformed, check_name};
