//! The real binary as strangers meet it: its configuration file, its admin port, its end.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of a real process")]

mod config;
mod data;
mod end;
mod hostile;
mod node;
mod packaging;
mod routes;
