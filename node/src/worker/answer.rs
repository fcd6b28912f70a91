//! The bytes of answers. The head says what the shard is when the answer leaves.

use seawall::message::declare::Declared;
use seawall::message::outcome::{Decision, StoredOutcome};
use seawall::message::read::Found;
use seawall::message::report::Fact;
use seawall::message::scan::PageRow;
use seawall::message::settle::KeyStatus;
use seawall::position::Position;
use seawall::refusal::Outcome;
use seawall::reply::{self, Flags, ReplyMeta};

use crate::shard::release::{Answer, Status};

pub(super) fn encode(out: &mut Vec<u8>, meta: ReplyMeta, answer: &Answer, tag: u32) {
    let rest = |position| ReplyMeta { position: Some(position), ..meta };
    match answer {
        Answer::Committed { position, results, .. } => {
            let meta = ReplyMeta { position: Some(*position), ..meta };
            reply::encode_committed(out, &meta, tag, &results.list());
        }
        Answer::Replayed { at, stored, .. } => {
            let meta = ReplyMeta { position: Some(*at), flags: Flags::REPLAYED, ..meta };
            match outcome(stored).decision {
                Decision::Committed { results, .. } => reply::encode_committed(out, &meta, tag, &results),
                Decision::Rejected { why, .. } => reply::encode_refusal(out, &meta, &why),
                Decision::Aborted => unreachable!("refused as aborted"),
            }
        }
        Answer::Status { position, status, .. } => {
            let meta = ReplyMeta { position: Some(*position), ..meta };
            reply::encode_key_status(out, &meta, tag, &key_status(status));
        }
        Answer::Row { position, row } => {
            let found = row.as_ref().map(|(version, row)| Found { version: *version, row });
            reply::encode_row(out, &rest(*position), tag, found);
        }
        Answer::Rows { position, rows } => {
            let rows =
                rows.iter().map(|row| row.as_ref().map(|(version, row)| Found { version: *version, row }));
            reply::encode_rows(out, &rest(*position), tag, rows);
        }
        Answer::Page { position, rows, cursor } => {
            let rows = rows.iter().map(|scanned| PageRow {
                key: &scanned.key,
                found: Found { version: scanned.version, row: &scanned.row },
            });
            reply::encode_page(out, &rest(*position), tag, rows, || cursor);
        }
        Answer::Declared { position } | Answer::Acknowledged { position } => {
            reply::encode_done(out, &rest(*position), Outcome::Committed)
        }
        Answer::Described { position, found } => {
            let declared = found.as_ref();
            let declared = declared.map(|(version, declaration)| Declared { version: *version, declaration });
            reply::encode_declared(out, &rest(*position), declared);
        }
        Answer::Subscribed { position } => reply::encode_subscribed(out, &rest(*position), tag),
        Answer::Done => reply::encode_done(out, &meta, Outcome::None),
        Answer::Report { facts } => encode_facts(out, &meta, facts),
        Answer::Rejected { why: refusal, .. } | Answer::Refused(refusal) => {
            reply::encode_refusal(out, &meta, refusal);
        }
    }
}

fn key_status(status: &Status) -> KeyStatus<'_> {
    match status {
        Status::Stored { at, stored } => decided(*at, stored),
        Status::InFlight => KeyStatus::InFlight,
        Status::Unseen => KeyStatus::Unseen,
        Status::Expired => KeyStatus::Expired,
        Status::Lost => KeyStatus::Lost,
    }
}

fn decided(at: Position, stored: &[u8]) -> KeyStatus<'_> {
    match outcome(stored).decision {
        Decision::Committed { results, .. } => KeyStatus::Committed { at, results },
        Decision::Rejected { why, .. } => KeyStatus::Rejected { at, why },
        Decision::Aborted => KeyStatus::Aborted { at },
    }
}

fn outcome(stored: &[u8]) -> StoredOutcome<'_> {
    StoredOutcome::decode(stored).expect("an outcome that this node stored")
}

/// Appends a report.
pub(super) fn encode_facts(out: &mut Vec<u8>, meta: &ReplyMeta, facts: &[crate::shard::release::Fact]) {
    let facts =
        facts.iter().map(|(name, value)| Fact { name, value: value.as_deref().map_err(String::as_str) });
    reply::encode_report(out, meta, facts);
}
