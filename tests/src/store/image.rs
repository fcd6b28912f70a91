//! The model as the spaces of a log, written from docs/log-format.md and the notes of `node::shard::spaces`: what a
//! record and a checkpoint must hold, byte for byte.

use std::collections::BTreeMap;

use seawall::address::{DEFAULT_NAMESPACE, partition_prefix};
use seawall_node::shard::spaces::{EPOCHS, EVENTS, HORIZON, LEASES, OUTCOMES, ROWS, STREAMS, TABLES, TTLS};
use seawall_wal::Space;

use super::judge::encoded;
use super::model::{Lease, Model, Yes};
use crate::check::{Violation, violation};
use crate::world::finish::{Held, Whole};

/// By space and key.
type Entries = BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>>;

fn lease(lease: &Lease) -> Vec<u8> {
    let Lease { token, ends } = lease;
    [token.epoch.0.to_le_bytes(), token.index.0.to_le_bytes(), ends.to_le_bytes()].concat()
}

fn event(partition: &[u8], topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::new();
    partition_prefix(DEFAULT_NAMESPACE, partition, &mut prefix);
    let len = u16::try_from(prefix.len()).expect("short").to_le_bytes();
    [&len, &prefix[..], &[u8::try_from(topic.len()).expect("short")], topic.as_bytes(), payload].concat()
}

/// The record of a commit changes what the commit changes, and nothing else.
pub fn record_holds(model: &Model, yes: &Yes, partition: &[u8], record: &Whole) -> Result<(), Violation> {
    let mut expected = Entries::new();
    let mut expect = |space: Space, key: &[u8], value: Option<Vec<u8>>| {
        expected.insert((space.0, key.to_vec()), value);
    };
    for (place, held) in &yes.rows {
        expect(ROWS, place, held.as_ref().map(|held| encoded(&held.row)));
        let before = model.rows.get(place).and_then(|held| held.ends);
        let after = held.as_ref().and_then(|held| held.ends);
        let written = record.entries.iter().any(|(space, key, _)| *space == TTLS && key == place);
        // An end that stays may be written again.
        if before != after || (written && after.is_some()) {
            expect(TTLS, place, after.map(|us| us.to_le_bytes().to_vec()));
        }
    }
    yes.leases.iter().for_each(|(place, held)| expect(LEASES, place, held.as_ref().map(lease)));
    yes.streams.iter().for_each(|(place, last)| expect(STREAMS, place, Some(last.to_le_bytes().to_vec())));
    for (nth, (topic, payload)) in &yes.events {
        let ordinal = u16::try_from(*nth).expect("few operations").to_be_bytes();
        expect(EVENTS, &ordinal, Some(event(partition, topic, payload)));
    }
    let told = record.entries.iter().filter(|(space, ..)| *space != OUTCOMES);
    let found: Entries = told.map(|(space, key, value)| ((space.0, key.clone()), value.clone())).collect();
    if found == expected {
        return Ok(());
    }
    violation("a commit writes what the protocol says", format!("{}: {found:?} for {expected:?}", record.at))
}

/// A checkpoint is the state of its cut. Of events it keeps what means nothing, of outcomes the keys are compared.
pub fn checkpoint_holds(model: &Model, held: &[Held]) -> bool {
    let mut expected = Entries::new();
    let mut expect = |space: Space, key: &[u8], value: Vec<u8>| {
        expected.insert((space.0, key.to_vec()), Some(value));
    };
    for (place, row) in &model.rows {
        expect(ROWS, place, encoded(&row.row));
        row.ends.into_iter().for_each(|us| expect(TTLS, place, us.to_le_bytes().to_vec()));
    }
    model.leases.iter().for_each(|(place, held)| expect(LEASES, place, lease(held)));
    model.streams.iter().for_each(|(place, last)| expect(STREAMS, place, last.to_le_bytes().to_vec()));
    model.epochs.iter().for_each(|(epoch, first)| {
        expect(EPOCHS, &epoch.to_be_bytes(), first.to_le_bytes().to_vec());
    });
    model.horizon.iter().for_each(|us| expect(HORIZON, &[], us.to_le_bytes().to_vec()));
    for (name, table) in &model.tables {
        let value = [&table.version.to_le_bytes()[..], &table.bytes].concat();
        expect(TABLES, &table_key(name), value);
    }
    let compared = held.iter().filter(|held| ![EVENTS, OUTCOMES].contains(&held.space));
    let found: Entries =
        compared.map(|held| ((held.space.0, held.key.clone()), Some(held.value.clone()))).collect();
    let versions = held.iter().filter(|held| held.space == ROWS).map(|held| (&held.key, held.at));
    let keys = held.iter().filter(|held| held.space == OUTCOMES).map(|held| &held.key);
    found == expected
        && versions.eq(model.rows.iter().map(|(place, row)| (place, row.at)))
        && keys.eq(model.outcomes.keys())
}

pub fn table_key(name: &str) -> Vec<u8> {
    [DEFAULT_NAMESPACE.as_bytes(), &[0], name.as_bytes()].concat()
}
