//! The rows of a shard. The only room that knows that all of them are in memory.
//!
//! The state runs ahead of the disk: it holds what is appended, durable or not. So every look also says which
//! record last changed what was looked at, presence *or absence*; whoever answers waits for that record (R20).
//! Therefore a deleted row leaves a tombstone until its deletion is committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use seawall::position::{Index, Position};

#[derive(Debug, Default)]
pub struct State {
    rows: BTreeMap<Arc<[u8]>, Row>,
    /// Tombstones in the order of their deletions.
    tombstones: VecDeque<(Index, Arc<[u8]>)>,
    live: usize,
}

#[derive(Debug)]
struct Row {
    version: Position,
    /// `None` is a tombstone.
    bytes: Option<Arc<[u8]>>,
}

/// What stands at a key, and which record made it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The last change that is still remembered; `None` for a key that nobody touched, or whose deletion is
    /// committed.
    pub changed: Option<Position>,
    pub row: Option<(Position, Arc<[u8]>)>,
}

impl State {
    pub fn look(&self, key: &[u8]) -> Look {
        let row = self.rows.get(key);
        Look {
            changed: row.map(|r| r.version),
            row: row.and_then(|r| r.bytes.as_ref().map(|bytes| (r.version, Arc::clone(bytes)))),
        }
    }

    /// Applies one entry of the record at `version`; replay and live commits both come through here.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>, version: Position) {
        let bytes = value.map(Arc::from);
        let live = usize::from(bytes.is_some());
        let row = Row { version, bytes };
        let was_live = match self.rows.get_mut(key) {
            Some(old) => std::mem::replace(old, row).bytes.is_some(),
            None => self.rows.insert(Arc::from(key), row).is_some(),
        };
        self.live = self.live + live - usize::from(was_live);
        if value.is_none() {
            self.tombstones.push_back((version.index, Arc::from(key)));
        }
    }

    /// Forgets the tombstones whose deletion is committed.
    pub fn bury(&mut self, committed: Index) {
        while self.tombstones.front().is_some_and(|(index, _)| *index <= committed) {
            let Some((index, key)) = self.tombstones.pop_front() else { return };
            let dead = |row: &Row| row.bytes.is_none() && row.version.index == index;
            if self.rows.get(&key).is_some_and(dead) {
                self.rows.remove(&key);
            }
        }
    }

    /// Rows that exist.
    pub fn rows(&self) -> usize {
        self.live
    }
}
