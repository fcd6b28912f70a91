//! The closed loop against a node of a few lines that speaks the real codec and keeps count.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use seawall::limits::REQUEST_BODY_MAX;
use seawall::message::{HelloReply, Limits, Request, RequestMeta};
use seawall::position::{Lineage, Position};
use seawall::refusal::Refusal;
use seawall::reply::{self, ReplyMeta};
use seawall::session::{Next, ServerSession};

use super::*;

/// How the fake node answers.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// Requests of a connection that must be under way before one of them is answered.
    depth: usize,
    /// Hangs up after this many answers, with the rest under way.
    hangs_up_after: Option<u64>,
    /// Every third answer is this instead.
    refusal: Option<fn() -> Refusal>,
}

const PLAIN: Manner = Manner { depth: 1, hangs_up_after: None, refusal: None };

/// What one connection of the fake node saw.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    done: u64,
    refused: u64,
    deepest: usize,
    /// Answers that were given because the pipeline was full.
    full: u64,
    /// Times that nothing came although it was not.
    idle: u64,
}

/// Long enough that a loop that keeps its depth meets it once only, at the end.
const IDLE: Duration = Duration::from_millis(500);

fn node(connections: usize, manner: Manner) -> (SocketAddr, JoinHandle<Vec<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let serve = |_| {
            let socket = listener.accept().unwrap().0;
            std::thread::spawn(move || serve(socket, manner))
        };
        let threads: Vec<_> = (0..connections).map(serve).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    (address, thread)
}

fn serve(mut socket: TcpStream, manner: Manner) -> Seen {
    socket.set_read_timeout(Some(IDLE)).unwrap();
    let mut session = ServerSession::new(REQUEST_BODY_MAX);
    let (mut seen, mut bytes, mut chunk) = (Seen::default(), Vec::new(), vec![0; 64 << 10]);
    let (mut pending, mut out) = (Vec::<RequestMeta>::new(), Vec::new());
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => return seen,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                seen.idle += u64::from(!pending.is_empty());
                for meta in pending.drain(..) {
                    answer(&mut out, &mut seen, &meta, manner);
                }
            }
            Err(_) => return seen,
        }
        let mut used = 0;
        loop {
            match session.next(&bytes[used..]).expect("the load speaks the protocol") {
                Next::Need(_) => break,
                Next::Request { meta, request: Request::Hello(hello), used: len } => {
                    session.accept(&hello).unwrap();
                    reply::encode_hello(&mut out, &ReplyMeta::to(&meta), &about_itself());
                    used += len;
                }
                Next::Request { meta, used: len, .. } => {
                    pending.push(meta);
                    used += len;
                }
                Next::Refused { refusal, .. } => panic!("{refusal}"),
            }
        }
        bytes.drain(..used);
        seen.deepest = seen.deepest.max(pending.len());
        if pending.len() >= manner.depth {
            seen.full += 1;
            // The newest first: answers may come in any order.
            answer(&mut out, &mut seen, &pending.pop().unwrap(), manner);
        }
        if socket.write_all(&std::mem::take(&mut out)).is_err() {
            return seen;
        }
        if manner.hangs_up_after.is_some_and(|answers| seen.done >= answers) {
            return seen;
        }
    }
}

fn answer(out: &mut Vec<u8>, seen: &mut Seen, request: &RequestMeta, manner: Manner) {
    let meta = ReplyMeta { position: Some(Position::new(1, 1)), ..ReplyMeta::to(request) };
    match manner.refusal {
        Some(refusal) if (seen.done + seen.refused) % 3 == 2 => {
            seen.refused += 1;
            reply::encode_refusal(out, &meta, &refusal());
        }
        _ => {
            seen.done += 1;
            match request.opcode {
                opcode if opcode == seawall::message::Opcode::Get as u16 => {
                    reply::encode_row(out, &meta, 0, None);
                }
                _ => reply::encode_committed(out, &meta, 0),
            }
        }
    }
}

fn about_itself() -> HelloReply {
    HelloReply {
        version: 1,
        features: 0,
        lineage: Lineage([7; 16]),
        cluster: Lineage([7; 16]),
        server_time_us: 0,
        limits: Limits::default(),
        driver: "fake".to_owned(),
        durable_primitive: "none".to_owned(),
        direct_io: false,
        dev: true,
    }
}

fn options(address: SocketAddr, connections: usize, pipeline: usize) -> Options {
    Options {
        connect: address.to_string(),
        workload: Workload::Put,
        connections,
        pipeline,
        threads: 1,
        seconds: Duration::from_millis(200),
        warmup: Duration::ZERO,
        value_bytes: 128,
        keys: 1000,
        json: true,
    }
}

