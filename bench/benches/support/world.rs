//! A worker, and a world around it whose every operation ends at once: one connection, one disk in memory.

use std::sync::Arc;

use seawall::map::{Generation, Map, ShardId};
use seawall::message::HelloRequest;
use seawall::position::Lineage;
use seawall::reply::Body;
use seawall::session::{Answer, ClientSession};
use seawall_node::seam::{ConnId, Effect, Effects, Event, LogFound, Now, WorkerId};
use seawall_node::shard::Budget;
use seawall_node::worker::{Capabilities, Worker, WorkerConfig};
use seawall_wal::checkpoint::FoldPolicy;
use seawall_wal::{Io, LogId, LogLimits};

use super::Memory;

const LINEAGE: [u8; 16] = *b"a bench's  log  ";
const SHARD: ShardId = ShardId(1);
const CONN: ConnId = ConnId { slot: 0, serial: 1 };

/// A log that is never folded.
pub fn unfolded() -> LogLimits {
    LogLimits { fold: FoldPolicy::NEVER, ..LogLimits::default() }
}

pub struct World {
    worker: Worker,
    disk: Memory,
    now: Now,
    /// Where the next bytes of the client go.
    receive: Option<(Vec<u8>, usize)>,
    /// What the client got.
    pub replies: Vec<u8>,
    effects: Effects,
    events: Vec<Event>,
}

impl World {
    /// A worker with an empty log that it forgets.
    pub fn new() -> World {
        World::start(World::empty_disk(false), unfolded())
    }

    pub fn empty_disk(keeps: bool) -> Memory {
        Memory::new(&LogId { lineage: LINEAGE, shard: SHARD.0 }, keeps)
    }

    /// A worker that serves what is on the disk, and a client that said HELLO.
    pub fn start(disk: Memory, limits: LogLimits) -> World {
        let budget = Budget {
            memory_bytes: u64::MAX,
            request_keys: u64::MAX,
            scrub_bytes_per_second: 0,
            ..Budget::default()
        };
        let worker = Worker::new(WorkerConfig {
            id: WorkerId(0),
            workers: 1,
            member: None,
            lineage: Lineage(LINEAGE),
            limits,
            budget,
            read_proof: Default::default(),
            capabilities: Capabilities::default(),
        });
        let found = LogFound { files: disk.found(), buffers: limits.buffers() };
        let mut world = World {
            worker,
            disk,
            now: Now { mono_us: 1, wall_us: 1 },
            receive: None,
            replies: Vec::new(),
            effects: Vec::new(),
            events: Vec::new(),
        };
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

    /// What a process leaves behind that is killed.
    pub fn kill(self) -> Memory {
        self.disk
    }

    /// Turn after turn, until nothing is left but to wait for the client.
    fn settle(&mut self) {
        loop {
            self.now.mono_us += 1;
            let Self { worker, now, effects, events, .. } = self;
            let mut coming = events.drain(..);
            while !coming.as_slice().is_empty() {
                worker.foresee(coming.as_slice());
                coming.next().into_iter().for_each(|event| worker.step(*now, event, effects));
            }
            drop(coming);
            self.worker.step(self.now, Event::EndOfTurn, &mut self.effects);
            for effect in self.effects.drain(..) {
                match effect {
                    Effect::Disk { shard, io: Io::Fold(job) } => {
                        self.events.push(Event::Folded { shard, done: self.disk.fold(&job) });
                    }
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
    pub fn send(&mut self, mut bytes: &[u8]) {
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

/// Every request was answered, and none refused.
pub fn count_committed(replies: &[u8]) -> usize {
    count(replies, |body| matches!(body, Body::Committed { .. }))
}

/// Every request was answered with a row.
pub fn count_found(replies: &[u8]) -> usize {
    count(replies, |body| matches!(body, Body::Row { .. }))
}

fn count(replies: &[u8], is_good: impl Fn(&Body<'_>) -> bool) -> usize {
    let (mut session, mut at, mut good) = (ClientSession::new(), 0, 0);
    while at < replies.len() {
        match session.next(&replies[at..]).expect("a reply") {
            Answer::Reply(reply, used) => {
                assert!(is_good(&reply.body), "{reply:?}");
                (at, good) = (at + used, good + 1);
            }
            Answer::Need(_) => panic!("half a reply"),
        }
    }
    good
}
