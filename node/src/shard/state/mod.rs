//! The state of a shard. The only room that knows that all of it is in memory.
//!
//! It runs ahead of the disk: it holds what is appended, durable or not. So every look also says which
//! record last changed what was looked at, presence *or absence*; whoever answers waits for that record (R20).
//! Therefore what is deleted leaves a tombstone until its deletion is committed.
//!
//! Replay, checkpoints and live commits all come through [`State::apply`], so what is derived here (what ends when,
//! how many keys a namespace has) is the same after a restart.

mod digest;
mod due;
mod near;
mod outcomes;
mod points;
mod run;
mod slots;
mod table;
mod tree;

use std::collections::BTreeMap;

use seawall::position::{Index, Position};
use seawall_wal::{Entry, Space};

use super::spaces;
use super::table::{Declared, Tables};
pub use due::{Due, Ends};
pub use near::{Coming, TOGETHER};
pub use outcomes::{Held, Outcomes};
pub use slots::Bytes;
pub use table::{At, Look, Table};

#[derive(Debug, Default)]
pub struct State {
    rows: Table,
    ttls: Table,
    leases: Table,
    streams: Table,
    cursors: Table,
    outcomes: Outcomes,
    /// Declarations, and the indexes of rows.
    tables: Tables,
    /// All rows and declarations are there; from now on indexes follow each change.
    live: bool,
    horizon: Option<(Position, i64)>,
    /// First index of each epoch.
    epochs: BTreeMap<u64, u64>,
    /// Accepted losses: by the epoch that tells of it, the first index.
    losses: BTreeMap<u64, u64>,
    due: Due,
}

/// Where the memory of a shard is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub rows: usize,
    /// Ends of rows with a ttl, and what orders all ends by time.
    pub ttls: usize,
    pub leases: usize,
    pub streams: usize,
    pub cursors: usize,
    pub outcomes: usize,
    pub indexes: usize,
}

impl State {
    pub fn look(&self, space: Space, key: &[u8]) -> Look {
        self.table(space).look(key)
    }

