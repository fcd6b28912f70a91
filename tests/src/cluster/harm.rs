//! Disks that report errors, a disk that damages what it holds, a replica that comes apart from its leader's: who fails
//! or halts of it, and what becomes of that.
//!
//! An error ends a log until its process is started again (R4). Damage halts a member when it is found, and it stays
//! halted (R25). I1 permits damage to fewer copies than exist: one member of a run is harmed for good, at most, and never
//! while it alone holds what was acknowledged.

use seawall::frame::{Decoder, Step};
use seawall::limits::PEER_BODY_MAX;
use seawall::replication::{Envelope, Message};
use seawall_wal::format::SegmentHeader;
use seawall_wal::recover::Report;
use seawall_wal::{FileId, LogId};

use super::{Cluster, SHARD, What};
use crate::check::{Violation, violation};
use crate::fault::Fault;
use crate::plan::Crash;
use crate::world::LINEAGE;

#[derive(Debug, Default)]
pub struct Harm {
    /// Its disk holds something else than it was told to.
    damaged: Option<usize>,
    /// It hears what its leader does not say: other digests, or blocks that are not whole.
    bent: Option<(usize, Bent)>,
    halted: Option<usize>,
    /// Its metadata says so, so its next start must say it again.
    latched: bool,
    /// A start found it, and what a start reads is still what it is.
    by_start: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bent {
    Digests,
    Blocks,
}

impl Harm {
    pub fn halted(&self) -> Option<usize> {
        self.halted
    }

    pub fn is_damaged(&self, nth: usize) -> bool {
        self.damaged == Some(nth)
    }

    fn may_halt(&self, nth: usize) -> bool {
        self.damaged == Some(nth) || self.bent.is_some_and(|(bent, _)| bent == nth)
    }
}

impl Cluster {
    /// A member loses its power, and something that it had made durable is not what it was: in a place where only damage
    /// explains that, so not at the end of the log (R2).
    pub(super) fn rot(&mut self, nth: usize) {
        if !self.may_lose(nth) {
            return;
        }
        self.crash(nth, Crash::PowerCut);
        let disk = &mut self.members[nth].disk;
        let found = disk.names(SHARD);
        let log = LogId { lineage: LINEAGE, shard: SHARD.0 };
        let header = |slot| SegmentHeader::read(disk.bytes(SHARD, FileId::Slot(slot))?, &log).ok();
        let mut slots: Vec<_> =
            found.slots.iter().filter_map(|(slot, _)| Some((header(*slot)?.incarnation, *slot))).collect();
        slots.sort_unstable();
        slots.pop();
        let slots = slots.into_iter().map(|(_, slot)| FileId::Slot(slot));
        let files = slots.chain(found.checkpoints.iter().map(|(id, _)| FileId::Checkpoint(*id)));
        let files: Vec<FileId> = files.collect();
        if files.is_empty() {
            return;
        }
        let file = *self.random.pick(&files);
        let bytes = disk.bytes(SHARD, file).unwrap_or_default();
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.trace.note(self.now, format_args!("member {nth}: {file:?} rots before {end}"));
        disk.rot(SHARD, file, 0, end);
        self.harm.damaged = Some(nth);
    }

    /// From now on this member hears that its leader's state is another one than its own, or is sent what is not whole.
    pub(super) fn bend(&mut self, nth: usize, bent: Bent) {
        if self.may_lose(nth) {
            self.harm.bent = Some((nth, bent));
        }
    }

    /// What is said, as this member hears it.
    pub(super) fn bent(&mut self, to: usize, frame: &[u8]) -> Vec<u8> {
        let leads_alone = self.leader() == Some(to) || self.in_sync().is_empty();
        let what = self.harm.bent.filter(|(bent, _)| *bent == to).map(|(_, what)| what);
        let Some(what) = what.filter(|_| self.harm.halted.is_none() && !self.healed && !leads_alone) else {
            return frame.to_vec();
        };
        let mut blocks = Vec::new();
        let Ok(Step::Frame(read, _)) = Decoder::new(PEER_BODY_MAX).next(frame) else { return frame.to_vec() };
        let mut envelope = Envelope::decode(&read).expect("members speak the protocol");
        match (what, &mut envelope.message) {
            (Bent::Digests, Message::Heartbeat(beat)) => {
                if let Some(closed) = &mut beat.closed {
                    closed.crc ^= 1;
                    self.fired.add(Fault::DigestBent);
                }
            }
            (Bent::Blocks, Message::Append(append)) if !append.blocks.is_empty() => {
                blocks.extend_from_slice(append.blocks);
                blocks[self.random.index(append.blocks.len())] ^= 1 << self.random.below(8);
                append.blocks = &blocks;
                self.fired.add(Fault::BlocksBent);
            }
            _ => return frame.to_vec(),
        }
        let mut bent = Vec::new();
        envelope.encode(&mut bent);
        bent
    }

