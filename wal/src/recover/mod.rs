//! Recovery: from the files of a log to the log as it is, or to a halt that says why not.
//!
//! ```text
//! meta -> (ordered) -> headers -> checkpoint -> link -> strays -> walk -> tail -> quarantine -> settle -> rewrite -> erase -> Log
//! ```
//! One operation is under way at a time. Records go to the sink as they are met; they count only when recovery
//! ends well. Until the settle phase nothing is written, so a halt leaves every byte as it was, but for the metadata of a
//! log that latches it (R25).

mod chain;
mod cut;
mod evidence;
mod latch;
mod load;
mod ordered;
mod report;
mod role;
mod segments;
mod settle;
mod slots;
mod verdict;
mod walk;

pub use chain::{Found, Segment};
pub use cut::Abandoned;
use evidence::Evidence;
use load::Candidate;
pub use ordered::{Act, Intention, Ordered};
pub use report::{Corrupt, End, Halt, Loaded, Report, aside};
pub use role::Start;
use verdict::Break;
pub use verdict::Tail;
use walk::Walk;
pub use walk::{Replay, Replayed};

use crate::batch::Expected;
use crate::buffer::{BLOCK, Buffer};
use crate::format::LogId;
use crate::limits::LogLimits;
use crate::log::follow::{Follower, Tip};
use crate::log::tail::MemoryTail;
use crate::log::{Checkpoint, Log};
use crate::meta::{self, META_BYTES, Meta};
use crate::segments::Spare;
use crate::{CheckpointId, Done, FileId, Io, IoId, SlotId};

/// Reads a log and brings it to life. Call [`Recovery::start`] once, then give every [`Done`] to
/// [`Recovery::done`] until it ends.
#[derive(Debug)]
pub struct Recovery {
    id: LogId,
    limits: LogLimits,
    slots: Vec<(SlotId, u64)>,
    /// Oldest first.
    checkpoints: Vec<(CheckpointId, u64)>,
    candidates: Vec<Candidate>,
    /// The checkpoint that the log continues.
    base: Option<Checkpoint>,
    found: Vec<Found>,
    /// Segments that the checkpoint covers, and those behind it.
    kept: Vec<Segment>,
    segments: Vec<Segment>,
    spares: Vec<Spare>,
    /// Segments behind a recorded cut: no part of the log.
    dropped: Vec<Found>,
    /// What is written over with zeros before this recovery ends.
    erasing: Vec<Abandoned>,
    role: Start,
    /// Damage that this start finds halts the log until somebody clears it.
    latches: bool,
    /// What is to be done before the log is looked at.
    ordered: Option<Ordered>,
    meta: Meta,
    phase: Phase,
    buffers: Vec<Buffer>,
    /// The operation under way.
    io: IoId,
    at: (FileId, u64),
    writing: bool,
    asked: usize,
    /// The last segment of the recovered log, and where the next batch of it would stand.
    tip: Option<Tip>,
    /// The end of what was read, for those who were almost level before the start.
    recent: MemoryTail,
    report: Report,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one, for as long as a recovery lasts")]
enum Phase {
    /// Writing down who ordered what, and why.
    Audit,
    Meta,
    /// Writing the metadata as an order wants it.
    Intend,
    /// Moving all files but the metadata to the quarantine.
    PutAside,
    /// Reading the first block of `slots[n]`.
    Headers(usize),
    /// Reading the first block of `checkpoints[n]`.
    Cuts(usize),
    /// Reading a checkpoint; begun when its first bytes went to the sink.
    Load {
        candidate: Candidate,
        begun: bool,
    },
    /// Looking for batches in a slot that should hold none of the log's.
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
    /// Copying what is cut off, range after range.
    Quarantine {
        walk: Option<Walk>,
        nth: usize,
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
    /// Writing zeros over what was cut off: the `nth` range, from its end to its beginning.
    Erase {
        nth: usize,
        end: u64,
    },
    /// Writing the metadata: the cut is finished.
    Clear,
    /// Writing it once more: what counts is in both copies.
    Twice,
    /// Writing the metadata: what was found is an end over restarts.
    Latch(Halt),
    Ended,
}

/// What a step of recovery came to.
#[derive(Debug)]
pub enum Progress {
    Working,
    /// Nothing was changed on disk, unless the halt says that writing itself failed.
    Halted(Report),
    Recovered(Box<Log>, Report),
    /// The log of a follower, which takes no epoch.
    AtRest(Box<Follower>, Report),
}

type Sink<'a> = &'a mut dyn FnMut(Replay<'_>);

/// The files of a log but for its metadata, in any order: slots and checkpoints, with their sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub slots: Vec<(SlotId, u64)>,
    pub checkpoints: Vec<(CheckpointId, u64)>,
}

impl Recovery {
    /// `buffers` is the pool of [`LogLimits::buffers`].
    pub fn new(id: LogId, limits: LogLimits, files: Files, buffers: Vec<Buffer>, role: Start) -> Self {
        limits.check();
        let Files { mut slots, mut checkpoints } = files;
        slots.sort();
        checkpoints.sort();
        Self {
            id,
            limits,
            slots,
            checkpoints,
            candidates: Vec::new(),
            base: None,
            found: Vec::new(),
            kept: Vec::new(),
            segments: Vec::new(),
            spares: Vec::new(),
            dropped: Vec::new(),
            erasing: Vec::new(),
            role,
            latches: false,
            ordered: None,
            meta: Meta::default(),
            phase: Phase::Meta,
            buffers,
            io: IoId(0),
            at: (FileId::Meta, 0),
            writing: false,
            asked: 0,
            tip: None,
            recent: MemoryTail::new(&limits),
            report: Report { shard: id.shard, follows: role == Start::Follow, ..Report::default() },
        }
    }

