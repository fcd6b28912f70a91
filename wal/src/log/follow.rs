//! The log of a follower: what a leader sends is written verbatim at the place that it names, so replicas hold
//! byte-identical segments.
//!
//! Call order: [`Follower::take`] what arrived, [`Follower::pump`] at the end of the turn; every [`Io`] comes back
//! through [`Follower::done`], and what became validated is handed out by [`Follower::fresh`], once. Nothing is applied
//! here. After the first failure it takes nothing until recovery reads the log anew (R4, R25).
//!
//! received (in memory, its place known) >= persisted (durable, contiguous) >= validated (whole, and the chain goes on).

use std::collections::VecDeque;
use std::ops::Range;

use super::adopt::Adopting;
use super::keep::Keep;
use super::remember::{Memory, Wish};
use super::tail::MemoryTail;
use super::{Cause, Failure, Invalid, LogStats, Resume, whole};
use crate::batch::{Batch, BatchError, Expected};
use crate::format::{BATCH_HEADER, BatchHeader, Incarnation, LogId, NotValid, SegmentHeader};
use crate::meta::{Cut, CutKind};
use crate::segments::Current;
use crate::{BLOCK, Buffer, Done, Epoch, FileId, Index, Io, IoId, LogLimits, SlotId};

mod place;

pub use place::Rejected;
use place::{Item, Place};

#[derive(Debug)]
pub struct Follower {
    pub(super) id: LogId,
    limits: LogLimits,
    pub(super) keep: Keep,
    pub(super) memory: Memory,
    tail: MemoryTail,
    /// Behind all that was received.
    place: Place,
    /// Received, and not being written yet.
    queue: VecDeque<Piece>,
    in_flight: VecDeque<Flight>,
    header_io: Option<IoId>,
    persisted: Index,
    /// Behind all that is validated.
    valid: Expected,
    committed: Index,
    fresh: VecDeque<Validated>,
    free: Vec<Buffer>,
    control: Vec<Buffer>,
    next_io: u64,
    pub(super) failed: Option<Failure>,
    /// The end of this log was decided: it takes nothing until it is opened again.
    pub(super) cut: bool,
    pub(super) adopting: Adopting,
    pub(super) stats: LogStats,
}

#[derive(Debug)]
enum Piece {
    Segment(SegmentHeader),
    /// Batches that follow each other, as many as one write takes.
    Batches(Filling),
}

#[derive(Debug)]
struct Filling {
    buffer: Buffer,
    at: u64,
    len: usize,
    last: Index,
}

/// Batches on their way to the disk.
#[derive(Debug)]
struct Flight {
    io: IoId,
    len: usize,
    last: Index,
    /// The bytes that were written, when they are durable.
    landed: Option<Buffer>,
}

/// A batch that is durable, whole, and continues the log. To be held until it is committed, then applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    pub header: BatchHeader,
    pub bytes: Box<[u8]>,
}

impl Validated {
    /// Where its records stand in its bytes.
    pub fn payload(&self) -> Range<usize> {
        BATCH_HEADER..BATCH_HEADER + self.header.length as usize
    }
}

/// Where recovery left the log of a follower: its last segment takes further batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tip {
    pub next: Expected,
    /// `None`: the next item is a segment's header.
    pub segment: Option<(SlotId, SegmentHeader)>,
    pub committed: Index,
}

/// Why a log is not cut at an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCut {
    /// The log ends before it, at this index.
    Beyond(Index),
    /// A checkpoint holds what is to be cut, up to this index: the log has to be built anew.
    InCheckpoint(Index),
    /// A checkpoint is being made, and may come to hold it: again when that has ended.
    Folding,
}

impl Follower {
    /// `buffers` is the pool of [`LogLimits::buffers`].
    pub(crate) fn resume(
        id: LogId,
        limits: LogLimits,
        buffers: Vec<Buffer>,
        tail: MemoryTail,
        resume: Resume,
        tip: Tip,
    ) -> Self {
        let (free, control): (Vec<_>, Vec<_>) =
            buffers.into_iter().partition(|b| usize::from(b.id()) < limits.batch_buffers());
        assert_eq!(free.len(), limits.batch_buffers(), "every buffer came back before the log runs");
        let mut pool = resume.pool;
        let current = tip.segment.map(|(slot, header)| {
            let closed = pool.closed.pop().expect("the segment at the end is one of the log's");
            assert_eq!((closed.slot, closed.end), (slot, tip.next.offset), "it is the last one");
            let (bytes, incarnation, end) = (header.bytes, tip.next.incarnation, tip.next.offset);
            Current { slot, bytes, incarnation, header, end, header_durable: true }
        });
        let mut keep = Keep::new(id, limits, pool, resume.checkpoints, resume.outdated);
        keep.segments.current = current;
        keep.digest = resume.digest;
        Self {
            id,
            limits,
            keep,
            memory: Memory::new(id, resume.meta),
            tail,
            place: Place { next: tip.next, segment: tip.segment.map(|(_, header)| header) },
            queue: VecDeque::new(),
            in_flight: VecDeque::with_capacity(limits.writes_in_flight),
            header_io: None,
            persisted: resume.last,
            valid: tip.next,
            committed: tip.committed,
            fresh: VecDeque::new(),
            free,
            control,
            next_io: resume.next_io,
            failed: None,
            cut: false,
            adopting: Adopting::default(),
            stats: LogStats::default(),
        }
    }

