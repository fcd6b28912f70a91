//! Answers to reads, declarations and reports, held against the model at the position that they name.

use seawall::Code;
use seawall::message::Consistency;
use seawall::message::declare::Declaration;
use seawall::refusal::{Detail, Refusal};
use seawall::{Key, RowRef};

use super::answers::{Held, strange};
use super::history::{Answer, Ask, Attempt, Book, Declare, Scan, Seen};
use super::judge::{Decided, Judge, encoded};
use super::kept::Final;
use super::model::{Line, Model};
use crate::check::{Violation, violation};
use crate::history::At;
use seawall::message::scan::Order;

/// What the epoch table says of a place that a token names, as of another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Applied,
    Ahead,
    Lost,
}

fn judged(model: &Model, token: At, as_of: At) -> Token {
    let later = || model.epochs.range(token.epoch + 1..);
    let skipped = !model.epochs.contains_key(&token.epoch) && later().next().is_some();
    let written = model.epochs.iter().rev().find(|(_, first)| **first <= token.index);
    if token.index == 0 {
        Token::Applied // before everything
    } else if skipped || later().any(|(_, first)| *first <= token.index) {
        Token::Lost
    } else if token.index <= as_of.index && written.is_some_and(|(epoch, _)| *epoch == token.epoch) {
        Token::Applied
    } else {
        Token::Ahead
    }
}

/// A read is as fresh as it was asked for, or refused with the reason that is so.
pub fn is_fresh(judge: &Judge<'_>, number: usize, fresh: Consistency, as_of: At) -> Held {
    let attempt = &judge.book.attempts[number];
    let Consistency::Session { token, .. } = fresh else { return Ok(()) };
    let token = super::history::at(token.position);
    token_is(judge, number, token, attempt, as_of)
}

/// What is answered to a token fits what it names.
pub fn token_is(judge: &Judge<'_>, number: usize, token: At, attempt: &Attempt, as_of: At) -> Held {
    let found = judged(&judge.model, token, as_of);
    let expected = match &attempt.answer {
        Answer::Refused(why) => match why.code {
            Code::NotCaughtUp => Token::Ahead,
            Code::TokenLostHistory => Token::Lost,
            _ => return Ok(()),
        },
        _ => Token::Applied,
    };
    if found == expected {
        return Ok(());
    }
    strange(number, attempt, "R21, what is said of a token is so", found)
}

pub fn is_lost(model: &Model, token: At, as_of: At) -> bool {
    judged(model, token, as_of) == Token::Lost
}

pub fn rows(judge: &Judge<'_>, number: usize, places: &[Vec<u8>], seen: &[Seen]) -> Held {
    let held = |place: &Vec<u8>| judge.model.rows.get(place).map(|held| (held.at, encoded(&held.row)));
    let expected: Vec<Seen> = places.iter().map(held).collect();
    if expected == seen {
        return Ok(());
    }
    strange(number, &judge.book.attempts[number], "I2, a read returns the rows of its position", expected)
}

/// A page is what the model has from where the one before it ended.
pub fn page(judge: &mut Judge<'_>, number: usize, scan: &Scan) -> Held {
    let attempt = &judge.book.attempts[number];
    let Answer::Page { rows, cursor, .. } = &attempt.answer else { unreachable!("it is a page") };
    let rule = "I2, a page is the rows of its position";
    let Some(lines) = judge.model.lines(scan) else {
        return strange(number, attempt, rule, "no such index");
    };
    let behind = scan.behind.map(|page| judge.ends.get(&page).expect("the page before was judged before"));
    let is_behind = |line: &&Line| {
        behind.is_none_or(|behind| match scan.order {
            Order::Ascending => line.place > *behind,
            Order::Descending => line.place < *behind,
        })
    };
    let left: Vec<&Line> = lines.iter().filter(is_behind).collect();
    let expected = left.iter().take(scan.limit).map(|line| (line.key.clone(), line.at, encoded(&line.row)));
    let (expected, whole): (Vec<_>, _) = (expected.collect(), left.len() <= scan.limit);
    // A page that is just full may not know that nothing follows.
    let ends = if cursor.is_empty() { whole } else { rows.len() == scan.limit };
    if expected != *rows || !ends {
        let text = format!(
            "operation {number}, {scan:?}: {:?}; expected {expected:?}, and {} rows in all",
            attempt.answer,
            left.len()
        );
        return violation(rule, text);
    }
    if let (Some(last), false) = (left.get(rows.len().wrapping_sub(1)), cursor.is_empty()) {
        judge.ends.insert(number, last.place.clone());
    }
    judge.met.page(scan, rows.len());
    Ok(())
}

/// Only that there is no such index is said of a scan at a position.
pub fn no_page(judge: &Judge<'_>, number: usize, scan: &Scan, why: &Refusal) -> Held {
    if why.reason.rule != "scan.index" || judge.model.lines(scan).is_none() {
        return Ok(());
    }
    strange(number, &judge.book.attempts[number], "an index that is declared can be scanned", why)
}

