//! What messages between members have in common.

use crate::position::{Epoch, Index, Lineage};
use crate::wire::{Malformed, Reader, put_u64};

/// Which start of a replica: counted up durably, so that nothing of a process before it is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Start(pub u64);

/// The number of a session among those of one start of a leader; positions belong to it. 0: of none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub u64);

/// The number of one use of a segment's slot, as its header and each of its batches say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// Who speaks, as far as the frame's header does not say it (R11). Generation and shard stand there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The sender's history.
    pub lineage: Lineage,
    /// The leader's or the candidate's; an answer repeats the one that it answers to.
    pub epoch: Epoch,
    /// Which start of the sender's replica.
    pub start: Start,
}

impl Stamp {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lineage.0);
        put_u64(out, self.epoch.0);
        put_u64(out, self.start.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Stamp, Malformed> {
        let lineage = Lineage(reader.array()?);
        Ok(Stamp { lineage, epoch: Epoch(reader.u64()?), start: Start(reader.u64()?) })
    }
}

/// How far a follower is: each position is the last index that has come so far, and none is ahead of the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// In memory, with its place in the log known.
    pub received: Index,
    /// Durable, without a gap.
    pub persisted: Index,
    /// Checked as it was written: checksums, chain, epoch. This is what counts for a commit.
    pub validated: Index,
    /// In the state.
    pub applied: Index,
}

impl Positions {
    fn are_in_order(&self) -> bool {
        [self.received, self.persisted, self.validated, self.applied].is_sorted_by(|a, b| a >= b)
    }

    /// # Panics
    /// When a position is ahead of one that it follows: nobody may be told that.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        assert!(self.are_in_order(), "{self:?}: received >= persisted >= validated >= applied");
        [self.received, self.persisted, self.validated, self.applied]
            .into_iter()
            .for_each(|at| put_u64(out, at.0));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Positions, Malformed> {
        let mut next = || reader.u64().map(Index);
        let positions =
            Positions { received: next()?, persisted: next()?, validated: next()?, applied: next()? };
        match positions.are_in_order() {
            true => Ok(positions),
            false => Err(Malformed::Contradiction("received >= persisted >= validated >= applied")),
        }
    }
}

impl Session {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Session, Malformed> {
        reader.u64().map(Session)
    }
}
