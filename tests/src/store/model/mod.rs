//! What a store is: docs/protocol.md written down a second time, as maps of whole rows, without bytes, log or disk.
//!
//! It decides on a commit at a time and a position, both taken from the record; nothing else may matter.

mod tables;

use std::collections::BTreeMap;

use seawall::address::{Address, DEFAULT_NAMESPACE};
use seawall::key::sequence_key;
use seawall::message::CommitRequest;
use seawall::message::assigned;
use seawall::message::check::{Check, Compare};
use seawall::message::op::Op;
use seawall::message::term::{Bound, RowAt, Term, Ttl};
use seawall::position::Position;
use seawall::value::ValueRef;
use seawall::{Code, Row, Value};

use super::history::{KeyOf, at};
use super::value;
use crate::history::At;
pub use tables::{Line, Table};

/// Of a session so many outcomes are remembered.
const SESSION: u64 = 1024;

/// The bytes that name a row, or whatever else stands at one.
pub type Place = Vec<u8>;

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub rows: BTreeMap<Place, Held>,
    pub leases: BTreeMap<Place, Lease>,
    pub streams: BTreeMap<Place, u64>,
    /// What is remembered under request keys.
    pub outcomes: BTreeMap<Vec<u8>, Remembered>,
    pub horizon: Option<i64>,
    /// By name.
    pub tables: BTreeMap<String, Table>,
    /// First index of each epoch.
    pub epochs: BTreeMap<u64, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub row: Row,
    pub at: At,
    /// When its ttl ends.
    pub ends: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub token: Position,
    pub ends: i64,
}

/// An outcome under a key.
#[derive(Clone, Debug)]
pub struct Remembered {
    pub key: KeyOf,
    pub at: At,
}

/// What one operation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    Value(Value),
    Sequence(u64),
    Lease(Position, i64),
}

/// The first check or operation that says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    Check(usize, Code),
    Op(usize, Code),
}

/// The same, and the rows that stand in the way, where the refusal has to name one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    pub no: No,
    pub holders: Vec<String>,
}

impl Why {
    fn of(no: No) -> Self {
        Self { no, holders: Vec::new() }
    }
}

/// What a commit does.
#[derive(Clone, Debug, Default)]
pub struct Yes {
    pub rows: BTreeMap<Place, Option<Held>>,
    pub leases: BTreeMap<Place, Option<Lease>>,
    pub streams: BTreeMap<Place, u64>,
    /// By operation: topic and payload.
    pub events: BTreeMap<usize, (String, Vec<u8>)>,
    pub came: Vec<(usize, Came)>,
}

/// A commit that is looked at, at a time and a position.
struct Turn<'a> {
    model: &'a Model,
    commit: &'a CommitRequest<'a>,
    time_us: i64,
    at: Position,
    yes: Yes,
    /// The last operation on each row.
    last: BTreeMap<Place, usize>,
}

type Ruled = Result<(), Code>;

impl Model {
    /// What a commit does, or all that may be said of why it is not done.
    pub fn decide(&self, commit: &CommitRequest<'_>, time_us: i64, at: Position) -> Result<Yes, Vec<Why>> {
        let mut turn = Turn { model: self, commit, time_us, at, yes: Yes::default(), last: BTreeMap::new() };
        let first = |no: No| vec![Why::of(no)];
        for (nth, check) in commit.checks.iter().enumerate() {
            turn.check(&check).map_err(|code| first(No::Check(nth, code)))?;
        }
        for (nth, op) in commit.ops.iter().enumerate() {
            turn.operate(nth, &op).map_err(|code| first(No::Op(nth, code)))?;
        }
        let broken = turn.broken();
        if broken.is_empty() { Ok(turn.yes) } else { Err(broken) }
    }

    pub fn apply(&mut self, yes: Yes) {
        merge(&mut self.rows, yes.rows);
        merge(&mut self.leases, yes.leases);
        self.streams.extend(yes.streams);
    }

    /// Whether what happened under a key may have been forgotten.
    pub fn forgotten(&self, key: &KeyOf) -> bool {
        let late = self.horizon.is_some_and(|horizon| key.born_us <= horizon);
        let session = |(session, sequence): &(Vec<u8>, u64)| {
            self.newest(session).is_some_and(|newest| sequence + SESSION <= newest)
        };
        late || key.session.as_ref().is_some_and(session)
    }

    fn newest(&self, session: &[u8]) -> Option<u64> {
        let of = |known: &Remembered| {
            known.key.session.as_ref().filter(|(of, _)| of == session).map(|(_, sequence)| *sequence)
        };
        self.outcomes.values().filter_map(of).max()
    }
}

fn merge<V>(into: &mut BTreeMap<Place, V>, changes: BTreeMap<Place, Option<V>>) {
    for (place, change) in changes {
        match change {
            Some(value) => into.insert(place, value),
            None => into.remove(&place),
        };
    }
}

