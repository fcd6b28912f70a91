//! Every code, and how a node comes to give it: through the step of a worker, here, or the reason why it cannot yet.
//!
//! The simulator meets most of these, too (tests/src/store/met.rs); this is the short way to each.

mod support;

use std::sync::Arc;

use seawall::frame::{self, FrameMeta};
use seawall::map::{Generation, Map, ShardId};
use seawall::message::declare::{Declaration, Transitions};
use seawall::message::settle::SettleRequest;
use seawall::message::watch::{AckRequest, Begin, Scope};
use seawall::message::{Consistency, HelloRequest, Opcode};
use seawall::position::Position;
use seawall::refusal::{Code, Refusal};
use seawall::reply::{Body, Reply};
use seawall::session::{Answer, ClientSession};
use seawall::{Commit, Key, RowRef, Token, row};
use seawall_node::params::{CLOCK_GAP_US, EXPIRY_SPREAD_US, KEY_RETENTION_US, SUBSCRIPTIONS_PER_CONNECTION};
use seawall_node::seam::{Effect, Effects, Event, Now, WorkerId};
use seawall_node::shard::Budget;
use seawall_node::worker::{Capabilities, Worker, WorkerConfig};
use seawall_wal::{IoStep, LogLimits};
use support::heard::Thing;
use support::{Bench, CONN, LINEAGE, WALL_US};

const PARTITION: &str = "HP-2026-07-14";

/// What is said of a code.
enum How {
    /// This makes a node give it.
    Step(fn() -> Vec<Refusal>),
    /// The client library says it: no frame can ask for it.
    Client,
    /// It takes more than one replica.
    Replication,
    /// It takes roles or projections.
    NotBuilt,
}

/// A new code does not build before it has its place here.
fn how(code: Code) -> How {
    match code {
        Code::StaleGeneration => How::Step(|| of_generation(2, 1)),
        Code::GenerationAhead => How::Step(|| of_generation(1, 2)),
        Code::ConditionFailed => How::Step(|| done(&cabin_commit().check(cabin().exists()))),
        Code::InvalidTransition => How::Step(invalid_transition),
        Code::Constraint => How::Step(|| done(&cabin_commit().add(&row("n", 1), "n", 1, ..=0))),
        Code::LeaseLost => How::Step(|| done(&cabin_commit().lease_release(&cabin(), Position::new(1, 1)))),
        Code::KeyAborted => How::Step(key_aborted),
        Code::KeyReused => How::Step(key_reused),
        Code::KeyExpired => How::Step(key_expired),
        Code::NotCaughtUp => How::Step(|| read_with(&mut Bench::serving(), 1, 9)),
        Code::TokenLostHistory => How::Step(|| read_with(&mut Bench::serving().restart(), 1, 9)),
        Code::Compacted => How::Step(compacted),
        Code::ClockUntrusted => How::Step(clock_untrusted),
        Code::CursorLost => How::Step(cursor_lost),
        Code::CursorUnknown => How::Step(cursor_unknown),
        Code::DurabilityUnavailable => How::Step(|| done(&cabin_commit().durable_on(2))),
        Code::DiskFull => How::Step(disk_full),
        Code::LogFailed => How::Step(log_failed),
        Code::Throttled => How::Step(throttled),
        Code::DeadlineBeforeAppend => How::Step(deadline),
        Code::Quota => How::Step(quota),
        Code::Unauthenticated => How::Step(unauthenticated),
        Code::NotReady => How::Step(not_ready),
        Code::CasFailed => How::Step(|| declare_twice(2)),
        Code::BadFrame => How::Step(|| done(&keyed("a", i64::MAX))),
        Code::UnsupportedVersion => How::Step(unsupported),
        Code::TooLarge => How::Step(too_large),
        Code::CrossPartition => How::Client,
        Code::NotLeader
        | Code::FencedEpoch
        | Code::UnknownEpoch
        | Code::ShardMoving
        | Code::LeaseUnproven
        | Code::StaleBound
        | Code::ReplicaUnsafe
        | Code::DurabilityTimeout
        | Code::LeadershipLost
        | Code::Checksum
        | Code::Continuity
        | Code::SnapshotLogMismatch
        | Code::CorruptMetadata
        | Code::LineageMismatch
        | Code::PromoteRefused => How::Replication,
        Code::Denied | Code::ProjectionReadonly => How::NotBuilt,
    }
}