    /// The same without a hold on it.
    pub fn at(&self, space: Space, key: &[u8]) -> Option<At<'_>> {
        self.table(space).at(key)
    }

    /// Applies one entry of the record at `version`.
    pub fn apply(&mut self, space: Space, key: &[u8], value: Option<&[u8]>, version: Position) {
        match space {
            spaces::ROWS if self.live => {
                let old = self.rows.set(key, value, version);
                self.tables.row_changed(key, old.as_deref(), value, version);
            }
            spaces::ROWS => self.rows.fill(key, value, version),
            spaces::TABLES => self.declare(key, value, version),
            spaces::STREAMS => {
                put(&mut self.streams, self.live, key, value, version);
            }
            spaces::CURSORS => {
                put(&mut self.cursors, self.live, key, value, version);
            }
            spaces::TTLS => {
                let old = put(&mut self.ttls, self.live, key, value, version);
                self.due.change(space, key, old.as_deref(), value);
            }
            spaces::LEASES => {
                let old = put(&mut self.leases, self.live, key, value, version);
                self.due.change(space, key, old.as_deref(), value);
            }
            spaces::OUTCOMES => self.outcomes.set(key, value, version),
            spaces::HORIZON => self.horizon = value.and_then(number).map(|us| (version, us)),
            spaces::EPOCHS => {
                let first = value.and_then(number).and_then(|first| u64::try_from(first).ok());
                let epoch = key.try_into().ok().map(u64::from_be_bytes);
                self.epochs.extend(epoch.zip(first));
            }
            spaces::PROMOTIONS => {
                let from = value.and_then(|value| value.first_chunk()).map(|from| u64::from_le_bytes(*from));
                let epoch = key.try_into().ok().map(u64::from_be_bytes);
                self.losses.extend(epoch.zip(from.filter(|from| *from > 0)));
            }
            _ => {} // events live in their records
        }
    }

    fn declare(&mut self, key: &[u8], value: Option<&[u8]>, version: Position) {
        if let Some(declared) = value.and_then(|value| Declared::read(value, version)) {
            self.tables.declare(key, declared);
            if self.live {
                self.tables.index(key, &self.rows);
            }
        }
    }

    /// Replay is over. Indexes are not logged: they are a function of rows and declarations, and are made of them
    /// here.
    pub fn recovered(&mut self) {
        self.live = true;
        for table in self.logged_tables() {
            table.filled();
        }
        self.tables.index_all(&self.rows);
    }

    /// Replay is over.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// The rows, in the order of their stored keys.
    pub fn ordered(&self) -> &Table {
        &self.rows
    }

    /// What was acknowledged, under which name.
    pub fn cursors(&self) -> &Table {
        &self.cursors
    }

    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Forgets the tombstones whose deletion is committed.
    pub fn bury(&mut self, committed: Index) {
        for table in self.logged_tables() {
            table.bury(committed);
        }
        self.outcomes.bury(committed);
        self.tables.bury(committed);
    }

    /// Rows that exist.
    pub fn rows(&self) -> usize {
        self.rows.live()
    }

    /// Outcomes that are kept under request keys, in all namespaces.
    pub fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    /// Hands over the stored keys of outcomes whose requests were born up to `horizon_us`; see
    /// [`Outcomes::born_until`].
    pub fn born_until(&mut self, horizon_us: i64, take: impl FnMut(&[u8]) -> bool) {
        self.outcomes.born_until(horizon_us, take);
    }

    /// Outcomes of keys born up to here are forgotten, and the record that says so.
    pub fn horizon(&self) -> Option<(Position, i64)> {
        self.horizon
    }

    /// First index of each epoch.
    pub fn epochs(&self) -> &BTreeMap<u64, u64> {
        &self.epochs
    }

    /// Losses that were accepted: by the epoch that tells of it, from which index on.
    pub fn losses(&self) -> &BTreeMap<u64, u64> {
        &self.losses
    }

    /// What ends, by time.
    pub fn due(&self) -> &Due {
        &self.due
    }

    pub fn memory(&self) -> Memory {
        Memory {
            rows: self.rows.memory(),
            ttls: self.ttls.memory() + self.due.memory(),
            leases: self.leases.memory(),
            streams: self.streams.memory(),
            cursors: self.cursors.memory(),
            outcomes: self.outcomes.memory(),
            indexes: self.tables.memory(),
        }
    }

    /// By how much the memory may grow at most for an entry, without a look at what is there. An entry of an index
    /// holds parts of its row.
    pub fn most_growth(&self, entry: &Entry<'_>) -> usize {
        let once = Table::most_growth(entry.key, entry.value);
        match entry.space {
            spaces::EVENTS | spaces::PROMOTIONS => 0,
            spaces::ROWS => once * (1 + self.tables.most_indexes()),
            spaces::OUTCOMES => Outcomes::most_growth(entry.key, entry.value),
            _ => once,
        }
    }

    /// By how much the memory would grow, without indexes.
    pub fn growth(&self, space: Space, key: &[u8], value: Option<&[u8]>) -> i64 {
        match space {
            spaces::EVENTS => 0,
            spaces::OUTCOMES => self.outcomes.growth(key, value),
            space => self.table(space).growth(key, value),
        }
    }

    fn logged_tables(&mut self) -> [&mut Table; 5] {
        [&mut self.rows, &mut self.ttls, &mut self.leases, &mut self.streams, &mut self.cursors]
    }

    fn table(&self, space: Space) -> &Table {
        match space {
            spaces::ROWS => &self.rows,
            spaces::TTLS => &self.ttls,
            spaces::LEASES => &self.leases,
            spaces::STREAMS => &self.streams,
            spaces::CURSORS => &self.cursors,
            other => unreachable!("nobody looks into space {}", other.0),
        }
    }
}

impl Memory {
    pub fn total(&self) -> usize {
        self.rows + self.ttls + self.leases + self.streams + self.cursors + self.outcomes + self.indexes
    }
}

fn put(table: &mut Table, live: bool, key: &[u8], value: Option<&[u8]>, version: Position) -> Option<Bytes> {
    if live { table.set(key, value, version) } else { table.fill_now(key, value, version) }
}

fn number(value: &[u8]) -> Option<i64> {
    value.try_into().ok().map(i64::from_le_bytes)
}
