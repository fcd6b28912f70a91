//! What a client decides, without a clock, a socket or a wait.
//!
//! The way of a call: an [`ask::Request`] is what is sent and what it ends with; [`call::Call`] tries it, over a
//! [`line::Line`], for as long as [`retry`] lets it; [`answer`] says what came of it. What a client keeps from one call
//! to the next is in [`state`]. A shell does what [`call::Want`] says, and nothing on its own.
//!
//! Here the bans of the core hold: clippy.toml has them.

pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod call;
pub(crate) mod commit;
pub(crate) mod flight;
pub(crate) mod line;
pub(crate) mod read;
pub(crate) mod report;
pub(crate) mod retry;
pub(crate) mod scan;
pub(crate) mod settle;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod watch;

/// A point in time. Laws are told what time it is.
#[allow(clippy::disallowed_types, reason = "only its name: to read the clock stays banned")]
pub(crate) type Instant = std::time::Instant;
