//! Checks as a caller writes them: `cabin.field("state").eq("free")`.

use std::ops::{RangeFrom, RangeFull, RangeInclusive, RangeToInclusive};

use super::check::{Check, Compare};
use super::term::{Bound, FieldAt, RowAt, Term};
use crate::address::RowRef;
use crate::limits::ROW_MAX;
use crate::list::List;
use crate::position::Position;
use crate::value::{Value, ValueRef};
use crate::wire::Reader;

/// A field of a row, to be compared or to bound an addition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRef {
    row: RowRef,
    name: String,
}

/// A side of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side(Sided);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sided {
    Literal(Value),
    Field(FieldRef),
    Version(RowRef),
    Position(Position),
    Now,
}

/// The leader's time at which the commit is decided.
pub fn now() -> Side {
    Side(Sided::Now)
}

/// One check, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition(pub(super) Vec<u8>);

impl Condition {
    fn of(check: &Check<'_>) -> Condition {
        let mut bytes = Vec::new();
        check.encode(&mut bytes);
        Condition(bytes)
    }

    fn compare(left: Side, op: Compare, right: Side) -> Condition {
        left.with_term(|left| right.with_term(|right| Condition::of(&Check::Compare { op, left, right })))
    }
}

impl Side {
    fn with_term<T>(&self, take: impl FnOnce(Term<'_>) -> T) -> T {
        match &self.0 {
            Sided::Literal(value) => with_literal(value, |value| take(Term::Literal(value))),
            Sided::Field(field) => take(Term::Field(field.at())),
            Sided::Version(row) => take(Term::Version(RowAt::from(row))),
            Sided::Position(position) => take(Term::Position(*position)),
            Sided::Now => take(Term::Now),
        }
    }
}

/// Shows a value in its borrowed form, which only its bytes can give.
pub(super) fn with_literal<T>(value: &Value, take: impl FnOnce(ValueRef<'_>) -> T) -> T {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    let read = ValueRef::read(&mut Reader::new(&bytes));
    take(read.unwrap_or(ValueRef::Bytes(&TOO_LONG)))
}

/// Stands for a value that is over a limit, so that it is refused where the commit is checked, and never taken for
/// another one.
static TOO_LONG: [u8; ROW_MAX + 1] = [0; ROW_MAX + 1];

macro_rules! comparisons {
    ($($name:ident $op:ident $doc:literal)*) => {
        impl Side { $(
            #[doc = $doc]
            pub fn $name(self, other: impl Into<Side>) -> Condition {
                Condition::compare(self, Compare::$op, other.into())
            }
        )* }

        impl FieldRef { $(
            #[doc = $doc]
            pub fn $name(self, other: impl Into<Side>) -> Condition {
                Side::from(self).$name(other)
            }
        )* }
    };
}
comparisons! {
    eq Eq "This side equals the other."
    ne Ne "This side does not equal the other."
    lt Lt "This side is below the other."
    le Le "This side is not above the other."
    gt Gt "This side is above the other."
    ge Ge "This side is not below the other."
}

impl FieldRef {
    pub(super) fn at(&self) -> FieldAt<'_> {
        FieldAt { row: RowAt::from(&self.row), name: &self.name }
    }

    /// The field holds one of these.
    pub fn is_in<V: Into<Value>>(self, states: impl IntoIterator<Item = V>) -> Condition {
        let (mut bytes, mut count) = (Vec::new(), 0);
        for state in states {
            state.into().encode(&mut bytes);
            count += 1;
        }
        Condition::of(&Check::StateIn { field: self.at(), states: List::trusted(count, &bytes) })
    }
}

/// What a commit can check of a row.
impl RowRef {
    /// One of its fields.
    pub fn field(&self, name: impl Into<String>) -> FieldRef {
        FieldRef { row: self.clone(), name: name.into() }
    }

    /// The position of its last writer.
    pub fn version(&self) -> Side {
        Side(Sided::Version(self.clone()))
    }

    /// There is such a row.
    pub fn exists(&self) -> Condition {
        Condition::of(&Check::Exists(self.into()))
    }

    /// There is no such row.
    pub fn absent(&self) -> Condition {
        Condition::of(&Check::Absent(self.into()))
    }

    /// Its lease is held under this token.
    pub fn lease_held(&self, token: Position) -> Condition {
        Condition::of(&Check::LeaseHeld { row: self.into(), token })
    }
}

impl From<FieldRef> for Side {
    fn from(field: FieldRef) -> Side {
        Side(Sided::Field(field))
    }
}

impl From<Position> for Side {
    fn from(position: Position) -> Side {
        Side(Sided::Position(position))
    }
}

impl<V: Into<Value>> From<V> for Side {
    fn from(value: V) -> Side {
        Side(Sided::Literal(value.into()))
    }
}

/// A floor or a ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edge {
    /// A number.
    Literal(Value),
    /// A field that holds one.
    Field(FieldRef),
}

impl Edge {
    pub(super) fn with_bound<T>(edge: Option<&Edge>, take: impl FnOnce(Option<Bound<'_>>) -> T) -> T {
        match edge {
            None => take(None),
            Some(Edge::Literal(value)) => with_literal(value, |value| take(Some(Bound::Literal(value)))),
            Some(Edge::Field(field)) => take(Some(Bound::Field(field.at()))),
        }
    }
}

impl From<FieldRef> for Edge {
    fn from(field: FieldRef) -> Edge {
        Edge::Field(field)
    }
}

impl<V: Into<Value>> From<V> for Edge {
    fn from(value: V) -> Edge {
        Edge::Literal(value.into())
    }
}

/// Between what a sum must stay: `..`, `0..`, `..=total.field("limit")`, `0..=10`, or a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    pub(super) floor: Option<Edge>,
    pub(super) ceiling: Option<Edge>,
}

impl From<RangeFull> for Edges {
    fn from(_: RangeFull) -> Edges {
        Edges::default()
    }
}

impl<E: Into<Edge>> From<RangeFrom<E>> for Edges {
    fn from(range: RangeFrom<E>) -> Edges {
        Edges { floor: Some(range.start.into()), ceiling: None }
    }
}

impl<E: Into<Edge>> From<RangeToInclusive<E>> for Edges {
    fn from(range: RangeToInclusive<E>) -> Edges {
        Edges { floor: None, ceiling: Some(range.end.into()) }
    }
}

impl<E: Into<Edge>> From<RangeInclusive<E>> for Edges {
    fn from(range: RangeInclusive<E>) -> Edges {
        let (floor, ceiling) = range.into_inner();
        Edges { floor: Some(floor.into()), ceiling: Some(ceiling.into()) }
    }
}

impl<F: Into<Edge>, C: Into<Edge>> From<(F, C)> for Edges {
    fn from((floor, ceiling): (F, C)) -> Edges {
        Edges { floor: Some(floor.into()), ceiling: Some(ceiling.into()) }
    }
}
