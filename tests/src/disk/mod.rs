//! The simulated disk of one node.
//!
//! # Fault model
//!
//! A file is a *durable content* plus the writes that the device has *accepted* into its cache and not flushed. A
//! read sees both. A sector of 512 bytes is written wholly or not at all; nothing larger is atomic. Of each byte the
//! disk also knows what was *meant* to be there, so that a test can ask what is damaged, and put it right.
//!
//! **Crashes and errors**, which a log survives without a loss:
//! * An [`Io::Write`] is executed as the driver does it: a write, accepted by the device in up to four pieces in
//!   any order, then a flush, and only then `Done`. A flush makes durable what the file's cache held when the flush
//!   began. In half of the worlds a flush covers the sectors of its own write alone (a write with DSYNC), so that a
//!   later batch can be durable while an earlier one, accepted before it, is not.
//! * Operations under way complete in any order; one in some hundred stalls.
//! * A **process kill** leaves what the device accepted. Of a write under way any sectors may still arrive, all
//!   before the next process reads. Nothing is flushed by a kill: what the next process reads may yet be lost.
//! * A **power cut** keeps or loses each sector of each unflushed write independently. The share that survives is
//!   drawn for each cut, none and all included. A flush under way is no promise.
//! * A slot whose preparation was not reported is absent, complete, or half-written (zeros, but too few blocks of
//!   them) after a crash. A slot that a start reports is durable under its name: the driver flushes the directory
//!   before it looks. A **prepare error** leaves no file.
//! * A **full disk** has room for so many bytes of files: a preparation that would need more fails.
//! * A **write error** leaves any of the pieces accepted. A **short write** leaves a prefix, and is not flushed.
//! * A **flush error** treats each sector that it should have kept in one of three ways: thrown away, so that a
//!   read gives the bytes before it; readable, but never made durable by any later flush, which will report
//!   success all the same; or still in the cache like any other. Other files are not touched.
//! * A **read error** or a **short read** says so. The next read of the same place may go well.
//!
//! **Damage**, which a log on one disk detects, and does not survive. It is never reported by the device:
//! * **Bit rot** turns some bits of one sector, of any file, at any time, durably.
//! * A **misdirected write** is reported as durable, leaves its own place as it was, and lands whole and durable at
//!   another block of any slot of the same log. The metadata is neither misdirected nor a target.
//! * A **misdirected read** brings blocks of another place, in the same slot or another one. A **stale read** brings
//!   what stood there before the newest write to its slot. Either is wrong once; the next read of that place is
//!   right. Reads of the metadata are never wrong in this way.
//!
//! **What never happens**: a write changes sectors outside its range, but for a misdirected one; a file changes its
//! size, is swapped with another one or vanishes; wrong bytes have a right checksum; something durable is lost
//! without one of the faults above.

mod damage;
mod file;
mod operation;

use std::collections::BTreeMap;

use seawall::map::ShardId;
use seawall_wal::{BLOCK, Done, FileId, Io, IoError, IoStep, SlotId};

use crate::fault::{Fault, Fired};
use crate::random::Random;
use file::File;
use operation::{Fate, Operation, Piece, Task};

pub use file::SECTOR;

const EIO: i32 = 5;
const ENOENT: i32 = 2;
const ENOSPC: i32 = 28;

/// How one world's disk behaves: latencies in microseconds, probabilities in thousandths.
#[derive(Clone, Debug)]
pub struct DiskShape {
    pub write_us: (u64, u64),
    pub flush_us: (u64, u64),
    pub read_us: (u64, u64),
    pub prepare_us: (u64, u64),
    /// A flush covers its own write alone.
    pub dsync: bool,
    pub stall: u64,
    pub stall_us: u64,
    pub write_error: u64,
    pub flush_error: u64,
    pub short_write: u64,
    pub prepare_error: u64,
    pub read_error: u64,
    pub short_read: u64,
    pub misdirected_write: u64,
    pub misdirected_read: u64,
    pub stale_read: u64,
    /// Bytes that all files together may have.
    pub capacity: u64,
}

