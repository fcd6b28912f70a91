//! What a shard costs with a million rows of 100 bytes, in one partition and in many: looks, commits, gets, starts and
//! memory. A commit goes from received bytes to the bytes of its reply, with a disk whose operations end at once.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark measures memory and says it"
)]

mod support;

use std::cell::LazyCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use seawall::Key;
use seawall::address::{DEFAULT_NAMESPACE, begin_stored_key};
use seawall::frame::{Decoder, Step};
use seawall::limits::FRAME_BODY_MAX;
use seawall::message::{CommitRequest, Request};
use seawall::position::Position;
use seawall::session::ClientSession;
use seawall_node::shard::draft::Draft;
use seawall_node::shard::evaluate::Evaluation;
use seawall_node::shard::spaces;
use seawall_node::shard::state::State;
use seawall_wal::LogLimits;
use seawall_wal::checkpoint::FoldPolicy;
use support::Memory;
use support::rows::{PIPELINE, Random, Rows, Zipf, pipelines};
use support::world::{World, count_committed, count_found, unfolded};

const ROWS: u64 = 1_000_000;
const SHAPES: [Rows; 2] = [Rows { rows: ROWS, partitions: 1 }, Rows { rows: ROWS, partitions: 10_000 }];
/// Keys or requests that are made before a measurement, so that making them is not measured.
const DRAWS: u64 = 1 << 18;

/// Which rows are asked for.
fn draws(zipfian: bool) -> Vec<u64> {
    let mut random = Random(7);
    let zipf = Zipf::new(if zipfian { ROWS } else { 1 });
    let mut draw = || if zipfian { zipf.draw(&mut random) } else { random.next() };
    let rows = SHAPES[0];
    (0..DRAWS).map(|_| rows.scattered(draw() % ROWS)).collect()
}

fn filled(rows: &Rows) -> State {
    let mut state = State::default();
    let mut row = Vec::new();
    rows.fields().encode(&mut row);
    assert_eq!(row.len(), 100);
    let mut key = Vec::new();
    for n in 0..rows.rows {
        key.clear();
        rows.stored_key(rows.scattered(n), &mut key);
        state.apply(spaces::ROWS, &key, Some(&row), Position::new(1, n + 1));
    }
    state.recovered();
    state
}

/// First, since memory that was used before would be used again. Not asked for by those who name another case.
fn memory(_: &mut Criterion) {
    let names = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect::<Vec<_>>();
    if !names.is_empty() && names.iter().all(|name| !name.contains("memory")) {
        return;
    }
    for rows in SHAPES {
        let before = resident();
        let state = filled(&rows);
        let mut key = Vec::new();
        rows.stored_key(0, &mut key);
        let (payload, measured) = (key.len() + 100, (resident() - before) / ROWS as usize);
        println!(
            "memory of a row, {} partitions: payload {payload} (key {}, row 100), resident {measured} \
             (payload + {}), said {}",
            rows.partitions,
            key.len(),
            measured.saturating_sub(payload),
            state.memory().total() / ROWS as usize,
        );
        std::mem::forget(state); // so that the next one begins where this one ends
    }
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the second number") * 4096
}

fn looks(c: &mut Criterion) {
    let mut group = c.benchmark_group("look");
    group.throughput(Throughput::Elements(1));
    for rows in SHAPES {
        let state = LazyCell::new(|| filled(&rows));
        for (name, zipfian) in [("zipfian", true), ("uniform", false)] {
            let key = |n: u64| {
                let mut key = Vec::new();
                rows.stored_key(n, &mut key);
                key
            };
            // One piece of memory, so that the keys that are asked for cost as little as those of a receive buffer.
            let keys: Vec<u8> = draws(zipfian).into_iter().flat_map(key).collect();
            let len = key(0).len();
            let mut next = keys.chunks(len).cycle();
            group.bench_function(format!("{name}, {} partitions", rows.partitions), |b| {
                LazyCell::force(&state); // here: the warm-up judges by its first turn how many to measure
                b.iter(|| black_box(state.look(spaces::ROWS, next.next().expect("it never ends"))));
            });
        }
    }
    group.finish();
}

/// What a shard itself does for a conditional commit of 128 bytes: without frames, log and answer.
fn decisions(c: &mut Criterion) {
    let mut group = c.benchmark_group("evaluate and apply");
    group.throughput(Throughput::Elements(1));
    for rows in SHAPES {
        let mut state = LazyCell::new(|| filled(&rows));
        for (name, zipfian) in [("zipfian", true), ("uniform", false)] {
            let draws = draws(zipfian);
            let frames = pipelines(DRAWS, |client, bytes, n| {
                client.commit(bytes, &rows.merge(draws[n as usize]), 0).expect("a good commit");
            });
            let commits: Vec<CommitRequest<'_>> = frames.iter().flat_map(|bytes| commits(bytes)).collect();
            let mut next = commits.iter().cycle();
            let (mut draft, mut key, mut index) = (Draft::default(), Vec::new(), ROWS);
            group.bench_function(format!("{name}, {} partitions", rows.partitions), |b| {
                LazyCell::force(&state);
                b.iter(|| {
                    index += 1;
                    let at = Position::new(1, index);
                    let commit = next.next().expect("it never ends");
                    let partition = begin_stored_key(DEFAULT_NAMESPACE, commit.partition, &mut key);
                    let mut evaluation = Evaluation {
                        state: &state,
                        namespace: DEFAULT_NAMESPACE,
                        commit,
                        time_us: 1,
                        at,
                        draft: &mut draft,
                        key: &mut key,
                        partition,
                        last: None,
                        seen: None,
                    };
                    evaluation.run().expect("the condition holds");
                    for entry in draft.entries() {
                        state.apply(entry.space, entry.key, entry.value, at);
                    }
                });
            });
        }
    }
    group.finish();
}

