//! The partition map: which shard owns which part of the hash space, at one generation.

use std::fmt;

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

/// The number of a member of a cluster, never used again for another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u32);

impl fmt::Display for MemberId {
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

/// A whole map. It can only be made valid: total, sorted, one range a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    generation: Generation,
    ranges: Vec<Range>,
}

/// What is wrong with the ranges of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// Generation 0 is no map's.
    Generation,
    /// The first range must begin at hash 0.
    NotFromZero,
    /// Each range must begin above the one before it.
    Order,
    /// Shard 0 owns nothing, and no shard may stand there twice.
    Shard(ShardId),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MapError::Generation => write!(f, "a map's generation begins at 1"),
            MapError::NotFromZero => write!(f, "the first range must begin at hash 0"),
            MapError::Order => write!(f, "each range must begin above the one before it"),
            MapError::Shard(shard) => write!(f, "shard {shard} is 0 or stands there twice"),
        }
    }
}

impl std::error::Error for MapError {}

impl Map {
    /// A map, if it is a valid one.
    pub fn new(generation: Generation, ranges: Vec<Range>) -> Result<Map, MapError> {
        if generation == Generation::ANY {
            return Err(MapError::Generation);
        }
        if ranges.first().is_none_or(|range| range.first_hash != 0) {
            return Err(MapError::NotFromZero);
        }
        if !ranges.is_sorted_by(|a, b| a.first_hash < b.first_hash) {
            return Err(MapError::Order);
        }
        let mut owners = std::collections::BTreeSet::from([ShardId::ANY]);
        match ranges.iter().find(|range| !owners.insert(range.shard)) {
            Some(range) => Err(MapError::Shard(range.shard)),
            None => Ok(Map { generation, ranges }),
        }
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
        self.generation
    }

    /// The ranges, from hash 0 upwards.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// The owner of a partition's hash; see [`partition_hash`](crate::address::partition_hash).
    pub fn shard_of(&self, hash: u64) -> ShardId {
        let above = self.ranges.partition_point(|range| range.first_hash <= hash);
        self.ranges[above - 1].shard // the first range begins at 0, so at least one begins at or below `hash`
    }
}
