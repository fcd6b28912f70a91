//! The seam between the core and the world: everything that can happen to a worker, and everything that it can ask
//! for. Plain data, so that a driver and a simulator are the same to the core.

mod effect;
mod event;
mod letter;
mod link;
pub mod order;
mod status;

pub use effect::{Effect, Effects};
pub use event::{ConnId, Event, LogFound, Now, SocketError, WorkerId};
pub use letter::Letter;
pub use link::{LinkEffect, LinkEvent, LinkStatus};
pub use status::{
    FollowerStatus, MemberStatus, Replication, ReseedStatus, ScrubRound, ScrubStatus, ShardStatus,
    WorkerStatus,
};
