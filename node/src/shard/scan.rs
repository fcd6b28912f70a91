//! Scans: a page of rows in the order of their keys, or of an index, exact at the position that it names.
//!
//! A page is evaluated on the newest state and waits for the newest record that changed anything in the range that it
//! looked at, from its first key up to its last one or to the end of the span. What was removed from there and is not
//! committed yet still lies there as a tombstone, so the newest version in the range says it, for absence too; no
//! counter is kept for ranges or partitions. Since nothing in the range changed behind that record, the page is exact
//! there, and at the committed index if that is higher.

use seawall::address::Address;
use seawall::limits::PAGE_MAX;
use seawall::message::ScanRequest;
use seawall::message::scan::Order;
use seawall::position::Position;
use seawall::refusal::Refusal;

use super::release::Answer;
use super::state::{At, Bytes, State};
use super::table::{above, index_span, row_of, table_span};
use super::{Asked, Shard, spaces};

/// A row of a page.
#[derive(Clone, Debug)]
pub struct Scanned {
    pub key: Box<[u8]>,
    pub version: Position,
    pub row: Bytes,
}

/// A page while it grows.
#[derive(Debug, Default)]
struct Page {
    rows: Vec<Scanned>,
    bytes: usize,
    /// The newest change of anything that was looked at.
    newest: Option<Position>,
    /// What the next page begins behind; empty: nothing is left.
    cursor: Vec<u8>,
}

impl Shard {
    pub(super) fn scan(&mut self, asked: &Asked<'_>, scan: &ScanRequest<'_>) {
        let found = match scan.index {
            None => Ok(page_of_rows(&self.state, asked.namespace, scan)),
            Some(index) => page_of_index(&self.state, asked.namespace, scan, index),
        };
        match found {
            Ok(Page { rows, newest, cursor, .. }) => {
                let (until, position) = self.rests_on(newest);
                self.answer_read(asked, until, Answer::Page { position, rows, cursor });
            }
            Err((refusal, looked_at)) => {
                let (until, position) = self.rests_on(looked_at);
                self.release.answer(asked.to, until, Answer::refused(refusal.at(position)));
            }
        }
    }
}

fn page_of_rows(state: &State, namespace: &str, scan: &ScanRequest<'_>) -> Page {
    let [prefix, low, high] = table_span(namespace, scan.partition, scan.table, &scan.span);
    let (low, high) = behind_cursor(scan, &prefix, low, high);
    let mut page = Page::default();
    let range = state.ordered().range(&low, &high);
    in_order(scan.order, range, |at| {
        page.saw(at.version);
        let Some(row) = at.share() else { return true };
        let key = at.key.get(prefix.len()..).unwrap_or_default();
        page.push(key, at.version, row);
        page.goes_on(scan.limit, key)
    });
    page
}

fn page_of_index(
    state: &State,
    namespace: &str,
    scan: &ScanRequest<'_>,
    index: &str,
) -> Result<Page, (Refusal, Option<Position>)> {
    let table = state.tables().get(namespace, scan.table);
    let declared = table.map(|table| table.declared.position);
    let Some(entries) = table.and_then(|table| table.entries(index)) else {
        return Err((Refusal::no_index(scan.table, index), declared));
    };
    let [prefix, low, high] = index_span(namespace, scan.partition, &scan.span);
    let (low, high) = behind_cursor(scan, &prefix, low, high);
    let mut page = Page { newest: declared, ..Page::default() };
    let mut stored = Vec::new();
    in_order(scan.order, entries.range(&low, &high), |at| {
        page.saw(at.version);
        if at.bytes.is_none() {
            return true;
        }
        let (row, cursor) = row_of(at.key, &prefix, scan.table).expect("an entry holds two keys");
        stored.clear();
        Address { namespace, partition: scan.partition, table: scan.table, row: row.key }
            .stored_key(&mut stored);
        // The row may have changed behind its entry, in fields that the index is not about.
        let (version, bytes) =
            state.look(spaces::ROWS, &stored).row.expect("an entry stands for a row that is there");
        page.saw(version);
        page.push(row.key, version, bytes);
        page.goes_on(scan.limit, cursor)
    });
    Ok(page)
}

/// What is left of a range behind the page before this one. A cursor is only a place: one that nobody gave out begins
/// somewhere in the range, or nowhere.
fn behind_cursor(scan: &ScanRequest<'_>, prefix: &[u8], low: Vec<u8>, high: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let cursor = [prefix, scan.cursor].concat();
    match scan.order {
        _ if scan.cursor.is_empty() => (low, high),
        Order::Ascending => (low.max(above(&cursor)), high),
        Order::Descending => (low, high.min(cursor)),
    }
}

/// Shows what lies in a range one by one until `each` has enough.
fn in_order<'a>(
    order: Order,
    mut range: impl DoubleEndedIterator<Item = At<'a>>,
    mut each: impl FnMut(At<'a>) -> bool,
) {
    let mut next = || match order {
        Order::Ascending => range.next(),
        Order::Descending => range.next_back(),
    };
    while next().is_some_and(&mut each) {}
}

impl Page {
    fn saw(&mut self, version: Position) {
        self.newest = self.newest.max(Some(version));
    }

    fn push(&mut self, key: &[u8], version: Position, row: Bytes) {
        self.bytes += key.len() + row.len();
        self.rows.push(Scanned { key: key.into(), version, row });
    }

    /// Whether there is room for more; if not, the next page begins behind `here`.
    fn goes_on(&mut self, limit: usize, here: &[u8]) -> bool {
        let full = self.rows.len() >= limit || self.bytes >= PAGE_MAX;
        if full {
            self.cursor = here.to_vec();
        }
        !full
    }
}
