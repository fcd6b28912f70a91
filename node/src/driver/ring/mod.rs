//! The io_uring driver: one raw ring for the sockets and the logs of one worker, with one wait point.
//!
//! The worker's thread pushes operations, enters the kernel once a turn, and sleeps there. It never waits for a disk
//! or a peer anywhere else.
//!
//! ```text
//! queue.rs    the shared queues and io_uring_enter      files.rs    registered log files and buffers
//! disk.rs     log writes, their flush, reads            prepare.rs  making a slot: zeros, flush, name
//! ahead.rs    what a recovery reads next
//! sockets.rs  connections, what they send               accept.rs   where they come from, and when not
//! receive.rs  what they receive, one-shot or multishot  provided.rs the buffers of multishot receives
//! ```

mod accept;
mod ahead;
mod disk;
mod files;
mod prepare;
pub(in crate::driver) mod provided;
pub(in crate::driver) mod queue;
mod receive;
mod sockets;

use std::io;
use std::os::fd::RawFd;

use io_uring::{cqueue, opcode, types};
use seawall::map::ShardId;
use seawall_wal::{Buffer, FileId};

use super::choice::Receive;
use super::connections::Connections;
use super::either::DriverConfig;
use super::probe::Durable;
use super::probe::watch::{Clustered, Watch};
use super::table::{CANCELLATION, Key, Operation, Part, Table};
use crate::params;
use crate::seam::{Effect, Event};

use accept::Accepting;
use ahead::Ahead;
use files::LogFiles;
use provided::Provided;
use queue::Queue;
use sockets::{Connection, Silent};

/// One worker's ring. It belongs to the thread that built it.
pub struct Ring {
    queue: Queue,
    table: Table,
    config: DriverConfig,
    files: LogFiles,
    connections: Connections<Connection>,
    /// For multishot receives.
    provided: Option<Provided>,
    silent: Silent,
    /// Log writes under way.
    writes: usize,
    /// While writes use RWF_DSYNC.
    watch: Option<Watch>,
    gave_up_dsync: Option<Clustered>,
    accepting: Accepting,
    ahead: Ahead,
    /// The zeros that a slot is filled with; the kernel only reads them.
    zeros: Buffer,
    /// Events that needed no completion.
    ready: Vec<Event>,
    /// Reused to arm them again.
    bell: Option<(RawFd, Key)>,
    tick: Option<Key>,
    ticks: u64,
    draining: bool,
}

impl Ring {
    /// Must be called on the thread that will use it.
    pub fn new(config: DriverConfig) -> io::Result<Self> {
        let queue = Queue::new(params::SUBMISSION_ENTRIES, params::completion_entries(config.shards))?;
        let files = LogFiles::new(&queue, config.shards, config.slots_per_shard)?;
        let provided = match config.receive {
            Receive::OneShot => None,
            Receive::Multishot { buffers } => {
                Some(Provided::new(&queue, buffers, params::RECEIVE_BUFFER_BYTES)?)
            }
        };
        Ok(Self {
            queue,
            table: Table::default(),
            watch: (config.durable == Durable::Dsync).then(|| Watch::new(config.tick_us)),
            gave_up_dsync: None,
            connections: Connections::new(config.connections),
            provided,
            silent: Silent::default(),
            writes: 0,
            accepting: Accepting::default(),
            ahead: Ahead::default(),
            config,
            files,
            zeros: Buffer::new(u16::MAX, params::ZERO_FILL_BYTES),
            ready: Vec::new(),
            bell: None,
            tick: None,
            ticks: 0,
            draining: false,
        })
    }

