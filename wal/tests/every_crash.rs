//! A short life of a log, and a crash at every I/O of it; then a crash at every I/O of the recovery from it. What was
//! acknowledged is there, nothing is half there, and what a recovery reported stays.

mod support;
#[path = "support/volatile.rs"]
mod volatile;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use seawall_wal::checkpoint::{FoldPolicy, Version};
use seawall_wal::recover::Report;
use seawall_wal::{BLOCK, Done, Entry, Epoch, Io, Kind, Log, LogLimits, Progress, Recovery, Replay, Space};
use support::{LOG, Seen, see};
use volatile::{Crash, Left, Volatile};

fn limits() -> LogLimits {
    LogLimits {
        buffer_bytes: 4 * BLOCK,
        batch_bytes: 2 * BLOCK,
        writes_in_flight: 2,
        small_slot_bytes: 6 * BLOCK as u64,
        slot_bytes: 9 * BLOCK as u64,
        spares: 2,
        fold: FoldPolicy { least_bytes: 14 * BLOCK as u64, most_segments: 3 },
        checkpoints: CHECKPOINTS.get(),
        ..LogLimits::test_min()
    }
}

/// What the world outside knows of the log.
#[derive(Clone, Default)]
struct Known {
    /// Everything appended since the last report, on top of what that reported.
    records: Vec<Seen>,
    /// How many of them were acknowledged, or reported by a recovery.
    acknowledged: usize,
    /// Where batches end: a recovered log ends at one of these.
    ends: BTreeSet<usize>,
    /// The highest epoch that a recovery reported.
    epoch: Epoch,
}

thread_local! {
    /// How many checkpoints the logs of this test keep.
    static CHECKPOINTS: Cell<usize> = const { Cell::new(1) };
    /// Starts from a checkpoint, and places to crash at while slots that were used before are used again.
    static FROM_CHECKPOINT: Cell<usize> = const { Cell::new(0) };
    static RECOVERIES: Cell<usize> = const { Cell::new(0) };
}

const PATTERNS: [Left; 6] =
    [Left::Nothing, Left::All, Left::FirstHalf, Left::SecondHalf, Left::Even, Left::Odd];
const FEW: [Left; 3] = [Left::Nothing, Left::All, Left::Even];

/// Every crash that makes a difference: each write under way by each pattern on its own.
fn crashes(disk: &Volatile, patterns: &[Left]) -> Vec<Crash> {
    let mut powers = vec![Vec::new()];
    for _ in 0..disk.at_risk().min(3) {
        let longer = |p: &Vec<Left>| -> Vec<Vec<Left>> {
            patterns.iter().map(|left| [p.as_slice(), &[*left]].concat()).collect()
        };
        powers = powers.iter().flat_map(longer).collect();
    }
    if disk.at_risk() == 0 {
        return vec![Crash::Process]; // nothing can be lost: the power makes no difference
    }
    powers.into_iter().map(Crash::Power).chain([Crash::Process]).collect()
}

/// Crashes here in every way, and recovers from each.
fn crash_here(disk: &Volatile, known: &Known, depth: usize) {
    for crash in crashes(disk, if depth > 1 { &PATTERNS } else { &FEW }) {
        survive(disk.after(&crash), known, depth - 1, &crash);
    }
}

/// Recovery, with a crash at each of its writes while `depth` allows; then the log must be the known one, must take
/// a record, and must keep it and all the others over one more power cut.
fn survive(disk: Volatile, known: &Known, depth: usize, crash: &Crash) {
    let (mut disk, mut known) = (disk, known.clone());
    let log = recover(&mut disk, &mut known, depth, crash);
    let mut run = Run { disk, known, log, depth: 0, under_way: Vec::new() };
    let reported = run.known.records.clone();
    run.append(&[0xee; 700]);
    run.land_all(false);
    assert_eq!(run.known.acknowledged, reported.len() + 1, "the log takes a record");
    let mut disk = run.disk.after(&Crash::Power(vec![Left::Nothing]));
    let before = run.known.records.clone();
    recover(&mut disk, &mut run.known, 0, crash);
    assert_eq!(run.known.records, before, "what was reported or acknowledged stays, {crash:?}");
}

