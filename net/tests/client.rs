//! The blocking client against a scripted node: what it repeats, what it does not, and what it tells its caller.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a scripted node has a socket and a thread"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use seawall::client::{Doubt, Options, Pipeline};
use seawall::frame::{Decoder, Step};
use seawall::limits::REQUEST_BODY_MAX;
use seawall::map::{Generation, ShardId};
use seawall::message::hello::{HelloReply, Limits};
use seawall::message::read::Found;
use seawall::message::{Request, RequestMeta};
use seawall::position::{Lineage, Position};
use seawall::refusal;
use seawall::reply::{self, Body, ReplyMeta};
use seawall::{Client, Code, Commit, Error, Key, Outcome, Refusal, Row, row};

/// What the node does with the next request that is not HELLO; HELLO it always welcomes.
#[derive(Clone)]
enum Act {
    Commit,
    Found,
    Absent,
    Refuse(Refusal),
    /// Close the connection instead of an answer.
    HangUp,
    /// Answer, then close the connection.
    CommitAndHangUp,
    /// Answer nothing, and wait for the client to give up.
    Silence,
    /// Answer the next two requests, the second one first.
    CommitTwoBackwards,
    Garbage,
}

/// Plays `script` over as many connections as it takes and returns the generation that each request named.
fn node(script: Vec<Act>) -> (String, JoinHandle<Vec<u64>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let played = spawn(move || {
        let (mut script, mut generations) = (script.into_iter(), Vec::new());
        while script.len() > 0 {
            play(listener.accept().unwrap().0, &mut script, &mut generations);
        }
        generations
    });
    (address, played)
}

fn play(mut stream: TcpStream, script: &mut impl ExactSizeIterator<Item = Act>, generations: &mut Vec<u64>) {
    let mut inbox = Vec::new();
    let mut waiting = None;
    while let Some(meta) = next_request(&mut stream, &mut inbox, generations) {
        let to = |meta: &RequestMeta, index| ReplyMeta {
            generation: Generation(5),
            shard: ShardId(1),
            position: Some(Position::new(1, index)),
            ..ReplyMeta::to(meta)
        };
        let mut out = Vec::new();
        if let Some(first) = waiting.take() {
            reply::encode_committed(&mut out, &to(&meta, 8), 77, &seawall::List::EMPTY);
            reply::encode_committed(&mut out, &to(&first, 7), 77, &seawall::List::EMPTY);
            stream.write_all(&out).unwrap();
            continue;
        }
        let act = script.next().expect("the script covers every request");
        match &act {
            Act::Commit | Act::CommitAndHangUp => {
                reply::encode_committed(&mut out, &to(&meta, 7), 77, &seawall::List::EMPTY)
            }
            Act::Found => {
                let mut row = Vec::new();
                Row::new().with("state", "held").encode(&mut row);
                let found = Found { version: Position::new(1, 6), row: &row };
                reply::encode_row(&mut out, &to(&meta, 9), 77, Some(found));
            }
            Act::Absent => reply::encode_row(&mut out, &to(&meta, 9), 77, None),
            Act::Refuse(refusal) => reply::encode_refusal(&mut out, &to(&meta, 7), refusal),
            Act::HangUp => return,
            Act::Silence => {
                while stream.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
                return;
            }
            Act::CommitTwoBackwards => waiting = Some(meta),
            Act::Garbage => out.extend_from_slice(&[0; 64]),
        }
        stream.write_all(&out).unwrap();
        if matches!(act, Act::CommitAndHangUp) {
            return;
        }
    }
}

/// The next request but HELLO, which is answered here.
fn next_request(
    stream: &mut TcpStream,
    inbox: &mut Vec<u8>,
    generations: &mut Vec<u64>,
) -> Option<RequestMeta> {
    let mut decoder = Decoder::new(REQUEST_BODY_MAX);
    loop {
        if let Step::Frame(frame, used) = decoder.next(inbox).unwrap() {
            let meta = RequestMeta::from(&frame.header);
            let hello = matches!(Request::decode(&frame), Ok(Request::Hello(_)));
            inbox.drain(..used);
            if !hello {
                generations.push(meta.generation.0);
                return Some(meta);
            }
            let mut out = Vec::new();
            reply::encode_hello(
                &mut out,
                &ReplyMeta { generation: Generation(5), ..ReplyMeta::to(&meta) },
                &welcome(),
            );
            stream.write_all(&out).unwrap();
        } else {
            let mut bytes = [0; 4096];
            let received = stream.read(&mut bytes).ok().filter(|n| *n > 0)?;
            inbox.extend_from_slice(&bytes[..received]);
        }
    }
}

fn welcome() -> HelloReply {
    HelloReply {
        version: 1,
        features: 0,
        lineage: Lineage::default(),
        cluster: Lineage::default(),
        server_time_us: 0,
        limits: Limits::default(),
        driver: "test".to_owned(),
        durable_primitive: "none".to_owned(),
        direct_io: false,
        dev: true,
    }
}

fn commit() -> Commit {
    Commit::new("p").put(&row("t", 1), [("state", "held")])
}

fn connect(address: &str) -> Client {
    let options = Options { deadline: Duration::from_millis(800), ..Options::default() };
    Client::connect_with(address, options).unwrap()
}

/// One commit against a node that plays `script`.
fn outcome(script: Vec<Act>) -> seawall::Result<Outcome> {
    let (address, node) = node(script);
    let outcome = connect(&address).commit(&commit());
    node.join().unwrap();
    outcome
}

