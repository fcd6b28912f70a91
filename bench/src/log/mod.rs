//! The log alone: a writer that never pauses, on the node's driver, without sockets and without a shard.
//!
//! ```text
//! for each batch size:   pilot -> prepare a pool of segments -> warm up -> measure -> count workqueue events -> recover
//! writer      full batches, one after the other; when each was durable
//! workqueue   what the kernel does on threads of its own
//! device      what the disk wrote
//! report      a table for people, one JSON object a batch size for programs
//! ```
//! A *commit* is one durable batch here. Segments are prepared before the window, so that rolling them is measured
//! and filling them with zeros is not.

mod device;
mod options;
pub mod report;
mod workqueue;
mod writer;

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use seawall_node::driver::engine::{Engine, EngineConfig, EngineError, Recovered};
use seawall_node::driver::probe::{self, Probe};
use seawall_wal::LogLimits;
use seawall_wal::checkpoint::FoldPolicy;

use device::Device;
pub use options::{Driver, Durable, Options};
use workqueue::Counting;
use writer::{Tally, Until, Writer};

/// Long enough to know how fast this disk takes such batches.
const PILOT: Duration = Duration::from_millis(300);
/// The least that a pool has; the pilot has no more.
const SLOTS_MIN: u64 = 16;
const WARMUP: Duration = Duration::from_millis(200);
/// A window of its own, because tracing costs something.
const COUNTING: Duration = Duration::from_millis(300);
/// A disk may be this much faster than in the pilot.
const MARGIN: f64 = 1.5;

/// Why there is no figure: what, where, what to do.
#[derive(Debug)]
pub struct Stopped(pub String);

/// What came of one batch size.
#[derive(Debug)]
pub struct Outcome {
    pub batch_bytes: usize,
    pub tally: Tally,
    /// The window ended early because the pool was used up.
    pub pool_used_up: bool,
    pub durable: &'static str,
    pub direct: bool,
    /// Events for each commit, or why they were not counted.
    pub workqueue: Result<f64, String>,
    pub recovery: Option<Recovery>,
    /// What the disk under the directory wrote meanwhile, whoever asked for it; `None`: the kernel does not say.
    pub device_bytes: Option<u64>,
}

/// The same log, read back from the disk.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// Everything that was read, the prepared segments that were not used included.
    pub bytes: u64,
    pub records: u64,
    pub us: u64,
}

/// Measures each batch size, and hands over what came of it.
pub fn run(options: &Options, mut each: impl FnMut(&Outcome)) -> Result<(), Stopped> {
    claim(&options.dir)?;
    let probe = probe::probe(&options.dir, options.durable.wanted()).map_err(EngineError::from)?;
    let run = Run { options, probe };
    for &batch_bytes in &options.batch {
        let path = options.dir.join(format!("batch-{batch_bytes}"));
        let outcome = measure(&run, batch_bytes, &path);
        let cleared = clear(&path);
        each(&outcome?);
        cleared?;
    }
    Ok(())
}

/// What all batch sizes have in common.
struct Run<'a> {
    options: &'a Options,
    probe: Probe,
}

fn measure(run: &Run<'_>, batch_bytes: usize, path: &Path) -> Result<Outcome, Stopped> {
    let options = run.options;
    let say = |what: &str| progress(&format!("{} KiB: {what}", batch_bytes >> 10));
    let limits = limits(options, batch_bytes);
    say("a short run, to know how many segments to prepare");
    let (mut engine, until) = prepared(run, path, &limits, SLOTS_MIN, PILOT)?;
    let pilot = Writer::new(batch_bytes, options.depth).run(&mut engine, until)?;
    engine.close()?;
    clear(path)?;

    let slots = slots_for(options, batch_bytes, &pilot);
    say(&format!("preparing {slots} segments of {} MiB", options.segment));
    let (mut engine, until) = prepared(run, path, &limits, slots, options.seconds)?;
    let mut writer = Writer::new(batch_bytes, options.depth);
    say("warming up");
    let warm = writer.run(&mut engine, Until { time: WARMUP, rolls: until.rolls / 4 })?;
    say(&format!("measuring {} s", options.seconds.as_secs_f64()));
    let left = until.rolls - warm.counts.rolls;
    let device = Device::under(path);
    let before = device.as_ref().and_then(Device::written);
    let tally = writer.run(&mut engine, Until { rolls: left - until.rolls / 8, ..until })?;
    let after = device.as_ref().and_then(Device::written);
    let device_bytes = before.zip(after).map(|(before, after)| after - before);
    let left = left - tally.counts.rolls;
    let workqueue = count_workqueue(&mut writer, &mut engine, Until { time: COUNTING, rolls: left })?;
    let pool_used_up = tally.elapsed < options.seconds;
    let (durable, direct) = (run.probe.durable.name(), run.probe.direct.works);
    let recovery = match options.recover {
        true => {
            say("recovering");
            Some(recover(run, path, &limits, engine)?)
        }
        false => engine.close().map(|()| None)?,
    };
    Ok(Outcome { batch_bytes, tally, pool_used_up, durable, direct, workqueue, recovery, device_bytes })
}

