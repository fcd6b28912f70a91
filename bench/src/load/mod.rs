//! The load generator: a closed or an open loop over many connections.
//!
//! ```text
//! fill       puts the rows that the load wants to find
//! connect    HELLO on every connection, blocking, before anything is measured
//! drive      one thread: readiness -> replies -> tally -> new requests -> one write    (a thread's whole loop)
//!   connection  one socket: its slots, each with one request under way
//!   pace        when requests are due;  alarm: wakes the thread then
//!   request     the bytes of a request, from a template;  random: which row;  rows: where it lives
//!   check       whether an answer is one to what was asked
//!   window      what counts; histogram and counters
//! report     a table for people, one JSON object for programs;  page: charts
//! ```
//! Load and node often share a machine, so what is spent here is missing there: requests are patched templates, a
//! read takes all replies that are there, and what they free leaves with one write.

mod alarm;
mod check;
mod connect;
mod connection;
mod drive;
mod fill;
mod options;
mod pace;
pub mod page;
mod random;
pub mod report;
mod request;
mod rows;
mod window;

#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use seawall::message::HelloReply;

use connect::Connected;
use drive::{Progress, Run, Thread};
pub use options::{Dist, Options, Workload};
pub use window::Tally;
use window::{Window, fault};

/// How long requests that are under way at the end may take until they count as unanswered.
const DRAIN: Duration = Duration::from_secs(10);

/// No node could be spoken to, or it has not what the load wants to find: nothing was measured.
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
        // Where every request failed nothing was measured, however certain it is that nothing was done.
        Ok(Result { tally, .. }) => {
            u8::from(tally.serious > 0 || (tally.done_ever == 0 && tally.error_count() > 0))
        }
        Err(Unreachable(_)) => 3,
    }
}

/// Makes the load that `options` ask for and waits for its end.
pub fn run(options: &Options) -> std::result::Result<Result, Unreachable> {
    if options.fills() {
        fill::fill(options)?;
    }
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        connections.push(connect::connect(&options.connect)?);
    }
    let node = connections[0].node.clone();
    let run = Run {
        begin: Instant::now(),
        window: Window::after(options.warmup, options.seconds),
        number: request::run_number(),
        progress: Arc::default(),
    };
    let (sender, receiver) = mpsc::channel();
    let shares = shares(connections, options.threads);
    let threads = shares.len();
    for (number, share) in shares.into_iter().enumerate() {
        let thread = Thread::new(options, number as u64, share, run.clone());
        let thread = thread.map_err(|error| Unreachable(format!("no readiness queue: {error}")))?;
        let sender = sender.clone();
        std::thread::spawn(move || {
            let _ = sender.send(thread.run()); // who waits for it does so until all threads ended
        });
    }
    drop(sender);
    let mut tally = collect(&receiver, threads, &run.progress, run.begin);
    let all_answered = tally.serious == 0;
    if let Some(why) = tally.sums.complaint().filter(|_| all_answered) {
        tally.failed(fault::WRONG_ANSWER, 1, || why);
    }
    Ok(Result { tally, node })
}

/// Deals the connections out to the threads, each with its place among all; no thread without one.
fn shares(connections: Vec<Connected>, threads: usize) -> Vec<Vec<(usize, Connected)>> {
    let threads = threads.min(connections.len());
    let mut shares: Vec<Vec<(usize, Connected)>> = (0..threads).map(|_| Vec::new()).collect();
    for (place, connection) in connections.into_iter().enumerate() {
        shares[place % threads].push((place, connection));
    }
    shares
}

/// Adds up what the threads found; shows the progress if somebody watches.
fn collect(receiver: &Receiver<Tally>, threads: usize, progress: &Progress, begin: Instant) -> Tally {
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
                let done = progress.done.load(Ordering::Relaxed);
                let errors = progress.errors.load(Ordering::Relaxed);
                let line = progress_line(begin.elapsed().as_secs(), done - before, errors);
                let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
                before = done;
            }
        }
    }
    if watched {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    if ended < threads {
        let why = || "a thread of the load panicked".to_owned();
        tally.failed(fault::TOOL_FAILED, (threads - ended) as u64, why);
    }
    tally
}

fn progress_line(seconds: u64, done: u64, errors: u64) -> String {
    let errors = if errors == 0 { String::new() } else { format!("  {errors} errors") };
    format!("{seconds:>4} s  {done:>9} /s{errors} ")
}
