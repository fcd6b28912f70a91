//! What a commit may do to declared tables.

use std::collections::BTreeMap;

use seawall::address::partition_prefix;
use seawall::limits::KEY_MAX;
use seawall::message::declare::{Declaration, Kind, SumZero, Transitions};
use seawall::message::read::Found;
use seawall::message::term::RowAt;
use seawall::number;
use seawall::position::Position;
use seawall::refusal::Refusal;
use seawall::row::Fields;
use seawall::value::ValueRef;
use seawall::{Key, Value, key};

use super::index::{self, InIndex, above};
use super::{Table, Tables};

/// What a commit makes of one row, all its operations together. A row that it leaves as it was is none.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The last operation that touched the row.
    pub ordinal: usize,
    pub at: RowAt<'a>,
    pub before: Option<Found<'a>>,
    pub after: Option<&'a [u8]>,
}

/// A commit that a declaration does not allow.
#[derive(Clone, Debug)]
pub struct Rejection {
    pub refusal: Refusal,
    /// The last record that changed what was looked at: the answer waits for it (R20).
    pub rests_on: Position,
    /// Table and key of the row that it is about, to be shown to whoever asked for rows.
    pub about: Option<(String, Vec<u8>)>,
}

/// What is broken, by which operation, and the key of the other row that it is about.
type Offence = Box<(Broken, usize, Option<Vec<u8>>)>;

/// A promise that a row breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Constraint { rule: &'static str, expected: String, observed: String },
    Transition { field: String, allowed: String, from: String, to: String },
}

impl Broken {
    fn of(rule: &'static str, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::Constraint { rule, expected: expected.into(), observed: observed.into() }
    }

    fn refusal(self, ordinal: usize) -> Refusal {
        match self {
            Self::Constraint { rule, expected, observed } => {
                Refusal::constraint(ordinal, rule, expected, observed)
            }
            Self::Transition { field, allowed, from, to } => {
                Refusal::invalid_transition(ordinal, &field, allowed, from, to)
            }
        }
    }
}

impl Tables {
    /// Whether the declarations allow what a commit makes of the rows of its partition: each row at most once. The
    /// first change that breaks a promise is named. To be asked between evaluation and append.
    pub fn check(&self, namespace: &str, partition: &[u8], changes: &[Change<'_>]) -> Result<(), Rejection> {
        for change in changes {
            let Some(table) = self.get(namespace, change.at.table) else { continue };
            table.allows(change).map_err(|broken| {
                let before = change.before.map_or(Position::default(), |before| before.version);
                let rests_on = before.max(table.declared.position);
                let about = Some((change.at.table.to_owned(), change.at.key.to_owned()));
                Rejection { refusal: broken.refusal(change.ordinal), rests_on, about }
            })?;
        }
        let mut touched: Vec<&str> = changes.iter().map(|change| change.at.table).collect();
        touched.sort_unstable();
        touched.dedup();
        for name in touched {
            if let Some(table) = self.get(namespace, name) {
                let of_table: Vec<_> = changes.iter().filter(|change| change.at.table == name).collect();
                let mut looked = table.declared.position;
                let kept = table.keeps_unique(namespace, partition, &of_table, &mut looked);
                let broken = kept.and_then(|()| table.keeps_sums(&of_table)).err();
                if let Some((broken, ordinal, holder)) = broken.map(|offence| *offence) {
                    let about = holder.map(|holder| (name.to_owned(), holder));
                    return Err(Rejection { refusal: broken.refusal(ordinal), rests_on: looked, about });
                }
            }
        }
        Ok(())
    }
}

impl Table {
    /// What one row alone can break.
    fn allows(&self, change: &Change<'_>) -> Result<(), Broken> {
        let promises = &self.declared.promises;
        if let (true, Some(before)) = (promises.append_only, change.before) {
            let observed = format!("{} from {}", change.at.table, before.version);
            return Err(Broken::of("table.append_only", "rows that are never changed or deleted", observed));
        }
        let Some(after) = change.after else { return Ok(()) };
        fits(promises, after)?;
        for (field, transitions) in &promises.transitions {
            let before = change.before.and_then(|before| value_of(before.row, field));
            follows(field, transitions, before, value_of(after, field))?;
        }
        Ok(())
    }

