//! A watched node that goes away: with a good-bye, and without one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::node::{Ended, Node, has, seawall};

/// The way to a node. Connections before number `gone` are open, and nothing comes over them any more: so a host looks
/// that lost its power.
#[derive(Clone)]
struct Way {
    address: String,
    made: Arc<AtomicUsize>,
    gone: Arc<AtomicUsize>,
}

impl Way {
    fn to(node: &str) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Way {
            address: listener.local_addr().unwrap().to_string(),
            made: Arc::default(),
            gone: Arc::default(),
        };
        let (made, gone, node) = (way.made.clone(), way.gone.clone(), node.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let number = made.fetch_add(1, Ordering::SeqCst);
                let (client, node) = (client.unwrap(), TcpStream::connect(&node).unwrap());
                let ends = [(client.try_clone().unwrap(), node.try_clone().unwrap()), (node, client)];
                for (from, to) in ends {
                    let gone = gone.clone();
                    std::thread::spawn(move || pass(from, to, || number < gone.load(Ordering::SeqCst)));
                }
            }
        });
        way
    }

    /// Connections that are made from now on work.
    fn loses_what_is_open(&self) {
        self.gone.store(self.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    fn is_gone_for_good(&self) {
        self.gone.store(usize::MAX, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_gone: impl Fn() -> bool) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if !is_gone() && to.write_all(&bytes[..read]).is_err() {
            return;
        }
    }
}

struct Watcher {
    child: Child,
    shown: BufReader<std::process::ChildStdout>,
}

impl Watcher {
    fn start(address: &str, words: &[&str]) -> Watcher {
        let mut command = seawall();
        command
            .args(["watch", "P", "--from", "oldest", "--for", "30s", "--timeout", "1s", "--connect", address])
            .args(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let shown = BufReader::new(child.stdout.take().unwrap());
        Watcher { child, shown }
    }

    fn shows(&mut self, word: &str) {
        let mut line = String::new();
        self.shown.read_line(&mut line).unwrap();
        has(&line, &[word]);
    }

    fn ends(self) -> Ended {
        Ended::of(self.child.wait_with_output().unwrap())
    }
}

#[test]
fn a_host_that_vanishes_is_noticed_and_the_stream_goes_on_over_another_connection() {
    let node = Node::start("vanishes");
    let way = Way::to(&node.address);
    node.says(&["commit", "P", "--event", "told=first"]);
    let mut watcher = Watcher::start(&way.address, &["--silence", "2s", "--limit", "2"]);
    watcher.shows("told first");
    way.loses_what_is_open();
    node.says(&["commit", "P", "--event", "told=second"]);
    watcher.shows("told second");
    let ended = watcher.ends();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    has(&ended.err, &["nothing was heard for 2", "looking for the node", "watching again from "]);
}

#[test]
fn a_host_that_stays_silent_ends_a_watch_with_3() {
    let node = Node::start("silent");
    let way = Way::to(&node.address);
    node.says(&["commit", "P", "--event", "told=first"]);
    let mut watcher = Watcher::start(&way.address, &["--silence", "2s", "--reconnect", "1s"]);
    watcher.shows("told first");
    way.is_gone_for_good();
    let ended = watcher.ends();
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    has(&ended.err, &["nothing was heard for 2", "and then there was no node", "go on with --from "]);
}

#[test]
fn a_host_that_stays_unreachable_ends_a_watch_with_3() {
    let node = Node::start("unreachable");
    node.says(&["commit", "P", "--event", "told=first"]);
    let mut watcher = Watcher::start(&node.address, &["--reconnect", "1s"]);
    watcher.shows("told first");
    drop(node);
    let ended = watcher.ends();
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    has(&ended.err, &["looking for the node for 1 s", "and then there was no node", "go on with --from "]);
}

/// A node with nothing to tell says so, and is not taken for a lost one.
#[test]
fn a_node_with_nothing_to_tell_is_no_lost_one() {
    let node = Node::start("quiet");
    let watch = node.run(&["watch", "P", "--silence", "2s", "--for", "5s"]);
    assert_eq!(watch.code, Some(0), "{}", watch.err);
    assert!(!watch.err.contains("nothing was heard"), "{}", watch.err);
    let wrong = node.run(&["watch", "P", "--silence", "1s"]);
    assert_eq!(wrong.code, Some(2));
    has(&wrong.err, &["1s is too short: write 2 s or more"]);
}
