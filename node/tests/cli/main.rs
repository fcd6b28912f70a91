//! The command line against a real node: what people read, what programs read, and how each command ends.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of a real process")]

mod commits;
mod lost;
mod node;
mod silent;
mod tables;

use node::{Node, alone, has};

#[test]
fn put_and_get_show_a_row_and_what_it_rests_on() {
    let node = Node::start("put");
    let row = "cabin/HP-2026%2F07/C14";
    let put =
        ["put", row, "name:text=007", "price:decimal=420.00", "big=9007199254740993", "raw:bytes=b64:AP8="];
    has(&node.says(&put), &["committed cabin/HP-2026%2F07/C14\nversion  ", "\ntoken    "]);
    has(
        &node.says(&["get", row]),
        &[row, "  name   007\n", "  price  420.00\n", "  raw    00ff\n", "\nas of    "],
    );
    let got = node.json(&["get", row]);
    assert_eq!(got["row"]["name"], "007");
    assert_eq!(got["row"]["price"], "420.00");
    assert_eq!(got["row"]["big"], "9007199254740993");
    assert_eq!(got["row"]["raw"]["b64"], "AP8=");
    assert_eq!((&got["found"], &got["version"]), (&true.into(), &got["version"]));
    has(&node.says(&["get", "cabin/HP-2026%2F07/C15"]), &["(there is no such row)", "as of"]);
    assert_eq!(node.json(&["get", "cabin/HP-2026%2F07/C15"])["found"], false);
}

#[test]
fn a_put_with_a_ttl_expires_and_one_under_a_key_happens_once() {
    let node = Node::start("ttl");
    node.says(&["put", "cabin/P/C14", "state=held", "--ttl", "300ms"]);
    let gone = |_: &u32| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        node.json(&["get", "cabin/P/C14"])["found"] == false
    };
    assert!((0..100).any(|turn| gone(&turn)), "the row is gone soon after its time");
    let put = ["put", "cabin/P/C15", "state=held", "--key", "hold-1"];
    assert_eq!(node.json(&put)["replayed"], false);
    let again = node.json(&put);
    assert_eq!(again["replayed"], true);
    has(&node.says(&put), &["replayed", again["token"].as_str().unwrap()]);
    let (other, why) = node.refused(&["put", "cabin/P/C15", "state=sold", "--key", "hold-1"]);
    assert_eq!((&other["refusal"]["code"], &other["outcome"]), (&"KEY_REUSED".into(), &"none".into()));
    has(&why, &["seawall: KEY_REUSED (206)", "\n  rule ", "\n  expected ", "\n  observed ", "\n  hint "]);
}

