//! Records of the log as the changes that a subscriber is told.

use seawall::address::Address;
use seawall::message::term::RowAt;
use seawall::message::watch::{Change, What};
use seawall::{Value, key};
use seawall_wal::format::{BATCH_HEADER, BatchHeader};
use seawall_wal::record::{self, Record};
use seawall_wal::{Entry, Epoch, Index, Log};

use super::Filter;
use crate::params::{STREAM_FRAME_BYTES, STREAM_RECORDS};
use crate::shard::{position, spaces};

/// What was found for a subscriber, and the record that it looks at next.
pub(super) struct Read<'a> {
    pub changes: Vec<Change<'a>>,
    pub next: Index,
}

/// Reads the records from `next` up to `limit` out of whole batches, until there is enough for a frame.
pub(super) fn read<'a>(
    batches: impl Iterator<Item = (&'a BatchHeader, &'a [u8])>,
    filter: &Filter,
    next: Index,
    limit: Index,
) -> Read<'a> {
    let mut read = Read { changes: Vec::new(), next };
    let (mut bytes, mut looked) = (0, 0);
    for (header, batch) in batches {
        let mut rest = batch.get(BATCH_HEADER..BATCH_HEADER + header.length as usize).unwrap_or_default();
        for index in (header.first_index..=header.last_index().0).map(Index) {
            let (record, behind) = record::split(rest).expect("a batch that this log wrote");
            rest = behind;
            if index < read.next {
                continue;
            }
            if index > limit || bytes >= STREAM_FRAME_BYTES || looked >= STREAM_RECORDS {
                return read;
            }
            let all = changes(record, Epoch(header.epoch), index);
            for (_, change) in all.filter(|(namespace, change)| filter.wants(namespace, change)) {
                bytes += size(&change);
                read.changes.push(change);
            }
            looked += 1;
            read.next = Index(index.0 + 1);
        }
    }
    read
}

/// What one record did in a partition, in words.
pub(in crate::shard) struct Words {
    pub time: String,
    pub rows: Vec<String>,
    pub events: Vec<String>,
}

/// The same for a record that is durable and still in the memory tail.
pub(in crate::shard) fn told(log: &Log, namespace: &str, partition: &[u8], index: Index) -> Option<Words> {
    let (record, epoch) = find(log.recent(index)?, index)?;
    let mut words =
        Words { time: Value::Time(record.time_us).to_string(), rows: Vec::new(), events: Vec::new() };
    let here = |(of, change): &(&str, Change<'_>)| *of == namespace && change.partition == partition;
    for (_, change) in changes(record, epoch, index).filter(here) {
        let row = |done: &str, at: RowAt<'_>| format!("{done} {}/{}", at.table, key::display(at.key));
        match change.what {
            What::Put { at, .. } => words.rows.push(row("put", at)),
            What::Deleted { at } => words.rows.push(row("deleted", at)),
            What::Expired { at } => words.rows.push(row("expired", at)),
            What::Event { topic, payload } => {
                words.events.push(format!("{topic} {:?}", String::from_utf8_lossy(payload)));
            }
        }
    }
    Some(words)
}

fn find<'a>(
    batches: impl Iterator<Item = (&'a BatchHeader, &'a [u8])>,
    index: Index,
) -> Option<(Record<'a>, Epoch)> {
    let (header, batch) = { batches }.find(|(header, _)| header.last_index() >= index)?;
    let mut rest = batch.get(BATCH_HEADER..BATCH_HEADER + header.length as usize)?;
    for at in header.first_index..=header.last_index().0 {
        let (record, behind) = record::split(rest).expect("a batch that this log wrote");
        if at == index.0 {
            return Some((record, Epoch(header.epoch)));
        }
        rest = behind;
    }
    None
}

/// All changes of a record with their namespaces, each with its ordinal among them.
fn changes(record: Record<'_>, epoch: Epoch, index: Index) -> impl Iterator<Item = (&str, Change<'_>)> {
    let time_us = record.time_us;
    let told = record.entries().filter(|entry| matches!(entry.space, spaces::ROWS | spaces::EVENTS));
    told.enumerate().filter_map(move |(ordinal, entry)| {
        let (namespace, partition, what) = match entry.space {
            spaces::ROWS => row_change(record, &entry)?,
            _ => event(&entry)?,
        };
        Some((namespace, Change { position: position(epoch, index), ordinal, time_us, partition, what }))
    })
}

/// A row that expires goes right behind its ttl; one that is deleted goes before it.
fn ends(record: Record<'_>, row: &Entry<'_>) -> bool {
    let mut before = None;
    for entry in record.entries() {
        if entry.space == spaces::ROWS && entry.key == row.key {
            break;
        }
        before = Some(entry);
    }
    before.is_some_and(|e| e.space == spaces::TTLS && e.key == row.key && e.value.is_none())
}

fn row_change<'a>(record: Record<'_>, entry: &Entry<'a>) -> Option<(&'a str, &'a [u8], What<'a>)> {
    let Address { namespace, partition, table, row: key } = Address::of_stored_key(entry.key)?;
    let at = RowAt { table, key };
    let what = match entry.value {
        Some(row) => What::Put { at, row },
        None if ends(record, entry) => What::Expired { at },
        None => What::Deleted { at },
    };
    Some((namespace, partition, what))
}

/// As an EVENT writes it: the length of what its partition's stored keys begin with, that, the length of the topic,
/// the topic, the payload.
fn event<'a>(entry: &Entry<'a>) -> Option<(&'a str, &'a [u8], What<'a>)> {
    let (scope, rest) = split_event(entry.value?)?;
    let (len, rest) = rest.split_first()?;
    let (topic, payload) = rest.split_at_checked(usize::from(*len))?;
    let topic = std::str::from_utf8(topic).ok()?;
    let (_, rest) = scope.split_first_chunk::<8>()?;
    let (namespace, partition) = seawall::key::split_name(rest)?;
    Some((namespace, partition, What::Event { topic, payload }))
}

fn split_event(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = value.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))
}

impl Filter {
    fn wants(&self, namespace: &str, change: &Change<'_>) -> bool {
        let of_kind = match change.what {
            What::Put { at, .. } | What::Deleted { at } | What::Expired { at } => {
                self.rows && self.table.as_deref().is_none_or(|table| table == at.table)
            }
            What::Event { topic, .. } => {
                self.events && self.topic.as_deref().is_none_or(|wanted| wanted == topic)
            }
        };
        let of_scope = *self.namespace == *namespace;
        of_kind && of_scope && self.partition.as_deref().is_none_or(|partition| partition == change.partition)
    }
}

fn size(change: &Change<'_>) -> usize {
    let what = match change.what {
        What::Put { at, row } => at.key.len() + row.len(),
        What::Deleted { at } | What::Expired { at } => at.key.len(),
        What::Event { payload, .. } => payload.len(),
    };
    64 + change.partition.len() + what
}
