//! Named cursors, event by event: each test is an execution that a rule prevents.

mod support;

use seawall::map::ShardId;
use seawall::message::Opcode;
use seawall::message::report::Subject;
use seawall::message::watch::{AckRequest, Begin, Scope};
use seawall::position::Position;
use seawall::refusal::{Code, Detail, Refusal};
use seawall::{Commit, Key, Token, row};
use seawall_node::params::CURSORS_PER_SHARD;
use seawall_wal::IoStep;
use support::heard::{Heard, Thing};
use support::{Bench, LINEAGE};

const PARTITION: &str = "HP-2026-07-14";
const PLENTY: u64 = 1 << 20;
const MAIL: Begin<'static> = Begin::Cursor("mail");

fn put(cabin: &str) -> Commit {
    Commit::new(PARTITION).put(&row("cabin", cabin), [("state", "held")])
}

fn all() -> Scope<'static> {
    Scope::Shard(ShardId(1))
}

fn token(epoch: u64, index: u64) -> Token {
    Token { lineage_tag: LINEAGE.tag(), shard: ShardId(1), position: Position::new(epoch, index) }
}

fn ack(bench: &mut Bench, scope: Scope<'_>, cursor: &str, token: Token) {
    bench.ask(Opcode::AckCursor, |out| AckRequest { scope, cursor, token }.encode(out));
}

