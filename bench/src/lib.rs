//! What the node costs: a load generator that speaks the wire, and microbenchmarks of the pieces.
//!
//! ```text
//! load/       many connections, each with a number of requests under way; latencies and rates
//! log/        the log alone on the node's driver: no sockets, no shard
//! echo        a round trip over loopback, which no answer can be faster than
//! copy        bytes over loopback, which no stream can be faster than
//! ../benches  codec, log, core and fold without sockets and disks (criterion)
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "load is made of clocks, sockets, files, threads and printing"
)]

pub mod about;
pub mod copy;
pub mod echo;
pub mod load;
pub mod log;
mod parse;
