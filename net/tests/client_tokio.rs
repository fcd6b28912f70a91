//! The client on tokio against a node that plays a script: what holds for the blocking one holds for it, and a future
//! that is dropped harms nobody.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a scripted node has a socket and a thread"
)]

#[path = "scenarios/calls.rs"]
mod calls;
#[path = "tokio/dropped.rs"]
mod dropped;
#[path = "scenarios/keys.rs"]
mod keys;
mod scripted;
#[path = "tokio/waited.rs"]
mod waited;

use waited::{Client, Pipeline};
