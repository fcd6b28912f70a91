//! Entries of records as JSON: those of rows decoded, of other spaces as bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seawall::key::{Key, Part};
use seawall::{Row, address};
use seawall_wal::Entry;
use serde_json::{Map, Value as Json, json};

use crate::json;
use crate::shard::spaces;

pub(super) fn json(entry: &Entry<'_>) -> Json {
    match entry.space {
        spaces::ROWS => json!({ "space": "rows", "key": row_key(entry.key), "value": entry.value.map(row) }),
        spaces::EPOCHS => {
            let epoch = entry.key.try_into().ok().map(u64::from_be_bytes);
            let first = entry.value.and_then(|v| v.try_into().ok()).map(u64::from_le_bytes);
            json!({ "space": "epochs", "key": { "epoch": epoch }, "value": { "first_index": first } })
        }
        other => json!({
            "space": other.0,
            "key": bytes(entry.key),
            "value": entry.value.map(bytes),
        }),
    }
}

fn bytes(bytes: &[u8]) -> Json {
    json!({ "b64": STANDARD.encode(bytes) })
}

fn row(encoded: &[u8]) -> Json {
    match Row::decode(encoded) {
        Ok(row) => {
            let fields = row.iter().map(|(name, value)| (name.to_owned(), json::value(value)));
            Json::Object(fields.collect::<Map<String, Json>>())
        }
        Err(_) => bytes(encoded),
    }
}

/// Bytes that are no stored key are shown as bytes.
fn row_key(stored: &[u8]) -> Json {
    let split = || {
        let (hash, rest) = stored.split_at_checked(8)?;
        let (namespace, rest) = text(rest)?;
        let (partition, rest) = key(rest)?;
        let (table, rest) = text(rest)?;
        let (row, rest) = key(rest)?;
        let placed = address::partition_hash(&namespace, partition.as_bytes()).to_be_bytes() == hash;
        (rest.is_empty() && placed).then(|| {
            json!({
                "namespace": namespace,
                "partition": partition.to_string(),
                "table": table,
                "row": row.to_string(),
            })
        })
    };
    split().unwrap_or_else(|| bytes(stored))
}

/// A text on its own is a part without the tuple's end.
fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let len = bytes.iter().position(|byte| *byte == 0)? + 1;
    let (part, rest) = bytes.split_at_checked(len)?;
    let key = Key::from_bytes(&[part, &[0]].concat()).ok()?;
    match key.parts().next()? {
        Part::Text(text) => Some((text.into_owned(), rest)),
        Part::Int(_) | Part::Time(_) | Part::Bytes(_) => None,
    }
}

/// No key begins with another one, so the first that fits is the one.
fn key(bytes: &[u8]) -> Option<(Key, &[u8])> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at + 1);
    ends.take(seawall::limits::KEY_MAX).find_map(|end| {
        let (key, rest) = bytes.split_at_checked(end)?;
        Some((Key::from_bytes(key).ok()?, rest))
    })
}
