//! The replication protocol of `docs/replication.md` as a model that is checked exhaustively.
#![forbid(unsafe_code)]

pub mod cases;
pub mod check;
pub mod describe;
pub mod document;
mod follow;
mod ghost;
mod lead;
pub mod log;
mod promote;
pub mod protocol;
pub mod rules;
pub mod scope;
pub mod state;
pub mod witness;
