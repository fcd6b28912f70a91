//! Every record that any member handed to its disk. Folds take records away; here they stay, so that at the end whole
//! logs are compared, and each checkpoint with the records that it stands for (I7).

use std::collections::BTreeMap;

use seawall_node::shard::spaces::EPOCHS;
use seawall_wal::checkpoint::Folded;
use seawall_wal::format::{BATCH_HEADER, BatchHeader};
use seawall_wal::{LogId, Space, record};

use super::SHARD;
use crate::check::{Violation, violation};
use crate::history::At;
use crate::world::LINEAGE;
use crate::world::finish::{Held, ReadBack, Whole};

#[derive(Debug, Default)]
pub struct Written {
    records: BTreeMap<At, Whole>,
    /// Of each checkpoint that anybody made or took over: by its last index and its last segment.
    digests: BTreeMap<(u64, u64), u128>,
}

impl Written {
    /// I6: a position names one record, whoever writes it. Whether all of it is whole: what is not may be anything, and must
    /// not be acknowledged.
    pub fn saw(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        let id = LogId { lineage: LINEAGE, shard: SHARD.0 };
        let (mut rest, mut whole) = (bytes, true);
        while let Ok(header) = BatchHeader::read_anywhere(rest, &id) {
            let end = BATCH_HEADER + usize::try_from(header.length).expect("a batch is small");
            let mut payload = &rest[BATCH_HEADER..end];
            if crc32c::crc32c(payload) != header.payload_crc {
                (rest, whole) = (&rest[header.blocks()..], false);
                continue;
            }
            for index in header.first_index..=header.last_index().0 {
                let (record, behind) = record::split(payload).expect("members write whole records");
                payload = behind;
                let read = Whole::new(At { epoch: header.epoch, index }, &record);
                if *self.records.entry(read.at).or_insert_with(|| read.clone()) != read {
                    return violation("I6, a position names one record", format!("{}", read.at));
                }
            }
            rest = &rest[header.blocks()..];
        }
        Ok(whole)
    }

    /// I7: who folds up to the same place makes the same bytes.
    pub fn folded(&mut self, folded: &Folded) -> Result<(), Violation> {
        let place = (folded.boundary.cut.index.0, folded.boundary.incarnation.0);
        let digest = folded.finished.digest;
        match *self.digests.entry(place).or_insert(digest) == digest {
            true => Ok(()),
            false => violation("I7, equal checkpoints are equal", format!("{place:?}")),
        }
    }

    /// A log from its first record on: what a recovery read back, behind what its checkpoint stands for.
    pub fn whole_log(&self, read: &ReadBack) -> Result<Vec<Whole>, Violation> {
        let Some((cut, held)) = &read.base else { return Ok(read.records.clone()) };
        let number = |bytes: &[u8]| bytes.try_into().expect("eight bytes");
        let epochs: Vec<(u64, u64)> = held
            .iter()
            .filter(|item| item.space == EPOCHS)
            .map(|item| (u64::from_le_bytes(number(&item.value)), u64::from_be_bytes(number(&item.key))))
            .collect();
        let mut log = Vec::new();
        let mut state = BTreeMap::new();
        for index in 1..=cut.index {
            let epoch = epochs.iter().filter(|(first, _)| *first <= index).map(|(_, epoch)| *epoch).max();
            let at = At { epoch: epoch.unwrap_or_default(), index };
            let Some(whole) = self.records.get(&at) else {
                return violation("I7, a checkpoint stands for records", format!("nobody wrote {at}"));
            };
            for (space, key, value) in &whole.entries {
                match value {
                    Some(value) => state.insert((*space, key.clone()), (at, value.clone())),
                    None => state.remove(&(*space, key.clone())),
                };
            }
            log.push(whole.clone());
        }
        let entry = |item: &Held| ((item.space, item.key.clone()), (item.at, item.value.clone()));
        let checkpoint: BTreeMap<(Space, Vec<u8>), (At, Vec<u8>)> = held.iter().map(entry).collect();
        if checkpoint != state {
            let text = format!("the checkpoint at {cut} and the records up to there make two states");
            return violation("I7, a checkpoint is the state of its records", text);
        }
        log.extend(read.records.iter().cloned());
        Ok(log)
    }
}
