//! Scans: page by page, or row by row over as many pages as it takes.

use std::ops::Bound;

use super::answer::{Failure, Result, decode_row, token, unexpected};
use super::ask::Ask;
use crate::key::Key;
use crate::limits::SCAN_ROWS_MAX;
use crate::message::scan::{Order, ScanRequest, Span};
use crate::message::{Consistency, Opcode};
use crate::position::Position;
use crate::refusal::Refusal;
use crate::reply::{Body, Reply};
use crate::row::Row;
use crate::token::Token;

/// What to scan: all rows of a table, unless it is told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    partition: Key,
    table: String,
    index: Option<String>,
    keys: Keys,
    order: Order,
    limit: usize,
    consistency: Consistency,
    cursor: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Keys {
    All,
    Prefix(Key),
    Range(Bound<Key>, Bound<Key>),
}

impl Scan {
    /// All rows of `table` in `partition`, in the order of their keys.
    pub fn new(partition: impl Into<Key>, table: impl Into<String>) -> Scan {
        Scan {
            partition: partition.into(),
            table: table.into(),
            index: None,
            keys: Keys::All,
            order: Order::Ascending,
            limit: SCAN_ROWS_MAX,
            consistency: Consistency::Linearizable,
            cursor: Vec::new(),
        }
    }

    /// In the order of an index, whose keys are then meant by a prefix or a range.
    pub fn by(mut self, index: impl Into<String>) -> Scan {
        self.index = Some(index.into());
        self
    }

    /// Only keys whose tuple begins with this one.
    pub fn prefix(mut self, key: impl Into<Key>) -> Scan {
        self.keys = Keys::Prefix(key.into());
        self
    }

    /// Only keys between two.
    pub fn range(mut self, from: Bound<Key>, to: Bound<Key>) -> Scan {
        self.keys = Keys::Range(from, to);
        self
    }

    /// The highest key first.
    pub fn descending(mut self) -> Scan {
        self.order = Order::Descending;
        self
    }

    /// At most this many rows a page.
    pub fn limit(mut self, rows: usize) -> Scan {
        self.limit = rows;
        self
    }

    /// How fresh each page must be.
    pub fn consistency(mut self, consistency: Consistency) -> Scan {
        self.consistency = consistency;
        self
    }

    /// Behind the page that ended with this cursor.
    pub fn behind(mut self, cursor: Vec<u8>) -> Scan {
        self.cursor = cursor;
        self
    }

    fn request(&self) -> ScanRequest<'_> {
        let span = match &self.keys {
            Keys::All => Span::All,
            Keys::Prefix(key) => Span::Prefix(key.as_bytes()),
            Keys::Range(from, to) => {
                Span::Range { from: from.as_ref().map(Key::as_bytes), to: to.as_ref().map(Key::as_bytes) }
            }
        };
        ScanRequest {
            consistency: self.consistency,
            partition: self.partition.as_bytes(),
            table: &self.table,
            index: self.index.as_deref(),
            span,
            order: self.order,
            limit: self.limit,
            cursor: &self.cursor,
        }
    }
}

/// A row that a scan met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRow {
    /// Its name within the table.
    pub key: Key,
    /// What it holds.
    pub row: Row,
    /// The position of its last writer.
    pub version: Position,
}

/// Some rows, exact at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order that was asked for.
    pub rows: Vec<PageRow>,
    /// What the page rests on.
    pub token: Token,
    /// Where the next page begins; `None`: there is none.
    pub cursor: Option<Vec<u8>>,
}

/// One page.
pub(crate) fn scan(scan: &Scan) -> Ask<impl Fn(&mut Vec<u8>), Page> {
    let request = scan.request();
    let opcode = if request.index.is_some() { Opcode::ScanIndex } else { Opcode::Scan };
    Ask::new(opcode, move |payload| request.encode(payload), page).seen_at(|page| Some(page.token))
}

/// All rows, page after page; each page is exact at a position of its own. Ends behind the first error.
#[derive(Debug)]
pub(crate) struct Pages {
    rows: std::vec::IntoIter<PageRow>,
    next: Option<Scan>,
}

impl Pages {
    pub(crate) fn of(scan: Scan) -> Pages {
        Pages { rows: Vec::new().into_iter(), next: Some(scan) }
    }

    /// The next row of the page that is there.
    pub(crate) fn row(&mut self) -> Option<PageRow> {
        self.rows.next()
    }

    /// The page that is wanted when the rows of the last one are gone.
    pub(crate) fn wanted(&self) -> Option<&Scan> {
        self.next.as_ref()
    }

    /// The page that was wanted.
    pub(crate) fn turn(&mut self, page: Result<Page>) -> Result<()> {
        let scan = self.next.take();
        let Page { rows, cursor, .. } = page?;
        self.rows = rows.into_iter();
        self.next = scan.zip(cursor).map(|(scan, cursor)| scan.behind(cursor));
        Ok(())
    }
}

fn page(reply: &Reply<'_>) -> std::result::Result<Page, Failure> {
    let Body::Page { lineage_tag, page } = &reply.body else {
        return Err(unexpected(reply));
    };
    let mut rows = Vec::with_capacity(page.rows.len());
    for met in page.rows.iter() {
        let key = Key::from_bytes(met.key)
            .map_err(|malformed| Failure::Protocol(Box::new(Refusal::malformed("reply.key", malformed))))?;
        rows.push(PageRow { key, row: decode_row(met.found.row)?, version: met.found.version });
    }
    let cursor = (!page.cursor.is_empty()).then(|| page.cursor.to_owned());
    Ok(Page { rows, token: token(reply, *lineage_tag), cursor })
}
