//! One space of the state: what stands at each key, and which record made it so.

use std::collections::VecDeque;
use std::sync::Arc;

use seawall::position::{Index, Position};

use super::tree::Tree;

/// What an entry costs beside its bytes: 60 bytes of the tree, which is three quarters full; two allocations, one of
/// them counted.
const OVERHEAD: usize = 128;
/// What a tombstone costs more, beside its key.
const QUEUED: usize = 40;
/// So many tombstones are often there; memory for more is given back.
const TOMBSTONES: usize = 1024;

#[derive(Debug, Default)]
pub struct Table {
    entries: Tree<Slot>,
    /// Tombstones in the order of their deletions.
    tombstones: VecDeque<(Index, Box<[u8]>)>,
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
    pub key: &'a [u8],
    pub version: Position,
    /// `None`: removed, and the removal may not be committed yet.
    pub bytes: Option<&'a Arc<[u8]>>,
}

impl<'a> At<'a> {
    fn of((key, slot): (&'a [u8], &'a Slot)) -> Self {
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
        let old = self.entries.set(key, slot);
        if let Some(old) = &old {
            self.live -= usize::from(old.bytes.is_some());
            self.memory -= cost(key, old.bytes.as_deref());
        }
        if value.is_none() {
            self.tombstones.push_back((version.index, key.into()));
            self.memory += key.len() + QUEUED;
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
        self.entries.range(low, high, false).map(At::of)
    }

    /// The first key at or behind `low`, a tombstone's too.
    pub fn first_from(&self, low: &[u8]) -> Option<At<'_>> {
        self.entries.first_from(low).map(At::of)
    }

    /// Forgets the tombstones whose deletion is committed.
    pub fn bury(&mut self, committed: Index) {
        while self.tombstones.front().is_some_and(|(index, _)| *index <= committed) {
            let Some((index, key)) = self.tombstones.pop_front() else { return };
            self.memory -= key.len() + QUEUED;
            let dead = |slot: &Slot| slot.bytes.is_none() && slot.version.index == index;
            if self.entries.get(&key).is_some_and(dead) {
                self.entries.remove(&key);
                self.memory -= cost(&key, None);
            }
        }
        if self.tombstones.is_empty() {
            self.tombstones.shrink_to(TOMBSTONES);
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
        self.entries.range(from, to, true).filter(|(_, slot)| slot.bytes.is_some())
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
