//! SCAN and SCAN_INDEX: the rows of a table in the order of their keys, a page at a time.

use std::ops::Bound;

use super::read::{Consistency, Found, read_partition};
use crate::key::Key;
use crate::limits::{CURSOR_MAX, KEY_MAX, SCAN_ROWS_MAX};
use crate::list::{List, Piece};
use crate::refusal::Refusal;
use crate::row;
use crate::wire::{Malformed, Reader, put_sized, put_varint};

/// The number of each kind of span and of each kind of end.
mod kind {
    pub(super) const ALL: u8 = 0;
    pub(super) const PREFIX: u8 = 1;
    pub(super) const RANGE: u8 = 2;
    pub(super) const UNBOUNDED: u8 = 0;
    pub(super) const INCLUDED: u8 = 1;
    pub(super) const EXCLUDED: u8 = 2;
}

/// Which keys: of rows, or of the entries of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span<'a> {
    /// All of them.
    All,
    /// Those whose tuple begins with this one; see [`prefix`](crate::key::prefix).
    Prefix(&'a [u8]),
    /// Those between two, as their bytes sort.
    Range {
        /// From here on.
        from: Bound<&'a [u8]>,
        /// Up to here.
        to: Bound<&'a [u8]>,
    },
}

impl<'a> Span<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Span::All => out.push(kind::ALL),
            Span::Prefix(key) => {
                out.push(kind::PREFIX);
                put_sized(out, key);
            }
            Span::Range { from, to } => {
                out.push(kind::RANGE);
                encode_end(from, out);
                encode_end(to, out);
            }
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Span<'a>, Malformed> {
        Ok(match reader.u8()? {
            kind::ALL => Span::All,
            kind::PREFIX => Span::Prefix(read_key(reader)?),
            kind::RANGE => Span::Range { from: read_end(reader)?, to: read_end(reader)? },
            got => return Err(Malformed::Unknown { what: "kind of span", got: u64::from(got) }),
        })
    }
}

fn encode_end(end: &Bound<&[u8]>, out: &mut Vec<u8>) {
    let (kind, key) = match end {
        Bound::Unbounded => return out.push(kind::UNBOUNDED),
        Bound::Included(key) => (kind::INCLUDED, key),
        Bound::Excluded(key) => (kind::EXCLUDED, key),
    };
    out.push(kind);
    put_sized(out, key);
}

fn read_end<'a>(reader: &mut Reader<'a>) -> Result<Bound<&'a [u8]>, Malformed> {
    Ok(match reader.u8()? {
        kind::UNBOUNDED => Bound::Unbounded,
        kind::INCLUDED => Bound::Included(read_key(reader)?),
        kind::EXCLUDED => Bound::Excluded(read_key(reader)?),
        got => return Err(Malformed::Unknown { what: "end of a range", got: u64::from(got) }),
    })
}

fn read_key<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let key = reader.sized("key", KEY_MAX)?;
    Key::check(key)?;
    Ok(key)
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Order {
    /// The lowest key first.
    #[default]
    Ascending = 0,
    /// The highest key first.
    Descending = 1,
}

/// A SCAN, or with an index a SCAN_INDEX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanRequest<'a> {
    /// How fresh each page must be.
    pub consistency: Consistency,
    /// The bytes of the partition's key.
    pub partition: &'a [u8],
    /// The rows' table.
    pub table: &'a str,
    /// The index whose keys are meant; `None`: those of the rows.
    pub index: Option<&'a str>,
    /// Which keys.
    pub span: Span<'a>,
    /// In which order.
    pub order: Order,
    /// How many rows a page may have: 1 to [`SCAN_ROWS_MAX`]. A node may return fewer and a cursor.
    pub limit: usize,
    /// Where the page before this one ended; empty: nowhere, this is the first one.
    pub cursor: &'a [u8],
}

