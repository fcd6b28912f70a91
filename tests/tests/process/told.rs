//! What those are told who made a mistake: what was wrong, where, what the limit is and what to do next. Only whoever
//! writes a client is sent to the bytes of the protocol.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::node::{BINARY, Node, folder};

pub fn admin(node: &Node) -> String {
    let line = node.said().lines().find_map(|line| line.strip_prefix("admin on http://"));
    line.and_then(|line| line.split_once('/')).expect("it says where").0.to_owned()
}

/// The status of the answer, its head and its body.
pub fn ask(at: &str, line: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(at).expect("the port takes it");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let length = body.len();
    let head =
        format!("{line} HTTP/1.1\r\nhost: {at}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all((head + body).as_bytes()).expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("HTTP");
    (status, head.to_owned(), body.to_owned())
}

fn commit(at: &str, document: &str) -> (u16, Json) {
    let (status, _, body) = ask(at, "POST /v1/commit", document);
    (status, serde_json::from_str(&body).expect("JSON"))
}

fn command(arguments: &[&str]) -> (Option<i32>, String, String) {
    let ended = Command::new(BINARY).args(arguments).stdin(Stdio::null()).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ended.status.code(), text(&ended.stdout), text(&ended.stderr))
}

/// Nothing sends a user to the bytes, and the words are there.
fn says(told: &str, words: &[&str]) {
    assert!(!told.contains("docs/protocol.md"), "{told}");
    for word in words {
        assert!(told.contains(word), "no {word:?} in {told}");
    }
}

