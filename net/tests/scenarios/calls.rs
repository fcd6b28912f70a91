//! What a client repeats, what it does not, and what it tells its caller.

use std::thread::sleep;
use std::time::{Duration, Instant};

use seawall::client::{Doubt, Options};
use seawall::map::{Generation, ShardId};
use seawall::position::Position;
use seawall::refusal;
use seawall::reply::{self, Body};
use seawall::{Code, Commit, Error, Key, List, Outcome, Refusal, Row, row};

use super::scripted::{
    Act, Deed, GENERATION, act, answer, bytes, commits, finds, finds_nothing, hangs_up, is_silent, listen,
    node, options, plain, refuses,
};
use super::{Client, Pipeline};

fn connect(address: &str) -> Client {
    Client::connect_with(address, options()).unwrap()
}

/// One commit against a node that plays `script`.
fn outcome(script: Vec<Act>) -> seawall::Result<Outcome> {
    let (address, node) = node(script);
    let outcome = connect(&address).commit(&plain());
    node.join().unwrap();
    outcome
}

#[test]
fn a_commit_and_a_read() {
    let (address, node) = node(vec![commits(), finds("held"), finds_nothing()]);
    let mut db = connect(&address);
    assert!(db.node().is_some_and(|node| node.dev));
    let Ok(Outcome::Committed(done)) = db.commit(&plain()) else { panic!() };
    assert_eq!((done.version, done.replayed), (Position::new(1, 7), false));
    assert_eq!(db.token(ShardId(1)), Some(done.token));
    let got = db.get("p", &row("t", 1)).unwrap();
    assert_eq!(got.row, Some(Row::new().with("state", "held")));
    assert_eq!((got.version, got.staleness), (Some(Position::new(1, 6)), None));
    assert_eq!(db.get("p", &row("t", 2)).unwrap().row, None);
    assert_eq!(db.token(ShardId(1)), Some(got.token));
    drop(db);
    let generations: Vec<u64> = node.join().unwrap().iter().map(|seen| seen.generation).collect();
    assert_eq!(generations, [GENERATION; 3], "the one that HELLO told");
}

#[test]
fn what_is_certain_not_to_be_done_is_repeated() {
    for refusal in [
        Refusal::throttled("batch", 1, 5),
        Refusal::not_ready("recovering", 5),
        Refusal::stale_generation(Generation(5), Generation(4)),
        Refusal::deadline_before_append(10),
    ] {
        let done = outcome(vec![refuses(refusal.clone()), refuses(refusal), commits()]);
        assert!(matches!(done, Ok(Outcome::Committed(_))), "{done:?}");
    }
}

/// ... not before the node wants to hear of it again, ...
#[test]
fn a_node_that_asks_for_time_gets_it() {
    let started = Instant::now();
    let done = outcome(vec![refuses(Refusal::throttled("batch", 1, 150)), commits()]);
    assert!(matches!(done, Ok(Outcome::Committed(_))), "{done:?}");
    assert!(started.elapsed() >= Duration::from_millis(150));
    let started = Instant::now();
    let none = outcome(vec![refuses(Refusal::throttled("batch", 1, 5_000))]);
    assert!(matches!(none, Err(Error::Refused(_))), "it would be too late then: {none:?}");
    assert!(started.elapsed() < Duration::from_millis(700));
}

/// ... and not for ever.
#[test]
fn the_budget_of_a_call_ends() {
    let throttled = || refuses(Refusal::throttled("batch", 1, 1));
    let (address, node) = node(vec![throttled(), throttled(), throttled()]);
    let options = Options { attempts: 3, backoff: Duration::from_millis(1), ..options() };
    let none = Client::connect_with(address, options).unwrap().commit(&plain());
    assert!(matches!(&none, Err(Error::Refused(why)) if why.code == Code::Throttled), "{none:?}");
    assert_eq!(node.join().unwrap().len(), 3);
}

#[test]
fn what_may_not_be_repeated_is_told() {
    let not_leader = Refusal::not_leader(None);
    let Err(Error::Refused(refusal)) = outcome(vec![refuses(not_leader.clone())]) else { panic!() };
    assert_eq!(refusal.reason, not_leader.reason);
    let unknown = outcome(vec![refuses(Refusal::log_failed_after_append("EIO"))]);
    assert!(matches!(unknown, Ok(Outcome::Unknown(unknown)) if matches!(unknown.why, Doubt::Refusal(_))));
    let none = outcome(vec![refuses(Refusal::log_failed("EIO"))]);
    assert!(matches!(none, Err(Error::Refused(refusal)) if refusal.outcome == refusal::Outcome::None));
    let rejected = outcome(vec![refuses(Refusal::key_aborted(Position::new(1, 3)))]);
    assert!(matches!(rejected, Ok(Outcome::Rejected(why)) if why.code == Code::KeyAborted));
}