fn refused(heard: &Heard) -> &Refusal {
    match &heard.what {
        Thing::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// Where a subscription that goes on at a cursor begins.
fn begins(bench: &mut Bench, scope: Scope<'_>, from: Begin<'_>) -> Option<(u64, u64)> {
    bench.subscribe(scope, from, 0);
    let heard = bench.hear();
    assert_eq!(heard.what, Thing::Subscribed);
    heard.at
}

/// The consumer deletes what it dealt with, the power fails, and the cursor would be where it was: all comes again, or with
/// the answer before the write, never.
#[test]
fn what_is_acknowledged_is_durable_before_that_is_answered() {
    let mut bench = Bench::serving();
    bench.done(&put("C14"));
    ack(&mut bench, all(), "mail", token(1, 2));
    assert_eq!(bench.heard(), [], "it is not durable");
    bench.settle();
    let heard = bench.hear();
    assert_eq!((heard.what, heard.at), (Thing::Done, Some((1, 3))));
    let mut bench = bench.restart();
    assert_eq!(begins(&mut bench, all(), MAIL), Some((1, 2)));
}

/// A message of an earlier try arrives late, and what was dealt with would be told again.
#[test]
fn a_cursor_never_goes_back() {
    let mut bench = Bench::serving();
    for cabin in ["C14", "C15", "C16"] {
        bench.done(&put(cabin));
    }
    ack(&mut bench, all(), "mail", token(1, 4));
    bench.settle();
    assert_eq!(bench.hear().at, Some((1, 5)));
    for older in [token(1, 3), token(1, 4), token(1, 0)] {
        ack(&mut bench, all(), "mail", older);
        assert!(bench.disk.is_empty(), "nothing is written for it");
        let heard = bench.hear();
        assert_eq!((heard.what, heard.at), (Thing::Done, Some((1, 5))), "{older:?}");
    }
    let mut bench = bench.restart();
    // A later epoch and an earlier record: no node gave this out.
    ack(&mut bench, all(), "mail", token(2, 3));
    bench.settle();
    bench.hear();
    assert_eq!(begins(&mut bench, all(), MAIL), Some((1, 4)));
}

#[test]
fn a_subscription_goes_on_exactly_behind_its_cursor() {
    let mut bench = Bench::serving();
    for cabin in ["C14", "C15", "C16"] {
        bench.done(&put(cabin));
    }
    let partition = Key::from(PARTITION);
    let scope = Scope::Partition(partition.as_bytes());
    ack(&mut bench, scope, "mail", token(1, 2));
    bench.settle();
    bench.hear();
    bench.subscribe(scope, MAIL, PLENTY);
    let heard = bench.heard();
    let told: Vec<_> = heard
        .iter()
        .flat_map(|heard| match &heard.what {
            Thing::Changes(changes) => changes.iter().map(|(index, ..)| *index).collect(),
            _ => Vec::new(),
        })
        .collect();
    assert_eq!(told, [3, 4], "{heard:?}");
}

/// To begin with what comes now would skip what came before, and nobody would know.
#[test]
fn a_name_that_nobody_acknowledged_under_is_refused() {
    let mut bench = Bench::serving();
    bench.done(&put("C14"));
    ack(&mut bench, all(), "mail", token(1, 2));
    bench.settle();
    bench.hear();
    let (partition, other) = (Key::from(PARTITION), Begin::Cursor("bills"));
    for (scope, from) in [(all(), other), (Scope::Partition(partition.as_bytes()), MAIL)] {
        bench.subscribe(scope, from, PLENTY);
        assert_eq!(refused(&bench.hear()).code, Code::CursorUnknown);
    }
}

/// What follows it left the memory: that is said with what is still there, and nothing is skipped.
#[test]
fn a_cursor_that_fell_behind_what_is_kept_is_lost_and_not_skipped() {
    let mut bench = Bench::serving();
    bench.done(&put("C14"));
    ack(&mut bench, all(), "mail", token(1, 2));
    bench.settle();
    bench.hear();
    let fat = Commit::new(PARTITION).put(&row("cabin", "C15"), [("note", "x".repeat(4_000).as_str())]);
    for _ in 0..60 {
        bench.done(&fat); // many segments: the cursor's record is in checkpoints now
    }
    let lost = |bench: &mut Bench| {
        bench.subscribe(all(), MAIL, PLENTY);
        let heard = bench.hear();
        let why = refused(&heard);
        assert_eq!(why.code, Code::CursorLost);
        let Detail::Position(oldest) = why.reason.detail else { panic!("{why}") };
        assert!(oldest.index.0 > 3 && why.to_string().contains("1:2"), "{why}");
    };
    lost(&mut bench);
    let mut bench = bench.restart();
    lost(&mut bench);
    bench.ask(Opcode::Status, |out| Subject::Shard(ShardId(1)).encode(out));
    let Thing::Report { facts, .. } = bench.hear().what else { panic!("a report") };
    let told = facts.iter().find(|(name, _)| name == "watch.cursors").expect("it is listed").1.clone();
    let told = told.expect("known");
    assert!(told.starts_with("mail of the shard: at 1:2, 6") && told.contains("not kept any more"), "{told}");
}

/// R20. It would go on behind what a crash takes back.
#[test]
fn a_subscription_waits_for_the_acknowledgement_that_it_rests_on() {
    let mut bench = Bench::serving();
    bench.done(&put("C14"));
    ack(&mut bench, all(), "mail", token(1, 2));
    bench.subscribe(all(), MAIL, PLENTY);
    bench.tick_after(2_000_000);
    assert_eq!(bench.heard(), [], "nothing of it is durable");
    bench.settle();
    let heard: Vec<Thing> = bench.heard().into_iter().map(|heard| heard.what).take(2).collect();
    assert_eq!(heard, [Thing::Done, Thing::Subscribed]);
    ack(&mut bench, all(), "bills", token(1, 2));
    bench.subscribe(all(), Begin::Cursor("bills"), PLENTY);
    bench.execute(0, Some(IoStep::Flush));
    let heard = bench.heard();
    assert!(heard.iter().all(|heard| refused(heard).code == Code::LogFailed), "{heard:?}");
    assert_eq!(heard.len(), 3, "the acknowledgement, the subscription, and the end of the one that ran");
}

#[test]
fn what_a_token_does_not_prove_is_not_acknowledged() {
    let mut bench = Bench::serving();
    let foreign = Token { lineage_tag: 7, ..token(1, 1) };
    for (token, code) in [(token(1, 9), Code::NotCaughtUp), (foreign, Code::LineageMismatch)] {
        ack(&mut bench, all(), "mail", token);
        assert_eq!(refused(&bench.hear()).code, code);
    }
    let mut bench = bench.restart();
    ack(&mut bench, all(), "mail", token(1, 9));
    assert_eq!(refused(&bench.hear()).code, Code::TokenLostHistory);
    bench.subscribe(all(), MAIL, 0);
    assert_eq!(refused(&bench.hear()).code, Code::CursorUnknown);
}

/// Names that somebody makes up would fill the memory.
#[test]
fn the_cursors_of_a_shard_are_bounded() {
    let mut bench = Bench::serving();
    let names: Vec<String> = (0..=CURSORS_PER_SHARD).map(|n| format!("cursor-{n}")).collect();
    let (last, others) = names.split_last().expect("some");
    for name in others {
        ack(&mut bench, all(), name, token(1, 1));
        bench.settle();
    }
    assert!(bench.heard().iter().all(|heard| heard.what == Thing::Done));
    ack(&mut bench, all(), last, token(1, 1));
    let heard = bench.hear();
    let why = refused(&heard);
    assert!(why.code == Code::Quota && why.to_string().contains("cursors of the shard"), "{why}");
    ack(&mut bench, all(), &others[0], token(1, 2));
    bench.settle();
    assert_eq!(bench.hear().what, Thing::Done, "those that are there go on");
    bench.ask(Opcode::Status, |out| Subject::Shard(ShardId(1)).encode(out));
    let Thing::Report { facts, .. } = bench.hear().what else { panic!("a report") };
    let told = facts.into_iter().find(|(name, _)| name == "watch.cursors").expect("listed").1.expect("known");
    assert!(told.ends_with(&format!("and {} more", CURSORS_PER_SHARD - 32)), "{told}");
}
