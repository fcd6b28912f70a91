//! Reads, scans and reports, event by event: each test is an execution that a rule prevents.

mod support;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use seawall::key::Part;
use seawall::map::{Generation, Map, Member, MemberId, Parts, Range, Replicas, ShardId};
use seawall::message::report::Subject;
use seawall::message::request_key::{KeyName, RequestKey};
use seawall::message::route::MapRequest;
use seawall::message::scan::{Order, Span};
use seawall::message::{Consistency, Opcode};
use seawall::position::{Epoch, Position};
use seawall::refusal::Code;
use seawall::{Commit, Key, Row, Token, row};
use seawall_node::seam::Event;
use support::heard::{Heard, Scan, Thing};
use support::{Bench, LINEAGE};

const PARTITION: &str = "HP-2026-07-14";

fn partition() -> Key {
    Key::from(PARTITION)
}

fn put(n: i32, value: i32) -> Commit {
    Commit::new(PARTITION).put(&row("t", n), [("v", value)])
}

fn session(epoch: u64, index: u64, max_wait_ms: u32) -> Consistency {
    let token =
        Token { lineage_tag: LINEAGE.tag(), shard: ShardId(1), position: Position::new(epoch, index) };
    Consistency::Session { token, max_wait_ms }
}

fn code(heard: &Heard) -> Code {
    match &heard.what {
        Thing::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    }
}

