//! The partition map: who owns which part of the hash space, at one generation.
//!
//! One document for the whole cluster: its members, the ranges of the hash space, and for each shard who leads it in
//! which epoch, who is in its sync set, and by which policy. A map can only be made valid, and it is never changed: a
//! [`Change`] makes the next one, or says why not, and an authority compares and swaps the generation.
//!
//! ```text
//! member    who there is           replicas  who keeps a shard, and how
//! fault     what makes no map      change    how one map becomes the next
//! ```

mod change;
mod fault;
mod member;
mod replicas;

use std::fmt;

pub use change::{Audit, By, Change, InEpoch, NotChanged};
pub use fault::MapError;
pub use member::{Member, MemberId};
pub use replicas::{OpenLoss, Place, Policy, Replicas};

/// The number of a shard, never used again for another one. 0 in a request means "route for me".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u32);

impl ShardId {
    /// "Route for me": a simple client needs no hash.
    pub const ANY: ShardId = ShardId(0);
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The version of the partition map; the first is 1. 0 in a request means "whatever you have".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// "Whatever you have": what a client sends that keeps no map.
    pub const ANY: Generation = Generation(0);
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A part of the hash space: from its first hash up to the first hash of the next range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lowest hash of the range.
    pub first_hash: u64,
    /// Its owner.
    pub shard: ShardId,
}

/// What a map is made of. [`Map::of`] judges it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The version, from 1 on.
    pub generation: Generation,
    /// Whoever keeps a shard, or may be told to; ascending by number. None at all: one node that needs no names.
    pub members: Vec<Member>,
    /// The hash space, from hash 0 upwards.
    pub ranges: Vec<Range>,
    /// One for each range, in the same order.
    pub replicas: Vec<Replicas>,
    /// The change that made this map of the one before; `None`: it is the first.
    pub audit: Option<Audit>,
}

/// A whole map. It can only be made valid: total, sorted, one range a shard, and members that are known, once each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    parts: Parts,
}

impl Map {
    /// The map of a single node, if it is a valid one: nobody is named, and nothing is replicated.
    pub fn new(generation: Generation, ranges: Vec<Range>) -> Result<Map, MapError> {
        let replicas = ranges.iter().map(|range| Replicas::alone(range.shard, generation)).collect();
        Map::of(Parts { generation, members: Vec::new(), ranges, replicas, audit: None })
    }

    /// The map of these parts, if they make a valid one.
    pub fn of(parts: Parts) -> Result<Map, MapError> {
        let Parts { generation, members, ranges, replicas, audit } = &parts;
        // The last number is left out, so that every map may have a successor.
        if [Generation::ANY, Generation(u64::MAX)].contains(generation) {
            return Err(MapError::Generation);
        }
        check_ranges(ranges)?;
        member::check(members)?;
        if !ranges.iter().map(|range| range.shard).eq(replicas.iter().map(|replicas| replicas.shard)) {
            return Err(MapError::Entries);
        }
        replicas.iter().try_for_each(|replicas| replicas.check(*generation, members))?;
        audit.as_ref().map_or(Ok(()), Audit::check)?;
        Ok(Map { parts })
    }

    /// The hash space split evenly over the shards 1 to `shards`.
    ///
    /// # Panics
    /// When there is no shard, or the generation is 0: both are the caller's constants.
    pub fn even(generation: Generation, shards: u32) -> Map {
        let first = |i: u32| ((u128::from(i) << 64) / u128::from(shards)) as u64;
        let ranges = (0..shards).map(|i| Range { first_hash: first(i), shard: ShardId(i + 1) }).collect();
        Map::new(generation, ranges).expect("at least one shard, and a generation from 1")
    }

    /// The map's version.
    pub fn generation(&self) -> Generation {
        self.parts.generation
    }

    /// The ranges, from hash 0 upwards.
    pub fn ranges(&self) -> &[Range] {
        &self.parts.ranges
    }

    /// All that it says.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The owner of a partition's hash; see [`partition_hash`](crate::address::partition_hash).
    pub fn shard_of(&self, hash: u64) -> ShardId {
        let ranges = self.ranges();
        let above = ranges.partition_point(|range| range.first_hash <= hash);
        ranges[above - 1].shard // the first range begins at 0, so at least one begins at or below `hash`
    }

    /// Who keeps a shard.
    pub fn replicas(&self, shard: ShardId) -> Option<&Replicas> {
        self.parts.replicas.iter().find(|replicas| replicas.shard == shard)
    }

    /// The member of a number.
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.parts.members.iter().find(|member| member.id == id)
    }

    /// Who leads a shard, if anybody does.
    pub fn leader(&self, shard: ShardId) -> Option<&Member> {
        self.member(self.replicas(shard)?.leader?)
    }
}

fn check_ranges(ranges: &[Range]) -> Result<(), MapError> {
    if ranges.first().is_none_or(|range| range.first_hash != 0) {
        return Err(MapError::NotFromZero);
    }
    if !ranges.is_sorted_by(|a, b| a.first_hash < b.first_hash) {
        return Err(MapError::Order);
    }
    let mut owners = std::collections::BTreeSet::from([ShardId::ANY]);
    match ranges.iter().find(|range| !owners.insert(range.shard)) {
        Some(range) => Err(MapError::Shard(range.shard)),
        None => Ok(()),
    }
}
