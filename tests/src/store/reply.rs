//! What a reply says, as the history keeps it; and which refusals these worlds explain.

use seawall::Code;
use seawall::message::Consistency;
use seawall::message::assigned::Results;
use seawall::message::read::Found;
use seawall::message::settle::KeyStatus;
use seawall::message::watch;
use seawall::refusal::{Outcome, Refusal};
use seawall::reply::{Body, Flags, Reply, State};

use super::Met;
use super::history::{Answer, Ask, Book, Change, Happened, Seen, Status, Told, What, at};

/// What came, as the history keeps it; `None`: no such answer fits.
pub fn answer(ask: &Ask, reply: &Reply<'_>) -> Option<Answer> {
    let Reply { meta, body } = reply;
    let replayed = meta.flags.has(Flags::REPLAYED);
    let position = meta.position;
    let proven = match (ask.fresh(), meta.staleness_ms) {
        (Some(Consistency::MaxStaleness { ms }), Some(have)) => have <= ms,
        // Only what failed in the moment of the answer cannot prove that it was the newest state.
        (Some(_), None) => meta.state != State::Serving,
        (Some(_) | None, _) => true,
    };
    if !proven && !matches!(body, Body::Refused(_)) {
        return None;
    }
    Some(match (ask, body) {
        (Ask::Commit(_), Body::Committed { results, .. }) => {
            Answer::Committed { at: at(position?), results: Results::of(results), replayed }
        }
        (Ask::Status(..) | Ask::Resolve(_), Body::KeyStatus { status, .. }) => {
            Answer::Status { as_of: at(position?), status: said(status) }
        }
        (Ask::Get(..), Body::Row { found, .. }) => Answer::Row { as_of: at(position?), row: found.map(seen) },
        (Ask::MultiGet(_, wanted), Body::Rows { rows, .. }) if rows.len() == wanted.len() => {
            let rows: Vec<Seen> = rows.iter().map(|found| found.map(seen)).collect();
            Answer::Rows { as_of: at(position?), rows }
        }
        (Ask::Scan(_), Body::Page { page, .. }) => {
            let rows = page.rows.iter().map(|row| {
                let (version, bytes) = seen(row.found);
                (row.key.to_vec(), version, bytes)
            });
            Answer::Page { as_of: at(position?), rows: rows.collect(), cursor: page.cursor.to_vec() }
        }
        (Ask::Declare(_), Body::Done) => Answer::Declared { at: at(position?) },
        (Ask::Describe(_), Body::Declared { declared }) => {
            let found = declared.map(|declared| (declared.version, declared.declaration.to_vec()));
            Answer::Described { as_of: at(position?), found }
        }
        (Ask::Trace(_) | Ask::Explain, Body::Report(report)) => {
            let value = |value: &str| value.to_owned();
            let facts = report.facts.iter().map(|f| (f.name.to_owned(), f.value.map(value).map_err(value)));
            Answer::Facts(facts.collect())
        }
        (Ask::Watch(_), Body::Subscribed { .. }) => Answer::Watching { behind: at(position?) },
        (Ask::Stream, Body::Done) => Answer::Done,
        (_, Body::Refused(why)) => {
            let why = Refusal { position, ..why.clone() };
            match why.outcome {
                Outcome::Rejected if matches!(ask, Ask::Commit(_) | Ask::Declare(_)) => {
                    position?;
                    Answer::Rejected { why, replayed }
                }
                Outcome::None if may_refuse(why.code) => Answer::Refused(why),
                Outcome::Unknown if why.code == Code::KeyExpired => {
                    position?;
                    Answer::Refused(why)
                }
                Outcome::Unknown if matches!(why.code, Code::LogFailed | Code::DurabilityTimeout) => {
                    Answer::Unknown
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn seen(found: Found<'_>) -> (crate::history::At, Vec<u8>) {
    (at(found.version), found.row.to_vec())
}

/// A frame of a stream, as the history keeps it; `None`: it is none.
pub fn told(reply: &Reply<'_>, moment: u64) -> Option<Told> {
    let what = match &reply.body {
        Body::Refused(why) => What::End(Refusal { position: reply.meta.position, ..why.clone() }),
        Body::Told { told: watch::Told::Progress, .. } => What::Progress,
        Body::Told { told: watch::Told::EpochChanged { old, prefix_end }, .. } => {
            What::EpochChanged(crate::history::At { epoch: old.0, index: prefix_end.0 })
        }
        Body::Told { told: watch::Told::Changes(changes), .. } => {
            What::Changes(changes.iter().map(|change| happened(&change)).collect())
        }
        _ => return None,
    };
    Some(Told { moment, upto: at(reply.meta.position?), what })
}

fn happened(change: &watch::Change<'_>) -> Happened {
    let bytes = |bytes: &[u8]| bytes.to_vec();
    let what = match change.what {
        watch::What::Put { at, row } => Change::Put(at.table.to_owned(), bytes(at.key), bytes(row)),
        watch::What::Deleted { at } => Change::Deleted(at.table.to_owned(), bytes(at.key)),
        watch::What::Expired { at } => Change::Expired(at.table.to_owned(), bytes(at.key)),
        watch::What::Event { topic, payload } => Change::Event(topic.to_owned(), bytes(payload)),
    };
    let watch::Change { position, ordinal, time_us, partition, .. } = *change;
    Happened { at: at(position), ordinal, time_us, partition: bytes(partition), change: what }
}

fn said(status: &KeyStatus<'_>) -> Status {
    match status {
        KeyStatus::Committed { at: place, results } => Status::Committed(at(*place), Results::of(results)),
        KeyStatus::Rejected { at: place, why } => Status::Rejected(at(*place), why.clone()),
        KeyStatus::Aborted { at: place } => Status::Aborted(at(*place)),
        KeyStatus::InFlight => Status::InFlight,
        KeyStatus::Unseen => Status::Unseen,
        KeyStatus::Expired => Status::Expired,
        KeyStatus::Lost => Status::Lost,
    }
}

pub fn note(number: usize, met: &mut Met, book: &Book) {
    let attempt = &book.attempts[number];
    match &attempt.answer {
        Answer::Committed { replayed: true, .. } => met.count("outcome replayed"),
        Answer::Rejected { replayed: true, .. } => met.count("rejection replayed"),
        Answer::Row { row, .. } => met.count(if row.is_some() { "row read" } else { "absence read" }),
        Answer::Status { status, .. } => match status {
            Status::Committed(..) => met.count("COMMITTED"),
            Status::Rejected(..) => met.count("REJECTED"),
            Status::Aborted(_) => met.count("ABORTED"),
            Status::Unseen => met.count("UNSEEN"),
            Status::Expired => met.count("EXPIRED"),
            Status::InFlight => met.count("IN_FLIGHT"),
            Status::Lost => met.count("LOST"),
        },
        Answer::Rows { .. } => met.count("MULTI_GET"),
        Answer::Declared { .. } => met.count("DECLARE"),
        Answer::Described { found, .. } => {
            met.count(if found.is_some() { "declaration shown" } else { "no declaration" });
        }
        Answer::Watching { .. } => met.count("SUBSCRIBE"),
        Answer::Facts(facts) if facts.iter().all(|(_, value)| value.is_ok()) => met.count("report, complete"),
        Answer::Facts(_) => met.count("report, incomplete"),
        Answer::Page { .. } | Answer::Unknown | Answer::Refused(_) | Answer::Done => {}
        Answer::Committed { .. } | Answer::Rejected { .. } => {}
    }
    if let (Some(fresh), Some(_)) = (attempt.ask.fresh(), attempt.position())
        && !matches!(attempt.answer, Answer::Refused(_))
    {
        met.count(match fresh {
            Consistency::Linearizable => "LINEARIZABLE",
            Consistency::Session { .. } => "SESSION",
            Consistency::MaxStaleness { .. } => "MAX_STALENESS",
        });
    }
}

/// Refusals with the outcome `none` that these worlds explain. KEY_REUSED rests on a position, which is looked at
/// later.
fn may_refuse(code: Code) -> bool {
    super::met::by(code) == super::met::By::Runs
}

/// Refusals that pass: the same request may be done later.
pub fn passes(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        NotReady
            | LogFailed
            | DiskFull
            | Throttled
            | ClockUntrusted
            | DeadlineBeforeAppend
            | StaleGeneration
            | GenerationAhead
    )
}
