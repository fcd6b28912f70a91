//! How a table is filled at a start, when nobody looks at it yet: the same entries as by [`Table::set`], at less cost.
//!
//! Far memory is what the time goes for, so accesses are brought together. Changes wait until there are some, and what
//! they will touch is read for all of them first, so that a processor waits once and not for each. Keys that come in
//! their order, as those of a checkpoint do, are new without a look. The tree is made of all keys when they are there.

use std::collections::BTreeMap;

use seawall::position::Position;

use super::super::near::TOGETHER;
use super::super::points::{Found, sum};
use super::super::slots::{Id, Slot};
use super::super::tree::{self, Tree};
use super::{At, Bytes, Table};

#[derive(Debug, Default)]
pub struct Filling {
    /// What was not yet put in its place, each with the sum of its key; [`TOGETHER`] at most.
    waiting: Vec<(u32, Slot)>,
    /// So many slots, from the first on, are in the order of their keys.
    in_order: usize,
    /// There are slots that the tree does not hold.
    apart: bool,
    /// Keys that found no room in their buckets. The tree knows them once it is made.
    away: BTreeMap<Box<[u8]>, Id>,
}

impl Filling {
    pub fn under_way(&self) -> bool {
        self.apart || !self.waiting.is_empty()
    }
}

impl Table {
    /// Sets or deletes. Until [`Table::filled`], order is not asked for, and a look is slow.
    pub fn fill(&mut self, key: &[u8], value: Option<&[u8]>, version: Position) {
        let slot = self.make(key, value, version);
        let sum = sum(key);
        if self.is_behind_all(key) {
            let id = self.slots.push(slot.clone());
            self.points.add_later(sum, id, slot);
            self.filling.in_order += 1;
            self.filling.apart = true;
        } else {
            self.filling.waiting.push((sum, slot));
            if self.filling.waiting.len() == TOGETHER {
                self.place_waiting();
            }
        }
        if value.is_none() {
            self.entomb(key, version);
        }
    }

    /// The same at once; what stood there is returned.
    pub fn fill_now(&mut self, key: &[u8], value: Option<&[u8]>, version: Position) -> Option<Bytes> {
        self.place_waiting();
        let slot = self.make(key, value, version);
        if value.is_none() {
            self.entomb(key, version);
        }
        self.place(sum(key), slot)
    }

    /// All is there; now the tree is made.
    pub fn filled(&mut self) {
        self.place_waiting();
        if self.filling.apart {
            let mut ids: Vec<Id> = (0..self.slots.len() as Id).collect();
            if self.filling.in_order < ids.len() {
                tree::sort(&mut ids, &self.slots);
            }
            self.tree = Tree::of(&ids, &self.slots);
            self.filling = Filling::default();
        }
    }

    fn is_behind_all(&self, key: &[u8]) -> bool {
        let all = self.slots.len();
        self.filling.waiting.is_empty()
            && self.filling.in_order == all
            && all.checked_sub(1).is_none_or(|last| self.slots.at(last as Id).key() < key)
    }

    fn place_waiting(&mut self) {
        let (away, slots) = (&mut self.filling.away, &self.slots);
        self.points.add_all(|id| {
            away.insert(slots.at(id).key().into(), id);
        });
        if self.filling.waiting.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.filling.waiting);
        self.bring_near(waiting.iter().map(|(sum, _)| *sum));
        for (sum, slot) in waiting.drain(..) {
            self.place(sum, slot);
        }
        self.filling.waiting = waiting;
    }

    fn place(&mut self, sum: u32, slot: Slot) -> Option<Bytes> {
        let known = match self.points.find(sum, slot.key()) {
            Found::At(id, _) => Some(id),
            Found::Nowhere => None,
            Found::Unsure => {
                let away = self.filling.away.get(slot.key()).copied();
                away.or_else(|| self.tree.find(slot.key(), &self.slots))
            }
        };
        match known {
            Some(id) => self.replace(id, sum, slot),
            None => {
                let id = self.slots.push(slot.clone());
                if !self.points.add(sum, id, slot) {
                    self.filling.away.insert(self.slots.at(id).key().into(), id);
                }
                self.filling.apart = true;
                None
            }
        }
    }

    /// While it is filled, nobody looks but who checks it.
    pub(super) fn at_in_filling(&self, key: &[u8]) -> Option<At<'_>> {
        let waiting = self.filling.waiting.iter().rev().map(|(_, slot)| slot);
        let placed = (0..self.slots.len()).map(|id| self.slots.at(id as Id));
        waiting.chain(placed).find(|slot| slot.key() == key).map(At::of)
    }
}
