//! What is kept under request keys: the outcomes of each session in the order of their sequence, and those of callers'
//! keys one by one.
//!
//! Every commit of a session asks for the newest outcome, forgets the oldest and adds one, and nobody asks for an order
//! beyond that of a session. So outcomes of a session lie together, behind one look by the hash of what their stored
//! keys share, and there is no other order of keys. What shares a session's place here is called its *holder*; a
//! caller's key is a holder of one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hint::black_box;

use seawall::message::outcome::StoredOutcome;
use seawall::message::request_key::StoredName;
use seawall::position::{Index, Position};

use super::points::{Found, Points, sum};
use super::slots::{Id, Slot, Slots};
use super::table::Look;
use crate::params::EXPIRY_BATCH;

/// What a holder costs beside the bytes of its key: itself, about 60 of a bucket, an allocation for its key, and its
/// place in the order of births.
const HOLDER: usize = 240;
/// What an outcome costs beside its bytes: its place in its holder, of which some are empty, and an allocation with
/// the counts of those who share it and the version.
const OUTCOME: usize = 80;
/// What a holder costs more when it has become empty.
const EMPTIED: usize = 32;
/// So many are often empty; memory for more is given back.
const OFTEN: usize = 1024;
/// A holder with places for no more keeps them all.
const FEW: usize = 8;

#[derive(Debug, Default)]
pub struct Outcomes {
    holders: Slots<Holder>,
    points: Points,
    /// Holders that found no room in their buckets.
    away: BTreeMap<Box<[u8]>, Id>,
    /// Holders by [`Holder::due`].
    due: BTreeSet<(i64, Id)>,
    /// Holders in the order in which they became empty.
    emptied: VecDeque<(Index, Slot)>,
    /// Outcomes of each namespace.
    namespaces: BTreeMap<Box<str>, usize>,
    live: usize,
    memory: usize,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Holder {
    /// Only its key matters: what the stored keys of its outcomes begin with.
    name: Slot,
    /// In the order of their sequence.
    kept: VecDeque<Kept>,
    /// The last removal, which may not be committed yet: absence rests on it (R20).
    removed: Option<Position>,
    /// No outcome was born before. It is put right when it comes, not with each commit that removes the oldest one.
    due: i64,
}

#[derive(Debug)]
struct Kept {
    sequence: u64,
    /// The outcome and its version, without a key.
    outcome: Slot,
}

/// What is known of a session, or of a caller's key.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a>(Option<&'a Holder>);

impl<'a> Held<'a> {
    /// The highest sequence that is kept.
    pub fn newest(&self) -> Option<(u64, Position)> {
        let newest = self.0?.kept.back()?;
        Some((newest.sequence, newest.outcome.version()))
    }

    pub fn look(&self, sequence: u64) -> Look {
        let Some(holder) = self.0 else { return Look::default() };
        match holder.place(sequence) {
            Ok(at) => {
                let Kept { outcome, .. } = &holder.kept[at];
                let row = outcome.share().map(|bytes| (outcome.version(), bytes));
                Look { changed: Some(outcome.version()), row }
            }
            Err(_) => Look { changed: holder.removed, row: None },
        }
    }

    /// What is kept below a sequence, in order, up to the first that was born after `born`.
    pub fn behind(&self, sequence: u64, born: i64) -> impl Iterator<Item = u64> + use<'a> {
        let kept = self.0.into_iter().flat_map(|holder| &holder.kept);
        let behind = kept.take_while(move |kept| kept.sequence < sequence && kept.birth() <= born);
        behind.map(|kept| kept.sequence)
    }
}

impl Outcomes {
    /// All that are kept, in no order that means anything.
    pub fn all(&self) -> impl Iterator<Item = (&[u8], Position, &[u8])> {
        let holders = self.due.iter().map(|(_, id)| self.holders.at(*id));
        holders.flat_map(|holder| {
            let kept = holder.kept.iter();
            kept.filter_map(|kept| Some((holder.name.key(), kept.outcome.version(), kept.outcome.value()?)))
        })
    }