    pub fn start(&mut self, out: &mut Vec<Io>) {
        match &self.ordered {
            Some(ordered) => self.audit(ordered.audit.clone(), out),
            None => self.read(FileId::Meta, 0, META_BYTES, out),
        }
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

    /// The segments behind the checkpoint, oldest first; empty until all headers were read.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Segments that are kept although the checkpoint covers them.
    pub fn kept(&self) -> &[Segment] {
        &self.kept
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
        // What a keeper of files did brings none back: then any does.
        let buf = done.buf.unwrap_or_else(|| self.take(BLOCK));
        let trouble = match done.result {
            Ok(moved) if moved == self.asked => None,
            Ok(moved) => Some(format!("{moved} of {} bytes", self.asked)),
            Err(error) => Some(error.to_string()),
        };
        let ended = trouble.is_none();
        let step = match trouble {
            // That it could not be written down makes it no better.
            Some(_) if let Phase::Latch(halt) = &self.phase => Err(halt.clone()),
            None => self.advance(&buf, out, sink),
            Some(why) if matches!(self.at.0, FileId::Checkpoint(_)) => {
                self.checkpoint_unreadable(why, out, sink)
            }
            Some(why) => Err(self.failed(why)),
        };
        self.buffers.push(buf);
        match step {
            Ok(()) if matches!(self.phase, Phase::Ended) => self.finish(),
            Ok(()) => Progress::Working,
            Err(halt) if ended && self.to_be_latched(&halt) => {
                out.clear();
                self.latch(halt, out);
                Progress::Working
            }
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
            Phase::Audit => {
                self.phase = Phase::Meta;
                self.read(FileId::Meta, 0, META_BYTES, out);
                Ok(())
            }
            Phase::Meta => {
                self.meta = self.meta_of(meta::read_both(bytes, &self.id))?;
                self.intend(out)
            }
            Phase::Intend => self.as_recorded(out),
            Phase::PutAside => self.emptied(out),
            Phase::Headers(n) => {
                let (slot, size) = self.slots[n];
                self.found.push(Found::read(slot, size, bytes, &self.id)?);
                self.next_header(n + 1, out)
            }
            Phase::Cuts(n) => self.cut(n, bytes, out),
            Phase::Load { candidate, begun } => self.load(candidate, begun, bytes, out, sink),
            Phase::Stray { strays, at, mut evidence } => {
                evidence.look(bytes, at, &self.id, self.watched(strays.last()));
                self.next_stray(strays, at + self.asked as u64, evidence, out)
            }
            Phase::Walk(n, walk) => self.walk(n, walk, bytes, out, sink),
            Phase::Tail { walk, broken, at, mut evidence } => {
                if at == broken.offset && walk.continues(bytes, &self.id) {
                    return Err(Halt::whole_again(&broken));
                }
                evidence.look(bytes, at, &self.id, walk.expected.incarnation);
                self.look_behind(walk, broken, at + self.asked as u64, evidence, out)
            }
            Phase::Quarantine { walk, nth } => self.quarantine(walk, nth + 1, out),
            Phase::Settle { walk } => {
                let Some(walk) = walk else { return self.erase(out) };
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
            Phase::Erase { nth, end } => self.erase_on(nth, end, out),
            Phase::Clear => self.twice(out),
            Phase::Twice => Ok(()),
            Phase::Latch(halt) => Err(halt),
            Phase::Ended => unreachable!("nothing is under way after the end"),
        }
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
        match self.writing {
            true => Halt::unwritable(file, offset, observed),
            false => Halt::unreadable(file, offset, observed),
        }
    }
}