/// An attempt that was refused does not make the one after it any more certain. The node would have committed it, had
/// it come again.
#[test]
fn a_lost_commit_is_unknown_and_is_not_sent_again() {
    let throttled = || refuses(Refusal::throttled("batch", 1, 1));
    let half = || {
        act(|meta, _| {
            let mut half = bytes(|out| reply::encode_committed(out, meta, 77, &List::EMPTY));
            half.truncate(half.len() / 2);
            Deed::SayAndHangUp(half)
        })
    };
    let garbage = || answer(|out, _| out.extend_from_slice(&[0; 64]));
    for mut script in
        [vec![hangs_up()], vec![is_silent()], vec![throttled(), hangs_up()], vec![half()], vec![garbage()]]
    {
        script.push(commits());
        let outcome = connect(&node(script).0).commit(&plain());
        let Ok(Outcome::Unknown(unknown)) = outcome else { panic!("it may have happened: {outcome:?}") };
        assert_eq!((unknown.partition.clone(), &unknown.key), (Key::from("p"), &None));
        assert!(matches!(unknown.why, Doubt::Connection(_)));
        assert!(unknown.to_string().contains("partition p"));
    }
}

#[test]
fn a_lost_read_is_repeated() {
    let (address, node) = node(vec![hangs_up(), finds("held")]);
    assert!(connect(&address).get("p", &row("t", 1)).unwrap().row.is_some());
    node.join().unwrap();
}

/// The connection ended while it was idle: that is seen before the commit is sent.
#[test]
fn an_idle_connection_that_ended_is_made_again() {
    let last_words =
        act(|meta, _| Deed::SayAndHangUp(bytes(|out| reply::encode_committed(out, meta, 77, &List::EMPTY))));
    let (address, node) = node(vec![last_words, commits()]);
    let mut db = connect(&address);
    assert!(matches!(db.commit(&plain()), Ok(Outcome::Committed(_))));
    sleep(Duration::from_millis(50));
    let done = db.commit(&plain());
    assert!(matches!(done, Ok(Outcome::Committed(_))), "{done:?}");
    drop(db);
    node.join().unwrap();
}

#[test]
fn a_node_that_is_not_there_is_unreachable() {
    let address = listen().0;
    let started = Instant::now();
    let Err(Error::Unreachable { address: told, .. }) = Client::connect(address.clone()) else { panic!() };
    assert_eq!(told, address);
    assert!(started.elapsed() < Duration::from_secs(5), "a refused connection is not waited for");
}

#[test]
fn every_call_ends_by_its_deadline() {
    let (address, node) = node(vec![is_silent()]);
    let mut db = connect(&address);
    let started = Instant::now();
    assert!(matches!(db.get("p", &row("t", 1)), Err(Error::NoAnswer { .. })));
    assert!((700..3000).contains(&started.elapsed().as_millis()));
    drop(db);
    node.join().unwrap();
}

#[test]
fn what_no_node_would_read_is_not_sent() {
    let (address, node) = node(vec![commits()]);
    let mut db = connect(&address);
    let Err(Error::Refused(refusal)) = db.commit(&Commit::new("p")) else { panic!() };
    assert_eq!(refusal.code, Code::BadFrame);
    assert!(matches!(db.get("p", &row("no name", 1)), Err(Error::Refused(_))));
    assert!(matches!(db.commit(&plain()), Ok(Outcome::Committed(_))));
    drop(db);
    node.join().unwrap();
}

#[test]
fn a_pipeline_takes_answers_in_any_order() {
    let (hand_over, handed_over) = std::sync::mpsc::channel();
    let waits = act(move |meta, _| {
        hand_over.send(*meta).unwrap();
        Deed::Say(Vec::new())
    });
    let backwards = answer(move |out, second| {
        reply::encode_committed(out, second, 77, &List::EMPTY);
        reply::encode_committed(out, &handed_over.recv().unwrap(), 77, &List::EMPTY);
    });
    let (address, node) = node(vec![waits, backwards, finds_nothing()]);
    let mut pipeline = Pipeline::connect(address, Options::default()).unwrap();
    let first = pipeline.send_commit(&plain()).unwrap();
    let second = pipeline.send_commit(&plain()).unwrap();
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

#[test]
fn a_pipeline_that_broke_says_so() {
    let (address, node) = node(vec![hangs_up()]);
    let mut pipeline = Pipeline::connect(address, options()).unwrap();
    pipeline.send_commit(&plain()).unwrap();
    pipeline.flush().unwrap();
    assert!(matches!(pipeline.recv(), Err(Error::Broken { .. })));
    node.join().unwrap();
}