    /// No two rows of the partition have the same key in a unique index. `looked` becomes the newest change of all
    /// that was looked at: that a key is free may be as new as that another one is taken.
    fn keeps_unique(
        &self,
        namespace: &str,
        partition: &[u8],
        changes: &[&Change<'_>],
        looked: &mut Position,
    ) -> Result<(), Offence> {
        for (name, definition) in &self.declared.promises.indexes {
            if !definition.unique {
                continue;
            }
            let mut taken: BTreeMap<Key, RowAt<'_>> = BTreeMap::new();
            for change in changes {
                let Some(InIndex::Key(key)) = change.after.map(|row| index::key_of(definition, row)) else {
                    continue;
                };
                let holder = self.holder(name, namespace, partition, &key, changes, looked);
                let holder = holder.or_else(|| taken.get(&key).map(|other| other.key.to_vec()));
                if let Some(holder) = holder {
                    let expected = format!("one row with each key in {name}");
                    let observed =
                        format!("{key} twice: {}/{} has it", change.at.table, key::display(&holder));
                    let broken = Broken::of("table.unique", expected, observed);
                    return Err(Box::new((broken, change.ordinal, Some(holder))));
                }
                taken.insert(key, change.at);
            }
        }
        Ok(())
    }

    /// Another row that has this key in the index, and keeps it through the commit.
    fn holder(
        &self,
        index: &str,
        namespace: &str,
        partition: &[u8],
        key: &Key,
        changes: &[&Change<'_>],
        looked: &mut Position,
    ) -> Option<Vec<u8>> {
        let mut low = Vec::new();
        partition_prefix(namespace, partition, &mut low);
        low.extend_from_slice(key.as_bytes());
        let entries = self.entries(index)?;
        let row = |entry: &[u8]| entry.get(low.len()..).unwrap_or_default().to_vec();
        let mut holder = None;
        for at in entries.range(&low, &above(&low)) {
            *looked = at.version.max(*looked);
            let stays = |row: &Vec<u8>| !changes.iter().any(|change| change.at.key == row.as_slice());
            holder = holder.or_else(|| at.bytes.map(|_| row(at.key)).filter(stays));
        }
        holder
    }

    /// What must cancel out over the rows that the commit puts does so.
    fn keeps_sums(&self, changes: &[&Change<'_>]) -> Result<(), Offence> {
        let offence = |(broken, ordinal)| Box::new((broken, ordinal, None));
        self.declared.promises.sums.iter().try_for_each(|sum| sums_to_zero(sum, changes).map_err(offence))
    }
}

/// Whether a row, whatever was there before, is one that the table can have.
pub(super) fn fits(promises: &Declaration, row: &[u8]) -> Result<(), Broken> {
    let Ok(fields) = Fields::open(row) else { return Err(Broken::of("table.row", "a row", "other bytes")) };
    for (name, value) in fields.flatten() {
        let kind = Kind::from_u8(value.kind()).map_or("another kind", Kind::name);
        match promises.fields.get(name) {
            Some(declared) if declared.kind as u8 != value.kind() => {
                let expected = format!("{name}: {}", declared.kind.name());
                return Err(Broken::of("table.kind", expected, format!("{name}: {kind}")));
            }
            None if promises.strict => {
                return Err(Broken::of("table.strict", "declared fields only", format!("{name}: {kind}")));
            }
            Some(_) | None => {}
        }
    }
    for (name, field) in &promises.fields {
        if field.required && value_of(row, name).is_none() {
            return Err(Broken::of("table.required", format!("a field {name}"), "none"));
        }
    }
    for (name, definition) in &promises.indexes {
        match index::key_of(definition, row) {
            InIndex::Key(key) if key.as_bytes().len() > KEY_MAX => {
                let (expected, observed) = (KEY_MAX, key.as_bytes().len());
                let expected = format!("a key of at most {expected} bytes in {name}");
                return Err(Broken::of("table.index_key", expected, observed.to_string()));
            }
            InIndex::Impossible(field) => {
                let expected = format!("int, time, text or bytes for the index {name}");
                return Err(Broken::of("table.index_kind", expected, format!("another kind in {field}")));
            }
            InIndex::Key(_) | InIndex::Not => {}
        }
    }
    Ok(())
}

/// Whether a row that is there already is in a state that the table knows.
pub(super) fn in_known_state(promises: &Declaration, row: &[u8]) -> Result<(), Broken> {
    for (field, Transitions { initial, allowed }) in &promises.transitions {
        let Some(state) = value_of(row, field) else { continue };
        let known = index::is_among(&state, initial)
            || allowed.iter().any(|(from, to)| [from, to].into_iter().any(|known| same(&state, known)));
        if !known {
            let expected = format!("{field}: a state that is declared");
            return Err(Broken::of("table.transitions", expected, shown(Some(state))));
        }
    }
    Ok(())
}

fn follows(
    field: &str,
    Transitions { initial, allowed }: &Transitions,
    before: Option<ValueRef<'_>>,
    after: Option<ValueRef<'_>>,
) -> Result<(), Broken> {
    let (fine, expected) = match (before, after) {
        (None, None) => (true, String::new()),
        (None, Some(first)) => (index::is_among(&first, initial), listed(initial.iter())),
        (Some(old), Some(new)) if old == new => (true, String::new()),
        (Some(old), new) => {
            let next = || allowed.iter().filter(|(from, _)| same(&old, from)).map(|(_, to)| to);
            (new.is_some_and(|new| next().any(|to| same(&new, to))), listed(next()))
        }
    };
    if fine {
        return Ok(());
    }
    let (field, allowed) = (field.to_owned(), if expected.is_empty() { "nothing".into() } else { expected });
    Err(Broken::Transition { field, allowed, from: shown(before), to: shown(after) })
}

fn sums_to_zero(sum: &SumZero, changes: &[&Change<'_>]) -> Result<(), (Broken, usize)> {
    let mut groups: BTreeMap<String, (Value, usize)> = BTreeMap::new();
    for change in changes {
        let Some(row) = change.after else { continue };
        let Some(value) = value_of(row, &sum.field) else { continue };
        let group = sum.per.as_ref().map_or(String::new(), |per| shown(value_of(row, per)));
        let entry = groups.entry(group).or_insert((Value::Int(0), change.ordinal));
        let total = match &entry.0 {
            Value::Int(total) => ValueRef::Int(*total),
            Value::Decimal { mantissa, scale } => ValueRef::Decimal { mantissa: *mantissa, scale: *scale },
            other => unreachable!("{other} is no sum"),
        };
        // A decimal takes an int, but an int takes no decimal.
        let added = number::add(&total, &value).or_else(|_| number::add(&value, &total));
        let total = added.map_err(|no_sum| {
            let expected = format!("{}: numbers with a sum", sum.field);
            (Broken::of("table.sum_zero", expected, no_sum.to_string()), change.ordinal)
        })?;
        *entry = (total, change.ordinal);
    }
    for (group, (total, ordinal)) in groups {
        if !matches!(total, Value::Int(0) | Value::Decimal { mantissa: 0, .. }) {
            let per = sum.per.as_ref().map_or(String::new(), |per| format!(" where {per} is {group}"));
            let expected = format!("{} adds up to 0{per}", sum.field);
            return Err((Broken::of("table.sum_zero", expected, total.to_string()), ordinal));
        }
    }
    Ok(())
}

fn value_of<'a>(row: &'a [u8], field: &str) -> Option<ValueRef<'a>> {
    let mut fields = Fields::open(row).ok()?.flatten();
    fields.find(|(name, _)| *name == field).map(|(_, value)| value)
}

fn same(value: &ValueRef<'_>, other: &Value) -> bool {
    index::is_among(value, std::slice::from_ref(other))
}

fn shown(value: Option<ValueRef<'_>>) -> String {
    value.map_or_else(|| "absent".to_owned(), |value| value.to_value().to_string())
}

fn listed<'v>(values: impl Iterator<Item = &'v Value>) -> String {
    values.map(Value::to_string).collect::<Vec<_>>().join(", ")
}
