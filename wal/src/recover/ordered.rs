//! A halt that is left on purpose (R25), and a log that begins anew (R14): what was ordered is done before anything else,
//! and goes on after a crash at any step.
//!
//! ```text
//! clear:   audit -> metadata without the latch -> recovery as ever, which halts again if the cause is still there
//! reseed:  audit -> metadata with the intention (R3) -> the files go to the quarantine -> recovery of an empty log
//! ```
//! Neither mends anything, and neither takes a promise back.

use super::report::Halt;
use super::{Phase, Recovery};
use crate::format::NotValid;
use crate::meta::Meta;
use crate::{FileId, Io};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The latch goes.
    Clear,
    /// The log goes to the quarantine, whole, and takes data from a leader without counting until it is recorded again.
    Reseed,
}

/// What a recovery is to do first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    pub act: Act,
    /// Who, when and why: a line that is durable before anything changes.
    pub audit: String,
}

impl Recovery {
    /// To be said before the start.
    pub fn ordered(self, ordered: Option<Ordered>) -> Self {
        Self { ordered, ..self }
    }

    pub(super) fn audit(&mut self, line: String, out: &mut Vec<Io>) {
        self.phase = Phase::Audit;
        let id = self.issue(FileId::Meta, 0, 0, true);
        out.push(Io::Audit { id, line });
    }

    /// F-RC2: metadata that cannot be read is an end, but for a log that begins anew. What it had promised is not known
    /// any more; who reseeds fences nobody, and is not electable.
    pub(super) fn meta_of(&self, read: Result<Meta, [NotValid; 2]>) -> Result<Meta, Halt> {
        let begins_anew = self.ordered.as_ref().is_some_and(|ordered| ordered.act == Act::Reseed);
        read.or_else(|copies| if begins_anew { Ok(Meta::default()) } else { Err(Halt::metadata(copies)) })
    }

    pub(super) fn intend(&mut self, out: &mut Vec<Io>) -> Result<(), Halt> {
        let sequence = self.meta.sequence + 1;
        let meta = match self.ordered.take().map(|ordered| ordered.act) {
            _ if self.meta.aside != 0 => return self.as_recorded(out),
            Some(Act::Reseed) => Meta { sequence, aside: sequence, ..self.meta },
            Some(Act::Clear) if self.meta.latch.is_some() => Meta { sequence, latch: None, ..self.meta },
            Some(Act::Clear) | None => return self.as_recorded(out),
        };
        self.meta = meta;
        self.phase = Phase::Intend;
        let block = meta.encode(&self.id);
        self.write(FileId::Meta, meta.offset(), &block, out);
        Ok(())
    }

    /// What an earlier order began is finished first.
    pub(super) fn as_recorded(&mut self, out: &mut Vec<Io>) -> Result<(), Halt> {
        if self.meta.aside != 0 {
            let number = self.meta.aside;
            self.report.put_aside = Some(number);
            self.phase = Phase::PutAside;
            let id = self.issue(FileId::Meta, 0, 0, true);
            out.push(Io::PutAside { id, number });
            return Ok(());
        }
        match &self.meta.latch {
            Some(latch) => Err(Halt::latched(latch)),
            None => self.next_header(0, out),
        }
    }

    /// Promises and leases outlive the log that they were made for; what was known of the log itself goes with it. That
    /// is written where this recovery settles: until then, what was put aside is put aside again.
    pub(super) fn emptied(&mut self, out: &mut Vec<Io>) -> Result<(), Halt> {
        let Meta { sequence, epoch, bound, start, lease_us, issued, .. } = self.meta;
        let kept = Meta { sequence, epoch, bound, start, lease_us, issued, ..Meta::default() };
        self.meta = Meta { followed: true, reseeding: true, ..kept };
        self.slots.clear();
        self.checkpoints.clear();
        self.next_header(0, out)
    }
}