fn recover(disk: &mut Volatile, known: &mut Known, depth: usize, crash: &Crash) -> Log {
    RECOVERIES.set(RECOVERIES.get() + 1);
    let limits = limits();
    let mut recovery = Recovery::new(LOG, limits, disk.found(), limits.buffers(), seawall_wal::Start::Alone);
    let (mut ios, mut seen, mut state) = (Vec::new(), Vec::new(), State::default());
    recovery.start(&mut ios);
    loop {
        let io = ios.pop().expect("recovery works until it ends");
        disk.accept(&io);
        let writes = matches!(io, Io::Write { .. });
        if writes && depth > 0 {
            crash_here(disk, known, depth);
        }
        let done: Done = disk.finish(io);
        if writes && depth > 0 {
            crash_here(disk, known, depth);
        }
        let progress = recovery.done(done, &mut ios, &mut |replay| {
            match replay {
                Replay::Base(_) => state = State::default(),
                Replay::Item(item) => {
                    state.insert(item.key.to_vec(), (item.version, item.value.to_vec()));
                }
                Replay::Record(_) => {}
            }
            see(replay, &mut seen);
        });
        match progress {
            Progress::Working => {}
            Progress::Halted(report) => panic!("a crash is no damage: {report}, after {crash:?}"),
            Progress::AtRest(..) => panic!("a start that is alone leads"),
            Progress::Recovered(log, report) => {
                known.report(&state, seen, &log, &report, crash);
                return *log;
            }
        }
    }
}

type State = BTreeMap<Vec<u8>, (Version, Vec<u8>)>;

/// What the records leave: the last writer of a key wins.
fn state_of(records: &[Seen]) -> State {
    let mut state = State::default();
    for record in records {
        let version = Version { epoch: record.epoch, index: record.index };
        match &record.value {
            Some(value) => state.insert(record.key.clone(), (version, value.clone())),
            None => state.remove(&record.key),
        };
    }
    state
}

impl Known {
    /// `state` came from a checkpoint, `seen` from the log behind it.
    fn report(&mut self, state: &State, seen: Vec<Seen>, log: &Log, report: &Report, crash: &Crash) {
        let why = || format!("{report}, after {crash:?}");
        let cut = report.checkpoint.map_or(0, |checkpoint| usize::try_from(checkpoint.cut.0).unwrap());
        FROM_CHECKPOINT.set(FROM_CHECKPOINT.get() + usize::from(cut > 0));
        assert!(report.corrupt.is_empty() && cut <= self.acknowledged, "{}", why());
        assert_eq!(*state, state_of(&self.records[..cut]), "the checkpoint: {}", why());
        let seen = [&self.records[..cut], &seen].concat();
        assert!(seen.len() >= self.acknowledged, "acknowledged {}: {}", self.acknowledged, why());
        assert!(self.records.starts_with(&seen), "not a prefix: {}", why());
        assert!(seen.is_empty() || self.ends.contains(&seen.len()), "half a batch: {}", why());
        for (record, n) in seen.iter().zip(1u64..) {
            assert_eq!(record.index.0, n, "indices are contiguous");
        }
        assert_eq!((log.durable().0, log.appended().0), (seen.len() as u64, seen.len() as u64));
        assert!(report.epoch > self.epoch, "an epoch is taken once: {}", why());
        assert!(seen.last().is_none_or(|last| last.epoch < report.epoch), "a process continues no epoch");
        self.epoch = report.epoch;
        self.acknowledged = seen.len();
        self.ends.retain(|end| *end <= seen.len());
        self.records = seen;
    }
}

/// A log that runs on the disk; every I/O is a place to crash at while `depth` is not 0.
struct Run {
    disk: Volatile,
    known: Known,
    log: Log,
    depth: usize,
    under_way: Vec<Io>,
}

impl Run {
    fn new(depth: usize) -> Self {
        let (mut disk, mut known) = (Volatile::new(), Known::default());
        let log = recover(&mut disk, &mut known, depth, &Crash::Process);
        Self { disk, known, log, depth, under_way: Vec::new() }
    }

    fn point(&self) {
        if self.depth > 0 {
            crash_here(&self.disk, &self.known, self.depth);
        }
    }

    /// Under one of three keys; a value of two bytes is a deletion.
    fn append(&mut self, value: &[u8]) {
        let key = [value[0] % 3];
        let value = (value.len() != 2).then_some(value);
        let entry = Entry { space: Space(1), key: &key, value };
        loop {
            if let Ok(index) = self.log.append(Kind::Data, 7, std::iter::once(entry)) {
                let epoch = self.log.epoch();
                let value = value.map(<[u8]>::to_vec);
                self.known.records.push(Seen { epoch, index, key: key.to_vec(), value });
                return;
            }
            assert!(self.step(false), "no room, and nothing under way");
        }
    }

    /// Gives what the log asks for to the disk.
    fn pump(&mut self) {
        let mut ios = Vec::new();
        self.log.pump(0, &mut ios);
        self.known.ends.insert(usize::try_from(self.log.sealed().0).unwrap());
        for io in ios {
            self.disk.accept(&io);
            self.under_way.push(io);
            self.point();
        }
    }

