//! What a checkpoint costs: folding a closed segment into it, verifying it, and looking rows up in it.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seawall_wal::batch::{OpenBatch, Seal};
use seawall_wal::checkpoint::{Boundary, FoldLimits, Item, Reader, Version, Writer, fold};
use seawall_wal::format::{FIRST_BATCH, Incarnation, SEGMENT_HEADER, SegmentHeader};
use seawall_wal::{Buffer, Entry, Epoch, Index, Kind, LogId, Space};

const LOG: LogId = LogId { lineage: *b"a bench's  log  ", shard: 1 };
const ROWS: u64 = 500_000;
const CHANGES: u64 = 200_000;
/// Rows of one.
const PARTITION: u64 = 2000;
const BATCH: u64 = 4000;
const VALUE: [u8; 128] = [b'v'; 128];
const CUT: Version = Version { epoch: Epoch(1), index: Index(1) };

/// Keys that begin with what tells of their partition, and go on with a common front, as those of one table do.
fn key(n: u64) -> [u8; 32] {
    let mut key = [b'k'; 32];
    key[..8].copy_from_slice(&((n / PARTITION) << 40).to_be_bytes());
    key[24..].copy_from_slice(&n.to_be_bytes());
    key
}

/// Walks over all rows without any order that a sort could use.
fn scattered(n: u64) -> u64 {
    n * 305_419_897 % ROWS
}

fn checkpoint() -> Vec<u8> {
    let mut bytes = Vec::new();
    let boundary = Boundary { cut: CUT, incarnation: Incarnation(1), end: 8192, ..Boundary::start(LOG) };
    let mut writer = Writer::new(&boundary, |chunk: &[u8]| bytes.extend_from_slice(chunk));
    for n in 0..ROWS {
        writer.push(&Item { space: Space(1), key: &key(n), version: CUT, value: &VALUE });
    }
    writer.finish();
    bytes
}

/// One closed segment behind [`checkpoint`].
fn segment() -> Vec<u8> {
    let header = SegmentHeader {
        lineage: LOG.lineage,
        incarnation: 2,
        bytes: 64 << 20,
        epoch: 1,
        first_index: 2,
        pred_incarnation: 1,
        pred_end: 8192,
        shard: LOG.shard,
        ..bytemuck::Zeroable::zeroed()
    }
    .seal();
    let mut bytes = vec![0; FIRST_BATCH as usize];
    bytes[..SEGMENT_HEADER].copy_from_slice(bytemuck::bytes_of(&header));
    let mut chain = header.header_crc;
    for first in (0..CHANGES).step_by(usize::try_from(BATCH).expect("small")) {
        let mut open = OpenBatch::new(Buffer::new(0, 1 << 20), Index(first + 2));
        for n in first..first + BATCH {
            let value = (n % 10 > 0).then_some(&VALUE[..]);
            let entry = Entry { space: Space(1), key: &key(scattered(n)), value };
            open.push(Kind::Data, 7, std::iter::once(entry));
        }
        let sealed = open.seal(Seal {
            log: &LOG,
            incarnation: Incarnation(2),
            offset: bytes.len() as u64,
            epoch: Epoch(1),
            flushed_through: Index(0),
            committed_through: Index(0),
            chain,
            now_us: 7,
        });
        chain = sealed.header.header_crc;
        bytes.extend_from_slice(&sealed.buffer.bytes()[..sealed.len]);
    }
    bytes
}

fn folds(c: &mut Criterion) {
    let (previous, segment) = (checkpoint(), segment());
    let reader = Reader::open(&previous, &LOG).expect("just written");
    let limits = FoldLimits { committed: Index(u64::MAX), changes: usize::MAX };
    let mut group = c.benchmark_group("a checkpoint of 500,000 rows");
    group.sample_size(10);
    group.throughput(Throughput::Bytes((previous.len() + segment.len()) as u64));
    group.bench_function("fold 200,000 changes into it", |b| {
        b.iter(|| {
            let sink = |chunk: &[u8]| {
                black_box(chunk);
            };
            fold(&LOG, Some(&reader), [segment.as_slice()], limits, sink).expect("a whole segment")
        });
    });
    group.throughput(Throughput::Bytes(previous.len() as u64));
    group.bench_function("verify", |b| b.iter(|| reader.verify().expect("just written")));
    group.throughput(Throughput::Elements(1));
    let mut n = 0;
    group.bench_function("get", |b| {
        b.iter(|| {
            n += 1;
            assert!(reader.get(Space(1), &key(scattered(n))).expect("just written").is_some());
        });
    });
    group.finish();
}

fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3))
}

criterion_group! { name = benches; config = short(); targets = folds }
criterion_main!(benches);
