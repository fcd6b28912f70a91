//! Recovery: from the files of a log to the log as it is, or to a halt that says why not.
//!
//! ```text
//! meta -> headers -> strays -> walk -> tail -> settle -> rewrite -> Log
//! ```
//! One operation is under way at a time. Records go to the sink as they are met; they count only when recovery
//! ends well. Until the settle phase nothing is written, so a halt leaves every byte as it was.

mod chain;
mod evidence;
mod report;
mod verdict;
mod walk;

pub use chain::{Found, Segment};
use evidence::Evidence;
pub use report::{End, Halt, Report};
use verdict::Break;
pub use verdict::Tail;
pub use walk::Replayed;
use walk::{Step, Walk};

use crate::batch::Expected;
use crate::buffer::{BLOCK, Buffer};
use crate::format::{FIRST_BATCH, Incarnation, LogId, Predecessor};
use crate::limits::LogLimits;
use crate::log::{Log, Resume};
use crate::meta::{self, Cut, META_BYTES, Meta};
use crate::segments::{Pool, Spare};
use crate::{Done, Epoch, FileId, Io, IoId, SlotId};

/// Reads a log and brings it to life. Call [`Recovery::start`] once, then give every [`Done`] to
/// [`Recovery::done`] until it ends.
#[derive(Debug)]
pub struct Recovery {
    id: LogId,
    limits: LogLimits,
    slots: Vec<(SlotId, u64)>,
    found: Vec<Found>,
    segments: Vec<Segment>,
    spares: Vec<Spare>,
    meta: Meta,
    phase: Phase,
    buffers: Vec<Buffer>,
    /// The operation under way.
    io: IoId,
    at: (FileId, u64),
    writing: bool,
    asked: usize,
    /// Checksum of the last header of the recovered log.
    chain: u32,
    report: Report,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one, for as long as a recovery lasts")]
enum Phase {
    Meta,
    /// Reading the first block of `slots[n]`.
    Headers(usize),
    /// Looking for batches in `found[n]`, which has no header.
    Stray {
        strays: Vec<Found>,
        at: u64,
        evidence: Evidence,
    },
    /// Walking `segments[n]`.
    Walk(usize, Walk),
    /// Looking at what stands behind the break in the last segment.
    Tail {
        walk: Walk,
        broken: Break,
        at: u64,
        evidence: Evidence,
    },
    /// Writing the metadata: the new epoch and the cut, before anything else changes.
    Settle {
        walk: Option<Walk>,
    },
    /// Reading, then writing, the last window.
    Rewrite {
        walk: Walk,
        from: Expected,
        writing: bool,
    },
    Ended,
}

/// What a step of recovery came to.
#[derive(Debug)]
pub enum Progress {
    Working,
    /// Nothing was changed on disk, unless the halt says that writing itself failed.
    Halted(Report),
    Recovered(Box<Log>, Report),
}

type Sink<'a> = &'a mut dyn FnMut(Replayed<'_>);

impl Recovery {
    /// `slots` are the files found, in any order; `buffers` is the pool of [`LogLimits::buffers`].
    pub fn new(id: LogId, limits: LogLimits, mut slots: Vec<(SlotId, u64)>, buffers: Vec<Buffer>) -> Self {
        limits.check();
        slots.sort();
        Self {
            id,
            limits,
            slots,
            found: Vec::new(),
            segments: Vec::new(),
            spares: Vec::new(),
            meta: Meta::default(),
            phase: Phase::Meta,
            buffers,
            io: IoId(0),
            at: (FileId::Meta, 0),
            writing: false,
            asked: 0,
            chain: 0,
            report: Report { shard: id.shard, ..Report::default() },
        }
    }

    pub fn start(&mut self, out: &mut Vec<Io>) {
        self.read(FileId::Meta, 0, META_BYTES, out);
    }

    /// Begins behind the headers: `segments` is a segment, and its successor if it has one.
    pub(crate) fn start_at(
        &mut self,
        segments: Vec<Segment>,
        meta: Meta,
        out: &mut Vec<Io>,
    ) -> Result<(), Halt> {
        if let [segment, successor] = segments[..]
            && let Some(end) = chain::bad_end(&segment, &successor)
        {
            return Err(end);
        }
        (self.meta, self.segments) = (meta, segments);
        self.report.segments = 1;
        self.next_segment(0, out)
    }

    /// What was found so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The chain, oldest segment first; empty until all headers were read.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The slots whose headers were read.
    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// The slots that hold nothing.
    pub fn spares(&self) -> &[Spare] {
        &self.spares
    }

    pub fn done(&mut self, done: Done, out: &mut Vec<Io>, sink: Sink<'_>) -> Progress {
        assert_eq!(done.id, self.io, "one operation is under way at a time");
        let buf = done.buf.expect("recovery only reads and writes, and both bring their buffer back");
        let step = match done.result {
            Ok(moved) if moved == self.asked => self.advance(&buf, out, sink),
            Ok(moved) => Err(self.failed(format!("{moved} of {} bytes", self.asked))),
            Err(error) => Err(self.failed(error.to_string())),
        };
        self.buffers.push(buf);
        match step {
            Ok(()) if matches!(self.phase, Phase::Ended) => self.finish(),
            Ok(()) => Progress::Working,
            Err(halt) => {
                self.report.halt = Some(halt);
                self.phase = Phase::Ended;
                out.clear();
                Progress::Halted(self.report.clone())
            }
        }
    }

    fn advance(&mut self, buf: &Buffer, out: &mut Vec<Io>, sink: Sink<'_>) -> Result<(), Halt> {
        let bytes = buf.bytes().get(..self.asked).unwrap_or_default();
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Meta => {
                self.meta = meta::read(bytes, &self.id).map_err(Halt::metadata)?;
                self.next_header(0, out)
            }
            Phase::Headers(n) => {
                let (slot, size) = self.slots[n];
                self.found.push(Found::read(slot, size, bytes, &self.id)?);
                self.next_header(n + 1, out)
            }
            Phase::Stray { strays, at, mut evidence } => {
                // A slot's batches lie under the header of their segment. Those of any segment in the chain that
                // lie in a slot without one were written under a header that is gone, or went elsewhere.
                let oldest = self.segments.first().map_or(1, |s| s.header.incarnation);
                evidence.look(bytes, at, &self.id, Incarnation(oldest));
                self.next_stray(strays, at + self.asked as u64, evidence, out)
            }
            Phase::Walk(n, walk) => self.walk(n, walk, bytes, out, sink),
            Phase::Tail { walk, broken, at, mut evidence } => {
                evidence.look(bytes, at, &self.id, walk.expected.incarnation);
                self.look_behind(walk, broken, at + self.asked as u64, evidence, out)
            }
            Phase::Settle { walk } => {
                let Some(walk) = walk else { return Ok(()) };
                let from = walk.window();
                self.rewrite(walk, from, out)
            }
            Phase::Rewrite { walk, from, writing: false } => {
                let slot = walk.segment.slot;
                let next = walk.again(bytes, &from, &self.id);
                let next = next.map_err(|why| Halt::reads_differently(slot, from.offset, why))?;
                self.phase = Phase::Rewrite { walk, from: next, writing: true };
                let len = usize::try_from(next.offset - from.offset).expect("no more than a buffer");
                self.write(FileId::Slot(slot), from.offset, &bytes[..len], out);
                Ok(())
            }
            Phase::Rewrite { walk, from, writing: true } => {
                self.report.rewritten += self.asked as u64;
                self.rewrite(walk, from, out)
            }
            Phase::Ended => unreachable!("nothing is under way after the end"),
        }
    }

    fn next_header(&mut self, n: usize, out: &mut Vec<Io>) -> Result<(), Halt> {
        if let Some((slot, size)) = self.slots.get(n).copied() {
            if size < 2 * FIRST_BATCH || !size.is_multiple_of(BLOCK as u64) {
                return Err(Halt::slot_size(
                    slot,
                    size.max(2 * FIRST_BATCH).next_multiple_of(FIRST_BATCH),
                    size,
                ));
            }
            self.phase = Phase::Headers(n);
            self.read(FileId::Slot(slot), 0, BLOCK, out);
            return Ok(());
        }
        let (segments, strays) = chain::link(&self.found)?;
        self.report.segments = segments.len();
        self.report.found_epoch = segments.last().map_or(Epoch(0), |s| s.header.epoch());
        self.segments = segments;
        self.next_stray(strays, FIRST_BATCH, Evidence::default(), out)
    }

    /// Every byte of a slot without a header is looked at: a header that was lost over live batches is corruption,
    /// and only a slot of zeros may become a spare.
    fn next_stray(
        &mut self,
        mut strays: Vec<Found>,
        at: u64,
        evidence: Evidence,
        out: &mut Vec<Io>,
    ) -> Result<(), Halt> {
        let Some(stray) = strays.last().copied() else { return self.next_segment(0, out) };
        if at < stray.bytes {
            self.phase = Phase::Stray { strays, at, evidence };
            self.read_window(stray.slot, at, stray.bytes, out);
            return Ok(());
        }
        if let (Err(why), Some(offset)) = (stray.header, evidence.batch_at) {
            return Err(Halt::headless(stray.slot, why, offset));
        }
        // A header torn by a crash during a roll is overwritten by the next roll; anything else is left alone.
        if evidence.unexplained().is_none() && stray.bytes >= self.limits.small_slot_bytes {
            self.spares.push(Spare { slot: stray.slot, bytes: stray.bytes });
        }
        strays.pop();
        self.next_stray(strays, FIRST_BATCH, Evidence::default(), out)
    }

    fn next_segment(&mut self, n: usize, out: &mut Vec<Io>) -> Result<(), Halt> {
        let Some(segment) = self.segments.get(n).copied() else {
            return self.settle(None, out);
        };
        let successor = self.segments.get(n + 1).copied();
        let incarnation = Incarnation(segment.header.incarnation);
        let end = match (successor, self.meta.cut) {
            (Some(next), _) => next.header.pred_end,
            // R3: a cut that was recorded is finished first, so that what it removed cannot come back.
            (None, Some(cut)) if cut.incarnation == incarnation => cut.offset,
            (None, _) => segment.header.bytes,
        };
        let walk = Walk::new(segment, successor, end);
        if walk.expected.offset == end {
            return self.segment_ended(n, walk, out);
        }
        self.phase = Phase::Walk(n, walk);
        self.read_window(segment.slot, FIRST_BATCH, end, out);
        Ok(())
    }

    fn walk(
        &mut self,
        n: usize,
        mut walk: Walk,
        bytes: &[u8],
        out: &mut Vec<Io>,
        sink: Sink<'_>,
    ) -> Result<(), Halt> {
        match walk.take(bytes, &self.id, &mut self.report, sink) {
            Step::Read => {
                let (slot, at, end) = (walk.segment.slot, walk.expected.offset, walk.end);
                self.phase = Phase::Walk(n, walk);
                self.read_window(slot, at, end, out);
                Ok(())
            }
            Step::End => self.segment_ended(n, walk, out),
            Step::Broken(broken) if !walk.is_last() => Err(Halt::inside(&broken)),
            Step::Broken(broken) => {
                let at = broken.offset;
                self.look_behind(walk, broken, at, Evidence::default(), out)
            }
        }
    }

    fn segment_ended(&mut self, n: usize, walk: Walk, out: &mut Vec<Io>) -> Result<(), Halt> {
        walk.seam()?;
        if !walk.is_last() {
            return self.next_segment(n + 1, out);
        }
        // The last segment is full to its end, or was cut here before.
        let cut = self.meta.cut.filter(|cut| cut.incarnation == walk.expected.incarnation);
        let tail = if cut.is_some_and(|c| c.uncertain) { Tail::Uncertain } else { Tail::Certain };
        self.report.end = Some(End { finished_cut: cut.is_some(), ..end(&walk, tail) });
        self.settle(Some(walk), out)
    }

    fn look_behind(
        &mut self,
        walk: Walk,
        broken: Break,
        at: u64,
        evidence: Evidence,
        out: &mut Vec<Io>,
    ) -> Result<(), Halt> {
        if at < walk.end {
            let (slot, end) = (walk.segment.slot, walk.end);
            self.phase = Phase::Tail { walk, broken, at, evidence };
            self.read_window(slot, at, end, out);
            return Ok(());
        }
        let tail = verdict::verdict(&broken, &evidence)?;
        self.report.end = Some(End { leftover: evidence.unexplained(), ..end(&walk, tail) });
        self.settle(Some(walk), out)
    }

    /// The first change on disk: the epoch that this start takes (R10), and the cut if something is cut (R3).
    fn settle(&mut self, walk: Option<Walk>, out: &mut Vec<Io>) -> Result<(), Halt> {
        let epoch = Epoch(self.meta.epoch.max(self.report.found_epoch).0 + 1);
        self.report.epoch = epoch;
        let cut = match (&walk, self.report.end) {
            (Some(walk), Some(end)) if end.leftover.is_some() || end.finished_cut => Some(Cut {
                incarnation: end.incarnation,
                offset: end.offset,
                next: walk.expected.next,
                uncertain: end.tail == Tail::Uncertain,
            }),
            // The segment that names the end of the one that was cut may not be durable yet.
            _ => self.meta.cut,
        };
        self.chain = walk.as_ref().map_or(0, |walk| walk.expected.chain);
        let (sequence, start) = (self.meta.sequence + 1, self.meta.start + 1);
        self.meta = Meta { sequence, start, epoch, cut, ..self.meta };
        self.phase = Phase::Settle { walk };
        let block = self.meta.encode(&self.id);
        self.write(FileId::Meta, self.meta.offset(), &block, out);
        Ok(())
    }

    /// Readable is not durable: the batches that no later one proves durable are written again, byte for byte,
    /// and flushed, before any position is reported.
    fn rewrite(&mut self, walk: Walk, from: Expected, out: &mut Vec<Io>) -> Result<(), Halt> {
        let (at, end) = (from.offset, walk.expected.offset);
        if at < end {
            let slot = walk.segment.slot;
            self.phase = Phase::Rewrite { walk, from, writing: false };
            self.read_window(slot, at, end, out);
        } else {
            self.phase = Phase::Ended;
        }
        Ok(())
    }

    fn finish(&mut self) -> Progress {
        let predecessor = match (&self.report.end, self.segments.last()) {
            (Some(end), Some(_)) => {
                Predecessor { incarnation: end.incarnation, end: end.offset, chain: self.chain }
            }
            _ => Predecessor::default(),
        };
        let newest = self.segments.last().map_or(0, |s| s.header.incarnation);
        let next_slot = self.slots.last().map_or(0, |(slot, _)| slot.0 + 1);
        let closed_bytes = self.report.bytes + self.segments.len() as u64 * FIRST_BATCH;
        self.spares.sort_by_key(|s| s.slot);
        let resume = Resume {
            epoch: self.report.epoch,
            last: self.report.last,
            predecessor,
            pool: Pool {
                spares: std::mem::take(&mut self.spares),
                next_slot,
                next_incarnation: Incarnation(newest + 1),
                closed_bytes,
            },
            next_io: self.io.0,
        };
        let log = Log::resume(self.id, self.limits, std::mem::take(&mut self.buffers), resume);
        Progress::Recovered(Box::new(log), self.report.clone())
    }

    fn read(&mut self, file: FileId, offset: u64, len: usize, out: &mut Vec<Io>) {
        let buf = self.take(len);
        let id = self.issue(file, offset, len, false);
        out.push(Io::Read { id, file, offset, buf, len });
    }

    /// As much of `[at, end)` as a buffer holds.
    fn read_window(&mut self, slot: SlotId, at: u64, end: u64, out: &mut Vec<Io>) {
        let most = self.limits.buffer_bytes as u64;
        let len = usize::try_from(most.min(end - at)).expect("no more than a buffer");
        self.read(FileId::Slot(slot), at, len, out);
    }

    fn write(&mut self, file: FileId, offset: u64, bytes: &[u8], out: &mut Vec<Io>) {
        let mut buf = self.take(bytes.len());
        buf.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        let id = self.issue(file, offset, bytes.len(), true);
        out.push(Io::Write { id, file, offset, buf, at: 0, len: bytes.len() });
    }

    fn take(&mut self, len: usize) -> Buffer {
        let fits = self.buffers.iter().position(|b| b.capacity() >= len).expect("a buffer holds a batch");
        self.buffers.swap_remove(fits)
    }

    fn issue(&mut self, file: FileId, offset: u64, len: usize, writing: bool) -> IoId {
        self.io = IoId(self.io.0 + 1);
        (self.at, self.asked, self.writing) = ((file, offset), len, writing);
        self.io
    }

    fn failed(&self, observed: String) -> Halt {
        let (file, offset) = self.at;
        let file = match file {
            FileId::Meta => "meta".into(),
            FileId::Slot(slot) => format!("slot-{:06}.seg", slot.0),
        };
        match self.writing {
            true => Halt::unwritable(file, offset, observed),
            false => Halt::unreadable(file, offset, observed),
        }
    }
}

fn end(walk: &Walk, tail: Tail) -> End {
    End {
        slot: walk.segment.slot,
        incarnation: walk.expected.incarnation,
        offset: walk.expected.offset,
        tail,
        leftover: None,
        finished_cut: false,
    }
}
