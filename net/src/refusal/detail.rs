//! What programs want to know of a refusal beyond its code.

use crate::address::RowRef;
use crate::key::Key;
use crate::limits::{ADDRESS_MAX, COMMIT_CHECKS_MAX, COMMIT_OPS_MAX, KEY_MAX};
use crate::list::Piece;
use crate::message::read::Found;
use crate::message::request_key::RequestKey;
use crate::message::term::RowAt;
use crate::position::Position;
use crate::wire::{Malformed, Reader, put_sized, put_varint};

/// The number of each kind of detail.
mod kind {
    pub(super) const NONE: u8 = 0;
    pub(super) const CHECK: u8 = 1;
    pub(super) const OPERATION: u8 = 2;
    pub(super) const LEADER: u8 = 3;
    pub(super) const POSITION: u8 = 4;
    pub(super) const ROW: u8 = 5;
    pub(super) const REQUEST: u8 = 6;
}

/// A row that a commit failed on, for a caller who asked to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The position of its last writer.
    pub version: Position,
    /// The bytes of the row.
    pub row: Vec<u8>,
}

impl From<Found<'_>> for Seen {
    fn from(found: Found<'_>) -> Seen {
        Seen { version: found.version, row: found.row.to_owned() }
    }
}

/// Whatever the code is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Nothing more than the code says.
    #[default]
    None,
    /// The check of a commit that does not hold.
    Check {
        /// From 0.
        ordinal: usize,
        /// The row, if it was asked for and is there.
        row: Option<Seen>,
    },
    /// The operation of a commit that cannot be done.
    Operation {
        /// From 0.
        ordinal: usize,
        /// The row, if it was asked for and is there.
        row: Option<Seen>,
    },
    /// NOT_LEADER: `host:port` of who leads.
    Leader(String),
    /// COMPACTED: the oldest that is kept. NOT_CAUGHT_UP: what is applied. TOKEN_LOST_HISTORY: the end of what the two
    /// histories have in common.
    Position(Position),
    /// The row that a declaration does not fit.
    Row {
        /// Its partition.
        partition: Key,
        /// Its table and key.
        row: RowRef,
    },
    /// What to RESOLVE, where the outcome is unknown.
    Request {
        /// The commit's partition.
        partition: Key,
        /// The bytes of its request key, as they stand in a request.
        key: Vec<u8>,
    },
}

impl Detail {
    /// The request key that is named, if one is.
    pub fn request_key(&self) -> Option<RequestKey<'_>> {
        match self {
            Detail::Request { key, .. } => RequestKey::read(&mut Reader::new(key)).ok().flatten(),
            _ => None,
        }
    }
}

impl Detail {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Detail::None => out.push(kind::NONE),
            Detail::Check { ordinal, row } => encode_place(kind::CHECK, *ordinal, row.as_ref(), out),
            Detail::Operation { ordinal, row } => encode_place(kind::OPERATION, *ordinal, row.as_ref(), out),
            Detail::Leader(address) => {
                out.push(kind::LEADER);
                put_sized(out, address.as_bytes());
            }
            Detail::Position(position) => {
                out.push(kind::POSITION);
                position.encode(out);
            }
            Detail::Row { partition, row } => {
                out.push(kind::ROW);
                put_sized(out, partition.as_bytes());
                RowAt::from(row).encode(out);
            }
            Detail::Request { partition, key } => {
                out.push(kind::REQUEST);
                put_sized(out, partition.as_bytes());
                out.extend_from_slice(key);
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Detail, Malformed> {
        let (check, operation) = ("ordinal of a check", "ordinal of an operation");
        Ok(match reader.u8()? {
            kind::NONE => Detail::None,
            kind::CHECK => Detail::Check {
                ordinal: reader.count(check, COMMIT_CHECKS_MAX - 1)?,
                row: read_seen(reader)?,
            },
            kind::OPERATION => Detail::Operation {
                ordinal: reader.count(operation, COMMIT_OPS_MAX - 1)?,
                row: read_seen(reader)?,
            },
            kind::LEADER => Detail::Leader(reader.text("address", ADDRESS_MAX)?.to_owned()),
            kind::POSITION => Detail::Position(Position::read(reader)?),
            kind::ROW => {
                let partition = Key::from_bytes(reader.sized("partition", KEY_MAX)?)?;
                let at = RowAt::read(reader)?;
                let row = RowRef { table: at.table.to_owned(), key: Key::from_bytes(at.key)? };
                Detail::Row { partition, row }
            }
            kind::REQUEST => {
                let partition = Key::from_bytes(reader.sized("partition", KEY_MAX)?)?;
                let mut key = Vec::new();
                RequestKey::encode(Some(&RequestKey::read_some(reader)?), &mut key);
                Detail::Request { partition, key }
            }
            got => return Err(Malformed::Unknown { what: "kind of detail", got: u64::from(got) }),
        })
    }
}

fn encode_place(kind: u8, ordinal: usize, row: Option<&Seen>, out: &mut Vec<u8>) {
    out.push(kind);
    put_varint(out, ordinal as u64);
    let found = row.map(|seen| Found { version: seen.version, row: &seen.row });
    crate::message::read::encode_found(out, found);
}

fn read_seen(reader: &mut Reader<'_>) -> Result<Option<Seen>, Malformed> {
    Ok(crate::message::read::read_found(reader)?.map(Seen::from))
}