    /// One operation ends: the oldest, or the newest.
    fn step(&mut self, newest: bool) -> bool {
        self.pump();
        if self.under_way.is_empty() {
            return false;
        }
        let io = self.under_way.remove(if newest { self.under_way.len() - 1 } else { 0 });
        if let Io::Fold(job) = io {
            let done = self.disk.fold(&job);
            self.point(); // the checkpoint is there, and nobody knows
            self.log.folded(done);
            self.point();
            return true;
        }
        let done = self.disk.finish(io);
        self.point(); // durable, and nobody knows
        self.log.done(done).unwrap();
        self.log.commit(self.log.durable());
        self.known.acknowledged = usize::try_from(self.log.durable().0).unwrap();
        self.point();
        true
    }

    fn land_all(&mut self, newest: bool) {
        while self.step(newest) {}
    }

    /// Dies in some way, without the exploration of all others, and starts again.
    fn restart(&mut self, crash: &Crash) {
        self.under_way.clear();
        self.disk = self.disk.after(crash);
        self.log = recover(&mut self.disk, &mut self.known, self.depth, crash);
    }
}

/// Commits of several sizes, alone and together, over several segments.
fn commits(run: &mut Run, from: u8, count: u8) {
    for n in from..from + count {
        run.append(&vec![n; [10, 3000, 5000, 9000, 600][usize::from(n) % 5]]);
        if n % 4 == 3 {
            run.append(&[n; 2]);
        }
        run.land_all(false);
    }
}

/// Two writes at once, which end in the wrong order.
fn overlapping(run: &mut Run, n: u8) {
    run.append(&[n; 100]);
    run.pump();
    run.append(&[n + 1; 5000]);
    run.append(&[n + 2; 3000]);
    run.pump();
    run.append(&[n + 3; 40]);
    run.land_all(true);
}

#[test]
fn commits_over_several_segments() {
    let mut run = Run::new(2);
    commits(&mut run, 1, 9);
    assert_eq!(run.known.acknowledged, run.known.records.len());
    assert!(run.log.stats().rolls >= 3 && RECOVERIES.get() > 1000, "{}", RECOVERIES.get());
}

#[test]
fn two_writes_at_once_that_end_in_the_wrong_order() {
    let mut run = Run::new(2);
    commits(&mut run, 1, 1);
    for n in [10, 20, 30] {
        overlapping(&mut run, n);
    }
    assert!(RECOVERIES.get() > 1000, "{}", RECOVERIES.get());
}

/// The process dies with writes that stay visible and volatile; the power goes with torn ones; and again.
#[test]
fn starts_after_each_kind_of_death() {
    let mut run = Run::new(2);
    let deaths =
        [Crash::Process, Crash::Power(vec![Left::Odd]), Crash::Power(vec![Left::Nothing, Left::All])];
    for (death, n) in deaths.iter().chain(&deaths).zip((1..).step_by(20)) {
        commits(&mut run, n, 1);
        run.append(&[n + 1; 100]);
        run.pump();
        run.append(&[n + 2; 9000]);
        run.pump();
        run.restart(death);
    }
    assert!(RECOVERIES.get() > 1000, "{}", RECOVERIES.get());
}

/// Rolls, folds, slots that are used again, and cuts; the disk of each crash may have torn writes, and removed files
/// that are back.
fn a_life_with_checkpoints(checkpoints: usize) {
    CHECKPOINTS.set(checkpoints);
    let mut run = Run::new(2);
    for (round, death) in [Crash::Process, Crash::Power(vec![Left::Odd])].iter().enumerate() {
        let n = 1 + 60 * u8::try_from(round).unwrap();
        commits(&mut run, n, 17);
        overlapping(&mut run, n + 20);
        assert!(run.log.stats().folds >= 2, "{:?}", run.log.stats());
        run.append(&[n + 2; 9000]);
        run.pump();
        run.restart(death);
    }
    let slots = run.disk.found().slots.len();
    assert!(slots < 12 && FROM_CHECKPOINT.get() > 1000, "{slots} {}", FROM_CHECKPOINT.get());
}

#[test]
fn a_life_with_one_checkpoint() {
    a_life_with_checkpoints(1);
}

#[test]
fn a_life_with_two_checkpoints() {
    a_life_with_checkpoints(2);
}

/// Three deaths in a row, each in the recovery from the one before.
#[test]
fn a_crash_in_the_recovery_from_a_crash_in_a_recovery() {
    let mut run = Run::new(0);
    commits(&mut run, 1, 2);
    run.depth = 3;
    overlapping(&mut run, 10);
    assert!(RECOVERIES.get() > 1000, "{}", RECOVERIES.get());
}
