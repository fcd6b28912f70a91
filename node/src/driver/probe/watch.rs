//! Notices when durable writes end at scheduler ticks instead of when the disk is done.
//!
//! On a flush-type cache the completion of an RWF_DSYNC write runs through a kernel worker on the CPU that takes the
//! disk's interrupts. When that CPU is busy the worker gets its turn at a tick, so a write takes a whole number of
//! ticks, whatever the disk does. A write linked to fdatasync mostly avoids this.

use std::fmt;
use std::sync::OnceLock;

use crate::seam::WorkerId;

/// Writes that are judged together. More: surer and slower to notice; at one tick each, 64 are a quarter of a
/// second at 250 Hz.
const WINDOW: u32 = 64;

/// Counts latencies against the tick. Pure: whoever has the clock feeds it.
#[derive(Clone, Debug)]
pub struct Watch {
    tick_us: u64,
    seen: u32,
    slow: u32,
    at_tick: u32,
}

impl Watch {
    /// `tick_us` is the time between two scheduler ticks.
    pub fn new(tick_us: u64) -> Self {
        assert!(tick_us > 0, "a clock ticks");
        Self { tick_us, seen: 0, slow: 0, at_tick: 0 }
    }

    /// Takes one completed write. `Some` when the last window of them clustered; then a new window begins.
    pub fn saw(&mut self, latency_us: u64) -> Option<Clustered> {
        self.count(latency_us);
        if self.seen < WINDOW {
            return None;
        }
        let full = std::mem::replace(self, Self::new(self.tick_us));
        full.verdict()
    }

    /// A write that begins when another ended at a tick ends a little less than whole ticks later: less by what the
    /// caller did in between, or later by what kept the waker.
    fn count(&mut self, latency_us: u64) {
        let (before, after) = (self.tick_us / 8, self.tick_us / 16);
        let phase = (latency_us + before) % self.tick_us;
        let slow = latency_us + before >= self.tick_us;
        self.seen += 1;
        self.slow += u32::from(slow);
        self.at_tick += u32::from(slow && phase <= before + after);
    }

    /// Most writes take whole ticks, and hardly any other time of that order: a slow disk's latencies spread.
    fn verdict(&self) -> Option<Clustered> {
        let most = 2 * self.at_tick >= self.seen && self.seen > 0;
        let hardly_others = 4 * self.at_tick >= 3 * self.slow;
        let &Self { tick_us, seen, at_tick, .. } = self;
        (most && hardly_others).then_some(Clustered { tick_us, writes: seen, at_tick })
    }
}

/// Judges a whole series at once.
pub fn clustered(tick_us: u64, latencies_us: impl IntoIterator<Item = u64>) -> Option<Clustered> {
    let mut watch = Watch::new(tick_us);
    latencies_us.into_iter().for_each(|latency| watch.count(latency));
    watch.verdict()
}

/// What was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clustered {
    pub tick_us: u64,
    pub writes: u32,
    pub at_tick: u32,
}

impl fmt::Display for Clustered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, of) = (self.tick_us as f64 / 1000.0, self.writes);
        write!(f, "{} of {of} writes took whole scheduler ticks of {ms:.2} ms", self.at_tick)
    }
}

/// Which workers gave up RWF_DSYNC while the node ran, and why; each at most once.
#[derive(Debug)]
pub struct Switches(Vec<OnceLock<Clustered>>);

impl Switches {
    pub fn new(workers: u16) -> Self {
        Self((0..workers).map(|_| OnceLock::new()).collect())
    }

    pub fn note(&self, worker: WorkerId, why: Clustered) {
        self.0[usize::from(worker.0)].set(why).expect("a worker switches once, and never back");
    }

