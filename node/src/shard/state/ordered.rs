//! An ordered map that runs ahead of the disk and still knows what is not committed.
//!
//! It holds what is appended, durable or not. So every look, at a key or at a range, also says which record last
//! changed what was looked at, presence *or absence*; whoever answers waits for that record (R20). Therefore a removed
//! key leaves a tombstone until its removal is committed, and the newest change of a range is simply the newest among
//! the entries and tombstones in it: nothing has to be kept for ranges or partitions.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use seawall::position::{Index, Position};

#[derive(Debug, Default)]
pub struct Ordered {
    entries: BTreeMap<Arc<[u8]>, Entry>,
    /// Tombstones in the order of their removals.
    tombstones: VecDeque<(Index, Arc<[u8]>)>,
    live: usize,
}

#[derive(Debug)]
struct Entry {
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

/// One key of a range, as it is or as it was removed.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    pub key: &'a Arc<[u8]>,
    pub version: Position,
    /// `None`: removed, and the removal may not be committed yet.
    pub bytes: Option<&'a Arc<[u8]>>,
}

impl Ordered {
    pub fn look(&self, key: &[u8]) -> Look {
        let entry = self.entries.get(key);
        Look {
            changed: entry.map(|e| e.version),
            row: entry.and_then(|e| e.bytes.as_ref().map(|bytes| (e.version, Arc::clone(bytes)))),
        }
    }

    /// The bytes at a key.
    pub fn get(&self, key: &[u8]) -> Option<&Arc<[u8]>> {
        self.entries.get(key)?.bytes.as_ref()
    }

    /// Everything from `low` up to, and without, `high`: tombstones, too.
    pub fn range(&self, low: &[u8], high: &[u8]) -> impl DoubleEndedIterator<Item = At<'_>> {
        let high = high.max(low); // an empty range, and not a panic
        let bounds = (Bound::Included(low), Bound::Excluded(high));
        self.entries.range::<[u8], _>(bounds).map(|(key, entry)| At {
            key,
            version: entry.version,
            bytes: entry.bytes.as_ref(),
        })
    }

    /// The first key at or behind `low`, a tombstone's too.
    pub fn first_from(&self, low: &[u8]) -> Option<At<'_>> {
        let bounds = (Bound::Included(low), Bound::Unbounded);
        let (key, entry) = self.entries.range::<[u8], _>(bounds).next()?;
        Some(At { key, version: entry.version, bytes: entry.bytes.as_ref() })
    }

    /// Sets or removes one key, as the record at `version` says; returns what stood there.
    pub fn apply(&mut self, key: &[u8], bytes: Option<Arc<[u8]>>, version: Position) -> Option<Arc<[u8]>> {
        let live = usize::from(bytes.is_some());
        if bytes.is_none() {
            self.tombstones.push_back((version.index, Arc::from(key)));
        }
        let entry = Entry { version, bytes };
        let old = match self.entries.get_mut(key) {
            Some(old) => std::mem::replace(old, entry).bytes,
            None => self.entries.insert(Arc::from(key), entry).and_then(|old| old.bytes),
        };
        self.live = self.live + live - usize::from(old.is_some());
        old
    }

    /// Forgets the tombstones whose removal is committed.
    pub fn bury(&mut self, committed: Index) {
        while self.tombstones.front().is_some_and(|(index, _)| *index <= committed) {
            let Some((index, key)) = self.tombstones.pop_front() else { return };
            let dead = |entry: &Entry| entry.bytes.is_none() && entry.version.index == index;
            if self.entries.get(&key).is_some_and(dead) {
                self.entries.remove(&key);
            }
        }
    }

    /// Keys that are not removed.
    pub fn live(&self) -> usize {
        self.live
    }
}
