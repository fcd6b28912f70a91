//! The writes of the log, seen from outside: which are under way, which were reported as durable, and what each
//! proves about those before it. It knows the format of the headers and nothing of the code that makes them.

use std::collections::BTreeMap;

use seawall_wal::format::{BatchHeader, SegmentHeader};
use seawall_wal::{Done, FileId, Index, Io, IoId, LogId, SlotId};

use crate::check::{Violation, violation};

/// A write of the running log.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    pub slot: SlotId,
    pub offset: u64,
    pub len: usize,
    pub what: What,
}

#[derive(Clone, Copy, Debug)]
pub enum What {
    Header(SegmentHeader),
    Batch(BatchHeader),
}

#[derive(Debug, Default)]
pub struct Writes {
    flying: BTreeMap<IoId, Written>,
    /// What was reported as durable and is part of the log, by slot, in the order of their offsets.
    landed: BTreeMap<SlotId, Vec<Written>>,
    /// First and last index of batches of this process that landed behind a gap.
    ahead: BTreeMap<Index, Index>,
    /// Everything up to here is durable.
    through: Index,
}

impl Writes {
    /// A process begins where recovery left the log: what stands behind that is not part of it.
    pub fn resume(&mut self, last: Index) {
        // Nobody reported it, and yet it was there.
        for written in std::mem::take(&mut self.flying).into_values() {
            if matches!(written.what, What::Batch(_)) {
                self.landed.entry(written.slot).or_default().push(written);
            }
        }
        (self.ahead, self.through) = (BTreeMap::new(), last);
        for landed in self.landed.values_mut() {
            landed.retain(|w| w.last() <= last);
        }
        self.landed.retain(|_, landed| !landed.is_empty());
    }

    /// Takes note of a write that the log asks for, and of what it must not claim.
    /// A checkpoint covers everything up to `covered`.
    pub fn submit(&mut self, log: &LogId, io: &Io, covered: Index) -> Result<(), Violation> {
        let Io::Write { id, file: FileId::Slot(slot), offset, buf, at, len } = io else { return Ok(()) };
        let bytes = &buf.bytes()[*at..at + len];
        let what = match (SegmentHeader::read(bytes, log), BatchHeader::read(bytes, log, *offset)) {
            (Ok(header), _) if *offset == 0 => What::Header(header),
            (_, Ok(header)) if header.blocks() == *len => What::Batch(header),
            (header, batch) => {
                return violation("a write is a header or a batch", format!("{io:?}: {header:?}, {batch:?}"));
            }
        };
        let written = Written { slot: *slot, offset: *offset, len: *len, what };
        let claims = match what {
            What::Header(header) => header.first_index - 1,
            What::Batch(header) => header.flushed_through,
        };
        if claims > self.through.0 {
            let text = format!("{written:?} claims {claims}, durable is {:?}", self.through);
            return violation("R1, a header claims only what is durable", text);
        }
        let older = self.landed.get(slot).into_iter().flatten().chain(self.flying.values());
        let over = |w: &Written| {
            w.slot == *slot && w.offset < offset + *len as u64 && *offset < w.offset + w.len as u64
        };
        if let (What::Batch(_), Some(older)) = (what, older.into_iter().find(|w| over(w))) {
            return violation("R1, a batch is never rewritten", format!("{written:?} over {older:?}"));
        }
        let mut batches =
            self.landed.get(slot).into_iter().flatten().filter(|w| matches!(w.what, What::Batch(_)));
        let lost = batches.find(|w| w.last() > covered);
        if let (What::Header(_), Some(lost)) = (what, lost) {
            let text = format!("{written:?} over {lost:?}, a checkpoint covers {covered:?}");
            return violation("R8, a slot is used again when a checkpoint covers it", text);
        }
        self.flying.insert(*id, written);
        Ok(())
    }

    /// A write ended. Whether it was a whole one.
    pub fn done(&mut self, done: &Done) -> bool {
        let Some(written) = self.flying.remove(&done.id) else { return true };
        if done.result != Ok(written.len) {
            return false;
        }
        if let What::Batch(header) = written.what {
            self.ahead.insert(Index(header.first_index), header.last_index());
        } else {
            self.landed.remove(&written.slot); // a new incarnation
        }
        self.landed.entry(written.slot).or_default().push(written);
        while let Some(last) = self.ahead.remove(&Index(self.through.0 + 1)) {
            self.through = last;
        }
        true
    }

    /// Everything up to here is durable.
    pub fn through(&self) -> Index {
        self.through
    }

    /// The batch that holds a durable record.
    pub fn batch_of(&self, index: Index) -> Option<&Written> {
        self.landed.values().flatten().find(|w| match w.what {
            What::Header(_) => false,
            What::Batch(header) => (header.first_index..=header.last_index().0).contains(&index.0),
        })
    }

    /// Where the last durable write of a slot ends.
    pub fn end_of(&self, slot: SlotId) -> Option<u64> {
        self.landed.get(&slot)?.last().map(|w| w.offset + w.len as u64)
    }

    /// Whether a slot holds batches, and none behind this record.
    pub fn ends_before(&self, slot: SlotId, base: Index) -> bool {
        let mut batches = self
            .landed
            .get(&slot)
            .into_iter()
            .flatten()
            .filter(|w| matches!(w.what, What::Batch(_)))
            .peekable();
        batches.peek().is_some() && batches.all(|w| w.last() <= base)
    }

    pub fn used(&self, slot: SlotId) -> bool {
        self.landed.contains_key(&slot)
    }

    /// What proves that this record was durable: a later batch of the same segment, or a later segment.
    pub fn proofs(&self, index: Index, incarnation: u64) -> impl Iterator<Item = &Written> {
        self.landed.values().flatten().filter(move |w| match w.what {
            What::Header(header) => header.incarnation > incarnation && header.first_index > index.0,
            What::Batch(header) => header.incarnation == incarnation && header.flushed_through >= index.0,
        })
    }
}

impl Written {
    /// The record that is gone when this write is.
    fn last(&self) -> Index {
        match self.what {
            What::Header(header) => Index(header.first_index - 1),
            What::Batch(header) => header.last_index(),
        }
    }

    pub fn file(&self) -> FileId {
        FileId::Slot(self.slot)
    }
}
