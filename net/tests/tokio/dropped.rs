//! Futures that are dropped before their end, wherever they are; and that none of them blocks its thread.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use seawall::client::tokio::{Client, Pipeline};
use seawall::client::{Options, Scan, Watch};
use seawall::message::read::Found;
use seawall::message::scan::PageRow;
use seawall::message::term::RowAt;
use seawall::message::watch::{Change, What};
use seawall::message::{Opcode, Request};
use seawall::position::Position;
use seawall::reply::{self, Body, ReplyMeta};
use seawall::{Commit, Key, List, Outcome, Row, Value, row};
use tokio::time::{sleep, timeout};

use super::scripted::{
    AT, Act, Deed, act, answer, bytes, commits, endless_node, hold, is_silent, node, options, plain,
};

async fn connect(address: &str) -> Client {
    Client::connect_with(address, options()).await.unwrap()
}

const MOMENT: Duration = Duration::from_millis(100);

/// Answers with the name of the row that was asked for, in pieces.
fn names(piece: usize) -> Act {
    act(move |meta, request| {
        let Request::Get(get) = request else { panic!("{request:?}") };
        let RowAt { key, .. } = get.at;
        let row = bytes(|out| Row::new().with("key", key.to_vec()).encode(out));
        let found = Some(Found { version: AT, row: &row });
        Deed::SayInPieces(bytes(|out| reply::encode_row(out, meta, 77, found)), piece)
    })
}

fn name_of(key: &Key) -> Option<Row> {
    Some(Row::new().with("key", Value::from(key.as_bytes().to_vec())))
}

/// The call after one that was dropped, before, between or behind any of its steps, has its own answer.
#[tokio::test]
async fn no_call_takes_the_answer_of_one_that_was_dropped() {
    let address = endless_node(|| names(40));
    let mut db = connect(&address).await;
    let (mut dropped, mut ended, mut whole) = (0, 0, Duration::from_millis(5));
    for nth in 0..150_u32 {
        let (this, next) = (Key::from(2 * i64::from(nth)), Key::from(2 * i64::from(nth) + 1));
        let patience = whole * (nth % 30) / 15; // up to twice as long as the last one took
        match timeout(patience, db.get("p", &row("t", this.clone()))).await {
            Ok(got) => {
                assert_eq!(got.unwrap().row, name_of(&this));
                ended += 1;
            }
            Err(_) => dropped += 1,
        }
        let started = Instant::now();
        let got = db.get("p", &row("t", next.clone())).await.unwrap();
        assert_eq!(got.row, name_of(&next), "after {nth}");
        whole = started.elapsed();
    }
    assert!(dropped > 20 && ended > 20, "{dropped} dropped, {ended} ended: both must be seen");
}

/// The late answer is there, whole, when the next call begins.
#[tokio::test]
async fn a_late_answer_meets_nobody() {
    let (release, released) = channel();
    let late = act(move |meta, request| {
        released.recv().unwrap();
        (names(1000))(meta, request)
    });
    let (address, node) = node(vec![late, names(1000)]);
    let mut db = connect(&address).await;
    assert!(timeout(MOMENT, db.get("p", &row("t", 1))).await.is_err());
    release.send(()).unwrap();
    sleep(MOMENT).await;
    assert_eq!(db.get("p", &row("t", 2)).await.unwrap().row, name_of(&Key::from(2)));
    drop(db);
    node.join().unwrap();
}

/// What became of it is not known, and under its key it may be sent again.
#[tokio::test]
async fn a_commit_that_was_dropped_is_sent_again_under_its_key() {
    let replays = answer(|out, meta| {
        let flags = reply::Flags::REPLAYED;
        reply::encode_committed(out, &ReplyMeta { flags, ..*meta }, 77, &List::EMPTY);
    });
    let (address, node) = node(vec![is_silent(), replays]);
    let mut db = connect(&address).await;
    assert!(timeout(MOMENT, db.commit(&hold())).await.is_err());
    let again = db.commit(&hold()).await;
    assert!(matches!(&again, Ok(Outcome::Committed(done)) if done.replayed), "{again:?}");
    drop(db);
    let names: Vec<_> = node.join().unwrap().into_iter().map(|seen| seen.key.unwrap().1).collect();
    assert_eq!(names, ["hold-1", "hold-1"]);
}

/// A call that waits for its next attempt has nothing under way: its connection serves the next one.
#[tokio::test]
async fn between_two_attempts_nothing_is_under_way() {
    let throttled = seawall::Refusal::throttled("batch", 1, 500);
    let (address, node) = node(vec![super::scripted::refuses(throttled), commits()]);
    let mut db = connect(&address).await;
    assert!(timeout(3 * MOMENT, db.commit(&plain())).await.is_err());
    assert!(db.node().is_some(), "it is still connected");
    assert!(matches!(db.commit(&plain()).await, Ok(Outcome::Committed(_))));
    drop(db);
    node.join().unwrap();
}

