//! What checks and operations name: rows of the commit's partition, their fields, and the sides of a comparison.

use std::num::NonZeroU64;

use crate::address::RowRef;
use crate::key::Key;
use crate::limits::{KEY_MAX, TTL_MAX_MS};
use crate::list::Piece;
use crate::position::Position;
use crate::value::ValueRef;
use crate::wire::{Malformed, Reader, put_sized, put_varint};

/// A row of the partition that the request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowAt<'a> {
    /// Its table.
    pub table: &'a str,
    /// The bytes of its key.
    pub key: &'a [u8],
}

impl<'a> RowAt<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_sized(out, self.table.as_bytes());
        put_sized(out, self.key);
    }
}

/// The key is checked apart: rows are read more often than they arrive.
impl<'a> Piece<'a> for RowAt<'a> {
    const WHAT: &'static str = "rows";

    fn read(reader: &mut Reader<'a>) -> Result<RowAt<'a>, Malformed> {
        Ok(RowAt { table: reader.name()?, key: reader.sized("row key", KEY_MAX)? })
    }

    fn check(&self) -> Result<(), Malformed> {
        Key::check(self.key)
    }
}

impl<'a> From<&'a RowRef> for RowAt<'a> {
    fn from(row: &'a RowRef) -> RowAt<'a> {
        RowAt { table: &row.table, key: row.key.as_bytes() }
    }
}

/// A field of a row of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldAt<'a> {
    /// The row.
    pub row: RowAt<'a>,
    /// The field's name.
    pub name: &'a str,
}

impl<'a> FieldAt<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.row.encode(out);
        put_sized(out, self.name.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<FieldAt<'a>, Malformed> {
        Ok(FieldAt { row: RowAt::read(reader)?, name: reader.name()? })
    }
}

/// The number of each kind of term; 0 is "none" where a term may be left out.
mod kind {
    pub(super) const NONE: u8 = 0;
    pub(super) const LITERAL: u8 = 1;
    pub(super) const FIELD: u8 = 2;
    pub(super) const VERSION: u8 = 3;
    pub(super) const POSITION: u8 = 4;
    pub(super) const NOW: u8 = 5;
}

/// A side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term<'a> {
    /// A value.
    Literal(ValueRef<'a>),
    /// What a field holds.
    Field(FieldAt<'a>),
    /// The position of a row's last writer.
    Version(RowAt<'a>),
    /// A position, to compare a version with.
    Position(Position),
    /// The leader's time at which the commit is decided: a time.
    Now,
}

impl<'a> Term<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Term::Literal(value) => {
                out.push(kind::LITERAL);
                value.encode(out);
            }
            Term::Field(field) => {
                out.push(kind::FIELD);
                field.encode(out);
            }
            Term::Version(row) => {
                out.push(kind::VERSION);
                row.encode(out);
            }
            Term::Position(position) => {
                out.push(kind::POSITION);
                position.encode(out);
            }
            Term::Now => out.push(kind::NOW),
        }
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Term<'a>, Malformed> {
        Ok(match reader.u8()? {
            kind::LITERAL => Term::Literal(ValueRef::read(reader)?),
            kind::FIELD => Term::Field(FieldAt::read(reader)?),
            kind::VERSION => Term::Version(RowAt::read(reader)?),
            kind::POSITION => Term::Position(Position::read(reader)?),
            kind::NOW => Term::Now,
            got => return Err(Malformed::Unknown { what: "kind of term", got: u64::from(got) }),
        })
    }

    /// The row that it names, if it names one.
    pub fn row(&self) -> Option<RowAt<'a>> {
        match *self {
            Term::Field(FieldAt { row, .. }) | Term::Version(row) => Some(row),
            Term::Literal(_) | Term::Position(_) | Term::Now => None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Malformed> {
        self.row().map_or(Ok(()), |row| row.check())
    }
}

/// A floor or a ceiling of an ADD: a number, or a field that holds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound<'a> {
    /// An int or a decimal.
    Literal(ValueRef<'a>),
    /// What a field of the partition holds when the operation is done.
    Field(FieldAt<'a>),
}

impl<'a> Bound<'a> {
    pub(crate) fn encode(bound: Option<&Bound<'a>>, out: &mut Vec<u8>) {
        match bound {
            None => out.push(kind::NONE),
            Some(Bound::Literal(value)) => {
                out.push(kind::LITERAL);
                value.encode(out);
            }
            Some(Bound::Field(field)) => {
                out.push(kind::FIELD);
                field.encode(out);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Option<Bound<'a>>, Malformed> {
        Ok(match reader.u8()? {
            kind::NONE => None,
            kind::LITERAL => Some(Bound::Literal(ValueRef::read(reader)?)),
            kind::FIELD => Some(Bound::Field(FieldAt::read(reader)?)),
            got => return Err(Malformed::Unknown { what: "kind of bound", got: u64::from(got) }),
        })
    }

    pub(crate) fn check(&self) -> Result<(), Malformed> {
        match self {
            Bound::Literal(value) => number(value),
            Bound::Field(field) => field.row.check(),
        }
    }
}

/// Whether it can be added.
pub(crate) fn number(value: &ValueRef<'_>) -> Result<(), Malformed> {
    match value {
        ValueRef::Int(_) | ValueRef::Decimal { .. } => Ok(()),
        other => Err(Malformed::Unknown { what: "kind of number", got: u64::from(other.kind()) }),
    }
}

/// How long something lives, counted from the leader's time of the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ttl(NonZeroU64);

impl Ttl {
    /// 1 to [`TTL_MAX_MS`] milliseconds.
    pub fn from_ms(ms: u64) -> Option<Ttl> {
        NonZeroU64::new(ms).filter(|ms| ms.get() <= TTL_MAX_MS).map(Ttl)
    }

    /// In milliseconds.
    pub fn ms(self) -> u64 {
        self.0.get()
    }

    /// Appends the milliseconds; 0 stands for none.
    pub(crate) fn encode(ttl: Option<Ttl>, out: &mut Vec<u8>) {
        put_varint(out, ttl.map_or(0, Ttl::ms));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Option<Ttl>, Malformed> {
        match reader.varint()? {
            0 => Ok(None),
            ms => Ttl::from_ms(ms).map(Some).ok_or(Malformed::TooLong {
                what: "ttl in ms",
                limit: TTL_MAX_MS as usize,
                len: ms,
            }),
        }
    }
}
