//! Each route of the admin port.

use std::process::Command;

use crate::node::{Folder, Node, run};

/// The value of a series of `/metrics`.
fn series(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn metrics_count_what_was_committed() {
    let folder = Folder::new("metrics");
    let node = Node::start(&folder, "workers = 1");
    for place in ["cabin/s/A", "cabin/s/B", "cabin/s/C"] {
        assert!(run(&["put", place, "state=held", "--connect", &node.address]).status.success());
    }
    let answer = node.raw(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
    let (_, text) = answer.split_once("\r\n\r\n").expect("a body");
    for (name, value) in [
        ("seawall_ready", 1.0),
        ("seawall_worker_up{worker=\"0\"}", 1.0),
        ("seawall_shard_serving{shard=\"1\"}", 1.0),
        ("seawall_shard_rows{shard=\"1\"}", 3.0),
        ("seawall_commit_latency_seconds_count{shard=\"1\"}", 3.0),
        ("seawall_commit_latency_seconds_bucket{le=\"+Inf\",shard=\"1\"}", 3.0),
    ] {
        assert_eq!(series(text, name), Some(value), "{name} in {text}");
    }
    assert!(series(text, "seawall_commit_latency_seconds_sum{shard=\"1\"}").is_some_and(|sum| sum > 0.0));
    assert!(series(text, "seawall_shard_log_bytes_total{shard=\"1\"}").is_some_and(|bytes| bytes >= 4096.0));
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(name.starts_with("seawall_") && value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn health_readiness_and_status_answer_and_the_wrong_method_is_told_the_right_one() {
    let folder = Folder::new("routes");
    let node = Node::start(&folder, "");
    assert_eq!(node.get("/healthz").0, 200);
    let (code, ready) = node.json("GET", "/readyz", "");
    assert_eq!((code, &ready["ready"], &ready["stopping"]), (200, &true.into(), &false.into()));
    assert_eq!(node.json("GET", "/v1/status", "").1["shards"][0]["state"], "serving");
    let (code, accepted) = node.json("POST", "/v1/clock/accept", "");
    let shards = accepted["accepted_by_shards"].as_array().expect("a list").len();
    assert!(
        code == 200 && shards == node.json("GET", "/v1/status", "").1["shards"].as_array().unwrap().len()
    );
    let (code, said) = node.ask("POST", "/v1/status", "{}");
    assert!(code == 405 && said.contains("takes GET"), "{said}");
    let (code, said) = node.ask("GET", "/v2/status", "");
    assert!(code == 404 && said.contains("GET /v1/status"), "{said}");
}

/// A worker that stands still is silent: the node lives, and is not ready.
#[test]
fn a_node_that_does_not_serve_says_why_and_stays_healthy() {
    let folder = Folder::new("unready");
    let mut node = Node::start(&folder, "workers = 1\nadmin.ask_ms = 200");
    assert_eq!(node.get("/readyz").0, 200);
    node.signal("-KILL");
    assert_eq!(node.wait(std::time::Duration::from_secs(10)), None);
    let shard = folder.path().join("data/shard-0001");
    // Both copies of the metadata rot: the shard halts (R6), and the node says so.
    let rotten = Command::new("dd")
        .args(["if=/dev/urandom", "bs=4096", "count=2", "conv=notrunc", "status=none"])
        .arg(format!("of={}", shard.join("meta").display()))
        .status();
    assert!(rotten.expect("dd runs").success());
    let node = Node::start(&folder, "workers = 1\nadmin.ask_ms = 200");
    assert_eq!(node.get("/healthz").0, 200);
    let (code, said) = node.json("GET", "/readyz", "");
    assert_eq!((code, &said["ready"]), (503, &false.into()), "{said}");
    assert_eq!(said["not_serving"][0]["state"], "halted", "{said}");
    assert!(said["not_serving"][0]["reason"].as_str().is_some_and(|why| why.contains("R6")), "{said}");
    assert_eq!(series(&node.get("/metrics").1, "seawall_shard_serving{shard=\"1\"}"), Some(0.0));
}
