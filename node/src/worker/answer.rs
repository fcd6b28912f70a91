//! The bytes of answers.

use seawall::List;
use seawall::message::declare::Declared;
use seawall::message::read::Found;
use seawall::message::report::Fact;
use seawall::message::scan::PageRow;
use seawall::position::Lineage;
use seawall::refusal::Outcome;
use seawall::reply::{self, ReplyMeta};

use crate::shard::release::Answer;

/// Appends an answer. The head says what the shard is when the answer leaves.
pub(super) fn encode(out: &mut Vec<u8>, meta: ReplyMeta, answer: &Answer, lineage: &Lineage) {
    let tag = lineage.tag();
    let at = |position| ReplyMeta { position: Some(position), ..meta };
    match answer {
        Answer::Committed { position } => reply::encode_committed(out, &at(*position), tag, &List::EMPTY),
        Answer::Row { position, row } => {
            let found = row.as_ref().map(|(version, row)| Found { version: *version, row });
            reply::encode_row(out, &at(*position), tag, found);
        }
        Answer::Rows { position, rows } => {
            let rows = rows.iter().map(|row| {
                row.as_ref().map(|(version, row)| Found { version: *version, row })
            });
            reply::encode_rows(out, &at(*position), tag, rows);
        }
        Answer::Page { position, rows, cursor } => {
            let rows = rows.iter().map(|scanned| PageRow {
                key: &scanned.key,
                found: Found { version: scanned.version, row: &scanned.row },
            });
            reply::encode_page(out, &at(*position), tag, rows, || cursor);
        }
        Answer::Declared { position } => reply::encode_done(out, &at(*position), Outcome::Committed),
        Answer::Described { position, found } => {
            let declared = found.as_ref();
            let declared = declared.map(|(version, declaration)| Declared { version: *version, declaration });
            reply::encode_declared(out, &at(*position), declared);
        }
        Answer::Report { facts } => encode_facts(out, &meta, facts),
        Answer::Refused(refusal) => reply::encode_refusal(out, &meta, refusal),
    }
}

/// Appends a report.
pub(super) fn encode_facts(
    out: &mut Vec<u8>,
    meta: &ReplyMeta,
    facts: &[crate::shard::release::Fact],
) {
    let facts = facts.iter().map(|(name, value)| Fact { name, value: value.as_deref().map_err(String::as_str) });
    reply::encode_report(out, meta, facts);
}
