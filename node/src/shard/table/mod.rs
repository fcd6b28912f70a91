//! What tables promise, and the indexes that they keep.
//!
//! Declarations are logged in a space of their own, versioned, one per table and namespace. The evaluator of commits
//! asks [`Tables::check`] between evaluation and append; [`State::apply`](super::state::State::apply) calls
//! [`Tables::row_changed`] for every change, so an index follows its rows in the same record.

mod check;
mod declare;
mod index;
mod promises;

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall::address::Address;
use seawall::message::declare::Declaration;
use seawall::message::term::Ttl;
use seawall::position::{Index, Position};

use super::state::Table as Ordered;
pub use check::{Change, Rejection};
pub(super) use index::{above, index_span, row_of, table_span};

/// All declared tables, by namespace and name.
#[derive(Debug, Default)]
pub struct Tables {
    namespaces: BTreeMap<String, BTreeMap<String, Table>>,
}

#[derive(Debug)]
pub struct Table {
    pub declared: Declared,
    /// By name; `hash, namespace, partition, key of the index, row key -> nothing`.
    indexes: BTreeMap<String, Ordered>,
}

/// A declaration as it was accepted.
#[derive(Debug)]
pub struct Declared {
    pub version: u64,
    /// The record that it stands in.
    pub position: Position,
    /// As it came.
    pub bytes: Arc<[u8]>,
    pub promises: Declaration,
}

/// The key of a declaration in the log. Names have no 0 in them.
pub fn table_key(namespace: &str, table: &str) -> Vec<u8> {
    [namespace.as_bytes(), table.as_bytes()].join(&0)
}

/// The value of a declaration in the log.
pub fn table_value(version: u64, declaration: &[u8]) -> Vec<u8> {
    [&version.to_le_bytes(), declaration].concat()
}

impl Declared {
    /// The inverse of [`table_value`].
    pub fn read(value: &[u8], position: Position) -> Option<Self> {
        let (version, bytes) = value.split_first_chunk::<8>()?;
        let promises = Declaration::decode(bytes).ok()?;
        Some(Self { version: u64::from_le_bytes(*version), position, bytes: Arc::from(bytes), promises })
    }
}

impl Tables {
    /// Nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// Bytes that the indexes take, about.
    pub fn memory(&self) -> usize {
        self.all().flat_map(|table| table.indexes.values()).map(Ordered::memory).sum()
    }

    /// The most indexes that any table has.
    pub fn most_indexes(&self) -> usize {
        self.all().map(|table| table.declared.promises.indexes.len()).max().unwrap_or(0)
    }

    fn all(&self) -> impl Iterator<Item = &Table> {
        self.namespaces.values().flat_map(BTreeMap::values)
    }

    pub fn get(&self, namespace: &str, table: &str) -> Option<&Table> {
        self.namespaces.get(namespace)?.get(table)
    }

    /// How long a row lives that is put without a ttl of its own.
    pub fn default_ttl(&self, namespace: &str, table: &str) -> Option<Ttl> {
        self.get(namespace, table)?.declared.promises.default_ttl
    }

    /// Takes a declaration over; `key` is its [`table_key`].
    pub(super) fn declare(&mut self, key: &[u8], declared: Declared) {
        let Some((namespace, table)) = names(key) else { return };
        // An index of no rows is one, too.
        let names = declared.promises.indexes.keys().cloned();
        let indexes = names.map(|name| (name, Ordered::default())).collect();
        let tables = self.namespaces.entry(namespace.to_owned()).or_default();
        tables.insert(table.to_owned(), Table { declared, indexes });
    }

    /// Makes the indexes of one table anew.
    pub(super) fn index(&mut self, key: &[u8], rows: &Ordered) {
        let Some((namespace, name)) = names(key) else { return };
        let Some(table) = self.namespaces.get_mut(namespace).and_then(|tables| tables.get_mut(name)) else {
            return;
        };
        table.indexes.values_mut().for_each(|entries| *entries = Ordered::default());
        // Whoever declares waits for few rows; so this ends soon.
        let _ = index::visit(rows, namespace, name, usize::MAX, |address, at| {
            table.row_changed(&address, None, at.bytes, at.version);
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// Makes all indexes, of rows that are all there.
    pub(super) fn index_all(&mut self, rows: &Ordered) {
        if self.most_indexes() == 0 {
            return;
        }
        for at in rows.range(&[], &[0xff; 9]) {
            self.row_changed(at.key, None, at.bytes, at.version);
        }
    }

    /// The row at a stored key was `old` and is `new` from the record at `version` on.
    pub(super) fn row_changed(
        &mut self,
        key: &[u8],
        old: Option<&[u8]>,
        new: Option<&[u8]>,
        version: Position,
    ) {
        if self.namespaces.is_empty() {
            return;
        }
        let Some(address) = Address::of_stored_key(key) else { return };
        let tables = self.namespaces.get_mut(address.namespace);
        if let Some(table) = tables.and_then(|tables| tables.get_mut(address.table)) {
            table.row_changed(&address, old, new, version);
        }
    }

    pub(super) fn bury(&mut self, committed: Index) {
        let tables = self.namespaces.values_mut().flat_map(BTreeMap::values_mut);
        tables.flat_map(|table| table.indexes.values_mut()).for_each(|index| index.bury(committed));
    }
}

impl Table {
    /// The entries of an index; `None`: no such index is declared.
    pub fn entries(&self, index: &str) -> Option<&Ordered> {
        self.indexes.get(index)
    }

    fn row_changed(
        &mut self,
        address: &Address<'_>,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
        version: Position,
    ) {
        for (name, definition) in &self.declared.promises.indexes {
            let entry = |row: Option<&[u8]>| row.and_then(|row| index::entry(definition, address, row));
            let (old, new) = (entry(old), entry(new));
            let Some(entries) = self.indexes.get_mut(name).filter(|_| old != new) else { continue };
            if let Some(old) = old {
                entries.set(&old, None, version);
            }
            if let Some(new) = new {
                entries.set(&new, Some(&[]), version);
            }
        }
    }
}

fn names(key: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(key).ok()?.split_once('\0')
}
