//! Leader time (R18): the only clock that decides, stamped into each record.
//!
//! It runs on from the last stamp in the log by CLOCK_BOOTTIME, so it never goes backwards, across starts too. At a
//! start it takes the wall clock where that is later; from then on it nears it at a bounded rate, and where the two
//! are further apart than [`CLOCK_GAP_US`] nothing is decided until they meet again or an operator accepts.

use seawall::Value;
use seawall::refusal::Refusal;

use crate::params::{CLOCK_GAP_US, CLOCK_SLEW_PPM, CLOCK_SLEW_STEP_US};
use crate::seam::Now;

#[derive(Clone, Copy, Debug)]
pub struct LeaderTime {
    base_us: i64,
    since_mono_us: u64,
    /// The latest time that was told.
    told_us: i64,
    /// How far an operator accepted that the wall clock stands behind.
    accepted_us: i64,
}

impl LeaderTime {
    /// `last` is the newest stamp of the recovered log.
    pub fn start(now: Now, last: i64) -> Self {
        let base_us = now.wall_us.max(last);
        Self { base_us, since_mono_us: now.mono_us, told_us: base_us, accepted_us: 0 }
    }

    pub fn at(&mut self, now: Now) -> i64 {
        let elapsed = now.mono_us.saturating_sub(self.since_mono_us);
        let plain = self.base_us.saturating_add_unsigned(elapsed);
        if elapsed >= CLOCK_SLEW_STEP_US {
            let most = i64::try_from(
                elapsed / 1_000_000 * CLOCK_SLEW_PPM + elapsed % 1_000_000 * CLOCK_SLEW_PPM / 1_000_000,
            );
            let most = most.unwrap_or(i64::MAX);
            let gap = self.wall(now).saturating_sub(plain);
            self.base_us = plain.saturating_add(gap.clamp(-most, most));
            self.since_mono_us = now.mono_us;
        }
        let elapsed = now.mono_us.saturating_sub(self.since_mono_us);
        self.told_us = self.told_us.max(self.base_us.saturating_add_unsigned(elapsed));
        self.told_us
    }

    /// Why nothing may be decided by this clock, if so.
    pub fn distrust(&mut self, now: Now) -> Option<Refusal> {
        let (ours, wall) = (self.at(now), self.wall(now));
        (ours.abs_diff(wall) > CLOCK_GAP_US).then(|| {
            let expected = format!(
                "a wall clock within {} s of the log's time {}",
                CLOCK_GAP_US / 1_000_000,
                Value::Time(ours)
            );
            Refusal::clock_untrusted(expected, Value::Time(now.wall_us).to_string())
        })
    }

    /// An operator says that the wall clock is right to be where it is. Ahead: time goes on from there. Behind: it
    /// cannot go back, so the log's time goes on at its own pace.
    pub fn accept(&mut self, now: Now) {
        let ours = self.at(now);
        (self.base_us, self.since_mono_us) = (ours.max(now.wall_us), now.mono_us);
        self.accepted_us = self.base_us.saturating_sub(now.wall_us);
    }

    fn wall(&self, now: Now) -> i64 {
        now.wall_us.saturating_add(self.accepted_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: i64 = 1_000_000_000_000;

    fn now(mono_us: u64, wall_us: i64) -> Now {
        Now { mono_us, wall_us }
    }

    #[test]
    fn it_never_goes_back_and_nears_the_wall_clock_at_a_bounded_rate() {
        let mut time = LeaderTime::start(now(0, WALL), 0);
        let mut last = time.at(now(0, WALL));
        // The wall clock stands two seconds behind from now on, then two ahead.
        for (ahead, seconds) in [(-2_000_000, 0..1000), (2_000_000, 1000..4000)] {
            for second in seconds {
                let mono = second * 1_000_000 + 500_000;
                let read = time.at(now(mono, WALL + mono as i64 + ahead));
                assert!(read >= last, "back from {last} to {read}");
                let off = read - WALL - mono as i64;
                assert!(off.abs() <= 2_000_000);
                last = read;
            }
        }
        assert!(last - WALL > 3_999_500_000, "it moved towards the wall clock: {}", last - WALL);
        assert_eq!(LeaderTime::start(now(0, WALL), last + 7).at(now(5, WALL)), last + 12, "nor over a start");
    }

    #[test]
    fn a_clock_that_jumped_is_not_trusted_until_it_comes_back_or_is_accepted() {
        let jump = CLOCK_GAP_US as i64 * 2;
        for jump in [jump, -jump] {
            let mut time = LeaderTime::start(now(0, WALL), 0);
            assert_eq!(time.distrust(now(1, WALL + 1)), None);
            assert!(time.distrust(now(2, WALL + jump)).is_some());
            assert_eq!(time.distrust(now(3, WALL + 3)), None, "it was set back");
            let before = time.at(now(4, WALL + jump));
            time.accept(now(4, WALL + jump));
            assert_eq!(time.at(now(4, WALL + jump)), before.max(WALL + jump));
            assert_eq!(time.distrust(now(5, WALL + jump)), None);
        }
    }
}
