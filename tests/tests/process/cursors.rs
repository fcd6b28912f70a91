//! Named cursors of real nodes: what was acknowledged is where a consumer goes on, over SIGKILL and over another leader.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use seawall::client::{Happened, Watch, What};
use seawall::refusal::Code;
use seawall::{Client, Commit, Error, Outcome};

use crate::members::{Cluster, leads};
use crate::node::{BINARY, Node, folder};

const PATIENCE: Duration = Duration::from_secs(60);

fn tell(client: &mut Client, from: u32, to: u32) {
    for n in from..to {
        let commit = Commit::new("sailing").event("told", n.to_string());
        assert!(matches!(client.commit(&commit), Ok(Outcome::Committed(_))));
    }
}

fn client(node: &Node) -> Client {
    Client::connect(node.address.as_str()).expect("the node serves")
}

fn topic() -> Watch {
    Watch::partition("sailing").topic("told")
}

fn number(happened: &Happened) -> u32 {
    match &happened.what {
        What::Event(_, payload) => std::str::from_utf8(payload).expect("text").parse().expect("a number"),
        other => panic!("{other:?}"),
    }
}

/// Deals with so many of what is told under a name, and acknowledges each.
fn deal(client: &mut Client, watch: &Watch, count: usize) -> Vec<u32> {
    let mut watching = client.watch(watch).expect("it begins");
    let mut dealt = Vec::new();
    while dealt.len() < count {
        let happened =
            watching.next_within(PATIENCE).expect("the stream goes on").expect("something happened");
        dealt.push(number(&happened));
        client.ack_cursor(&topic(), "mail", watching.token()).expect("it is remembered");
    }
    dealt
}

#[test]
fn a_consumer_goes_on_behind_what_it_acknowledged_over_sigkills() {
    let folder = folder("cursors");
    let mut node = Node::start_with(&folder, &[]);
    tell(&mut client(&node), 0, 20);
    let unknown = client(&node).watch(&topic().cursor("mail"));
    assert!(matches!(&unknown, Err(Error::Refused(why)) if why.code == Code::CursorUnknown), "{unknown:?}");
    let mut dealt = deal(&mut client(&node), &topic().from_oldest(), 3);
    for _ in 0..4 {
        node.kill();
        node = Node::start_with(&folder, &[]);
        dealt.extend(deal(&mut client(&node), &topic().cursor("mail"), 4));
    }
    assert_eq!(dealt, (0..19).collect::<Vec<_>>(), "each once: all of it was acknowledged");
    let explained = Command::new(BINARY).args(["explain", "sailing", "--connect", &node.address]).output();
    let explained = explained.expect("it runs");
    let said = String::from_utf8_lossy(&explained.stdout);
    assert!(said.contains("mail of") && said.contains("records behind"), "{said}");
    assert!(node.terminate().success());
}

/// A cursor is a record like any other: the follower has it before it is answered, and leads with it.
#[test]
fn what_was_acknowledged_survives_the_leader() {
    let mut cluster = Cluster::start("cluster-cursors", &[]);
    cluster.wait(0, "leading", leads);
    cluster.require(0, 1);
    let mut client = cluster.client();
    tell(&mut client, 0, 10);
    let mut dealt = deal(&mut client, &topic().from_oldest(), 4);
    cluster.kill(0);
    cluster.promote(1);
    thread::sleep(Duration::from_millis(700));
    let mut client = cluster.client();
    tell(&mut client, 10, 12);
    dealt.extend(deal(&mut client, &topic().cursor("mail"), 8));
    assert_eq!(dealt, (0..12).collect::<Vec<_>>());
    for node in cluster.nodes.into_iter().flatten() {
        assert!(node.terminate().success());
    }
}

/// Runs `watch` on the cursor until it has shown so many.
fn watches(node: &Node, from: &str, limit: &str) -> (Vec<String>, String) {
    let ended = Command::new(BINARY)
        .args(["watch", "sailing", "--cursor", "mail", "--from", from, "--limit", limit, "--for", "60s"])
        .args(["--connect", &node.address])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    let shown = String::from_utf8_lossy(&ended.stdout).into_owned();
    (shown.lines().filter_map(|line| line.rsplit(' ').next()).map(str::to_owned).collect(), said)
}

#[test]
fn watch_with_a_cursor_shows_each_event_once_over_its_runs() {
    let folder = folder("cursors-watch");
    let node = Node::start_with(&folder, &[]);
    tell(&mut client(&node), 0, 7);
    let (shown, said) = watches(&node, "oldest", "3");
    assert_eq!(shown, ["0", "1", "2"]);
    assert!(said.contains("nothing was acknowledged under mail yet"), "{said}");
    assert!(said.contains("acknowledged under mail up to"), "{said}");
    let (shown, _) = watches(&node, "oldest", "2");
    assert_eq!(shown, ["3", "4"]);
    node.kill();
    let node = Node::start_with(&folder, &[]);
    let (shown, said) = watches(&node, "now", "2");
    assert_eq!(shown, ["5", "6"], "{said}");
    assert!(node.terminate().success());
}
