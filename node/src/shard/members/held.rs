//! Records that are whole here and not known to be committed (R8): they wait, outside of the state.

use std::collections::VecDeque;

use seawall::position::Position;
use seawall_wal::{Index, Record, Space};

use crate::shard::position;
use crate::shard::state::State;

#[derive(Debug, Default)]
pub(in crate::shard) struct Held {
    records: VecDeque<Waiting>,
    applied: Index,
    /// Of the newest record that was taken, applied or not.
    last_time_us: i64,
}

#[derive(Debug)]
struct Waiting {
    version: Position,
    entries: Box<[Entry]>,
}

#[derive(Debug)]
struct Entry {
    space: Space,
    key: Box<[u8]>,
    value: Option<Box<[u8]>>,
}

impl Held {
    /// The state stands at this index.
    pub fn begin(&mut self, applied: Index, time_us: i64) {
        *self = Self { records: VecDeque::new(), applied, last_time_us: time_us };
    }

    /// A record that was applied elsewhere.
    pub fn saw(&mut self, index: Index, time_us: i64) {
        self.applied = index;
        self.last_time_us = self.last_time_us.max(time_us);
    }

    pub fn push(&mut self, epoch: seawall_wal::Epoch, index: Index, record: &Record<'_>) {
        let owned = |entry: seawall_wal::Entry<'_>| Entry {
            space: entry.space,
            key: entry.key.into(),
            value: entry.value.map(Into::into),
        };
        self.last_time_us = self.last_time_us.max(record.time_us);
        let version = position(epoch, index);
        self.records.push_back(Waiting { version, entries: record.entries().map(owned).collect() });
    }

    /// What is committed becomes the state; everything else goes on waiting.
    pub fn apply(&mut self, committed: Index, state: &mut State) {
        while let Some(Waiting { version, entries }) =
            self.records.pop_front_if(|waiting| waiting.version.index.0 <= committed.0)
        {
            assert_eq!(version.index.0, self.applied.0 + 1, "records are applied in order");
            for entry in &entries {
                state.apply(entry.space, &entry.key, entry.value.as_deref(), version);
            }
            self.applied = Index(version.index.0);
        }
    }

    pub fn applied(&self) -> Index {
        self.applied
    }

    pub fn last_time_us(&self) -> i64 {
        self.last_time_us
    }
}
