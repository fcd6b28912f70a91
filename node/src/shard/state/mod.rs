//! The rows of a shard with their indexes. The only room that knows that all of them are in memory.
//!
//! Every change of a row, replayed or live, a caller's or an expiry, comes through [`State::apply`], and the indexes
//! follow there: nobody can change a row and forget an index. Indexes are not logged: they are a function of the rows
//! and the declarations, and a start makes them once both are there ([`State::recovered`]).

mod ordered;

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall::position::{Index, Position};

use super::table::{Declared, Tables};
pub use ordered::{At, Look, Ordered};

#[derive(Debug, Default)]
pub struct State {
    rows: Ordered,
    tables: Tables,
    /// First index of each epoch.
    epochs: BTreeMap<u64, u64>,
    /// All rows and declarations are there; from now on indexes follow each change.
    live: bool,
}

impl State {
    pub fn look(&self, key: &[u8]) -> Look {
        self.rows.look(key)
    }

    /// The rows, in the order of their stored keys.
    pub fn ordered(&self) -> &Ordered {
        &self.rows
    }

    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Applies one entry of the record at `version`; replay and live commits both come through here.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>, version: Position) {
        let new: Option<Arc<[u8]>> = value.map(Arc::from);
        let old = self.rows.apply(key, new, version);
        if self.live {
            self.tables.row_changed(key, old.as_deref(), value, version);
        }
    }

    /// Applies the declaration of a table: the bytes of its entry in the log.
    pub fn declare(&mut self, key: &[u8], value: &[u8], version: Position) {
        if let Some(declared) = Declared::read(value, version) {
            self.tables.declare(key, declared);
            if self.live {
                self.tables.index(key, &self.rows);
            }
        }
    }

    /// Applies an entry of the epoch table.
    pub fn epoch(&mut self, epoch: &[u8], first: &[u8]) {
        let epoch = epoch.try_into().ok().map(u64::from_be_bytes);
        let first = first.try_into().ok().map(u64::from_le_bytes);
        self.epochs.extend(epoch.zip(first));
    }

    /// First index of each epoch (R12).
    pub fn epochs(&self) -> &BTreeMap<u64, u64> {
        &self.epochs
    }

    /// Replay is over: the indexes are made of what it found.
    pub fn recovered(&mut self) {
        self.live = true;
        self.tables.index_all(&self.rows);
    }

    /// Forgets the tombstones whose deletion is committed.
    pub fn bury(&mut self, committed: Index) {
        self.rows.bury(committed);
        self.tables.bury(committed);
    }

    /// Rows that exist.
    pub fn rows(&self) -> usize {
        self.rows.live()
    }
}
