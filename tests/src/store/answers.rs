//! One answer, held against the model at the position that it names.

use std::slice;

use seawall::Code;
use seawall::refusal::{Detail, Refusal};

use super::history::{Answer, Ask, Asked, Attempt, Status, at};
use super::judge::{Decided, Judge, encoded, explain, to_wire};
use super::model::came;
use super::{looks, streams};
use crate::check::{Violation, violation};
use crate::history::At;
use crate::world::finish::Whole;

pub type Held = Result<(), Violation>;

/// `record` is the one that the answer rests on, and the last that was replayed.
pub fn check(judge: &mut Judge<'_>, number: usize, record: &Whole) -> Held {
    let attempt = &judge.book.attempts[number];
    if let Some(fresh) = attempt.ask.fresh() {
        looks::is_fresh(judge, number, fresh, record.at)?;
    }
    match (&attempt.ask, &attempt.answer) {
        (Ask::Commit(asked), Answer::Committed { at, results, .. }) => {
            let expected = came(&results.list());
            match judge.decided.get(&at.index) {
                Some(Decided::Yes { asked: done, came }) if done == asked && *came == expected => Ok(()),
                other => strange(number, attempt, "a commit is where it was acknowledged", other),
            }
        }
        (Ask::Commit(asked), Answer::Rejected { why, .. }) => rejected(judge, number, *asked, why, record),
        (Ask::Commit(asked), Answer::Refused(why)) => refused(judge, number, *asked, why),
        (Ask::Status(asked, _) | Ask::Resolve(asked), Answer::Status { status, as_of }) => {
            settled(judge, number, *asked, status, *as_of)
        }
        (Ask::Get(_, place), Answer::Row { row, .. }) => {
            looks::rows(judge, number, slice::from_ref(place), slice::from_ref(row))
        }
        (Ask::MultiGet(_, places), Answer::Rows { rows, .. }) => looks::rows(judge, number, places, rows),
        (Ask::Scan(scan), Answer::Page { .. }) => looks::page(judge, number, scan),
        (Ask::Scan(scan), Answer::Refused(why)) => looks::no_page(judge, number, scan, why),
        (Ask::Declare(declare), Answer::Declared { at }) => looks::declared(judge, number, declare, *at),
        (Ask::Declare(declare), Answer::Refused(why) | Answer::Rejected { why, .. }) => {
            looks::not_declared(judge, number, declare, why)
        }
        (Ask::Describe(table), Answer::Described { found, .. }) => {
            looks::described(judge, number, table, found.as_ref())
        }
        (Ask::Watch(_), Answer::Refused(_)) => streams::refused(judge, number, judge.book, record.at),
        (_, Answer::Refused(_)) => Ok(()),
        (_, answer) => strange(number, attempt, "a reply fits its request", answer),
    }
}

pub fn strange<T>(
    number: usize,
    attempt: &Attempt,
    rule: &'static str,
    expected: impl std::fmt::Debug,
) -> Result<T, Violation> {
    violation(
        rule,
        format!("operation {number}, {:?}: {:?}; expected {expected:?}", attempt.ask, attempt.answer),
    )
}

