//! A test in a network namespace of its own: its nodes and its clients are in it, nothing outside of it changes, and it
//! is gone when the test ends. Between two addresses in it packets can be made to vanish, without a word to anybody.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use seawall_tests::skip::skip;

use crate::members::peer_host;

const INSIDE: &str = "SEAWALL_TEST_IS_ISOLATED";
const TABLE: &str = "add table ip parted; \
    add chain ip parted arriving { type filter hook input priority filter; policy accept; }";

/// Runs `body` in a namespace, or says loudly why not. `test` is the name of the test as the harness has it: the test
/// runs itself again inside.
pub fn isolated(test: &str, body: impl FnOnce()) {
    if is_inside() {
        run(&["ip", "link", "set", "lo", "up"]);
        run(&["nft", TABLE]);
        return body();
    }
    if let Some(lacks) = missing() {
        return skip(test, &lacks);
    }
    let own = std::env::current_exe().expect("this test");
    let mut inside = Command::new("unshare");
    inside.arg("--net").arg(own).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let mut inside = inside.stdout(Stdio::piped()).spawn().expect("it starts");
    let lines = BufReader::new(inside.stdout.take().expect("it was asked for")).lines();
    let mut ran = false;
    for line in lines {
        let line = line.expect("text");
        ran |= line.contains("1 passed");
        println!("{line}");
    }
    assert!(inside.wait().expect("it ended").success(), "{test} failed in its namespace");
    assert!(ran, "there is no test {test}");
}

pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Of what a test in a namespace needs.
pub fn missing() -> Option<String> {
    let works = |words: &[&str]| output(words).is_ok_and(|output| output.status.success());
    let is_root = output(&["id", "-u"]).is_ok_and(|id| id.stdout.starts_with(b"0\n"));
    let lacks = match () {
        () if !is_root => "root",
        () if !works(&["unshare", "--net", "true"]) => "kernel: the right to make a network namespace",
        () if !works(&["ip", "-V"]) => "ip (apt-get install iproute2)",
        () if !works(&["nft", "--version"]) => "nft (apt-get install nftables)",
        () if !works(&["unshare", "--net", "nft", TABLE]) => "kernel: nf_tables",
        () => return None,
    };
    Some(format!("missing: {lacks}"))
}

fn output(words: &[&str]) -> std::io::Result<Output> {
    Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output()
}

fn run(words: &[&str]) -> String {
    let output = output(words).expect("it starts");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Which of a member's messages to and from the others are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Both,
    /// It is heard by nobody, and hears everybody.
    Out,
    /// It hears nobody.
    In,
}

pub fn part(member: usize, way: Way) {
    assert!(is_inside(), "only what is in a namespace of its own is parted");
    let drop = |from: usize, to: usize| {
        let (from, to) = (peer_host(from), peer_host(to));
        run(&["nft", &format!("add rule ip parted arriving ip saddr {from} ip daddr {to} counter drop")]);
    };
    for other in (0..3).filter(|other| *other != member) {
        if way != Way::In {
            drop(member, other);
        }
        if way != Way::Out {
            drop(other, member);
        }
    }
}

/// Everything passes again; returns how many packets had vanished.
pub fn heal() -> u64 {
    let rules = run(&["nft", "list", "chain", "ip", "parted", "arriving"]);
    run(&["nft", "flush", "chain", "ip", "parted", "arriving"]);
    let counted = rules.split("packets ").skip(1);
    counted.map(|rest| rest.split(' ').next().map_or(0, |n| n.parse::<u64>().unwrap_or(0))).sum()
}
