//! Counts of what a look met.

use std::collections::BTreeMap;

use seawall_wal::format::{BATCH_HEADER, BatchHeader};
use seawall_wal::{Replayed, SlotId};

use super::look::Visitor;

#[derive(Default)]
pub(super) struct Tally {
    pub slots: BTreeMap<SlotId, Sum>,
    pub epochs: BTreeMap<u64, Sum>,
    pub all: Sum,
    /// Records in a batch -> how many such batches.
    pub sizes: BTreeMap<u32, u64>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    pub batches: u64,
    pub records: u64,
    pub payload: u64,
    pub bytes: u64,
    pub last: u64,
}

impl Sum {
    fn add(&mut self, header: &BatchHeader) {
        self.batches += 1;
        self.records += u64::from(header.records);
        self.payload += u64::from(header.length);
        self.bytes += header.blocks() as u64;
        self.last = header.last_index().0;
    }

    /// What is neither header nor payload.
    pub fn padding(&self) -> u64 {
        self.bytes - self.payload - self.batches * BATCH_HEADER as u64
    }
}

impl Visitor for Tally {
    fn begin(&mut self) {
        *self = Self::default();
    }

    fn record(&mut self, replayed: &Replayed<'_>) {
        let header = &replayed.batch;
        if replayed.index.0 == header.first_index {
            self.slots.entry(replayed.slot).or_default().add(header);
            self.epochs.entry(header.epoch).or_default().add(header);
            self.all.add(header);
            *self.sizes.entry(header.records).or_default() += 1;
        }
    }
}

/// Smallest, middle and largest of counted numbers.
pub(super) fn spread(sizes: &BTreeMap<u32, u64>) -> Option<(u32, u32, u32)> {
    let half = sizes.values().sum::<u64>().div_ceil(2);
    let mut seen = 0;
    let median = sizes.iter().find(|(_, count)| {
        seen += **count;
        seen >= half
    })?;
    Some((*sizes.keys().next()?, *median.0, *sizes.keys().next_back()?))
}
