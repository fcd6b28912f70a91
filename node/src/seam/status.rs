//! What a worker says of itself when it is asked.

use seawall::map::ShardId;

use super::event::WorkerId;
use super::link::LinkStatus;
use crate::shard::latency::Histogram;
use crate::shard::state::Memory;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerStatus {
    pub worker: WorkerId,
    pub connections: usize,
    pub shards: Vec<ShardStatus>,
    /// To other members, at the worker that has them.
    pub links: Vec<LinkStatus>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    pub shard: ShardId,
    /// `recovering`, `serving`, `failed` or `halted`.
    pub state: &'static str,
    /// Why, when `state` is `failed` or `halted`, or what the log suffers from.
    pub reason: Option<String>,
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
}
