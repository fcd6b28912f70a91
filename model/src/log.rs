//! A log as the model sees it: which epoch and which write stand at each index.

/// Records that fit: the first `EpochStart`, and then writes and further epochs.
pub const LOG_MAX: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub enum Kind {
    /// The first record of an epoch. With an accepted loss it is the promotion record that covers a cut.
    EpochStart {
        accepts_loss: bool,
    },
    Write(u8),
    #[default]
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct Record {
    pub epoch: u8,
    pub kind: Kind,
}

/// Indexes begin with 1, as in the log of the node; a length is also the last index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct Log {
    len: u8,
    records: [Record; LOG_MAX],
}

/// What a commit token is worth against an epoch table (R21).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Served,
    NotCaughtUp,
    LostHistory,
}

impl Log {
    pub fn len(&self) -> u8 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn records(&self) -> &[Record] {
        &self.records[..self.len as usize]
    }

    /// The record at an index that the log has.
    pub fn at(&self, index: u8) -> Option<Record> {
        self.records().get(index.checked_sub(1)? as usize).copied()
    }

    pub fn push(&mut self, record: Record) {
        self.records[self.len as usize] = record;
        self.len += 1;
    }

    pub fn has_room(&self) -> bool {
        (self.len as usize) < LOG_MAX
    }

    pub fn cut(&mut self, last: u8) {
        while self.len > last {
            self.len -= 1;
            self.records[self.len as usize] = Record::default();
        }
    }

    pub fn prefix(&self, last: u8) -> Log {
        let mut prefix = *self;
        prefix.cut(last);
        prefix
    }

    pub fn contains(&self, record: Record) -> bool {
        self.records().contains(&record)
    }

    pub fn starts_with(&self, other: &Log) -> bool {
        self.records().starts_with(other.records())
    }

    /// The last index up to which both hold the very same records: the truth, which no member can see.
    pub fn same_until(&self, other: &Log) -> u8 {
        let same = self.records().iter().zip(other.records()).take_while(|(mine, theirs)| mine == theirs);
        u8::try_from(same.count()).expect("a log is short")
    }

    /// The last index up to which two epoch tables agree (R12): what members see. A table says for each epoch where it
    /// begins, so the epoch of each index follows from it.
    pub fn agrees_until(&self, other: &Log) -> u8 {
        let both = self.records().iter().zip(other.records());
        let agree = both.take_while(|(mine, theirs)| mine.epoch == theirs.epoch);
        u8::try_from(agree.count()).expect("a log is short")
    }

    /// What the epoch table of this log makes of the token (epoch, index).
    pub fn judge(&self, epoch: u8, index: u8) -> Verdict {
        let begins = |record: &Record| matches!(record.kind, Kind::EpochStart { .. });
        let table = || (1u8..).zip(self.records()).filter(|(_, record)| begins(record));
        let skipped = table().any(|(_, r)| r.epoch > epoch) && !table().any(|(_, r)| r.epoch == epoch);
        let superseded = table().any(|(first, r)| r.epoch > epoch && first <= index);
        match () {
            () if skipped || superseded => Verdict::LostHistory,
            () if self.at(index).is_some_and(|record| record.epoch == epoch) => Verdict::Served,
            () => Verdict::NotCaughtUp,
        }
    }
}
