//! What the log itself costs: building batches, and reading a log back. The disk is memory and ends every operation
//! at once.

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use seawall_wal::{Buffer, Entry, Io, Kind, Log, LogId, LogLimits, NoRoom, Progress, Recovery, Space};
use support::Memory;

const LOG: LogId = LogId { lineage: *b"a bench's  log  ", shard: 1 };
const KEY: [u8; 32] = [b'k'; 32];
/// With its headers (16 for the record, 8 for the entry) and its key, a record is 200 bytes.
const VALUE: [u8; 200 - 16 - 8 - KEY.len()] = [b'v'; 200 - 16 - 8 - KEY.len()];
const RECORD: u64 = 200;
/// Records appended between two pumps: about one batch of 1 MiB.
const RECORDS: u64 = 5000;
const SCAN_BYTES: u64 = 64 << 20;

/// Runs recovery to its end; the log, and how many records it read.
fn recover(disk: &mut Memory, buffers: Vec<Buffer>) -> (Log, u64) {
    let mut recovery =
        Recovery::new(LOG, LogLimits::default(), disk.found(), buffers, seawall_wal::Start::Alone);
    let (mut ios, mut records) = (Vec::new(), 0);
    recovery.start(&mut ios);
    loop {
        let io = ios.pop().expect("recovery works until it ends");
        let progress = recovery.done(disk.execute(io), &mut ios, &mut |replayed| {
            black_box(&replayed);
            records += 1;
        });
        match progress {
            Progress::Working => {}
            Progress::Halted(report) => panic!("{report}"),
            Progress::AtRest(..) => unreachable!("a start that is alone takes an epoch"),
            Progress::Recovered(log, _) => return (*log, records),
        }
    }
}

/// Executes whatever the log asks for until it asks for nothing.
fn settle(log: &mut Log, disk: &mut Memory, ios: &mut Vec<Io>) {
    loop {
        log.pump(0, ios);
        if ios.is_empty() {
            return;
        }
        for io in ios.drain(..) {
            log.done(disk.execute(io)).expect("memory does not fail");
        }
    }
}

/// Appends records, and lets the log write whenever a batch is full.
fn append(log: &mut Log, disk: &mut Memory, ios: &mut Vec<Io>, records: u64) {
    let entry = Entry { space: Space(1), key: &KEY, value: Some(&VALUE) };
    let mut left = records;
    while left > 0 {
        match log.append(Kind::Data, 7, std::iter::once(black_box(entry))) {
            Ok(_) => left -= 1,
            Err(NoRoom::Busy) => settle(log, disk, ios),
            Err(why) => panic!("{why:?}"),
        }
    }
    settle(log, disk, ios);
}

fn batches(c: &mut Criterion) {
    let mut disk = Memory::new(&LOG, false);
    let (mut log, _) = recover(&mut disk, LogLimits::default().buffers());
    let mut ios = Vec::new();
    settle(&mut log, &mut disk, &mut ios);
    let mut group = c.benchmark_group("batches of 200 B records");
    for records in [1, 64, RECORDS] {
        group.throughput(Throughput::Elements(records));
        group.bench_function(format!("{records} at a time"), |b| {
            b.iter(|| append(&mut log, &mut disk, &mut ios, records));
        });
    }
    group.finish();
}

fn scan(c: &mut Criterion) {
    let mut disk = Memory::new(&LOG, true);
    let (mut log, _) = recover(&mut disk, LogLimits::default().buffers());
    let mut ios = Vec::new();
    settle(&mut log, &mut disk, &mut ios);
    let mut written = 0;
    while log.stats().batch_bytes < SCAN_BYTES {
        append(&mut log, &mut disk, &mut ios, RECORDS);
        written += RECORDS;
    }
    drop(log);
    let mut group = c.benchmark_group("recovery of 64 MiB");
    group.sample_size(10).throughput(Throughput::Bytes(written * RECORD));
    group.bench_function("scan", |b| {
        b.iter_batched(
            || LogLimits::default().buffers(),
            |buffers| assert_eq!(recover(&mut disk, buffers).1, written),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3))
}

criterion_group! { name = benches; config = short(); targets = batches, scan }
criterion_main!(benches);
