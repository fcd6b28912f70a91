//! SIGTERM: what is under way ends, the logs are marked, and the next start says how the last process ended.

use std::thread;
use std::time::{Duration, Instant};

use seawall::client::Options;
use seawall::{Client, Commit, Outcome, Value, row};
use serde_json::json;

use crate::node::{Folder, Node};

/// Commits until the node goes away; returns the last number that was acknowledged.
fn load(address: String, writer: i64) -> i64 {
    let options = Options { deadline: Duration::from_secs(8), attempts: 1, ..Options::default() };
    let mut client = Client::connect_with(address, options).expect("it serves");
    let place = row("count", writer);
    for number in 1.. {
        let commit = Commit::new(format!("load-{writer}")).put(&place, [("number", Value::from(number))]);
        match client.commit(&commit) {
            Ok(Outcome::Committed(_)) => {}
            Ok(other) if matches!(other, Outcome::Rejected(_)) => panic!("{other:?}"),
            Ok(_) | Err(_) => return number - 1,
        }
    }
    unreachable!("nobody counts that far")
}

#[test]
fn sigterm_under_load_ends_in_order_and_the_next_start_says_so() {
    let folder = Folder::new("sigterm");
    let mut node = Node::start(&folder, "workers = 2");
    assert!(!node.said.contains("last end"), "a new directory has no last end: {}", node.said);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let address = node.address.clone();
            thread::spawn(move || load(address, writer))
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    node.signal("-TERM");
    assert_eq!(node.wait(Duration::from_secs(15)), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let acknowledged: Vec<i64> = writers.into_iter().map(|writer| writer.join().expect("it ends")).collect();
    assert!(acknowledged.iter().all(|number| *number > 0), "{acknowledged:?}");

    let mut node = Node::start(&folder, "workers = 2");
    for shard in 1..=2 {
        assert!(
            node.said.contains(&format!("last end    shard {shard}: closed cleanly at 1:")),
            "{}",
            node.said
        );
    }
    assert!(!node.said.contains("INTEGRITY"), "{}", node.said);
    assert_eq!(node.json("GET", "/v1/status", "").1["last_ends"][0]["ended"], "closed cleanly");
    let mut client = Client::connect(node.address.clone()).expect("it serves");
    for (writer, number) in (0i64..).zip(&acknowledged) {
        let got = client.get(format!("load-{writer}"), &row("count", writer)).expect("it serves");
        let found = got.row.as_ref().and_then(|row| row.get("number")).cloned();
        let either = [Some(Value::from(*number)), Some(Value::from(number + 1))];
        assert!(either.contains(&found), "writer {writer}: {number} was acknowledged, {found:?} is there");
    }
    node.signal("-KILL");
    assert_eq!(node.wait(Duration::from_secs(10)), None);

    let node = Node::start(&folder, "workers = 2");
    assert!(node.said.contains("last end    shard 1: was killed"), "{}", node.said);
    assert_eq!(node.json("GET", "/v1/status", "").1["last_ends"][1], json!({ "ended": "was killed" }));
}

/// The mark names a record that the log does not have any more.
#[test]
fn a_log_that_lost_what_was_durable_when_it_was_closed_is_an_integrity_failure() {
    let folder = Folder::new("lost");
    let mut node = Node::start(&folder, "workers = 1");
    node.signal("-TERM");
    assert_eq!(node.wait(Duration::from_secs(15)), Some(0));
    let mark = folder.path().join("data/shard-0001/closed.json");
    assert_eq!(std::fs::read_to_string(&mark).expect("it is there"), "{\"epoch\":1,\"index\":1}\n");
    std::fs::write(&mark, "{\"epoch\":1,\"index\":9}\n").expect("it is ours");
    let node = Node::start(&folder, "workers = 1");
    assert!(!mark.exists(), "a log that is open has no mark");
    let wanted = "INTEGRITY FAILURE: THE LOG OF SHARD 1: it was closed at 1:9 and ends at 1:1 now";
    assert!(node.said.contains(wanted), "{}", node.said);
}

/// A client that has asked half of something does not keep the node from ending.
#[test]
fn slow_clients_do_not_hold_the_end_up() {
    let folder = Folder::new("held");
    let mut node = Node::start(&folder, "admin.drain_ms = 300\nadmin.head_ms = 60000");
    let mut slow = node.connect();
    std::io::Write::write_all(&mut slow, b"GET /healthz HT").expect("the kernel takes it");
    let silent = std::net::TcpStream::connect(&node.address).expect("it listens");
    thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    node.signal("-TERM");
    assert_eq!(node.wait(Duration::from_secs(15)), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    drop((slow, silent));
}
