//! GET and MULTI_GET: rows by their names, and how fresh they must be.

use super::term::RowAt;
use crate::address::RowRef;
use crate::glance::Glance;
use crate::key::Key;
use crate::limits::{KEY_MAX, READ_ROWS_MAX, ROW_MAX};
use crate::list::{List, Piece};
use crate::position::Position;
use crate::refusal::Refusal;
use crate::row;
use crate::token::Token;
use crate::wire::{Malformed, Reader, put_sized, put_varint};

/// What a read may rest on. There is no mode without a watermark: every reply says where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Everything that was committed before the read was sent.
    Linearizable,
    /// At least what the token names: any replica that applied it may answer.
    Session {
        /// Of an earlier commit or read.
        token: Token,
        /// How long a replica may wait for it before it refuses.
        max_wait_ms: u32,
    },
    /// A state that is provably no older than this.
    MaxStaleness {
        /// Milliseconds.
        ms: u32,
    },
}

/// The number of each consistency; the last one is reserved.
mod consistency {
    pub(super) const LINEARIZABLE: u8 = 1;
    pub(super) const SESSION: u8 = 2;
    pub(super) const MAX_STALENESS: u8 = 3;
    pub(super) const AT: u8 = 4;
}

impl Consistency {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Consistency::Linearizable => out.push(consistency::LINEARIZABLE),
            Consistency::Session { token, max_wait_ms } => {
                out.push(consistency::SESSION);
                token.encode(out);
                out.extend_from_slice(&max_wait_ms.to_le_bytes());
            }
            Consistency::MaxStaleness { ms } => {
                out.push(consistency::MAX_STALENESS);
                out.extend_from_slice(&ms.to_le_bytes());
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Consistency, Refusal> {
        let malformed = |malformed| Refusal::malformed("read.consistency", malformed);
        let unsupported =
            |what, number: u8| Err(Refusal::unsupported("read.consistency", what, u64::from(number)));
        match reader.u8().map_err(malformed)? {
            consistency::LINEARIZABLE => Ok(Consistency::Linearizable),
            consistency::SESSION => {
                let token = Token::read(reader).map_err(malformed)?;
                Ok(Consistency::Session { token, max_wait_ms: reader.u32().map_err(malformed)? })
            }
            consistency::MAX_STALENESS => {
                Ok(Consistency::MaxStaleness { ms: reader.u32().map_err(malformed)? })
            }
            number @ consistency::AT => unsupported("consistency AT", number),
            number => unsupported("consistency", number),
        }
    }
}

/// The bytes of a partition's key, checked.
pub(crate) fn read_partition<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let partition = reader.sized("partition", KEY_MAX)?;
    Key::check(partition)?;
    Ok(partition)
}

/// A GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetRequest<'a> {
    /// How fresh it must be.
    pub consistency: Consistency,
    /// The bytes of the partition's key.
    pub partition: &'a [u8],
    /// Which row.
    pub at: RowAt<'a>,
}

impl<'a> GetRequest<'a> {
    /// A linearizable read of one row.
    pub fn new(partition: &'a Key, row: &'a RowRef) -> GetRequest<'a> {
        let consistency = Consistency::Linearizable;
        GetRequest { consistency, partition: partition.as_bytes(), at: row.into() }
    }

    /// Whether a node would read it; see [`Commit::check`](super::Commit::check).
    pub fn check(&self) -> Result<(), Refusal> {
        let mut payload = Vec::new();
        self.encode(&mut payload);
        GetRequest::decode(&payload).map(drop)
    }

    /// Appends the payload, unchecked.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.consistency.encode(out);
        put_sized(out, self.partition);
        self.at.encode(out);
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<GetRequest<'a>, Refusal> {
        let mut reader = Reader::new(payload);
        let consistency = Consistency::read(&mut reader)?;
        let read = |reader: &mut Reader<'a>| {
            let (partition, at) = (read_partition(reader)?, RowAt::read(reader)?);
            at.check()?;
            reader.end()?;
            Ok(GetRequest { consistency, partition, at })
        };
        read(&mut reader).map_err(|malformed| Refusal::malformed("get", malformed))
    }

    /// What a payload is about that nobody has checked.
    pub(crate) fn glance(payload: &'a [u8]) -> Option<Glance<'a>> {
        let mut reader = Reader::new(payload);
        Consistency::read(&mut reader).ok()?;
        let partition = reader.sized("partition", KEY_MAX).ok()?;
        Some(Glance { partition, name: None, row: Some(RowAt::read(&mut reader).ok()?) })
    }
}

/// A MULTI_GET: rows of one partition, all as they are at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiGetRequest<'a> {
    /// How fresh they must be.
    pub consistency: Consistency,
    /// The bytes of the partition's key.
    pub partition: &'a [u8],
    /// Which rows; at least one, and one may stand there twice.
    pub rows: List<'a, RowAt<'a>>,
}

impl<'a> MultiGetRequest<'a> {
    /// Appends the payload, unchecked.
    pub fn encode_rows(out: &mut Vec<u8>, consistency: &Consistency, partition: &Key, rows: &[RowRef]) {
        consistency.encode(out);
        put_sized(out, partition.as_bytes());
        put_varint(out, rows.len() as u64);
        rows.iter().for_each(|row| RowAt::from(row).encode(out));
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<MultiGetRequest<'a>, Refusal> {
        let mut reader = Reader::new(payload);
        let consistency = Consistency::read(&mut reader)?;
        let read = |reader: &mut Reader<'a>| {
            let partition = read_partition(reader)?;
            let rows: List<'a, RowAt<'a>> = List::read_counted(reader, READ_ROWS_MAX)?;
            reader.end()?;
            if rows.is_empty() {
                return Err(Malformed::Empty);
            }
            Ok(MultiGetRequest { consistency, partition, rows })
        };
        read(&mut reader).map_err(|malformed| Refusal::malformed("multi_get", malformed))
    }
}

/// A row as a node found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The position of its last writer.
    pub version: Position,
    /// The bytes of the row.
    pub row: &'a [u8],
}

impl<'a> Found<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.version.encode(out);
        put_sized(out, self.row);
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Found<'a>, Malformed> {
        Ok(Found { version: Position::read(reader)?, row: reader.sized("row", ROW_MAX)? })
    }
}

/// What a GET found, or one of the rows of a MULTI_GET.
pub(crate) fn encode_found(out: &mut Vec<u8>, found: Option<Found<'_>>) {
    out.push(u8::from(found.is_some()));
    if let Some(found) = found {
        found.encode(out);
    }
}

/// The inverse of [`encode_found`].
impl<'a> Piece<'a> for Option<Found<'a>> {
    const WHAT: &'static str = "rows";

    fn read(reader: &mut Reader<'a>) -> Result<Option<Found<'a>>, Malformed> {
        match reader.u8()? {
            0 => Ok(None),
            1 => Found::read(reader).map(Some),
            got => Err(Malformed::Unknown { what: "presence of a row", got: u64::from(got) }),
        }
    }

    fn check(&self) -> Result<(), Malformed> {
        self.map_or(Ok(()), |found| row::check(found.row))
    }
}

/// One of them, checked.
pub(crate) fn read_found<'a>(reader: &mut Reader<'a>) -> Result<Option<Found<'a>>, Malformed> {
    let found = Option::<Found<'a>>::read(reader)?;
    found.check()?;
    Ok(found)
}
