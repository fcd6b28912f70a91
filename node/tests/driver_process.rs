//! The real binary: it says where it listens, answers on its admin port, and ends in order.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of a real process")]

mod driver_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use driver_support::Scratch;

struct Node {
    process: Child,
    admin: String,
}

impl Node {
    fn start(scratch: &Scratch) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let admin = format!("127.0.0.1:{free}");
        let mut process = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args(["dev", "--listen", "127.0.0.1:0", "--workers", "2", "--admin", &admin, "--data"])
            .arg(scratch.path().join("data"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listening = lines.find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned));
        let listening = listening.expect("a node that starts says where it listens");
        TcpStream::connect(listening).unwrap();
        Self { process, admin }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(&mut self, signal: &str) -> Option<i32> {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

#[test]
fn a_node_serves_ends_and_starts_again_even_when_it_was_killed() {
    let scratch = Scratch::new("process");
    let mut node = Node::start(&scratch);
    assert!(node.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(node.get("/readyz").starts_with("HTTP/1.1 200"));
    let status = node.get("/v1/status");
    for word in ["\"ready\": true", "\"driver\": \"ring\"", "\"primitive\"", "\"shard\": 2"] {
        assert!(status.contains(word), "{word} is missing in {status}");
    }
    let lost = node.get("/nowhere");
    assert!(lost.starts_with("HTTP/1.1 404") && lost.contains("/v1/status"), "{lost}");
    let report = scratch.path().join("data/shard-0002/recovery-report.json");
    assert!(report.exists(), "recovery is explained");
    assert_eq!(node.signal("-KILL"), None);
    let mut node = Node::start(&scratch);
    assert_eq!(node.signal("-TERM"), Some(0));
    let mut node = Node::start(&scratch);
    assert_eq!(node.signal("-INT"), Some(0));
}

#[test]
fn what_dev_refuses() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_seawall")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, why) = run(&["dev", "--listen", "0.0.0.0:7411", "--data", "/nonexistent/x"]);
    assert_eq!(code, Some(1));
    assert!(why.contains("credentials") && why.contains("127.0.0.1:7411"), "{why}");
    assert_eq!(run(&["dev", "--workers", "none"]).0, Some(2));
    assert_eq!(run(&["--version"]).0, Some(0));
}
