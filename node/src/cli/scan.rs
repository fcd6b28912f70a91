//! `seawall scan`: rows of a table in order, as many as asked for.

use std::ops::Bound;

use clap::Args;
use seawall::client::{Page, PageRow, Scan};
use seawall::limits::SCAN_ROWS_MAX;
use seawall::{Client, Key, Token};
use serde_json::{Value as Json, json};

use super::connect::Connect;
use super::{Exit, args, columns};
use crate::json;

/// Show rows of a table in the order of their keys, or of an index.
#[derive(Args)]
pub(super) struct ScanVerb {
    /// Whose rows.
    #[arg(value_name = "PARTITION", value_parser = args::key)]
    partition: Key,
    /// Which table.
    #[arg(value_name = "TABLE")]
    table: String,
    /// Only keys that begin with these parts: `C` is not a part of `C14`, but of `C,14`.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["from", "to"], value_parser = args::key)]
    prefix: Option<Key>,
    /// From this key on.
    #[arg(long, value_name = "KEY", value_parser = args::key)]
    from: Option<Key>,
    /// Up to this key, without it.
    #[arg(long, value_name = "KEY", value_parser = args::key)]
    to: Option<Key>,
    /// In the order of this index, whose keys are then meant.
    #[arg(long, value_name = "NAME")]
    index: Option<String>,
    /// The highest key first.
    #[arg(long)]
    descending: bool,
    /// How many rows to show at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Go on where a scan ended that said so.
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    after: Option<Cursor>,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Debug)]
pub(super) struct Cursor(Vec<u8>);

pub(super) fn cursor(text: &str) -> Result<Cursor, String> {
    let decoded = json::from_base64(text).filter(|bytes| !bytes.is_empty());
    decoded.map(Cursor).ok_or_else(|| "not a cursor: copy it whole from the scan that ended there".to_owned())
}

/// What was found, over as many pages as it took; each is exact at its own token.
struct Found {
    rows: Vec<PageRow>,
    pages: Vec<Token>,
    cursor: Option<String>,
}

impl ScanVerb {
    pub(super) fn run(self) -> Exit {
        self.connect.with(|client| {
            let found = self.all(client)?;
            self.connect.say(|| table(&found), || document(&found));
            Ok(Exit::Done)
        })
    }

    fn scan(&self) -> Scan {
        let mut scan = Scan::new(&self.partition, &self.table);
        if let Some(index) = &self.index {
            scan = scan.by(index);
        }
        if let Some(prefix) = &self.prefix {
            scan = scan.prefix(prefix);
        } else if self.from.is_some() || self.to.is_some() {
            let from = self.from.clone().map_or(Bound::Unbounded, Bound::Included);
            let to = self.to.clone().map_or(Bound::Unbounded, Bound::Excluded);
            scan = scan.range(from, to);
        }
        if self.descending { scan.descending() } else { scan }
    }

    fn all(&self, client: &mut Client) -> seawall::Result<Found> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut found = Found { rows: Vec::new(), pages: Vec::new(), cursor: None };
        let mut behind = self.after.as_ref().map(|Cursor(bytes)| bytes.clone());
        loop {
            let mut scan = self.scan().limit((limit - found.rows.len()).min(SCAN_ROWS_MAX));
            if let Some(cursor) = behind.take() {
                scan = scan.behind(cursor);
            }
            let Page { rows, token, cursor } = client.scan(&scan)?;
            found.rows.extend(rows);
            found.pages.push(token);
            match cursor {
                Some(cursor) if found.rows.len() < limit => behind = Some(cursor),
                cursor => {
                    found.cursor = cursor.map(|cursor| json::base64(&cursor));
                    return Ok(found);
                }
            }
        }
    }
}

fn table(found: &Found) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in found.rows.iter().flat_map(|row| row.row.iter()) {
        if let Err(place) = names.binary_search(&name) {
            names.insert(place, name);
        }
    }
    let head = ["KEY", "VERSION"].into_iter().chain(names.iter().copied()).map(str::to_owned).collect();
    let mut lines: Vec<Vec<String>> = vec![head];
    for PageRow { key, row, version } in &found.rows {
        let fields =
            names.iter().map(|name| row.get(name).map_or_else(|| "-".to_owned(), ToString::to_string));
        lines.push([key.to_string(), version.to_string()].into_iter().chain(fields).collect());
    }
    let mut text = match found.rows.is_empty() {
        true => "(there are no such rows)".to_owned(),
        false => columns::lines(&lines),
    };
    if let Some(token) = found.pages.last() {
        text += &format!("\nas of  {token}");
    }
    if found.pages.len() > 1 {
        text += &format!(" (the last of {} pages, each exact at a position of its own)", found.pages.len());
    }
    if let Some(cursor) = &found.cursor {
        text += &format!("\nthere are more: --limit N shows more at once, --after {cursor} goes on");
    }
    text
}

fn document(found: &Found) -> Json {
    let row = |row: &PageRow| {
        json!({
            "key": row.key.to_string(),
            "version": row.version.to_string(),
            "row": json::row(&row.row),
        })
    };
    json!({
        "rows": found.rows.iter().map(row).collect::<Vec<_>>(),
        "pages": found.pages.iter().map(Token::to_string).collect::<Vec<_>>(),
        "cursor": found.cursor,
    })
}