fn commits(mut bytes: &[u8]) -> Vec<CommitRequest<'_>> {
    let mut found = Vec::with_capacity(PIPELINE);
    while let Ok(Step::Frame(frame, used)) = Decoder::new(FRAME_BODY_MAX).next(bytes) {
        let Ok(Request::Commit(commit)) = Request::decode(&frame) else { panic!("it was a good commit") };
        found.push(commit);
        bytes = &bytes[used..];
    }
    found
}

/// A worker that holds all rows.
fn warm(rows: &Rows) -> World {
    fill(World::new(), rows)
}

fn fill(mut world: World, rows: &Rows) -> World {
    const SOME: u64 = 1 << 14;
    for first in (0..rows.rows).step_by(SOME as usize) {
        let puts = pipelines(SOME.min(rows.rows - first), |client, bytes, n| {
            client.commit(bytes, &rows.put(rows.scattered(first + n)), 0).expect("a good commit");
        });
        for pipeline in puts {
            world.send(&pipeline);
        }
    }
    assert!(count_committed(&world.replies) > 0);
    world
}

fn served(c: &mut Criterion) {
    for rows in SHAPES {
        let mut world = LazyCell::new(|| warm(&rows));
        let mut group = c.benchmark_group(format!("64 pipelined, {} partitions", rows.partitions));
        group.throughput(Throughput::Elements(PIPELINE as u64));
        for (name, zipfian) in [("get, zipfian", true), ("get, uniform", false)] {
            let draws = draws(zipfian);
            let gets = pipelines(DRAWS, |client, bytes, n| {
                let n = draws[n as usize];
                client.get(bytes, &Key::from(rows.partition(n)), &rows.row(n), 0).expect("a good get");
            });
            let mut next = gets.iter().cycle();
            group.bench_function(name, |b| {
                world.send(&gets[0]);
                assert_eq!(count_found(&world.replies), PIPELINE);
                b.iter(|| world.send(next.next().expect("it never ends")));
            });
        }
        let draws = draws(false);
        for (name, keyed) in [("commit, unkeyed", false), ("commit, keyed", true)] {
            let (mut client, mut sent) = (ClientSession::new(), 0);
            let mut pipeline = || {
                let mut bytes = Vec::new();
                for _ in 0..PIPELINE {
                    let n = draws[sent % draws.len()];
                    let commit = if sent % 2 == 0 { rows.merge(n) } else { rows.add(n) };
                    let commit = if keyed { commit.key(sent.to_le_bytes()).first_sent(1) } else { commit };
                    client.commit(&mut bytes, &commit, 0).expect("a good commit");
                    sent += 1;
                }
                bytes
            };
            group.bench_function(name, |b| {
                world.send(&pipeline());
                assert_eq!(count_committed(&world.replies), PIPELINE);
                b.iter_batched(&mut pipeline, |bytes| world.send(&bytes), BatchSize::LargeInput);
            });
        }
        group.finish();
    }
}

fn starts(c: &mut Criterion) {
    let small_folds = FoldPolicy { least_bytes: 64 << 20, most_segments: 1 };
    let folded = LogLimits { fold: small_folds, checkpoints: 1, ..LogLimits::default() };
    let mut group = c.benchmark_group("start");
    group.sample_size(10).throughput(Throughput::Elements(ROWS));
    for rows in SHAPES {
        for (name, limits) in [("replay of 1M records", unfolded()), ("checkpoint of 1M rows", folded)] {
            let mut disk = None;
            let made = || fill(World::start(World::empty_disk(true), limits), &rows).kill();
            group.bench_function(format!("{name}, {} partitions", rows.partitions), |b| {
                disk.get_or_insert_with(made);
                b.iter_custom(|times| (0..times).map(|_| start(&mut disk, limits)).sum());
            });
        }
    }
    group.finish();
}

/// The time from the files to a node that serves.
fn start(disk: &mut Option<Memory>, limits: LogLimits) -> Duration {
    let found = disk.take().expect("it comes back");
    let begin = Instant::now();
    let world = World::start(found, limits);
    let took = begin.elapsed();
    *disk = Some(world.kill());
    took
}

fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3))
}

criterion_group! { name = benches; config = short(); targets = memory, looks, decisions, served, starts }

/// With memory as the node has it.
fn main() {
    seawall_node::driver::huge_pages::ask();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