#[test]
fn a_commit_and_a_read() {
    let (address, node) = node(vec![Act::Commit, Act::Found, Act::Absent]);
    let mut db = connect(&address);
    assert!(db.node().is_some_and(|node| node.dev));
    let Ok(Outcome::Committed(done)) = db.commit(&commit()) else { panic!() };
    assert_eq!((done.version, done.replayed), (Position::new(1, 7), false));
    let got = db.get("p", &row("t", 1)).unwrap();
    assert_eq!(got.row, Some(Row::new().with("state", "held")));
    assert_eq!((got.version, got.staleness), (Some(Position::new(1, 6)), None));
    assert_eq!(db.get("p", &row("t", 2)).unwrap().row, None);
    assert_eq!(db.token(ShardId(1)), Some(got.token));
    drop(db);
    assert_eq!(node.join().unwrap(), [5, 5, 5], "the generation that HELLO told");
}

#[test]
fn what_is_certain_not_to_be_done_is_repeated() {
    for refusal in [
        Refusal::throttled("batch", 1, 5),
        Refusal::not_ready("recovering", 5),
        Refusal::stale_generation(Generation(5), Generation(4)),
        Refusal::deadline_before_append(10),
    ] {
        let done = outcome(vec![Act::Refuse(refusal.clone()), Act::Refuse(refusal), Act::Commit]);
        assert!(matches!(done, Ok(Outcome::Committed(_))), "{done:?}");
    }
}

#[test]
fn what_may_not_be_repeated_is_told() {
    let not_leader = Refusal::not_leader(None);
    let Err(Error::Refused(refusal)) = outcome(vec![Act::Refuse(not_leader.clone())]) else { panic!() };
    assert_eq!(refusal.reason, not_leader.reason);
    let unknown = outcome(vec![Act::Refuse(Refusal::log_failed_after_append("EIO"))]);
    assert!(matches!(unknown, Ok(Outcome::Unknown(unknown)) if matches!(unknown.why, Doubt::Refusal(_))));
    let none = outcome(vec![Act::Refuse(Refusal::log_failed("EIO"))]);
    assert!(matches!(none, Err(Error::Refused(refusal)) if refusal.outcome == refusal::Outcome::None));
}

/// An attempt that was refused does not make the one after it any more certain.
#[test]
fn a_lost_commit_is_unknown_and_is_not_sent_again() {
    let throttled = Act::Refuse(Refusal::throttled("batch", 1, 1));
    for script in [vec![Act::HangUp], vec![Act::Silence], vec![throttled, Act::HangUp], vec![Act::Garbage]] {
        let Ok(Outcome::Unknown(unknown)) = outcome(script) else { panic!("it may have happened") };
        assert_eq!(unknown.partition, Key::from("p"));
        assert!(matches!(unknown.why, Doubt::Connection(_)));
        assert!(unknown.to_string().contains("partition p"));
    }
}

#[test]
fn a_lost_read_is_repeated() {
    let (address, node) = node(vec![Act::HangUp, Act::Found]);
    assert!(connect(&address).get("p", &row("t", 1)).unwrap().row.is_some());
    node.join().unwrap();
}

/// The connection ended while it was idle: that is seen before the commit is sent.
#[test]
fn an_idle_connection_that_ended_is_made_again() {
    let (address, node) = node(vec![Act::CommitAndHangUp, Act::Commit]);
    let mut db = connect(&address);
    assert!(matches!(db.commit(&commit()), Ok(Outcome::Committed(_))));
    std::thread::sleep(Duration::from_millis(50));
    assert!(matches!(db.commit(&commit()), Ok(Outcome::Committed(_))));
    drop(db);
    node.join().unwrap();
}

#[test]
fn a_node_that_is_not_there_is_unreachable() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let started = Instant::now();
    let Err(Error::Unreachable { address: told, .. }) = Client::connect(address.clone()) else { panic!() };
    assert_eq!(told, address);
    assert!(started.elapsed() < Duration::from_secs(5), "a refused connection is not waited for");
}

#[test]
fn every_call_ends_by_its_deadline() {
    let (address, node) = node(vec![Act::Silence]);
    let mut db = connect(&address);
    let started = Instant::now();
    assert!(matches!(db.get("p", &row("t", 1)), Err(Error::NoAnswer { .. })));
    assert!((700..3000).contains(&started.elapsed().as_millis()));
    drop(db);
    node.join().unwrap();
}

#[test]
fn what_no_node_would_read_is_not_sent() {
    let (address, node) = node(vec![Act::Commit]);
    let mut db = connect(&address);
    let Err(Error::Refused(refusal)) = db.commit(&Commit::new("p")) else { panic!() };
    assert_eq!(refusal.code, Code::BadFrame);
    assert!(matches!(db.get("p", &row("no name", 1)), Err(Error::Refused(_))));
    assert!(matches!(db.commit(&commit()), Ok(Outcome::Committed(_))));
    drop(db);
    node.join().unwrap();
}

#[test]
fn a_pipeline_takes_answers_in_any_order() {
    let (address, node) = node(vec![Act::CommitTwoBackwards, Act::Absent]);
    let mut pipeline = Pipeline::connect(address, Options::default()).unwrap();
    let first = pipeline.send_commit(&commit()).unwrap();
    let second = pipeline.send_commit(&commit()).unwrap();
    let third = pipeline.send_get(&Key::from("p"), &row("t", 1)).unwrap();
    assert_eq!(pipeline.in_flight(), 3);
    pipeline.flush().unwrap();
    for expected in [second, first, third] {
        let (correlation, reply) = pipeline.recv().unwrap();
        assert_eq!(correlation, expected);
        assert!(matches!(reply.body, Body::Committed { .. } | Body::Row { found: None, .. }));
    }
    assert_eq!(pipeline.in_flight(), 0);
    assert!(pipeline.recv_within(Duration::from_millis(20)).unwrap().is_none());
    drop(pipeline);
    node.join().unwrap();
}
