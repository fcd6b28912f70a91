//! The admin port: pages of somewhere else that a browser shows, and strangers that never end a request.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::node::{Node, folder};

fn admin(node: &Node) -> String {
    let line = node.said().lines().find_map(|line| line.strip_prefix("admin on http://"));
    line.and_then(|line| line.split_once('/')).expect("it says where").0.to_owned()
}

/// The status of the answer.
fn ask(at: &str, head: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(at).expect("the port takes it");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let request = format!("{head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("HTTP")
}

/// A page that a browser on this machine shows can send a POST here, and, if its name was turned to this machine, read.
#[test]
fn pages_of_somewhere_else_neither_write_nor_read() {
    let folder = folder("pages");
    let node = Node::start_with(&folder, &[]);
    let at = admin(&node);
    let write = r#"{"partition": "p", "operations": [{"op": "put", "row": "t/r", "fields": {"v": 1}}]}"#;
    let post = |headers: &str| ask(&at, &format!("POST /v1/commit HTTP/1.1\r\n{headers}"), write);
    let row = |host: &str| ask(&at, &format!("GET /v1/rows/t/p/r HTTP/1.1\r\nhost: {host}"), "");
    assert_eq!(post(&format!("host: {at}\r\norigin: http://evil.example")), 403);
    assert_eq!(post(&format!("host: {at}\r\norigin: null")), 403);
    assert_eq!(post("host: evil.example:7412\r\norigin: http://evil.example:7412"), 403);
    assert_eq!(row(&at), 404, "nothing was written");
    assert_eq!(post(&format!("host: {at}")), 200, "curl");
    assert_eq!(post(&format!("host: {at}\r\norigin: http://{at}")), 200);
    assert_eq!((row(&at), row("localhost"), row("evil.example")), (200, 200, 403));
    assert!(node.terminate().success());
}

/// More sockets than the port has places for, and each sends half a head: whoever comes after them is served.
#[test]
fn half_a_head_keeps_nobody_out() {
    let folder = folder("half-heads");
    let node = Node::start_with(&folder, &[]);
    let at = admin(&node);
    let half = || {
        let mut stream = TcpStream::connect(&at).expect("the port takes it");
        // Who has given way already is not to be written to.
        let _half = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: loc");
        stream
    };
    let crowd: Vec<TcpStream> = (0..900).map(|_| half()).collect();
    let came = Instant::now();
    assert_eq!(ask(&at, "GET /healthz HTTP/1.1\r\nhost: localhost", ""), 200);
    let took = came.elapsed();
    println!("health behind {} half heads: {took:?}", crowd.len());
    assert!(took < Duration::from_secs(4), "less than a half head may take: {took:?}");
    assert!(node.terminate().success());
}
