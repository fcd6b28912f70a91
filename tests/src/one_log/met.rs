//! What a recovery meets: the entries of a checkpoint, and the records behind it.

use seawall_wal::checkpoint::{Item, Version};
use seawall_wal::{Epoch, Index, Replay};

use super::model::{State, Written};

#[derive(Debug, Default)]
pub struct Met {
    /// The highest index in the checkpoint, and the rows in it.
    pub base: Version,
    pub rows: State,
    /// In the order of the log.
    pub records: Vec<(Index, Written)>,
}

impl Met {
    pub fn take(&mut self, replay: Replay<'_>) {
        match replay {
            Replay::Base(boundary) => *self = Self { base: boundary.cut, ..Self::default() },
            Replay::Item(Item { space, key, version, value }) => {
                self.rows.insert((space, key.to_vec()), (version, value.to_vec()));
            }
            Replay::Record(r) => self.records.push((r.index, Written::read(r.epoch, &r.record))),
        }
    }

    pub fn last(&self) -> Index {
        self.records.last().map_or(self.base.index, |(index, _)| *index)
    }

    pub fn last_epoch(&self) -> Epoch {
        self.records.last().map_or(self.base.epoch, |(_, record)| record.epoch)
    }

    /// The rows that the whole log makes.
    pub fn state(&self) -> State {
        let mut state = self.rows.clone();
        self.records.iter().for_each(|(index, record)| record.apply(*index, &mut state));
        state
    }
}
