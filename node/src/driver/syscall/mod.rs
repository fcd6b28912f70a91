//! The driver for hosts where io_uring is blocked: plain system calls, with one wait point as well.
//!
//! ```text
//! poll.rs     epoll: what woke the worker                lanes.rs  the threads that work for it, and what they ended
//! sockets.rs  connections, tried when they are ready     disk.rs   one log operation as system calls
//! accept.rs   where they come from                       files.rs  open log files
//! ```
//!
//! The worker's thread never waits for a disk or a peer anywhere but in epoll. Sockets do not block. A log operation
//! moves, with its buffer, to a thread that may wait for the disk, and comes back through a queue and a bell.

mod accept;
mod disk;
mod files;
mod lanes;
mod poll;
mod sockets;

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use super::connections::Connections;
use super::either::DriverConfig;
use seawall::map::ShardId;
use seawall_wal::FileId;

use crate::params;
use crate::seam::{ConnId, Effect, Event};

use accept::Accepting;
use files::LogFiles;
use lanes::Lanes;
use poll::{Poller, Source};
use sockets::Connection;

/// One worker's driver. It belongs to the thread that built it.
pub struct Syscall {
    config: DriverConfig,
    poller: Poller,
    files: LogFiles,
    lanes: Lanes,
    connections: Connections<Connection>,
    /// Connections of which an operation may be able to go on.
    due: Vec<ConnId>,
    accepting: Accepting,
    /// Events that were not reaped yet.
    ready: Vec<Event>,
    next_tick: Option<Instant>,
    ticks: u64,
    waits: u64,
}

impl Syscall {
    /// The threads that it starts stay on the CPU of the calling thread: they wait for the disk and compute nothing.
    pub fn new(config: DriverConfig) -> io::Result<Self> {
        let poller = Poller::new()?;
        let lanes = Lanes::start(config.shards)?;
        poller.watch(lanes.bell().as_raw_fd(), Source::Lanes)?;
        Ok(Self {
            poller,
            files: LogFiles::default(),
            lanes,
            connections: Connections::new(config.connections),
            config,
            due: Vec::new(),
            accepting: Accepting::default(),
            ready: Vec::new(),
            next_tick: None,
            ticks: 0,
            waits: 0,
        })
    }

    pub fn execute(&mut self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Receive { conn, buf, from } => self.receive(conn, buf, from),
            Effect::Send { conn, buf, from } => self.send(conn, buf, from),
            Effect::Close { conn } => self.close(conn),
            Effect::Disk { shard, io } => self.disk(shard, io),
            other => return Some(other),
        }
        None
    }

    /// Lets go of a file whose name goes away.
    pub fn forget(&mut self, shard: ShardId, file: FileId) {
        self.files.shard(shard).forget(file);
    }

    pub fn reap(&mut self, events: &mut Vec<Event>) {
        events.append(&mut self.ready);
    }

    pub fn wait(&mut self) {
        self.try_due();
        let timeout = if self.ready.is_empty() { self.until_tick() } else { Some(Duration::ZERO) };
        self.poll(timeout);
    }

    pub fn submit(&mut self) {
        self.try_due();
        self.poll(Some(Duration::ZERO));
    }

    fn poll(&mut self, timeout: Option<Duration>) {
        self.waits += 1;
        for at in 0..self.poller.wait(timeout) {
            match self.poller.happened(at) {
                // Its ringing ended the sleep, and that is all it is for: what it tells of is looked for anyway.
                (Source::Bell | Source::Lanes, _) => {}
                (Source::Listener, _) => self.accept(),
                (Source::Connection(conn), readiness) => self.became_ready(conn, readiness),
            }
        }
        self.try_due();
        self.take_ended();
        self.tick();
    }

    pub fn enters(&self) -> u64 {
        self.waits
    }

    /// Operations that were started and have not ended.
    pub fn under_way(&self) -> usize {
        let sockets = self.connections.iter().map(|(_, connection)| connection.under_way());
        sockets.sum::<usize>() + self.lanes.under_way()
    }

    /// The bell is never read: each ring is a new edge.
    pub fn listen_to_bell(&mut self, bell: RawFd) {
        self.poller.watch(bell, Source::Bell).expect("an eventfd can be watched");
    }

    pub fn start_ticking(&mut self) {
        self.next_tick = Some(Instant::now() + TICK);
    }

    fn until_tick(&self) -> Option<Duration> {
        Some(self.next_tick?.saturating_duration_since(Instant::now()))
    }

    fn tick(&mut self) {
        if self.next_tick.is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.start_ticking();
        self.ticks += 1;
        self.ready.push(Event::Tick);
        if self.accepting.admission.ticked() {
            self.watch_listener();
        }
    }

    /// Closes all connections, waits until the log's threads gave everything back, and ends them. A thread that is
    /// stuck in the kernel stays behind with the buffers that it has.
    pub fn finish(&mut self) -> bool {
        self.stop_accepting();
        self.close_all();
        if self.next_tick.is_none() {
            self.start_ticking(); // the clock of this loop
        }
        let patience = self.ticks + u64::from(params::DRAIN_TICKS);
        while self.lanes.under_way() > 0 && self.ticks < patience {
            self.ready.clear();
            self.wait();
        }
        self.ready.clear();
        let all_back = self.lanes.under_way() == 0;
        if all_back {
            self.lanes.end();
        }
        all_back
    }
}

const TICK: Duration = Duration::from_millis(params::TICK_MS);
