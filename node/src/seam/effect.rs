//! Everything that a worker can ask for. A driver executes each effect once and reports one event.

use seawall::map::{Map, MemberId, ShardId};
use seawall_wal::{Io, ScrubJob, recover::Report};

use super::event::{ConnId, WorkerId};
use super::letter::Letter;
use super::order::Obeyed;
use super::status::WorkerStatus;

#[derive(Debug)]
pub enum Effect {
    /// Receive into `buf[from..]`, at least one byte. Ends with `Event::Received`.
    Receive { conn: ConnId, buf: Vec<u8>, from: usize },
    /// Send `buf[from..]`. Ends with `Event::Sent`. At most one per connection is under way.
    Send { conn: ConnId, buf: Vec<u8>, from: usize },
    /// Shut the connection down, let its other operations end, then report `Event::Closed`. `conn` is dead after.
    Close { conn: ConnId },
    /// One operation on the log of `shard`. Ends with `Event::Disk`, a fold with `Event::Folded`.
    Disk { shard: ShardId, io: Io },
    /// Put `letter` into the mailbox of another worker. There is always room: the sender counts.
    Mail { to: WorkerId, letter: Letter },
    /// The answer to `Event::StatusAsked`.
    Status { ticket: u64, status: WorkerStatus },
    /// Recovery of `shard` ended, well or halted: show it and store it. No event follows.
    Recovered { shard: ShardId, report: Box<Report> },
    /// The log of `shard` failed and stays failed (R4): say so, loudly. No event follows.
    LogFailed { shard: ShardId, why: String },
    /// The log of `shard` cannot grow: commits are refused until it can. Said when it begins. No event follows.
    NoSpace { shard: ShardId, why: String },
    /// There will be no newer checkpoint of `shard` until this is mended: its log grows. No event follows.
    FoldFailed { shard: ShardId, why: String },
    /// A whole frame for another member of the cluster. It may be lost, and nothing says so. No event follows.
    Say { to: MemberId, frame: Vec<u8> },
    /// Ask the authority to make this the map, if the one before it is still the newest. The answer is
    /// `Event::MapChanged`, sooner, later or never.
    Propose { map: Box<Map> },
    /// Ask the authority which map is the newest, from now on. The answer is `Event::NewestMap`, after a map that is
    /// newer than what is known was told, sooner, later or never.
    AskMap { shard: ShardId, round: u64 },
    /// The log of `shard` has nothing under way: look for its files again, and report `Event::Boot`.
    Reopen { shard: ShardId },
    /// The answer to `Event::Ordered`.
    Obeyed { ticket: u64, obeyed: Obeyed },
    /// `shard` of this member found what must not be, and stands still until somebody clears it (R25): say so, loudly.
    /// No event follows.
    ReplicaHalted { shard: ShardId, why: String },
    /// `shard` of this member refused what its leader sent, or cannot go on with what it has: say so, loudly. No event
    /// follows.
    ReplicaTroubled { shard: ShardId, why: String },
    /// R13: from now on commits are refused, for want of members that they wait for.
    CommitsRefused { shard: ShardId, why: String },
    /// R22: from now on this follower serves no read, since how old its state is was proven too long ago; without `why` it
    /// serves reads again. No event follows.
    Unproven { shard: ShardId, why: Option<String> },
    /// An accepted loss took what the log of `shard` cannot give up by itself: it begins anew (R12). No event follows.
    ReplicaReseeds { shard: ShardId, why: String },
    /// Read this file again, no faster than so many bytes a second, in a thread that no commit waits for, and judge it with
    /// [`ScrubJob::run`]. Ends with `Event::Scrubbed`, unless it was broken off at the end of the process.
    Scrub { shard: ShardId, round: u64, job: ScrubJob, bytes_per_second: u64 },
    /// What `shard` keeps is rotten where nobody needs it now: say so, loudly. No event follows.
    Rotten { shard: ShardId, why: String },
    /// After `Event::Stop`: nothing is under way any more.
    Stopped,
}

/// The effects of a step, in the order in which they are to be executed.
pub type Effects = Vec<Effect>;