    /// A process starts: what its disk says of a halt it must say, too.
    pub(super) fn harm_of_start(&mut self, nth: usize) {
        if self.harm.halted != Some(nth) {
            return;
        }
        self.counts.add("halted members started again", 1);
        let log = LogId { lineage: LINEAGE, shard: SHARD.0 };
        let meta = self.members[nth].disk.bytes(SHARD, FileId::Meta);
        let meta = meta.and_then(|bytes| seawall_wal::meta::read(bytes, &log).ok());
        self.harm.latched = meta.is_some_and(|meta| meta.latch.is_some());
    }

    /// A recovery ended.
    pub(super) fn recovered(&mut self, nth: usize, life: u32, report: &Report) -> Result<(), Violation> {
        let damaged = self.harm.by_start && self.harm.is_damaged(nth);
        let stays = self.harm.halted == Some(nth) && (self.harm.latched || damaged);
        if !report.corrupt.is_empty() {
            self.found_flip(nth); // a start has passed over it, loudly
        }
        match &report.halt {
            None if stays => violation("R25, who is halted stays halted", format!("member {nth} recovered")),
            None => {
                // The halt had not become durable: nothing is known of it any more.
                self.harm.halted.take_if(|halted| *halted == nth);
                Ok(())
            }
            Some(_) if self.members[nth].met_error() => {
                self.mend_later(nth, life);
                Ok(())
            }
            Some(halt) if self.harm.may_halt(nth) || self.is_flipped(nth) => {
                self.harm.by_start |= self.harm.halted.is_none();
                self.halts(nth, &format!("{halt:?}"));
                Ok(())
            }
            Some(halt) => {
                violation("I4, a log without damage is recovered", format!("member {nth}: {halt:?}"))
            }
        }
    }

    pub(super) fn replica_halted(&mut self, nth: usize, life: u32, why: &str) -> Result<(), Violation> {
        if why.starts_with("R4") {
            return self.log_failed(nth, life, why);
        }
        if self.harm.may_halt(nth) || self.is_flipped(nth) {
            self.halts(nth, why);
            return Ok(());
        }
        violation("nobody halts without damage", format!("member {nth}: {why}"))
    }

    pub(super) fn log_failed(&mut self, nth: usize, life: u32, why: &str) -> Result<(), Violation> {
        if !self.members[nth].met_error() {
            return violation("a log fails only after an I/O error", format!("member {nth}: {why}"));
        }
        self.counts.add("logs that failed", 1);
        self.mend_later(nth, life);
        Ok(())
    }

    fn halts(&mut self, nth: usize, why: &str) {
        self.trace.note(self.now, format_args!("member {nth} halts: {why}"));
        self.found_flip(nth);
        if self.harm.halted.is_none() {
            self.counts.add("members halted for good", 1);
            self.harm.halted = Some(nth);
            // Somebody looks whether it was only a start that is needed.
            for _ in 0..2 {
                let again = self.now + self.random.below(5_000_000);
                self.at(again, What::Crash(nth, Crash::Kill));
            }
            self.begin_care();
        }
    }

    fn mend_later(&mut self, nth: usize, life: u32) {
        let later = self.now + 1 + self.random.below(self.shape.restart_us);
        self.at(later, What::Mend(nth, life));
    }

    pub(super) fn mend(&mut self, nth: usize, life: u32) {
        if self.members[nth].life() == Some(life) {
            let kind = *self.random.pick(&[Crash::Kill, Crash::PowerCut]);
            self.end(nth, kind);
        }
    }
}
