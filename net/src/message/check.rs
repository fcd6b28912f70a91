//! The checks of a commit: what must hold before anything is done. The only list of checks.

use std::cmp::Ordering;

use super::term::{FieldAt, RowAt, Term};
use crate::limits::STATES_MAX;
use crate::list::{List, Piece};
use crate::position::Position;
use crate::value::ValueRef;
use crate::wire::{Malformed, Reader, put_varint};

/// The number of each check in a payload.
mod kind {
    pub(super) const EXISTS: u8 = 1;
    pub(super) const ABSENT: u8 = 2;
    pub(super) const COMPARE: u8 = 3;
    pub(super) const STATE_IN: u8 = 4;
    pub(super) const LEASE_HELD: u8 = 5;
}

/// How two sides are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Compare {
    /// =
    Eq = 1,
    /// !=
    Ne = 2,
    /// <
    Lt = 3,
    /// <=
    Le = 4,
    /// >
    Gt = 5,
    /// >=
    Ge = 6,
}

impl Compare {
    /// All of them.
    pub const ALL: [Compare; 6] =
        [Compare::Eq, Compare::Ne, Compare::Lt, Compare::Le, Compare::Gt, Compare::Ge];

    fn from_u8(number: u8) -> Option<Compare> {
        Compare::ALL.into_iter().find(|compare| *compare as u8 == number)
    }

    /// As documents and people write it.
    pub fn sign(self) -> &'static str {
        match self {
            Compare::Eq => "=",
            Compare::Ne => "!=",
            Compare::Lt => "<",
            Compare::Le => "<=",
            Compare::Gt => ">",
            Compare::Ge => ">=",
        }
    }

    /// Whether it holds between two things that stand in this order.
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Compare::Eq => order.is_eq(),
            Compare::Ne => order.is_ne(),
            Compare::Lt => order.is_lt(),
            Compare::Le => order.is_le(),
            Compare::Gt => order.is_gt(),
            Compare::Ge => order.is_ge(),
        }
    }

    /// Whether it holds between two values; `None` when these two cannot be compared so (see
    /// [`number::compare`](crate::number::compare)): other kinds, or sets, which are equal or not and stand in no
    /// order.
    pub fn holds_between(self, left: &ValueRef<'_>, right: &ValueRef<'_>) -> Option<bool> {
        match (self, left, right) {
            (Compare::Eq, ValueRef::Set(left), ValueRef::Set(right)) => Some(left == right),
            (Compare::Ne, ValueRef::Set(left), ValueRef::Set(right)) => Some(left != right),
            _ => crate::number::compare(left, right).map(|order| self.holds(order)),
        }
    }
}

/// The literals of a STATE_IN.
pub type States<'a> = List<'a, ValueRef<'a>>;

/// One thing that must hold. A row or a field that is absent fails every check but ABSENT, also `!=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check<'a> {
    /// There is such a row.
    Exists(RowAt<'a>),
    /// There is no such row.
    Absent(RowAt<'a>),
    /// `left op right`. Sides that cannot be compared fail it.
    Compare {
        /// How.
        op: Compare,
        /// One side.
        left: Term<'a>,
        /// The other.
        right: Term<'a>,
    },
    /// The field holds one of these.
    StateIn {
        /// Which.
        field: FieldAt<'a>,
        /// At least one.
        states: States<'a>,
    },
    /// The lease of the row was granted at `token`, was not released, and has not expired.
    LeaseHeld {
        /// Whose lease.
        row: RowAt<'a>,
        /// The fencing token: the position of the commit that acquired it.
        token: Position,
    },
}

/// The checks of a commit, in their order.
pub type Checks<'a> = List<'a, Check<'a>>;

impl<'a> Check<'a> {
    /// The name, as documents and people write it.
    pub fn name(&self) -> &'static str {
        match self {
            Check::Exists(_) => "EXISTS",
            Check::Absent(_) => "ABSENT",
            Check::Compare { .. } => "COMPARE",
            Check::StateIn { .. } => "STATE_IN",
            Check::LeaseHeld { .. } => "LEASE_HELD",
        }
    }

    /// The first row that it names.
    pub fn row(&self) -> Option<RowAt<'a>> {
        match *self {
            Check::Exists(row) | Check::Absent(row) | Check::LeaseHeld { row, .. } => Some(row),
            Check::Compare { left, right, .. } => left.row().or(right.row()),
            Check::StateIn { field, .. } => Some(field.row),
        }
    }

    /// The rule that it stands for, as refusals name it.
    pub fn rule(&self) -> &'static str {
        match self {
            Check::Exists(_) => "check.exists",
            Check::Absent(_) => "check.absent",
            Check::Compare { .. } => "check.compare",
            Check::StateIn { .. } => "check.state_in",
            Check::LeaseHeld { .. } => "check.lease_held",
        }
    }

    /// Appends the bytes, unchecked.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Check::Exists(row) => {
                out.push(kind::EXISTS);
                row.encode(out);
            }
            Check::Absent(row) => {
                out.push(kind::ABSENT);
                row.encode(out);
            }
            Check::Compare { op, left, right } => {
                out.extend_from_slice(&[kind::COMPARE, *op as u8]);
                left.encode(out);
                right.encode(out);
            }
            Check::StateIn { field, states } => {
                out.push(kind::STATE_IN);
                field.encode(out);
                put_varint(out, states.len() as u64);
                out.extend_from_slice(states.bytes());
            }
            Check::LeaseHeld { row, token } => {
                out.push(kind::LEASE_HELD);
                row.encode(out);
                token.encode(out);
            }
        }
    }
}

impl<'a> Piece<'a> for Check<'a> {
    const WHAT: &'static str = "checks";

    fn read(reader: &mut Reader<'a>) -> Result<Check<'a>, Malformed> {
        Ok(match reader.u8()? {
            kind::EXISTS => Check::Exists(RowAt::read(reader)?),
            kind::ABSENT => Check::Absent(RowAt::read(reader)?),
            kind::COMPARE => {
                let number = reader.u8()?;
                let op = Compare::from_u8(number)
                    .ok_or(Malformed::Unknown { what: "comparison", got: u64::from(number) })?;
                Check::Compare { op, left: Term::read(reader)?, right: Term::read(reader)? }
            }
            kind::STATE_IN => Check::StateIn {
                field: FieldAt::read(reader)?,
                states: List::read_counted(reader, STATES_MAX)?,
            },
            kind::LEASE_HELD => {
                Check::LeaseHeld { row: RowAt::read(reader)?, token: Position::read(reader)? }
            }
            got => return Err(Malformed::Unknown { what: "check", got: u64::from(got) }),
        })
    }

    fn check(&self) -> Result<(), Malformed> {
        match self {
            Check::Exists(row) | Check::Absent(row) | Check::LeaseHeld { row, .. } => row.check(),
            Check::Compare { left, right, .. } => left.check().and_then(|()| right.check()),
            Check::StateIn { states, .. } if states.is_empty() => Err(Malformed::Empty),
            Check::StateIn { field, .. } => field.row.check(),
        }
    }
}
