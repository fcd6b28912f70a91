//! Clients that send garbage, that are slow, or that come in crowds. None of them keeps the others out.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::node::{Folder, Node};

#[test]
fn garbage_is_refused_and_the_port_goes_on() {
    let folder = Folder::new("garbage");
    let node = Node::start(&folder, "");
    let long = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(64 << 10));
    let headers = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
    for bytes in [
        &b"\x00\x01\x02\x03\x04\r\n\r\n"[..],
        b"SWL1 this is the other protocol\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"POST /v1/status HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
        long.as_bytes(),
        headers.as_bytes(),
    ] {
        let mut stream = node.connect();
        // It may hang up before it has read everything.
        let _cut_off = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(node.get("/healthz").0, 200);
}

/// Every place of the port is held by a client that never finishes its request; each loses it when its time is over.
#[test]
fn slow_clients_lose_their_places() {
    let folder = Folder::new("slow");
    let node = Node::start(&folder, "admin.connections = 4\nadmin.head_ms = 300");
    let mut slow: Vec<_> = (0..8).map(|_| node.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /healthz HT").expect("the kernel takes it");
    }
    let begin = Instant::now();
    assert_eq!(node.get("/healthz").0, 200);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(10), "the oldest of them gives way: {took:?}");
    for mut stream in slow {
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        assert!(answer.len() < 1024, "it was hung up on");
    }
}

/// A connection that asks now and then is never idle, and ends all the same.
#[test]
fn a_connection_ends_after_its_time() {
    let folder = Folder::new("long");
    let node = Node::start(&folder, "admin.connection_ms = 1000");
    let mut stream = node.connect();
    let begin = Instant::now();
    let mut answered = 0;
    let ended = loop {
        let sent = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let mut buffer = [0; 4096];
        match sent.and_then(|()| stream.read(&mut buffer)) {
            Ok(1..) => answered += 1,
            Ok(0) | Err(_) => break begin.elapsed(),
        }
        std::thread::sleep(Duration::from_millis(50));
        assert!(begin.elapsed() < Duration::from_secs(10), "it goes on for ever");
    };
    assert!(answered > 3 && ended > Duration::from_millis(900), "{answered} answers in {ended:?}");
}
