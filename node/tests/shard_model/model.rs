//! What a commit means, written down a second time as simply as it can be said: maps of whole rows, no bytes, no log.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use seawall::message::check::Compare;
use seawall::message::term::Ttl;
use seawall::position::Position;
use seawall::refusal::Code;
use seawall::{Row, Value};

pub type Name = (&'static str, i64);

#[derive(Clone, Debug)]
pub enum Test {
    Exists(Name),
    Absent(Name),
    Literal(Name, &'static str, Compare, Value),
    Fields(Name, &'static str, Compare, Name, &'static str),
    StateIn(Name, &'static str, Vec<Value>),
    /// The version of the row is that of the `n`th last commit.
    Version(Name, Compare, usize),
    /// Now and so many seconds after the first start.
    Now(Compare, i64),
    /// The token is the position of the `n`th last commit that acquired a lease.
    Lease(Name, usize),
}

#[derive(Clone, Debug)]
pub enum Edge {
    Literal(Value),
    Field(Name, &'static str),
}

#[derive(Clone, Debug)]
pub enum Act {
    Put(Name, Row, Option<Ttl>),
    Delete(Name),
    Merge(Name, Row),
    Add(Name, &'static str, Value, Option<Edge>, Option<Edge>),
    Max(Name, &'static str, Value),
    Min(Name, &'static str, Value),
    SetAdd(Name, &'static str, BTreeSet<Vec<u8>>),
    SetRemove(Name, &'static str, BTreeSet<Vec<u8>>),
    Append(Row),
    Acquire(Name, Ttl),
    Renew(Name, usize, Ttl),
    Release(Name, usize),
    Event,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Came {
    Value(Value),
    Sequence(u64),
    Lease(Position, i64),
}

/// Which check or operation says no, and by which code and rule.
#[derive(Clone, Debug, PartialEq)]
pub enum No {
    Check(usize, Code, &'static str),
    Op(usize, Code, &'static str),
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub rows: BTreeMap<Name, (Row, Position)>,
    ttls: BTreeMap<Name, i64>,
    leases: BTreeMap<Name, (Position, i64)>,
    pub stream: Vec<(Row, Position)>,
    pub commits: Vec<Position>,
    pub tokens: Vec<Position>,
}

impl Model {
    pub fn nth_last(list: &[Position], n: usize) -> Position {
        list.iter().rev().nth(n).copied().unwrap_or(Position::new(9, 9))
    }

    /// Everything that has ended by then was removed.
    pub fn expire(&mut self, time_us: i64) {
        let ended: Vec<Name> =
            self.ttls.iter().filter(|(_, end)| **end <= time_us).map(|(n, _)| *n).collect();
        for name in ended {
            self.ttls.remove(&name);
            self.rows.remove(&name);
        }
        self.leases.retain(|_, (_, end)| *end > time_us);
    }

    /// Decides on a commit that would stand at `at`, and does it if the answer is yes.
    pub fn commit(
        &mut self,
        tests: &[Test],
        acts: &[Act],
        start_us: i64,
        time_us: i64,
        at: Position,
    ) -> Result<Vec<(usize, Came)>, No> {
        for (n, test) in tests.iter().enumerate() {
            if let Some((code, rule)) = self.fails(test, start_us, time_us) {
                return Err(No::Check(n, code, rule));
            }
        }
        let (mut after, mut came) = (self.clone(), Vec::new());
        for (n, act) in acts.iter().enumerate() {
            match after.act(act, time_us, at) {
                Ok(result) => came.extend(result.map(|result| (n, result))),
                Err((code, rule)) => return Err(No::Op(n, code, rule)),
            }
        }
        after.commits.push(at);
        if came.iter().any(|(_, came)| matches!(came, Came::Lease(token, _) if *token == at)) {
            after.tokens.push(at);
        }
        *self = after;
        Ok(came)
    }

    fn field(&self, name: Name, field: &str) -> Option<&Value> {
        self.rows.get(&name)?.0.get(field)
    }

    fn fails(&self, test: &Test, start_us: i64, time_us: i64) -> Option<(Code, &'static str)> {
        let (holds, rule) = match test {
            Test::Exists(row) => (self.rows.contains_key(row), "check.exists"),
            Test::Absent(row) => (!self.rows.contains_key(row), "check.absent"),
            Test::Literal(row, field, op, value) => {
                (self.field(*row, field).is_some_and(|left| holds(*op, left, value)), "check.compare")
            }
            Test::Fields(row, field, op, other, its) => {
                let sides = self.field(*row, field).zip(self.field(*other, its));
                (sides.is_some_and(|(left, right)| holds(*op, left, right)), "check.compare")
            }
            Test::StateIn(row, field, states) => {
                let is = |value: &Value| states.iter().any(|state| holds(Compare::Eq, value, state));
                (self.field(*row, field).is_some_and(is), "check.state_in")
            }
            Test::Version(row, op, n) => {
                let other = Self::nth_last(&self.commits, *n);
                let version = self.rows.get(row).map(|(_, version)| version);
                (version.is_some_and(|version| op.holds(version.cmp(&other))), "check.compare")
            }
            Test::Now(op, seconds) => {
                (op.holds(time_us.cmp(&(start_us + seconds * 1_000_000))), "check.compare")
            }
            Test::Lease(row, n) => {
                if self.held(*row, *n, time_us).is_some() {
                    return None;
                }
                return Some((Code::LeaseLost, "lease.held"));
            }
        };
        (!holds).then_some((Code::ConditionFailed, rule))
    }

    fn held(&self, row: Name, n: usize, time_us: i64) -> Option<Position> {
        let token = Self::nth_last(&self.tokens, n);
        self.leases.get(&row).filter(|(held, end)| *held == token && time_us < *end).map(|(held, _)| *held)
    }

    fn act(&mut self, act: &Act, time_us: i64, at: Position) -> Result<Option<Came>, (Code, &'static str)> {
        let end = |ttl: &Ttl| time_us + ttl.ms() as i64 * 1000;
        let no = |rule| Err((Code::Constraint, rule));
        match act {
            Act::Put(name, row, ttl) => {
                self.rows.insert(*name, (row.clone(), at));
                self.ttls.remove(name);
                self.ttls.extend(ttl.as_ref().map(|ttl| (*name, end(ttl))));
            }
            Act::Delete(name) => {
                self.rows.remove(name);
                self.ttls.remove(name);
            }
            Act::Merge(name, fields) => self.set(*name, at, fields.clone()),
            Act::Add(name, field, delta, floor, ceiling) => {
                return self.add(*name, field, delta, [floor, ceiling], at).map(Some);
            }
            Act::Max(name, field, value) => {
                return self.extreme(*name, field, value, at, Ordering::Less, "max.kind");
            }
            Act::Min(name, field, value) => {
                return self.extreme(*name, field, value, at, Ordering::Greater, "min.kind");
            }
            Act::SetAdd(name, field, members) => {
                let mut set = match self.field(*name, field) {
                    None => BTreeSet::new(),
                    Some(Value::Set(set)) => set.clone(),
                    Some(_) => return no("set.kind"),
                };
                set.extend(members.iter().cloned());
                self.set(*name, at, Row::new().with(*field, set));
            }
            Act::SetRemove(name, field, members) => match self.field(*name, field).cloned() {
                None => self.set(*name, at, Row::new()),
                Some(Value::Set(set)) => {
                    let left: BTreeSet<Vec<u8>> = set.difference(members).cloned().collect();
                    self.set(*name, at, Row::new().with(*field, left));
                }
                Some(_) => return no("set.kind"),
            },
            Act::Append(row) => {
                self.stream.push((row.clone(), at));
                return Ok(Some(Came::Sequence(self.stream.len() as u64)));
            }
            Act::Acquire(..) | Act::Renew(..) | Act::Release(..) => return self.lease(act, time_us, at),
            Act::Event => {}
        }
        Ok(None)
    }

    fn lease(&mut self, act: &Act, time_us: i64, at: Position) -> Result<Option<Came>, (Code, &'static str)> {
        let lost = (Code::LeaseLost, "lease.held");
        let (name, token, ttl) = match act {
            Act::Acquire(name, ttl) => {
                if self.leases.get(name).is_some_and(|(_, end)| time_us < *end) {
                    return Err((Code::ConditionFailed, "lease.free"));
                }
                (*name, at, *ttl)
            }
            Act::Renew(name, n, ttl) => (*name, self.held(*name, *n, time_us).ok_or(lost)?, *ttl),
            Act::Release(name, n) => {
                self.held(*name, *n, time_us).ok_or(lost)?;
                self.leases.remove(name);
                return Ok(None);
            }
            other => unreachable!("{other:?} is about no lease"),
        };
        let end = time_us + ttl.ms() as i64 * 1000;
        self.leases.insert(name, (token, end));
        Ok(Some(Came::Lease(token, end)))
    }

    fn add(
        &mut self,
        name: Name,
        field: &str,
        delta: &Value,
        edges: [&Option<Edge>; 2],
        at: Position,
    ) -> Result<Came, (Code, &'static str)> {
        let rules = [("add.floor", Ordering::Less), ("add.ceiling", Ordering::Greater)];
        let mut bounds = Vec::new();
        for (edge, (rule, wrong)) in edges.into_iter().zip(rules) {
            let value = match edge {
                None => continue,
                Some(Edge::Literal(value)) => Some(value.clone()),
                Some(Edge::Field(row, field)) => self.field(*row, field).cloned(),
            };
            match value {
                Some(value @ (Value::Int(_) | Value::Decimal { .. })) => bounds.push((rule, wrong, value)),
                _ => return Err((Code::Constraint, rule)),
            }
        }
        let zero = match delta {
            Value::Decimal { scale, .. } => Value::Decimal { mantissa: 0, scale: *scale },
            _ => Value::Int(0),
        };
        let sum = add(self.field(name, field).unwrap_or(&zero), delta)?;
        match bounds.iter().find(|(_, wrong, bound)| order(&sum, bound) == Some(*wrong)) {
            Some((rule, ..)) => return Err((Code::Constraint, rule)),
            None => self.set(name, at, Row::new().with(field, sum.clone())),
        }
        Ok(Came::Value(sum))
    }

    fn set(&mut self, name: Name, at: Position, fields: Row) {
        let row = self.rows.entry(name).or_insert((Row::new(), at));
        row.1 = at;
        for (field, value) in fields {
            row.0.insert(field, value);
        }
    }

    fn extreme(
        &mut self,
        name: Name,
        field: &str,
        value: &Value,
        at: Position,
        gives_way: Ordering,
        rule: &'static str,
    ) -> Result<Option<Came>, (Code, &'static str)> {
        let left = match self.field(name, field) {
            None => value.clone(),
            Some(old) => match order(old, value) {
                None => return Err((Code::Constraint, rule)),
                Some(found) if found == gives_way => value.clone(),
                Some(_) => old.clone(),
            },
        };
        self.set(name, at, Row::new().with(field, left.clone()));
        Ok(Some(Came::Value(left)))
    }
}

fn holds(op: Compare, left: &Value, right: &Value) -> bool {
    match (left, right, op) {
        (Value::Set(left), Value::Set(right), Compare::Eq) => left == right,
        (Value::Set(left), Value::Set(right), Compare::Ne) => left != right,
        _ => order(left, right).is_some_and(|order| op.holds(order)),
    }
}

/// The whole part, and thousandths of what is behind the point: no value of these tests has more digits there.
fn worth(value: &Value) -> Option<(i128, i128)> {
    match value {
        Value::Int(number) => Some((*number, 0)),
        Value::Decimal { mantissa, scale } => {
            let power = |digits: u8| 10i128.pow(u32::from(digits));
            Some((mantissa.div_euclid(power(*scale)), mantissa.rem_euclid(power(*scale)) * power(3 - scale)))
        }
        _ => None,
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        _ => Some(worth(left)?.cmp(&worth(right)?)),
    }
}

fn add(number: &Value, delta: &Value) -> Result<Value, (Code, &'static str)> {
    let scaled = |mantissa: i128, from: u8, to: u8| mantissa.checked_mul(10i128.pow(u32::from(to - from)));
    let sum = match (number, delta) {
        (Value::Int(number), Value::Int(delta)) => number.checked_add(*delta).map(Value::Int),
        (Value::Decimal { mantissa, scale }, Value::Int(delta)) => {
            let sum = scaled(*delta, 0, *scale).and_then(|delta| mantissa.checked_add(delta));
            sum.map(|mantissa| Value::Decimal { mantissa, scale: *scale })
        }
        (Value::Decimal { mantissa: a, scale: from }, Value::Decimal { mantissa: b, scale: other }) => {
            let scale = *from.max(other);
            let sum =
                scaled(*a, *from, scale).zip(scaled(*b, *other, scale)).and_then(|(a, b)| a.checked_add(b));
            sum.map(|mantissa| Value::Decimal { mantissa, scale })
        }
        _ => return Err((Code::Constraint, "add.kind")),
    };
    sum.ok_or((Code::Constraint, "add.overflow"))
}
