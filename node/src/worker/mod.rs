//! What one core owns: its connections and its shards, behind one synchronous function.

mod effect;
mod event;

pub use effect::{Effect, Effects};
pub use event::{ConnId, Event, LogFound, Now, SocketError, WorkerId};
