//! What a state holds, as one number: replicas whose states stand at the same record hold the same (I7). It looks at
//! everything, so it is for whoever compares replicas from outside, and for nothing that is in a hurry.

use seawall::limits::{KEY_MAX, NAME_MAX};
use seawall::position::Position;

use super::{Outcomes, State, Table};

/// Behind every key.
const PAST: [u8; 4 * (KEY_MAX + NAME_MAX)] = [0xff; 4 * (KEY_MAX + NAME_MAX)];

impl State {
    pub fn digest(&self) -> u64 {
        let tables = [&self.rows, &self.ttls, &self.leases, &self.streams, &self.cursors];
        let told = self.epochs.iter().chain(&self.losses).flat_map(|(epoch, index)| [*epoch, *index]);
        let (at, horizon_us) = self.horizon.unwrap_or_default();
        let told = told.chain([at.epoch.0, at.index.0, horizon_us.cast_unsigned()]);
        let parts = tables.into_iter().map(of_table).chain([self.outcomes.digest()]).chain(told);
        parts.fold(0, |sum: u64, part| sum.rotate_left(7) ^ part)
    }
}

/// What was removed is not there, whether anybody still remembers it or not.
fn of_table(table: &Table) -> u64 {
    let entries = table.range(&[], &PAST).filter_map(|at| Some(of_entry(at.key, at.version, at.bytes?)));
    together(entries)
}

/// In whatever order they come.
fn together(entries: impl Iterator<Item = u32>) -> u64 {
    entries.fold(0, |sum: u64, entry| sum.wrapping_add(u64::from(entry)))
}

fn of_entry(key: &[u8], version: Position, bytes: &[u8]) -> u32 {
    let sum = crc32c::crc32c(key);
    let sum = crc32c::crc32c_append(sum, &version.epoch.0.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, &version.index.0.to_le_bytes());
    crc32c::crc32c_append(sum, bytes)
}

impl Outcomes {
    /// Holders have no order that replicas share: their sums are added.
    fn digest(&self) -> u64 {
        together(self.all().map(|(name, version, bytes)| of_entry(name, version, bytes)))
    }
}
