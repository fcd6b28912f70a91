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
//! * A **fold** is done as the driver does it: the new checkpoint has its name only when it was read back. After a
//!   crash it is absent or complete. A write that went elsewhere while it was made shows when it is read back.
//! * A **checkpoint of another member** is written into a file without a name, and adopted as a fold is: after a crash
//!   it is absent or complete. What stands in the nameless file may be damaged before.
//! * A **removed** file is gone, until a power cut that comes before the directory was flushed: then it may be back
//!   as it was. A **remove error** leaves the file.
//! * A log that is **put aside** leaves the directory, all but its metadata, file by file, durably. A crash before the end
//!   of that leaves any of the files where they were.
//! * A **full disk** has room for so many bytes of files: a preparation or a fold that would need more fails.
//! * A **write error** leaves any of the pieces accepted. A **short write** leaves a prefix, and is not flushed.
//! * A **flush error** treats each sector that it should have kept in one of three ways: thrown away, so that a
//!   read gives the bytes before it; readable, but never made durable by any later flush, which will report
//!   success all the same; or still in the cache like any other. Other files are not touched.
//! * A **read error** or a **short read** says so. The next read of the same place may go well.
//!
//! **Damage**, which a log on one disk detects, and does not survive. It is never reported by the device:
//! * **Bit rot** turns some bits of one durable sector, of any file, at any time.
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
mod death;
mod file;
mod keep;
mod operation;

use std::collections::BTreeMap;

use seawall::map::ShardId;
use seawall_wal::recover::Files;
use seawall_wal::{Done, FileId, FoldDone, Io, IoError, IoStep};

use crate::fault::{Fault, Fired};
use crate::random::Random;
use file::File;
use operation::{Fate, Operation, Piece, Task};

pub use file::SECTOR;
pub use operation::Ended;

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
    /// Of a checkpoint that came from another member.
    pub offered_damage: u64,
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
        self.offered_damage = 0;
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
    /// Checkpoints of others without a name.
    offered: BTreeMap<ShardId, Vec<u8>>,
    /// Names that were taken away, and may come back.
    removed: BTreeMap<(ShardId, FileId), File>,
    /// Counts operations and accepted writes.
    sequence: u64,
    pub fired: Fired,
}

impl Disk {
    pub fn new(shape: DiskShape, random: Random) -> Self {
        Self {
            shape,
            random,
            files: BTreeMap::new(),
            operations: BTreeMap::new(),
            offered: BTreeMap::new(),
            removed: BTreeMap::new(),
            sequence: 0,
            fired: Fired::default(),
        }
    }

    /// A file that stands there, durably, before the first start.
    pub fn install(&mut self, shard: ShardId, file: FileId, bytes: Vec<u8>) {
        self.files.insert((shard, file), File::new(bytes));
    }

    /// No more errors, no more stalls. What is under way goes the way it was drawn.
    pub fn heal(&mut self) {
        self.shape.heal();
    }

    /// Writes take as long as this from now on.
    pub fn pace(&mut self, write_us: (u64, u64)) {
        self.shape.write_us = write_us;
    }

    /// The files of a shard as a start finds them, in any order.
    pub fn found(&mut self, shard: ShardId) -> Files {
        self.removed.clear(); // who looks has flushed the directory
        self.names(shard)
    }

    /// The same, without a look that changes anything.
    pub fn names(&mut self, shard: ShardId) -> Files {
        let mut found = Files::default();
        for (name, content) in self.files.iter().filter(|((of, _), _)| *of == shard) {
            let bytes = content.image().len() as u64;
            match name.1 {
                FileId::Slot(slot) => found.slots.push((slot, bytes)),
                FileId::Checkpoint(id) => found.checkpoints.push((id, bytes)),
                FileId::Meta => {}
            }
        }
        self.random.shuffle(&mut found.slots);
        self.random.shuffle(&mut found.checkpoints);
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
            Io::Read { file, offset, buf, len, .. } | Io::ReadBack { file, offset, buf, len, .. } => {
                plan(now + self.latency(self.shape.read_us), ticket, Step::End);
                Task::Read { file, offset: place(offset), buf, len }
            }
            Io::Prepare { slot, bytes, .. } => {
                plan(now + self.latency(self.shape.prepare_us), ticket, Step::End);
                let fails = self.random.chance(self.shape.prepare_error);
                Task::Prepare { slot, bytes: place(bytes), fails }
            }
            Io::Fold(job) => {
                plan(now + 4 * self.latency(self.shape.prepare_us), ticket, Step::End);
                Task::Fold(job)
            }
            Io::WriteOffered { offset, bytes, .. } => {
                plan(now + self.latency(self.shape.write_us), ticket, Step::End);
                Task::Offered { offset: place(offset), bytes }
            }
            Io::Adopt(job) => {
                plan(now + 4 * self.latency(self.shape.prepare_us), ticket, Step::End);
                Task::Adopt(job)
            }
            Io::Quarantine { .. } | Io::Audit { .. } | Io::PutAside { .. } => {
                plan(now + self.latency(self.shape.prepare_us), ticket, Step::End);
                match io {
                    Io::PutAside { .. } => Task::PutAside,
                    _ => Task::Kept,
                }
            }
            Io::Remove { file, .. } => {
                plan(now + self.latency(self.shape.write_us), ticket, Step::End);
                Task::Remove(file)
            }
        };
        self.operations.insert(ticket, Operation { id, shard, task });
    }

    /// Executes a step. `None` while the operation goes on, and for an operation that a crash ended.
    pub fn step(&mut self, ticket: Ticket, step: Step) -> Option<(ShardId, Ended)> {
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

    /// But for folds: a process that stops does not wait for them.
    pub fn idle(&self) -> bool {
        self.operations.values().all(|operation| matches!(operation.task, Task::Fold(_)))
    }

    /// Executes one operation at once and without a fault, for whoever looks at what a run left.
    pub fn execute(&mut self, shard: ShardId, io: Io) -> Done {
        let mut steps = Vec::new();
        self.submit(0, shard, io, |_, ticket, step| steps.push((ticket, step)));
        let end = steps.into_iter().filter_map(|(ticket, step)| self.step(ticket, step)).last();
        match end.expect("every operation ends").1 {
            Ended::Io(done) => done,
            Ended::Fold(_) => unreachable!("nobody looks at a log by folding it"),
        }
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

    fn end(&mut self, ticket: Ticket) -> Option<(ShardId, Ended)> {
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
                self.name(shard, FileId::Slot(slot), File::new(vec![0; bytes]));
                (Ok(bytes), None)
            }
            Task::Fold(job) => {
                let result = self.fold(shard, &job);
                return Some((shard, Ended::Fold(FoldDone { id, result })));
            }
            Task::Adopt(job) => {
                let result = self.take_over(shard, &job);
                return Some((shard, Ended::Fold(FoldDone { id, result })));
            }
            Task::Offered { offset, bytes } => (Ok(self.take_offered(shard, offset, &bytes)), None),
            Task::Kept => (Ok(0), None),
            Task::PutAside => {
                self.put_aside(shard, 1000);
                (Ok(0), None)
            }
            Task::Remove(file) => (self.remove(shard, file), None),
        };
        Some((shard, Ended::Io(Done { id, result, buf })))
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
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("simulated files are small")
}

#[cfg(test)]
mod tests;
