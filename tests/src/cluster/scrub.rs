//! What members keep, read again while they run; and bits that turn there, which nothing else would find (R2, R25).
//!
//! A file is read at one moment, and what was found is heard later: meanwhile its slot may be used again, and a checkpoint
//! of the same name may have taken its place. A member of some runs loses a bit of a closed segment or of a
//! checkpoint: it has to say so in time, whatever it ships has to be whole, and it ships no checkpoint that it knows to be
//! rotten.

use seawall::frame::{Decoder, Step};
use seawall::limits::PEER_BODY_MAX;
use seawall::replication::{Envelope, Message};
use seawall_node::seam::Event;
use seawall_wal::format::{BATCH_HEADER, BatchHeader, FIRST_BATCH, SegmentHeader};
use seawall_wal::{BLOCK, Buffer, FileId, Flaw, IoError, IoStep, LogId, ScrubJob};

use super::{Cluster, SHARD, What};
use crate::check::{Violation, violation};
use crate::disk::Disk;
use crate::world::LINEAGE;

const ENOENT: i32 = 2;
/// A worker takes its turns, and a disk stalls.
const SLACK_US: u64 = 2_000_000;

/// A bit that turned while its member ran.
#[derive(Clone, Debug)]
pub struct Flip {
    pub nth: usize,
    file: FileId,
    offset: usize,
    /// Of the segment that it stands in.
    header: Option<SegmentHeader>,
    at: u64,
    /// Its member has said so.
    found: bool,
}

/// What is rotten is ordered to be read, and what is heard of it.
#[derive(Debug, Default)]
pub struct Scrubs {
    pub flip: Option<Flip>,
    /// The leader that said that what it keeps is rotten.
    pub rotten: Option<usize>,
}

fn log() -> LogId {
    LogId { lineage: LINEAGE, shard: SHARD.0 }
}

fn header(disk: &Disk, file: FileId) -> Option<SegmentHeader> {
    SegmentHeader::read(disk.bytes(SHARD, file)?, &log()).ok()
}

/// Where the batches behind a segment's header end.
fn end_of(bytes: &[u8]) -> usize {
    let mut end = BLOCK;
    while let Some(rest) = bytes.get(end..)
        && let Ok(batch) = BatchHeader::read(rest, &log(), end as u64)
    {
        end += batch.blocks();
    }
    end
}

impl Flip {
    /// Whether what turned is still what it was: a slot that was used again holds something else.
    fn is_there(&self, disk: &Disk) -> bool {
        let in_header = self.offset < BLOCK && self.header.is_some();
        let same = in_header || self.header.is_none() || header(disk, self.file) == self.header;
        same && disk.damaged(SHARD, self.file, self.offset, 1)
    }

    /// Whether its log cannot be without it: as many checkpoints as are `kept`, and whatever is closed behind the newest.
    fn is_kept(&self, disk: &mut Disk, kept: usize) -> bool {
        let found = disk.names(SHARD);
        let mut newest_first: Vec<_> = found.checkpoints.iter().map(|(id, _)| *id).collect();
        newest_first.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
        let newest = newest_first.first().copied();
        let Some(of) = &self.header else {
            return newest_first.iter().take(kept).any(|id| FileId::Checkpoint(*id) == self.file);
        };
        let later = |file: FileId| header(disk, file).is_some_and(|other| other.incarnation > of.incarnation);
        let closed = found.slots.iter().any(|(slot, _)| later(FileId::Slot(*slot)));
        closed && newest.is_none_or(|newest| of.first_index > newest.0)
    }
}

impl Cluster {
    /// One bit of what a member keeps turns, and nobody is told.
    pub(super) fn flip(&mut self, nth: usize) {
        if !self.may_lose(nth) || self.members[nth].life().is_none() || self.scrubs.flip.is_some() {
            return;
        }
        let disk = &mut self.members[nth].disk;
        let found = disk.names(SHARD);
        let slots = found.slots.iter().map(|(slot, _)| FileId::Slot(*slot));
        let mut slots: Vec<_> =
            slots.filter_map(|file| Some((header(disk, file)?.incarnation, file))).collect();
        slots.sort_unstable();
        slots.pop();
        let checkpoints = found.checkpoints.iter().map(|(id, _)| FileId::Checkpoint(*id));
        let files: Vec<FileId> = slots.into_iter().map(|(_, file)| file).chain(checkpoints).collect();
        if files.is_empty() {
            return;
        }
        let file = *self.random.pick(&files);
        let of = header(disk, file).filter(|_| matches!(file, FileId::Slot(_)));
        let bytes = disk.bytes(SHARD, file).unwrap_or_default();
        let (from, end) = if of.is_some() { (FIRST_BATCH as usize, end_of(bytes)) } else { (0, bytes.len()) };
        if from >= end {
            return;
        }
        let offset = from + self.random.index(end - from);
        let bit = u8::try_from(self.random.below(8)).expect("a bit of a byte");
        if disk.flip(SHARD, file, offset, bit) {
            self.trace.note(self.now, format_args!("member {nth}: {file:?} rots at {offset}"));
            self.scrubs.flip = Some(Flip { nth, file, offset, header: of, at: self.now, found: false });
        }
    }

    pub(super) fn scrub(&mut self, nth: usize, life: u32, round: u64, job: ScrubJob, rate: u64) {
        self.counts.add("files read again", 1);
        let takes_us = job.bytes() * 1_000_000 / rate;
        let late = self.random.between(1, takes_us.max(1));
        self.at(self.now + late, What::ScrubReads(nth, life, round, job));
    }

