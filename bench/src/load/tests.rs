//! The loops against a node of a few lines that speaks the real codec and keeps count.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use seawall::limits::REQUEST_BODY_MAX;
use seawall::message::assigned::{self, Results};
use seawall::message::{HelloReply, Limits, Request, RequestMeta};
use seawall::position::{Lineage, Position};
use seawall::refusal::Refusal;
use seawall::reply::{self, ReplyMeta};
use seawall::session::{Next, ServerSession};
use seawall::value::ValueRef;

use super::options::tests::parsed;
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
    /// Once, after this many answers, nothing is answered for so long.
    stall: Option<(u64, Duration)>,
    /// What an addition comes to, by how many were answered before.
    sum: fn(u64) -> u64,
}

const PLAIN: Manner =
    Manner { depth: 1, hangs_up_after: None, refusal: None, stall: None, sum: |before| before + 1 };

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
    /// Whether it was asked to add.
    additions: bool,
}

/// The bytes of the partition of the one hot row.
const HOT: &[u8] = b"\x50hot\0\0";

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
                Next::Request { meta, request: Request::CommitMany(commits), used: len } => {
                    let opcode = seawall::message::Opcode::Commit as u16;
                    let of = |nth| RequestMeta { correlation: meta.correlation + nth, opcode, ..meta };
                    pending.extend((0..commits.len() as u64).map(of));
                    used += len;
                }
                Next::Request { meta, request, used: len } => {
                    seen.additions |= matches!(request, Request::Commit(commit) if commit.partition == HOT);
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
            if let Some((_, pause)) = manner.stall.filter(|(after, _)| seen.done == *after) {
                std::thread::sleep(pause);
            }
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
                _ if seen.additions => {
                    let mut results = Results::default();
                    let sum = (manner.sum)(seen.done - 1);
                    results.push(0, assigned::Result::Value(ValueRef::Int(i128::from(sum))));
                    reply::encode_committed(out, &meta, 0, &results.list());
                }
                _ => reply::encode_committed(out, &meta, 0, &seawall::List::EMPTY),
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
    asking(
        address,
        &format!("--workload put --connections {connections} --pipeline {pipeline} --seconds 0.2"),
    )
}

fn asking(address: SocketAddr, line: &str) -> Options {
    parsed(&format!("--connect {address} --warmup 0 --keys 1000 {line}")).unwrap()
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
        assert_eq!((result.tally.done_ever, result.tally.error_count()), (answered, 0));
        assert!(result.tally.done <= answered && result.tally.done > 0);
        assert_eq!(result.tally.latencies.len(), result.tally.done);
        assert_eq!(result.node.driver, "fake");
    }
}

#[test]
fn gets_that_find_nothing_are_done_and_said() {
    let (address, node) = node(1, PLAIN);
    let options = asking(address, "--workload get --connections 1 --seconds 0.2 --no-fill");
    let result = run(&options).unwrap();
    node.join().unwrap();
    assert!(result.tally.done > 0);
    assert_eq!((result.tally.not_found, result.tally.error_count()), (result.tally.done, 0));
}

#[test]
fn refusals_are_counted_by_code_and_never_as_done() {
    let refusal = || Refusal::throttled("a queue", 1, 1);
    let (address, node) = node(2, Manner { refusal: Some(refusal), ..PLAIN });
    let run = run(&options(address, 2, 4));
    assert_eq!(exit_code(&run), 0, "the node was there and answered");
    let result = run.unwrap();
    let seen = node.join().unwrap();
    let (done, refused) = seen.iter().fold((0, 0), |sum, seen| (sum.0 + seen.done, sum.1 + seen.refused));
    assert!(refused > 0);
    assert_eq!((result.tally.errors["THROTTLED"], result.tally.error_count()), (refused, refused));
    assert_eq!(result.tally.done_ever, done);
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
    assert_eq!((result.tally.errors["LOG_FAILED"], result.tally.serious), (refused, refused));
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
    assert_eq!(result.tally.errors["CONNECTION_LOST"], 2 * 4, "{:?}", result.tally.failures);
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
    let expected = "workload ops rate p50_us p90_us p99_us p999_us max_us errors serious_errors behind not_found \
                    ops_ever config kernel commit node";
    assert_eq!(names.join(" "), expected);
    assert_eq!((&json["ops"], &json["errors"]), (&result.tally.done.into(), &serde_json::json!({})));
    assert_eq!((&json["config"]["many"], &json["node"]["driver"]), (&1.into(), &"fake".into()));
    assert!(report::table(&options, &result, &about).contains("errors      0"));
}

