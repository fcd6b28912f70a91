//! R_REFUSED: a member does not do what it was asked, and why.

use super::{Session, Stamp, Start};
use crate::limits::REASON_TEXT_MAX;
use crate::map::MemberId;
use crate::position::{Epoch, Index};
use crate::wire::{Malformed, Reader, put_sized, put_u64};

/// Why, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A higher epoch is promised (R11): step down, and go above it.
    FencedEpoch {
        /// The promise.
        promise: Epoch,
    },
    /// A lease promise to another leader runs (R11): ask again when it has ended.
    LeasePromise {
        /// Until it has.
        remaining_us: u64,
    },
    /// Two histories that have nothing to do with each other; the stamp has the refuser's (R23).
    Lineage,
    /// An integrity failure is latched (R25).
    Halted,
    /// The logs part below what is known to be committed, and no accepted loss covers it (R12).
    Divergence {
        /// The last index that both have.
        agree_until: Index,
        /// What the refuser knows to be committed.
        committed: Index,
    },
    /// The epoch is bound to another leader, or to another start of it (R10): an integrity failure.
    EqualEpoch {
        /// To whom it is bound.
        leader: MemberId,
        /// To which start of it.
        start: Start,
    },
    /// It lost what it may have acknowledged, and the leader still requires it (R14).
    Reseeding,
    /// It has no such session: say R_HELLO.
    NoSession,
    /// It is starting, or on its way to another role: ask again.
    NotReady {
        /// After so long.
        retry_after_ms: u32,
    },
    /// Its map does not make it a replica of the shard, or not the sender a member.
    NotInMap,
    /// It speaks another version; the answer to R_LINK alone.
    Version {
        /// The newest that it speaks.
        newest: u8,
    },
}

/// The number of each reason.
mod number {
    pub(super) const FENCED_EPOCH: u8 = 1;
    pub(super) const LEASE_PROMISE: u8 = 2;
    pub(super) const LINEAGE: u8 = 3;
    pub(super) const HALTED: u8 = 4;
    pub(super) const DIVERGENCE: u8 = 5;
    pub(super) const EQUAL_EPOCH: u8 = 6;
    pub(super) const RESEEDING: u8 = 7;
    pub(super) const NO_SESSION: u8 = 8;
    pub(super) const NOT_READY: u8 = 9;
    pub(super) const NOT_IN_MAP: u8 = 10;
    pub(super) const VERSION: u8 = 11;
}

impl Why {
    fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Why::FencedEpoch { promise } => {
                out.push(number::FENCED_EPOCH);
                put_u64(out, promise.0);
            }
            Why::LeasePromise { remaining_us } => {
                out.push(number::LEASE_PROMISE);
                put_u64(out, remaining_us);
            }
            Why::Lineage => out.push(number::LINEAGE),
            Why::Halted => out.push(number::HALTED),
            Why::Divergence { agree_until, committed } => {
                out.push(number::DIVERGENCE);
                put_u64(out, agree_until.0);
                put_u64(out, committed.0);
            }
            Why::EqualEpoch { leader, start } => {
                out.push(number::EQUAL_EPOCH);
                out.extend_from_slice(&leader.0.to_le_bytes());
                put_u64(out, start.0);
            }
            Why::Reseeding => out.push(number::RESEEDING),
            Why::NoSession => out.push(number::NO_SESSION),
            Why::NotReady { retry_after_ms } => {
                out.push(number::NOT_READY);
                out.extend_from_slice(&retry_after_ms.to_le_bytes());
            }
            Why::NotInMap => out.push(number::NOT_IN_MAP),
            Why::Version { newest } => out.extend_from_slice(&[number::VERSION, newest]),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Why, Malformed> {
        Ok(match reader.u8()? {
            number::FENCED_EPOCH => Why::FencedEpoch { promise: Epoch(reader.u64()?) },
            number::LEASE_PROMISE => Why::LeasePromise { remaining_us: reader.u64()? },
            number::LINEAGE => Why::Lineage,
            number::HALTED => Why::Halted,
            number::DIVERGENCE => {
                Why::Divergence { agree_until: Index(reader.u64()?), committed: Index(reader.u64()?) }
            }
            number::EQUAL_EPOCH => {
                Why::EqualEpoch { leader: MemberId::read(reader)?, start: Start(reader.u64()?) }
            }
            number::RESEEDING => Why::Reseeding,
            number::NO_SESSION => Why::NoSession,
            number::NOT_READY => Why::NotReady { retry_after_ms: reader.u32()? },
            number::NOT_IN_MAP => Why::NotInMap,
            number::VERSION => Why::Version { newest: reader.u8()? },
            got => return Err(Malformed::Unknown { what: "reason of a refusal", got: u64::from(got) }),
        })
    }
}

/// An R_REFUSED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    /// The refuser's history and start; the epoch that was refused.
    pub stamp: Stamp,
    /// The session of what was refused, if it had one.
    pub session: Session,
    /// For programs.
    pub why: Why,
    /// For people: what happened, where, what to do next.
    pub text: &'a str,
}

impl<'a> Refused<'a> {
    /// A text that is too long is cut.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.stamp.encode(out);
        put_u64(out, self.session.0);
        self.why.encode(out);
        let cut = self.text.get(..self.text.floor_char_boundary(REASON_TEXT_MAX)).unwrap_or_default();
        put_sized(out, cut.as_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Refused<'a>, Malformed> {
        Ok(Refused {
            stamp: Stamp::read(reader)?,
            session: Session::read(reader)?,
            why: Why::read(reader)?,
            text: reader.text("reason", REASON_TEXT_MAX)?,
        })
    }
}