impl DiskShape {
    /// Neither errors nor damage, and room for everything.
    pub fn heal(&mut self) {
        (self.stall, self.prepare_error, self.read_error, self.short_read) = (0, 0, 0, 0);
        (self.write_error, self.flush_error, self.short_write) = (0, 0, 0);
        (self.misdirected_write, self.misdirected_read, self.stale_read) = (0, 0, 0);
        self.capacity = u64::MAX;
    }
}

/// One operation among all that this disk ever executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What happens to an operation at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The device accepts one piece of a write.
    Accept(usize),
    FlushBegins,
    End,
}

#[derive(Debug)]
pub struct Disk {
    shape: DiskShape,
    random: Random,
    files: BTreeMap<(ShardId, FileId), File>,
    operations: BTreeMap<Ticket, Operation>,
    /// Counts operations and accepted writes.
    sequence: u64,
    pub fired: Fired,
}

impl Disk {
    pub fn new(shape: DiskShape, random: Random) -> Self {
        let (files, operations) = (BTreeMap::new(), BTreeMap::new());
        Self { shape, random, files, operations, sequence: 0, fired: Fired::default() }
    }

    /// A file that stands there, durably, before the first start.
    pub fn install(&mut self, shard: ShardId, file: FileId, bytes: Vec<u8>) {
        self.files.insert((shard, file), File::new(bytes));
    }

    /// No more errors, no more stalls. What is under way goes the way it was drawn.
    pub fn heal(&mut self) {
        self.shape.heal();
    }

    /// The slots of a shard as a start finds them, in any order.
    pub fn found(&mut self, shard: ShardId) -> Vec<(SlotId, u64)> {
        let slot = |(&(of, file), content): (&(ShardId, FileId), &File)| match file {
            FileId::Slot(slot) if of == shard => Some((slot, content.image().len() as u64)),
            FileId::Slot(_) | FileId::Meta => None,
        };
        let mut found: Vec<_> = self.files.iter().filter_map(slot).collect();
        self.random.shuffle(&mut found);
        found
    }

    /// Takes an operation; `plan` receives when each of its steps happens.
    pub fn submit(&mut self, now: u64, shard: ShardId, io: Io, mut plan: impl FnMut(u64, Ticket, Step)) {
        self.sequence += 1;
        let ticket = Ticket(self.sequence);
        let id = io.id();
        let task = match io {
            Io::Write { file, offset, buf, at, len, .. } => {
                let fate = self.draw_fate(len);
                let pieces = self.draw_pieces(len, fate);
                let astray = self.draw_astray(shard, (file, place(offset)), len, fate);
                let latency = self.latency(self.shape.write_us);
                let mut accepted = now;
                for piece in 0..pieces.len() {
                    let arrives = now + self.random.between(1, latency);
                    accepted = accepted.max(arrives);
                    plan(arrives, ticket, Step::Accept(piece));
                }
                let mut end = accepted + 1;
                if matches!(fate, Fate::Good | Fate::FlushError) {
                    plan(end, ticket, Step::FlushBegins);
                    end += self.latency(self.shape.flush_us);
                }
                plan(end, ticket, Step::End);
                Task::Write {
                    file,
                    offset: place(offset),
                    buf,
                    at,
                    len,
                    pieces,
                    fate,
                    astray,
                    flushing: None,
                }
            }
            Io::Read { file, offset, buf, len, .. } => {
                plan(now + self.latency(self.shape.read_us), ticket, Step::End);
                Task::Read { file, offset: place(offset), buf, len }
            }
            Io::Prepare { slot, bytes, .. } => {
                plan(now + self.latency(self.shape.prepare_us), ticket, Step::End);
                let fails = self.random.chance(self.shape.prepare_error);
                Task::Prepare { slot, bytes: place(bytes), fails }
            }
        };
        self.operations.insert(ticket, Operation { id, shard, task });
    }

    /// Executes a step. `None` while the operation goes on, and for an operation that a crash ended.
    pub fn step(&mut self, ticket: Ticket, step: Step) -> Option<(ShardId, Done)> {
        match step {
            Step::Accept(piece) => self.accept(ticket, piece),
            Step::FlushBegins => {
                let sequence = self.sequence;
                if let Some(Operation { task: Task::Write { flushing, .. }, .. }) =
                    self.operations.get_mut(&ticket)
                {
                    *flushing = Some(sequence);
                }
            }
            Step::End => return self.end(ticket),
        }
        None
    }

