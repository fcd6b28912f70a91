//! Clients that send garbage, one byte now and then, nothing at all, or never read: they cost a bounded amount of
//! memory, and another client hardly notices them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use seawall::client::Options;
use seawall::message::HelloRequest;
use seawall::session::ClientSession;
use seawall::{Client, Commit, Key, Outcome, row};

use crate::node::{Node, folder};

/// Commits of the honest client between two looks.
const COMMITS: usize = 300;
const MIB: u64 = 1 << 20;

#[test]
fn clients_that_behave_badly_harm_nobody_else() {
    let folder = folder("hostile");
    let node = Node::start_with(&folder, &[]);
    let mut honest = patient(&node);
    let big = Commit::new("sailing").put(&row("cabin", "C1"), [("state", "x".repeat(60_000).as_str())]);
    assert!(matches!(honest.commit(&big), Ok(Outcome::Committed(_))));
    let quiet = p99(&mut honest);
    let before = node.resident_bytes();

    let deaf: Vec<TcpStream> = (0..20).map(|_| asks_and_never_reads(&node.address)).collect();
    let promises: Vec<TcpStream> = (0..500).map(|_| promises_a_large_frame(&node.address)).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let noise: Vec<_> = (0..4)
        .map(|n| {
            let (address, stop) = (node.address.clone(), Arc::clone(&stop));
            std::thread::spawn(move || garbage_and_single_bytes(&address, n, &stop))
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    let loaded = p99(&mut honest);
    let grown = node.resident_bytes().saturating_sub(before);
    stop.store(true, Ordering::Relaxed);
    let tried: usize = noise.into_iter().map(|thread| thread.join().expect("it ends")).sum();
    println!(
        "p99 of another client: {quiet:?} quiet, {loaded:?} beside {tried} hostile connections; {grown} bytes more"
    );
    assert!(tried > 50, "nobody was hostile: {tried}");
    // Of each that never reads: its replies, its requests, its buffers. Of each that promises: what it sent.
    assert!(grown < 20 * 4 * MIB + 500 * MIB / 8 + 32 * MIB, "{grown} bytes more");
    drop((deaf, promises));
    assert!(matches!(honest.commit(&big), Ok(Outcome::Committed(_))));
    assert!(node.terminate().success());
}

/// More sockets than the node has places for, and none of them says HELLO: whoever comes after them is served.
#[test]
fn ten_thousand_silent_sockets_keep_nobody_out() {
    let folder = folder("crowd");
    let node = Node::start_with(&folder, &[]);
    let mut honest = patient(&node);
    let quiet = p99(&mut honest);
    let mut crowd = Vec::new();
    while crowd.len() < 10_000 {
        match TcpStream::connect(&node.address) {
            Ok(socket) => crowd.push(socket),
            // This process has no more descriptors: that is a crowd, too, if it is larger than the node's places.
            Err(error) if error.raw_os_error() == Some(24) && crowd.len() > 5_000 => break,
            Err(error) => panic!("socket {}: {error}", crowd.len()),
        }
    }
    let came = Instant::now();
    let mut late = Client::connect(node.address.as_str()).expect("the node serves newcomers");
    println!("a newcomer behind {} silent sockets was served after {:?}", crowd.len(), came.elapsed());
    assert!(late.get("sailing", &row("cabin", "C1")).is_ok());
    println!("p99 of another client: {quiet:?} quiet, {:?} with the crowd", p99(&mut honest));
    assert!(node.terminate().success());
}

/// On a busy machine a commit takes its time; how much of it is what the tests say.
fn patient(node: &Node) -> Client {
    let options = Options { deadline: Duration::from_secs(60), ..Options::default() };
    Client::connect_with(node.address.as_str(), options).expect("the node serves")
}

/// Commits one by one, every one of them acknowledged.
fn p99(client: &mut Client) -> Duration {
    let mut took: Vec<Duration> = (0..COMMITS)
        .map(|n| {
            let commit = Commit::new("sailing").put(&row("cabin", n as i64), [("state", "held")]);
            let begin = Instant::now();
            let told = client.commit(&commit);
            assert!(matches!(told, Ok(Outcome::Committed(_))), "commit {n}: {told:?}");
            begin.elapsed()
        })
        .collect();
    took.sort();
    took[COMMITS * 99 / 100]
}

/// HELLO, and a session whose correlation ids go on behind it.
pub(crate) fn connect(address: &str) -> (TcpStream, ClientSession) {
    let mut socket = TcpStream::connect(address).expect("it accepts");
    let mut session = ClientSession::new();
    let mut hello = Vec::new();
    session.hello(&mut hello, &HelloRequest::new("hostile", ""), 0);
    socket.write_all(&hello).expect("it reads HELLO");
    (socket, session)
}

/// Asks for more than its socket's buffers hold, and takes nothing of it.
fn asks_and_never_reads(address: &str) -> TcpStream {
    let (mut socket, mut session) = connect(address);
    socket.set_nonblocking(true).expect("a socket");
    let mut gets = Vec::new();
    for _ in 0..2000 {
        session.get(&mut gets, &Key::from("sailing"), &row("cabin", "C1"), 0).expect("it is small");
    }
    let _ = socket.write(&gets); // as much as it takes
    socket
}

/// The front of a large commit, and then silence.
fn promises_a_large_frame(address: &str) -> TcpStream {
    let (mut socket, mut session) = connect(address);
    let fields = |n: usize| [("state", format!("{n}").repeat(60_000))];
    let commit =
        (0..10).fold(Commit::new("sailing"), |commit, n| commit.put(&row("big", n as i64), fields(n)));
    let mut frame = Vec::new();
    session.commit(&mut frame, &commit, 0).expect("it fits");
    let _ = socket.write_all(&frame[..100]);
    socket
}

/// Bytes that are no frame, and frames that come one byte at a time, over and over.
fn garbage_and_single_bytes(address: &str, number: usize, stop: &AtomicBool) -> usize {
    let mut tried = 0usize;
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
    while !stop.load(Ordering::Relaxed) {
        tried += 1;
        let mut bytes = [0u8; 4096];
        for byte in &mut bytes {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (chance >> 56) as u8;
        }
        if tried.is_multiple_of(2) {
            let Ok(mut socket) = TcpStream::connect(address) else { continue };
            let _ = socket.write_all(&bytes);
            let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
            let _ = socket.read(&mut bytes);
        } else {
            let (mut socket, mut session) = connect(address);
            let mut frame = Vec::new();
            session.get(&mut frame, &Key::from("sailing"), &row("cabin", "C1"), 0).expect("it is small");
            for byte in frame.iter().take(20) {
                let _ = socket.write_all(std::slice::from_ref(byte));
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    tried
}
