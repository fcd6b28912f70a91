//! The blocking client against a node that plays a script.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a scripted node has a socket and a thread"
)]

#[path = "scenarios/calls.rs"]
mod calls;
#[path = "scenarios/keys.rs"]
mod keys;
mod scripted;

use seawall::client::{Client, Pipeline};