#[test]
fn scan_shows_rows_in_order_and_says_when_there_are_more() {
    let node = Node::start("scan");
    for n in 0..5 {
        node.says(&["put", &format!("cabin/P/C,int:{n}"), &format!("n={n}")]);
    }
    node.says(&["put", "cabin/P/D,int:0", "note=other"]);
    let all = node.says(&["scan", "P", "cabin"]);
    assert_eq!(all.lines().count(), 8, "{all}");
    assert!(all.starts_with("KEY      VERSION  n  note\nC,int:0  "), "{all}");
    has(&all, &["\nD,int:0  ", "-  other\n", "\nas of  "]);
    assert!(!all.contains("there are more"), "{all}");
    let keys = |words: &[&str]| {
        let found = node.json(&[&["scan", "P", "cabin"], words].concat());
        let keys: Vec<String> = found["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["key"].as_str().unwrap().to_owned())
            .collect();
        (keys.join(" "), found["cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(keys(&["--prefix", "D"]).0, "D,int:0");
    assert_eq!(keys(&["--from", "C,int:1", "--to", "C,int:3"]).0, "C,int:1 C,int:2");
    assert_eq!(keys(&["--from", "C,int:4"]).0, "C,int:4 D,int:0");
    assert_eq!(keys(&["--descending", "--limit", "1"]).0, "D,int:0");
    let (first, cursor) = keys(&["--limit", "4"]);
    assert_eq!(first, "C,int:0 C,int:1 C,int:2 C,int:3");
    let cursor = cursor.expect("there are more");
    assert_eq!(keys(&["--after", &cursor]), ("C,int:4 D,int:0".to_owned(), None));
    has(
        &node.says(&["scan", "P", "cabin", "--limit", "4"]),
        &["there are more", &format!("--after {cursor}")],
    );
    has(&node.says(&["scan", "Q", "cabin"]), &["(there are no such rows)"]);
    assert_eq!(node.run(&["scan", "P", "cabin", "--after", "x"]).code, Some(2));
    assert_eq!(node.run(&["scan", "P", "cabin", "--limit", "0"]).code, Some(2));
}

#[test]
fn watch_shows_what_happens_from_where_it_is_told() {
    let node = Node::start("watch");
    let first = node.json(&["put", "cabin/P/C14", "state=free"]);
    node.says(&["commit", "P", "--set", "cabin/C14.state=held", "--event", "cabin-held=C14"]);
    node.says(&["commit", "P", "--delete", "cabin/C14"]);
    node.says(&["put", "cabin/Q/C14", "state=elsewhere"]);
    let watch = node.run(&["watch", "P", "--from", "oldest", "--limit", "4"]);
    assert_eq!(watch.code, Some(0), "{}", watch.err);
    let lines: Vec<&str> = watch.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", watch.out);
    has(lines[0], &["put      cabin/C14 {state: free}"]);
    has(&lines[1..3].join("\n"), &["put      cabin/C14 {state: held}", "event    cabin-held C14"]);
    has(lines[3], &["deleted  cabin/C14"]);
    has(&watch.err, &["watching P from ", "go on with --from "]);
    let token = first["token"].as_str().unwrap();
    let watch = node.run(&["watch", "P", "cabin", "--from", token, "--for", "1s", "--json"]);
    let told: Vec<serde_json::Value> =
        watch.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 2, "{}", watch.out);
    assert_eq!((&told[0]["what"], &told[0]["row"]["state"]), (&"put".into(), &"held".into()));
    assert_eq!((&told[1]["what"], &told[1]["at"]), (&"deleted".into(), &"cabin/C14".into()));
    let topic =
        node.run(&["watch", "P", "--topic", "cabin-held", "--from", "oldest", "--limit", "1", "--json"]);
    has(&topic.out, &["\"what\":\"event\"", "\"payload\":\"C14\""]);
    let wrong = node.run(&["watch", "P", "--from", "yesterday"]);
    assert_eq!(wrong.code, Some(2));
    has(&wrong.err, &["not a commit token", "or write now or oldest"]);
}

#[test]
fn status_and_explain_show_every_shard() {
    let node = Node::start("status");
    has(
        &node.says(&["status"]),
        &["node.lineage", "shard.id ", "shard.state", "serving", "log.durable_index"],
    );
    let status = node.json(&["status"]);
    assert_eq!(status["node"]["node.workers"], "2");
    let shards = status["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 2);
    assert!(shards.iter().all(|shard| shard["shard.state"] == "serving"), "{status}");
    assert_eq!(status["complete"], true, "{status}");
    has(&node.says(&["explain"]), &["shard.why", "(R10)"]);
    assert_eq!(node.json(&["explain"])["shards"].as_array().map(Vec::len), Some(2));
    let one = node.json(&["explain", "P"]);
    let shard = one["shards"][0]["shard.id"].as_str().unwrap();
    assert_eq!(node.json(&["explain", "--shard", shard])["shards"][0]["shard.id"], shard);
    let (refused, why) = node.refused(&["explain", "--shard", "99"]);
    assert_eq!(refused["refusal"]["rule"], "route.shard");
    has(&why, &["a shard of the map", "shard 99"]);
}

#[test]
fn completions_know_every_verb() {
    let help = alone(&["--help"]);
    assert_eq!(help.code, Some(0));
    has(&help.out, &["Check and change rows of one partition", "Exit codes: 0 done", "%2F"]);
    for shell in ["bash", "zsh", "fish"] {
        let script = alone(&["completions", shell]);
        assert_eq!(script.code, Some(0));
        let verbs =
            ["dev", "put", "get", "commit", "scan", "watch", "resolve", "declare", "describe", "status"];
        has(&script.out, &verbs);
        has(&script.out, &["explain", "trace", "unchanged", "first-sent"]);
    }
    assert_eq!(alone(&["completions", "cmd"]).code, Some(2));
}

#[test]
fn nobody_at_home_is_another_end_than_a_refusal() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let verbs: [&[&str]; 7] = [
        &["put", "cabin/P/C14", "state=held"],
        &["get", "cabin/P/C14"],
        &["commit", "P", "--delete", "cabin/C14"],
        &["scan", "P", "cabin"],
        &["watch", "P"],
        &["status"],
        &["resolve", "P", "k"],
    ];
    for verb in verbs {
        let ended = alone(&[verb, &["--connect", &nobody, "--timeout", "1s"]].concat());
        assert_eq!(ended.code, Some(3), "{verb:?}: {}", ended.err);
        has(&ended.err, &[&nobody, "cannot be reached", "nothing was done"]);
    }
    assert_eq!(alone(&["get"]).code, Some(2));
    assert_eq!(alone(&["get", "C14"]).code, Some(2));
}
