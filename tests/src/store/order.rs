//! Answers against real time and against the disk, without the model.

use std::collections::BTreeMap;

use seawall::Code;
use seawall::map::ShardId;

use super::history::{Answer, Ask, Attempt, Book};
use super::judge::Decided;
use super::kept::{Final, Kept};
use super::show;
use crate::check::{self, LogRecord, Violation, violation};
use crate::history::{self, History, Operation};

/// R20, R7 and I5: whatever an answer rests on is in the final log, and was durable before.
pub fn answers_rest_on_what_is_durable(
    book: &Book,
    shard: ShardId,
    log: &[Final<'_>],
    resting: &BTreeMap<u64, Vec<usize>>,
    kept: &Kept,
) -> Result<(), Violation> {
    for number in resting.values().flatten() {
        let attempt = &book.attempts[*number];
        let at = attempt.position().expect("it rests on one");
        let place = usize::try_from(at.index).ok().and_then(|index| index.checked_sub(1));
        let found = place.and_then(|place| log.get(place)).filter(|found| found.record.at == at);
        let Some(found) = found else {
            let end = show(log.last().map(|last| last.record.at));
            let text = format!(
                "operation {number}, {:?}, rests on {at} of {shard:?}; the log ends with {end}",
                attempt.ask
            );
            return violation("I1, what was answered is in the log", text);
        };
        let answered = attempt.answered.expect("an answer has a moment");
        if found.durable >= answered {
            let text = format!(
                "operation {number}, {:?}, was answered {:?} with no write of {at} done",
                attempt.ask, attempt.answer
            );
            return violation("R20, nothing speculative leaks", text);
        }
        let (own, life) = found.own;
        if life == attempt.life && kept.error(shard, life).is_some_and(|error| error < own) {
            let text =
                format!("operation {number} rests on {at}, whose write was done after the log had failed");
            return violation("I5, nothing is acknowledged after an I/O error", text);
        }
    }
    Ok(())
}

/// Each record with a commit answers one attempt as new, and a commit that was always refused has none.
pub fn commits_stand_where_they_were_answered(
    book: &Book,
    shard: ShardId,
    decided: &BTreeMap<u64, Decided>,
) -> Result<(), Violation> {
    let mut may_stand = vec![false; book.asked.len()];
    let mut fresh = vec![0; book.asked.len()];
    for attempt in &book.attempts {
        let Ask::Commit(asked) = attempt.ask else { continue };
        let decision = matches!(attempt.answer, Answer::Committed { .. } | Answer::Rejected { .. });
        let refused = match &attempt.answer {
            Answer::Refused(why) => why.code != Code::KeyExpired,
            _ => false,
        };
        may_stand[asked] |= !refused;
        let aborted = matches!(&attempt.answer, Answer::Rejected { why, .. } if why.code == Code::KeyAborted);
        if decision && !attempt.replayed() && !aborted {
            fresh[asked] += 1;
        }
    }
    for (index, decided) in decided {
        let (Decided::Yes { asked, .. } | Decided::No { asked, .. }) = decided else { continue };
        if !may_stand[*asked] {
            let text = format!("commit {asked} was refused each time, and stands at {index} of {shard:?}");
            return violation("a refusal with outcome none leaves nothing", text);
        }
        if fresh[*asked] > 1 && book.asked[*asked].key.is_some() {
            let text = format!("commit {asked} at {index} of {shard:?} was new {} times", fresh[*asked]);
            return violation("I3, a key takes effect at most once, and all else is a replay", text);
        }
    }
    Ok(())
}

/// An attempt that was made after another was answered is not ordered before it. A replay says where the commit stands,
/// however long ago that was.
pub fn real_time_is_kept(book: &Book) -> Result<(), Violation> {
    let mut history = History::default();
    for attempt in &book.attempts {
        let Some(at) = attempt.fresh_position() else { continue };
        let answer = match &attempt.answer {
            Answer::Committed { .. } => history::Answer::Committed(at),
            _ => history::Answer::Read { as_of: at, row: None },
        };
        history.operations.push(operation(attempt, history::Ask::Commit(Vec::new()), answer));
    }
    check::order::an_epoch_has_one_process(&history)?;
    check::order::real_time_is_kept(&history)
}

fn operation(attempt: &Attempt, ask: history::Ask, answer: history::Answer) -> Operation {
    let Attempt { client, shard, invoked, answered, life, .. } = *attempt;
    Operation { client, shard, ask, invoked, answered, life, answer, must: history::Must::Newest }
}

/// The search of [`check::window`], which looks at no position: commits by what they wrote, reads by what they saw.
pub fn keys_are_linearizable(
    book: &Book,
    shard: ShardId,
    log: &[LogRecord],
    decided: &BTreeMap<u64, Decided>,
) -> Result<(), Violation> {
    let mut times: BTreeMap<usize, (u64, u64, usize)> = BTreeMap::new();
    let mut history = History::default();
    for (number, attempt) in book.attempts.iter().enumerate().filter(|(_, attempt)| attempt.shard == shard) {
        match (&attempt.ask, &attempt.answer) {
            (Ask::Commit(asked), answer) => {
                let end = match answer {
                    Answer::Committed { .. } => attempt.answered.unwrap_or(u64::MAX),
                    _ => u64::MAX,
                };
                let (begin, first_end, _) = times.entry(*asked).or_insert((attempt.invoked, end, number));
                (*begin, *first_end) = ((*begin).min(attempt.invoked), (*first_end).min(end));
            }
            (Ask::Get(_, key), Answer::Row { as_of, row }) => {
                let answer = history::Answer::Read { as_of: *as_of, row: row.clone() };
                history.operations.push(operation(attempt, history::Ask::Get { key: key.clone() }, answer));
            }
            _ => {}
        }
    }
    for record in log.iter().filter(|record| !record.changes.is_empty()) {
        let ask = history::Ask::Commit(record.changes.clone());
        let asked = match decided.get(&record.at.index) {
            Some(Decided::Yes { asked, .. }) => times.get(asked),
            _ => None,
        };
        // What expires does so by nobody's will, at any time.
        let (invoked, end, client) = asked.copied().unwrap_or((0, u64::MAX, usize::MAX));
        let answered = Some(end).filter(|end| *end != u64::MAX);
        let answer = match answered {
            Some(_) => history::Answer::Committed(record.at),
            None => history::Answer::Unknown,
        };
        history.operations.push(Operation {
            client,
            shard,
            ask,
            invoked,
            answered,
            life: 0,
            answer,
            must: history::Must::Newest,
        });
    }
    check::window::keys_are_linearizable(&history)
}
