//! One log on one driver, and nothing else: no sockets, no shard, no turn. For those who measure or test the log by
//! itself on the disk that a node would use, in the way that a node would use it.
//!
//! Call order: [`Engine::open`]; append to [`Engine::log`], then [`Engine::pump`]; [`Engine::wait`] sleeps until
//! something is durable; [`Engine::close`] before the directory is opened again.

use std::io;
use std::path::Path;
use std::{fmt, mem};

use seawall::map::ShardId;
use seawall_wal::recover::Report;
use seawall_wal::{Done, Failure, Io, Log, LogId, LogLimits, Progress, Recovery};

use super::choice::Kind;
use super::clock;
use super::directory::{Directory, DirectoryError};
use super::either::{Driver, DriverConfig};
use super::probe::{Placement, Probe};
use crate::seam::{Effect, Event, LogFound};

const SHARD: ShardId = ShardId(1);

#[derive(Clone, Debug)]
pub struct EngineConfig {
    pub limits: LogLimits,
    pub driver: Kind,
    /// What the machine offers: how writes are made durable, and where the thread runs.
    pub probe: Probe,
    /// The most slots that the log may come to have.
    pub slots: u32,
}

/// Why there is no log, or none any more.
#[derive(Debug)]
pub enum EngineError {
    Directory(DirectoryError),
    Start(io::Error),
    Halted(Box<Report>),
    Log(Failure),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Directory(e) => write!(f, "{e}"),
            EngineError::Start(e) => {
                write!(f, "the driver cannot start: {e}; `seawall dev` says what this machine lacks")
            }
            EngineError::Halted(report) => write!(f, "{report}"),
            EngineError::Log(failure) => write!(f, "the log failed: {failure}; open it again to recover it"),
        }
    }
}

impl std::error::Error for EngineError {}

impl From<DirectoryError> for EngineError {
    fn from(e: DirectoryError) -> Self {
        EngineError::Directory(e)
    }
}

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> Self {
        EngineError::Log(failure)
    }
}

/// A running log. It belongs to the thread that opened it.
pub struct Engine {
    log: Log,
    driver: Driver,
    recovered: Recovered,
    prepares: u64,
    /// Reused from call to call.
    ios: Vec<Io>,
    events: Vec<Event>,
    directory: Directory,
}

/// What opening found, and how long that took.
#[derive(Clone, Debug)]
pub struct Recovered {
    pub report: Report,
    /// From the first read to the running log; opening files and looking at the machine is not in it.
    pub us: u64,
    /// What was read for it: the log, and the slots behind it, which must prove to be empty.
    pub read_bytes: u64,
}

impl Engine {
    /// Opens the data directory at `path` or makes it, and recovers its log. The calling thread is pinned where a
    /// node would pin its first worker.
    pub fn open(path: &Path, config: &EngineConfig) -> Result<Self, EngineError> {
        let probe = &config.probe;
        let directory = Directory::open(path, Some(1), 1)?;
        if let Some(cpu) = Placement::new(probe.disk_cpu).cpu(0) {
            let _where_it_may_run = core_affinity::set_for_current(cpu); // a measure is then noisier, not wrong
        }
        let mut driver = DriverConfig::new(config.driver, 1, probe.durable, probe.direct.works);
        driver.slots_per_shard = config.slots;
        let mut driver = Driver::new(driver).map_err(EngineError::Start)?;
        let logs = vec![(directory.shard(SHARD)?, config.limits.buffers())];
        let (_, found) = driver.open_logs(logs).map_err(EngineError::Start)?.remove(0);
        let id = LogId { lineage: directory.lineage().0, shard: SHARD.0 };
        let (log, recovered) = recover(&mut driver, id, config.limits, found)?;
        let (ios, events) = (Vec::new(), Vec::new());
        Ok(Self { log, driver, recovered, prepares: 0, ios, events, directory })
    }

    pub fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Lets the log hand out what can be written now. It reaches the kernel with the next [`Engine::submit`] or
    /// [`Engine::wait`].
    pub fn pump(&mut self, now_us: i64) {
        self.log.pump(now_us, &mut self.ios);
        for io in self.ios.drain(..) {
            self.prepares += u64::from(matches!(io, Io::Prepare { .. }));
            execute(&mut self.driver, io);
        }
    }

    /// Submits without sleeping.
    pub fn submit(&mut self) {
        self.driver.submit();
    }

    /// Submits, sleeps until an operation ended, and gives the log what ended. Only while something is outstanding.
    pub fn wait(&mut self) -> Result<(), EngineError> {
        let mut events = mem::take(&mut self.events);
        self.driver.wait();
        self.driver.reap(&mut events);
        let ended = events.drain(..).try_for_each(|event| self.log.done(done(event)));
        self.events = events;
        Ok(ended?)
    }

    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// How often the wait point was entered; a measure.
    pub fn enters(&self) -> u64 {
        self.driver.enters()
    }

    /// How many slots the log asked to be made; a measure.
    pub fn prepares(&self) -> u64 {
        self.prepares
    }

    /// Waits until the kernel gave everything back, and lets go of the directory. What was appended and not written
    /// is forgotten.
    pub fn close(mut self) -> Result<(), EngineError> {
        while self.log.outstanding() {
            self.wait()?;
        }
        self.driver.finish();
        drop(self.directory);
        Ok(())
    }
}

fn recover(
    driver: &mut Driver,
    id: LogId,
    limits: LogLimits,
    found: LogFound,
) -> Result<(Log, Recovered), EngineError> {
    let begin = clock::now().mono_us;
    let mut recovery = Recovery::new(id, limits, found.files, found.buffers, seawall_wal::Start::Alone);
    let (mut ios, mut events, mut read_bytes) = (Vec::new(), Vec::new(), 0);
    recovery.start(&mut ios);
    loop {
        for io in ios.drain(..) {
            if let Io::Read { len, .. } = io {
                read_bytes += len as u64;
            }
            execute(driver, io);
        }
        driver.wait();
        driver.reap(&mut events);
        for event in events.drain(..) {
            match recovery.done(done(event), &mut ios, &mut |_| ()) {
                Progress::Working => {}
                Progress::Halted(report) => return Err(EngineError::Halted(Box::new(report))),
                Progress::AtRest(..) => unreachable!("a start that is alone takes an epoch"),
                Progress::Recovered(log, report) => {
                    let us = clock::now().mono_us - begin;
                    return Ok((*log, Recovered { report, us, read_bytes }));
                }
            }
        }
    }
}

fn execute(driver: &mut Driver, io: Io) {
    let left = driver.execute(Effect::Disk { shard: SHARD, io });
    assert!(left.is_none(), "a log's operation is a driver's business");
}

fn done(event: Event) -> Done {
    match event {
        Event::Disk { done, .. } => done,
        other => unreachable!("nothing but log operations was asked for, and this came: {other:?}"),
    }
}
