//! The order of the log by itself, and against real time.

use std::collections::BTreeMap;

use super::{LogRecord, Logs, RecordKind, Violation, violation};
use crate::history::{Answer, At, History, Must};

/// Indices are contiguous from 1, epochs never go down, and each begins with its `EpochStart`.
pub fn log_is_well_formed(logs: &Logs) -> Result<(), Violation> {
    for (shard, records) in logs {
        let mut before = At { epoch: 0, index: 0 };
        for LogRecord { at, kind, .. } in records {
            if at.index != before.index + 1 {
                let text = format!("{shard:?} has {at} after {before}; expected index {}", before.index + 1);
                return violation("the log is contiguous", text);
            }
            if at.epoch < before.epoch {
                return violation("epochs never go down", format!("{shard:?} has {at} after {before}"));
            }
            let starts = *kind == RecordKind::EpochStart;
            if starts != (at.epoch > before.epoch) {
                let text = format!("{shard:?} has {kind:?} at {at} after {before}");
                return violation("each epoch begins with EpochStart, once", text);
            }
            before = *at;
        }
    }
    Ok(())
}

/// R10: a process never continues an epoch of another.
pub fn an_epoch_has_one_process(history: &History) -> Result<(), Violation> {
    let mut owner = BTreeMap::new();
    let committed = |o: &&crate::history::Operation| matches!(o.answer, Answer::Committed(_));
    for operation in history.operations.iter().filter(committed) {
        let at = operation.position().expect("a commit has a position");
        let life = *owner.entry((operation.shard, at.epoch)).or_insert(operation.life);
        if life != operation.life {
            let text = format!(
                "{:?} epoch {} was used by process {life} and, at {at}, by process {}",
                operation.shard, at.epoch, operation.life
            );
            return violation("R10, a process never continues an epoch", text);
        }
    }
    Ok(())
}

/// An operation that was invoked after another was answered is not ordered before it; a commit is ordered after.
pub fn real_time_is_kept(history: &History) -> Result<(), Violation> {
    let mut moments = Vec::new();
    for (number, operation) in history.operations.iter().enumerate() {
        if let (Some(answered), Some(at)) = (operation.answered, operation.position()) {
            if operation.must == Must::Newest {
                moments.push((operation.invoked, number, None));
            }
            moments.push((answered, number, Some(at)));
        }
    }
    moments.sort_unstable();
    let mut newest: BTreeMap<_, (At, usize)> = BTreeMap::new();
    let mut floors = BTreeMap::new();
    for (_, number, answered) in moments {
        let operation = &history.operations[number];
        let Some(at) = answered else {
            floors.insert(number, newest.get(&operation.shard).copied());
            continue;
        };
        if let Some((floor, other)) = floors.remove(&number).flatten() {
            let commit = matches!(operation.answer, Answer::Committed(_));
            if at < floor || (commit && at == floor) {
                let text = format!(
                    "operation {number} of {:?} was invoked after operation {other} had been answered at {floor}, \
                     and was answered at {at}",
                    operation.shard
                );
                return violation("real time is kept", text);
            }
        }
        let entry = newest.entry(operation.shard).or_insert((at, number));
        *entry = (*entry).max((at, number));
    }
    Ok(())
}
