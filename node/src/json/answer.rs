//! Answers as JSON: what became of a commit, refusals, rows.

use seawall::client::{Committed, Doubt, Got, Settled, Unknown};
use seawall::message::assigned::{Result as Assigned, Results};
use seawall::refusal::{Detail, Seen};
use seawall::{Outcome, Refusal, Row, Value};
use serde_json::{Value as Json, json};

use super::{row, value};

/// `outcome` is committed, rejected or unknown.
pub fn outcome(outcome: &Outcome) -> Json {
    match outcome {
        Outcome::Committed(done) => committed(done),
        Outcome::Rejected(why) => json!({ "outcome": "rejected", "refusal": refusal(why) }),
        Outcome::Unknown(doubt) => unknown(doubt),
    }
}

pub fn committed(done: &Committed) -> Json {
    json!({
        "outcome": "committed",
        "version": done.version.to_string(),
        "token": done.token.to_string(),
        "replayed": done.replayed,
        "results": results(&done.results),
    })
}

fn results(results: &Results) -> Vec<Json> {
    let results = results.list();
    let one = results.iter().map(|assigned| match assigned.result {
        Assigned::Value(now) => json!({ "operation": assigned.op, "value": value(&now.to_value()) }),
        Assigned::Sequence(sequence) => json!({ "operation": assigned.op, "sequence": sequence }),
        Assigned::Lease { token, expires_us } => json!({
            "operation": assigned.op,
            "token": token.to_string(),
            "expires": Value::Time(expires_us).to_string(),
        }),
    });
    one.collect()
}

fn unknown(doubt: &Unknown) -> Json {
    let (why, refused) = match &doubt.why {
        Doubt::Refusal(why) => (why.to_string(), Some(refusal(why))),
        Doubt::Connection(why) => (why.clone(), None),
    };
    let resolve = doubt.key.as_ref().filter(|_| !doubt.is_beyond_settling()).map(|key| {
        json!({
            "partition": doubt.partition.to_string(),
            "key": key.to_string(),
            "first_sent": key.first_sent_us().map(|us| Value::Time(us).to_string()),
        })
    });
    json!({ "outcome": "unknown", "why": why, "refusal": refused, "resolve": resolve })
}

/// Nothing was done, or nobody knows.
pub fn refused(why: &Refusal) -> Json {
    json!({ "outcome": why.outcome.to_string(), "refusal": refusal(why) })
}

/// Why something was not done. Programs decide by `code` and by what stands in `detail`; the rest is for people.
pub fn refusal(refusal: &Refusal) -> Json {
    let reason = &refusal.reason;
    json!({
        "code": refusal.code.name(),
        "number": refusal.code as u16,
        "outcome": refusal.outcome.to_string(),
        "retry": refusal.retry().to_string(),
        "retry_after_ms": refusal.retry_after_ms,
        "rule": reason.rule,
        "expected": reason.expected,
        "observed": reason.observed,
        "position": refusal.position.map(|position| position.to_string()),
        "hint": reason.hint,
        "detail": detail(&reason.detail),
    })
}

fn detail(detail: &Detail) -> Json {
    match detail {
        Detail::None => Json::Null,
        Detail::Check { ordinal, row } => json!({ "check": ordinal, "seen": row.as_ref().map(seen) }),
        Detail::Operation { ordinal, row } => json!({ "operation": ordinal, "seen": row.as_ref().map(seen) }),
        Detail::Leader(address) => json!({ "leader": address }),
        Detail::Position(position) => json!({ "position": position.to_string() }),
        Detail::Row { partition, row } => {
            json!({ "partition": partition.to_string(), "row": row.to_string() })
        }
        Detail::Request { partition, .. } => json!({
            "partition": partition.to_string(),
            "key": detail.request_key().map(|key| key.name.to_string()),
            "first_sent": detail.request_key().map(|key| Value::Time(key.first_sent_us).to_string()),
        }),
    }
}

fn seen(seen: &Seen) -> Json {
    json!({ "version": seen.version.to_string(), "row": Row::decode(&seen.row).ok().map(|found| row(&found)) })
}

/// A row that was asked for by its name.
pub fn got(got: &Got) -> Json {
    json!({
        "found": got.row.is_some(),
        "row": got.row.as_ref().map(row),
        "version": got.version.map(|version| version.to_string()),
        "token": got.token.to_string(),
        "staleness_ms": got.staleness.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// What became of a commit that was asked for by its key; `final`: it cannot change any more.
pub fn settled(settled: &Settled) -> Json {
    let plain = |status: &str, is_final| json!({ "status": status, "final": is_final });
    match settled {
        Settled::Committed(done) => {
            json!({ "status": "COMMITTED", "final": true, "commit": committed(done) })
        }
        Settled::Rejected(why) => json!({ "status": "REJECTED", "final": true, "refusal": refusal(why) }),
        Settled::Aborted => plain("ABORTED", true),
        Settled::InFlight => plain("IN_FLIGHT", false),
        Settled::Unseen(token) => {
            json!({ "status": "UNSEEN", "final": false, "as_of": token.to_string() })
        }
        Settled::Expired => plain("EXPIRED", true),
        Settled::Lost => plain("LOST", true),
    }
}
