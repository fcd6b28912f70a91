//! Either driver behind one door. What a call promises stands here, once, and both keep it.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::RawFd;
use std::sync::Arc;

use seawall::map::ShardId;
use seawall_wal::{Buffer, FileId, Io};

use super::choice::{Kind, Receive};
use super::clock;
use super::directory::ShardDirectory;
use super::pace::Traffic;
use super::probe::Durable;
use super::probe::watch::Clustered;
use super::ring::Ring;
use super::syscall::Syscall;
use crate::params;
use crate::seam::{ConnId, Effect, Event, LogFound};

/// What a driver is built for.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    pub kind: Kind,
    pub shards: u32,
    pub durable: Durable,
    /// Whether log files are opened with O_DIRECT.
    pub direct: bool,
    pub connections: u32,
    /// The ring alone has the choice.
    pub receive: Receive,
    pub slots_per_shard: u32,
    /// The time between two scheduler ticks, at which writes with RWF_DSYNC must not end.
    pub tick_us: u64,
    /// What the logs of this node write.
    pub traffic: Arc<Traffic>,
}

impl DriverConfig {
    pub fn new(kind: Kind, shards: u32, durable: Durable, direct: bool) -> Self {
        let (connections, slots_per_shard) = (params::CONNECTIONS_PER_WORKER, params::SLOTS_PER_SHARD);
        let (receive, tick_us) = (Receive::OneShot, clock::tick_us());
        let traffic = Arc::default();
        Self { kind, shards, durable, direct, connections, receive, slots_per_shard, tick_us, traffic }
    }
}

/// What executes the effects of one worker. It belongs to the thread that built it.
pub enum Driver {
    Ring(Box<Ring>),
    Syscall(Box<Syscall>),
}

impl Driver {
    /// Must be called on the thread that will use it.
    pub fn new(config: DriverConfig) -> io::Result<Self> {
        Ok(match config.kind {
            Kind::Ring => Driver::Ring(Box::new(Ring::new(config)?)),
            Kind::Syscall => Driver::Syscall(Box::new(Syscall::new(config)?)),
        })
    }

    /// Opens what stands in the directories. Once, before anything else. The buffers are each log's pool.
    pub fn open_logs(
        &mut self,
        logs: Vec<(ShardDirectory, Vec<Buffer>)>,
    ) -> io::Result<Vec<(ShardId, LogFound)>> {
        match self {
            Driver::Ring(ring) => ring.open_logs(logs),
            Driver::Syscall(syscall) => syscall.open_logs(logs),
        }
    }

    /// From now on whoever writes `bell`, an eventfd, ends the sleep.
    pub fn listen_to_bell(&mut self, bell: RawFd) {
        match self {
            Driver::Ring(ring) => ring.listen_to_bell(bell),
            Driver::Syscall(syscall) => syscall.listen_to_bell(bell),
        }
    }

    /// Reports `Event::Tick` after each `TICK_MS`.
    pub fn start_ticking(&mut self) {
        match self {
            Driver::Ring(ring) => ring.start_ticking(),
            Driver::Syscall(syscall) => syscall.start_ticking(),
        }
    }

    /// Connections are accepted from now on.
    pub fn listen(&mut self, listener: TcpListener) {
        match self {
            Driver::Ring(ring) => ring.listen(listener),
            Driver::Syscall(syscall) => syscall.listen(listener),
        }
    }

    /// Takes a connection that somebody else made, whether there is room for clients or not.
    pub fn adopt(&mut self, stream: TcpStream) -> io::Result<ConnId> {
        match self {
            Driver::Ring(ring) => Ok(ring.adopt(stream)),
            Driver::Syscall(syscall) => syscall.adopt(stream),
        }
    }

    /// Looks for the files of a log again, which has nothing under way, and hands out a new pool of buffers.
    pub fn reopen_log(&mut self, shard: ShardId, buffers: Vec<Buffer>) -> io::Result<LogFound> {
        match self {
            Driver::Ring(ring) => ring.reopen_log(shard, buffers),
            Driver::Syscall(syscall) => syscall.reopen_log(shard, buffers),
        }
    }

    /// Starts the operation that `effect` asks for, or gives back an effect that is not a driver's business.
    /// What needs a system call may wait for the next [`Driver::wait`] or [`Driver::submit`].
    pub fn execute(&mut self, effect: Effect) -> Option<Effect> {
        if let Effect::Disk { shard, io } = &effect
            && io.may_take_long()
        {
            // Whoever executes it may change files.
            if let Driver::Ring(ring) = self {
                ring.forget_ahead(*shard);
            }
            if let Io::Remove { file, .. } = io {
                self.forget(*shard, *file);
            }
            return Some(effect);
        }
        match self {
            Driver::Ring(ring) => ring.execute(effect),
            Driver::Syscall(syscall) => syscall.execute(effect),
        }
    }

    /// Why this worker gave up RWF_DSYNC; said once. The log thread of the other driver waits for its own writes,
    /// and is not watched.
    pub fn take_switch(&mut self) -> Option<Clustered> {
        match self {
            Driver::Ring(ring) => ring.take_switch(),
            Driver::Syscall(_) => None,
        }
    }

    fn forget(&mut self, shard: ShardId, file: FileId) {
        match self {
            Driver::Ring(ring) => ring.forget(shard, file),
            Driver::Syscall(syscall) => syscall.forget(shard, file),
        }
    }

    /// Starts what is due, and sleeps until at least one operation ended. Does not sleep on an event that is
    /// already here.
    pub fn wait(&mut self) {
        match self {
            Driver::Ring(ring) => ring.wait(),
            Driver::Syscall(syscall) => syscall.wait(),
        }
    }

    /// Starts what is due without sleeping, and learns what has ended.
    pub fn submit(&mut self) {
        match self {
            Driver::Ring(ring) => ring.submit(),
            Driver::Syscall(syscall) => syscall.submit(),
        }
    }

    /// Turns everything that ended into events, in the order in which this driver learnt of it.
    pub fn reap(&mut self, events: &mut Vec<Event>) {
        match self {
            Driver::Ring(ring) => ring.reap(events),
            Driver::Syscall(syscall) => syscall.reap(events),
        }
    }

    /// Closes all connections and waits until every operation ended. `false` when one takes too long; it is then
    /// left to itself, with its memory.
    pub fn finish(&mut self) -> bool {
        match self {
            Driver::Ring(ring) => ring.finish(),
            Driver::Syscall(syscall) => syscall.finish(),
        }
    }

    /// How often the wait point was entered; a measure.
    pub fn enters(&self) -> u64 {
        match self {
            Driver::Ring(ring) => ring.enters(),
            Driver::Syscall(syscall) => syscall.enters(),
        }
    }

    /// How many operations have not ended.
    pub fn under_way(&self) -> usize {
        match self {
            Driver::Ring(ring) => ring.under_way(),
            Driver::Syscall(syscall) => syscall.under_way(),
        }
    }
}