    /// Starts the operation that `effect` asks for, or gives back an effect that is not the ring's business.
    /// Nothing reaches the kernel before [`Ring::wait`] or [`Ring::submit`].
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
        self.files.shard(shard).forget(&self.queue, file);
    }

    /// Turns everything that completed into events, in the order of completion.
    pub fn reap(&mut self, events: &mut Vec<Event>) {
        events.append(&mut self.ready);
        if self.queue.is_settled() {
            self.silent.settle();
        }
        while let Some(entry) = self.queue.pop() {
            if entry.user_data() == CANCELLATION {
                continue;
            }
            let (key, part) = Key::parse(entry.user_data());
            self.complete(key, part, entry.result(), entry.flags(), events);
        }
        self.silence_is_success(events);
        events.append(&mut self.ready);
    }

    /// Submits, and sleeps until at least one operation ended. Does not sleep on an event that is already here.
    pub fn wait(&mut self) {
        let completions = if self.ready.is_empty() { 1 } else { 0 };
        self.queue.enter(completions);
    }

    /// Submits without sleeping.
    pub fn submit(&mut self) {
        self.queue.enter(0);
    }

    /// Why this ring went from RWF_DSYNC to the link since it was last asked; at most once in its life.
    pub fn take_switch(&mut self) -> Option<Clustered> {
        self.gave_up_dsync.take()
    }

    /// How often the kernel was entered; a measure.
    pub fn enters(&self) -> u64 {
        self.queue.enters
    }

    /// How many completions were reaped; a measure.
    pub fn completions(&self) -> u64 {
        self.queue.completions
    }

    /// How many operations were given to the kernel; a measure.
    pub fn submissions(&self) -> u64 {
        self.queue.submissions
    }

    /// How writes are made durable by now.
    pub fn durable(&self) -> Durable {
        self.config.durable
    }

    /// How many operations the kernel is busy with.
    pub fn under_way(&self) -> usize {
        self.table.len()
    }

    fn complete(&mut self, key: Key, part: Part, result: i32, flags: u32, events: &mut Vec<Event>) {
        match self.table.get_mut(key) {
            Operation::Write(_) => self.write_completed(key, part, result, events),
            Operation::Read { .. } => self.read_completed(key, result, events),
            Operation::ReadAhead { .. } => self.part_read(key, result),
            Operation::Prepare(_) => self.prepare_completed(key, result, events),
            Operation::Receive { .. } => self.received_once(key, result, events),
            Operation::ReceiveMany { .. } => self.received_many(key, result, flags, events),
            Operation::Send { .. } => self.sent(key, result, events),
            Operation::Accept { .. } => self.accept_completed(key, result, cqueue::more(flags), events),
            Operation::Bell(_) => self.bell_rang(key, result),
            Operation::Tick(_) => self.ticked(key, events),
        }
    }

    /// From now on whoever writes `bell`, an eventfd, ends the sleep.
    pub fn listen_to_bell(&mut self, bell: RawFd) {
        let mut counter = Box::new(0u64);
        let target = (&raw mut *counter).cast::<u8>();
        let key = self.table.insert(Operation::Bell(counter));
        let entry =
            opcode::Read::new(types::Fd(bell), target, 8).build().user_data(key.user_data(Part::Main));
        // SAFETY: `target` is the boxed counter that the table owns until this read's completion.
        unsafe { self.queue.push(entry) };
        self.bell = Some((bell, key));
    }

    fn bell_rang(&mut self, key: Key, result: i32) {
        self.table.remove(key);
        let Some((bell, _)) = self.bell.take() else { return };
        if !self.draining {
            assert_eq!(result, 8, "reading the wake-up eventfd failed");
            self.listen_to_bell(bell);
        }
    }

    /// Reports `Event::Tick` after each `TICK_MS`.
    pub fn start_ticking(&mut self) {
        let period = std::time::Duration::from_millis(params::TICK_MS);
        let time = Box::new(types::Timespec::from(period));
        let address = &raw const *time;
        let key = self.table.insert(Operation::Tick(time));
        let entry = opcode::Timeout::new(address).build().user_data(key.user_data(Part::Main));
        // SAFETY: `address` is the boxed time that the table owns until this timeout's completion.
        unsafe { self.queue.push(entry) };
        self.tick = Some(key);
    }

    fn ticked(&mut self, key: Key, events: &mut Vec<Event>) {
        self.table.remove(key);
        self.ticks += 1;
        events.push(Event::Tick);
        if self.tick.take().is_some() {
            self.start_ticking();
        }
        if self.accepting.admission.ticked() {
            self.arm_accept();
        }
    }

    /// Ends what has no end of its own, closes all connections, and waits until the kernel gave everything back.
    /// `false` when it keeps something for too long; its memory is then given up.
    pub fn finish(&mut self) -> bool {
        self.draining = true;
        if let Some((_, key)) = self.bell {
            self.queue.cancel(key.user_data(Part::Main));
        }
        self.stop_accepting();
        self.close_all();
        if self.tick.is_none() {
            self.start_ticking(); // the clock of this loop
        }
        let patience = self.ticks + u64::from(params::DRAIN_TICKS);
        let mut dropped = Vec::new();
        while self.table.len() > 0 && self.ticks < patience {
            if self.table.len() == 1
                && let Some(key) = self.tick.take()
            {
                self.queue.cancel(key.user_data(Part::Main));
            }
            self.wait();
            self.reap(&mut dropped);
            dropped.clear();
        }
        self.table.len() == 0
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.table.len() > 0 {
            // The kernel may still touch this memory after the ring is gone, and nobody will learn when it stops.
            self.table.leak();
            std::mem::forget(self.provided.take());
            std::mem::forget(std::mem::replace(&mut self.zeros, Buffer::new(0, seawall_wal::BLOCK)));
        }
    }
}