#[test]
fn an_open_loop_sends_what_is_due_and_no_more() {
    let (address, node) = node(2, PLAIN);
    let options = asking(address, "--workload put --connections 2 --pipeline 8 --seconds 0.5 --rate 200");
    let result = run(&options).unwrap();
    let asked: u64 = node.join().unwrap().iter().map(|seen| seen.done).sum();
    // A machine that sleeps for half a second at the end leaves some of them unsent, and says so.
    assert_eq!((result.tally.done + result.tally.behind, result.tally.done_ever), (100, asked));
    assert_eq!((result.tally.latencies.len(), result.tally.error_count()), (100, 0));
}

#[test]
fn a_stalled_node_shows_in_the_latencies_of_all_that_was_due_meanwhile() {
    let stall = Some((50, Duration::from_millis(400)));
    let line = "--workload put --connections 1 --pipeline 1 --seconds 1";
    let slow = |line: &str| {
        let (address, node) = node(1, Manner { stall, ..PLAIN });
        let result = run(&asking(address, line)).unwrap();
        node.join().unwrap();
        result.tally.latencies.count_between(100_000, u64::MAX)
    };
    // Of 400 requests that were due while nothing was answered, 300 had to wait for 100 ms and more.
    let open = slow(&format!("{line} --rate 1000"));
    assert!(open >= 290, "{open}");
    // A closed loop asked once. (A machine that stalls by itself may add to this, but not by the hundred.)
    let closed = slow(line);
    assert!((1..100).contains(&closed), "{closed}");
}

#[test]
fn every_commit_of_a_commit_many_is_counted_by_itself() {
    let (address, node) = node(1, PLAIN);
    let options = asking(address, "--workload put --connections 1 --pipeline 2 --many 100 --seconds 0.2");
    let result = run(&options).unwrap();
    let seen = node.join().unwrap();
    assert_eq!((result.tally.done_ever, result.tally.error_count()), (seen[0].done, 0));
    assert!(seen[0].deepest > 100 && seen[0].done % 100 == 0, "{seen:?}");
}

#[test]
fn an_addition_that_was_done_twice_or_never_is_an_error() {
    let sums = |sum: fn(u64) -> u64| {
        let (address, node) = node(1, Manner { sum, ..PLAIN });
        let run = run(&asking(address, "--workload hot-add --connections 1 --seconds 0.2"));
        node.join().unwrap();
        (exit_code(&run), run.unwrap().tally.errors)
    };
    assert_eq!(sums(|before| before + 1), (0, [].into()));
    let twice: fn(u64) -> u64 = |before| if before < 5 { before + 1 } else { before + 2 };
    assert_eq!(sums(twice), (1, [(fault::WRONG_ANSWER, 1)].into()));
    let lost: fn(u64) -> u64 = |before| if before < 5 { before + 1 } else { before };
    assert_eq!(sums(lost), (1, [(fault::WRONG_ANSWER, 1)].into()));
}

#[test]
fn the_page_of_a_run_needs_no_network_and_shows_both_charts() {
    let (address, node) = node(1, PLAIN);
    let options = options(address, 1, 1);
    let result = run(&options).unwrap();
    node.join().unwrap();
    let about = crate::about::About { kernel: "6.1 <&>".to_owned(), commit: "abc".to_owned() };
    let path = std::env::temp_dir().join(format!("seawall-bench-page-{}.html", std::process::id()));
    page::write(&path, &options, &result, &about).unwrap();
    let page = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    for outside in ["http:", "https:", "//", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!((page.matches("<svg").count(), page.matches("<polyline").count()), (2, 2));
    assert!(!page.contains("NaN") && !page.contains("inf"), "a point that is no place");
    assert!(page.contains("6.1 &lt;&amp;&gt;") && page.contains("p99"));
    let nowhere = page::write(std::path::Path::new("/nowhere/at/all.html"), &options, &result, &about);
    assert!(nowhere.unwrap_err().contains("/nowhere/at/all.html"));
}

#[test]
fn the_progress_says_what_went_wrong() {
    assert_eq!(progress_line(3, 1200, 0), "   3 s       1200 /s ");
    assert_eq!(progress_line(3, 1200, 7), "   3 s       1200 /s  7 errors ");
}
