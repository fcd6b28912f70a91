//! One space of the state: what stands at each key, and which record made it so.

mod fill;

use std::collections::VecDeque;
use std::hint::black_box;

use seawall::position::{Index, Position};

use super::points::{self, Found, Points, sum};
use super::slots::{Bytes, Id, Slot, Slots};
use super::tree::Tree;
use fill::Filling;

/// What an entry costs beside its bytes: 16 bytes of its slot, about 60 of a bucket (43 to 85), about 18 of the tree,
/// which is three quarters full; an allocation with the counts of those who share it, the version, and the length of
/// the key.
const OVERHEAD: usize = 144;
/// What a tombstone costs more, beside its key.
const QUEUED: usize = 40;
/// So many tombstones are often there; memory for more is given back.
const TOMBSTONES: usize = 1024;

#[derive(Debug, Default)]
pub struct Table {
    slots: Slots,
    points: Points,
    tree: Tree,
    /// Tombstones in the order of their deletions.
    tombstones: VecDeque<(Index, Box<[u8]>)>,
    live: usize,
    memory: usize,
    scratch: Vec<u8>,
    filling: Filling,
}

/// What stands at a key, and which record made it so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The last change that is still remembered; `None` for a key that nobody touched, or whose deletion is
    /// committed.
    pub changed: Option<Position>,
    pub row: Option<(Position, Bytes)>,
}

/// One key as it is or as it was removed.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    pub key: &'a [u8],
    pub version: Position,
    /// `None`: removed, and the removal may not be committed yet.
    pub bytes: Option<&'a [u8]>,
    slot: &'a Slot,
}

impl<'a> At<'a> {
    fn of(slot: &'a Slot) -> Self {
        Self { key: slot.key(), version: slot.version(), bytes: slot.value(), slot }
    }

    /// Its bytes for longer than the state stays as it is.
    pub fn share(&self) -> Option<Bytes> {
        self.slot.share()
    }
}

impl Table {
    pub fn look(&self, key: &[u8]) -> Look {
        self.at(key).map_or_else(Look::default, |at| {
            let row = at.share().map(|bytes| (at.version, bytes));
            Look { changed: Some(at.version), row }
        })
    }

    /// The same without a hold on it.
    pub fn at(&self, key: &[u8]) -> Option<At<'_>> {
        if self.filling.under_way() {
            return self.at_in_filling(key);
        }
        match self.points.find(sum(key), key) {
            Found::At(_, slot) => Some(At::of(slot)),
            Found::Nowhere => None,
            Found::Unsure => self.tree.find(key, &self.slots).map(|id| At::of(self.slots.at(id))),
        }
    }

    /// Reads what changes of keys with these sums will look at, and does nothing with it: first every bucket, then all that
    /// they lead to. So a processor waits once for what is far away, and not for each.
    pub fn bring_near(&self, sums: impl Iterator<Item = u32> + Clone) {
        black_box(sums.clone().fold(0, |all, sum| all ^ self.points.touch(sum)));
        let entry = |(id, slot): (Id, &Slot)| slot.touch() ^ self.slots.at(id).size();
        black_box(sums.fold(0, |all, sum| all ^ self.points.like(sum).map_or(0, entry)));
    }

    fn find(&self, key: &[u8], sum: u32) -> Option<Id> {
        match self.points.find(sum, key) {
            Found::At(id, _) => Some(id),
            Found::Nowhere => None,
            Found::Unsure => self.tree.find(key, &self.slots),
        }
    }

    /// Sets or deletes; what stood there is returned.
    pub fn set(&mut self, key: &[u8], value: Option<&[u8]>, version: Position) -> Option<Bytes> {
        if self.filling.under_way() {
            self.filled();
        }
        let sum = sum(key);
        let slot = self.make(key, value, version);
        let old = match self.find(key, sum) {
            Some(id) => self.replace(id, sum, slot),
            None => {
                let id = self.slots.push(slot.clone());
                self.points.add(sum, id, slot);
                self.tree.insert(id, &self.slots);
                None
            }
        };
        if value.is_none() {
            self.entomb(key, version);
        }
        old
    }

    /// What will stand somewhere, already counted.
    fn make(&mut self, key: &[u8], value: Option<&[u8]>, version: Position) -> Slot {
        self.live += usize::from(value.is_some());
        self.memory += cost(key, value);
        Slot::new(key, value, version, &mut self.scratch)
    }

    fn replace(&mut self, id: Id, sum: u32, slot: Slot) -> Option<Bytes> {
        self.points.replace(sum, id, slot.clone());
        let old = std::mem::replace(self.slots.at_mut(id), slot);
        self.live -= usize::from(old.is_live());
        self.memory -= cost(old.key(), old.value());
        old.into_value()
    }

    fn entomb(&mut self, key: &[u8], version: Position) {
        self.tombstones.push_back((version.index, key.into()));
        self.memory += key.len() + QUEUED;
    }

    /// Everything from `low` up to, and without, `high`: tombstones, too. The newest version in a range says which
    /// record last changed anything in it, absence too, so nothing has to be kept for ranges.
    pub fn range(&self, low: &[u8], high: &[u8]) -> impl DoubleEndedIterator<Item = At<'_>> {
        assert!(!self.filling.under_way(), "order is there once all is there");
        self.tree.range(low, high, &self.slots).map(At::of)
    }

    /// The first key at or behind `low`, a tombstone's too.
    pub fn first_from(&self, low: &[u8]) -> Option<At<'_>> {
        assert!(!self.filling.under_way(), "order is there once all is there");
        self.tree.first_from(low, &self.slots).map(At::of)
    }

    /// Forgets the tombstones whose deletion is committed.
    pub fn bury(&mut self, committed: Index) {
        if self.filling.under_way() {
            self.filled();
        }
        while self.tombstones.front().is_some_and(|(index, _)| *index <= committed) {
            let Some((index, key)) = self.tombstones.pop_front() else { return };
            self.memory -= key.len() + QUEUED;
            self.forget(&key, index);
        }
        if self.tombstones.is_empty() {
            self.tombstones.shrink_to(TOMBSTONES);
        }
    }

    /// Forgets a key if it was deleted at `index` and not set again. Its place goes to the last one, so that there
    /// are no gaps.
    fn forget(&mut self, key: &[u8], index: Index) {
        let sum = sum(key);
        let dead = |id: &Id| !self.slots.at(*id).is_live() && self.slots.at(*id).version().index == index;
        let Some(id) = self.find(key, sum).filter(dead) else { return };
        self.tree.remove(key, &self.slots);
        self.points.remove(sum, id);
        let last = (self.slots.len() - 1) as Id;
        if last != id {
            let moved = self.slots.at(last);
            self.tree.renumber(moved.key(), id, &self.slots);
            self.points.renumber(points::sum(moved.key()), last, id);
        }
        self.slots.swap_remove(id);
        self.memory -= cost(key, None);
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
        let old = self.at(key).map_or(0, |at| cost(key, at.bytes));
        // A tombstone is gone once its deletion is committed.
        value.map_or(0, |value| cost(key, Some(value)) as i64) - old as i64
    }
}

fn cost(key: &[u8], value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len) + OVERHEAD
}
