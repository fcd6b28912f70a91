//! What nobody waits for keeps out of the way of what commits wait for: a slot is filled, and a checkpoint made, in small
//! portions with pauses between them, as fast as the logs grow and a little faster. It goes at full speed when no log is
//! written, since then it disturbs nobody, and whoever waits for it waits for nothing else: a log that is out of slots
//! writes nothing, so for a slot that is quiet enough after a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock;
use crate::params::{
    FOLD_BUFFER_BYTES, FOLD_FACTOR, PACE_BYTES_PER_SECOND, PACE_CREDIT_BYTES, PACE_PAUSE_US, PACE_QUIET_US,
    ZERO_FILL_BYTES, ZERO_FILL_FACTOR, ZERO_FILL_LARGER_FACTOR, ZERO_FILL_LEAST, ZERO_FILL_QUIET_US,
};

/// What the logs of a node write: told by the workers, read by whoever keeps out of their way.
#[derive(Debug, Default)]
pub struct Traffic {
    bytes: AtomicU64,
    under_way: AtomicU64,
    newest_us: AtomicU64,
}

impl Traffic {
    pub fn begun(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    pub fn ended(&self) {
        self.newest_us.store(clock::stopwatch_us(), Ordering::Relaxed);
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    /// Nobody commits.
    pub fn is_quiet(&self) -> bool {
        Moment::of(self).is_quiet_for(PACE_QUIET_US)
    }
}

/// How one piece of work goes on.
#[derive(Debug)]
pub struct Pace {
    traffic: Arc<Traffic>,
    manner: Manner,
    begun: Moment,
    done: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// How many bytes it may take for each byte of log.
    pub factor: u64,
    /// The smallest portion. Each is a multiple of it.
    pub least: usize,
    pub most: usize,
    /// Without a write of a log for so long it goes at full speed.
    pub quiet_us: u64,
}

/// A log that waits for its slot writes nothing: that is no time for pauses.
const ZERO_FILL: Manner = Manner {
    factor: ZERO_FILL_FACTOR,
    least: ZERO_FILL_LEAST,
    most: ZERO_FILL_BYTES,
    quiet_us: ZERO_FILL_QUIET_US,
};
pub const FOLD: Manner = Manner {
    factor: FOLD_FACTOR,
    least: FOLD_BUFFER_BYTES,
    most: FOLD_BUFFER_BYTES,
    quiet_us: PACE_QUIET_US,
};

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Take(usize),
    Pause(Duration),
}

/// The slots of a log, which are filled one after the other.
#[derive(Debug, Default)]
pub struct Filling {
    largest: u64,
    /// How many of that size were begun.
    so_large: u32,
}

impl Filling {
    /// For the next slot. When slots become larger, the spares are small ones still: so the first large one is needed soon,
    /// and the second, too, since the log keeps a spare for itself. If they came too late, commits would wait for all of
    /// them.
    pub fn begin(&mut self, traffic: Arc<Traffic>, bytes: u64) -> Pace {
        if bytes > self.largest {
            (self.largest, self.so_large) = (bytes, 0);
        }
        self.so_large = self.so_large.saturating_add(1);
        let factor = if self.so_large <= 2 { ZERO_FILL_LARGER_FACTOR } else { ZERO_FILL_FACTOR };
        Pace::begin(traffic, Manner { factor, ..ZERO_FILL })
    }
}

#[derive(Clone, Copy, Debug)]
struct Moment {
    us: u64,
    log_bytes: u64,
    /// Since when no log is written; now, while one is.
    quiet_since_us: u64,
}

impl Pace {
    pub fn begin(traffic: Arc<Traffic>, manner: Manner) -> Self {
        let begun = Moment::of(&traffic);
        Self { traffic, manner, begun, done: 0 }
    }

    /// So much was done.
    pub fn took(&mut self, bytes: usize) {
        self.done += bytes as u64;
    }

    pub fn step(&mut self) -> Step {
        self.step_at(Moment::of(&self.traffic))
    }

    fn step_at(&mut self, now: Moment) -> Step {
        let Manner { factor, least, most, quiet_us } = self.manner;
        if now.is_quiet_for(quiet_us) {
            return Step::Take(most);
        }
        let by_itself = now.us.saturating_sub(self.begun.us) * PACE_BYTES_PER_SECOND / 1_000_000;
        let allowed = by_itself + (now.log_bytes - self.begun.log_bytes) * factor;
        // What a burst of the log allowed is not made up for when the burst is over.
        self.done = self.done.max(allowed.saturating_sub(PACE_CREDIT_BYTES));
        match allowed.checked_sub(self.done) {
            None => Step::Pause(Duration::from_micros(PACE_PAUSE_US)),
            Some(late) => Step::Take((late as usize / least * least).clamp(least, most)),
        }
    }
}

impl Moment {
    fn of(traffic: &Traffic) -> Self {
        let (us, log_bytes) = (clock::stopwatch_us(), traffic.bytes.load(Ordering::Relaxed));
        // A write that takes long is no quiet: whoever went ahead then would make it take longer.
        let writing = traffic.under_way.load(Ordering::Relaxed) > 0;
        let quiet_since_us = if writing { us } else { traffic.newest_us.load(Ordering::Relaxed) };
        Self { us, log_bytes, quiet_since_us }
    }

