//! `scripts/cluster`, and a leader that is heard by nobody: real processes in a network namespace.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use seawall_tests::skip::skip;

use crate::node::{BINARY, folder};

struct Script {
    cluster: PathBuf,
}

impl Script {
    fn output(&self, arguments: &[&str]) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut command = Command::new(root.join("scripts/cluster"));
        command.env("CLUSTER", &self.cluster).env("SEAWALL", BINARY).args(arguments);
        command.output().expect("the script runs")
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scripts/cluster {}: {complaints}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn wait(&self, words: &str) {
        let mut status = String::new();
        for _ in 0..150 {
            status = self.run(&["status"]);
            if status.contains(words) {
                return;
            }
            thread::sleep(Duration::from_millis(200));
        }
        panic!("{words:?} does not come: {status}");
    }
}

/// Whatever a test ends with, nothing of it is left.
impl Drop for Script {
    fn drop(&mut self) {
        let _nothing_was_started = self.output(&["remove"]);
    }
}

#[test]
fn a_leader_that_nobody_hears_is_replaced_and_follows_when_it_is_heard_again() {
    let tools = ["ip", "jq", "curl"];
    let has =
        |tool: &&str| Command::new("which").arg(tool).output().is_ok_and(|found| found.status.success());
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.starts_with(b"0\n"));
    let test = "a_leader_that_nobody_hears_is_replaced_and_follows_when_it_is_heard_again";
    if !is_root || !tools.iter().all(has) {
        return skip(test, "it needs root, and ip, jq and curl");
    }
    let namespace = Command::new("unshare").args(["--net", "true"]).status();
    if !namespace.is_ok_and(|status| status.success()) {
        return skip(test, "missing: network namespaces of the kernel: they are not allowed here");
    }
    let script = Script { cluster: folder("parted").join("cluster") };
    script.run(&["start", "--isolated", "--lease-ms", "700", "--", "--set", "admin.calls=2"]);
    script.wait("member 1: shard 1 leader, serving");
    let first = ["exec", BINARY, "put", "cabin/s/1", "state=held", "--connect", "127.0.0.11:7511"];
    assert!(script.run(&first).contains("committed"));
    // Which one of the two came into the sync set by itself is chance.
    script.run(&["exec", BINARY, "sync-set", "require", "1", "2", "--admin", "127.0.0.11:7512"]);

    script.run(&["partition", "1", "out"]);
    thread::sleep(Duration::from_secs(2));
    let put = ["exec", BINARY, "put", "cabin/s/2", "state=held", "--timeout", "2s"];
    let alone = script.output(&[&put[..], &["--connect", "127.0.0.11:7511"]].concat());
    assert!(!alone.status.success(), "nobody has heard of it: {}", String::from_utf8_lossy(&alone.stdout));
    script.run(&["promote", "2"]);
    let addresses = "127.0.0.13:7511,127.0.0.12:7511";
    assert!(script.run(&[&put[..], &["--connect", addresses]].concat()).contains("committed"));
    let get = ["exec", BINARY, "get", "cabin/s/1", "--connect", addresses];
    assert!(script.run(&get).contains("held"), "what was acknowledged is there");

    script.run(&["heal"]);
    script.wait("member 1: shard 1 follower, streaming");
    script.run(&["pause", "3"]);
    script.run(&["cont", "3"]);
    script.run(&["kill", "1"]);
    script.wait("member 1: does not run");
    script.run(&["start"]);
    script.wait("member 1: shard 1 follower, streaming");
    script.run(&["stop"]);
    let cluster = script.cluster.clone();
    script.run(&["remove"]);
    assert!(!cluster.exists(), "nothing is left");
}
