//! What both drivers do when the process may open no more files. Alone in its process: the limit is everybody's.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the I/O")]

mod driver_support;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use driver_support::Bench;
use seawall_node::driver::choice::Kind;
use seawall_node::driver::either::DriverConfig;
use seawall_node::driver::listener;
use seawall_node::driver::probe::Durable;
use seawall_node::seam::Event;

/// A shell that changes the limit of this process: started before, as nothing can be started later.
struct Limiter {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Limiter {
    fn start() -> Self {
        let shell = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut shell = shell.expect("a shell");
        let (input, output) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        Self { shell, input, output: BufReader::new(output) }
    }

    fn limit(&mut self, files: i32) {
        let pid = std::process::id();
        writeln!(self.input, "prlimit --pid {pid} --nofile={files}: && echo done").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n");
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        let _ended_already = self.shell.kill();
        let _reaped = self.shell.wait();
    }
}

/// The number that the next file would get.
fn next_descriptor() -> i32 {
    File::open("/dev/null").unwrap().as_raw_fd()
}

#[test]
fn without_descriptors_accepting_pauses_until_a_tick_and_does_not_spin() {
    let mut limiter = Limiter::start();
    for kind in [Kind::Ring, Kind::Syscall] {
        accepting_pauses(kind, &mut limiter);
    }
}

fn accepting_pauses(kind: Kind, limiter: &mut Limiter) {
    let mut bench = Bench::new(DriverConfig::new(kind, 0, Durable::Link, false));
    let listener = listener::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let _client = TcpStream::connect(address).unwrap();
    limiter.limit(next_descriptor());
    bench.driver.listen(listener);
    let before = bench.driver.enters();
    assert!(bench.next_within(5).is_none(), "nobody can be accepted");
    let enters = bench.driver.enters() - before;
    assert!(enters <= 20, "{kind:?}: {enters} enters in five ticks: it spins");
    limiter.limit(1024);
    assert!(matches!(bench.next_within(5), Some(Event::Accepted { .. })), "the client was not forgotten");
}
