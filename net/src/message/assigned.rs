//! What a commit's operations came to: values that the server computed or assigned.

use crate::limits::COMMIT_OPS_MAX;
use crate::list::{List, Piece};
use crate::position::Position;
use crate::value::ValueRef;
use crate::wire::{Malformed, Reader, put_varint};

/// The number of each kind of result.
mod kind {
    pub(super) const VALUE: u8 = 1;
    pub(super) const SEQUENCE: u8 = 2;
    pub(super) const LEASE: u8 = 3;
}

/// What one operation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result<'a> {
    /// ADD, MAX, MIN: what the field holds now.
    Value(ValueRef<'a>),
    /// APPEND: the place in the stream.
    Sequence(u64),
    /// LEASE_ACQUIRE, LEASE_RENEW.
    Lease {
        /// The fencing token: the position of the commit that acquired it.
        token: Position,
        /// When it ends, on the leader's clock: microseconds since 1970, UTC.
        expires_us: i64,
    },
}

/// One operation's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned<'a> {
    /// The operation's place in the commit, from 0.
    pub op: usize,
    /// What it came to.
    pub result: Result<'a>,
}

/// The results of a commit: those operations that have one, in their order.
pub type AssignedList<'a> = List<'a, Assigned<'a>>;

impl<'a> Assigned<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.op as u64);
        match self.result {
            Result::Value(value) => {
                out.push(kind::VALUE);
                value.encode(out);
            }
            Result::Sequence(sequence) => {
                out.push(kind::SEQUENCE);
                put_varint(out, sequence);
            }
            Result::Lease { token, expires_us } => {
                out.push(kind::LEASE);
                token.encode(out);
                out.extend_from_slice(&expires_us.to_le_bytes());
            }
        }
    }
}

impl<'a> Piece<'a> for Assigned<'a> {
    const WHAT: &'static str = "results of operations";

    fn read(reader: &mut Reader<'a>) -> std::result::Result<Assigned<'a>, Malformed> {
        let op = reader.count("ordinal of an operation", COMMIT_OPS_MAX - 1)?;
        let result = match reader.u8()? {
            kind::VALUE => Result::Value(ValueRef::read(reader)?),
            kind::SEQUENCE => Result::Sequence(reader.varint()?),
            kind::LEASE => Result::Lease { token: Position::read(reader)?, expires_us: reader.i64()? },
            got => return Err(Malformed::Unknown { what: "kind of result", got: u64::from(got) }),
        };
        Ok(Assigned { op, result })
    }
}

/// Appends a count and the results.
pub(crate) fn encode(list: &AssignedList<'_>, out: &mut Vec<u8>) {
    put_varint(out, list.len() as u64);
    out.extend_from_slice(list.bytes());
}

/// The inverse of [`encode`].
pub(crate) fn read<'a>(reader: &mut Reader<'a>) -> std::result::Result<AssignedList<'a>, Malformed> {
    List::read_counted(reader, COMMIT_OPS_MAX)
}

/// Results while a commit is evaluated. Memory that is used again: [`clear`](Self::clear) keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    count: usize,
    bytes: Vec<u8>,
}

impl Results {
    /// Adds what operation `op` came to. Operations come in their order, each at most once.
    pub fn push(&mut self, op: usize, result: Result<'_>) {
        Assigned { op, result }.encode(&mut self.bytes);
        self.count += 1;
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }

    /// All of them.
    pub fn list(&self) -> AssignedList<'_> {
        List::trusted(self.count, &self.bytes)
    }

    /// A copy that is kept.
    pub fn of(list: &AssignedList<'_>) -> Results {
        Results { count: list.len(), bytes: list.bytes().to_owned() }
    }
}
