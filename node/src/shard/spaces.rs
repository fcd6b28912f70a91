//! The spaces of a shard's log: who reads an entry, and how. Numbers are on disk, so they never change.

use seawall_wal::Space;

/// `stored key -> row bytes`, both as `net` defines them.
pub const ROWS: Space = Space(1);

/// `epoch, big-endian -> first index of the epoch, little-endian`: the epoch table (R12).
pub const EPOCHS: Space = Space(2);

/// `namespace, 0, table -> u64 version, declaration as net defines it`.
pub const TABLES: Space = Space(9);
