//! `seawall watch` through a SIGKILL of its node: it looks for the node, and shows each event exactly once.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use seawall::{Client, Commit, Outcome};

use crate::node::{BINARY, Node, folder};

fn tell(node: &Node, from: u32, to: u32) {
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    for n in from..to {
        let commit = Commit::new("sailing").event("told", n.to_string());
        assert!(matches!(client.commit(&commit), Ok(Outcome::Committed(_))));
    }
}

#[test]
fn a_watcher_shows_each_event_once_over_a_sigkill() {
    let folder = folder("watched");
    let node = Node::start_with(&folder, &[]);
    let address = node.address.clone();
    tell(&node, 0, 20);
    let watcher = Command::new(BINARY)
        .args(["watch", "sailing", "--from", "oldest", "--limit", "40", "--connect", &address])
        .args(["--for", "60s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    std::thread::sleep(Duration::from_secs(1));
    node.kill();
    std::thread::sleep(Duration::from_millis(300));
    let node = Node::start_at(&folder, &address, &[]);
    tell(&node, 20, 40);
    let ended = watcher.wait_with_output().expect("it ends");
    let (shown, said) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(said.contains("looking for the node") && said.contains("watching again"), "{said}");
    let events: Vec<&str> = shown.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    let expected: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(events, expected, "{said}");
    assert!(node.terminate().success());
}

/// Whoever takes a few changes at a time and goes on behind the token that was named sees all of them, each once, and
/// those of one commit together.
#[test]
fn a_watcher_with_a_limit_goes_on_where_it_ended() {
    let folder = folder("watched-limit");
    let node = Node::start_with(&folder, &[]);
    tell(&node, 0, 3);
    let both = Commit::new("sailing").event("told", "3").event("told", "4");
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    assert!(matches!(client.commit(&both), Ok(Outcome::Committed(_))));
    tell(&node, 5, 7);
    let (mut from, mut seen) = ("oldest".to_owned(), Vec::new());
    for _ in 0..6 {
        let ended = Command::new(BINARY)
            .args(["watch", "sailing", "--json", "--from", &from, "--limit", "1", "--for", "60s"])
            .args(["--connect", &node.address])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        from = said.trim_end().rsplit(' ').next().expect("a token").to_owned();
        let mut last = String::new();
        for line in String::from_utf8_lossy(&ended.stdout).lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            seen.push(line["payload"].as_str().expect("text").to_owned());
            last = line["token"].as_str().expect("a token").to_owned();
        }
        assert_eq!(last, from, "{said}");
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6"]);
    assert!(node.terminate().success());
}

#[test]
fn a_watcher_that_is_interrupted_says_where_to_go_on() {
    let folder = folder("watched-interrupted");
    let node = Node::start_with(&folder, &[]);
    tell(&node, 0, 2);
    let mut watcher = Command::new(BINARY)
        .args(["watch", "sailing", "--from", "oldest", "--json", "--connect", &node.address])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(watcher.stdout.take().expect("piped")).lines();
    let last = [0, 1].map(|_| lines.next().expect("a line").expect("text"))[1].clone();
    std::thread::sleep(Duration::from_millis(200));
    let interrupt = Command::new("kill").args(["-INT", &watcher.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    let ended = watcher.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(130), "{said}");
    let line: serde_json::Value = serde_json::from_str(&last).expect("JSON");
    let token = line["token"].as_str().expect("a token");
    assert!(said.trim_end().ends_with(&format!("go on with --from {token}")), "{said}");
    assert!(node.terminate().success());
}