    pub fn received(&self) -> Index {
        Index(self.place.next.next.0 - 1)
    }

    /// Everything up to here is on stable storage (R7); not looked at.
    pub fn persisted(&self) -> Index {
        self.persisted
    }

    /// Everything up to here is durable, whole, and continues the log. This is what counts for a commit (R13).
    pub fn validated(&self) -> Index {
        Index(self.valid.next.0 - 1)
    }

    /// Everything up to here is committed, as far as this follower has it and was told.
    pub fn committed(&self) -> Index {
        self.committed.min(self.validated())
    }

    /// Where the next item must continue; a segment that goes on does so with a batch there.
    pub fn expected(&self) -> Expected {
        self.place.next
    }

    /// The epoch of the last thing received.
    pub fn epoch(&self) -> Epoch {
        self.place.next.epoch
    }

    /// The leader says that everything up to here is committed; it may be more than this follower has.
    pub fn commit(&mut self, through: Index) {
        self.committed = self.committed.max(through);
    }

    /// Validated batches from the one that holds `from` on, from memory; `None` if that one is there no more.
    pub fn recent(&self, from: Index) -> Option<impl Iterator<Item = (&BatchHeader, &[u8])>> {
        self.tail.from(from, self.validated())
    }

    pub fn oldest_recent(&self) -> Option<Index> {
        self.tail.oldest()
    }

    pub fn failure(&self) -> Option<&Failure> {
        self.failed.as_ref()
    }

    pub fn stats(&self) -> LogStats {
        self.stats
    }

    /// All that was received is validated, all wishes are durable, and nothing is under way.
    pub fn is_quiet(&self) -> bool {
        let nothing = self.queue.is_empty() && !self.outstanding();
        nothing && (self.failed.is_some() || !self.memory.wants_to_write())
    }

    /// Operations that will still come back through [`Follower::done`].
    pub fn outstanding(&self) -> bool {
        let writing = self.in_flight.iter().any(|f| f.landed.is_none()) || self.header_io.is_some();
        let beside = self.keep.outstanding() || self.adopting.outstanding();
        writing || beside || self.memory.outstanding()
    }

    pub(super) fn nothing_waits(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty() && self.header_io.is_none()
    }

    /// The batches that became validated since it was last asked, in order.
    pub fn fresh(&mut self) -> impl Iterator<Item = Validated> {
        self.fresh.drain(..)
    }

    /// Takes items as they stand in a leader's segments: header blocks and batches. If one of them does not continue
    /// the log, nothing of them is taken (F-V2); exact repeats are passed over. Returns how many bytes were taken:
    /// whole items, and fewer than all of them if they have to wait for writes under way.
    pub fn take(&mut self, items: &[u8]) -> Result<usize, Rejected> {
        if self.failed.is_some() || self.cut || self.adopting.closes() {
            return Ok(0);
        }
        let (mut place, mut at) = (self.place, 0);
        while let Some(rest) = items.get(at..).filter(|rest| !rest.is_empty()) {
            let here = |rejected| self.place.of(rejected);
            let item = self.judge(&place, rest).map_err(here)?;
            place = place.behind(&item);
            at += item.len();
        }
        let mut at = 0;
        while let Some(rest) = items.get(at..).filter(|rest| !rest.is_empty()) {
            let item = self.judge(&self.place, rest)?;
            if !self.queue_up(&item, &rest[..item.len()]) {
                break;
            }
            self.place = self.place.behind(&item);
            at += item.len();
        }
        Ok(at)
    }

