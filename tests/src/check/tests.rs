//! Each promise is broken once, on purpose, and the checker must say so.

use seawall::map::ShardId;

use super::{LogRecord, Logs, RecordKind, check};
use crate::history::{Answer, Ask, At, Change, History, Must, Operation};

const SHARD: ShardId = ShardId(1);

fn at(index: u64) -> At {
    At { epoch: 1, index }
}

fn put(number: u64) -> Vec<Change> {
    vec![Change { key: b"k".to_vec(), value: Some(crate::history::mark(number)) }]
}

fn operation(ask: Ask, invoked: u64, answered: u64, answer: Answer) -> Operation {
    let (answered, must) = (Some(answered), Must::Newest);
    Operation { client: 0, shard: SHARD, ask, invoked, answered, life: 1, answer, must }
}

fn read(invoked: u64, index: u64, row: Option<(At, Vec<u8>)>) -> Operation {
    let answer = Answer::Read { as_of: at(index), row };
    operation(Ask::Get { key: b"k".to_vec() }, invoked, invoked + 1, answer)
}

fn data(index: u64, changes: Vec<Change>) -> LogRecord {
    LogRecord { at: at(index), kind: RecordKind::Data, changes }
}

/// Two commits of one key, a read between them and one after: all as it should be.
fn good() -> (History, Logs) {
    let operations = vec![
        operation(Ask::Commit(put(0)), 10, 20, Answer::Committed(at(2))),
        read(30, 2, Some((at(2), crate::history::mark(0)))),
        operation(Ask::Commit(put(2)), 40, 50, Answer::Committed(at(3))),
        read(60, 3, Some((at(3), crate::history::mark(2)))),
    ];
    let durable = [(0, (15, 1)), (2, (45, 1))].into();
    let start = LogRecord { at: at(1), kind: RecordKind::EpochStart, changes: Vec::new() };
    let log = vec![start, data(2, put(0)), data(3, put(2))];
    (History { operations, durable, ..History::default() }, [(SHARD, log)].into())
}

#[track_caller]
fn must_say(rule: &str, harm: impl FnOnce(&mut History, &mut Vec<LogRecord>)) {
    let (mut history, mut logs) = good();
    check(&history, &logs).expect("unharmed, it holds");
    harm(&mut history, logs.get_mut(&SHARD).expect("there is one"));
    let said = check(&history, &logs).expect_err("harmed, it does not hold");
    assert!(said.rule.contains(rule), "expected {rule}, said {said}");
}

#[test]
fn an_acknowledged_commit_that_is_lost() {
    must_say("is in the log", |history, log| {
        log.pop();
        history.operations.truncate(3);
    });
}

#[test]
fn an_acknowledged_commit_with_another_content() {
    must_say("stands at its position", |_, log| log[1].changes[0].key = b"other".to_vec());
}

#[test]
fn an_acknowledged_commit_in_another_epoch() {
    must_say("is in the log", |history, _| {
        history.operations[2].answer = Answer::Committed(At { epoch: 2, index: 3 })
    });
}

#[test]
fn a_commit_twice() {
    must_say("takes effect once", |_, log| log.push(data(4, put(2))));
}

#[test]
fn a_commit_that_nobody_asked_for() {
    must_say("what was asked", |_, log| log.push(data(4, put(9))));
}

#[test]
fn a_deletion_more_than_was_asked_for() {
    must_say("what was asked", |_, log| log.push(data(4, vec![Change { key: b"k".to_vec(), value: None }])));
}

#[test]
fn a_refused_commit_that_happened() {
    must_say("leaves nothing", |history, _| {
        history.operations.truncate(3);
        history.operations[2].answer = Answer::Refused;
    });
}

#[test]
fn a_stale_read() {
    must_say("the row of its position", |history, _| {
        history.operations[3] = read(60, 3, Some((at(2), crate::history::mark(0))));
    });
}

#[test]
fn a_read_of_what_is_not_in_the_log() {
    must_say("a committed position", |history, _| history.operations[3] = read(60, 4, None));
}

#[test]
fn a_wrong_absence() {
    must_say("the row of its position", |history, _| history.operations[1] = read(30, 2, None));
}

#[test]
fn a_read_that_goes_back_in_time() {
    must_say("real time", |history, _| {
        history.operations[3] = read(60, 2, Some((at(2), crate::history::mark(0))));
    });
}

#[test]
fn a_read_that_goes_back_in_time_without_its_position() {
    let (mut history, _) = good();
    history.operations[3] = read(60, 2, Some((at(2), crate::history::mark(0))));
    let said = super::window::keys_are_linearizable(&history).expect_err("no order explains it");
    assert!(said.rule.contains("linearizable"), "{said}");
}

#[test]
fn an_acknowledgement_before_the_flush() {
    must_say("before it is durable", |history, _| history.durable = [(0, (15, 1)), (2, (55, 1))].into());
}

#[test]
fn a_read_before_the_flush() {
    must_say("R20", |history, _| {
        history.durable.insert(0, (31, 1));
        history.operations[0].answer = Answer::Unknown;
    });
}

#[test]
fn an_acknowledgement_after_an_error() {
    must_say("I5", |history, _| history.failed = [((SHARD, 1), 42)].into());
}

#[test]
fn a_gap_in_the_log() {
    must_say("contiguous", |_, log| log.push(data(5, put(9))));
}

#[test]
fn an_epoch_without_its_start() {
    must_say("EpochStart", |_, log| {
        log.push(LogRecord { at: At { epoch: 2, index: 4 }, kind: RecordKind::Data, changes: put(9) });
    });
}

#[test]
fn an_epoch_that_another_process_continues() {
    must_say("R10", |history, _| history.operations[2].life = 2);
}