#[tokio::test]
async fn a_stream_that_is_left_again_and_again_loses_nothing() {
    const EVENTS: usize = 60;
    let stream = || {
        act(|meta, _| {
            let mut out = bytes(|out| reply::encode_subscribed(out, meta, 77));
            let stream = ReplyMeta { opcode: Opcode::Subscribe as u16, ..*meta };
            let (partition, what) = (Key::from("p"), What::Event { topic: "e", payload: b"x" });
            let event =
                |ordinal| Change { position: AT, ordinal, time_us: 5, partition: partition.as_bytes(), what };
            for ordinal in 0..EVENTS {
                reply::encode_changes(&mut out, &stream, 77, [event(ordinal)]);
            }
            Deed::SayInPieces(out, 70)
        })
    };
    let mut db = connect(&endless_node(stream)).await;
    let mut watching = db.watch(&Watch::partition("p")).await.unwrap();
    let (mut seen, mut left) = (Vec::new(), 0);
    while seen.len() < EVENTS {
        match timeout(Duration::from_micros(300), watching.next()).await {
            Ok(next) => seen.push(next.unwrap().unwrap().ordinal),
            Err(_) => left += 1,
        }
    }
    assert_eq!(seen, (0..EVENTS).collect::<Vec<_>>());
    assert!(left > 20, "it was left {left} times");
}

/// More than the operating system takes at once is written, and the sending of it dropped again and again.
#[tokio::test]
async fn a_pipeline_goes_on_where_it_was_left() {
    const COMMITS: usize = 24;
    let (release, released) = channel();
    let mut script: Vec<Act> = vec![act(move |meta, _| {
        released.recv().unwrap();
        Deed::SayInPieces(bytes(|out| reply::encode_committed(out, meta, 77, &List::EMPTY)), 30)
    })];
    script.extend(
        (1..COMMITS).map(|_| answer(|out, meta| reply::encode_committed(out, meta, 77, &List::EMPTY))),
    );
    let (address, node) = node(script);
    let options = Options { deadline: Duration::from_secs(20), ..options() };
    let mut pipeline = Pipeline::connect(address, options).await.unwrap();
    let mut commit = Commit::new("p");
    for nth in 0..15 {
        commit = commit.put(&row("t", nth), [("bytes", vec![7_u8; 60 << 10])]);
    }
    let asked: Vec<u64> = (0..COMMITS).map(|_| pipeline.send_commit(&commit).unwrap()).collect();
    for _ in 0..3 {
        assert!(timeout(MOMENT, pipeline.flush()).await.is_err(), "nobody reads, so it cannot end");
    }
    release.send(()).unwrap();
    pipeline.flush().await.unwrap();
    let mut answered = Vec::new();
    while answered.len() < COMMITS {
        if let Ok(next) = timeout(Duration::from_micros(300), pipeline.recv()).await {
            let (correlation, reply) = next.unwrap();
            assert!(matches!(reply.body, Body::Committed { .. }));
            answered.push(correlation);
        }
    }
    assert_eq!((answered, pipeline.in_flight()), (asked, 0));
    drop(pipeline);
    assert_eq!(node.join().unwrap().len(), COMMITS);
}

#[tokio::test]
async fn rows_that_were_left_are_not_skipped() {
    let page = |first: i64, cursor: &'static [u8]| {
        act(move |meta, request| {
            let Request::Scan(_) = request else { panic!("{request:?}") };
            let row = bytes(|out| Row::new().with("a", 1).encode(out));
            let keys: Vec<Key> = (first..first + 2).map(Key::from).collect();
            let found = Found { version: Position::new(1, 6), row: &row };
            let rows = keys.iter().map(|key| PageRow { key: key.as_bytes(), found });
            Deed::Say(bytes(|out| reply::encode_page(out, meta, 77, rows, || cursor)))
        })
    };
    let (address, node) = node(vec![page(0, b"x"), is_silent(), page(2, b"")]);
    let mut db = connect(&address).await;
    let (mut keys, mut left) = (Vec::new(), 0);
    let mut rows = db.rows(Scan::new("p", "t"));
    loop {
        match timeout(MOMENT, rows.next()).await {
            Ok(Some(row)) => keys.push(row.unwrap().key),
            Ok(None) => break,
            Err(_) if left == 5 => panic!("nothing comes any more"),
            Err(_) => left += 1,
        }
    }
    assert_eq!((keys, left), ((0..4).map(Key::from).collect::<Vec<_>>(), 1));
    drop(db);
    node.join().unwrap();
}

/// One thread, one call that waits, and another one that is served meanwhile.
#[tokio::test]
async fn a_call_that_waits_keeps_nobody_waiting() {
    let ((silent, _), (lively, _)) = (node(vec![is_silent()]), node(vec![commits()]));
    let (mut waits, mut works) = (connect(&silent).await, connect(&lively).await);
    let (key, hold) = (row("t", 1), hold());
    tokio::select! {
        got = waits.get("p", &key) => panic!("{got:?}"),
        done = works.commit(&hold) => assert!(matches!(done, Ok(Outcome::Committed(_)))),
    }
}

/// They can be given to a runtime of many threads.
#[tokio::test]
async fn calls_may_move_between_threads() {
    let (address, node) = node(vec![commits(), names(1000), commits()]);
    let mut db = connect(&address).await;
    let task = tokio::spawn(async move {
        let one = db.commit(&hold()).await;
        let decide = async |db: &mut Client| {
            let seen = db.get("p", &row("t", 1)).await?;
            Ok(plain().put(&row("t", 2), seen.row.unwrap_or_default()))
        };
        let other = db.attempt(2, decide).await;
        (one, other)
    });
    assert!(matches!(task.await.unwrap(), (Ok(Outcome::Committed(_)), Ok(Outcome::Committed(_)))));
    node.join().unwrap();
    fn moves<T: Send>(_: T) {}
    let _ = |mut db: Client, mut pipeline: Pipeline| {
        moves(db.watch(&Watch::partition("p")));
        moves(db.rows(Scan::new("p", "t")).next());
        moves(pipeline.recv());
    };
}