    /// `holder`: the stored key of an outcome; of a session's without its sequence.
    pub fn of(&self, holder: &[u8]) -> Held<'_> {
        Held(self.find(holder).map(|id| self.holders.at(id)))
    }

    /// Like [`Table::bring_near`], for a new outcome of each holder: it looks at the newest one, and forgets the oldest.
    ///
    /// [`Table::bring_near`]: super::table::Table::bring_near
    pub fn bring_near(&self, holders: impl Iterator<Item = u32> + Clone) {
        black_box(holders.clone().fold(0, |all, sum| all ^ self.points.touch(sum)));
        let held = holders.filter_map(|sum| self.points.like(sum));
        black_box(
            held.clone().fold(0, |all, (id, name)| all ^ name.touch() ^ self.holders.at(id).kept.len()),
        );
        let kept = held.map(|(id, _)| &self.holders.at(id).kept);
        black_box(kept.clone().filter_map(VecDeque::back).fold(0, |all, newest| all ^ newest.sequence));
        let oldest = kept.filter_map(VecDeque::front);
        black_box(oldest.clone().fold(0, |all, oldest| all ^ oldest.sequence));
        black_box(oldest.fold(0, |all, oldest| all ^ oldest.outcome.touch()));
    }

    /// Sets or deletes.
    pub fn set(&mut self, stored: &[u8], value: Option<&[u8]>, version: Position) {
        let name = named(stored);
        match value {
            Some(value) => self.put(&name, value, version),
            None => self.remove(&name, version),
        }
    }

    fn put(&mut self, name: &StoredName<'_>, value: &[u8], version: Position) {
        let born = birth(value);
        let outcome = Slot::new(&[], Some(value), version, &mut self.scratch);
        let kept = Kept { sequence: name.sequence, outcome };
        let id = match self.find(name.holder) {
            Some(id) => id,
            None => self.add(name.holder, born),
        };
        let holder = self.holders.at_mut(id);
        if born < holder.due {
            self.due.remove(&(holder.due, id));
            self.due.insert((born, id));
            holder.due = born;
        }
        self.memory += cost(value);
        match holder.place(name.sequence) {
            Ok(at) => {
                let old = std::mem::replace(&mut holder.kept[at], kept);
                self.memory -= old.cost();
            }
            Err(at) => {
                holder.kept.insert(at, kept);
                self.live += 1;
                match self.namespaces.get_mut(name.namespace) {
                    Some(count) => *count += 1,
                    None => drop(self.namespaces.insert(name.namespace.into(), 1)),
                }
            }
        }
    }

    fn add(&mut self, key: &[u8], due: i64) -> Id {
        let name = Slot::new(key, None, Position::default(), &mut self.scratch);
        // Most callers' keys stay the only one of their holder.
        let kept = VecDeque::with_capacity(1);
        let id = self.holders.push(Holder { name: name.clone(), kept, removed: None, due });
        if !self.points.add(sum(key), id, name) {
            self.away.insert(key.into(), id);
        }
        self.due.insert((due, id));
        self.memory += HOLDER + key.len();
        id
    }

    fn remove(&mut self, name: &StoredName<'_>, version: Position) {
        let Some(id) = self.find(name.holder) else { return };
        let holder = self.holders.at_mut(id);
        let Ok(at) = holder.place(name.sequence) else { return };
        holder.removed = Some(version);
        let Some(kept) = holder.kept.remove(at) else { return };
        self.memory -= kept.cost();
        self.live -= 1;
        if let Some(count) = self.namespaces.get_mut(name.namespace) {
            *count -= 1;
        }
        if holder.kept.capacity() > FEW && holder.kept.len() <= holder.kept.capacity() / 4 {
            holder.kept.shrink_to(holder.kept.capacity() / 2);
        }
        if holder.kept.is_empty() {
            self.emptied.push_back((version.index, holder.name.clone()));
            self.memory += EMPTIED;
        }
    }

    /// Forgets what became empty, once that is committed.
    pub fn bury(&mut self, committed: Index) {
        while self.emptied.front().is_some_and(|(index, _)| *index <= committed) {
            let Some((index, name)) = self.emptied.pop_front() else { return };
            self.memory -= EMPTIED;
            let id = self.find(name.key()).filter(|id| self.holders.at(*id).is_empty_since(index));
            if let Some(id) = id {
                self.forget(id, name.key());
            }
        }
        if self.emptied.is_empty() {
            self.emptied.shrink_to(OFTEN);
        }
    }

    /// Its place goes to the last one, so that there are no gaps.
    fn forget(&mut self, id: Id, key: &[u8]) {
        self.away.remove(key);
        for id in self.points.remove(sum(key), id) {
            self.away.insert(self.holders.at(id).name.key().into(), id);
        }
        self.due.remove(&(self.holders.at(id).due, id));
        let last = (self.holders.len() - 1) as Id;
        if last != id {
            let moved = self.holders.at(last);
            self.points.renumber(sum(moved.name.key()), last, id);
            if let Some(away) = self.away.get_mut(moved.name.key()) {
                *away = id;
            }
            self.due.remove(&(moved.due, last));
            self.due.insert((moved.due, id));
        }
        self.holders.swap_remove(id);
        self.memory -= HOLDER + key.len();
    }

    /// Hands over the stored keys of outcomes whose requests were born up to `horizon_us`, as long as `take` takes
    /// them. A call looks into a bounded number of sessions: after one that hands over nothing there may be more.
    pub fn born_until(&mut self, horizon_us: i64, mut take: impl FnMut(&[u8]) -> bool) {
        let mut from = (i64::MIN, 0);
        for _ in 0..EXPIRY_BATCH {
            let mut behind = self.due.range(from..=(horizon_us, Id::MAX));
            let Some((due, id)) = behind.next().copied() else { return };
            from = (due, id + 1);
            let holder = self.holders.at_mut(id);
            let oldest = holder.kept.iter().map(Kept::birth).min().unwrap_or(i64::MAX);
            if oldest > horizon_us {
                holder.due = oldest;
                self.due.remove(&(due, id));
                self.due.insert((oldest, id));
            } else if !holder.hand_over(horizon_us, &mut self.scratch, &mut take) {
                return;
            }
        }
    }

    /// All of them.
    pub fn live(&self) -> usize {
        self.live
    }

    pub fn of_namespace(&self, namespace: &str) -> usize {
        self.namespaces.get(namespace).copied().unwrap_or(0)
    }

    /// Bytes that they take, about.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// By how much the memory may grow at most, whatever is there.
    pub fn most_growth(stored: &[u8], value: Option<&[u8]>) -> usize {
        value.map_or(EMPTIED, |value| HOLDER + stored.len() + cost(value))
    }

    /// By how much the memory would grow.
    pub fn growth(&self, stored: &[u8], value: Option<&[u8]>) -> i64 {
        let name = named(stored);
        let found = self.of(name.holder).0;
        let old = found.and_then(|holder| holder.kept.get(holder.place(name.sequence).ok()?));
        let holder = if found.is_none() { HOLDER + name.holder.len() } else { 0 };
        // A holder that becomes empty is gone once that is committed; nobody counts on it.
        value.map_or(0, |value| (holder + cost(value)) as i64) - old.map_or(0, Kept::cost) as i64
    }

    fn find(&self, holder: &[u8]) -> Option<Id> {
        match self.points.find(sum(holder), holder) {
            Found::At(id, _) => Some(id),
            Found::Nowhere => None,
            Found::Unsure => self.away.get(holder).copied(),
        }
    }
}

