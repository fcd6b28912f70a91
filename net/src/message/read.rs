//! GET: one row, and how fresh it must be.

use crate::address::RowRef;
use crate::key::Key;
use crate::limits::{KEY_MAX, ROW_MAX};
use crate::position::{Epoch, Index, Position};
use crate::refusal::Refusal;
use crate::row;
use crate::wire::{Malformed, Reader, put_sized};

/// What a read may rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Everything that was committed before the read was sent.
    Linearizable,
}

/// The number of each consistency; all but the first are reserved.
mod consistency {
    pub(super) const LINEARIZABLE: u8 = 1;
    pub(super) const SESSION: u8 = 2;
    pub(super) const MAX_STALENESS: u8 = 3;
    pub(super) const AT: u8 = 4;
}

/// A GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetRequest<'a> {
    /// The bytes of the partition's key.
    pub partition: &'a [u8],
    /// The row's table.
    pub table: &'a str,
    /// The bytes of the row's key.
    pub row_key: &'a [u8],
    /// How fresh it must be.
    pub consistency: Consistency,
}

impl<'a> GetRequest<'a> {
    /// A linearizable read of one row.
    pub fn new(partition: &'a Key, row: &'a RowRef) -> GetRequest<'a> {
        GetRequest {
            partition: partition.as_bytes(),
            table: &row.table,
            row_key: row.key.as_bytes(),
            consistency: Consistency::Linearizable,
        }
    }

    /// Whether a node would read it; see [`Commit::check`](super::Commit::check).
    pub fn check(&self) -> Result<(), Refusal> {
        let mut payload = Vec::new();
        self.encode(&mut payload);
        GetRequest::decode(&payload).map(drop)
    }

    /// Appends the payload, unchecked.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self.consistency {
            Consistency::Linearizable => consistency::LINEARIZABLE,
        });
        put_sized(out, self.partition);
        put_sized(out, self.table.as_bytes());
        put_sized(out, self.row_key);
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<GetRequest<'a>, Refusal> {
        let mut reader = Reader::new(payload);
        let malformed = |malformed| Refusal::malformed("get", malformed);
        let consistency = read_consistency(reader.u8().map_err(malformed)?)?;
        let (partition, table, row_key) = read_address(&mut reader).map_err(malformed)?;
        Ok(GetRequest { partition, table, row_key, consistency })
    }
}

fn read_consistency(number: u8) -> Result<Consistency, Refusal> {
    let unsupported = |what| Err(Refusal::unsupported("get.consistency", what, u64::from(number)));
    match number {
        consistency::LINEARIZABLE => Ok(Consistency::Linearizable),
        consistency::SESSION => unsupported("consistency SESSION"),
        consistency::MAX_STALENESS => unsupported("consistency MAX_STALENESS"),
        consistency::AT => unsupported("consistency AT"),
        _ => unsupported("consistency"),
    }
}

fn read_address<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a str, &'a [u8]), Malformed> {
    let partition = reader.sized("partition", KEY_MAX)?;
    let table = reader.name()?;
    let row_key = reader.sized("row key", KEY_MAX)?;
    reader.end()?;
    Key::check(partition)?;
    Key::check(row_key)?;
    Ok((partition, table, row_key))
}

/// A row as a node found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The position of its last writer.
    pub version: Position,
    /// The bytes of the row.
    pub row: &'a [u8],
}

/// What a GET found, behind the lineage tag of the reply.
pub(crate) fn encode_found(out: &mut Vec<u8>, found: Option<Found<'_>>) {
    out.push(u8::from(found.is_some()));
    if let Some(Found { version, row }) = found {
        out.extend_from_slice(&version.epoch.0.to_le_bytes());
        out.extend_from_slice(&version.index.0.to_le_bytes());
        put_sized(out, row);
    }
}

/// The inverse of [`encode_found`].
pub(crate) fn read_found<'a>(reader: &mut Reader<'a>) -> Result<Option<Found<'a>>, Malformed> {
    match reader.u8()? {
        0 => Ok(None),
        1 => {
            let version = Position { epoch: Epoch(reader.u64()?), index: Index(reader.u64()?) };
            let row = reader.sized("row", ROW_MAX)?;
            row::check(row)?;
            Ok(Some(Found { version, row }))
        }
        got => Err(Malformed::Unknown { what: "presence of a row", got: u64::from(got) }),
    }
}
