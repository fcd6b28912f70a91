//! What the log was given and what it said: the one truth that a recovered log is held against.

use std::collections::BTreeMap;

use seawall_wal::checkpoint::{Boundary, Finished, Item, Version, Writer};
use seawall_wal::{Entry, Epoch, Index, Kind, LogId, Record, Space};

/// One record, as it was appended or as it came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub epoch: Epoch,
    pub kind: Kind,
    pub time_us: i64,
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub space: Space,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// The rows of a log: last writer wins.
pub type State = BTreeMap<(Space, Vec<u8>), (Version, Vec<u8>)>;

#[derive(Debug, Default)]
pub struct Model {
    /// Record `n` stands at `n - 1`. What a recovery did not bring back is gone for good.
    pub records: Vec<Written>,
    /// Highest index that was reported as durable, by the log or by a recovery.
    pub acknowledged: Index,
    /// The epoch that the newest recovery reported.
    pub epoch: Epoch,
    /// The cut of the newest checkpoint that was reported.
    pub checkpoint: Index,
}

impl Written {
    pub fn read(epoch: Epoch, record: &Record<'_>) -> Self {
        let change = |entry: Entry<'_>| Change {
            space: entry.space,
            key: entry.key.to_vec(),
            value: entry.value.map(<[u8]>::to_vec),
        };
        let changes = record.entries().map(change).collect();
        Self { epoch, kind: record.kind, time_us: record.time_us, changes }
    }

    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> + Clone {
        self.changes.iter().map(|c| Entry { space: c.space, key: &c.key, value: c.value.as_deref() })
    }

    pub fn apply(&self, index: Index, state: &mut State) {
        for Change { space, key, value } in &self.changes {
            let place = (*space, key.clone());
            match value {
                Some(value) => {
                    state.insert(place, (Version { epoch: self.epoch, index }, value.clone()));
                }
                None => {
                    state.remove(&place);
                }
            }
        }
    }
}

impl Model {
    /// A slot may be used again when everything in it is in a checkpoint.
    pub fn covered(&self) -> Index {
        self.checkpoint
    }

    /// Whether a record of this epoch is durable.
    pub fn is_acknowledged(&self, epoch: Epoch) -> bool {
        let last = usize::try_from(self.acknowledged.0).expect("a short log");
        last > 0 && self.records[last - 1].epoch == epoch
    }

    /// The state that the first records make.
    pub fn state(&self, through: Index) -> State {
        let mut state = State::new();
        for (record, index) in self.records.iter().zip(1..=through.0) {
            record.apply(Index(index), &mut state);
        }
        state
    }
}

/// What a checkpoint of this state would have as its digest.
pub fn digest(log: LogId, state: &State) -> u128 {
    let mut writer = Writer::new(&Boundary::start(log), |_| {});
    for ((space, key), (version, value)) in state {
        writer.push(&Item { space: *space, key, version: *version, value });
    }
    let Finished { digest, .. } = writer.finish();
    digest
}
