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
use crate::meta::{self, Copies, Meta};
use crate::{BLOCK, Epoch, FileId, Io, LogId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The latch goes.
    Clear,
    /// The log goes to the quarantine, whole, and takes data from a leader without counting until it is recorded again.
    Reseed,
}

impl Act {
    /// What the metadata says of it, if it does not say so already. `bad`: one copy of it is.
    fn intended(self, meta: &Meta, bad: bool) -> Option<Meta> {
        let sequence = meta.sequence + 1;
        match self {
            _ if meta.aside != 0 => None,
            Act::Reseed => Some(Meta { sequence, aside: sequence, ..*meta }),
            Act::Clear if meta.latch.is_some() || bad => {
                Some(Meta { sequence, latch: None, cleared: true, ..*meta })
            }
            Act::Clear => None,
        }
    }
}

/// The same order to a log that nobody has open: what it makes of the metadata file. The next recovery goes on from there,
/// as after a crash behind [`Phase::Intend`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intention {
    /// Why the log is halted, as far as its metadata knows.
    pub halt: Option<String>,
    /// Whether the highest epoch that was promised here was led here; not known of metadata that cannot be read.
    pub led: Option<bool>,
    /// Under which number the log is put aside.
    pub aside: u64,
    /// Where in the file, and what. The copy that is current stays until this one is whole. `None`: nothing is to be done.
    pub write: Option<(u64, [u8; BLOCK])>,
}

impl Intention {
    /// From the bytes of the metadata file.
    pub fn of(act: Act, id: &LogId, bytes: &[u8]) -> Self {
        let copies = meta::read_both(bytes, id);
        let halt = match copies {
            Ok(Copies { newest: Meta { latch: Some(latch), .. }, .. }) => Some(Halt::latched(&latch)),
            Ok(Copies { bad: Some((offset, why)), .. }) => Some(Halt::one_copy(offset, why)),
            Ok(_) => None,
            Err(copies) => Some(Halt::metadata(copies)),
        };
        let halt = halt.map(|halt| halt.to_string());
        let bad = copies.is_ok_and(|copies| copies.bad.is_some());
        let read = copies.map(|copies| copies.newest);
        let led = read.as_ref().ok().map(|meta| meta.epoch > Epoch(0) && meta.issued == meta.epoch);
        let meta = match read {
            Err(_) if act == Act::Clear => None,
            read => Some(read.unwrap_or_default()),
        };
        let next = meta.and_then(|meta| act.intended(&meta, bad));
        let aside = next.or(meta).map_or(0, |meta| meta.aside);
        Self { halt, led, aside, write: next.map(|next| (next.offset(), next.encode(id))) }
    }
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
    pub(super) fn meta_of(&mut self, read: Result<Copies, [NotValid; 2]>) -> Result<Meta, Halt> {
        let begins_anew = self.ordered.as_ref().is_some_and(|ordered| ordered.act == Act::Reseed);
        let Copies { newest, bad } = match read {
            Ok(copies) => copies,
            Err(_) if begins_anew => return Ok(Meta::default()),
            Err(copies) => return Err(Halt::metadata(copies)),
        };
        self.report.bad_copy = bad;
        self.meta = newest;
        match bad {
            Some((offset, why)) if self.ordered.is_none() && self.ends_by_any_damage() => {
                Err(Halt::one_copy(offset, why))
            }
            _ => Ok(newest),
        }
    }

    pub(super) fn intend(&mut self, out: &mut Vec<Io>) -> Result<(), Halt> {
        let (ordered, bad) = (self.ordered.take(), self.report.bad_copy.is_some());
        let Some(meta) = ordered.and_then(|ordered| ordered.act.intended(&self.meta, bad)) else {
            return self.as_recorded(out);
        };
        self.meta = meta;
        self.phase = Phase::Intend;
        self.write_meta(out);
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
