//! The real binary: it says where it listens, answers on its admin port, and ends in order.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of a real process")]

#[macro_use]
mod driver_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use driver_support::{Scratch, seccomp};
use seawall_node::driver::choice::Kind;

for_both_drivers! {
    a_node_serves_ends_and_starts_again_even_when_it_was_killed,
}

struct Node {
    process: Child,
    address: String,
    admin: String,
    /// What it said before it listened.
    said: String,
}

impl Node {
    fn start(folder: &Path, driver: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args(["dev", "--driver", driver, "--listen", "127.0.0.1:0", "--workers", "2"])
            .args(["--admin", "127.0.0.1:0", "--data"])
            .arg(folder.join("data"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // Ports that the kernel chose: one that was free a moment ago may be anybody's now.
        let mut said_after = |mark: &str| {
            let line = lines.find_map(|line| {
                let line = line.unwrap();
                said += &format!("{line}\n");
                line.strip_prefix(mark).map(str::to_owned)
            });
            line.expect("a node that starts says where it listens")
        };
        let admin = said_after("admin on http://");
        let admin = admin.strip_suffix("/v1/status").expect("its address").to_owned();
        let address = said_after("listening on ");
        TcpStream::connect(&address).unwrap();
        Self { process, address, admin, said }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
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

fn a_node_serves_ends_and_starts_again_even_when_it_was_killed(kind: Kind) {
    let driver = kind.name();
    let scratch = Scratch::new(&format!("process-{driver}"));
    let mut node = Node::start(scratch.path(), driver);
    assert!(node.said.contains(&format!("driver      {driver} (")), "{}", node.said);
    assert!(node.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(node.get("/readyz").starts_with("HTTP/1.1 200"));
    let status = node.get("/v1/status");
    let runs = format!("\"driver\": \"{driver}\"");
    let why = "\"why_driver\": \"as --driver asks\"";
    for word in ["\"ready\": true", &runs, why, "\"primitive\"", "\"shard\": 2"] {
        assert!(status.contains(word), "{word} is missing in {status}");
    }
    let lost = node.get("/nowhere");
    assert!(lost.starts_with("HTTP/1.1 404") && lost.contains("/v1/status"), "{lost}");
    let report = scratch.path().join("data/shard-0002/recovery-report.json");
    assert!(report.exists(), "recovery is explained");
    assert_eq!(node.signal("-KILL"), None);
    let mut node = Node::start(scratch.path(), driver);
    assert_eq!(node.signal("-TERM"), Some(0));
    let mut node = Node::start(scratch.path(), driver);
    assert_eq!(node.signal("-INT"), Some(0));
}

const IO_URING: &[i64] = &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// Forbidden as container runtimes and hardened kernels do it.
#[test]
fn where_io_uring_is_blocked_a_node_says_so_and_serves() {
    for errno in [libc::EPERM, libc::EACCES, libc::ENOSYS] {
        let scratch = Scratch::new(&format!("blocked-{errno}"));
        let node = seccomp::without(seccomp::always(IO_URING), errno, {
            let folder = scratch.path().to_owned();
            move || Node::start(&folder, "auto")
        });
        for word in ["driver      syscall (", "io_uring is blocked here", "seccomp", "io_uring_setup"] {
            assert!(node.said.contains(word), "{word} is missing in {}", node.said);
        }
        let status = node.get("/v1/status");
        for word in ["\"driver\": \"syscall\"", "\"why_driver\": \"io_uring is blocked here", "seccomp"] {
            assert!(status.contains(word), "{word} is missing in {status}");
        }
        let run = |words: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
            let output = command.args(words).args(["--connect", &node.address]).output().unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{words:?}: {said}");
            said
        };
        run(&["put", "cabin/sailing-42/C14", "state=held"]);
        assert!(run(&["get", "cabin/sailing-42/C14"]).contains("held"));
    }
}

/// An order for the ring is not answered with something else.
#[test]
fn where_io_uring_is_blocked_the_ring_is_refused_with_the_way_out() {
    let scratch = Scratch::new("ordered");
    let data = scratch.path().join("data");
    let output = seccomp::without(seccomp::always(IO_URING), libc::EPERM, {
        let data = data.clone();
        move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
            command.args(["dev", "--driver", "ring", "--data"]).arg(data).output().unwrap()
        }
    });
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(why.contains("blocked") && why.contains("seccomp") && why.contains("--driver syscall"), "{why}");
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn what_dev_refuses() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_seawall")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, why) = run(&["dev", "--listen", "0.0.0.0:7411", "--data", "/nonexistent/x"]);
    assert_eq!(code, Some(2));
    assert!(why.contains("credentials") && why.contains("127.0.0.1:7411"), "{why}");
    assert_eq!(run(&["dev", "--workers", "none"]).0, Some(2));
    assert_eq!(run(&["--version"]).0, Some(0));
}
