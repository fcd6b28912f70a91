//! What a reply says, as the history keeps it; and which refusals these worlds explain.

use seawall::Code;
use seawall::message::assigned::Results;
use seawall::message::settle::KeyStatus;
use seawall::refusal::{Outcome, Refusal};
use seawall::reply::{Body, Flags, Reply};

use super::Met;
use super::history::{Answer, Ask, Book, Status, at};

/// What came, as the history keeps it; `None`: no such answer fits.
pub fn answer(ask: &Ask, reply: &Reply<'_>) -> Option<Answer> {
    let Reply { meta, body } = reply;
    let replayed = meta.flags.has(Flags::REPLAYED);
    let position = meta.position;
    Some(match (ask, body) {
        (Ask::Commit(_), Body::Committed { results, .. }) => {
            Answer::Committed { at: at(position?), results: Results::of(results), replayed }
        }
        (Ask::Status(_) | Ask::Resolve(_), Body::KeyStatus { status, .. }) => {
            Answer::Status { as_of: at(position?), status: said(status) }
        }
        (Ask::Get(_), Body::Row { found, .. }) => {
            let row = found.as_ref().map(|found| (at(found.version), found.row.to_vec()));
            Answer::Row { as_of: at(position?), row }
        }
        (_, Body::Refused(why)) => {
            let why = Refusal { position, ..why.clone() };
            match why.outcome {
                Outcome::Rejected if matches!(ask, Ask::Commit(_)) => {
                    position?;
                    Answer::Rejected { why, replayed }
                }
                Outcome::None if may_refuse(why.code) => Answer::Refused(why),
                Outcome::Unknown if why.code == Code::KeyExpired => {
                    position?;
                    Answer::Refused(why)
                }
                Outcome::Unknown if why.code == Code::LogFailed => Answer::Unknown,
                _ => return None,
            }
        }
        _ => return None,
    })
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
    match &book.attempts[number].answer {
        Answer::Committed { replayed: true, .. } => met.count("outcome replayed"),
        Answer::Rejected { replayed: true, .. } => met.count("rejection replayed"),
        Answer::Row { row, .. } => met.count(if row.is_some() { "row read" } else { "absence read" }),
        Answer::Status { status, .. } => match status {
            Status::Committed(..) => met.count("COMMITTED"),
            Status::Rejected(..) => met.count("REJECTED"),
            Status::Aborted(_) => met.count("ABORTED"),
            Status::Unseen => met.count("UNSEEN"),
            Status::Expired => met.count("EXPIRED"),
            Status::InFlight | Status::Lost => {}
        },
        _ => {}
    }
}

/// Refusals with the outcome `none` that these worlds explain. KEY_REUSED rests on a position, which is looked at
/// later.
fn may_refuse(code: Code) -> bool {
    super::CODES.contains(&code) || code == Code::Throttled
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