    pub fn idle(&self) -> bool {
        self.operations.is_empty()
    }

    /// The process ends: operations under way never report, and some of what they wrote still arrives.
    pub fn kill(&mut self) {
        for operation in std::mem::take(&mut self.operations).into_values() {
            self.abandon(operation);
        }
    }

    /// The machine loses its power.
    pub fn power_cut(&mut self) {
        self.kill();
        let survive = *self.random.pick(&[0, 100, 500, 900, 1000]);
        for file in self.files.values_mut() {
            for (kept, lost) in file.lose(survive, &mut self.random) {
                match (kept, lost) {
                    (0, 1..) => self.fired.add(Fault::LostWrite),
                    (1.., 1..) => self.fired.add(Fault::TornWrite),
                    _ => {}
                }
            }
        }
    }

    /// Executes one operation at once and without a fault, for whoever looks at what a run left.
    pub fn execute(&mut self, shard: ShardId, io: Io) -> Done {
        let mut steps = Vec::new();
        self.submit(0, shard, io, |_, ticket, step| steps.push((ticket, step)));
        let end = steps.into_iter().filter_map(|(ticket, step)| self.step(ticket, step)).last();
        end.expect("every operation ends").1
    }

    fn draw_fate(&mut self, len: usize) -> Fate {
        if self.random.chance(self.shape.write_error) {
            Fate::WriteError
        } else if self.random.chance(self.shape.flush_error) {
            Fate::FlushError
        } else if self.random.chance(self.shape.short_write) {
            Fate::Short(self.random.index(len / SECTOR) * SECTOR)
        } else {
            Fate::Good
        }
    }

    fn used(&self) -> u64 {
        self.files.values().map(|file| file.image().len() as u64).sum()
    }

    fn draw_pieces(&mut self, len: usize, fate: Fate) -> Vec<Piece> {
        let end = if let Fate::Short(end) = fate { end } else { len };
        let mut cuts: Vec<usize> =
            (0..self.random.below(4)).map(|_| self.random.index(len / SECTOR) * SECTOR).collect();
        cuts.extend([0, end]);
        cuts.retain(|cut| *cut <= end);
        cuts.sort_unstable();
        cuts.dedup();
        let mut pieces: Vec<Piece> =
            cuts.windows(2).map(|cut| Piece { from: cut[0], to: cut[1], accepted: false }).collect();
        if fate == Fate::WriteError {
            self.random.shuffle(&mut pieces);
            let kept = self.random.index(pieces.len() + 1);
            pieces.truncate(kept);
        }
        pieces
    }

    fn latency(&mut self, (low, high): (u64, u64)) -> u64 {
        let usual = self.random.between(low, high);
        if self.random.chance(self.shape.stall) {
            self.fired.add(Fault::DiskStall);
            return usual + self.random.below(self.shape.stall_us);
        }
        usual
    }

    fn accept(&mut self, ticket: Ticket, piece: usize) {
        let Some(operation) = self.operations.get_mut(&ticket) else { return };
        let Task::Write { pieces, .. } = &mut operation.task else { unreachable!("only a write has pieces") };
        let Piece { from, to, .. } = pieces[piece];
        pieces[piece].accepted = true;
        let operation = self.operations.remove(&ticket).expect("just seen");
        self.take_in(&operation, from, to);
        self.operations.insert(ticket, operation);
    }

    /// The device takes a part of a write.
    fn take_in(&mut self, operation: &Operation, from: usize, to: usize) {
        let Task::Write { file, offset, buf, at, astray, .. } = &operation.task else { return };
        let bytes = &buf.bytes()[at + from..at + to];
        if let Some(file) = self.files.get_mut(&(operation.shard, *file)) {
            self.sequence += 1;
            file.accept(self.sequence, offset + from, bytes, astray.is_some());
        }
        if let Some((elsewhere, offset)) = astray {
            self.fired.add(Fault::MisdirectedWrite);
            if let Some(file) = self.files.get_mut(&(operation.shard, *elsewhere)) {
                file.intrude(offset + from, bytes);
            }
        }
    }