#[test]
fn every_code_that_a_node_gives_is_reached_through_the_step() {
    let mut reached = 0;
    for code in Code::ALL {
        if let How::Step(make) = how(*code) {
            let refusals = make();
            let met: Vec<Code> = refusals.iter().map(|refusal| refusal.code).collect();
            assert!(met.contains(code), "{code} was not met, but {met:?}");
            for Refusal { reason, .. } in &refusals {
                assert!(!reason.rule.is_empty() && !reason.expected.is_empty() && !reason.hint.is_empty());
            }
            reached += 1;
        }
    }
    assert_eq!(reached, 27, "of {}", Code::ALL.len());
}

fn cabin() -> RowRef {
    row("cabin", "C14")
}

fn cabin_commit() -> Commit {
    Commit::new(PARTITION).put(&cabin(), [("state", "held")])
}

fn keyed(name: &str, born: i64) -> Commit {
    cabin_commit().key(name).first_sent(born)
}

/// Everything that was refused since the last time, once the disk has done all that it was asked.
fn refused(bench: &mut Bench) -> Vec<Refusal> {
    bench.settle();
    let heard = bench.heard().into_iter();
    heard
        .filter_map(|heard| if let Thing::Refused(refusal) = heard.what { Some(refusal) } else { None })
        .collect()
}

fn done(commit: &Commit) -> Vec<Refusal> {
    let mut bench = Bench::serving();
    bench.commit(commit);
    refused(&mut bench)
}

/// A COMMIT in a frame that is unusual.
fn framed(bench: &mut Bench, generation: u64, deadline_ms: u32, commit: &Commit) {
    let meta = FrameMeta {
        kind: frame::Kind::Request,
        opcode: Opcode::Commit as u16,
        correlation: 77,
        generation: Generation(generation),
        deadline_ms,
        ..FrameMeta::default()
    };
    let mut out = Vec::new();
    frame::write(&mut out, &meta, |payload| commit.encode(payload));
    bench.receive(&out);
}

fn of_generation(map: u64, generation: u64) -> Vec<Refusal> {
    let mut bench = Bench::serving();
    bench.step(Event::MapChanged(Arc::new(Map::even(Generation(map), 1))));
    framed(&mut bench, generation, 0, &cabin_commit());
    refused(&mut bench)
}

fn declare_twice(version: u64) -> Vec<Refusal> {
    let mut bench = Bench::serving();
    bench.declare("cabin", version, &Declaration::default());
    refused(&mut bench)
}

fn invalid_transition() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    let states = Transitions { initial: vec!["free".into()], allowed: Vec::new() };
    let transitions = [("state".to_owned(), states)].into();
    bench.declare("cabin", 1, &Declaration { transitions, ..Declaration::default() });
    bench.commit(&cabin_commit());
    refused(&mut bench)
}

fn key_aborted() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    let (partition, commit) = (Key::from(PARTITION), keyed("a", WALL_US));
    let request_key = commit.request_key().expect("it has one");
    let settle = SettleRequest { partition: partition.as_bytes(), request_key, token: None };
    bench.ask(Opcode::Resolve, |out| settle.encode(out));
    bench.settle();
    bench.replies();
    bench.commit(&commit);
    refused(&mut bench)
}

fn key_reused() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    bench.commit(&keyed("a", WALL_US));
    bench.commit(&keyed("a", WALL_US).delete(&row("t", 1)));
    refused(&mut bench)
}

fn key_expired() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    bench.commit(&keyed("a", WALL_US));
    bench.settle();
    bench.tick_after(KEY_RETENTION_US + EXPIRY_SPREAD_US);
    bench.commit(&keyed("a", WALL_US));
    refused(&mut bench)
}

/// A read that wants what this token names.
fn read_with(bench: &mut Bench, epoch: u64, index: u64) -> Vec<Refusal> {
    let position = Position::new(epoch, index);
    let token = Token { lineage_tag: LINEAGE.tag(), shard: ShardId(1), position };
    bench.get_as(Consistency::Session { token, max_wait_ms: 0 }, &Key::from(PARTITION), &cabin());
    refused(bench)
}

fn compacted() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    let big = Commit::new(PARTITION).put(&cabin(), [("state", "x".repeat(8000))]);
    for _ in 0..20 {
        bench.done(&big); // more than the tail in memory holds
    }
    let position = Position::new(1, 0);
    let token = Token { lineage_tag: LINEAGE.tag(), shard: ShardId(1), position };
    bench.subscribe(Scope::Shard(ShardId(1)), Begin::Token(token), 1);
    refused(&mut bench)
}

fn clock_untrusted() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    bench.wall_us += 2 * CLOCK_GAP_US as i64;
    bench.commit(&cabin_commit());
    refused(&mut bench)
}

