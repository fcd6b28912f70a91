//! The clients: what they decide, once, and two ways to have it done.
//!
//! `laws` decides everything and touches nothing: what is sent, what an answer means, what may be sent again and when,
//! what is known at the end. It reads no clock and owns no socket; it says what it wants of the world and is told how
//! that went. `blocking` does it on the standard library alone; `tokio`, behind the feature of that name, does it
//! without blocking a thread. Neither starts a thread or a task.
//!
//! [`Client`] makes a call at a time, each within a deadline, and repeats only what the answer allows. [`Pipeline`]
//! keeps many requests under way and repeats nothing.

mod blocking;
mod laws;
#[cfg(feature = "tokio")]
pub mod tokio;

use std::time::Duration;

pub use blocking::{Client, Pipeline, Watching};
pub use laws::answer::{Committed, Doubt, Error, Got, Outcome, Result, Unknown};
pub use laws::report::{About, Fact, Report};
pub use laws::scan::{Page, PageRow, Scan};
pub use laws::settle::{SentKey, Settled};
pub use laws::watch::{Happened, SILENCE, Watch, What};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a call may take, all its attempts together.
    pub deadline: Duration,
    /// How often a call is tried at most.
    pub attempts: u32,
    /// The wait after the first attempt; it doubles from one to the next, with jitter.
    pub backoff: Duration,
    /// For the node's logs and status.
    pub client_name: String,
    /// Who the client acts for; empty: nobody in particular.
    pub identity: String,
    /// How long a watch may wait and hear nothing before its node counts as lost. A node with nothing to tell says so
    /// every second, so two seconds are the least that makes sense.
    pub silence: Duration,
    /// Whether commits without a key of the caller's are numbered, so that they can be repeated and resolved, too.
    pub session_keys: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            deadline: Duration::from_secs(5),
            attempts: 6,
            backoff: Duration::from_millis(10),
            client_name: concat!("seawall-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            identity: String::new(),
            silence: laws::watch::SILENCE,
            session_keys: false, // until every node of this version understands them
        }
    }
}

/// What tells clients apart: the name of a session, the jitter of its waits.
fn chance() -> [u8; 16] {
    #[allow(clippy::disallowed_types, reason = "two clients must differ, and nothing else rests on how")]
    use std::hash::{BuildHasher, Hasher, RandomState};
    #[allow(clippy::disallowed_types, reason = "the same")]
    let random = || u128::from(RandomState::new().build_hasher().finish());
    (random() << 64 | random()).to_le_bytes()
}
