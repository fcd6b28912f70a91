//! What declared tables promise, on whole maps of rows, and the pages of scans: docs/protocol.md a second time.

use std::collections::BTreeMap;
use std::ops::Bound;

use seawall::address::{Address, DEFAULT_NAMESPACE};
use seawall::key::{self, Part};
use seawall::message::declare::{Declaration, Index, Kind, SumZero};
use seawall::message::scan::Order;
use seawall::{Code, Key, Row, Value};

use super::super::history::{Keys, Scan};
use super::{Held, Model, No, Place, Turn, Why};
use crate::history::At;

/// A table as it is declared.
#[derive(Clone, Debug)]
pub struct Table {
    pub version: u64,
    pub bytes: Vec<u8>,
    pub promises: Declaration,
}

/// A row in the order of a scan: where it stands there, its key, its version, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub place: Vec<u8>,
    pub key: Vec<u8>,
    pub at: At,
    pub row: Row,
}

/// One row that a commit changes.
struct Changed<'a> {
    place: &'a Place,
    table: &'a str,
    ordinal: usize,
    before: Option<&'a Row>,
    after: Option<&'a Row>,
}

fn address(place: &Place) -> Address<'_> {
    Address::of_stored_key(place).expect("a key that the model made")
}

fn named(place: &Place) -> String {
    let Address { table, row, .. } = address(place);
    format!("{table}/{}", key::display(row))
}

/// The key of a row in an index, if it has one: `Err` if the value is of a kind that no key can have.
fn key_in(index: &Index, row: &Row) -> Result<Option<Key>, ()> {
    let meant = |(field, values): &(String, Vec<Value>)| row.get(field).is_some_and(|v| values.contains(v));
    if !index.only.as_ref().is_none_or(meant) {
        return Ok(None);
    }
    let values: Option<Vec<_>> = index.fields.iter().map(|field| row.get(field)).collect();
    let Some(values) = values else { return Ok(None) };
    let parts: Vec<Part<'_>> = values.into_iter().map(part).collect::<Result<_, ()>>()?;
    Ok(Some(Key::of(&parts)))
}

fn part(value: &Value) -> Result<Part<'_>, ()> {
    match value {
        Value::Int(number) => Ok(Part::Int(*number)),
        Value::Time(us) => Ok(Part::Time(*us)),
        Value::Text(text) => Ok(Part::from(text.as_str())),
        Value::Bytes(bytes) => Ok(Part::from(bytes.as_slice())),
        Value::Bool(_) | Value::Decimal { .. } | Value::Set(_) => Err(()),
    }
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Bool(_) => Kind::Bool,
        Value::Int(_) => Kind::Int,
        Value::Decimal { .. } => Kind::Decimal,
        Value::Time(_) => Kind::Time,
        Value::Text(_) => Kind::Text,
        Value::Bytes(_) => Kind::Bytes,
        Value::Set(_) => Kind::Set,
    }
}

/// Whether a table may have this row, whatever was there before.
fn fits(promises: &Declaration, row: &Row) -> bool {
    let declared = |(name, value): (&str, &Value)| match promises.fields.get(name) {
        Some(field) => kind(value) == field.kind,
        None => !promises.strict,
    };
    let required = |(name, field): (&String, &seawall::message::declare::Field)| {
        !field.required || row.get(name).is_some()
    };
    row.iter().all(declared)
        && promises.fields.iter().all(required)
        && promises.indexes.values().all(|index| key_in(index, row).is_ok())
}

/// Whether each state of a row that is there is one that the table knows.
fn in_known_states(promises: &Declaration, row: &Row) -> bool {
    promises.transitions.iter().all(|(field, of)| {
        let known = |state: &Value| {
            of.initial.contains(state) || of.allowed.iter().any(|(from, to)| from == state || to == state)
        };
        row.get(field).is_none_or(known)
    })
}

fn follows(promises: &Declaration, before: Option<&Row>, after: &Row) -> bool {
    promises.transitions.iter().all(|(field, of)| {
        match (before.and_then(|row| row.get(field)), after.get(field)) {
            (None, None) => true,
            (None, Some(first)) => of.initial.contains(first),
            (Some(old), Some(new)) => old == new || of.allowed.contains(&(old.clone(), new.clone())),
            (Some(_), None) => false,
        }
    })
}

