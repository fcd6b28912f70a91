//! What it costs to check, write and read the frames of the wire.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use seawall::limits::REQUEST_BODY_MAX;
use seawall::message::HelloRequest;
use seawall::session::{ClientSession, Next, ServerSession};
use seawall::{Commit, row};

fn checksum(c: &mut Criterion) {
    let mut group = c.benchmark_group("crc32c");
    for len in [4 << 10, 16 << 10, 64 << 10, 256 << 10] {
        let bytes: Vec<u8> = (0..len).map(|n: usize| (n * 31) as u8).collect();
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |b| {
            b.iter(|| crc32c::crc32c(black_box(&bytes)));
        });
    }
    group.finish();
}

/// A node's end that has taken HELLO.
fn open_session() -> ServerSession {
    let mut session = ServerSession::new(REQUEST_BODY_MAX);
    session.accept(&HelloRequest::new("bench", "")).expect("both speak this version");
    session
}

fn commit_frame(c: &mut Criterion) {
    let commit = Commit::new("p001").put(&row("bench", "r00000001"), [("v", vec![7u8; 128])]);
    let mut group = c.benchmark_group("commit of 128 B");
    group.throughput(Throughput::Elements(1));

    let (mut client, mut out) = (ClientSession::new(), Vec::new());
    group.bench_function("encode, checked", |b| {
        b.iter(|| {
            out.clear();
            client.commit(&mut out, black_box(&commit), 0).expect("a good commit")
        });
    });

    let mut server = open_session();
    group.bench_function("decode", |b| {
        b.iter(|| match server.next(black_box(&out)) {
            Ok(Next::Request { used, .. }) => used,
            other => panic!("{other:?}"),
        });
    });

    group.bench_function("encode, checked, and decode", |b| {
        b.iter(|| {
            out.clear();
            client.commit(&mut out, black_box(&commit), 0).expect("a good commit");
            match server.next(&out) {
                Ok(Next::Request { used, .. }) => used,
                other => panic!("{other:?}"),
            }
        });
    });
    group.finish();
}

fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = short(); targets = checksum, commit_frame }
criterion_main!(benches);
