//! I2, R20: a read returns exactly the row that the log up to its position gives.

use std::collections::BTreeMap;

use super::{Logs, RecordKind, Violation, record, violation};
use crate::history::{Answer, Ask, At, History, marks};

pub fn see_the_log_at_their_position(history: &History, logs: &Logs) -> Result<(), Violation> {
    let mut reads: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (number, operation) in history.operations.iter().enumerate() {
        let (Answer::Read { as_of, row }, Ask::Get { key }) = (&operation.answer, &operation.ask) else {
            continue;
        };
        if record(logs, operation.shard, *as_of).is_none() {
            let text = format!(
                "operation {number} read {:?} as of {as_of}, which the final log does not have",
                operation.shard
            );
            return violation("R20, a read names a committed position", text);
        }
        reads.entry((operation.shard, *as_of)).or_default().push((number, key, row));
    }
    for (shard, records) in logs {
        let mut rows: BTreeMap<&[u8], (At, &[u8])> = BTreeMap::new();
        for record in records {
            assert!(record.changes.is_empty() || record.kind == RecordKind::Data, "only data changes rows");
            for change in &record.changes {
                match &change.value {
                    Some(value) => rows.insert(&change.key, (record.at, value)),
                    None => rows.remove(change.key.as_slice()),
                };
            }
            for (number, key, seen) in reads.get(&(*shard, record.at)).into_iter().flatten() {
                let expected = rows.get(key.as_slice()).copied();
                let seen = seen.as_ref().map(|(version, value)| (*version, value.as_slice()));
                if seen != expected {
                    let text = format!(
                        "operation {number} read {} as of {} of {shard:?}; expected {}, seen {}",
                        String::from_utf8_lossy(key).escape_debug(),
                        record.at,
                        show(expected),
                        show(seen)
                    );
                    return violation("I2, a read returns the row of its position", text);
                }
            }
        }
    }
    Ok(())
}

/// R20: nothing speculative leaks. What a read returned had been written and flushed before, whoever wrote it.
pub fn see_only_what_is_durable(history: &History) -> Result<(), Violation> {
    for (number, operation) in history.operations.iter().enumerate() {
        let Answer::Read { as_of, row: Some((version, value)) } = &operation.answer else { continue };
        let answered = operation.answered.expect("an answer has a moment");
        for writer in marks(value) {
            if history.durable.get(&writer).is_none_or(|(durable, _)| *durable >= answered) {
                let text = format!(
                    "operation {number} read, as of {as_of} of {:?}, version {version} by operation {writer}, and no \
                     write with it was done",
                    operation.shard
                );
                return violation("R20, nothing speculative leaks", text);
            }
        }
    }
    Ok(())
}

fn show(row: Option<(At, &[u8])>) -> String {
    row.map_or("no row".to_owned(), |(version, value)| {
        format!("version {version}, {} bytes, marks {:?}", value.len(), marks(value))
    })
}