#[test]
fn whoever_made_a_mistake_is_told_what_it_is_and_not_how_frames_look() {
    let node = Node::start_with(&folder("told-mistakes"), &["--workers", "1"]);
    let at = admin(&node);
    let operations = |operations: &str| format!(r#"{{"partition": "p", "operations": [{operations}]}}"#);
    let put = |value: &str| format!(r#"{{"op": "put", "row": "t/r", "fields": {{"v": {value}}}}}"#);

    let (status, twice) = commit(&at, &operations(&format!("{}, {}", put("1"), put("2"))));
    assert_eq!(status, 400, "{twice}");
    says(&twice.to_string(), &["operation 1", "t/r", "each row once", "one operation"]);

    let keyed = format!(r#"{{"partition": "p", "key": "", "operations": [{}]}}"#, put("1"));
    let (status, empty) = commit(&at, &keyed);
    assert_eq!(status, 400, "{empty}");
    says(&empty.to_string(), &["commit.key", "1 to 64 bytes", "leave"]);
    let keyed = format!(r#"{{"partition": "p", "key": "{}", "operations": [{}]}}"#, "k".repeat(65), put("1"));
    let (status, long) = commit(&at, &keyed);
    assert_eq!((status, &long["refusal"]["code"]), (413, &Json::from("TOO_LARGE")), "{long}");
    says(&long.to_string(), &["commit.key", "64", "65"]);

    let (status, nothing) = commit(&at, &operations(r#"{"op": "merge", "row": "t/r", "fields": {}}"#));
    assert_eq!(status, 400, "{nothing}");
    says(&nothing.to_string(), &["operations[0]", "merge", "at least one field"]);

    let (status, large) = commit(&at, &operations(&put(&format!("\"{}\"", "x".repeat(70_000)))));
    assert_eq!((status, &large["refusal"]["code"]), (413, &Json::from("TOO_LARGE")), "{large}");
    says(&large.to_string(), &["operations[0].fields.v", "65536", "70000", "several rows"]);

    let (status, _, told) = ask(&at, "GET /v1/explain?shard=99", "");
    assert_eq!(status, 400, "{told}");
    says(&told, &["shard 99", "1 to 1", "seawall status"]);

    let reach = ["--connect", node.address.as_str()];
    let (code, _, told) = command(&[&["scan", "p", "t", "--index", "none"][..], &reach].concat());
    assert_eq!(code, Some(1), "{told}");
    says(&told, &["no index none of t", "seawall describe t", "declare"]);
    let (code, _, told) =
        command(&[&["commit", "p", "--set", "t/r.v=1", "--delete", "t/r"][..], &reach].concat());
    assert_eq!(code, Some(1), "{told}");
    says(&told, &["t/r", "each row once"]);
    assert!(node.terminate().success());
}

#[test]
fn what_the_admin_port_is_asked_it_answers_as_http_does() {
    let node = Node::start_with(&folder("told-http"), &["--workers", "1"]);
    let at = admin(&node);
    assert_eq!(
        commit(&at, r#"{"partition":"p","operations":[{"op":"put","row":"t/r","fields":{"v":1}}]}"#).0,
        200
    );
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/status",
        "/v1/explain",
        "/v1/audit",
        "/v1/rows/t/p/r",
        "/v1/rows/t/p/none",
    ] {
        let (got, _, body) = ask(&at, &format!("GET {path}"), "");
        let (status, head, nothing) = ask(&at, &format!("HEAD {path}"), "");
        assert_eq!((status, nothing.as_str()), (got, ""), "{path}: {head}");
        assert!(!body.is_empty() && head.to_ascii_lowercase().contains("content-length: "), "{path}: {head}");
    }
    let (status, head, _) = ask(&at, "HEAD /v1/commit", "");
    assert_eq!(status, 405, "{head}");
    let (_, head, _) = ask(&at, "POST /healthz", "");
    assert!(head.contains("allow: GET, HEAD"), "{head}");

    // A token of another history: nothing gets better by asking again.
    let (_, _, row) = ask(&at, "GET /v1/rows/t/p/r", "");
    let row: Json = serde_json::from_str(&row).expect("JSON");
    let other = Node::start_with(&folder("told-other"), &["--workers", "1"]);
    let token = row["token"].as_str().expect("a token");
    let (status, _, told) = ask(&admin(&other), &format!("GET /v1/rows/t/p/r?token={token}"), "");
    assert_eq!(status, 409, "{told}");
    assert!(told.contains("LINEAGE_MISMATCH"), "{told}");
    assert!(node.terminate().success() && other.terminate().success());
}

#[test]
fn the_first_line_names_the_driver_and_the_change_is_told_before_the_facts() {
    for (driver, words) in [("syscall", "syscall"), ("auto", "driver")] {
        let test = format!("told-first-{driver}");
        let node = Node::start_with(&folder(&test), &["--workers", "0", "--driver", driver]);
        let first = node.said().lines().next().expect("a line");
        assert!(
            first.starts_with("seawall ") && first.contains(words) && first.contains("driver"),
            "{first}"
        );
        let reach = ["--connect", node.address.as_str()];
        let put = ["commit", "p", "--key", "k", "--set", "t/r.v=1"];
        assert_eq!(command(&[&put[..], &reach].concat()).0, Some(0));
        let (_, told, _) = command(&[&["trace", "p", "k"][..], &reach].concat());
        assert!(told.starts_with("request.outcome"), "{told}");
        let of_request = told.lines().take_while(|line| line.starts_with("request.")).count();
        assert_eq!(of_request, told.matches("request.").count(), "{told}");
        assert!(node.terminate().success());
    }
}

#[test]
fn what_cannot_start_is_no_right_configuration() {
    let folder = folder("told-config");
    let file = folder.join("same.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:7411\"\n\n[admin]\nlisten = \"127.0.0.1:7411\"\n")
        .expect("a file");
    let (code, _, told) = command(&["config", "check", file.to_str().expect("text")]);
    assert_eq!(code, Some(1), "{told}");
    says(&told, &["listen", "admin.listen", "127.0.0.1:7411", "same.toml:4"]);
    let data = folder.join("data");
    let same = [
        "dev",
        "--data",
        data.to_str().expect("text"),
        "--listen",
        "127.0.0.1:7499",
        "--admin",
        "127.0.0.1:7499",
    ];
    let (code, _, told) = command(&same);
    assert_eq!(code, Some(2), "{told}");
    says(&told, &["listen", "admin.listen"]);
}

/// What somebody types who has just read the README.
#[test]
fn a_newcomer_is_told_the_way() {
    let node = Node::start_with(&folder("told-newcomer"), &["--workers", "1"]);
    let at = admin(&node);
    let fails = |exit: i32, arguments: &[&str], words: &[&str]| {
        let (code, _, told) = command(arguments);
        assert_eq!(code, Some(exit), "{arguments:?}: {told}");
        says(&told, words);
    };
    let glued = ["commit", "p", "--check", "cabin/C14.state=free", "--set", "cabin/C14.state=held"];
    fails(2, &glued, &["three words", "cabin/C14.state = free"]);
    fails(3, &["get", "t/p/r", "--connect", &at], &["admin port", "listening on"]);
    fails(3, &["promote", "1", "--admin", &node.address], &["admin address", "--admin"]);
    fails(
        3,
        &["get", "t/p/r", "--connect", "127.0.0.1:1", "--timeout", "1s"],
        &["`seawall dev`", "--connect"],
    );
    let (_, _, told) = command(&["config", "check", "/nowhere.toml"]);
    assert!(told.contains("/nowhere.toml") && !told.contains("--config"), "{told}");
    assert!(node.terminate().success());
}
