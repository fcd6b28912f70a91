//! The checks of a commit, on the state before it. A row or a field that is absent fails every one but ABSENT.

use seawall::message::check::{Check, Compare};
use seawall::message::term::{FieldAt, RowAt, Term};
use seawall::position::Position;
use seawall::refusal::Refusal;
use seawall::value::ValueRef;
use seawall::{Value, row};

use super::evaluate::{Evaluation, Stands, name, text};
use super::lease::Lease;
use super::spaces;

/// What was wanted, and what was there instead.
type Fails = (String, String);

/// A side of a comparison.
enum Side<'a> {
    Value(ValueRef<'a>),
    Position(Position),
    Absent(String),
}

impl Evaluation<'_> {
    pub(super) fn check(&mut self, nth: usize, check: &Check<'_>) -> Result<(), Refusal> {
        let (fails, at) = match *check {
            Check::Exists(at) => (self.exists(at), Some(at)),
            Check::Absent(at) => (self.absent(at), Some(at)),
            Check::Compare { op, left, right } => (self.compare(op, &left, &right), check.row()),
            Check::StateIn { field, states } => (self.state_in(field, states.iter()), Some(field.row)),
            Check::LeaseHeld { row, token } => {
                let lease = self.lease(row);
                return Lease::held(lease, token, self.time_us).map(drop).map_err(|observed| {
                    let refusal = Refusal::lease_lost_in_check(nth, token, observed);
                    self.showing(refusal, row)
                });
            }
        };
        let Err((expected, observed)) = fails else { return Ok(()) };
        let refusal = Refusal::condition_failed(nth, check, expected, observed);
        Err(match at {
            Some(at) => self.showing(refusal, at),
            None => refusal,
        })
    }

    fn exists(&mut self, at: RowAt<'_>) -> Result<(), Fails> {
        match self.before(spaces::ROWS, at) {
            Some(_) => Ok(()),
            None => Err((format!("a row {}", name(at)), "no such row".into())),
        }
    }

    fn absent(&mut self, at: RowAt<'_>) -> Result<(), Fails> {
        match self.before(spaces::ROWS, at) {
            None => Ok(()),
            Some((version, _)) => Err((format!("no row {}", name(at)), format!("one, written at {version}"))),
        }
    }

    fn compare(&mut self, op: Compare, left: &Term<'_>, right: &Term<'_>) -> Result<(), Fails> {
        let mut look = |term: &Term<'_>| term.row().and_then(|at| self.before(spaces::ROWS, at));
        let rows = (look(left), look(right));
        let sides = (self.side(left, rows.0), self.side(right, rows.1));
        let holds = match &sides {
            (Side::Value(left), Side::Value(right)) => op.holds_between(left, right),
            (Side::Position(left), Side::Position(right)) => Some(op.holds(left.cmp(right))),
            _ => None,
        };
        if holds == Some(true) {
            return Ok(());
        }
        let expected = format!("{} {} {}", wanted(left), op.sign(), wanted(right));
        let literal = |term: &Term<'_>| matches!(term, Term::Literal(_) | Term::Position(_));
        let observed = match (literal(left), literal(right)) {
            (false, true) => found(&sides.0),
            (true, false) => found(&sides.1),
            _ => format!("{} and {}", found(&sides.0), found(&sides.1)),
        };
        let observed = match (&sides, holds) {
            ((Side::Absent(_), _) | (_, Side::Absent(_)), _) | (_, Some(_)) => observed,
            _ => format!("{observed}, which do not compare so"),
        };
        Err((expected, observed))
    }

    fn state_in<'s>(
        &mut self,
        at: FieldAt<'_>,
        mut states: impl Iterator<Item = ValueRef<'s>> + Clone,
    ) -> Result<(), Fails> {
        let row = self.before(spaces::ROWS, at.row);
        let side = self.side(&Term::Field(at), row);
        let is = |state: ValueRef<'_>| match &side {
            Side::Value(value) => Compare::Eq.holds_between(value, &state) == Some(true),
            Side::Position(_) | Side::Absent(_) => false,
        };
        if states.clone().any(is) {
            return Ok(());
        }
        let mut list = states.next().map(|state| text(&state)).unwrap_or_default();
        states.for_each(|state| list = format!("{list}, {}", text(&state)));
        Err((format!("{} is one of {list}", wanted(&Term::Field(at))), found(&side)))
    }

    fn side<'s>(&self, term: &Term<'s>, stands: Stands<'s>) -> Side<'s> {
        let no_row = |at| Side::Absent(format!("no row {}", name(at)));
        match (*term, stands) {
            (Term::Literal(value), _) => Side::Value(value),
            (Term::Position(position), _) => Side::Position(position),
            (Term::Now, _) => Side::Value(ValueRef::Time(self.time_us)),
            (Term::Version(_), Some((version, _))) => Side::Position(version),
            (Term::Field(at), Some((_, row))) => match row::field(row, at.name) {
                Some(value) => Side::Value(value),
                None => Side::Absent(format!("no field {} in {}", at.name, name(at.row))),
            },
            (Term::Version(at) | Term::Field(FieldAt { row: at, .. }), None) => no_row(at),
        }
    }
}

/// A side as the commit names it.
fn wanted(term: &Term<'_>) -> String {
    match *term {
        Term::Literal(value) => text(&value),
        Term::Field(at) => format!("{}.{}", name(at.row), at.name),
        Term::Version(at) => format!("version of {}", name(at)),
        Term::Position(position) => position.to_string(),
        Term::Now => "now".into(),
    }
}

/// What it is worth.
fn found(side: &Side<'_>) -> String {
    match side {
        Side::Value(ValueRef::Time(us)) => Value::Time(*us).to_string(),
        Side::Value(value) => text(value),
        Side::Position(position) => position.to_string(),
        Side::Absent(what) => what.clone(),
    }
}