impl<'a> ScanRequest<'a> {
    /// The first page of all rows of a table, linearizable.
    pub fn new(partition: &'a Key, table: &'a str) -> ScanRequest<'a> {
        ScanRequest {
            consistency: Consistency::Linearizable,
            partition: partition.as_bytes(),
            table,
            index: None,
            span: Span::All,
            order: Order::Ascending,
            limit: SCAN_ROWS_MAX,
            cursor: &[],
        }
    }

    /// Whether a node would read it; see [`Commit::check`](super::Commit::check).
    pub fn check(&self) -> Result<(), Refusal> {
        let mut payload = Vec::new();
        self.encode(&mut payload);
        ScanRequest::decode(&payload, self.index.is_some()).map(drop)
    }

    /// Appends the payload, unchecked.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.consistency.encode(out);
        put_sized(out, self.partition);
        put_sized(out, self.table.as_bytes());
        if let Some(index) = self.index {
            put_sized(out, index.as_bytes());
        }
        self.span.encode(out);
        out.push(self.order as u8);
        put_varint(out, self.limit as u64);
        put_sized(out, self.cursor);
    }

    pub(crate) fn decode(payload: &'a [u8], indexed: bool) -> Result<ScanRequest<'a>, Refusal> {
        let mut reader = Reader::new(payload);
        let consistency = Consistency::read(&mut reader)?;
        let read = |reader: &mut Reader<'a>| {
            let scan = ScanRequest {
                consistency,
                partition: read_partition(reader)?,
                table: reader.name()?,
                index: if indexed { Some(reader.name()?) } else { None },
                span: Span::read(reader)?,
                order: match reader.u8()? {
                    0 => Order::Ascending,
                    1 => Order::Descending,
                    got => return Err(Malformed::Unknown { what: "order", got: u64::from(got) }),
                },
                limit: reader.count("rows of a page", SCAN_ROWS_MAX)?,
                cursor: reader.sized("cursor", CURSOR_MAX)?,
            };
            reader.end()?;
            if scan.limit == 0 { Err(Malformed::Empty) } else { Ok(scan) }
        };
        read(&mut reader).map_err(|malformed| Refusal::malformed("scan", malformed))
    }
}

/// A row of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRow<'a> {
    /// The bytes of its key.
    pub key: &'a [u8],
    /// What stands there.
    pub found: Found<'a>,
}

/// What stands in front of each row of a page; 0 ends the page.
const ROW: u8 = 1;

impl<'a> Piece<'a> for PageRow<'a> {
    const WHAT: &'static str = "rows of a page";

    fn read(reader: &mut Reader<'a>) -> Result<PageRow<'a>, Malformed> {
        match reader.u8()? {
            ROW => Ok(PageRow { key: reader.sized("row key", KEY_MAX)?, found: Found::read(reader)? }),
            got => Err(Malformed::Unknown { what: "piece of a page", got: u64::from(got) }),
        }
    }

    fn check(&self) -> Result<(), Malformed> {
        Key::check(self.key)?;
        row::check(self.found.row)
    }
}

/// A page of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// In the order that was asked for.
    pub rows: List<'a, PageRow<'a>>,
    /// What the next page begins behind; empty: there is none.
    pub cursor: &'a [u8],
}

impl<'a> Page<'a> {
    /// Appends rows as they come, each written once; nobody needs to know before how many there are.
    pub(crate) fn encode<'r>(
        out: &mut Vec<u8>,
        rows: impl IntoIterator<Item = PageRow<'r>>,
        cursor: impl FnOnce() -> &'r [u8],
    ) {
        for PageRow { key, found } in rows {
            out.push(ROW);
            put_sized(out, key);
            found.encode(out);
        }
        out.push(0);
        put_sized(out, cursor());
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Page<'a>, Malformed> {
        Ok(Page { rows: List::read_ended(reader)?, cursor: reader.sized("cursor", CURSOR_MAX)? })
    }
}
