//! I1, I4, I5: what was acknowledged stands where it was said, once, and what was refused stands nowhere.

use std::collections::BTreeMap;

use super::{LogRecord, Logs, RecordKind, Violation, record, violation};
use crate::history::{Answer, Ask, Change, History};

pub fn stand_where_acknowledged(history: &History, logs: &Logs) -> Result<(), Violation> {
    for (number, operation) in history.operations.iter().enumerate() {
        let (Answer::Committed(at), Ask::Commit(changes)) = (&operation.answer, &operation.ask) else {
            continue;
        };
        let shard = operation.shard;
        let Some(found) = record(logs, shard, *at) else {
            let last = logs.get(&shard).and_then(|log| log.last()).map(|last| last.at.to_string());
            let last = last.unwrap_or_else(|| "nothing".to_owned());
            let text =
                format!("operation {number} was acknowledged at {at} of {shard:?}; the log ends with {last}");
            return violation("I1, an acknowledged commit is in the log", text);
        };
        if found.kind != RecordKind::Data || !same(&found.changes, changes) {
            let text = format!(
                "operation {number} was acknowledged at {at} of {shard:?}; expected {}, seen {:?} {}",
                show(changes),
                found.kind,
                show(&found.changes)
            );
            return violation("I1, an acknowledged commit stands at its position", text);
        }
    }
    Ok(())
}

/// Every data record is a commit that a client asked for, was not told that it never happens, and stands once.
pub fn log_holds_what_was_asked_once(history: &History, logs: &Logs) -> Result<(), Violation> {
    let mut by_value = BTreeMap::new();
    let mut deletions: BTreeMap<_, usize> = BTreeMap::new();
    for (number, operation) in history.operations.iter().enumerate() {
        let Ask::Commit(changes) = &operation.ask else { continue };
        for value in changes.iter().filter_map(|change| change.value.as_deref()) {
            by_value.insert(value, number);
        }
        // A commit of deletions alone bears no mark: it is counted.
        if changes.iter().all(|change| change.value.is_none()) && operation.answer != Answer::Refused {
            *deletions.entry((operation.shard, sorted(changes))).or_default() += 1;
        }
    }
    let mut seen = BTreeMap::new();
    for (shard, records) in logs {
        for LogRecord { at, changes, .. } in records.iter().filter(|record| record.kind == RecordKind::Data) {
            let Some(value) = changes.iter().find_map(|change| change.value.as_deref()) else {
                match deletions.get_mut(&(*shard, sorted(changes))) {
                    Some(left) if *left > 0 => *left -= 1,
                    _ => {
                        let text =
                            format!("{} at {at} of {shard:?} is one more than were asked for", show(changes));
                        return violation("the log holds what was asked, once", text);
                    }
                }
                continue;
            };
            let asked = by_value.get(value).map(|number| (*number, &history.operations[*number]));
            let Some((number, operation)) = asked.filter(|(_, o)| o.shard == *shard) else {
                let text = format!("{} at {at} of {shard:?} was asked for by nobody", show(changes));
                return violation("the log holds what was asked, once", text);
            };
            if let Some(other) = seen.insert(number, at) {
                let text = format!("operation {number} stands at {other} and at {at} of {shard:?}");
                return violation("I3, a commit takes effect once", text);
            }
            if operation.answer == Answer::Refused {
                let text = format!(
                    "operation {number} was refused with outcome none and stands at {at} of {shard:?}"
                );
                return violation("a refusal with outcome none leaves nothing", text);
            }
            let Ask::Commit(asked) = &operation.ask else { unreachable!("only commits have values") };
            if !same(changes, asked) {
                let text = format!(
                    "operation {number} asked {}; {at} of {shard:?} has {}",
                    show(asked),
                    show(changes)
                );
                return violation("I4, a record is whole", text);
            }
        }
    }
    Ok(())
}

/// I5, R4, R7: before an acknowledgement, a write that holds the commit was reported durable to the same process,
/// and no error of that log was reported before.
pub fn acknowledged_after_durable(history: &History) -> Result<(), Violation> {
    for (number, operation) in history.operations.iter().enumerate() {
        let (Answer::Committed(at), Ask::Commit(changes)) = (&operation.answer, &operation.ask) else {
            continue;
        };
        let (shard, life) = (operation.shard, operation.life);
        if changes.iter().all(|change| change.value.is_none()) {
            continue;
        }
        let answered = operation.answered.expect("an answer has a moment");
        let durable =
            history.durable.get(&(number as u64)).filter(|(when, who)| *when < answered && *who == life);
        let Some((durable, _)) = durable else {
            let text = format!(
                "operation {number} was acknowledged at {at} of {shard:?}, and no write with it was done"
            );
            return violation("nothing is acknowledged before it is durable", text);
        };
        if history.failed.get(&(shard, life)).is_some_and(|failed| failed < durable) {
            let text = format!(
                "operation {number} was acknowledged at {at} of {shard:?}; its write was done after the log had failed"
            );
            return violation("I5, nothing is acknowledged after an I/O error", text);
        }
    }
    Ok(())
}

fn sorted(changes: &[Change]) -> Vec<&Change> {
    let mut sorted: Vec<_> = changes.iter().collect();
    sorted.sort_unstable();
    sorted
}

fn same(left: &[Change], right: &[Change]) -> bool {
    sorted(left) == sorted(right)
}

fn show(changes: &[Change]) -> String {
    let one = |change: &Change| {
        let value = change.value.as_ref().map_or("deleted".to_owned(), |v| format!("{} bytes", v.len()));
        format!("{}={value}", String::from_utf8_lossy(&change.key).escape_debug())
    };
    format!("[{}]", changes.iter().map(one).collect::<Vec<_>>().join(", "))
}
