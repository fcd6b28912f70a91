//! Tables of epochs: in which epoch each part of a log was written. They alone tell how far two logs are one (R12).
//!
//! A table is bounded, and the newest epochs stay in it. The oldest one that is kept stands for all before it: an
//! (epoch, index) names one record for ever and each record goes on from the one before, so two logs that share an
//! epoch's beginning share everything ahead of it.

use std::iter::Peekable;

use crate::limits::EPOCHS_MAX;
use crate::list::{List, ListIter, Piece};
use crate::position::{Epoch, Index};
use crate::wire::{Malformed, Reader, put_varint};

/// Where an epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochBegin {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first index.
    pub first: Index,
}

/// Bytes of a line of the table.
const LINE: usize = 16;

impl EpochBegin {
    fn is_before(&self, next: &EpochBegin) -> bool {
        self.epoch < next.epoch && self.first < next.first
    }
}

impl<'a> Piece<'a> for EpochBegin {
    const WHAT: &'static str = "epochs";

    fn read(reader: &mut Reader<'a>) -> Result<EpochBegin, Malformed> {
        Ok(EpochBegin { epoch: Epoch(reader.u64()?), first: Index(reader.u64()?) })
    }

    /// Both count from 1.
    fn check(&self) -> Result<(), Malformed> {
        let none = self.epoch == Epoch(0) || self.first == Index(0);
        if none { Err(Malformed::Unknown { what: "epoch or index", got: 0 }) } else { Ok(()) }
    }
}

/// A table that was checked: epochs and first indices ascend. It borrows its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochTable<'a> {
    begins: List<'a, EpochBegin>,
}

/// How far two logs are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Up to this index, and not beyond it; 0: nowhere.
    Until(Index),
    /// The tables share no epoch, and at least one of them does not reach back to the first index: nothing may be cut
    /// on their word.
    Unknown,
    /// One epoch begins in two places: one of the logs is no log of this shard.
    Impossible {
        /// The epoch.
        epoch: Epoch,
        /// Where it begins in this log.
        ours: Index,
        /// Where it begins in the other one.
        theirs: Index,
    },
}

impl<'a> EpochTable<'a> {
    /// Of a log without a record.
    pub const EMPTY: EpochTable<'static> = EpochTable { begins: List::EMPTY };

    /// From the oldest to the newest.
    pub fn iter(&self) -> ListIter<'a, EpochBegin> {
        self.begins.iter()
    }

    /// The epoch that an index was written in; `None`: the table does not reach back so far. Where the log ends is not
    /// known here.
    pub fn epoch_of(&self, index: Index) -> Option<Epoch> {
        self.iter().take_while(|begin| begin.first <= index).last().map(|begin| begin.epoch)
    }

    /// How far this log, which ends with `last`, and another one are the same. No commit index is asked (R12).
    pub fn agreement(&self, last: Index, other: &EpochTable<'_>, other_last: Index) -> Agreement {
        let (mut shared, mut ours, mut theirs) = (None, self.iter().peekable(), other.iter().peekable());
        while let Some(our) = ours.next() {
            while theirs.next_if(|their| their.epoch < our.epoch).is_some() {}
            let Some(their) = theirs.next_if(|their| their.epoch == our.epoch) else { continue };
            if their.first != our.first {
                return Agreement::Impossible { epoch: our.epoch, ours: our.first, theirs: their.first };
            }
            shared = Some(end(&mut ours, last).min(end(&mut theirs, other_last)));
        }
        let whole = |table: &EpochTable<'_>, last: Index| {
            table.iter().next().map_or(last == Index(0), |oldest| oldest.first == Index(1))
        };
        match shared {
            Some(until) => Agreement::Until(until),
            // An empty log agrees with every other one, up to nothing.
            None if last == Index(0) || other_last == Index(0) => Agreement::Until(Index(0)),
            None if whole(self, last) && whole(other, other_last) => Agreement::Until(Index(0)),
            None => Agreement::Unknown,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.begins.len() as u64);
        out.extend_from_slice(self.begins.bytes());
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<EpochTable<'a>, Malformed> {
        let begins: List<'a, EpochBegin> = List::read_counted(reader, EPOCHS_MAX)?;
        match begins.iter().is_sorted_by(EpochBegin::is_before) {
            true => Ok(EpochTable { begins }),
            false => Err(Malformed::Order),
        }
    }
}

/// The last index of an epoch, before those that are left; `last` is the log's.
fn end(rest: &mut Peekable<ListIter<'_, EpochBegin>>, last: Index) -> Index {
    rest.peek().map_or(last, |next| Index(next.first.0 - 1))
}

/// A table in the making: of one's own log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    bytes: Vec<u8>,
}

impl Epochs {
    /// Adds an epoch that begins with `first`. What began there or behind it is forgotten: an epoch that came to no
    /// record, or one that was cut. Of more than [`EPOCHS_MAX`], the oldest goes.
    ///
    /// # Panics
    /// When it is not above the epochs that stay, or begins with index 0: no log is like that.
    pub fn push(&mut self, begin: EpochBegin) {
        self.cut(begin.first);
        assert!(begin.check().is_ok(), "{begin:?} is no beginning");
        assert!(self.newest().is_none_or(|newest| newest.epoch < begin.epoch), "{begin:?} is below {self:?}");
        if self.bytes.len() == EPOCHS_MAX * LINE {
            self.bytes.drain(..LINE);
        }
        self.bytes.extend_from_slice(&begin.epoch.0.to_le_bytes());
        self.bytes.extend_from_slice(&begin.first.0.to_le_bytes());
    }

    /// Forgets the epochs that begin with `next` or behind it: the log ends before `next`.
    pub fn cut(&mut self, next: Index) {
        while self.newest().is_some_and(|newest| newest.first >= next) {
            self.bytes.truncate(self.bytes.len() - LINE);
        }
    }

    /// The table as it is told.
    pub fn table(&self) -> EpochTable<'_> {
        EpochTable { begins: List::trusted(self.bytes.len() / LINE, &self.bytes) }
    }

    fn newest(&self) -> Option<EpochBegin> {
        let line = self.bytes.last_chunk::<LINE>()?;
        EpochBegin::read(&mut Reader::new(line)).ok()
    }
}