/// A side of a comparison.
enum Side {
    Value(Value),
    Position(Position),
}

impl Turn<'_> {
    fn place(&self, at: RowAt<'_>) -> Place {
        let mut place = Vec::new();
        let (partition, table, row) = (self.commit.partition, at.table, at.key);
        Address { namespace: DEFAULT_NAMESPACE, partition, table, row }.stored_key(&mut place);
        place
    }

    /// What stood there before the commit.
    fn before(&self, at: RowAt<'_>) -> Option<&Held> {
        self.model.rows.get(&self.place(at))
    }

    /// What the operations so far left there.
    fn now(&self, place: &Place) -> Option<&Held> {
        match self.yes.rows.get(place) {
            Some(changed) => changed.as_ref(),
            None => self.model.rows.get(place),
        }
    }

    fn check(&self, check: &Check<'_>) -> Ruled {
        let holds = match check {
            Check::Exists(at) => self.before(*at).is_some(),
            Check::Absent(at) => self.before(*at).is_none(),
            Check::Compare { op, left, right } => match (self.side(left), self.side(right)) {
                (Some(Side::Value(left)), Some(Side::Value(right))) => value::holds(*op, &left, &right),
                (Some(Side::Position(left)), Some(Side::Position(right))) => op.holds(left.cmp(&right)),
                _ => false,
            },
            Check::StateIn { field, states } => {
                let found = self.side(&Term::Field(*field));
                let Some(Side::Value(found)) = found else { return Err(Code::ConditionFailed) };
                states.iter().any(|state| value::holds(Compare::Eq, &found, &state.to_value()))
            }
            Check::LeaseHeld { row, token } => return self.held(*row, *token).map(drop),
        };
        if holds { Ok(()) } else { Err(Code::ConditionFailed) }
    }

    fn side(&self, term: &Term<'_>) -> Option<Side> {
        Some(match term {
            Term::Literal(value) => Side::Value(value.to_value()),
            Term::Field(at) => Side::Value(self.before(at.row)?.row.get(at.name)?.clone()),
            Term::Version(row) => {
                let At { epoch, index } = self.before(*row)?.at;
                Side::Position(Position::new(epoch, index))
            }
            Term::Position(position) => Side::Position(*position),
            Term::Now => Side::Value(Value::Time(self.time_us)),
        })
    }

    /// The lease of a row, if it is held under this token.
    fn held(&self, row: RowAt<'_>, token: Position) -> Result<Lease, Code> {
        let lease = self.model.leases.get(&self.place(row)).copied();
        lease.filter(|lease| lease.token == token && self.time_us < lease.ends).ok_or(Code::LeaseLost)
    }

    fn end(&self, ttl: Ttl) -> i64 {
        self.time_us.saturating_add(i64::try_from(ttl.ms()).unwrap_or(i64::MAX).saturating_mul(1_000))
    }

    fn operate(&mut self, nth: usize, op: &Op<'_>) -> Ruled {
        match *op {
            Op::Put { at: place, row, ttl } => {
                let default = || self.model.tables.get(place.table)?.promises.default_ttl;
                let ends = ttl.or_else(default).map(|ttl| self.end(ttl));
                let row = Row::decode(row).expect("checked when it was drawn");
                self.write(nth, self.place(place), Some(Held { row, at: at(self.at), ends }));
            }
            Op::Delete { at } => {
                self.write(nth, self.place(at), None);
            }
            Op::Merge { at, fields } => {
                self.set(nth, at, Row::decode(fields).expect("checked when it was drawn"))
            }
            Op::Add { at, field, delta, floor, ceiling } => {
                let sum = value::add(self.field(at, field).as_ref(), &delta.to_value())?;
                self.bounded(&sum, floor, Compare::Ge)?;
                self.bounded(&sum, ceiling, Compare::Le)?;
                self.set_one(nth, at, field, sum);
            }
            Op::Max { at, field, value } => self.extreme(nth, at, field, &value, Compare::Lt)?,
            Op::Min { at, field, value } => self.extreme(nth, at, field, &value, Compare::Gt)?,
            Op::SetAdd { at, field, members } => self.members(nth, at, field, members, true)?,
            Op::SetRemove { at, field, members } => self.members(nth, at, field, members, false)?,
            Op::Append { stream, row } => self.append(nth, stream, row)?,
            Op::LeaseAcquire { at, ttl } => {
                let place = self.place(at);
                if self.model.leases.get(&place).is_some_and(|lease| self.time_us < lease.ends) {
                    return Err(Code::ConditionFailed);
                }
                self.grant(nth, place, Lease { token: self.at, ends: self.end(ttl) });
            }
            Op::LeaseRenew { at, token, ttl } => {
                let lease = self.held(at, token)?;
                self.grant(nth, self.place(at), Lease { ends: self.end(ttl), ..lease });
            }
            Op::LeaseRelease { at, token } => {
                self.held(at, token)?;
                let place = self.place(at);
                self.yes.leases.insert(place, None);
            }
            Op::Event { topic, payload } => {
                self.yes.events.insert(nth, (topic.to_owned(), payload.to_vec()));
            }
        }
        Ok(())
    }

    fn write(&mut self, nth: usize, place: Place, held: Option<Held>) {
        self.last.insert(place.clone(), nth);
        self.yes.rows.insert(place, held);
    }

    fn field(&self, at: RowAt<'_>, field: &str) -> Option<Value> {
        self.now(&self.place(at))?.row.get(field).cloned()
    }

    /// A bound must be there, and be a number.
    fn bounded(&self, sum: &Value, bound: Option<Bound<'_>>, op: Compare) -> Ruled {
        let bound = match bound {
            None => return Ok(()),
            Some(Bound::Literal(value)) => value.to_value(),
            Some(Bound::Field(at)) => self.field(at.row, at.name).ok_or(Code::Constraint)?,
        };
        let number = matches!(bound, Value::Int(_) | Value::Decimal { .. });
        if number && value::holds(op, sum, &bound) { Ok(()) } else { Err(Code::Constraint) }
    }

    /// Sets fields of a row that is made if it is not there. Its ttl stays.
    fn set(&mut self, nth: usize, to: RowAt<'_>, fields: Row) {
        let place = self.place(to);
        let mut held =
            self.now(&place).cloned().unwrap_or(Held { row: Row::new(), at: at(self.at), ends: None });
        held.at = at(self.at);
        for (name, value) in fields.iter() {
            held.row.insert(name, value.clone());
        }
        self.write(nth, place, Some(held));
    }

    fn set_one(&mut self, nth: usize, at: RowAt<'_>, field: &str, value: Value) {
        self.set(nth, at, Row::new().with(field, value.clone()));
        self.yes.came.push((nth, Came::Value(value)));
    }

    /// MAX and MIN: what is there gives way if it stands so to the other.
    fn extreme(
        &mut self,
        nth: usize,
        at: RowAt<'_>,
        field: &str,
        other: &ValueRef<'_>,
        so: Compare,
    ) -> Ruled {
        let other = other.to_value();
        let stays = match self.field(at, field) {
            None => other,
            Some(old) => match value::order(&old, &other).ok_or(Code::Constraint)? {
                order if so.holds(order) => other,
                _ => old,
            },
        };
        self.set_one(nth, at, field, stays);
        Ok(())
    }

    fn members<'m>(
        &mut self,
        nth: usize,
        at: RowAt<'_>,
        field: &str,
        members: impl Iterator<Item = &'m [u8]>,
        add: bool,
    ) -> Ruled {
        let mut set = match self.field(at, field) {
            Some(Value::Set(set)) => set,
            Some(_) => return Err(Code::Constraint),
            None if !add => {
                self.set(nth, at, Row::new());
                return Ok(());
            }
            None => Default::default(),
        };
        for member in members {
            match add {
                true => set.insert(member.to_vec()),
                false => set.remove(member),
            };
        }
        self.set(nth, at, Row::new().with(field, set));
        Ok(())
    }

    fn append(&mut self, nth: usize, stream: RowAt<'_>, row: &[u8]) -> Ruled {
        let name = self.place(stream);
        let last = self.yes.streams.get(&name).or(self.model.streams.get(&name));
        let next = last.map_or(1, |last| last + 1);
        let mut key = Vec::new();
        sequence_key(stream.key, next, &mut key);
        let place = self.place(RowAt { table: stream.table, key: &key });
        if self.now(&place).is_some() {
            return Err(Code::Constraint);
        }
        let row = Row::decode(row).expect("checked when it was drawn");
        self.write(nth, place, Some(Held { row, at: at(self.at), ends: None }));
        self.yes.streams.insert(name, next);
        self.yes.came.push((nth, Came::Sequence(next)));
        Ok(())
    }

    fn grant(&mut self, nth: usize, place: Place, lease: Lease) {
        self.yes.leases.insert(place, Some(lease));
        self.yes.came.push((nth, Came::Lease(lease.token, lease.ends)));
    }
}

/// What an answer says of the operations.
pub fn came(results: &assigned::AssignedList<'_>) -> Vec<(usize, Came)> {
    let came = |result| match result {
        assigned::Result::Value(value) => Came::Value(value.to_value()),
        assigned::Result::Sequence(sequence) => Came::Sequence(sequence),
        assigned::Result::Lease { token, expires_us } => Came::Lease(token, expires_us),
    };
    results.iter().map(|one| (one.op, came(one.result))).collect()
}
