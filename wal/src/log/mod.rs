//! The running log of one shard.
//!
//! Call order: [`Log::append`] any number of times, then [`Log::pump`] at the end of the turn, which seals and
//! emits writes; every [`Io`] comes back through [`Log::done`], which moves [`Log::durable`]. After the first error
//! the log is poisoned (R4): it takes nothing and acknowledges nothing until recovery reads it anew.

use std::collections::VecDeque;

use bytemuck::Zeroable;

use crate::batch::{OpenBatch, Seal, Sealed};
use crate::format::{BatchHeader, Incarnation, LogId, NotValid, Predecessor, SegmentHeader};
use crate::meta::Meta;
use crate::record::{self, Entry, Kind, MAX_KEY};
use crate::segments::{Current, Pool};
use crate::{BLOCK, Buffer, CheckpointId, Done, Epoch, FileId, Index, Io, IoError, IoId, LogLimits};

mod adopt;
mod back;
pub(crate) mod follow;
mod keep;
mod mark;
mod remember;
pub(crate) mod tail;

pub use adopt::NotTaken;
use back::Back;
pub use back::{Cursor, Gone, Portion, Stretch};
pub use keep::Checkpoint;
use keep::Keep;
pub use mark::{Differs, Digests};
use remember::Memory;
pub use remember::Wish;
use tail::MemoryTail;

/// Where recovery left a log, and the new epoch continues it.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    pub epoch: Epoch,
    /// Last index of the recovered log; all of it is durable.
    pub last: Index,
    /// The segment that the new epoch's first one names.
    pub predecessor: Predecessor,
    pub pool: Pool,
    /// Those that are whole, oldest first.
    pub checkpoints: Vec<Checkpoint>,
    /// Those that are not, and go when there is a newer one.
    pub outdated: Vec<CheckpointId>,
    /// Of the newest one's entries, if it was looked at.
    pub digest: Option<(Index, u128)>,
    /// As it is on disk.
    pub meta: Meta,
    pub next_io: u64,
}

#[derive(Debug)]
pub struct Log {
    id: LogId,
    limits: LogLimits,
    epoch: Epoch,
    keep: Keep,
    memory: Memory,
    tail: MemoryTail,
    back: Back,
    /// Of the segment before the first one of this epoch; later ones are known from `chain` and `segments`.
    resumed_from: Option<Predecessor>,
    open: Option<OpenBatch>,
    /// The open batch refused a record, or reached its cap.
    full: bool,
    free: Vec<Buffer>,
    control: Vec<Buffer>,
    in_flight: VecDeque<Flight>,
    header_io: Option<IoId>,
    next_index: Index,
    last_kind: Option<Kind>,
    sealed: Index,
    durable: Index,
    committed: Index,
    /// Checksum of the last header that was sealed.
    chain: u32,
    next_io: u64,
    failed: Option<Failure>,
    stats: LogStats,
}

/// A batch on its way to the disk.
#[derive(Debug)]
struct Flight {
    io: IoId,
    last: Index,
    len: usize,
    landed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    pub batches: u64,
    pub batch_bytes: u64,
    pub rolls: u64,
    pub folds: u64,
}

/// Why a log is poisoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub file: FileId,
    pub cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Error(IoError),
    Short {
        asked: usize,
        moved: usize,
    },
    /// What a leader sent is not whole, and was written: an integrity failure, which is to be latched (R25).
    Invalid(Invalid),
}

/// The place of a batch that a follower cannot believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub segment: Incarnation,
    pub offset: u64,
    /// Its first index.
    pub index: Index,
    pub why: NotValid,
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// Both writes are under way and the open batch is full: try again when one ended.
    Busy,
    /// No prepared slot is left, and the last attempt to make one failed.
    DiskFull(IoError),
    /// Larger than a batch can be.
    TooLarge,
    /// Poisoned.
    Failed,
}

