//! One space of the state: what stands at each key, and which record made it so.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use seawall::position::{Index, Position};

/// What an entry costs beside its bytes: its share of the tree, two counted allocations, its version.
const OVERHEAD: usize = 112;

#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<Arc<[u8]>, Slot>,
    /// Tombstones in the order of their deletions.
    tombstones: VecDeque<(Index, Arc<[u8]>)>,
    live: usize,
    memory: usize,
}

#[derive(Debug)]
struct Slot {
    version: Position,
    /// `None` is a tombstone.
    bytes: Option<Arc<[u8]>>,
}

/// What stands at a key, and which record made it so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

impl<'a> At<'a> {
    fn of((key, slot): (&'a Arc<[u8]>, &'a Slot)) -> Self {
        Self { key, version: slot.version, bytes: slot.bytes.as_ref() }
    }
}

impl Table {
    pub fn look(&self, key: &[u8]) -> Look {
        self.entries.get(key).map_or_else(Look::default, Slot::look)
    }

    /// Sets or deletes; what stood there is returned.
    pub fn set(&mut self, key: &[u8], value: Option<&[u8]>, version: Position) -> Option<Arc<[u8]>> {
        let slot = Slot { version, bytes: value.map(Arc::from) };
        self.live += usize::from(slot.bytes.is_some());
        self.memory += cost(key, slot.bytes.as_deref());
        let old = match self.entries.get_mut(key) {
            Some(old) => Some(std::mem::replace(old, slot)),
            None => self.entries.insert(Arc::from(key), slot),
        };
        if let Some(old) = &old {
            self.live -= usize::from(old.bytes.is_some());
            self.memory -= cost(key, old.bytes.as_deref());
        }
        if value.is_none() {
            self.tombstones.push_back((version.index, Arc::from(key)));
        }
        old.and_then(|old| old.bytes)
    }

    /// The bytes at a key.
    pub fn get(&self, key: &[u8]) -> Option<&Arc<[u8]>> {
        self.entries.get(key)?.bytes.as_ref()
    }

    /// Everything from `low` up to, and without, `high`: tombstones, too. The newest version in a range says which
    /// record last changed anything in it, absence too, so nothing has to be kept for ranges.
    pub fn range(&self, low: &[u8], high: &[u8]) -> impl DoubleEndedIterator<Item = At<'_>> {
        let high = high.max(low); // an empty range, and not a panic
        let bounds = (Bound::Included(low), Bound::Excluded(high));
        self.entries.range::<[u8], _>(bounds).map(At::of)
    }

    /// The first key at or behind `low`, a tombstone's too.
    pub fn first_from(&self, low: &[u8]) -> Option<At<'_>> {
        let bounds = (Bound::Included(low), Bound::Unbounded);
        self.entries.range::<[u8], _>(bounds).next().map(At::of)
    }

    /// Forgets the tombstones whose deletion is committed.
    pub fn bury(&mut self, committed: Index) {
        while self.tombstones.front().is_some_and(|(index, _)| *index <= committed) {
            let Some((index, key)) = self.tombstones.pop_front() else { return };
            let dead = |slot: &Slot| slot.bytes.is_none() && slot.version.index == index;
            if self.entries.get(&key).is_some_and(dead) {
                self.entries.remove(&key);
                self.memory -= cost(&key, None);
            }
        }
    }

    /// The last live entry between two keys, both included.
    pub fn last_between(&self, from: &[u8], to: &[u8]) -> Option<(&[u8], Position)> {
        let (key, slot) = self.live_between(from, to).next_back()?;
        Some((key, slot.version))
    }

    /// The live entries between two keys, both included, in order.
    pub fn between<'a>(&'a self, from: &[u8], to: &[u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.live_between(from, to).map(|(key, _)| key)
    }

    fn live_between<'a>(
        &'a self,
        from: &[u8],
        to: &[u8],
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a Slot)> + use<'a> {
        let entries = self.entries.range::<[u8], _>((Bound::Included(from), Bound::Included(to)));
        entries.filter(|(_, slot)| slot.bytes.is_some()).map(|(key, slot)| (&**key, slot))
    }

    /// Entries that exist.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Bytes that it takes, about.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// By how much the memory may grow at most, whatever is there.
    pub fn most_growth(key: &[u8], value: Option<&[u8]>) -> usize {
        cost(key, value)
    }

    /// By how much the memory would grow.
    pub fn growth(&self, key: &[u8], value: Option<&[u8]>) -> i64 {
        let old = self.entries.get(key).map_or(0, |slot| cost(key, slot.bytes.as_deref()));
        // A tombstone is gone once its deletion is committed.
        value.map_or(0, |value| cost(key, Some(value)) as i64) - old as i64
    }
}

impl Slot {
    fn look(&self) -> Look {
        let row = self.bytes.as_ref().map(|bytes| (self.version, Arc::clone(bytes)));
        Look { changed: Some(self.version), row }
    }
}

fn cost(key: &[u8], value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len) + OVERHEAD
}
