//! Where the entries of an index lie, and which keys a span means: of rows and of indexes alike.

use std::ops::Bound;

use seawall::address::{Address, partition_prefix};
use seawall::key::{self, Key, Part};
use seawall::message::declare::Index;
use seawall::message::scan::Span;
use seawall::message::term::RowAt;
use seawall::row::Fields;
use seawall::value::{Value, ValueRef};

use crate::shard::state::{At, Table as Ordered};

/// What of a row stands in an index.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InIndex {
    Key(Key),
    /// It lacks a field, or the index is about other rows.
    Not,
    /// This field holds a value of a kind that no key can have.
    Impossible(String),
}

/// The key that a row has in an index.
pub(super) fn key_of(index: &Index, row: &[u8]) -> InIndex {
    let Ok(fields) = Fields::open(row) else { return InIndex::Not };
    let mut found: Vec<Option<ValueRef<'_>>> = vec![None; index.fields.len()];
    let mut meant = index.only.is_none();
    for (name, value) in fields.flatten() {
        let wanted = index.fields.iter().zip(&mut found).filter(|(field, _)| *field == name);
        wanted.for_each(|(_, place)| *place = Some(value));
        meant |= index.only.as_ref().is_some_and(|(field, values)| field == name && is_among(&value, values));
    }
    let Some(values) = found.into_iter().collect::<Option<Vec<_>>>().filter(|_| meant) else {
        return InIndex::Not;
    };
    let mut parts = Vec::with_capacity(values.len());
    for (value, field) in values.iter().zip(&index.fields) {
        match Part::of(value) {
            Some(part) => parts.push(part),
            None => return InIndex::Impossible(field.clone()),
        }
    }
    InIndex::Key(Key::of(&parts))
}

/// Whether a field holds one of these values: the same value, not only one that is worth as much.
pub(super) fn is_among(value: &ValueRef<'_>, values: &[Value]) -> bool {
    let value = value.to_value();
    values.contains(&value)
}

/// The entry that a row has in an index.
pub(super) fn entry(index: &Index, address: &Address<'_>, row: &[u8]) -> Option<Vec<u8>> {
    let InIndex::Key(key) = key_of(index, row) else { return None };
    let mut entry = Vec::new();
    partition_prefix(address.namespace, address.partition, &mut entry);
    entry.extend_from_slice(key.as_bytes());
    entry.extend_from_slice(address.row);
    Some(entry)
}

/// What is above every key that begins with these bytes: no part of a key begins with ff.
pub fn above(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[0xff]].concat()
}

/// The stored keys of a table's rows: what they begin with, the lowest, and the first above them.
pub fn table_span(namespace: &str, partition: &[u8], table: &str, span: &Span<'_>) -> [Vec<u8>; 3] {
    let mut prefix = Vec::new();
    Address { namespace, partition, table, row: &[] }.stored_key(&mut prefix);
    spanned(prefix, span)
}

/// The same for the entries of an index.
pub fn index_span(namespace: &str, partition: &[u8], span: &Span<'_>) -> [Vec<u8>; 3] {
    let mut prefix = Vec::new();
    partition_prefix(namespace, partition, &mut prefix);
    spanned(prefix, span)
}

/// A key delimits itself, so what begins with a whole key is the key itself, or in an index each of its entries.
fn spanned(prefix: Vec<u8>, span: &Span<'_>) -> [Vec<u8>; 3] {
    let at = |key: &[u8]| [&prefix[..], key].concat();
    let (low, high) = match *span {
        Span::All => (prefix.clone(), above(&prefix)),
        Span::Prefix(tuple) => (at(key::prefix(tuple)), above(&at(key::prefix(tuple)))),
        Span::Range { from, to } => (
            match from {
                Bound::Unbounded => prefix.clone(),
                Bound::Included(key) => at(key),
                Bound::Excluded(key) => above(&at(key)),
            },
            match to {
                Bound::Unbounded => above(&prefix),
                Bound::Included(key) => above(&at(key)),
                Bound::Excluded(key) => at(key),
            },
        ),
    };
    [prefix, low, high]
}

/// Visits the rows of a table in all partitions, also tombstones, and looks at no more than `limit` rows for it:
/// `Ok(false)` if there were more. What is not of the table is jumped over.
pub(super) fn visit<E>(
    rows: &Ordered,
    namespace: &str,
    table: &str,
    limit: usize,
    mut each: impl FnMut(Address<'_>, At<'_>) -> Result<(), E>,
) -> Result<bool, E> {
    let (mut low, mut looked) = (Vec::new(), 0);
    while let Some(first) = rows.first_from(&low) {
        let Some(address) = Address::of_stored_key(first.key) else {
            low = above(first.key);
            continue;
        };
        let [_, from, to] = table_span(address.namespace, address.partition, table, &Span::All);
        let ours = address.namespace == namespace;
        for at in rows.range(&from, if ours { &to } else { &from }) {
            looked += 1;
            if looked > limit {
                return Ok(false);
            }
            let row = at.key.get(from.len()..).unwrap_or_default();
            each(Address { namespace, partition: address.partition, table, row }, at)?;
        }
        looked += 1;
        low.clear();
        partition_prefix(address.namespace, address.partition, &mut low);
        low.push(0xff);
        if looked > limit {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The row that an entry of an index stands for, and its key in the index with the row key behind it.
pub(in crate::shard) fn row_of<'a>(
    entry: &'a [u8],
    prefix: &[u8],
    table: &'a str,
) -> Option<(RowAt<'a>, &'a [u8])> {
    let cursor = entry.get(prefix.len()..)?;
    let (_, key) = key::split(cursor)?;
    Some((RowAt { table, key }, cursor))
}