    fn end(&mut self, ticket: Ticket) -> Option<(ShardId, Done)> {
        let Operation { id, shard, task } = self.operations.remove(&ticket)?;
        if self.operations.iter().any(|(earlier, o)| *earlier < ticket && o.shard == shard) {
            self.fired.add(Fault::OutOfOrder);
        }
        let (result, buf) = match task {
            Task::Write { file, offset, buf, len, fate, flushing, .. } => {
                (self.end_write((shard, file), offset, len, fate, flushing), Some(buf))
            }
            Task::Read { file, offset, mut buf, len } => {
                let result = self.read(shard, file, offset, &mut buf.bytes_mut()[..len]);
                (result, Some(buf))
            }
            Task::Prepare { fails: true, .. } => {
                self.fired.add(Fault::PrepareError);
                (Err(IoError { step: IoStep::Prepare, errno: ENOSPC }), None)
            }
            Task::Prepare { bytes, .. } if self.used() + bytes as u64 > self.shape.capacity => {
                self.fired.add(Fault::DiskFull);
                (Err(IoError { step: IoStep::Prepare, errno: ENOSPC }), None)
            }
            Task::Prepare { slot, bytes, .. } => {
                self.files.insert((shard, FileId::Slot(slot)), File::new(vec![0; bytes]));
                (Ok(bytes), None)
            }
        };
        Some((shard, Done { id, result, buf }))
    }

    fn end_write(
        &mut self,
        name: (ShardId, FileId),
        offset: usize,
        len: usize,
        fate: Fate,
        flushing: Option<u64>,
    ) -> Result<usize, IoError> {
        let Some(file) = self.files.get_mut(&name) else {
            return Err(IoError { step: IoStep::Open, errno: ENOENT });
        };
        let own = self.shape.dsync.then_some((offset, len));
        match fate {
            Fate::Good => {
                file.flush(flushing.expect("a good write is flushed"), own);
                Ok(len)
            }
            Fate::Short(taken) => {
                self.fired.add(Fault::ShortWrite);
                Ok(taken)
            }
            Fate::WriteError => {
                self.fired.add(Fault::WriteError);
                Err(IoError { step: IoStep::Write, errno: EIO })
            }
            Fate::FlushError => {
                self.fired.add(Fault::FlushError);
                if file.fail_flush(flushing.expect("the flush began"), own, &mut self.random) {
                    self.fired.add(Fault::FlushDropped);
                }
                Err(IoError { step: IoStep::Flush, errno: EIO })
            }
        }
    }

    fn abandon(&mut self, mut operation: Operation) {
        match operation.task {
            Task::Write { ref mut pieces, .. } => {
                let mut pieces = std::mem::take(pieces);
                self.random.shuffle(&mut pieces);
                for piece in pieces.iter().filter(|piece| !piece.accepted) {
                    for from in (piece.from..piece.to).step_by(SECTOR) {
                        if self.random.chance(500) {
                            self.take_in(&operation, from, from + SECTOR);
                            self.fired.add(Fault::LateWrite);
                        }
                    }
                }
            }
            // A slot that stood there before keeps its place until the new one has its name.
            Task::Prepare { slot, .. } if self.files.contains_key(&(operation.shard, FileId::Slot(slot))) => {
            }
            Task::Prepare { slot, bytes, .. } => {
                let (fault, left) = match self.random.below(3) {
                    0 => (Fault::PrepareAbsent, None),
                    1 => (
                        Fault::PrepareHalf,
                        Some(BLOCK * self.random.between(2, (bytes / BLOCK - 1) as u64) as usize),
                    ),
                    _ => (Fault::PrepareUnreported, Some(bytes)),
                };
                self.fired.add(fault);
                if let Some(left) = left {
                    self.files.insert((operation.shard, FileId::Slot(slot)), File::new(vec![0; left]));
                }
            }
            Task::Read { .. } => {}
        }
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("simulated files are small")
}

#[cfg(test)]
mod tests;
