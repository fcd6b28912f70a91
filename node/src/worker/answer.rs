//! The bytes of answers. The head says what the shard is when the answer leaves.

use seawall::message::outcome::{Decision, StoredOutcome};
use seawall::message::read::Found;
use seawall::message::settle::KeyStatus;
use seawall::position::{Lineage, Position};
use seawall::reply::{self, Flags, ReplyMeta};

use crate::shard::release::{Answer, Status};

pub(super) fn encode(out: &mut Vec<u8>, meta: ReplyMeta, answer: &Answer, lineage: &Lineage) {
    let tag = lineage.tag();
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
            // One replica: nobody else can have committed anything since, so the answer is current.
            let meta = ReplyMeta { position: Some(*position), staleness_ms: Some(0), ..meta };
            let found = row.as_ref().map(|(version, row)| Found { version: *version, row });
            reply::encode_row(out, &meta, tag, found);
        }
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
