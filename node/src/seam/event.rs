//! Everything that can happen to a worker. A driver, or the simulated world, reports; it never decides.

use std::sync::Arc;

use seawall::map::{Generation, Map, MemberId, ShardId};
use seawall_wal::recover::Files;
use seawall_wal::{Buffer, Done, Flaw, FoldDone};

use super::letter::Letter;
use super::order::Order;

/// One worker of this node, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerId(pub u16);

/// A connection of one worker. The driver gives the number; `serial` differs each time that `slot` is given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId {
    pub slot: u32,
    pub serial: u32,
}

/// The time of a step. The driver samples it after it has reaped the completions it reports (R17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_BOOTTIME in microseconds: never goes backwards, meaningless across machines and starts.
    pub mono_us: u64,
    /// The wall clock in microseconds since 1970, UTC: may jump.
    pub wall_us: i64,
}

/// The operating system's error number for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketError(pub i32);

/// What stands in the directory of one shard's log when the process starts.
#[derive(Debug)]
pub struct LogFound {
    /// Slots and checkpoints whose file has its final name.
    pub files: Files,
    /// The pool that the log writes and reads with; see [`seawall_wal::LogLimits::buffers`].
    pub buffers: Vec<Buffer>,
}

#[derive(Debug)]
pub enum Event {
    /// First for each shard of this worker, and after each `Effect::Reopen`: its log was found on disk. Recovery starts
    /// here.
    Boot { shard: ShardId, found: LogFound },
    /// The partition map, at the start and whenever it changes.
    MapChanged(Arc<Map>),
    /// Answers one `Effect::AskMap`: this was the newest map at a time after it was asked for.
    NewestMap { shard: ShardId, round: u64, generation: Generation },
    /// A whole frame of another member of the cluster, addressed to a shard of this worker.
    Heard { from: MemberId, shard: ShardId, frame: Vec<u8> },
    /// A client connected.
    Accepted { conn: ConnId },
    /// Ends one `Effect::Receive`: `buf` is back; `Ok(0)` means that the peer sends nothing more.
    Received { conn: ConnId, buf: Vec<u8>, result: Result<usize, SocketError> },
    /// Ends one `Effect::Send`: `buf` is back; fewer bytes than offered is no error.
    Sent { conn: ConnId, buf: Vec<u8>, result: Result<usize, SocketError> },
    /// Ends one `Effect::Close`, after every other operation of the connection ended.
    Closed { conn: ConnId },
    /// Ends one `Effect::Disk`, unless it was a fold.
    Disk { shard: ShardId, done: Done },
    /// Ends one `Effect::Disk` that was a fold. None comes for one that was broken off at the end of the process.
    Folded { shard: ShardId, done: FoldDone },
    /// Ends one `Effect::Scrub`.
    Scrubbed { shard: ShardId, round: u64, result: Result<(), Flaw> },
    /// From another worker of this node.
    Mail { from: WorkerId, letter: Letter },
    /// Somebody asks how this worker is; answered by `Effect::Status` with the same ticket.
    StatusAsked { ticket: u64 },
    /// An operator says that the wall clock, which `shard` does not trust, is right to be where it is (R18).
    ClockAccepted { shard: ShardId },
    /// The log switched to another way of making writes durable; in words, for HELLO.
    DurableBy(&'static str),
    /// An operator tells `shard` of this member something. Answered once, by `Effect::Obeyed` with the same ticket,
    /// after [`crate::params::ORDER_PATIENCE_US`] at the latest unless the authority owes an answer.
    Ordered { shard: ShardId, ticket: u64, order: Box<Order> },
    /// Time passes; about ten times a second.
    Tick,
    /// Take no new work, finish what is under way, then emit `Effect::Stopped`.
    Stop,
    /// The driver has nothing more to report right now: open batches are sealed and replies go out here, so that
    /// one write carries everything that arrived together.
    EndOfTurn,
}