    pub fn of(&self, worker: WorkerId) -> Option<Clustered> {
        self.0.get(usize::from(worker.0))?.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKS: [u64; 4] = [1_000, 3_333, 4_000, 10_000];

    /// Numbers below `bound` that look like noise and are the same in each run.
    fn noise(bound: u64) -> impl Iterator<Item = u64> {
        std::iter::successors(Some(1u64), |x| {
            Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
        })
        .map(move |x| (x >> 33) % bound)
    }

    /// After how many writes it noticed.
    fn noticed(tick: u64, latencies: impl Iterator<Item = u64>) -> Option<usize> {
        let mut watch = Watch::new(tick);
        latencies.take(10_000).position(|latency| watch.saw(latency).is_some()).map(|nth| nth + 1)
    }

    /// RWF_DSYNC on a virtual disk at 250 Hz: quiet, beside one busy thread a CPU, and beside a compiler on all of them.
    const QUIET: [u64; 64] = [
        208, 98, 103, 91, 85, 93, 125, 119, 90, 96, 90, 114, 92, 81, 98, 91, 114, 90, 111, 102, 87, 99, 105,
        117, 81, 77, 76, 82, 88, 89, 87, 92, 75, 163, 135, 82, 105, 102, 88, 95, 103, 102, 97, 73, 96, 104,
        100, 96, 95, 85, 101, 103, 99, 97, 110, 82, 84, 87, 96, 103, 129, 107, 155, 196,
    ];
    const DISTURBED: [u64; 64] = [
        108, 93, 103, 241, 1509, 2220, 1364, 195, 117, 130, 84, 102, 96, 3091, 208, 107, 126, 2005, 120, 118,
        126, 121, 119, 212, 112, 112, 111, 98, 112, 115, 101, 102, 99, 110, 3632, 240, 107, 132, 1606, 4674,
        8672, 191, 94, 97, 102, 97, 116, 114, 93, 92, 82, 82, 85, 82, 85, 84, 84, 84, 85, 93, 86, 87, 83, 83,
    ];
    const HELD_UP: [u64; 64] = [
        3974, 3973, 3995, 3999, 3994, 3997, 3716, 4276, 3994, 3996, 4001, 3995, 3996, 3999, 4006, 4000, 4002,
        2310, 1667, 4006, 3995, 4000, 3991, 3996, 3998, 4001, 3998, 3990, 3998, 3998, 4027, 3979, 3986, 3994,
        3995, 3992, 4007, 3992, 3994, 4000, 3998, 3992, 4002, 2509, 1482, 4012, 3995, 3994, 3995, 3999, 3998,
        3993, 4000, 1756, 6242, 3306, 4684, 3996, 3999, 3997, 4006, 2069, 1923, 3995,
    ];

    #[test]
    fn what_was_recorded_is_told_apart() {
        assert_eq!(noticed(4_000, QUIET.into_iter().cycle()), None);
        assert_eq!(noticed(4_000, DISTURBED.into_iter().cycle()), None);
        assert_eq!(noticed(4_000, HELD_UP.into_iter()), Some(HELD_UP.len()));
    }

    #[test]
    fn a_quiet_disk_is_left_alone() {
        for tick in TICKS {
            let quiet = noise(60).map(|n| 100 + n);
            assert_eq!(noticed(tick, quiet), None);
            let a_tick_now_and_then =
                noise(100).zip(noise(60)).map(move |(die, n)| if die < 10 { tick - n } else { 100 + n });
            assert_eq!(noticed(tick, a_tick_now_and_then), None, "tick {tick}");
        }
    }

    #[test]
    fn writes_that_end_at_ticks_are_noticed_within_a_window() {
        for tick in TICKS {
            let back_to_back = noise(40).map(move |n| tick - 20 + n);
            assert_eq!(noticed(tick, back_to_back), Some(WINDOW as usize));
            let with_a_pause_between = noise(tick / 10).map(move |n| tick - n);
            assert_eq!(noticed(tick, with_a_pause_between), Some(WINDOW as usize));
            let one_to_three_ticks = noise(3).map(move |n| (1 + n) * tick);
            assert_eq!(noticed(tick, one_to_three_ticks), Some(WINDOW as usize));
        }
    }

    #[test]
    fn a_hog_that_comes_later_is_noticed_within_two_windows() {
        let quiet = noise(60).map(|n| 100 + n).take(1_010);
        let hogged = noise(40).zip(noise(10)).map(|(n, die)| if die < 7 { 3_980 + n } else { 120 + n });
        let after = noticed(4_000, quiet.chain(hogged)).expect("it is noticed") - 1_010;
        assert!(after <= 2 * WINDOW as usize, "only after {after} writes");
    }

    #[test]
    fn a_slow_disk_is_not_a_busy_cpu() {
        for tick in TICKS {
            assert_eq!(noticed(tick, noise(5_000).map(|n| 4_000 + n)), None, "4 to 9 ms, tick {tick}");
            assert_eq!(noticed(tick, noise(20_000).map(|n| 2_000 + n)), None, "2 to 22 ms, tick {tick}");
            assert_eq!(noticed(tick, noise(tick).map(move |n| tick / 2 + n)), None, "about a tick, {tick}");
            let hardly_more_than_a_tick = noise(3 * tick / 10).map(move |n| 9 * tick / 10 + n);
            assert_eq!(noticed(tick, hardly_more_than_a_tick), None, "0.9 to 1.2 ticks, {tick}");
        }
    }

    #[test]
    fn a_series_is_judged_as_a_whole_and_nothing_is_no_series() {
        assert_eq!(clustered(4_000, []), None);
        assert_eq!(clustered(4_000, vec![120; 60]), None);
        let found = clustered(4_000, vec![4_001; 60]).expect("all of them");
        assert_eq!((found.writes, found.at_tick), (60, 60));
        assert_eq!(found.to_string(), "60 of 60 writes took whole scheduler ticks of 4.00 ms");
    }

    #[test]
    fn a_switch_is_remembered_for_its_worker() {
        let switches = Switches::new(2);
        let why = Clustered { tick_us: 4_000, writes: 64, at_tick: 64 };
        switches.note(WorkerId(1), why);
        assert_eq!((switches.of(WorkerId(0)), switches.of(WorkerId(1))), (None, Some(why)));
        assert_eq!(switches.of(WorkerId(9)), None);
    }
}
