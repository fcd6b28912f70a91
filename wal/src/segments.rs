//! The slots of a log: the segment being written, the closed ones before it, and the pool of spares behind it.
//!
//! ```text
//! prepared -> spare -> current -> closed -> (a checkpoint covers it, nobody reads it) -> spare
//! ```
//! A slot that comes back keeps its old bytes: they carry an older incarnation, and are never taken for new ones.

use std::collections::VecDeque;

use crate::format::{FIRST_BATCH, Incarnation, Predecessor};
use crate::{Index, LogLimits, SlotId};

/// A slot whose file is wholly written and durable, under its final name; nothing in it belongs to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spare {
    pub slot: SlotId,
    pub bytes: u64,
}

/// The segment that takes the next batch.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    pub slot: SlotId,
    pub bytes: u64,
    pub incarnation: Incarnation,
    /// Where the next batch goes.
    pub end: u64,
    /// Nothing may be written behind a header that could still be lost.
    pub header_durable: bool,
}

/// A segment that takes no batch any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub slot: SlotId,
    pub bytes: u64,
    pub incarnation: Incarnation,
    pub end: u64,
    /// The last index in it or before it.
    pub last: Index,
}

#[derive(Debug)]
pub struct Segments {
    limits: LogLimits,
    pub current: Option<Current>,
    /// Oldest first.
    closed: VecDeque<Closed>,
    spares: VecDeque<Spare>,
    preparing: Option<Spare>,
    next_slot: u32,
    next_incarnation: Incarnation,
    /// Bytes of log in closed segments.
    closed_bytes: u64,
}

/// What recovery hands to the running log.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    pub spares: Vec<Spare>,
    /// Oldest first; the last one is where the recovered log ends.
    pub closed: Vec<Closed>,
    pub next_slot: u32,
    pub next_incarnation: Incarnation,
}

impl Segments {
    pub fn new(limits: LogLimits, pool: Pool) -> Self {
        let Pool { spares, closed, next_slot, next_incarnation } = pool;
        let closed_bytes = closed.iter().map(|c| c.end).sum();
        Self {
            limits,
            current: None,
            closed: closed.into(),
            spares: spares.into(),
            preparing: None,
            next_slot,
            next_incarnation,
            closed_bytes,
        }
    }

    /// Is there a place, now, for a batch of `len` bytes that leaves `reserve` spares?
    pub fn has_room(&self, len: usize, reserve: usize) -> bool {
        let spares = self.spares.len();
        spares > reserve || (spares == reserve && self.current.is_some_and(|c| c.fits(len)))
    }

    /// Takes the oldest spare as the next segment; `None` while the pool is dry. Everything up to `last` stands in
    /// the segments before it.
    pub fn roll(&mut self, last: Index) -> Option<(Current, Predecessor)> {
        let spare = self.spares.pop_front()?;
        let predecessor = self.current.map_or_else(Predecessor::default, |old| {
            let Current { slot, bytes, incarnation, end, .. } = old;
            self.closed_bytes += end;
            self.closed.push_back(Closed { slot, bytes, incarnation, end, last });
            Predecessor { incarnation, end, chain: 0 }
        });
        let incarnation = self.next_incarnation;
        self.next_incarnation = Incarnation(incarnation.0 + 1);
        let Spare { slot, bytes } = spare;
        let current = Current { slot, bytes, incarnation, end: FIRST_BATCH, header_durable: false };
        self.current = Some(current);
        Some((current, predecessor))
    }

    /// The closed segments behind `incarnation` whose ends are recorded for good: in the durable header of the
    /// segment after them.
    pub fn closed_after(&self, incarnation: Incarnation) -> impl Iterator<Item = &Closed> {
        let settled = self.current.is_some_and(|c| c.header_durable);
        self.closed.iter().filter(move |c| settled && c.incarnation > incarnation)
    }

    pub fn closed(&self, incarnation: Incarnation) -> Option<&Closed> {
        self.closed.iter().find(|c| c.incarnation == incarnation)
    }

    /// The oldest closed segment goes back to the pool if it is not behind `covered` and nobody needs a record from
    /// `floor` on of it. `Some(slot)` is a slot too small to be used again, which is to be removed.
    pub fn recycle(&mut self, covered: Incarnation, floor: Index, checkpoint_bytes: u64) -> Option<Recycled> {
        let oldest = *self.closed.front()?;
        if oldest.incarnation > covered || oldest.last >= floor {
            return None;
        }
        let small = self.is_small(checkpoint_bytes);
        self.closed.pop_front();
        self.closed_bytes -= oldest.end;
        let Closed { slot, bytes, .. } = oldest;
        if bytes < self.limits.slot_bytes && !small {
            return Some(Recycled::Outgrown(slot));
        }
        self.spares.push_back(Spare { slot, bytes });
        Some(Recycled::Spare)
    }

    fn is_small(&self, checkpoint_bytes: u64) -> bool {
        self.closed_bytes + checkpoint_bytes < self.limits.slot_bytes
    }

    /// The slot to prepare next, when the pool is below its mark; one at a time. A small log grows by small slots.
    pub fn prepare(&mut self, checkpoint_bytes: u64) -> Option<Spare> {
        if self.preparing.is_some() || self.spares.len() >= self.limits.spares {
            return None;
        }
        let small = self.is_small(checkpoint_bytes);
        let bytes = if small { self.limits.small_slot_bytes } else { self.limits.slot_bytes };
        let spare = Spare { slot: SlotId(self.next_slot), bytes };
        self.preparing = Some(spare);
        Some(spare)
    }

    pub fn prepared(&mut self) {
        let spare = self.preparing.take().expect("a slot was being prepared");
        assert_eq!(spare.slot.0, self.next_slot, "slots are prepared one at a time");
        self.next_slot += 1;
        self.spares.push_back(spare);
    }

    /// The number is not used again: how far the attempt came, its file may tell or not.
    pub fn prepare_failed(&mut self) {
        self.preparing = None;
        self.next_slot += 1;
    }
}

/// What became of a closed segment's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recycled {
    Spare,
    /// Made when the log was small; large slots are made instead.
    Outgrown(SlotId),
}

impl Current {
    pub fn fits(&self, len: usize) -> bool {
        self.end + len as u64 <= self.bytes
    }
}
