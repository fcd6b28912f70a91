//! What a commit costs in the core: from received bytes through session, shard and log to the bytes of the reply,
//! without sockets and without a disk. Every operation ends at once.

mod support;

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seawall::map::{Generation, Map, ShardId};
use seawall::message::HelloRequest;
use seawall::position::Lineage;
use seawall::session::{Answer, ClientSession};
use seawall::{Commit, row};
use seawall_node::seam::{ConnId, Effect, Effects, Event, LogFound, Now, WorkerId};
use seawall_node::shard::Budget;
use seawall_node::worker::{Capabilities, Worker, WorkerConfig};
use seawall_wal::{LogId, LogLimits};
use support::Memory;

const LINEAGE: [u8; 16] = *b"a bench's  log  ";
const SHARD: ShardId = ShardId(1);
const CONN: ConnId = ConnId { slot: 0, serial: 1 };
/// Commits that arrive together.
const PIPELINE: usize = 64;
const ROWS: u64 = 100_000;

/// A worker, and the world around it: one connection, one disk.
struct World {
    worker: Worker,
    disk: Memory,
    now: Now,
    /// Where the next bytes of the client go.
    receive: Option<(Vec<u8>, usize)>,
    /// What the client got.
    replies: Vec<u8>,
    effects: Effects,
    events: Vec<Event>,
}

impl World {
    /// A worker that serves, and a client that said HELLO.
    fn new() -> World {
        let limits = LogLimits::default();
        let worker = Worker::new(WorkerConfig {
            id: WorkerId(0),
            workers: 1,
            lineage: Lineage(LINEAGE),
            limits,
            budget: Budget::default(),
            capabilities: Capabilities::default(),
        });
        let mut world = World {
            worker,
            disk: Memory::new(&LogId { lineage: LINEAGE, shard: SHARD.0 }, false),
            now: Now { mono_us: 1, wall_us: 1 },
            receive: None,
            replies: Vec::new(),
            effects: Vec::new(),
            events: Vec::new(),
        };
        let found = LogFound { files: Default::default(), buffers: limits.buffers() };
        world.events.push(Event::Boot { shard: SHARD, found });
        world.events.push(Event::MapChanged(Arc::new(Map::even(Generation(1), 1))));
        world.settle();
        world.events.push(Event::Accepted { conn: CONN });
        world.settle();
        let mut hello = Vec::new();
        ClientSession::new().hello(&mut hello, &HelloRequest::new("bench", ""), 0);
        world.send(&hello);
        world
    }

    /// Turn after turn, until nothing is left but to wait for the client.
    fn settle(&mut self) {
        loop {
            self.now.mono_us += 1;
            for event in self.events.drain(..) {
                self.worker.step(self.now, event, &mut self.effects);
            }
            self.worker.step(self.now, Event::EndOfTurn, &mut self.effects);
            for effect in self.effects.drain(..) {
                match effect {
                    Effect::Disk { shard, io } => {
                        self.events.push(Event::Disk { shard, done: self.disk.execute(io) });
                    }
                    Effect::Send { conn, buf, from } => {
                        self.replies.extend_from_slice(&buf[from..]);
                        let result = Ok(buf.len() - from);
                        self.events.push(Event::Sent { conn, buf, result });
                    }
                    Effect::Receive { buf, from, .. } => self.receive = Some((buf, from)),
                    Effect::Recovered { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            if self.events.is_empty() {
                return;
            }
        }
    }

    /// The client's bytes arrive, in as many pieces as the worker's buffer makes of them.
    fn send(&mut self, mut bytes: &[u8]) {
        self.replies.clear();
        while !bytes.is_empty() {
            let (mut buf, from) = self.receive.take().expect("the worker reads whenever it is idle");
            let moved = bytes.len().min(buf.len() - from);
            buf[from..from + moved].copy_from_slice(&bytes[..moved]);
            bytes = &bytes[moved..];
            self.events.push(Event::Received { conn: CONN, buf, result: Ok(moved) });
            self.settle();
        }
    }
}

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

/// Every request was answered, and none refused.
fn count_committed(replies: &[u8]) -> usize {
    let (mut session, mut at, mut committed) = (ClientSession::new(), 0, 0);
    while at < replies.len() {
        match session.next(&replies[at..]).expect("a reply") {
            Answer::Reply(reply, used) => {
                assert!(matches!(reply.body, seawall::reply::Body::Committed { .. }), "{reply:?}");
                (at, committed) = (at + used, committed + 1);
            }
            Answer::Need(_) => panic!("half a reply"),
        }
    }
    committed
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
