//! `seawall watch` through a SIGKILL of its node: it looks for the node, and shows each event exactly once.

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
