//! What a start finds damaged is an end for a member of a cluster: others have the same, and a disk that lost one bit is
//! not to be trusted with more until somebody has looked (R25). It is an end over restarts, whatever they find.
//!
//! That also holds where the log could do without what is damaged, since it is there twice: one copy of the metadata, or
//! a checkpoint with an older one and all of the log behind it. Once that is cleared, the next recovery does without it,
//! loudly (R8). A log that has no other replica does so at once.

use super::report::Halt;
use super::{Phase, Recovery, Start};
use crate::meta::{Latch, Meta};
use crate::{BLOCK, FileId, Io};

impl Recovery {
    /// Damage is written down where it is found.
    pub fn latching(self) -> Self {
        Self { latches: self.role != Start::Alone, ..self }
    }

    /// Is damage an end that the log would survive?
    pub(super) fn ends_by_any_damage(&self) -> bool {
        self.latches && !self.meta.cleared
    }

    /// Nothing was written yet.
    pub(super) fn check_survived(&self) -> Result<(), Halt> {
        match self.report.corrupt.iter().find(|corrupt| !corrupt.unread) {
            Some(corrupt) if self.ends_by_any_damage() => Err(Halt::rotten_checkpoint(corrupt)),
            _ => Ok(()),
        }
    }

    /// Both copies bad are an end by themselves, and what was latched is. An operation that failed says nothing of the bytes:
    /// the next start tries it again.
    pub(super) fn to_be_latched(&self, halt: &Halt) -> bool {
        let known = self.meta.sequence > 0 && self.meta.latch.is_none();
        self.latches && known && halt.is_damage()
    }

    /// Over the copy that is older, or bad.
    pub(super) fn latch(&mut self, halt: Halt, out: &mut Vec<Io>) {
        let Halt { rule, file, offset, expected, observed } = &halt;
        let latch = Latch::new(rule, *file, *offset, self.report.last, expected, observed);
        let sequence = self.meta.sequence + 1;
        self.meta = Meta { sequence, latch: Some(latch), cleared: false, ..self.meta };
        self.phase = Phase::Latch(halt);
        self.write_meta(out);
    }

    /// One copy alone would take back what it says when a bit of it turns.
    pub(super) fn twice(&mut self, out: &mut Vec<Io>) -> Result<(), Halt> {
        self.meta = Meta { sequence: self.meta.sequence + 1, ..self.meta };
        self.phase = Phase::Twice;
        self.write_meta(out);
        Ok(())
    }

    pub(super) fn write_meta(&mut self, out: &mut Vec<Io>) {
        let block: [u8; BLOCK] = self.meta.encode(&self.id);
        self.write(FileId::Meta, self.meta.offset(), &block, out);
    }
}
