//! Records that are whole here and not known to be committed (R8): they wait, outside of the state.

use std::collections::VecDeque;
use std::ops::Range;

use seawall_wal::{Epoch, Index, Record, Validated, record};

use crate::shard::position;
use crate::shard::state::{Coming, State, TOGETHER};

#[derive(Debug, Default)]
pub(in crate::shard) struct Held {
    waiting: VecDeque<Waiting>,
    applied: Index,
    /// Of the newest record that was taken, applied or not.
    last_time_us: i64,
    /// Memory that is used again.
    coming: Vec<Coming>,
}

/// Records of one epoch, one behind the other, as they stand in the log.
#[derive(Debug)]
struct Waiting {
    epoch: Epoch,
    first: u64,
    last: Index,
    bytes: Box<[u8]>,
    /// Where in them.
    records: Range<usize>,
}

impl Held {
    /// The state stands at this index.
    pub fn begin(&mut self, applied: Index, time_us: i64) {
        *self = Self { applied, last_time_us: time_us, ..Self::default() };
    }

    /// A record that was applied elsewhere.
    pub fn saw(&mut self, index: Index, time_us: i64) {
        self.applied = index;
        self.last_time_us = self.last_time_us.max(time_us);
    }

    /// One record that a start found.
    pub fn push(&mut self, epoch: Epoch, index: Index, record: &Record<'_>) {
        let bytes: Box<[u8]> = record.bytes().into();
        let records = 0..bytes.len();
        self.take(Waiting { epoch, first: index.0, last: index, bytes, records });
    }

    /// A whole batch of a leader.
    pub fn push_batch(&mut self, batch: Validated) {
        let (header, records) = (batch.header, batch.payload());
        let (epoch, first, last) = (Epoch(header.epoch), header.first_index, header.last_index());
        self.take(Waiting { epoch, first, last, bytes: batch.bytes, records });
    }

    fn take(&mut self, waiting: Waiting) {
        let newest_us = record::newest_us(&waiting.bytes[waiting.records.clone()]);
        self.last_time_us = self.last_time_us.max(newest_us.unwrap_or(i64::MIN));
        self.waiting.push_back(waiting);
    }

    /// What is committed becomes the state; everything else goes on waiting.
    pub fn apply(&mut self, committed: Index, state: &mut State) {
        while let Some(next) = self.waiting.front() {
            next.apply(&mut self.applied, committed, state, &mut self.coming);
            assert!(self.applied >= next.last.min(committed), "a batch that was whole has all its records");
            if self.applied < next.last {
                return;
            }
            self.waiting.pop_front();
        }
    }

    pub fn applied(&self) -> Index {
        self.applied
    }

    pub fn last_time_us(&self) -> i64 {
        self.last_time_us
    }
}

impl Waiting {
    /// The records behind `applied` that are committed, in groups whose entries look at far memory together.
    fn apply(&self, applied: &mut Index, committed: Index, state: &mut State, coming: &mut Vec<Coming>) {
        let behind = *applied;
        let due = || {
            let all = record::all(&self.bytes[self.records.clone()], self.first);
            all.skip_while(move |(index, _)| *index <= behind)
                .take_while(move |(index, _)| *index <= committed)
        };
        let mut ahead = due().flat_map(|(_, record)| record.entries());
        let mut near = if state.is_live() { 0 } else { usize::MAX }; // a state that is filled looks ahead itself
        for (index, record) in due() {
            assert_eq!(index.0, applied.0 + 1, "records are applied in order");
            for entry in record.entries() {
                if near == 0 {
                    coming.clear();
                    coming.extend(ahead.by_ref().take(TOGETHER).map(|entry| Coming::of_entry(&entry)));
                    state.bring_near(coming.iter());
                    near = coming.len();
                }
                near -= 1;
                state.apply(entry.space, entry.key, entry.value, position(self.epoch, index));
            }
            *applied = index;
        }
    }
}