#[test]
fn the_pipeline_is_kept_full_and_every_answer_is_counted_once() {
    for (connections, depth, threads) in [(1, 1, 1), (3, 8, 1), (4, 64, 2)] {
        let (address, node) = node(connections, Manner { depth, ..PLAIN });
        let result = run(&Options { threads, ..options(address, connections, depth) }).unwrap();
        let seen = node.join().unwrap();
        for seen in &seen {
            assert_eq!(seen.deepest, depth, "never more under way than asked for, and never less: {seen:?}");
            // A loop that waits for all answers before it asks again is idle once for each time that it is full.
            assert!(seen.full > seen.idle, "{seen:?}");
        }
        let answered: u64 = seen.iter().map(|seen| seen.done).sum();
        assert_eq!((result.tally.done_ever, result.tally.errors), (answered, 0));
        assert!(result.tally.done <= answered && result.tally.done > 0);
        assert_eq!(result.tally.latencies.len(), result.tally.done);
        assert_eq!(result.node.driver, "fake");
    }
}

#[test]
fn gets_that_find_nothing_are_done_and_said() {
    let (address, node) = node(1, PLAIN);
    let result = run(&Options { workload: Workload::Get, ..options(address, 1, 1) }).unwrap();
    node.join().unwrap();
    assert!(result.tally.done > 0);
    assert_eq!((result.tally.not_found, result.tally.errors), (result.tally.done, 0));
}

#[test]
fn refusals_are_counted_by_code_and_are_no_errors() {
    let refusal = || Refusal::throttled("a queue", 1, 1);
    let (address, node) = node(2, Manner { refusal: Some(refusal), ..PLAIN });
    let run = run(&options(address, 2, 4));
    assert_eq!(exit_code(&run), 0, "the node was there and answered");
    let result = run.unwrap();
    let refused: u64 = node.join().unwrap().iter().map(|seen| seen.refused).sum();
    let counted = result.tally.refusals[&seawall::Code::Throttled];
    assert!(counted > 0 && counted <= refused);
    assert_eq!((result.tally.refusals.len(), result.tally.errors), (1, 0));
}

#[test]
fn an_unknown_outcome_is_an_error() {
    let refusal = || Refusal::log_failed_after_append("the disk is gone".to_owned());
    let (address, node) = node(1, Manner { refusal: Some(refusal), ..PLAIN });
    let run = run(&options(address, 1, 1));
    assert_eq!(exit_code(&run), 1);
    let result = run.unwrap();
    let refused: u64 = node.join().unwrap().iter().map(|seen| seen.refused).sum();
    assert!(refused > 0);
    assert_eq!(result.tally.errors, refused);
}

#[test]
fn a_node_that_hangs_up_is_an_error_for_every_request_under_way() {
    let manner = Manner { depth: 4, hangs_up_after: Some(50), ..PLAIN };
    let (address, node) = node(2, manner);
    let run = run(&options(address, 2, 4));
    node.join().unwrap();
    assert_eq!(exit_code(&run), 1);
    let result = run.unwrap();
    assert_eq!(result.tally.done_ever, 2 * 50);
    assert_eq!(result.tally.errors, 2 * 4, "{:?}", result.tally.failures);
    assert_eq!(result.tally.failures.len(), 2);
}

#[test]
fn nobody_there_is_unreachable() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = run(&options(gone, 1, 1));
    assert_eq!(exit_code(&run), 3);
    let Unreachable(why) = run.unwrap_err();
    assert!(why.contains(&gone.to_string()), "{why}");
}

#[test]
fn the_json_object_has_what_readers_look_for_in_its_order() {
    let (address, node) = node(1, PLAIN);
    let options = options(address, 1, 1);
    let result = run(&options).unwrap();
    node.join().unwrap();
    let about = crate::about::About { kernel: "6.1".to_owned(), commit: "abc".to_owned() };
    let json = report::json(&options, &result, &about);
    let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "workload connections pipeline threads value_bytes keys warmup seconds ops ops_ever \
                    not_found rate p50_us p90_us p99_us p999_us max_us errors refusals kernel commit node";
    assert_eq!(names.join(" "), expected);
    assert_eq!(json["ops"], result.tally.done);
    assert_eq!(json["node"]["driver"], "fake");
    assert!(report::table(&options, &result, &about).contains("errors      0"));
}
