//! One thread of the load: waits until sockets are ready or requests are due, and turns each connection.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::DRAIN;
use super::alarm::Alarm;
use super::check::Expected;
use super::connect::Connected;
use super::connection::{Connection, Lost, Shared};
use super::options::Options;
use super::pace::Timetable;
use super::request::Requests;
use super::window::{Nanos, Tally, Window, fault, nanos};

/// Bytes that one read may bring: some thousand replies to a put, and more than the largest page of a scan.
const SCRATCH: usize = 8 << 20;
/// Sockets that one wake-up may report; one that is left out is reported by the next.
const EVENTS: usize = 1024;
const ALARM: Token = Token(usize::MAX);

pub struct Thread {
    poll: Poll,
    /// `None`: lost.
    connections: Vec<Option<Connection>>,
    /// When they have something to send next; only an open loop has one.
    alarm: Option<Alarm>,
    shared: Shared,
    run: Run,
}

/// What all threads of a run share.
#[derive(Clone, Debug)]
pub struct Run {
    /// Where `window` counts from.
    pub begin: Instant,
    pub window: Window,
    /// Another one for each run.
    pub number: u64,
    /// What was done and what failed, for whoever watches.
    pub progress: Arc<Progress>,
}

#[derive(Debug, Default)]
pub struct Progress {
    pub done: AtomicU64,
    pub errors: AtomicU64,
}

impl Thread {
    /// `number` makes the rows that this thread asks for its own sequence. Each connection has its place among all.
    pub fn new(
        options: &Options,
        number: u64,
        connected: Vec<(usize, Connected)>,
        run: Run,
    ) -> std::io::Result<Thread> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for (n, (place, connected)) in connected.into_iter().enumerate() {
            let requests_per_s = options.rate.map(|rate| rate / options.many as f64);
            let timetable = requests_per_s
                .map(|rate| Timetable::new(rate, place as u64, options.connections as u64, run.window.until));
            let size = (options.pipeline, options.many);
            let mut connection = Connection::new(connected, place as u64, size, timetable);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut connection.socket, Token(n), interest)?;
            connections.push(Some(connection));
        }
        let alarm = match options.rate {
            Some(_) => Some(Alarm::new(connections.len(), poll.registry(), ALARM)?),
            None => None,
        };
        let shared = Shared {
            requests: Requests::new(options, run.number, number),
            expected: Expected { filled: options.fills().then_some(options.keys) },
            tally: Tally::default(),
            window: run.window,
            scratch: vec![0; SCRATCH],
            asking: true,
        };
        Ok(Thread { poll, connections, alarm, shared, run })
    }

    /// Asks until the window ends, then waits for what is under way.
    pub fn run(mut self) -> Tally {
        let now = self.now();
        (0..self.connections.len()).for_each(|n| self.turn(n, now, |_, _| Ok(())));
        self.turns(now);
        let unanswered = self.under_way() as u64;
        if unanswered > 0 {
            let why = || format!("{unanswered} operations were not answered within {} s", DRAIN.as_secs());
            self.shared.tally.failed(fault::NO_ANSWER, unanswered, why);
        }
        let Shared { tally, window, .. } = &mut self.shared;
        self.connections.iter_mut().flatten().for_each(|connection| connection.give_up(*window, tally));
        self.shared.tally
    }

    fn turns(&mut self, mut now: Nanos) {
        let mut events = Events::with_capacity(EVENTS);
        let last = self.shared.window.until + nanos(DRAIN);
        loop {
            self.shared.asking = now < self.shared.window.until;
            let done = !self.shared.asking && self.under_way() == 0;
            if done || now >= last || self.connections.iter().all(Option::is_none) {
                return;
            }
            let until = if self.shared.asking { self.shared.window.until } else { last };
            let armed = self.alarm.as_mut().map_or(Ok(()), |alarm| alarm.arm(self.run.begin));
            let waited =
                armed.and_then(|()| self.poll.poll(&mut events, Some(Duration::from_nanos(until - now))));
            match waited {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    let why = || format!("waiting for sockets failed: {error}");
                    return self.shared.tally.failed(fault::TOOL_FAILED, 1, why);
                }
                _ => {}
            }
            now = self.now();
            self.shared.asking = now < self.shared.window.until;
            let before = (self.shared.tally.done_ever, self.shared.tally.error_count());
            events.iter().filter(|event| event.token() != ALARM).for_each(|event| self.event(event, now));
            while let Some(n) = self.alarm.as_mut().and_then(|alarm| alarm.rings(now)) {
                self.turn(n, now, |_, _| Ok(()));
            }
            let progress = &self.run.progress;
            progress.done.fetch_add(self.shared.tally.done_ever - before.0, Ordering::Relaxed);
            progress.errors.fetch_add(self.shared.tally.error_count() - before.1, Ordering::Relaxed);
        }
    }

    fn event(&mut self, event: &Event, now: Nanos) {
        let hung_up = event.is_read_closed() || event.is_error();
        let readable = event.is_readable() || hung_up;
        self.turn(event.token().0, now, |connection, shared| match readable {
            true => connection.readable(shared, now, hung_up),
            false => Ok(()),
        });
    }

    /// Does `work` on a connection, sends what it may send now, and sees to it that it sends the next in time. One
    /// that fails is closed; what it had under way is unknown.
    fn turn(
        &mut self,
        n: usize,
        now: Nanos,
        work: impl FnOnce(&mut Connection, &mut Shared) -> Result<(), Lost>,
    ) {
        let Some(connection) = &mut self.connections[n] else { return };
        let turned = work(connection, &mut self.shared).and_then(|()| {
            connection.ask(&mut self.shared, now);
            connection.flush()
        });
        let Err(Lost(why)) = turned else {
            // What is due already waits for an answer to make room.
            if let (Some(alarm), Some(due)) =
                (&mut self.alarm, connection.next_due().filter(|due| *due > now))
            {
                alarm.set(n, due);
            }
            return;
        };
        let unknown = connection.under_way();
        let why = || format!("a connection was lost with {unknown} operations under way: {why}");
        self.shared.tally.failed(fault::CONNECTION_LOST, unknown as u64, why);
        connection.give_up(self.shared.window, &mut self.shared.tally);
        self.connections[n] = None;
    }

    fn under_way(&self) -> usize {
        self.connections.iter().flatten().map(Connection::under_way).sum()
    }

    fn now(&self) -> Nanos {
        nanos(self.run.begin.elapsed())
    }
}
