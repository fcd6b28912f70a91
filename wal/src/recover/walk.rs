//! The walk along the chain of segments: batch after batch, never past a recorded end.

use std::collections::VecDeque;

use crate::batch::{Batch, BatchError, Expected};
use crate::checkpoint::{Boundary, Item};
use crate::format::{BatchHeader, FIRST_BATCH, LogId, NotValid, SegmentHeader};
use crate::log::tail::MemoryTail;
use crate::record::Record;
use crate::recover::chain::Segment;
use crate::recover::report::{Halt, Report};
use crate::recover::verdict::Break;
use crate::{Epoch, Index, SlotId};

/// What a recovery meets, in order: the checkpoint's entries, then the records behind it.
#[derive(Clone, Copy, Debug)]
pub enum Replay<'a> {
    /// What was given so far is void: the state at this place follows. At the log's start it is empty.
    Base(&'a Boundary),
    Item(Item<'a>),
    Record(Replayed<'a>),
}

/// A record of the recovered log.
#[derive(Clone, Copy, Debug)]
pub struct Replayed<'a> {
    pub epoch: Epoch,
    pub index: Index,
    pub record: Record<'a>,
    /// Where it stands: the slot, and the header of its batch.
    pub slot: SlotId,
    pub batch: BatchHeader,
}

/// One segment on the walk.
#[derive(Debug)]
pub struct Walk {
    pub segment: Segment,
    pub expected: Expected,
    /// Not a byte behind this belongs to the log.
    pub end: u64,
    /// The log ends before this index, by a cut whose offset is not known yet.
    pub stop: Option<Index>,
    /// Of a followed epoch: the most that was under way at once. What its issuer flushed is not flushed here.
    pub window: Option<u64>,
    /// The successor's header, if there is one: it must continue where this segment ends.
    successor: Option<Segment>,
    /// Batches that no later one proves durable: where each was expected, and its last index.
    unproven: VecDeque<(Expected, Index)>,
    proven: Index,
}

pub enum Step {
    /// The walk needs the bytes from `expected.offset` on.
    Read,
    /// The recorded end was reached.
    End,
    /// No batch continues the log here.
    Broken(Break),
}

impl Walk {
    pub fn new(segment: Segment, successor: Option<Segment>, end: u64) -> Self {
        let expected = Expected::first(&segment.header);
        let (unproven, proven) = (VecDeque::new(), Index(0));
        Self { segment, expected, end, stop: None, window: None, successor, unproven, proven }
    }

    /// Takes as many batches as `bytes`, which stand at `expected.offset`, hold whole.
    pub fn take(
        &mut self,
        bytes: &[u8],
        log: &LogId,
        report: &mut Report,
        mut recent: Option<&mut MemoryTail>,
        sink: &mut dyn FnMut(Replay<'_>),
    ) -> Step {
        let mut rest = bytes;
        loop {
            if self.stop.is_some_and(|next| self.expected.next >= next) {
                self.end = self.expected.offset;
            }
            let left = self.end - self.expected.offset;
            if left == 0 {
                return Step::End;
            }
            if rest.is_empty() {
                return Step::Read;
            }
            let max = usize::try_from(left).unwrap_or(usize::MAX);
            match Batch::read(rest, log, &self.expected, max) {
                Ok(batch) => {
                    self.accept(&batch, report, sink);
                    let (bytes, behind) = rest.split_at(batch.header.blocks().min(rest.len()));
                    if let Some(recent) = &mut recent {
                        recent.push(batch.header, bytes);
                    }
                    rest = behind;
                }
                // The next read begins at this batch; only what no buffer can hold is invalid.
                Err(BatchError::Incomplete(_)) if rest.len() < bytes.len() => return Step::Read,
                Err(BatchError::Incomplete(_)) => {
                    return Step::Broken(self.broken(NotValid::Field("length")));
                }
                Err(BatchError::Invalid(why)) => return Step::Broken(self.broken(why)),
            }
        }
    }

    fn accept(&mut self, batch: &Batch<'_>, report: &mut Report, sink: &mut dyn FnMut(Replay<'_>)) {
        let (epoch, slot) = (self.expected.epoch, self.segment.slot);
        for (index, record) in batch.records() {
            sink(Replay::Record(Replayed { epoch, index, record, slot, batch: batch.header }));
        }
        let header = &batch.header;
        report.batches += 1;
        report.records += u64::from(header.records);
        report.bytes += header.blocks() as u64;
        report.last = header.last_index();
        report.committed = report.committed.max(Index(header.committed_through));
        self.proven = self.proven.max(Index(header.flushed_through));
        self.unproven.push_back((self.expected, header.last_index()));
        let (here, proven, window) = (header.offset, self.proven, self.window);
        let durable = |(at, last): &(Expected, Index)| match window {
            Some(window) => here - at.offset > window,
            None => *last <= proven,
        };
        while self.unproven.front().is_some_and(durable) {
            self.unproven.pop_front();
        }
        self.expected = batch.next();
    }

    /// Does the next batch of the log stand whole in `bytes`?
    pub fn continues(&self, bytes: &[u8], log: &LogId) -> bool {
        let max = usize::try_from(self.end - self.expected.offset).unwrap_or(usize::MAX);
        Batch::read(bytes, log, &self.expected, max).is_ok()
    }

    fn broken(&self, why: NotValid) -> Break {
        Break { slot: self.segment.slot, offset: self.expected.offset, next: self.expected.next, why }
    }

    /// Where the window begins that may be readable without being durable. A segment without a batch has only its
    /// header, which may be so too.
    pub fn window(&self) -> Expected {
        match self.unproven.front() {
            Some((first, _)) => *first,
            None if self.expected.offset == FIRST_BATCH => Expected { offset: 0, ..self.expected },
            None => self.expected,
        }
    }

    /// `bytes` were read again at `from`, inside the window: where those of them end that the walk took. A disk that
    /// reads differently now would have its error written over what is good.
    pub fn again(&self, bytes: &[u8], from: &Expected, log: &LogId) -> Result<Expected, NotValid> {
        if from.offset == 0 {
            let header = SegmentHeader::read(bytes, log)?;
            let same = header == self.segment.header;
            return same.then(|| Expected::first(&header)).ok_or(NotValid::Field("header"));
        }
        let (mut at, mut rest) = (*from, bytes);
        while at.offset < self.expected.offset {
            match Batch::read(rest, log, &at, usize::MAX) {
                Ok(batch) => {
                    at = batch.next();
                    rest = rest.get(batch.header.blocks()..).unwrap_or_default();
                }
                Err(_) if at != *from => return Ok(at), // the next read begins here
                Err(BatchError::Incomplete(_)) => return Err(NotValid::Short),
                Err(BatchError::Invalid(why)) => return Err(why),
            }
        }
        // The chain makes the last header stand for all of them.
        (at == self.expected).then_some(at).ok_or(NotValid::Field("chain"))
    }

    /// Does the successor continue exactly here?
    pub fn seam(&self) -> Result<(), Halt> {
        let Some(next) = &self.successor else { return Ok(()) };
        let (slot, end, header) = (self.segment.slot, self.end, &next.header);
        let halt = |what: &str, a: u64, b: u64| {
            Err(Halt::seam(slot, end, format!("{what} {a}"), format!("{what} {b}")))
        };
        if header.pred_chain != self.expected.chain {
            return halt("chain", header.pred_chain.into(), self.expected.chain.into());
        }
        if header.first_index() != self.expected.next {
            return halt("next index", header.first_index, self.expected.next.0);
        }
        if header.epoch() < self.expected.epoch {
            return halt("an epoch no lower than", self.expected.epoch.0, header.epoch);
        }
        Ok(())
    }

    /// A cut at an index ends with a batch.
    pub fn stopped(&self) -> Result<(), Halt> {
        match self.stop {
            Some(next) if self.expected.next > next => {
                Err(Halt::inside_a_batch(self.segment.slot, self.end, next, self.expected.next))
            }
            _ => Ok(()),
        }
    }

    pub fn is_last(&self) -> bool {
        self.successor.is_none()
    }
}