    fn queue_up(&mut self, item: &Item, bytes: &[u8]) -> bool {
        match item {
            Item::Repeat(_) => true,
            // One segment begins at a time: the queue stays as short as the pool of buffers.
            Item::Segment(_) if self.queue.iter().any(|piece| matches!(piece, Piece::Segment(_))) => false,
            Item::Segment(header) => {
                self.queue.push_back(Piece::Segment(*header));
                true
            }
            Item::Batch(header) => {
                let Some(filling) = self.filling(header.offset, bytes.len()) else { return false };
                filling.buffer.bytes_mut()[filling.len..][..bytes.len()].copy_from_slice(bytes);
                filling.len += bytes.len();
                filling.last = header.last_index();
                self.tail.push(*header, bytes);
                true
            }
        }
    }

    /// The last piece of the queue, if `len` more bytes fit into it, or a new one.
    fn filling(&mut self, at: u64, len: usize) -> Option<&mut Filling> {
        let fits = |f: &Filling| f.len + len <= f.buffer.capacity();
        if !matches!(self.queue.back(), Some(Piece::Batches(f)) if fits(f)) {
            let buffer = self.free.pop()?;
            self.queue.push_back(Piece::Batches(Filling { buffer, at, len: 0, last: Index(0) }));
        }
        match self.queue.back_mut() {
            Some(Piece::Batches(filling)) => Some(filling),
            _ => None,
        }
    }

    /// Emits what can be written now: received batches, a segment header when everything before it is durable, a new
    /// slot, a fold, the metadata.
    pub fn pump(&mut self, out: &mut Vec<Io>) {
        if self.failed.is_none() {
            while self.write_next(out) {}
            let committed = self.committed();
            self.keep.pump(&mut self.next_io, committed, out);
            self.pump_adopting(out);
        }
        // Why a log failed may have to be remembered, too.
        if self.memory.wants_to_write()
            && let Some(buf) = self.control.pop()
        {
            let id = self.issue();
            out.push(self.memory.write(id, buf));
        }
    }

    fn write_next(&mut self, out: &mut Vec<Io>) -> bool {
        if self.header_io.is_some() {
            return false;
        }
        let (flying, more) = (self.in_flight.len(), self.queue.len() > 1);
        match self.queue.front() {
            // Its existence claims that everything before it is durable, so it waits for that.
            Some(Piece::Segment(header)) if flying == 0 => {
                let header = *header;
                self.begin_segment(header, out)
            }
            Some(Piece::Batches(f)) => {
                let full = more || f.len >= self.limits.batch_bytes;
                let flies = flying == 0 || full && flying < self.limits.writes_in_flight;
                flies && self.write_batches(out)
            }
            _ => false,
        }
    }

    fn begin_segment(&mut self, header: SegmentHeader, out: &mut Vec<Io>) -> bool {
        let last = Index(header.first_index - 1);
        let Some(current) = self.keep.segments.follow(header, last) else { return false };
        self.queue.pop_front();
        self.stats.rolls += 1;
        let mut buf = self.control.pop().expect("one segment begins at a time");
        buf.bytes_mut()[..BLOCK].fill(0);
        buf.bytes_mut()[..size_of::<SegmentHeader>()].copy_from_slice(bytemuck::bytes_of(&header));
        let id = self.issue();
        self.header_io = Some(id);
        out.push(Io::Write { id, file: FileId::Slot(current.slot), offset: 0, buf, at: 0, len: BLOCK });
        true
    }

    fn write_batches(&mut self, out: &mut Vec<Io>) -> bool {
        let Some(Piece::Batches(Filling { buffer, at, len, last })) = self.queue.pop_front() else {
            return false;
        };
        let id = self.issue();
        let current = self.keep.segments.current.as_mut().expect("batches lie under a header");
        assert!(current.header_durable && current.end == at, "they continue the segment");
        current.end += len as u64;
        let file = FileId::Slot(current.slot);
        self.in_flight.push_back(Flight { io: id, len, last, landed: None });
        out.push(Io::Write { id, file, offset: at, buf: buffer, at: 0, len });
        true
    }

