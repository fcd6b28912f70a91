//! The replication protocol of `docs/replication.md` as a model that is checked exhaustively.
//!
//! [`protocol::Protocol`] is rules and a scope; from a state it names what can happen next, and does it. The deeds stand
//! by who does them: [`lead`], [`follow`], [`promote`]. Nobody in the model can see [`state::Ghost`]: it is what the
//! invariants in [`ghost`] are held against. [`check`] walks, [`cases`] says what to take away.
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
