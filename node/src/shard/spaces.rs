//! The spaces of a shard's log: who reads an entry, and how. Numbers are on disk, so they never change.
//!
//! Stored keys are made by `net`: a row's by `Address::stored_key`, an outcome's by `KeyName::stored_key`. Numbers
//! in values are little-endian.

use seawall_wal::Space;

/// `stored key -> row bytes`, both as `net` defines them.
pub const ROWS: Space = Space(1);

/// `epoch, big-endian -> first index of the epoch`: the epoch table (R12).
pub const EPOCHS: Space = Space(2);

/// `stored key of a row -> i64 microseconds at which it ends`, for rows that were put with a ttl.
pub const TTLS: Space = Space(3);

/// `stored key of a row -> u64 epoch and u64 index of the token, i64 microseconds at which it ends`. A lease is no
/// part of its row, which need not be there.
pub const LEASES: Space = Space(4);

/// `stored key of a stream -> u64 sequence of the last row appended`.
pub const STREAMS: Space = Space(5);

/// `stored key of a request key -> stored outcome`, both as `net` defines them (R19).
pub const OUTCOMES: Space = Space(6);

/// `nothing -> i64 microseconds`: outcomes of keys that were born up to here are forgotten (R19).
pub const HORIZON: Space = Space(7);

/// `u16 ordinal of the operation, big-endian -> event`: what the commit told; see `operate`. It lives in its record.
/// A fold keeps the last one of each ordinal, which means nothing and costs little.
pub const EVENTS: Space = Space(8);

/// `epoch, big-endian -> u64 first index that its promotion may have lost, 0: none; then who changed the map last before
/// it began, what they did and why, as text`: beside the beginning of an epoch among members (R15).
pub const PROMOTIONS: Space = Space(10);

/// `1, namespace, name` of a shard's cursor, or `2, what the partition's stored keys begin with, name` of a partition's ->
/// `u32 lineage tag, u64 epoch and u64 index up to which everything was acknowledged`.
pub const CURSORS: Space = Space(11);

/// `namespace, 0, table -> u64 version, declaration as net defines it`.
pub const TABLES: Space = Space(9);