/// Enough for all windows at the pilot's pace, within what was allowed.
fn slots_for(options: &Options, batch_bytes: usize, pilot: &Tally) -> u64 {
    let seconds = (options.seconds + WARMUP + COUNTING).as_secs_f64();
    let bytes = pilot.commits_per_s() * batch_bytes as f64 * seconds * MARGIN;
    let most = (options.pool / options.segment) as u64;
    (bytes as u64 / slot_bytes(options) + SLOTS_MIN).min(most).max(SLOTS_MIN)
}

fn slot_bytes(options: &Options) -> u64 {
    (options.segment as u64) << 20
}

fn limits(options: &Options, batch_bytes: usize) -> LogLimits {
    let (default, slot_bytes) = (LogLimits::default(), slot_bytes(options));
    LogLimits {
        batch_bytes,
        writes_in_flight: options.depth,
        slot_bytes,
        small_slot_bytes: default.small_slot_bytes.min(slot_bytes),
        fold: FoldPolicy::NEVER,
        ..default
    }
}

/// A log with a pool of `slots` prepared segments, and how long it can be written without making another.
fn prepared(
    run: &Run<'_>,
    path: &Path,
    limits: &LogLimits,
    slots: u64,
    time: Duration,
) -> Result<(Engine, Until), Stopped> {
    // The log prepares whenever it has fewer spares than it should: first it should have many, then few.
    let many = LogLimits {
        spares: usize::try_from(slots).expect("a pool is bounded"),
        small_slot_bytes: limits.slot_bytes,
        ..*limits
    };
    let mut engine = open(run, path, &many)?;
    loop {
        engine.pump(0);
        if !engine.log().outstanding() {
            break;
        }
        engine.wait()?;
    }
    if let Some(error) = engine.log().prepare_error() {
        let path = path.display();
        return Err(Stopped(format!("{path}: {error}; free some space there, or lower --pool")));
    }
    engine.close()?;
    let engine = open(run, path, limits)?;
    // The window's last batch may roll once more while it is awaited; so may what comes after the window.
    let rolls = slots - (limits.spares as u64 + 3);
    Ok((engine, Until { time, rolls }))
}

fn open(run: &Run<'_>, path: &Path, limits: &LogLimits) -> Result<Engine, Stopped> {
    let slots =
        u32::try_from(limits.spares).expect("a pool is bounded").max(seawall_node::params::SLOTS_PER_SHARD);
    let (driver, probe) = (run.options.driver.kind(), run.probe.clone());
    Ok(Engine::open(path, &EngineConfig { limits: *limits, driver, probe, slots })?)
}

/// The outer error is the log's; the inner one says why nothing was counted.
fn count_workqueue(
    writer: &mut Writer,
    engine: &mut Engine,
    until: Until,
) -> Result<Result<f64, String>, Stopped> {
    let counting = match Counting::begin() {
        Ok(counting) => counting,
        Err(why) => return Ok(Err(why)),
    };
    let before = counting.count();
    let tally = writer.run(engine, until)?;
    let after = counting.count();
    let counted = before.and_then(|before| Ok(after? - before));
    Ok(match tally.commits {
        0 => Err("the pool was used up before".to_owned()),
        _ => counted.map(|events| tally.per_commit(events)),
    })
}

/// Opens the log once more and compares what is found with what was reported durable.
fn recover(run: &Run<'_>, path: &Path, limits: &LogLimits, mut engine: Engine) -> Result<Recovery, Stopped> {
    let durable = engine.log().durable();
    engine.close()?;
    let engine = open(run, path, limits)?;
    let Recovered { report, us, read_bytes } = engine.recovered();
    if report.last != durable {
        let (path, found) = (path.display(), report.last.0);
        return Err(Stopped(format!("{path}: {} records were durable and {found} were found", durable.0)));
    }
    let recovery = Recovery { bytes: *read_bytes, records: report.records, us: *us };
    engine.close()?;
    Ok(recovery)
}

/// What is in the directory at the end is removed, so nothing may be in it at the begin.
fn claim(dir: &Path) -> Result<(), Stopped> {
    fs::create_dir_all(dir).map_err(|e| Stopped(format!("{}: cannot be made: {e}", dir.display())))?;
    let mut entries =
        fs::read_dir(dir).map_err(|e| Stopped(format!("{}: cannot be read: {e}", dir.display())))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => {
            Err(Stopped(format!("{}: is not empty; name a fresh directory with --dir", dir.display())))
        }
    }
}

fn clear(path: &Path) -> Result<(), Stopped> {
    fs::remove_dir_all(path).map_err(|e| Stopped(format!("{}: cannot be removed: {e}", path.display())))
}

/// One line that the next one replaces, if somebody watches.
fn progress(what: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K{what} ");
    }
}

impl From<EngineError> for Stopped {
    fn from(error: EngineError) -> Stopped {
        Stopped(error.to_string())
    }
}