/// A rejection: of a key, the stored one word for word; without one, what the model says of the rows at its position.
fn rejected(judge: &mut Judge<'_>, number: usize, asked: usize, why: &Refusal, record: &Whole) -> Held {
    let (attempt, commit) = (&judge.book.attempts[number], &judge.book.asked[asked]);
    if why.code == Code::KeyAborted {
        return match decision(judge, commit) {
            Some(Decided::Aborted) => Ok(()),
            other => strange(number, attempt, "KEY_ABORTED says that the key was resolved", other),
        };
    }
    if commit.key.is_some() {
        return match judge.decided.get(&record.at.index) {
            Some(Decided::No { asked: of, why: stored })
                if *of == asked && stored.code == why.code && stored.reason == why.reason =>
            {
                Ok(())
            }
            other => strange(number, attempt, "a stored rejection is repeated word for word", other),
        };
    }
    shown(judge, number, why)?;
    // It looked a while after the record that it names; what it saw has not changed in between, but for the time.
    let leases = judge.model.leases.values().map(|lease| lease.ends);
    let mut times: Vec<i64> = leases.filter(|ends| *ends > record.time_us).collect();
    times.extend([record.time_us, i64::MAX / 2]);
    times.extend(commit.read(super::draw::times));
    times.retain(|time| *time >= record.time_us);
    let says = |time: i64| {
        let verdict = commit.read(|commit| judge.model.decide(commit, time, to_wire(record.at)));
        verdict.is_err_and(|whys| explain(&whys, why))
    };
    if times.iter().any(|time| says(*time) || says(time + 1)) {
        commit.read(|commit| judge.met.failed(commit, why));
        return Ok(());
    }
    strange(number, attempt, "a rejection is what the protocol says", judge.model.rows.len())
}

/// A row that a refusal shows, is there.
fn shown(judge: &Judge<'_>, number: usize, why: &Refusal) -> Held {
    let (Detail::Check { row: Some(seen), .. } | Detail::Operation { row: Some(seen), .. }) =
        &why.reason.detail
    else {
        return Ok(());
    };
    let mut rows = judge.model.rows.values();
    if rows.any(|held| held.at == at(seen.version) && encoded(&held.row) == seen.row) {
        return Ok(());
    }
    strange(number, &judge.book.attempts[number], "a refusal shows a row that is there", seen)
}

fn refused(judge: &Judge<'_>, number: usize, asked: usize, why: &Refusal) -> Held {
    let (attempt, commit) = (&judge.book.attempts[number], &judge.book.asked[asked]);
    let Some(key) = &commit.key else { return Ok(()) };
    let holds = match why.code {
        Code::KeyReused => match decision(judge, commit) {
            Some(Decided::Yes { asked, .. } | Decided::No { asked, .. }) => {
                judge.book.asked[*asked].fingerprint != commit.fingerprint
            }
            Some(Decided::Aborted | Decided::Declared(_)) | None => false,
        },
        Code::KeyExpired => judge.model.forgotten(key),
        _ => true,
    };
    if holds {
        Ok(())
    } else {
        strange(number, attempt, "what is said of a key is so", decision(judge, commit))
    }
}

/// What the model knows of the key of a commit.
fn decision<'j>(judge: &'j Judge<'_>, commit: &Asked) -> Option<&'j Decided> {
    let known = judge.model.outcomes.get(&commit.key.as_ref()?.stored)?;
    judge.decided.get(&known.at.index)
}

fn settled(judge: &Judge<'_>, number: usize, asked: usize, status: &Status, as_of: At) -> Held {
    let (attempt, commit) = (&judge.book.attempts[number], &judge.book.asked[asked]);
    let key = commit.key.as_ref().expect("only keys are asked about");
    let known = judge.model.outcomes.get(&key.stored).map(|known| known.at);
    let is_at = |said: &At| known == Some(*said);
    let open = matches!(attempt.ask, Ask::Status(..)) && known.is_none() && !judge.model.forgotten(key);
    let holds = match (status, decision(judge, commit)) {
        (Status::Committed(at, results), Some(Decided::Yes { came: done, .. })) => {
            is_at(at) && came(&results.list()) == *done
        }
        (Status::Rejected(at, said), Some(Decided::No { why, .. })) => {
            is_at(at) && said.code == why.code && said.reason == why.reason
        }
        (Status::Aborted(at), Some(Decided::Aborted)) => is_at(at),
        (Status::Unseen | Status::InFlight, None) => open,
        (Status::Expired, _) => judge.model.forgotten(key),
        (Status::Lost, None) => match attempt.ask {
            Ask::Status(_, Some(token)) => open && looks::is_lost(&judge.model, token, as_of),
            _ => false,
        },
        _ => false,
    };
    if holds {
        Ok(())
    } else {
        strange(number, attempt, "what is said of a key is so", decision(judge, commit))
    }
}