    fn is_quiet_for(&self, us: u64) -> bool {
        self.us.saturating_sub(self.quiet_since_us) >= us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const MANNER: Manner = Manner { factor: 2, least: 64 << 10, most: 1 << 20, quiet_us: PACE_QUIET_US };

    /// A log that is written to all the time, at a moment of the pace's own time.
    fn busy(us: u64, log_bytes: u64) -> Moment {
        Moment { us, log_bytes, quiet_since_us: us }
    }

    fn pace(manner: Manner) -> Pace {
        Pace { traffic: Arc::default(), manner, begun: busy(0, 0), done: 0 }
    }

    #[test]
    fn nobody_waits_where_no_log_is_written() {
        let mut pace = pace(MANNER);
        let quiet = |us| Moment { us, log_bytes: 0, quiet_since_us: 0 };
        for turn in 0..100 {
            assert_eq!(pace.step_at(quiet(PACE_QUIET_US + turn)), Step::Take(MANNER.most));
            pace.took(MANNER.most);
        }
        assert_eq!(
            pace.step_at(busy(PACE_QUIET_US + 100, 0)),
            Step::Pause(Duration::from_micros(PACE_PAUSE_US))
        );
    }

    /// It wrote nothing for a moment, and is to get its slot before a fold may believe that nobody commits.
    #[test]
    fn a_log_that_waits_for_its_slot_does_not_wait_for_pauses() {
        let waits = |us| Moment { us, log_bytes: 64 * MIB, quiet_since_us: 0 };
        let (mut slot, mut checkpoint) = (pace(ZERO_FILL), pace(FOLD));
        for pace in [&mut slot, &mut checkpoint] {
            while let Step::Take(bytes) = pace.step_at(waits(ZERO_FILL_QUIET_US - 1)) {
                pace.took(bytes);
            }
        }
        let us = ZERO_FILL_QUIET_US + 1;
        assert_eq!(slot.step_at(waits(us)), Step::Take(ZERO_FILL_BYTES));
        assert!(matches!(checkpoint.step_at(waits(us)), Step::Pause(_)));
    }

    #[test]
    fn a_write_that_takes_long_is_no_quiet() {
        let traffic = Traffic::default();
        assert!(traffic.is_quiet(), "nothing was written yet");
        traffic.begun(4096);
        std::thread::sleep(Duration::from_micros(2 * PACE_QUIET_US));
        assert!(!traffic.is_quiet(), "it has not ended");
        traffic.ended();
        assert!(!traffic.is_quiet(), "it has just ended");
        std::thread::sleep(Duration::from_micros(2 * PACE_QUIET_US));
        assert!(traffic.is_quiet());
    }

    /// What is taken while a log grows by `bytes_a_ms` for so many milliseconds, and the largest portion.
    fn taken(pace: &mut Pace, ms: u64, bytes_a_ms: u64) -> (u64, usize) {
        let (mut taken, mut largest) = (0, 0);
        for now in 1..=ms {
            while let Step::Take(bytes) = pace.step_at(busy(now * 1000, now * bytes_a_ms)) {
                assert!(bytes.is_multiple_of(MANNER.least) && bytes <= MANNER.most, "{bytes}");
                pace.took(bytes);
                (taken, largest) = (taken + bytes as u64, largest.max(bytes));
                assert!(taken < 2 << 30, "it never pauses");
            }
        }
        (taken, largest)
    }

    #[test]
    fn it_goes_as_fast_as_the_log_grows_times_its_factor() {
        let (bytes, largest) = taken(&mut pace(MANNER), 1000, 40 * KIB);
        let wanted = 2 * 40 * KIB * 1000 + PACE_BYTES_PER_SECOND;
        assert!((wanted..wanted + MIB).contains(&bytes), "{bytes} of {wanted}");
        assert!(largest <= 128 << 10, "little at once: {largest}");
    }

    #[test]
    fn a_log_that_is_hardly_written_lets_it_go_on_all_the_same() {
        let (bytes, _) = taken(&mut pace(MANNER), 1000, 0);
        assert!((PACE_BYTES_PER_SECOND..PACE_BYTES_PER_SECOND + MIB).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_fast_log_gets_large_portions() {
        let (bytes, largest) = taken(&mut pace(MANNER), 1000, 400 * KIB);
        assert!(bytes > 2 * 400 * KIB * 1000 && largest >= 512 << 10, "{bytes} {largest}");
    }

    #[test]
    fn what_a_burst_allowed_is_not_made_up_for_afterwards() {
        let mut pace = pace(MANNER);
        let (mut taken, burst) = (0, 100 * MIB);
        while let Step::Take(bytes) = pace.step_at(busy(1000, burst)) {
            pace.took(bytes);
            taken += bytes as u64;
            assert!(taken <= PACE_CREDIT_BYTES + MANNER.most as u64, "{taken}");
        }
    }

    #[test]
    fn the_first_slots_that_are_larger_hurry() {
        let mut filling = Filling::default();
        let mut factor = |bytes| filling.begin(Arc::default(), bytes).manner.factor;
        let (hurry, usual) = (ZERO_FILL_LARGER_FACTOR, ZERO_FILL_FACTOR);
        assert_eq!([4, 4, 4, 4].map(&mut factor), [hurry, hurry, usual, usual]);
        assert_eq!([64, 64, 64, 4, 64].map(&mut factor), [hurry, hurry, usual, usual, usual]);
    }
}