    pub(super) fn scrub_reads(
        &mut self,
        nth: usize,
        life: u32,
        round: u64,
        job: &ScrubJob,
    ) -> Result<(), Violation> {
        let disk = &self.members[nth].disk;
        let bytes = disk.bytes(SHARD, job.file());
        let mut buffer = Buffer::new(0, job.buffer_bytes());
        let result = job.run(&mut buffer, &mut |offset, out| {
            let from = usize::try_from(offset).expect("simulated files are small");
            let read = bytes.and_then(|bytes| bytes.get(from..from + out.len()));
            out.copy_from_slice(read.ok_or(IoError { step: IoStep::Read, errno: ENOENT })?);
            Ok(())
        });
        if let Some(flip) =
            self.scrubs.flip.as_ref().filter(|flip| flip.nth == nth && flip.file == job.file())
            && result.is_ok()
            && flip.is_there(disk)
            && (flip.offset as u64) < job.bytes()
        {
            return violation("R2, what is read again is looked at", format!("{flip:?}"));
        }
        self.counts.add("files found rotten", u64::from(matches!(result, Err(Flaw::Rot(_)))));
        let late = self.random.between(1, 20_000);
        self.at(self.now + late, What::ScrubEnds(nth, life, round, result));
        Ok(())
    }

    pub(super) fn scrub_ends(&mut self, nth: usize, life: u32, round: u64, result: Result<(), Flaw>) {
        if self.members[nth].life() == Some(life) {
            self.tell(nth, Event::Scrubbed { shard: SHARD, round, result });
        }
    }

    /// A leader says that what it keeps is rotten, and goes on. An operator lets another one lead.
    pub(super) fn said_rotten(&mut self, nth: usize, why: &str) -> Result<(), Violation> {
        self.trace.note(self.now, format_args!("m{nth} says: {why}"));
        if !self.harm.is_damaged(nth) && !self.is_flipped(nth) {
            return violation("nothing rots without damage", format!("member {nth}: {why}"));
        }
        self.scrubs.rotten = Some(nth);
        self.found_flip(nth);
        self.begin_care();
        Ok(())
    }

    pub(super) fn found_flip(&mut self, nth: usize) {
        if let Some(flip) = self.scrubs.flip.as_mut().filter(|flip| flip.nth == nth && !flip.found) {
            flip.found = true;
            self.counts.add("turned bits found", 1);
        }
    }

    pub(super) fn is_flipped(&self, nth: usize) -> bool {
        self.scrubs.flip.as_ref().is_some_and(|flip| flip.nth == nth)
    }

    /// What turned is found in time: two rounds, a file at a tick, after the last start, change of role or fault.
    pub(super) fn flip_is_found_in_time(&mut self, nth: usize) -> Result<(), Violation> {
        let Some(flip) = self.scrubs.flip.clone().filter(|flip| flip.nth == nth && !flip.found) else {
            return Ok(());
        };
        let budget = self.shape.node.budget;
        if !self.healed || budget.scrub_bytes_per_second == 0 || self.harm.halted() == Some(nth) {
            return Ok(());
        }
        let member = &mut self.members[nth];
        let found = member.disk.names(SHARD);
        let files = (found.slots.len() + found.checkpoints.len()) as u64;
        let read_us =
            found.slots.iter().map(|(_, bytes)| bytes).chain(found.checkpoints.iter().map(|(_, b)| b));
        let read_us = read_us.sum::<u64>() * 1_000_000 / budget.scrub_bytes_per_second;
        let round_us = files * 2 * self.shape.node.tick_us + files * 20_000 + read_us;
        let within_us = budget.scrub_after_us + budget.scrub_again_us + 2 * round_us + SLACK_US;
        let since = flip.at.max(member.steady_since).max(self.healed_at);
        let kept = self.shape.node.limits.checkpoints;
        let there = flip.is_there(&member.disk) && flip.is_kept(&mut member.disk, kept);
        if self.now < since + within_us || !there {
            return Ok(());
        }
        let text = format!("{flip:?}, {within_us} us later");
        violation("R2, what is kept is read again", text)
    }

    /// Whatever goes out is whole: blocks are judged before, and of a rotten checkpoint nothing is sent once that is known.
    pub(super) fn ships_nothing_rotten(&self, nth: usize, frame: &[u8]) -> Result<(), Violation> {
        let Some(flip) = self.scrubs.flip.as_ref().filter(|flip| flip.nth == nth) else { return Ok(()) };
        let Ok(Step::Frame(read, _)) = Decoder::new(PEER_BODY_MAX).next(frame) else { return Ok(()) };
        match Envelope::decode(&read).expect("members speak the protocol").message {
            Message::Append(append) if !are_whole(append.blocks) => {
                violation("R2, what is rotten is not shipped", format!("by member {nth}"))
            }
            Message::Checkpoint(piece)
                if flip.found
                    && matches!(flip.file, FileId::Checkpoint(id) if id.0 == piece.cut.at.index.0)
                    && flip.is_there(&self.members[nth].disk) =>
            {
                violation("R2, what is known to be rotten is not shipped", format!("{:?}", piece.cut))
            }
            _ => Ok(()),
        }
    }
}

fn are_whole(mut blocks: &[u8]) -> bool {
    while !blocks.is_empty() {
        let len = match BatchHeader::read_anywhere(blocks, &log()) {
            Ok(batch) => {
                let end = BATCH_HEADER + usize::try_from(batch.length).expect("a batch is small");
                let whole = blocks.get(BATCH_HEADER..end);
                if whole.is_none_or(|payload| crc32c::crc32c(payload) != batch.payload_crc) {
                    return false;
                }
                batch.blocks()
            }
            Err(_) if SegmentHeader::read(blocks, &log()).is_ok() => BLOCK,
            Err(_) => return false,
        };
        blocks = blocks.get(len..).unwrap_or_default();
    }
    true
}
