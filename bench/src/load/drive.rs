//! One thread of the load: waits until sockets are ready, and turns each.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::connect::Connected;
use super::connection::{Connection, Lost, Shared};
use super::options::Options;
use super::request::Requests;
use super::window::{Nanos, Tally, Window, nanos};
use super::{DRAIN, window};

/// Bytes that one read may bring: some thousand replies to a put.
const SCRATCH: usize = 256 << 10;
/// Sockets that one wake-up may report; one that is left out is reported by the next.
const EVENTS: usize = 1024;

pub struct Thread {
    poll: Poll,
    /// `None`: lost.
    connections: Vec<Option<Connection>>,
    shared: Shared,
    begin: Instant,
    /// What all threads did, for whoever watches.
    progress: Arc<AtomicU64>,
}

impl Thread {
    /// `number` makes the rows that this thread asks for its own sequence; `begin` is where `window` counts from.
    pub fn new(
        options: &Options,
        number: u64,
        connected: Vec<Connected>,
        begin: Instant,
        window: Window,
        progress: Arc<AtomicU64>,
    ) -> std::io::Result<Thread> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for (n, connected) in connected.into_iter().enumerate() {
            let mut connection = Connection::new(connected, options.pipeline);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut connection.socket, Token(n), interest)?;
            connections.push(Some(connection));
        }
        let shared = Shared {
            requests: Requests::new(options, number),
            tally: Tally::default(),
            window,
            scratch: vec![0; SCRATCH],
            asking: true,
        };
        Ok(Thread { poll, connections, shared, begin, progress })
    }

    /// Asks until the window ends, then waits for what is under way.
    pub fn run(mut self) -> Tally {
        let mut events = Events::with_capacity(EVENTS);
        let mut now = self.now();
        for n in 0..self.connections.len() {
            self.turn(n, |connection, shared| connection.begin(shared, now));
        }
        let last = self.shared.window.until + nanos(DRAIN);
        loop {
            self.shared.asking = now < self.shared.window.until;
            let done = !self.shared.asking && self.under_way() == 0;
            if done || now >= last || self.connections.iter().all(Option::is_none) {
                break;
            }
            let until = if self.shared.asking { self.shared.window.until } else { last };
            match self.poll.poll(&mut events, Some(Duration::from_nanos(until - now))) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    self.shared.tally.failed(1, || format!("waiting for sockets failed: {error}"));
                    break;
                }
                _ => {}
            }
            now = self.now();
            self.shared.asking = now < self.shared.window.until;
            let before = self.shared.tally.done_ever;
            events.iter().for_each(|event| self.event(event, now));
            self.progress.fetch_add(self.shared.tally.done_ever - before, Ordering::Relaxed);
        }
        let unanswered = self.under_way() as u64;
        if unanswered > 0 {
            let why = || format!("{unanswered} requests were not answered within {} s", DRAIN.as_secs());
            self.shared.tally.failed(unanswered, why);
        }
        self.shared.tally
    }

    fn event(&mut self, event: &Event, now: Nanos) {
        let hung_up = event.is_read_closed() || event.is_error();
        let readable = event.is_readable() || hung_up;
        self.turn(event.token().0, |connection, shared| {
            if readable {
                connection.readable(shared, now, hung_up)?;
            }
            connection.flush()
        });
    }

    /// A connection that fails is closed; what it had under way is unknown.
    fn turn(&mut self, n: usize, work: impl FnOnce(&mut Connection, &mut Shared) -> Result<(), Lost>) {
        let Some(connection) = &mut self.connections[n] else { return };
        if let Err(Lost(why)) = work(connection, &mut self.shared) {
            let unknown = connection.under_way();
            let why = || format!("a connection was lost with {unknown} requests under way: {why}");
            self.shared.tally.failed(unknown as u64, why);
            self.connections[n] = None;
        }
    }

    fn under_way(&self) -> usize {
        self.connections.iter().flatten().map(Connection::under_way).sum()
    }

    fn now(&self) -> Nanos {
        window::nanos(self.begin.elapsed())
    }
}