impl Log {
    /// `buffers` is the pool of [`LogLimits::buffers`].
    pub(crate) fn resume(
        id: LogId,
        limits: LogLimits,
        buffers: Vec<Buffer>,
        tail: MemoryTail,
        resume: Resume,
    ) -> Self {
        let (free, control): (Vec<_>, Vec<_>) =
            buffers.into_iter().partition(|b| usize::from(b.id()) < limits.batch_buffers());
        assert_eq!(free.len(), limits.batch_buffers(), "every buffer came back before the log runs");
        assert!(resume.epoch > Epoch(0), "an epoch is taken before a log is written");
        let mut keep = Keep::new(id, limits, resume.pool, resume.checkpoints, resume.outdated);
        keep.digest = resume.digest;
        Self {
            id,
            limits,
            epoch: resume.epoch,
            keep,
            memory: Memory::new(id, resume.meta),
            tail,
            back: Back::default(),
            resumed_from: Some(resume.predecessor),
            open: None,
            full: false,
            free,
            control,
            in_flight: VecDeque::with_capacity(limits.writes_in_flight),
            header_io: None,
            next_index: Index(resume.last.0 + 1),
            last_kind: None,
            sealed: resume.last,
            durable: resume.last,
            committed: Index(0),
            chain: 0,
            next_io: resume.next_io,
            failed: None,
            stats: LogStats::default(),
        }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Everything up to here is on stable storage: the contiguous prefix of what was written (R7).
    pub fn durable(&self) -> Index {
        self.durable
    }

    /// Everything up to here is committed: batches say so from now on, and folds go so far.
    pub fn commit(&mut self, through: Index) {
        assert!(through <= self.durable, "what is not durable is not committed");
        self.committed = self.committed.max(through);
    }

    /// The batches from the one that holds `from` up to the last durable one, from memory; `None` if that one is
    /// there no more, and has to be read from its segment.
    pub fn recent(&self, from: Index) -> Option<impl Iterator<Item = (&BatchHeader, &[u8])>> {
        self.tail.from(from, self.durable)
    }

    /// The oldest index that [`Log::recent`] can begin with.
    pub fn oldest_recent(&self) -> Option<Index> {
        self.tail.oldest()
    }

    /// The last index given out, durable or not.
    pub fn appended(&self) -> Index {
        Index(self.next_index.0 - 1)
    }

    /// The last index that is in a batch of its own by now: being written, or durable.
    pub fn sealed(&self) -> Index {
        self.sealed
    }

    pub fn failure(&self) -> Option<&Failure> {
        self.failed.as_ref()
    }

    pub fn stats(&self) -> LogStats {
        self.stats
    }

    /// Nothing waits to be written and nothing is being written.
    pub fn is_idle(&self) -> bool {
        self.open.is_none() && self.in_flight.is_empty()
    }

    /// The last batch holds data that no later batch proves durable, and nothing is under way: a fence would prove
    /// it, so that damage to it can be told from a torn write.
    pub fn wants_fence(&self) -> bool {
        self.is_idle() && self.failed.is_none() && self.last_kind == Some(Kind::Data)
    }

    /// Operations that will still come back through [`Log::done`].
    pub fn outstanding(&self) -> bool {
        let writing = self.in_flight.iter().any(|f| !f.landed) || self.header_io.is_some();
        writing || self.keep.outstanding() || self.memory.outstanding() || self.back.outstanding()
    }

    /// Gives the record the next index and writes it into the open batch. It is durable when
    /// [`Log::durable`] reaches that index.
    pub fn append<'a, E>(&mut self, kind: Kind, time_us: i64, entries: E) -> Result<Index, NoRoom>
    where
        E: Iterator<Item = Entry<'a>> + Clone,
    {
        if self.failed.is_some() {
            return Err(NoRoom::Failed);
        }
        let mut longest_key = 0;
        let looked_at = entries.clone().inspect(|entry| longest_key = longest_key.max(entry.key.len()));
        let len = record::encoded_len(looked_at);
        if len > self.largest_record() || longest_key > MAX_KEY {
            return Err(NoRoom::TooLarge);
        }
        let batch = self.room_for(len, kind)?;
        batch.push(kind, time_us, entries);
        self.full |= self.open.as_ref().is_some_and(|b| b.blocks_with(0) >= self.limits.batch_bytes);
        let index = self.next_index;
        self.next_index = Index(index.0 + 1);
        self.last_kind = Some(kind);
        Ok(index)
    }

    pub fn largest_record(&self) -> usize {
        self.limits.buffer_bytes - crate::format::BATCH_HEADER
    }

    /// The open batch, if `len` more bytes fit into it *and* the batch will have a place in a segment: what was
    /// appended can always be written.
    /// One spare is the next start's: its epoch begins with a segment of its own, also on a full disk.
    fn room_for(&mut self, len: usize, kind: Kind) -> Result<&mut OpenBatch, NoRoom> {
        let reserve = match kind {
            Kind::Data | Kind::Fence => 1,
            Kind::EpochStart => 0,
        };
        let blocks = match &self.open {
            Some(batch) if batch.blocks_with(len) > batch.capacity() => {
                self.full = true;
                return Err(NoRoom::Busy);
            }
            Some(batch) => batch.blocks_with(len),
            None => crate::buffer::whole_blocks(crate::format::BATCH_HEADER + len),
        };
        if !self.keep.segments.has_room(blocks, reserve) {
            self.full |= self.open.is_some();
            return Err(self.prepare_error().map_or(NoRoom::Busy, NoRoom::DiskFull));
        }
        if self.open.is_none() {
            let buffer = self.free.pop().ok_or(NoRoom::Busy)?;
            self.open = Some(OpenBatch::new(buffer, self.next_index));
        }
        Ok(self.open.as_mut().expect("opened above"))
    }

    /// Emits what can be written now: the open batch when nothing is under way, or when it is full and a second
    /// write may fly; a segment header when the batch does not fit; a new slot when spares run low.
    pub fn pump(&mut self, now_us: i64, out: &mut Vec<Io>) {
        if self.failed.is_none() {
            self.write_open_batch(now_us, out);
            self.keep.pump(&mut self.next_io, self.committed, out);
        }
        // Why a log failed may have to be remembered, too.
        if self.memory.wants_to_write()
            && let Some(buf) = self.control.pop()
        {
            let id = self.issue();
            out.push(self.memory.write(id, buf));
        }
    }

    fn write_open_batch(&mut self, now_us: i64, out: &mut Vec<Io>) {
        let Some(open) = &self.open else { return };
        let may_fly = match self.in_flight.len() {
            0 => true,
            n => self.full && n < self.limits.writes_in_flight,
        };
        if !may_fly || self.header_io.is_some() {
            return;
        }
        match self.keep.segments.current {
            Some(current) if current.fits(open.blocks_with(0)) => {
                assert!(current.header_durable, "a header under way keeps batches waiting");
                self.seal(current, now_us, out);
            }
            // The successor's header claims that everything before it is durable, so it waits for that.
            _ if self.in_flight.is_empty() => self.roll(now_us, out),
            _ => {}
        }
    }

    fn seal(&mut self, current: Current, now_us: i64, out: &mut Vec<Io>) {
        let open = self.open.take().expect("checked by the caller");
        let Sealed { header, buffer, len } = open.seal(Seal {
            log: &self.id,
            incarnation: current.incarnation,
            offset: current.end,
            epoch: self.epoch,
            flushed_through: self.durable,
            committed_through: self.committed,
            chain: self.chain,
            now_us,
        });
        self.full = false;
        self.sealed = header.last_index();
        self.chain = header.header_crc;
        self.stats.batches += 1;
        self.stats.batch_bytes += len as u64;
        self.tail.push(header, &buffer.bytes()[..len]);
        self.keep.segments.current = Some(Current { end: current.end + len as u64, ..current });
        let io = self.issue();
        self.in_flight.push_back(Flight { io, last: header.last_index(), len, landed: false });
        let file = FileId::Slot(current.slot);
        out.push(Io::Write { id: io, file, offset: current.end, buf: buffer, at: 0, len });
    }

    fn roll(&mut self, now_us: i64, out: &mut Vec<Io>) {
        let Some((current, mut predecessor)) = self.keep.segments.roll(self.durable) else { return };
        predecessor.chain = self.chain;
        let predecessor = self.resumed_from.take().unwrap_or(predecessor);
        let header = SegmentHeader {
            lineage: self.id.lineage,
            shard: self.id.shard,
            incarnation: current.incarnation.0,
            bytes: current.bytes,
            epoch: self.epoch.0,
            first_index: self.durable.0 + 1,
            pred_incarnation: predecessor.incarnation.0,
            pred_end: predecessor.end,
            pred_chain: predecessor.chain,
            opened_us: now_us,
            ..Zeroable::zeroed()
        }
        .seal();
        self.keep.segments.name(header);
        self.chain = header.header_crc;
        self.stats.rolls += 1;
        let mut buf = self.control.pop().expect("one roll at a time");
        buf.bytes_mut()[..BLOCK].fill(0);
        buf.bytes_mut()[..size_of::<SegmentHeader>()].copy_from_slice(bytemuck::bytes_of(&header));
        let io = self.issue();
        self.header_io = Some(io);
        let file = FileId::Slot(current.slot);
        out.push(Io::Write { id: io, file, offset: 0, buf, at: 0, len: BLOCK });
    }

    /// Takes back one operation. `Err` is said once, by the operation that poisons the log.
    pub fn done(&mut self, done: Done) -> Result<(), Failure> {
        let Some(Done { id, result, buf }) = self.back.ended(done) else { return Ok(()) };
        if let Some(buf) = buf {
            self.take_back(buf);
        }
        if self.keep.ended(id, result) {
            return Ok(());
        }
        if self.memory.ended(id, result == Ok(BLOCK)).is_some() {
            let failed = |cause| Failure { file: FileId::Meta, cause };
            return whole(result, BLOCK).or_else(|cause| self.poison(failed(cause)));
        }
        let (file, asked) = match self.in_flight.iter().find(|f| f.io == id) {
            Some(flight) => (self.current_file(), flight.len),
            None if self.header_io == Some(id) => (self.current_file(), BLOCK),
            None => panic!("operation {id:?} was never issued, or ended twice"),
        };
        if let Err(cause) = whole(result, asked) {
            self.landed(id);
            return self.poison(Failure { file, cause });
        }
        self.landed(id);
        if self.failed.is_none() {
            self.advance();
        }
        Ok(())
    }

    fn landed(&mut self, id: IoId) {
        if self.header_io == Some(id) {
            self.header_io = None;
            let current =
                self.keep.segments.current.as_mut().expect("a header belongs to the current segment");
            current.header_durable = self.failed.is_none();
        } else if let Some(flight) = self.in_flight.iter_mut().find(|f| f.io == id) {
            flight.landed = true;
        }
    }

    /// R7: completions come back out of order; only the contiguous prefix counts.
    fn advance(&mut self) {
        while self.in_flight.front().is_some_and(|f| f.landed) {
            let flight = self.in_flight.pop_front().expect("looked at above");
            assert!(flight.last > self.durable, "the durable prefix only grows");
            self.durable = flight.last;
        }
    }

    fn poison(&mut self, failure: Failure) -> Result<(), Failure> {
        if let Some(open) = self.open.take() {
            self.take_back(open.into_buffer());
        }
        match self.failed {
            Some(_) => Ok(()),
            None => {
                self.failed = Some(failure);
                Err(failure)
            }
        }
    }

    fn take_back(&mut self, buf: Buffer) {
        let pool = if usize::from(buf.id()) < self.limits.batch_buffers() {
            &mut self.free
        } else {
            &mut self.control
        };
        pool.push(buf);
    }

    fn current_file(&self) -> FileId {
        FileId::Slot(self.keep.segments.current.expect("something was written").slot)
    }

    fn issue(&mut self) -> IoId {
        self.next_io += 1;
        IoId(self.next_io)
    }
}

fn whole(result: Result<usize, IoError>, asked: usize) -> Result<(), Cause> {
    match result {
        Ok(moved) if moved == asked => Ok(()),
        Ok(moved) => Err(Cause::Short { asked, moved }),
        Err(error) => Err(Cause::Error(error)),
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.cause {
            Cause::Error(error) => write!(f, "{}: {error}", self.file),
            Cause::Short { asked, moved } => {
                write!(f, "{}: short result: {moved} of {asked} bytes", self.file)
            }
            Cause::Invalid(Invalid { offset, index, why, .. }) => {
                let file = self.file;
                write!(f, "{file}: the batch of index {} at offset {offset} is not whole: {why}", index.0)
            }
        }
    }
}
