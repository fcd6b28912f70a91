//! What the ring does when the process may open no more files. Alone in its process: the limit is everybody's.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the I/O")]

mod driver_support;

use std::net::TcpStream;
use std::process::Command;

use driver_support::Bench;
use seawall_node::driver::listener;
use seawall_node::driver::probe::Durable;
use seawall_node::driver::ring::RingConfig;
use seawall_node::worker::Event;

fn limit_files(limit: usize) {
    let (pid, limit) = (std::process::id().to_string(), format!("--nofile={limit}:"));
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn without_descriptors_accepting_pauses_until_a_tick_and_does_not_spin() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        return println!("SKIPPED: there is no prlimit here");
    }
    let mut bench = Bench::new(RingConfig::new(0, Durable::Link, false));
    let listener = listener::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let _client = TcpStream::connect(address).unwrap();
    limit_files(open_files() - 1); // one of them was the listing itself
    bench.ring.listen(listener);
    let before = bench.ring.enters();
    assert!(bench.next_within(5).is_none(), "nobody can be accepted");
    let enters = bench.ring.enters() - before;
    assert!(enters <= 20, "{enters} enters in five ticks: it spins");
    limit_files(1024);
    assert!(matches!(bench.next_within(5), Some(Event::Accepted { .. })), "the client was not forgotten");
}
