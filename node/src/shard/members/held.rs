//! Records that are whole here and not known to be committed (R8): they wait, outside of the state.

use std::collections::VecDeque;
use std::ops::Range;

use seawall_wal::{Epoch, Index, Record, Validated, record};

use crate::shard::position;
use crate::shard::state::State;

#[derive(Debug, Default)]
pub(in crate::shard) struct Held {
    waiting: VecDeque<Waiting>,
    applied: Index,
    /// Of the newest record that was taken, applied or not.
    last_time_us: i64,
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
        *self = Self { waiting: VecDeque::new(), applied, last_time_us: time_us };
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
        while let Some(Waiting { epoch, first, last, bytes, records }) = self.waiting.front() {
            for (index, record) in record::all(&bytes[records.clone()], *first) {
                match index {
                    _ if index <= self.applied => continue, // the part of a batch that was committed before
                    _ if index > committed => return,
                    _ => assert_eq!(index.0, self.applied.0 + 1, "records are applied in order"),
                }
                for entry in record.entries() {
                    state.apply(entry.space, entry.key, entry.value, position(*epoch, index));
                }
                self.applied = index;
            }
            assert!(self.applied >= *last, "a batch that was whole has all its records");
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
