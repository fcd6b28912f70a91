//! In the steady state a log allocates nothing, neither for a record nor for a batch.

mod support;

use seawall_wal::{BLOCK, Done, Io, Log, LogLimits};
use support::{Disk, append};

/// Room for all batches of the test in one segment: a roll may allocate, a commit may not.
fn limits() -> LogLimits {
    let slot = 2048 * BLOCK as u64;
    LogLimits { small_slot_bytes: slot, slot_bytes: slot, ..support::limits() }
}

/// Commits batches of `records` records, whose buffers come straight back.
fn commit(log: &mut Log, ios: &mut Vec<Io>, batches: usize, records: usize) {
    for _ in 0..batches {
        for _ in 0..records {
            append(log, &[7; 100]).expect("room");
        }
        log.pump(0, ios);
        for io in ios.drain(..) {
            let Io::Write { id, buf, len, .. } = io else { panic!("only batches are under way: {io:?}") };
            log.done(Done { id, result: Ok(len), buf: Some(buf) }).unwrap();
        }
    }
    assert_eq!(log.durable(), log.appended());
}

#[test]
fn neither_a_record_nor_a_batch_allocates() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits());
    disk.commit(&mut log, b"first");
    let mut ios = Vec::with_capacity(4);
    commit(&mut log, &mut ios, 10, 10);
    let rolls = log.stats().rolls;
    for records in [1, 10, 50, 100] {
        let counted = allocation_counter::measure(|| commit(&mut log, &mut ios, 100, records));
        assert_eq!(counted.count_total, 0, "{records} records a batch: {counted:?}");
    }
    assert_eq!(log.stats().rolls, rolls, "it was one segment");
}
