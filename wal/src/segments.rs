//! The slots of a log: the segment being written, the closed ones before it, and the pool of spares behind it.
//!
//! ```text
//! prepared -> spare -> current -> closed -> (a checkpoint covers it, nobody reads it) -> spare
//! ```
//! A slot that comes back keeps its old bytes: they carry an older incarnation, and are never taken for new ones.

use std::collections::VecDeque;

use bytemuck::Zeroable;

use crate::format::{FIRST_BATCH, Incarnation, Predecessor, SegmentHeader};
use crate::{Epoch, Index, LogLimits, SlotId};

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
    pub header: SegmentHeader,
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
    pub header: SegmentHeader,
    pub end: u64,
    /// The last index in it or before it.
    pub last: Index,
}

/// A segment, and how far it is written.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    pub slot: SlotId,
    pub header: SegmentHeader,
    pub end: u64,
}

#[derive(Debug)]
pub struct Segments {
    limits: LogLimits,
    pub current: Option<Current>,
    /// Oldest first.
    closed: VecDeque<Closed>,
    spares: VecDeque<Spare>,
    /// Size of the slot that the next segment needs, where it is not for this log to choose.
    wanted: Option<u64>,
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
            wanted: None,
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
    /// the segments before it. The caller fills the header in.
    pub fn roll(&mut self, last: Index) -> Option<(Current, Predecessor)> {
        let spare = self.spares.pop_front()?;
        let incarnation = self.next_incarnation;
        self.next_incarnation = Incarnation(incarnation.0 + 1);
        let predecessor = self.begin(spare, incarnation, SegmentHeader::zeroed(), last);
        Some((self.current?, predecessor))
    }

    /// Takes a spare of exactly the size that a followed segment's header names; without one, that is the size to
    /// prepare next.
    pub fn follow(&mut self, header: SegmentHeader, last: Index) -> Option<Current> {
        let Some(fits) = self.spares.iter().position(|spare| spare.bytes == header.bytes) else {
            self.wanted = Some(header.bytes);
            return None;
        };
        self.wanted = None;
        let spare = self.spares.remove(fits)?;
        self.begin(spare, Incarnation(header.incarnation), header, last);
        self.current
    }

    fn begin(
        &mut self,
        spare: Spare,
        incarnation: Incarnation,
        header: SegmentHeader,
        last: Index,
    ) -> Predecessor {
        let predecessor = self.current.map_or_else(Predecessor::default, |old| {
            let Current { slot, bytes, incarnation, header, end, .. } = old;
            self.closed_bytes += end;
            self.closed.push_back(Closed { slot, bytes, incarnation, header, end, last });
            Predecessor { incarnation, end, chain: 0 }
        });
        let Spare { slot, bytes } = spare;
        self.current =
            Some(Current { slot, bytes, incarnation, header, end: FIRST_BATCH, header_durable: false });
        predecessor
    }

    /// The header that the segment which just began will have.
    pub fn name(&mut self, header: SegmentHeader) {
        let current = self.current.as_mut().expect("a segment began");
        assert_eq!(current.incarnation.0, header.incarnation, "the header of this segment");
        current.header = header;
    }

    /// The headers of all segments, oldest first.
    pub fn headers(&self) -> impl DoubleEndedIterator<Item = &SegmentHeader> {
        self.closed.iter().map(|c| &c.header).chain(self.current.iter().map(|c| &c.header))
    }

    /// What can be read back, oldest first. Of the current one, batches up to its end may still be under way.
    pub fn stored(&self) -> impl DoubleEndedIterator<Item = Stored> {
        let closed = self.closed.iter().map(|c| Stored { slot: c.slot, header: c.header, end: c.end });
        let current = self.current.iter().filter(|c| c.header_durable);
        closed.chain(current.map(|c| Stored { slot: c.slot, header: c.header, end: c.end }))
    }

    /// Bytes of slots that no start needs: kept for those who read from `floor` on alone.
    pub fn held_bytes(&self, covered: Incarnation) -> u64 {
        self.closed.iter().take_while(|c| c.incarnation <= covered).map(|c| c.bytes).sum()
    }

    /// Each epoch that begins in these segments, and its first index.
    pub fn epochs(&self) -> impl Iterator<Item = (Epoch, Index)> + use<'_> {
        let mut newest = Epoch(0);
        self.headers().filter_map(move |header| {
            let begins = header.epoch() > newest;
            newest = newest.max(header.epoch());
            begins.then(|| (header.epoch(), header.first_index()))
        })
    }

    /// The closed segment that holds `index`, if its end is recorded for good.
    pub fn holding(&self, index: Index) -> Option<&Closed> {
        let holds = |c: &&Closed| c.header.first_index() <= index && index <= c.last;
        self.closed_after(Incarnation(0)).find(holds)
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
        // One without a record is needed by those who need what is behind it: it is named there.
        if oldest.incarnation > covered || oldest.last >= floor || oldest.header.first_index() >= floor {
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
        let enough = self.wanted.is_none() && self.spares.len() >= self.limits.spares;
        if self.preparing.is_some() || enough {
            return None;
        }
        let small = self.is_small(checkpoint_bytes);
        let bytes = if small { self.limits.small_slot_bytes } else { self.limits.slot_bytes };
        let bytes = self.wanted.unwrap_or(bytes);
        let spare = Spare { slot: SlotId(self.next_slot), bytes };
        self.preparing = Some(spare);
        Some(spare)
    }

    pub fn prepared(&mut self) {
        let spare = self.preparing.take().expect("a slot was being prepared");
        self.wanted = self.wanted.filter(|bytes| *bytes != spare.bytes);
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
