//! The simulated world: the very workers of the node over a simulated disk, network and clock, with clients that
//! speak the real protocol, and checkers that hold every answer against the log that remains.
//!
//! The way of a run: a [`plan`] draws a world from a seed, [`world`] lives it event by event, [`check`] judges the
//! [`history`] by the final log. [`cluster`] is the same with
//! several nodes. [`one_log`] is a smaller world: a log by itself, on a disk that also damages its data.
//! Equal seeds give equal [`trace`] hashes. `src/bin/sim.rs` runs many.
#![forbid(unsafe_code)]

pub mod check;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod disk;
pub mod fault;
pub mod history;
pub mod net;
pub mod one_log;
pub mod plan;
pub mod plants;
pub mod powercut;
pub mod random;
pub mod run;
pub mod skip;
pub mod store;
pub mod trace;
pub mod world;
