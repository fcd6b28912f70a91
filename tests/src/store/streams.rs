//! Streams, held against the log: each tells exactly its changes, in order, each once, and only what is durable.

use seawall::Code;
use seawall::address::Address;
use seawall::map::ShardId;
use seawall::message::op::Op;
use seawall::refusal::Detail;
use seawall_node::shard::spaces::{EVENTS, ROWS};

use super::history::{Answer, Ask, Book, Change, Happened, Told, Watch, What};
use super::judge::{Decided, Judge};
use super::kept::Final;
use crate::check::{RecordKind, Violation, violation};
use crate::history::At;
use crate::world::finish::Whole;

const RULE: &str = "a stream tells exactly what the log holds";

/// Where a stream stands while it is followed.
struct Place {
    /// Everything up to here was told.
    upto: At,
    /// Whose records it is among.
    epoch: u64,
}

pub fn tell_the_log(judge: &mut Judge<'_>, shard: ShardId, log: &[Final<'_>]) -> Result<(), Violation> {
    let book = judge.book;
    for (number, frames) in &book.streams {
        let attempt = &book.attempts[*number];
        let (Ask::Watch(watch), Answer::Watching { behind }) = (&attempt.ask, &attempt.answer) else {
            continue;
        };
        if attempt.shard != shard {
            continue;
        }
        let begun = attempt.answered.expect("an answer has a moment");
        let fits = watch.token.is_none_or(|token| token == *behind);
        if !fits || !is_durable(log, *behind, begun) {
            return violation(RULE, format!("stream {number}, {watch:?}, begins behind {behind}"));
        }
        let mut place = Place { upto: *behind, epoch: behind.epoch };
        for frame in frames {
            follow(judge, &mut place, watch, frame, log).map_err(|why| {
                let text = format!("stream {number}, {watch:?}, at {}: {frame:?}; {why}", place.upto);
                Violation { rule: RULE, text }
            })?;
        }
    }
    Ok(())
}

fn record<'l>(log: &'l [Final<'_>], index: u64) -> Option<&'l Final<'l>> {
    usize::try_from(index).ok().and_then(|index| index.checked_sub(1)).and_then(|place| log.get(place))
}

/// There is such a record, and it was durable before; or it is the place before the first.
fn is_durable(log: &[Final<'_>], at: At, moment: u64) -> bool {
    at.index == 0
        || record(log, at.index).is_some_and(|found| found.record.at == at && found.durable < moment)
}

fn follow(
    judge: &mut Judge<'_>,
    place: &mut Place,
    watch: &Watch,
    frame: &Told,
    log: &[Final<'_>],
) -> Result<(), String> {
    if frame.upto < place.upto || !is_durable(log, frame.upto, frame.moment) {
        return Err("it goes back, or ahead of the disk".to_owned());
    }
    let mut expected = Vec::new();
    for index in place.upto.index + 1..=frame.upto.index {
        let record = record(log, index).expect("it is below one that is there").record;
        if record.at.epoch != place.epoch {
            return Err(format!("{} is of another epoch, of which it says nothing", record.at));
        }
        expected.extend(changes(judge, record).into_iter().filter(|change| wants(watch, change)));
    }
    let told = match &frame.what {
        What::Changes(changes) => changes.as_slice(),
        What::Progress | What::EpochChanged(_) | What::End(_) => &[],
    };
    if told != expected {
        return Err(format!("expected {expected:?}"));
    }
    place.upto = frame.upto;
    match &frame.what {
        What::Changes(changes) if changes.is_empty() => Err("no change at all".to_owned()),
        What::Changes(_) | What::Progress => Ok(()),
        What::EpochChanged(end) => {
            let next = record(log, end.index + 1).map(|next| next.record);
            let begins = next.filter(|next| next.kind == RecordKind::EpochStart && next.at.epoch > end.epoch);
            let Some(begins) = begins.filter(|_| *end == place.upto) else {
                return Err("no epoch begins there".to_owned());
            };
            place.epoch = begins.at.epoch;
            Ok(())
        }
        What::End(why) => match (why.code, &why.reason.detail) {
            (Code::Compacted, Detail::Position(oldest)) if oldest.index.0 > place.upto.index + 1 => Ok(()),
            (Code::LogFailed, _) => Ok(()),
            _ => Err("that is no reason to end".to_owned()),
        },
    }
}

/// All changes of a record: which of them are rows that ended, the model knows.
fn changes(judge: &Judge<'_>, record: &Whole) -> Vec<Happened> {
    if record.kind != RecordKind::Data {
        return Vec::new();
    }
    let asked = match judge.decided.get(&record.at.index) {
        Some(Decided::Yes { asked, .. }) => Some(&judge.book.asked[*asked]),
        _ => None,
    };
    let told = record.entries.iter().filter(|(space, ..)| [ROWS, EVENTS].contains(space));
    let happened = |(ordinal, (space, key, value)): (usize, &(_, Vec<u8>, Option<Vec<u8>>))| {
        let (partition, change) = if *space == ROWS {
            let Address { partition, table, row, .. } = Address::of_stored_key(key).expect("a row's key");
            let (table, row) = (table.to_owned(), row.to_vec());
            let change = match (value, asked) {
                (Some(bytes), _) => Change::Put(table, row, bytes.clone()),
                (None, Some(_)) => Change::Deleted(table, row),
                (None, None) => Change::Expired(table, row),
            };
            (partition.to_vec(), change)
        } else {
            let asked = asked.expect("only a commit tells of events");
            let nth = key.as_slice().try_into().map(u16::from_be_bytes).expect("the place of an operation");
            asked.read(|commit| match commit.ops.iter().nth(usize::from(nth)) {
                Some(Op::Event { topic, payload }) => {
                    (commit.partition.to_vec(), Change::Event(topic.to_owned(), payload.to_vec()))
                }
                other => unreachable!("compared with the commit before: {other:?}"),
            })
        };
        Happened { at: record.at, ordinal, time_us: record.time_us, partition, change }
    };
    told.enumerate().map(happened).collect()
}

fn wants(watch: &Watch, happened: &Happened) -> bool {
    let of_kind = match &happened.change {
        Change::Put(table, ..) | Change::Deleted(table, _) | Change::Expired(table, _) => {
            watch.rows && watch.table.as_ref().is_none_or(|wanted| wanted == table)
        }
        Change::Event(topic, _) => watch.events && watch.topic.as_ref().is_none_or(|wanted| wanted == topic),
    };
    of_kind && watch.partition.as_ref().is_none_or(|wanted| wanted.as_bytes() == happened.partition)
}

/// SUBSCRIBE that was refused at a position: what is said of the token is so.
pub fn refused(judge: &Judge<'_>, number: usize, book: &Book, as_of: At) -> Result<(), Violation> {
    let attempt = &book.attempts[number];
    let (Ask::Watch(watch), Answer::Refused(why)) = (&attempt.ask, &attempt.answer) else { return Ok(()) };
    let Some(token) = watch.token else { return Ok(()) };
    match (why.code, &why.reason.detail) {
        (Code::Compacted, Detail::Position(oldest)) if oldest.index.0 > token.index + 1 => Ok(()),
        (Code::Compacted, _) => violation(RULE, format!("stream {number} behind {token}: {why}")),
        _ => super::looks::token_is(judge, number, token, attempt, as_of),
    }
}