fn keys(heard: &Heard) -> Vec<Key> {
    match &heard.what {
        Thing::Page { rows, .. } => rows.iter().map(|(key, _)| key.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

/// R20 over a range: half of a commit, or a commit that a crash takes back, would be seen.
#[test]
fn a_page_waits_for_the_newest_change_in_its_range() {
    let mut bench = Bench::serving();
    bench.done(&put(1, 0).put(&row("t", 2), [("v", 0)]));
    bench.commit(&put(1, 1).put(&row("t", 2), [("v", 1)]).put(&row("t", 3), [("v", 1)]));
    bench.scan(&partition(), &Scan::default());
    assert_eq!(bench.heard(), [], "the page rests on a commit that is not durable");
    bench.settle();
    let heard = bench.heard();
    let Thing::Page { rows, cursor } = &heard[1].what else { panic!("{heard:?}") };
    assert!(rows.iter().all(|(_, (version, row))| *version == (1, 3) && row.get("v") == Some(&1.into())));
    assert_eq!(
        (rows.len(), cursor.len(), heard[1].at),
        (3, 0, Some((1, 3))),
        "all of it, exact at its index"
    );
    assert_eq!(heard[1].staleness_ms, Some(0));
}

/// R20 for absence in a range: the page would say that a row is gone whose deletion a crash takes back.
#[test]
fn a_page_waits_for_a_deletion_in_its_range() {
    let mut bench = Bench::serving();
    bench.done(&put(1, 0));
    bench.commit(&Commit::new(PARTITION).delete(&row("t", 1)));
    bench.scan(&partition(), &Scan::default());
    assert_eq!(bench.heard(), []);
    bench.settle();
    let heard = bench.heard();
    assert_eq!((keys(&heard[1]).len(), heard[1].at), (0, Some((1, 3))));
}

/// What lies outside of the range, or behind the last row of the page, does not delay it.
#[test]
fn a_page_does_not_wait_for_what_it_did_not_look_at() {
    let mut bench = Bench::serving();
    bench.done(&put(1, 0).put(&row("t", 2), [("v", 0)]));
    bench.commit(&put(7, 0));
    bench.scan(&partition(), &Scan { limit: 2, ..Scan::default() });
    let heard = bench.hear();
    assert_eq!((keys(&heard).len(), heard.at), (2, Some((1, 2))));
    let key = Key::from(5);
    let span = Span::Range { from: Bound::Unbounded, to: Bound::Excluded(key.as_bytes()) };
    bench.scan(&partition(), &Scan { span, ..Scan::default() });
    assert_eq!(keys(&bench.hear()).len(), 2);
    bench.scan(&partition(), &Scan { table: "other", ..Scan::default() });
    assert_eq!(keys(&bench.hear()).len(), 0);
}

/// Several rows are as they are at one position.
#[test]
fn rows_read_together_wait_for_the_newest_of_them() {
    let mut bench = Bench::serving();
    bench.done(&put(1, 0));
    bench.commit(&put(2, 0));
    bench.multi_get(&partition(), &[row("t", 1), row("t", 2), row("t", 3), row("t", 1)]);
    assert_eq!(bench.heard(), []);
    bench.settle();
    let heard = bench.heard();
    let Thing::Rows(rows) = &heard[1].what else { panic!("{heard:?}") };
    let versions: Vec<_> = rows.iter().map(|row| row.as_ref().map(|(version, _)| *version)).collect();
    assert_eq!(versions, [Some((1, 2)), Some((1, 3)), None, Some((1, 2))]);
    assert_eq!(heard[1].at, Some((1, 3)));
}

/// R21. A token of what is not committed yet waits; one that a later epoch proves lost is told so, and only that one.
#[test]
fn tokens_are_judged_by_the_epoch_table() {
    let mut bench = Bench::serving();
    bench.done(&put(1, 0));
    let at = row("t", 1);
    let judged = |bench: &mut Bench, consistency: Consistency| {
        bench.get_as(consistency, &partition(), &at);
        let heard = bench.hear();
        let code = if let Thing::Refused(refusal) = &heard.what { Some(refusal.code) } else { None };
        assert!(heard.at.is_some() && heard.staleness_ms == Some(0), "{heard:?}");
        code
    };
    assert_eq!(judged(&mut bench, session(1, 2, 0)), None);
    assert_eq!(judged(&mut bench, session(1, 3, 0)), Some(Code::NotCaughtUp), "it may yet come");
    assert_eq!(judged(&mut bench, session(9, 1, 1000)), Some(Code::NotCaughtUp), "its epoch may yet begin");
    assert_eq!(judged(&mut bench, Consistency::MaxStaleness { ms: 0 }), None);
    let mut bench = bench.restart(); // epoch 2 begins at 3
    assert_eq!(judged(&mut bench, session(1, 2, 0)), None, "it is part of this history");
    assert_eq!(judged(&mut bench, session(1, 3, 1000)), Some(Code::TokenLostHistory), "proven");
    let foreign = Token { lineage_tag: 1, shard: ShardId(1), position: Position::new(1, 1) };
    let foreign = Consistency::Session { token: foreign, max_wait_ms: 0 };
    assert_eq!(judged(&mut bench, foreign), Some(Code::LineageMismatch));
    let other = Token { lineage_tag: LINEAGE.tag(), shard: ShardId(2), position: Position::new(1, 1) };
    let other = Consistency::Session { token: other, max_wait_ms: 0 };
    assert_eq!(judged(&mut bench, other), Some(Code::BadFrame));
    // The epoch table survives checkpoints, too.
    for n in 0..100 {
        bench.commit(&Commit::new(PARTITION).put(&row("big", n), [("v", "x".repeat(3000))]));
        bench.settle();
    }
    bench.heard();
    let mut bench = bench.restart();
    assert_eq!(judged(&mut bench, session(1, 3, 0)), Some(Code::TokenLostHistory));
    assert_eq!(judged(&mut bench, session(2, 4, 0)), None);
}

#[test]
fn a_read_waits_for_its_token_as_long_as_it_may() {
    let mut bench = Bench::serving();
    bench.get_as(session(1, 2, 1000), &partition(), &row("t", 1));
    bench.get_as(session(1, 3, 100), &partition(), &row("t", 1));
    assert_eq!(bench.heard(), []);
    bench.commit(&put(1, 7));
    assert_eq!(bench.heard(), [], "not committed");
    bench.settle();
    let heard = bench.heard();
    assert!(matches!(heard[1].what, Thing::Row(Some(_))), "{heard:?}");
    assert_eq!((heard.len(), heard[1].at), (2, Some((1, 2))));
    bench.tick_after(100_000);
    assert_eq!(code(&bench.heard()[0]), Code::NotCaughtUp);
    bench.get_as(session(1, 9, u32::MAX), &partition(), &row("t", 1));
    bench.step(Event::Stop);
    assert_eq!(code(&bench.heard()[0]), Code::NotReady, "a stop does not wait for it");
    bench.settle();
    assert!(bench.stopped);
}

/// Every page of every scan of a few hundred is what a sorted map says, also after a restart and from a checkpoint.
#[test]
fn scans_agree_with_a_sorted_map() {
    let mut bench = Bench::serving();
    let mut model: BTreeMap<Key, i32> = BTreeMap::new();
    let mut chance = 7u64;
    let mut next = |below: u64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % below
    };
    let key_of = |n: u64| match n % 3 {
        0 => Key::from((n as i64 % 5, n as i64 % 11)),
        1 => Key::from(format!("k{}", n % 17)),
        _ => Key::of(&[Part::Int(i128::from(n % 5)), Part::from("x"), Part::Int(i128::from(n % 3))]),
    };
    for round in 0..6 {
        for _ in 0..60 {
            let (n, value) = (next(1000), next(1000) as i32);
            let commit = Commit::new(PARTITION);
            let at = row("t", key_of(n));
            if next(4) == 0 {
                bench.commit(&commit.delete(&at));
                model.remove(&at.key);
            } else {
                let padding = "x".repeat(next(900) as usize);
                bench.commit(&commit.put(&at, Row::new().with("v", value).with("p", padding)));
                model.insert(at.key, value);
            }
            if next(3) == 0 {
                bench.settle();
            }
        }
        if round % 2 == 1 {
            bench.settle();
            bench = bench.restart();
        }
        bench.heard();
        for _ in 0..40 {
            let (a, b) = (key_of(next(1000)), key_of(next(1000)));
            let end = |kind: u64, key: &'static [u8]| match kind {
                0 => Bound::Unbounded,
                1 => Bound::Included(key),
                _ => Bound::Excluded(key),
            };
            let (a, b): (&'static [u8], &'static [u8]) =
                (a.as_bytes().to_vec().leak(), b.as_bytes().to_vec().leak());
            let span = match next(4) {
                0 => Span::All,
                1 => Span::Prefix(Key::from(next(5)).as_bytes().to_vec().leak()),
                _ => Span::Range { from: end(next(3), a), to: end(next(3), b) },
            };
            let order = if next(2) == 0 { Order::Ascending } else { Order::Descending };
            let mut wanted: Vec<(Key, i32)> =
                model.iter().filter(|(key, _)| within(key, &span)).map(|(k, v)| (k.clone(), *v)).collect();
            if order == Order::Descending {
                wanted.reverse();
            }
            let limit = 1 + next(9) as usize;
            assert_eq!(
                whole_scan(&mut bench, &Scan { span, order, limit, ..Scan::default() }),
                wanted,
                "{span:?}"
            );
        }
    }
}

fn within(key: &Key, span: &Span<'_>) -> bool {
    let key = key.as_bytes();
    match *span {
        Span::All => true,
        Span::Prefix(tuple) => key.starts_with(seawall::key::prefix(tuple)),
        Span::Range { from, to } => {
            let above = match from {
                Bound::Unbounded => true,
                Bound::Included(from) => key >= from,
                Bound::Excluded(from) => key > from,
            };
            let below = match to {
                Bound::Unbounded => true,
                Bound::Included(to) => key <= to,
                Bound::Excluded(to) => key < to,
            };
            above && below
        }
    }
}

/// All pages of a scan; the rows hold a number.
fn whole_scan(bench: &mut Bench, scan: &Scan<'_>) -> Vec<(Key, i32)> {
    let (mut found, mut behind) = (Vec::new(), Vec::new());
    loop {
        bench.scan(&partition(), &Scan { cursor: &behind, ..*scan });
        bench.settle();
        let heard = bench.heard();
        let page = heard.into_iter().find_map(|heard| match heard.what {
            Thing::Page { rows, cursor } => Some((rows, cursor)),
            _ => None,
        });
        let (rows, cursor) = page.expect("a page");
        assert!(rows.len() <= scan.limit);
        for (key, (_, row)) in rows {
            let Some(seawall::Value::Int(value)) = row.get("v") else { panic!("{row}") };
            found.push((key, *value as i32));
        }
        if cursor.is_empty() {
            return found;
        }
        behind = cursor;
    }
}

/// A page ends when it has enough bytes, whatever its limit, and nothing is lost between it and the next one.
#[test]
fn pages_are_bounded_in_bytes() {
    let mut bench = Bench::serving();
    for n in 0..100 {
        let row = Row::new().with("v", n).with("p", "x".repeat(15_000));
        bench.commit(&Commit::new(PARTITION).put(&seawall::row("t", n), row));
        bench.settle();
    }
    bench.heard();
    bench.scan(&partition(), &Scan::default());
    let first = keys(&bench.hear()).len();
    assert!((65..75).contains(&first), "{first} rows of 15 kB");
    assert_eq!(whole_scan(&mut bench, &Scan::default()).len(), 100);
}

/// The log failed: what was read of it may be lost, so nobody is told.
#[test]
fn a_failed_log_refuses_the_reads_that_wait() {
    let mut bench = Bench::serving();
    bench.get_as(session(1, 2, 1000), &partition(), &row("t", 1));
    bench.commit(&put(1, 0));
    bench.scan(&partition(), &Scan::default());
    bench.execute(0, Some(seawall_wal::IoStep::Write));
    let heard = bench.heard();
    assert_eq!(heard.len(), 3);
    assert!(heard.iter().all(|heard| code(heard) == Code::LogFailed));
    bench.ask(Opcode::Status, |out| Subject::Shard(ShardId(1)).encode(out));
    let facts = facts(&bench.hear());
    assert_eq!(facts["shard.state"], Ok("failed".to_owned()));
    assert!(facts["state.rows"].is_err() && facts["shard.staleness_ms"].is_err());
}

fn facts(heard: &Heard) -> BTreeMap<String, Result<String, String>> {
    let Thing::Report { complete, facts } = &heard.what else { panic!("{heard:?}") };
    assert_eq!(*complete, facts.iter().all(|(_, value)| value.is_ok()));
    facts.iter().cloned().collect()
}

/// A report tells what it knows, and of what is not committed that it does not know it.
#[test]
fn reports_say_what_is_known_and_what_is_not() {
    let mut bench = Bench::serving();
    bench.commit(&put(1, 0));
    bench.ask(Opcode::Status, |out| Subject::Shard(ShardId(1)).encode(out));
    let status = facts(&bench.hear());
    assert!(status["state.rows"].as_ref().is_err_and(|why| why.contains("not committed")));
    assert_eq!(
        (&status["log.committed_index"], &status["log.appended_index"]),
        (&Ok("1".into()), &Ok("2".into()))
    );
    bench.settle();
    bench.heard();
    bench.ask(Opcode::Explain, |out| Subject::Shard(ShardId(1)).encode(out));
    let explained = facts(&bench.hear());
    assert_eq!(explained["state.rows"], Ok("1".to_owned()));
    assert!(explained["shard.why"].as_ref().is_ok_and(|why| why.contains("R10")));
    bench.ask(Opcode::Status, |out| Subject::Node.encode(out));
    assert!(facts(&bench.hear())["node.driver"].is_err(), "nobody told it");
    bench.ask(Opcode::Status, |out| Subject::Shard(ShardId(7)).encode(out));
    assert_eq!(code(&bench.hear()), Code::BadFrame);
    bench.ask(Opcode::GetMap, |out| MapRequest { known: Generation::ANY }.encode(out));
    assert_eq!(bench.hear().what, told(&["0: shard 1, epoch 1, leader \"\" []"]), "its own epoch");
    bench.ask(Opcode::GetMap, |out| MapRequest { known: Generation(1) }.encode(out));
    assert_eq!(bench.hear().what, Thing::Map(vec![]), "it is the one that is known");
}

fn told(parts: &[&str]) -> Thing {
    Thing::Map(parts.iter().map(|part| (*part).to_owned()).collect())
}

#[test]
fn get_map_tells_what_the_map_says_of_leaders() {
    let mut bench = Bench::serving();
    let (leader, labels) = (MemberId(3), vec!["zone=a".to_owned()]);
    let members = vec![Member {
        id: leader,
        address: "10.0.0.3:7411".to_owned(),
        peer: "10.0.0.3:7413".to_owned(),
        labels,
    }];
    let (epoch, generation) = (Epoch(9), Generation(2));
    let replicas = Replicas { epoch, leader: Some(leader), ..Replicas::alone(ShardId(1), generation) };
    let ranges = vec![Range { first_hash: 0, shard: ShardId(1) }];
    let parts = Parts { generation, members, ranges, replicas: vec![replicas], audit: None };
    bench.step(Event::MapChanged(Arc::new(Map::of(parts).expect("a map"))));
    bench.hello();
    bench.replies();
    bench.ask(Opcode::GetMap, |out| MapRequest { known: Generation::ANY }.encode(out));
    let part = "0: shard 1, epoch 9, leader \"10.0.0.3:7411\" [\"zone=a\"]";
    assert_eq!(bench.hear().what, told(&[part]));
}

/// "My card was charged but I got a timeout": partition and key say what happened, when and where, and what was told.
#[test]
fn a_trace_says_what_became_of_a_request() {
    let mut bench = Bench::serving();
    let born = bench.wall_us;
    let charge = put(1, 5).delete(&row("t", 2)).event("charged", "BK-88421").key("pay-1").first_sent(born);
    let trace = |bench: &mut Bench, name: &[u8]| {
        let request_key = RequestKey { name: KeyName::Caller(name), first_sent_us: born };
        bench.ask(Opcode::Trace, |out| {
            Subject::Request { partition: partition().as_bytes(), request_key }.encode(out);
        });
    };
    bench.commit(&charge);
    trace(&mut bench, b"pay-1");
    assert_eq!(bench.heard(), [], "it may not have happened (R20)");
    bench.settle();
    bench.heard();
    trace(&mut bench, b"pay-1");
    let traced = facts(&bench.hear());
    let known = |name: &str| traced[name].clone().unwrap();
    assert_eq!((known("request.outcome"), known("request.position")), ("committed".into(), "1:2".into()));
    assert_eq!(known("request.rows"), "put t/int:1, deleted t/int:2");
    assert_eq!(known("request.events"), "charged \"BK-88421\"");
    assert!(known("request.time").starts_with("2025-12-31T23:59:58"), "{}", known("request.time"));
    let rejected = put(1, 6).check(row("t", 9).exists()).key("pay-2").first_sent(born);
    bench.done(&rejected);
    trace(&mut bench, b"pay-2");
    let traced = facts(&bench.hear());
    let outcome = traced["request.outcome"].clone().unwrap();
    assert!(outcome.starts_with("rejected") && outcome.contains("t/int:9"), "{outcome}");
    assert_eq!(traced["request.events"], Ok("none".to_owned()));
    trace(&mut bench, b"pay-3");
    let traced = facts(&bench.hear());
    assert!(traced["request.outcome"].as_ref().is_err_and(|why| why.contains("never seen")));
    let mut bench = bench.restart();
    trace(&mut bench, b"pay-1");
    let traced = facts(&bench.hear());
    assert_eq!(traced["request.outcome"], Ok("committed".to_owned()), "it is remembered");
    assert_eq!(traced["request.events"], Ok("charged \"BK-88421\"".to_owned()), "the log's end is in memory");
    for _ in 0..8 {
        bench.done(&Commit::new(partition()).put(&row("t", 3), [("x", "x".repeat(8000))]));
    }
    trace(&mut bench, b"pay-1");
    let traced = facts(&bench.hear());
    assert!(traced["request.events"].as_ref().is_err_and(|why| why.contains("seawall log dump")));
}
