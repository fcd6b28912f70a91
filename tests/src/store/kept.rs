//! The log as the node wrote it. Folds take records away; the world keeps each of them as it is handed to the disk.
//!
//! A position is used once (R10), so a record that is written again is the same record. The first record of an epoch
//! ends what was written behind its index before: it was lost.

use std::collections::BTreeMap;

use seawall::map::ShardId;
use seawall_wal::format::{BATCH_HEADER, BatchHeader};
use seawall_wal::recover::Report;
use seawall_wal::{LogId, record};

use crate::check::{Violation, violation};
use crate::history::At;
use crate::world::LINEAGE;
use crate::world::finish::{ReadBack, Whole};

#[derive(Debug, Default)]
pub struct Kept {
    records: Vec<Whole>,
    /// By place in `records`: when a process was told that it is durable, and which.
    durable: BTreeMap<u64, (u64, u32)>,
    /// The newest record of each index, as its place in `records`.
    logs: BTreeMap<ShardId, BTreeMap<u64, u64>>,
    failed: BTreeMap<(ShardId, u32), u64>,
}

/// A record of the final log.
#[derive(Clone, Copy, Debug)]
pub struct Final<'a> {
    pub record: &'a Whole,
    /// When everything up to here was known to be durable.
    pub durable: u64,
    /// When this record was, and by which process.
    pub own: (u64, u32),
}

impl Kept {
    /// What is no batch, holds no record.
    pub fn written(&mut self, shard: ShardId, bytes: &[u8]) -> Vec<u64> {
        let id = LogId { lineage: LINEAGE, shard: shard.0 };
        let mut marks = Vec::new();
        let mut rest = bytes;
        while let Ok(header) = BatchHeader::read_anywhere(rest, &id) {
            let end = BATCH_HEADER + usize::try_from(header.length).expect("a batch is small");
            let mut payload = &rest[BATCH_HEADER..end];
            for index in header.first_index..=header.last_index().0 {
                let (record, behind) = record::split(payload).expect("the node writes whole records");
                payload = behind;
                marks.push(self.keep(shard, Whole::new(At { epoch: header.epoch, index }, &record)));
            }
            rest = &rest[header.blocks()..];
        }
        marks
    }

    fn keep(&mut self, shard: ShardId, record: Whole) -> u64 {
        let log = self.logs.entry(shard).or_default();
        let At { epoch, index } = record.at;
        if let Some(known) = log.get(&index) {
            let other = &self.records[usize::try_from(*known).expect("a place")];
            if other.at.epoch >= epoch {
                return *known;
            }
            log.split_off(&index);
        }
        let place = self.records.len() as u64;
        log.insert(index, place);
        self.records.push(record);
        place
    }

    pub fn durable(&mut self, mark: u64, moment: u64, life: u32) {
        self.durable.entry(mark).or_insert((moment, life));
    }

    pub fn failed(&mut self, shard: ShardId, moment: u64, life: u32) {
        self.failed.entry((shard, life)).or_insert(moment);
    }

    /// Before a recovery reports it made all of the log durable, or knew that it was.
    pub fn recovered(&mut self, shard: ShardId, report: &Report, moment: u64) {
        for (_, place) in self.logs.entry(shard).or_default().range(..=report.last.0) {
            self.durable.entry(*place).or_insert((moment, 0));
        }
    }

    /// When a process first heard of an error of this log.
    pub fn error(&self, shard: ShardId, life: u32) -> Option<u64> {
        self.failed.get(&(shard, life)).copied()
    }

    /// The final log, all of it: what a recovery reads back must be its end.
    pub fn finish(&self, shard: ShardId, read: &ReadBack) -> Result<Vec<Final<'_>>, Violation> {
        let cut = read.base.as_ref().map_or(0, |(cut, _)| cut.index);
        let end = read.records.last().map_or(cut, |last| last.at.index);
        let none = BTreeMap::new();
        let places = self.logs.get(&shard).unwrap_or(&none).range(..=end);
        let mut log = Vec::new();
        let mut durable = 0;
        for (_, place) in places {
            let record = &self.records[usize::try_from(*place).expect("a place")];
            let own = self.durable.get(place).copied().unwrap_or((u64::MAX, 0));
            durable = own.0.max(durable);
            log.push(Final { record, durable, own });
        }
        let tail = log.iter().skip(usize::try_from(cut).expect("a small log")).map(|last| last.record);
        if log.len() as u64 != end || !tail.eq(&read.records) {
            let text = format!("shard {shard} was written up to {} and reads back up to {end}", log.len());
            return violation("I4, a log reads back as it was written", text);
        }
        Ok(log)
    }
}
