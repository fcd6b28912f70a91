//! The load generator: a closed loop over many connections.
//!
//! ```text
//! connect    HELLO on every connection, blocking, before anything is measured
//! drive      one thread: readiness -> replies -> tally -> new requests -> one write    (a thread's whole loop)
//!   connection  one socket: its slots, each with one request under way
//!   request     the bytes of a request, from a template
//!   window      which replies count; histogram and counters
//! report     a table for people, one JSON object for programs
//! ```
//! Load and node often share a machine, so what is spent here is missing there: requests are patched templates, a
//! read takes all replies that are there, and what they free leaves with one write.

mod connect;
mod connection;
mod drive;
mod options;
mod random;
pub mod report;
mod request;
mod window;

#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use seawall::message::HelloReply;

use connect::Connected;
use drive::Thread;
pub use options::{Options, Workload};
pub use window::Tally;
use window::Window;

/// How long requests that are under way at the end may take until they count as unanswered.
const DRAIN: Duration = Duration::from_secs(10);

/// No node could be spoken to: nothing was measured.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreachable(pub String);

/// What a run came to.
#[derive(Debug)]
pub struct Result {
    pub tally: Tally,
    /// What the node said about itself.
    pub node: HelloReply,
}

/// What the command exits with: 0 done, 1 errors happened, 3 unreachable. (2 is wrong usage, before any run.)
pub fn exit_code(run: &std::result::Result<Result, Unreachable>) -> u8 {
    match run {
        Ok(result) => u8::from(result.tally.errors > 0),
        Err(Unreachable(_)) => 3,
    }
}

/// Makes the load that `options` ask for and waits for its end.
pub fn run(options: &Options) -> std::result::Result<Result, Unreachable> {
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        connections.push(connect::connect(&options.connect)?);
    }
    let node = connections[0].node.clone();
    let begin = Instant::now();
    let window = Window::after(options.warmup, options.seconds);
    let done = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = mpsc::channel();
    let shares = shares(connections, options.threads);
    let threads = shares.len();
    for (number, share) in shares.into_iter().enumerate() {
        let thread = Thread::new(options, number as u64, share, begin, window, Arc::clone(&done));
        let thread = thread.map_err(|error| Unreachable(format!("no readiness queue: {error}")))?;
        let sender = sender.clone();
        std::thread::spawn(move || {
            let _ = sender.send(thread.run()); // who waits for it does so until all threads ended
        });
    }
    drop(sender);
    Ok(Result { tally: collect(&receiver, threads, &done, begin), node })
}

/// Deals the connections out to the threads; no thread without one.
fn shares(connections: Vec<Connected>, threads: usize) -> Vec<Vec<Connected>> {
    let threads = threads.min(connections.len());
    let mut shares: Vec<Vec<Connected>> = (0..threads).map(|_| Vec::new()).collect();
    for (n, connection) in connections.into_iter().enumerate() {
        shares[n % threads].push(connection);
    }
    shares
}

/// Adds up what the threads found; shows the progress if somebody watches.
fn collect(receiver: &Receiver<Tally>, threads: usize, done: &AtomicU64, begin: Instant) -> Tally {
    let watched = std::io::stderr().is_terminal();
    let wait = if watched { Duration::from_secs(1) } else { Duration::MAX };
    let (mut tally, mut before, mut ended) = (Tally::default(), 0, 0);
    loop {
        match receiver.recv_timeout(wait) {
            Ok(part) => {
                tally.add(part);
                ended += 1;
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let now = done.load(Ordering::Relaxed);
                let seconds = begin.elapsed().as_secs();
                let _ = write!(std::io::stderr(), "\r{seconds:>4} s  {:>9} /s \x1b[K", now - before);
                before = now;
            }
        }
    }
    if watched {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    if ended < threads {
        tally.failed((threads - ended) as u64, || "a thread of the load panicked".to_owned());
    }
    tally
}