/// A log that cannot grow takes commits until it is full.
fn disk_full() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    bench.disk_full = true;
    let fat = |n: u32| Commit::new(PARTITION).put(&row("big", n), [("text", "x".repeat(3_000))]);
    (0..200).for_each(|n| {
        bench.commit(&fat(n));
        bench.settle();
    });
    refused(&mut bench)
}

fn log_failed() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    bench.commit(&cabin_commit());
    bench.execute(0, Some(IoStep::Flush));
    refused(&mut bench)
}

fn throttled() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    for _ in 0..=SUBSCRIPTIONS_PER_CONNECTION {
        bench.subscribe(Scope::Shard(ShardId(1)), Begin::Now, 0);
    }
    refused(&mut bench)
}

/// It waited for room in the log, and its client has left.
fn deadline() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    let big = |n: u32| Commit::new(PARTITION).put(&row("big", n), [("text", "x".repeat(7_000))]);
    (0..8).for_each(|n| bench.commit(&big(n)));
    framed(&mut bench, 0, 1, &cabin_commit());
    bench.pass(2_000);
    refused(&mut bench)
}

fn quota() -> Vec<Refusal> {
    let mut bench = Bench::with_budget(Budget { request_keys: 0, ..Budget::default() });
    bench.commit(&keyed("a", WALL_US));
    refused(&mut bench)
}

fn not_ready() -> Vec<Refusal> {
    let mut bench = Bench::booting(0, 1);
    bench.commit(&cabin_commit());
    refused(&mut bench)
}

/// A cursor is remembered by no shard yet.
fn unsupported() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    let hello = HelloRequest { min_version: 200, max_version: 201, ..HelloRequest::new("test", "") };
    bench.ask(Opcode::Hello, |out| hello.encode(out));
    refused(&mut bench)
}

fn cursor_lost() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    let token = Token { lineage_tag: LINEAGE.tag(), shard: ShardId(1), position: Position::new(1, 1) };
    let ack = AckRequest { scope: Scope::Shard(ShardId(1)), cursor: "mails", token };
    bench.ask(Opcode::AckCursor, |out| ack.encode(out));
    for _ in 0..20 {
        bench.commit(&Commit::new(PARTITION).put(&cabin(), [("text", "x".repeat(5_000).as_str())]));
        bench.settle();
    }
    bench.heard();
    bench.subscribe(Scope::Shard(ShardId(1)), Begin::Cursor("mails"), 0);
    refused(&mut bench)
}

fn cursor_unknown() -> Vec<Refusal> {
    let mut bench = Bench::serving();
    bench.subscribe(Scope::Shard(ShardId(1)), Begin::Cursor("mails"), 0);
    refused(&mut bench)
}

fn too_large() -> Vec<Refusal> {
    let fat = "x".repeat(20_000);
    done(&Commit::new(PARTITION).put(&cabin(), [("text", fat.as_str())]))
}

/// A stranger asks before HELLO.
fn unauthenticated() -> Vec<Refusal> {
    let mut worker = Worker::new(WorkerConfig {
        id: WorkerId(0),
        workers: 1,
        member: None,
        lineage: LINEAGE,
        limits: LogLimits::test_min(),
        budget: Budget { scrub_bytes_per_second: 0, ..Budget::default() },
        read_proof: Default::default(),
        capabilities: Capabilities::default(),
    });
    let (conn, now) = (CONN, Now { mono_us: 1, wall_us: WALL_US });
    let mut effects = Effects::new();
    worker.step(now, Event::Accepted { conn }, &mut effects);
    let Some(Effect::Receive { mut buf, from, .. }) = effects.pop() else { panic!("{effects:?}") };
    let mut request = Vec::new();
    let meta =
        FrameMeta { kind: frame::Kind::Request, opcode: Opcode::Describe as u16, ..FrameMeta::default() };
    frame::write(&mut request, &meta, |payload| payload.extend_from_slice(b"\x01t"));
    buf[from..from + request.len()].copy_from_slice(&request);
    let mut effects = Effects::new();
    worker.step(now, Event::Received { conn, buf, result: Ok(request.len()) }, &mut effects);
    worker.step(now, Event::EndOfTurn, &mut effects);
    let sent = effects.iter().find_map(|effect| match effect {
        Effect::Send { buf, from, .. } => Some(&buf[*from..]),
        _ => None,
    });
    match ClientSession::new().next(sent.expect("an answer")) {
        Ok(Answer::Reply(Reply { body: Body::Refused(refusal), .. }, _)) => vec![refusal],
        other => panic!("{other:?}"),
    }
}