impl Holder {
    /// Where a sequence is, or where it would be. Nearly always it is a new one, or the oldest that is kept.
    fn place(&self, sequence: u64) -> Result<usize, usize> {
        match (self.kept.front(), self.kept.back()) {
            (_, Some(newest)) if newest.sequence < sequence => Err(self.kept.len()),
            (Some(oldest), _) if oldest.sequence == sequence => Ok(0),
            _ => self.kept.binary_search_by_key(&sequence, |kept| kept.sequence),
        }
    }

    fn is_empty_since(&self, index: Index) -> bool {
        self.kept.is_empty() && self.removed.is_some_and(|removed| removed.index == index)
    }

    /// False if `take` took enough.
    fn hand_over(&self, horizon_us: i64, stored: &mut Vec<u8>, take: &mut impl FnMut(&[u8]) -> bool) -> bool {
        self.kept.iter().filter(|kept| kept.birth() <= horizon_us).all(|kept| {
            stored.clear();
            stored.extend_from_slice(self.name.key());
            if kept.sequence > 0 {
                stored.extend_from_slice(&kept.sequence.to_be_bytes());
            }
            take(stored)
        })
    }
}

impl Kept {
    fn value(&self) -> &[u8] {
        self.outcome.value().unwrap_or_default()
    }

    fn birth(&self) -> i64 {
        birth(self.value())
    }

    fn cost(&self) -> usize {
        cost(self.value())
    }
}

fn cost(value: &[u8]) -> usize {
    value.len() + OUTCOME
}

/// Of the holder of an outcome, by its stored key.
pub fn sum_of(stored: &[u8]) -> u32 {
    sum(named(stored).holder)
}

fn named(stored: &[u8]) -> StoredName<'_> {
    StoredName::of(stored).expect("a key that this node stored")
}

fn birth(stored: &[u8]) -> i64 {
    StoredOutcome::birth(stored).expect("an outcome that this node stored")
}
