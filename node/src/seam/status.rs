//! What a worker says of itself when it is asked.

use seawall::map::{MemberId, Place, ShardId};

use super::event::WorkerId;
use super::link::LinkStatus;
use crate::shard::latency::Histogram;
use crate::shard::state::Memory;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerStatus {
    pub worker: WorkerId,
    pub connections: usize,
    /// Memory of replies and changes that wait for its clients, beyond a small share of each.
    pub output_bytes: usize,
    /// Clients that were hung up on because they took nothing while that was much.
    pub deaf: u64,
    pub shards: Vec<ShardStatus>,
    /// To other members, at the worker that has them.
    pub links: Vec<LinkStatus>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    pub shard: ShardId,
    /// `recovering`, `serving`, `failed` or `halted`; of a follower also what it does.
    pub state: &'static str,
    /// Why, when `state` is `failed` or `halted`, or what the log suffers from.
    pub reason: Option<String>,
    /// Its log is open. If not, nothing is known of positions, rows and checkpoints, and what stands there is no number.
    pub open: bool,
    /// It leads, or is alone, and its log cannot grow: commits are refused for want of room, or will be soon.
    pub full: bool,
    pub epoch: u64,
    /// The highest index that is durable here; with one replica also the committed one.
    pub durable: u64,
    /// The highest index given out.
    pub appended: u64,
    pub rows: usize,
    /// Outcomes kept under request keys.
    pub outcomes: usize,
    /// Commits by the time from their append until they were committed.
    pub commits: Histogram,
    /// Where the memory is, and how much there may be.
    pub memory: Memory,
    pub memory_limit: u64,
    pub log_writes: u64,
    pub log_bytes: u64,
    /// The highest index in the newest checkpoint; 0 without one.
    pub checkpoint: u64,
    pub checkpoint_bytes: u64,
    pub scrub: ScrubStatus,
    /// `None`: the node is alone.
    pub replication: Option<Replication>,
}

/// What is kept, read again. All of it since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubStatus {
    /// 0: never.
    pub bytes_per_second: u64,
    /// The file that is read now.
    pub reading: Option<String>,
    /// The round that goes on.
    pub round: Option<ScrubRound>,
    /// How many came to their end.
    pub rounds: u64,
    pub last: Option<ScrubRound>,
    /// What was not whole, as it was found last.
    pub found: Option<String>,
}

/// A round: everything that is kept, once. Its times are by CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubRound {
    pub began_us: u64,
    /// 0: it goes on.
    pub ended_us: u64,
    pub files: u64,
    pub bytes: u64,
    /// So many of the files were not whole; so many could not be looked at, and the next round tries again.
    pub rotten: u64,
    pub unread: u64,
}

/// How a shard of a member stands among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    /// `leader`, `follower`, `candidate`, or `none` while it is on its way to another role.
    pub role: &'static str,
    /// Of the map that it acts on; and what that says of the shard.
    pub generation: u64,
    pub epoch: u64,
    pub leader: Option<MemberId>,
    /// The highest index that it knows to be committed; `None`: no log of it is open.
    pub committed: Option<u64>,
    /// At a leader: members are missing, and commits are refused.
    pub refuses_commits: bool,
    /// At a leader: everybody else who keeps the shard.
    pub members: Vec<MemberStatus>,
    /// At anybody else.
    pub following: Option<FollowerStatus>,
}

/// A member as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    pub member: MemberId,
    /// Every commit waits for it.
    pub required: bool,
    /// It is in the sync set of the map.
    pub recorded: bool,
    pub state: &'static str,
    /// By the leader's CLOCK_BOOTTIME.
    pub since_us: u64,
    /// The leader's last durable index, and how far the member has validated.
    pub target: u64,
    pub acknowledged: u64,
    pub under_way_bytes: u64,
    /// How often it was greeted since it was last there.
    pub attempts: u64,
    /// That it validated of late.
    pub records_per_second: u64,
    pub reason: Option<String>,
}

/// A follower as it sees itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerStatus {
    pub state: &'static str,
    /// Whom it follows now.
    pub leader: Option<MemberId>,
    /// What the map says that it is; `None`: nothing to this shard.
    pub place: Option<Place>,
    /// The leader's last index, as far as it said so.
    pub target: Option<u64>,
    /// Nothing of a lower epoch is accepted.
    pub promise: u64,
    pub received: u64,
    pub persisted: u64,
    pub validated: u64,
    pub applied: u64,
    /// That it validated of late.
    pub records_per_second: u64,
    pub reseeding: bool,
    /// How far it is with that.
    pub reseed: Option<ReseedStatus>,
    /// How old its state is was proven too long ago, or never: it serves no read (R22).
    pub unproven: bool,
    pub reason: Option<String>,
}

/// A log that begins anew: from nothing to the target of its follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReseedStatus {
    /// By its own CLOCK_BOOTTIME, as of this process.
    pub since_us: u64,
    /// What came since, in how much time.
    pub bytes: u64,
    pub bytes_per_second: u64,
    /// Sessions with a leader.
    pub attempts: u64,
    pub reason: String,
}
