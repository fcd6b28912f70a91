//! What the node costs: a load generator that speaks the wire, and microbenchmarks of the pieces.
//!
//! ```text
//! load/       many connections, each with a number of requests under way; latencies and rates
//! ../benches  codec, log and core without sockets and disks (criterion)
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "load is made of clocks, sockets, threads and printing"
)]

pub mod load;
