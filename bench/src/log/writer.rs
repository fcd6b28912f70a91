//! A writer that always has a full batch for the log.
//!
//! ```text
//! fill the open batch -> hand it over when a write may fly -> fill the next one meanwhile -> sleep -> what is durable?
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use seawall_node::driver::clock;
use seawall_node::driver::engine::{Engine, EngineError};
use seawall_wal::format::BATCH_HEADER;
use seawall_wal::{Entry, Index, Kind, Space};

const KEY: usize = 32;
const VALUE: [u8; 144] = [b'v'; 144];
/// Bytes of a record with its headers and its key.
pub const RECORD: usize = 200;
const LONGEST_NS: u64 = 60_000_000_000;

/// Records that fit into a batch of so many bytes.
pub fn records_in(batch_bytes: usize) -> u64 {
    ((batch_bytes - BATCH_HEADER) / RECORD) as u64
}

/// When a window ends: whatever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    pub time: Duration,
    /// Beyond these the log would make segments while it is measured.
    pub rolls: u64,
}

/// What happened in one window.
#[derive(Debug)]
pub struct Tally {
    /// Of each commit, in nanoseconds: from the moment the log could take the full batch until it was seen durable.
    pub latencies: Histogram<u64>,
    pub elapsed: Duration,
    pub counts: Counts,
    /// Durable batches.
    pub commits: u64,
}

/// What the engine counts for itself, over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub batches: u64,
    pub batch_bytes: u64,
    pub rolls: u64,
    pub prepares: u64,
    pub enters: u64,
    pub cpu_us: u64,
}

/// Keeps the log busy with batches of one size.
#[derive(Debug)]
pub struct Writer {
    depth: usize,
    /// Records of a full batch, and of the open one.
    full: u64,
    filled: u64,
    /// When the open batch was full and could have been written.
    handed: Option<Instant>,
    /// The last record of each batch under way.
    flights: VecDeque<(Index, Instant)>,
    written: u64,
}

impl Writer {
    /// `depth` is that of the log.
    pub fn new(batch_bytes: usize, depth: usize) -> Writer {
        let full = records_in(batch_bytes);
        Writer { depth, full, filled: 0, handed: None, flights: VecDeque::with_capacity(depth), written: 0 }
    }

    /// Writes until the window ends, then waits for what is under way, which counts no more.
    pub fn run(&mut self, engine: &mut Engine, until: Until) -> Result<Tally, EngineError> {
        let latencies = Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("sensible bounds");
        let mut tally = Tally { latencies, elapsed: Duration::ZERO, counts: Counts::default(), commits: 0 };
        let (begin, before) = (Instant::now(), Counts::of(engine));
        let last_roll = before.rolls + until.rolls;
        while begin.elapsed() < until.time && engine.log().stats().rolls < last_roll {
            while self.hand_over(engine) {}
            engine.wait()?;
            self.landed(engine, &mut tally);
        }
        tally.elapsed = begin.elapsed();
        tally.counts = Counts::of(engine).since(&before);
        self.drain(engine)?;
        Ok(tally)
    }

    /// Batches that left and are not known to be durable.
    pub fn under_way(&self) -> usize {
        self.flights.len()
    }

    /// `true` when a batch left, and there may be room for another.
    pub fn hand_over(&mut self, engine: &mut Engine) -> bool {
        let now_us = clock::now().wall_us;
        self.fill(engine, now_us);
        if self.filled == self.full && self.under_way() < self.depth && self.handed.is_none() {
            self.handed = Some(Instant::now());
        }
        let before = engine.log().stats().batches;
        engine.pump(now_us);
        if engine.log().stats().batches == before {
            return false;
        }
        engine.submit(); // the disk works while the next batch is filled
        let handed = self.handed.take().expect("only a full batch is pumped");
        self.flights.push_back((engine.log().sealed(), handed));
        self.filled = 0;
        true
    }

    fn fill(&mut self, engine: &mut Engine, now_us: i64) {
        let mut key = [b'k'; KEY];
        while self.filled < self.full {
            key[KEY - 8..].copy_from_slice(&self.written.to_be_bytes());
            let entry = Entry { space: Space(1), key: &key, value: Some(&VALUE) };
            match engine.log().append(Kind::Data, now_us, std::iter::once(entry)) {
                Ok(_) => (self.filled, self.written) = (self.filled + 1, self.written + 1),
                Err(why) => {
                    panic!("prepared segments and a buffer are there for each batch, and yet: {why:?}")
                }
            }
        }
    }

    pub fn landed(&mut self, engine: &mut Engine, tally: &mut Tally) {
        let (durable, now) = (engine.log().durable(), Instant::now());
        while let Some((_, handed)) = self.flights.pop_front_if(|(last, _)| *last <= durable) {
            let ns = now.duration_since(handed).as_nanos();
            tally.latencies.saturating_record(u64::try_from(ns).unwrap_or(u64::MAX));
            tally.commits += 1;
        }
    }

    fn drain(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        while !engine.log().is_idle() {
            engine.pump(clock::now().wall_us);
            engine.wait()?;
        }
        self.flights.clear();
        (self.filled, self.handed) = (0, None);
        Ok(())
    }
}

impl Counts {
    fn of(engine: &mut Engine) -> Counts {
        let stats = engine.log().stats();
        Counts {
            batches: stats.batches,
            batch_bytes: stats.batch_bytes,
            rolls: stats.rolls,
            prepares: engine.prepares(),
            enters: engine.enters(),
            cpu_us: clock::process_cpu_us(),
        }
    }

    fn since(&self, before: &Counts) -> Counts {
        Counts {
            batches: self.batches - before.batches,
            batch_bytes: self.batch_bytes - before.batch_bytes,
            rolls: self.rolls - before.rolls,
            prepares: self.prepares - before.prepares,
            enters: self.enters - before.enters,
            cpu_us: self.cpu_us - before.cpu_us,
        }
    }
}

impl Tally {
    pub fn commits_per_s(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.commits as f64 / seconds } else { 0.0 }
    }

    /// A share of something for each batch that was sealed; 0 when none was.
    pub fn per_commit(&self, whole: u64) -> f64 {
        whole as f64 / self.counts.batches.max(1) as f64
    }
}