    /// Takes back one operation. `Err` is said once, by the operation that ends the log. [`Cause::Invalid`] is an
    /// integrity failure: what was sent is not whole, and nothing behind it is believed (F-V1).
    pub fn done(&mut self, done: Done) -> Result<(), Failure> {
        if self.adopting.ended(&done) {
            return Ok(());
        }
        let Done { id, result, buf } = done;
        if self.keep.ended(id, result) {
            return Ok(());
        }
        if self.memory.ended(id, result == Ok(BLOCK)).is_some() {
            self.control.extend(buf);
            return whole(result, BLOCK).or_else(|cause| self.poison(FileId::Meta, cause));
        }
        let file = FileId::Slot(self.keep.segments.current.expect("something was written").slot);
        if self.header_io == Some(id) {
            self.control.extend(buf);
            self.header_io = None;
            return match whole(result, BLOCK) {
                Ok(()) if self.failed.is_none() => {
                    self.segment_began();
                    Ok(())
                }
                Ok(()) => Ok(()),
                Err(cause) => self.poison(file, cause),
            };
        }
        let nth = self.in_flight.iter().position(|f| f.io == id);
        let nth = nth.unwrap_or_else(|| panic!("operation {id:?} was never issued, or ended twice"));
        let flight = &mut self.in_flight[nth];
        flight.landed = buf;
        assert!(flight.landed.is_some(), "a write brings its buffer back");
        match whole(result, flight.len) {
            Ok(()) if self.failed.is_none() => self.advance().or_else(|cause| self.poison(file, cause)),
            Ok(()) => Ok(()),
            Err(cause) => self.poison(file, cause),
        }
    }

    fn segment_began(&mut self) {
        let current = self.keep.segments.current.as_mut().expect("a header belongs to the current segment");
        current.header_durable = true;
        self.valid = Expected::first(&current.header);
    }

    /// R7: only the contiguous prefix counts, and is looked at on the bytes that were written.
    fn advance(&mut self) -> Result<(), Cause> {
        while let Some(buffer) = self.in_flight.front_mut().and_then(|front| front.landed.take()) {
            let flight = self.in_flight.pop_front().expect("looked at above");
            self.persisted = flight.last;
            let valid = self.validate(&buffer.bytes()[..flight.len]);
            self.free.push(buffer);
            valid.map_err(Cause::Invalid)?;
        }
        Ok(())
    }

    fn validate(&mut self, mut rest: &[u8]) -> Result<(), Invalid> {
        while !rest.is_empty() {
            let batch = Batch::read(rest, &self.id, &self.valid, rest.len()).map_err(|why| {
                let why = match why {
                    BatchError::Invalid(why) => why,
                    BatchError::Incomplete(_) => NotValid::Short,
                };
                let Expected { incarnation, offset, next, .. } = self.valid;
                Invalid { segment: incarnation, offset, index: next, why }
            })?;
            let (bytes, behind) = rest.split_at(batch.header.blocks());
            self.stats.batches += 1;
            self.stats.batch_bytes += bytes.len() as u64;
            self.fresh.push_back(Validated { header: batch.header, bytes: bytes.into() });
            self.valid = batch.next();
            rest = behind;
        }
        Ok(())
    }

    fn poison(&mut self, file: FileId, cause: Cause) -> Result<(), Failure> {
        match self.failed {
            Some(_) => Ok(()),
            None => {
                let failure = Failure { file, cause };
                self.failed = Some(failure);
                self.discard();
                Err(failure)
            }
        }
    }

    /// Decides that the log ends with `index` (R12, R3); it takes nothing any more. When the wish is durable the log is to be opened again: then
    /// recovery copies to the quarantine what lies behind, and takes it away.
    pub fn cut_to(&mut self, index: Index) -> Result<Wish, NoCut> {
        if index > self.validated() {
            return Err(NoCut::Beyond(self.validated()));
        }
        let covered = self.keep.newest().map_or(Index(0), |newest| newest.boundary.cut.index);
        if index < covered {
            return Err(NoCut::InCheckpoint(covered));
        }
        if self.folding() {
            return Err(NoCut::Folding);
        }
        let before = self.keep.segments.headers().rfind(|header| header.first_index() <= index);
        let base = self.keep.newest().map_or(Incarnation(0), |newest| newest.boundary.incarnation);
        let incarnation = before.map_or(base, |header| base.max(Incarnation(header.incarnation)));
        let (next, why) = (Index(index.0 + 1), CutKind::Abandoned);
        self.cut = true;
        self.discard();
        Ok(self.wish(|meta| {
            meta.cut = Some(Cut { incarnation, offset: 0, next, why });
            // All of it is durable and whole; and nothing behind it is missed from now on.
            meta.durable = index;
            meta.clean = meta.clean.min(index);
            meta.committed = meta.committed.min(index);
        }))
    }

    /// What was received and is not being written.
    pub(super) fn discard(&mut self) {
        for piece in self.queue.drain(..) {
            if let Piece::Batches(Filling { buffer, .. }) = piece {
                self.free.push(buffer);
            }
        }
    }

    pub(super) fn issue(&mut self) -> IoId {
        self.next_io += 1;
        IoId(self.next_io)
    }
}
