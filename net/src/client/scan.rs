//! Scans: page by page, or row by row over as many pages as it takes.

use std::ops::Bound;

use super::Client;
use super::answer::{Failure, Result, decode_row, token, unexpected};
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

impl Client {
    /// One page.
    pub fn scan(&mut self, scan: &Scan) -> Result<Page> {
        let request = scan.request();
        let opcode = if request.index.is_some() { Opcode::ScanIndex } else { Opcode::Scan };
        let page = self.ask(opcode, |payload| request.encode(payload), page)?;
        self.saw(page.token);
        Ok(page)
    }

    /// All rows, page after page; each page is exact at a position of its own. Ends behind the first error.
    pub fn rows(&mut self, scan: Scan) -> impl Iterator<Item = Result<PageRow>> {
        let (mut next, mut rows) = (Some(scan), Vec::new().into_iter());
        std::iter::from_fn(move || {
            loop {
                if let Some(row) = rows.next() {
                    return Some(Ok(row));
                }
                let scan = next.take()?;
                match self.scan(&scan) {
                    Ok(page) => {
                        rows = page.rows.into_iter();
                        next = page.cursor.map(|cursor| scan.behind(cursor));
                    }
                    Err(error) => return Some(Err(error)),
                }
            }
        })
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
