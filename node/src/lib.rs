//! The Seawall node.
//!
//! ```text
//! seam/     what a worker hears and what it asks for: plain data
//! worker/   what one core owns: connections and shards behind one synchronous step()     no I/O, clock, threads
//! shard/    one log + one state: admits, applies, releases                                no I/O, clock, threads
//! driver/   rings, sockets, files, clock, mailboxes: executes effects, reports events    all of the unsafe
//! service/  what is off the hot path: the admin port
//! authority/ the partition map as it is kept
//! config/   every parameter, its value and where the value comes from
//! cli/      the `seawall` binary, one file a verb
//! fuzz.rs   one door for each decoder of what comes from outside
//! ```
pub mod authority;
pub mod cli;
pub mod config;
pub mod driver;
pub mod fuzz;
pub mod json;
pub mod params;
pub mod seam;
pub mod service;
pub mod shard;
pub mod worker;
