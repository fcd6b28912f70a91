//! R_FENCE and R_FENCED: a candidate ends the epochs before its own, and hears what a member holds (R11, R15).

use super::{EpochTable, Positions, Stamp};
use crate::map::MemberId;
use crate::position::Epoch;
use crate::wire::{Malformed, Reader, put_u64};

/// An R_FENCE. It binds nobody (0006); the generation that the candidate is judged by is the frame's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The epoch that the candidate stands for, and its start.
    pub stamp: Stamp,
    /// Who stands.
    pub candidate: MemberId,
}

impl Fence {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.stamp.encode(out);
        out.extend_from_slice(&self.candidate.0.to_le_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Fence, Malformed> {
        Ok(Fence { stamp: Stamp::read(reader)?, candidate: MemberId::read(reader)? })
    }
}

/// What became of an R_FENCE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The promise of its epoch is durable; positions and table are all that the member has.
    Fenced,
    /// The same, and bytes behind its end are torn, reordered or rotten: it may have acknowledged more (R2).
    Uncertain,
    /// Its epoch, or a higher one, was promised before: go above it.
    Promised,
    /// A lease promise runs: ask again when it has ended.
    LeaseRuns {
        /// Until it has.
        remaining_us: u64,
    },
    /// The member lost what it may have acknowledged: it can prove nothing, and fences nobody.
    Reseeding,
}

/// The number of each verdict.
mod number {
    pub(super) const FENCED: u8 = 1;
    pub(super) const PROMISED: u8 = 2;
    pub(super) const LEASE_RUNS: u8 = 3;
    pub(super) const RESEEDING: u8 = 4;
    pub(super) const UNCERTAIN: u8 = 5;
}

/// An R_FENCED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced<'a> {
    /// The candidate's epoch, and the member's start.
    pub stamp: Stamp,
    /// What became of it.
    pub verdict: Verdict,
    /// The epoch that the member has promised now.
    pub promise: Epoch,
    /// How far it is, with nothing under way.
    pub positions: Positions,
    /// Of its log.
    pub epochs: EpochTable<'a>,
}

impl<'a> Fenced<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.stamp.encode(out);
        match self.verdict {
            Verdict::Fenced => out.push(number::FENCED),
            Verdict::Promised => out.push(number::PROMISED),
            Verdict::LeaseRuns { remaining_us } => {
                out.push(number::LEASE_RUNS);
                put_u64(out, remaining_us);
            }
            Verdict::Reseeding => out.push(number::RESEEDING),
            Verdict::Uncertain => out.push(number::UNCERTAIN),
        }
        put_u64(out, self.promise.0);
        self.positions.encode(out);
        self.epochs.encode(out);
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Fenced<'a>, Malformed> {
        let fenced = Fenced {
            stamp: Stamp::read(reader)?,
            verdict: match reader.u8()? {
                number::FENCED => Verdict::Fenced,
                number::PROMISED => Verdict::Promised,
                number::LEASE_RUNS => Verdict::LeaseRuns { remaining_us: reader.u64()? },
                number::RESEEDING => Verdict::Reseeding,
                number::UNCERTAIN => Verdict::Uncertain,
                got => return Err(Malformed::Unknown { what: "answer to a fence", got: u64::from(got) }),
            },
            promise: Epoch(reader.u64()?),
            positions: Positions::read(reader)?,
            epochs: EpochTable::read(reader)?,
        };
        match fenced.verdict {
            Verdict::Fenced | Verdict::Uncertain if fenced.promise != fenced.stamp.epoch => {
                Err(Malformed::Contradiction("who is fenced has promised that epoch"))
            }
            Verdict::Promised if fenced.promise < fenced.stamp.epoch => {
                Err(Malformed::Contradiction("a promise refuses no epoch above it"))
            }
            _ => Ok(fenced),
        }
    }
}
