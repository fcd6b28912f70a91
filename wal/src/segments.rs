//! The segment being written and the pool of slots behind it: prepared slots are spares, a spare becomes the next
//! segment when its header is durable.

use std::collections::VecDeque;

use crate::format::{FIRST_BATCH, Incarnation, Predecessor};
use crate::{LogLimits, SlotId};

/// A prepared slot: zeros, durable, under its final name.
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

#[derive(Debug)]
pub struct Segments {
    limits: LogLimits,
    pub current: Option<Current>,
    spares: VecDeque<Spare>,
    preparing: Option<Spare>,
    next_slot: u32,
    next_incarnation: Incarnation,
    /// Bytes of log in closed segments: decides how large the next slot is.
    closed_bytes: u64,
}

/// What recovery hands to the running log.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    pub spares: Vec<Spare>,
    pub next_slot: u32,
    pub next_incarnation: Incarnation,
    pub closed_bytes: u64,
}

impl Segments {
    pub fn new(limits: LogLimits, pool: Pool) -> Self {
        let Pool { spares, next_slot, next_incarnation, closed_bytes } = pool;
        let spares = spares.into();
        Self { limits, current: None, spares, preparing: None, next_slot, next_incarnation, closed_bytes }
    }

    /// Is there a place, now, for a batch of `len` bytes that leaves `reserve` spares?
    pub fn has_room(&self, len: usize, reserve: usize) -> bool {
        let spares = self.spares.len();
        spares > reserve || (spares == reserve && self.current.is_some_and(|c| c.fits(len)))
    }

    /// Takes the oldest spare as the next segment; `None` while the pool is dry.
    pub fn roll(&mut self) -> Option<(Current, Predecessor)> {
        let spare = self.spares.pop_front()?;
        let predecessor = self.current.map_or_else(Predecessor::default, |old| {
            self.closed_bytes += old.end;
            Predecessor { incarnation: old.incarnation, end: old.end, chain: 0 }
        });
        let incarnation = self.next_incarnation;
        self.next_incarnation = Incarnation(incarnation.0 + 1);
        let Spare { slot, bytes } = spare;
        let current = Current { slot, bytes, incarnation, end: FIRST_BATCH, header_durable: false };
        self.current = Some(current);
        Some((current, predecessor))
    }

    /// The slot to prepare next, when the pool is below its mark; one at a time.
    pub fn prepare(&mut self) -> Option<Spare> {
        if self.preparing.is_some() || self.spares.len() >= self.limits.spares {
            return None;
        }
        let small = self.closed_bytes < self.limits.slot_bytes;
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

impl Current {
    pub fn fits(&self, len: usize) -> bool {
        self.end + len as u64 <= self.bytes
    }
}
