//! What a commit costs in the core: from received bytes through session, shard and log to the bytes of the reply,
//! without sockets and without a disk. Every operation ends at once.

mod support;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seawall::session::ClientSession;
use seawall::{Commit, row};
use support::world::{World, count_committed};

/// Commits that arrive together.
const PIPELINE: usize = 64;
const ROWS: u64 = 100_000;

/// Frames of [`PIPELINE`] commits each, together touching [`ROWS`] rows.
fn pipelines() -> Vec<Vec<u8>> {
    let mut client = ClientSession::new();
    let commit = |n: u64| {
        let row = row("bench", format!("r{n:08}"));
        Commit::new(format!("p{:03}", n % 256)).put(&row, [("v", vec![7u8; 128])])
    };
    let mut pipelines = Vec::new();
    for first in (0..ROWS).step_by(PIPELINE) {
        let mut bytes = Vec::new();
        for n in first..first + PIPELINE as u64 {
            // Neighbours in time are no neighbours in the key space.
            let scattered = n.wrapping_mul(61_681) % ROWS;
            client.commit(&mut bytes, &commit(scattered), 0).expect("a good commit");
        }
        pipelines.push(bytes);
    }
    pipelines
}

fn commits(c: &mut Criterion) {
    let mut world = World::new();
    let pipelines = pipelines();
    for pipeline in &pipelines {
        world.send(pipeline);
        assert_eq!(count_committed(&world.replies), PIPELINE);
    }
    let mut next = pipelines.iter().cycle();
    let mut group = c.benchmark_group("commit of 128 B through the core");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    group.bench_function("64 pipelined, 100k rows", |b| {
        b.iter(|| world.send(next.next().expect("it never ends")));
    });
    group.finish();
    assert_eq!(count_committed(&world.replies), PIPELINE);
}

fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3))
}

criterion_group! { name = benches; config = short(); targets = commits }
criterion_main!(benches);
