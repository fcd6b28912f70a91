//! The epoch table of a log: the first index of each epoch. It alone says how far two logs are one (R12): commit
//! indexes of followers are always late.

use std::collections::BTreeMap;

use seawall_wal::{Epoch, Index};

/// Ordered by epoch, and therefore by index, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochTable {
    firsts: BTreeMap<Epoch, Index>,
}

/// A table whose epochs do not begin one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disordered {
    pub epoch: Epoch,
    pub first: Index,
}

impl EpochTable {
    /// Of an epoch that wrote nothing the first index may be that of the next one: it has no record.
    pub fn new(firsts: impl IntoIterator<Item = (Epoch, Index)>) -> Result<Self, Disordered> {
        let mut table = Self::default();
        for (epoch, first) in firsts {
            table.begin(epoch, first)?;
        }
        Ok(table)
    }

    /// A later epoch begins.
    pub fn begin(&mut self, epoch: Epoch, first: Index) -> Result<(), Disordered> {
        let behind = |(last, begun): (&Epoch, &Index)| *last < epoch && *begun < first;
        if first == Index(0) || !self.firsts.last_key_value().is_none_or(behind) {
            return Err(Disordered { epoch, first });
        }
        self.firsts.insert(epoch, first);
        Ok(())
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Epoch, Index)> + '_ {
        self.firsts.iter().map(|(epoch, first)| (*epoch, *first))
    }

    pub fn last_epoch(&self) -> Epoch {
        self.firsts.last_key_value().map_or(Epoch(0), |(epoch, _)| *epoch)
    }

    /// The epoch that an index belongs to, if it is there; this table does not know how long the log is.
    pub fn epoch_at(&self, index: Index) -> Option<Epoch> {
        self.iter().rev().find(|(_, first)| *first <= index).map(|(epoch, _)| epoch)
    }

    /// The last index that stands under the same epoch in both logs, of which the first ends at `last` and the other
    /// at `other_last`. Up to there they are the same bytes, because (epoch, index) names one record for ever.
    pub fn agrees_until(&self, last: Index, other: &EpochTable, other_last: Index) -> Index {
        let mut agreed = Index(0);
        let mut mine = self.spans(last);
        let mut theirs = other.spans(other_last);
        while let (Some(a), Some(b)) = (mine.next(), theirs.next()) {
            if (a.epoch, a.first) != (b.epoch, b.first) {
                break;
            }
            agreed = a.last.min(b.last);
            if a.last != b.last {
                break;
            }
        }
        agreed
    }

    /// Without the epochs that begin behind `last`.
    pub fn cut(&mut self, last: Index) {
        self.firsts.retain(|_, first| *first <= last);
    }

    fn spans(&self, last: Index) -> impl Iterator<Item = Span> + '_ {
        let ends = self.iter().skip(1).map(|(_, next)| Index(next.0 - 1)).chain(std::iter::once(last));
        let begun = self.iter().take_while(move |(_, first)| *first <= last);
        begun.zip(ends).map(move |((epoch, first), end)| Span { epoch, first, last: end.min(last) })
    }
}

/// The records of one epoch.
struct Span {
    epoch: Epoch,
    first: Index,
    last: Index,
}