impl Turn<'_> {
    /// Every promise of a table that the commit would break, and where: one of them is what is said.
    pub(super) fn broken(&self) -> Vec<Why> {
        let mut whys = Vec::new();
        let changed: Vec<_> = self
            .yes
            .rows
            .iter()
            .filter_map(|(place, after)| {
                let before = self.model.rows.get(place).map(|held| &held.row);
                let after = after.as_ref().map(|held| &held.row);
                let ordinal = self.last.get(place).copied().expect("an operation changed it");
                let table = address(place).table;
                (before != after).then_some(Changed { place, table, ordinal, before, after })
            })
            .collect();
        for change in &changed {
            let Some(table) = self.model.tables.get(change.table) else { continue };
            let promises = &table.promises;
            let mut says = |code| whys.push(Why::of(No::Op(change.ordinal, code)));
            if promises.append_only && change.before.is_some() {
                says(Code::Constraint);
            }
            let Some(after) = change.after else { continue };
            if !fits(promises, after) {
                says(Code::Constraint);
            }
            if !follows(promises, change.before, after) {
                says(Code::InvalidTransition);
            }
            for index in promises.indexes.values().filter(|index| index.unique) {
                let holders = self.holders(change, index);
                if !holders.is_empty() {
                    whys.push(Why { no: No::Op(change.ordinal, Code::Constraint), holders });
                }
            }
            for sum in &promises.sums {
                if !balanced(sum, change, &changed) {
                    whys.push(Why::of(No::Op(change.ordinal, Code::Constraint)));
                }
            }
        }
        whys
    }

    /// The other rows that would have the key of this one in a unique index.
    fn holders(&self, change: &Changed<'_>, index: &Index) -> Vec<String> {
        let Some(Ok(Some(key))) = change.after.map(|row| key_in(index, row)) else { return Vec::new() };
        let mut rows: BTreeMap<&Place, &Row> =
            self.model.rows.iter().map(|(place, held)| (place, &held.row)).collect();
        for (place, after) in &self.yes.rows {
            match after {
                Some(held) => rows.insert(place, &held.row),
                None => rows.remove(place),
            };
        }
        let ours = address(change.place);
        let others = rows.into_iter().filter(|(place, row)| {
            let theirs = address(place);
            (theirs.partition, theirs.table) == (ours.partition, ours.table)
                && theirs.row != ours.row
                && key_in(index, row) == Ok(Some(key.clone()))
        });
        others.map(|(place, _)| named(place)).collect()
    }
}

/// Whether what the commit puts beside this row adds up to zero, in thousandths.
fn balanced(sum: &SumZero, change: &Changed<'_>, all: &[Changed<'_>]) -> bool {
    let group = |row: &Row| sum.per.as_ref().and_then(|per| row.get(per).cloned());
    let Some(ours) = change.after.filter(|row| row.get(&sum.field).is_some()).map(group) else { return true };
    let rows = all.iter().filter(|other| other.table == change.table).filter_map(|other| other.after);
    let mut total = 0;
    for value in rows.filter(|row| group(row) == ours).filter_map(|row| row.get(&sum.field)) {
        total += match value {
            Value::Int(number) => number * 1_000,
            Value::Decimal { mantissa, scale } => mantissa * 10i128.pow(u32::from(3 - scale)),
            _ => return false,
        };
    }
    total == 0
}

impl Model {
    /// Rows of a table that a declaration does not fit, by their partition and key.
    pub fn offenders(&self, table: &str, promises: &Declaration) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|(place, held)| (address(place), &held.row))
            .filter(|(at, _)| at.table == table)
            .collect();
        let doubles = |at: &Address<'_>, row: &Row| {
            promises.indexes.values().filter(|index| index.unique).any(|index| {
                let Ok(Some(key)) = key_in(index, row) else { return false };
                let same = |(other, theirs): &&(Address<'_>, &Row)| {
                    other.partition == at.partition
                        && other.row != at.row
                        && key_in(index, theirs) == Ok(Some(key.clone()))
                };
                rows.iter().any(|other| same(&other))
            })
        };
        let offends = |(at, row): &&(Address<'_>, &Row)| {
            !fits(promises, row) || !in_known_states(promises, row) || doubles(at, row)
        };
        let named = |(at, _): &(Address<'_>, &Row)| (at.partition.to_vec(), at.row.to_vec());
        rows.iter().filter(offends).map(named).collect()
    }

    /// All rows that a scan means, in its order, from its beginning; `None`: there is no such index.
    pub fn lines(&self, scan: &Scan) -> Option<Vec<Line>> {
        let index = match &scan.index {
            None => None,
            Some(name) => Some(self.tables.get(&scan.table)?.promises.indexes.get(name)?),
        };
        let mut begins = Vec::new();
        let (namespace, partition, table) =
            (DEFAULT_NAMESPACE, scan.partition.as_bytes(), scan.table.as_str());
        Address { namespace, partition, table, row: &[] }.stored_key(&mut begins);
        let line = |(place, held): (&Place, &Held)| {
            let row_key = place.strip_prefix(begins.as_slice())?.to_vec();
            let key = match index {
                None => Key::from_bytes(&row_key).expect("a key of ours"),
                Some(index) => key_in(index, &held.row).ok()??,
            };
            let tail = if index.is_some() { row_key.as_slice() } else { &[] };
            let place = [key.as_bytes(), tail].concat();
            means(&scan.keys, &key).then(|| Line { place, key: row_key, at: held.at, row: held.row.clone() })
        };
        let mut lines: Vec<Line> = self.rows.iter().filter_map(line).collect();
        lines.sort_by(|left, right| left.place.cmp(&right.place));
        if scan.order == Order::Descending {
            lines.reverse();
        }
        Some(lines)
    }
}

fn means(keys: &Keys, key: &Key) -> bool {
    match keys {
        Keys::All => true,
        Keys::Prefix(tuple) => {
            key.parts().count() >= tuple.parts().count()
                && key.parts().zip(tuple.parts()).all(|(a, b)| a == b)
        }
        Keys::Range(from, to) => {
            let above = match from {
                Bound::Unbounded => true,
                Bound::Included(from) => key >= from,
                Bound::Excluded(from) => key > from,
            };
            above
                && match to {
                    Bound::Unbounded => true,
                    Bound::Included(to) => key <= to,
                    Bound::Excluded(to) => key < to,
                }
        }
    }
}