pub fn declared(judge: &Judge<'_>, number: usize, declare: &Declare, at: At) -> Held {
    match judge.decided.get(&at.index) {
        Some(Decided::Declared(stands)) if stands == declare => Ok(()),
        other => {
            strange(number, &judge.book.attempts[number], "a declaration is where it was acknowledged", other)
        }
    }
}

/// A declaration that rows break is refused with one of them; the version must be the next.
pub fn not_declared(judge: &mut Judge<'_>, number: usize, declare: &Declare, why: &Refusal) -> Held {
    let attempt = &judge.book.attempts[number];
    let known = judge.model.tables.get(&declare.table);
    let (version, bytes) = known.map_or((0, &[][..]), |table| (table.version, table.bytes.as_slice()));
    let same = declare.version == version && bytes == declare.bytes;
    let next = declare.version == version + 1;
    let promises = Declaration::decode(&declare.bytes).expect("one of ours");
    let holds = match (why.code, &why.reason.detail) {
        (Code::CasFailed, _) => !same && !next,
        (Code::Constraint, Detail::Row { partition, row: RowRef { table, key } }) => {
            let offender = (Key::as_bytes(partition).to_vec(), key.as_bytes().to_vec());
            next && *table == declare.table && judge.model.offenders(table, &promises).contains(&offender)
        }
        (Code::Constraint, _) => false,
        _ => true,
    };
    if !holds {
        return strange(number, attempt, "a declaration is refused for what is there", version);
    }
    if why.code == Code::Constraint {
        judge.met.count("declaration refused for a row");
    }
    Ok(())
}

pub fn described(judge: &Judge<'_>, number: usize, table: &str, found: Option<&(u64, Vec<u8>)>) -> Held {
    let held = judge.model.tables.get(table).map(|table| (table.version, table.bytes.clone()));
    if found == held.as_ref() {
        return Ok(());
    }
    strange(number, &judge.book.attempts[number], "a table is described as it is declared", held)
}

/// TRACE and EXPLAIN: what is told as a fact is durable, and so.
pub fn facts(judge: &mut Judge<'_>, log: &[Final<'_>], shard: seawall::map::ShardId) -> Held {
    let rule = "what is told as a fact is so";
    let book = judge.book;
    for (number, attempt) in book.attempts.iter().enumerate().filter(|(_, attempt)| attempt.shard == shard) {
        let (Answer::Facts(facts), Some(answered)) = (&attempt.answer, attempt.answered) else { continue };
        let known =
            |name: &str| facts.iter().find(|(of, _)| of == name).and_then(|(_, value)| value.as_deref().ok());
        let durable = |index: u64| {
            let at = usize::try_from(index).ok().and_then(|index| index.checked_sub(1));
            index == 0 || at.and_then(|at| log.get(at)).is_some_and(|found| found.durable < answered)
        };
        let committed = known("log.committed_index").and_then(|index| index.parse().ok());
        if committed.is_some_and(|index: u64| !durable(index)) {
            return strange(number, attempt, rule, "a durable record");
        }
        let Ask::Trace(asked) = attempt.ask else { continue };
        let Some(outcome) = known("request.outcome") else {
            unseen_before(book, attempt, asked, facts, number)?;
            continue;
        };
        let position = known("request.position").and_then(|at| at.split_once(':'));
        let index = position.and_then(|(_, index)| index.parse::<u64>().ok());
        let key = |of: &usize| book.asked[*of].key.as_ref().map(|key| &key.stored);
        let decided = index.filter(|index| durable(*index)).and_then(|index| judge.decided.get(&index));
        let holds = match decided {
            Some(Decided::Yes { asked: of, .. }) => outcome == "committed" && key(of) == key(&asked),
            Some(Decided::No { asked: of, .. }) => outcome.starts_with("rejected") && key(of) == key(&asked),
            Some(Decided::Aborted) => outcome.starts_with("aborted"),
            Some(Decided::Declared(_)) | None => false,
        };
        if !holds {
            return strange(number, attempt, rule, decided);
        }
        judge.met.count("outcome traced");
    }
    Ok::<(), Violation>(())
}

/// A key that was answered for before is not one that nobody saw.
fn unseen_before(
    book: &Book,
    trace: &Attempt,
    asked: usize,
    facts: &[(String, Result<String, String>)],
    number: usize,
) -> Held {
    let unseen = facts.iter().any(|(_, value)| value.as_ref().is_err_and(|why| why.contains("never seen")));
    let stored = |of: usize| book.asked[of].key.as_ref().map(|key| &key.stored);
    let told = |attempt: &&Attempt| match (&attempt.ask, &attempt.answer) {
        (Ask::Commit(of), Answer::Committed { .. } | Answer::Rejected { .. }) => {
            stored(*of) == stored(asked) && attempt.answered.is_some_and(|answered| answered < trace.invoked)
        }
        _ => false,
    };
    match book.attempts.iter().find(told).filter(|_| unseen) {
        None => Ok(()),
        Some(told) => strange(number, trace, "what is told as a fact is so", &told.answer),
    }
}
