//! How fast a leader reads back for members that are behind: as fast as the commits that are made meanwhile allow.
//!
//! While nobody is behind, the leader learns how long its commits take, on the average and all but a few of them. Later
//! one in a hundred may take twice as long, and all together half as long again: while they keep to that the pace grows,
//! and as soon as they do not it is halved. It never falls
//! below a floor, so whoever is behind is level some day; at the floor the leader learns again, since what commits take
//! then is none of the reader's doing. While nobody commits there is no pace at all, and the first commit finds it where
//! the commits before had left it.

use seawall_wal::{BLOCK, Portion};

use crate::params::{
    CATCH_UP_BYTES, CATCH_UP_LEAST_BYTES, CATCH_UP_PORTION, CATCH_UP_QUIET_PORTION, CATCH_UP_SETTLE_US,
    CATCH_UP_STEP_US,
};
use crate::seam::Now;
use crate::shard::latency::Usual;

/// Of all members that are behind together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Bytes a second.
    rate: u64,
    next_us: u64,
    /// It does not grow before this time, and not before so many commits.
    settle_us: u64,
    settle_commits: u64,
    /// What was asked for keeps the reader busy until this time.
    busy_until_us: u64,
    /// Nobody commits.
    quiet: bool,
}

/// So many commits tell whether one in a hundred is slow.
const ENOUGH: u64 = 100;
const PORTIONS_A_SECOND: u64 = 512;

impl Default for Pace {
    fn default() -> Self {
        let rate = CATCH_UP_LEAST_BYTES;
        Self { rate, next_us: 0, settle_us: 0, settle_commits: 0, busy_until_us: 0, quiet: false }
    }
}

impl Pace {
    /// Looks at what commits took since the last step; `behind`: somebody is read back for; `quiet`: nobody commits.
    pub fn turn(&mut self, now: Now, behind: bool, quiet: bool, usual: &mut Usual) {
        if !behind {
            *self = Self::default();
            usual.look(false);
            return;
        }
        self.quiet = quiet;
        if quiet || now.mono_us < self.next_us {
            return;
        }
        self.next_us = now.mono_us + CATCH_UP_STEP_US;
        let seen = usual.look(self.rate > CATCH_UP_LEAST_BYTES);
        self.settle_commits = self.settle_commits.saturating_sub(seen.commits);
        if seen.slow {
            self.rate = (self.rate / 2).max(CATCH_UP_LEAST_BYTES);
            (self.settle_us, self.settle_commits) = (now.mono_us + CATCH_UP_SETTLE_US, ENOUGH);
        } else if self.settle_commits == 0 || now.mono_us >= self.settle_us {
            self.rate = (self.rate + self.rate / 8).min(CATCH_UP_BYTES);
        }
    }

    /// What is read next, and when: little at once, and less where it goes slowly, so that no commit waits behind much.
    /// Never less than `least`.
    pub fn portion(&mut self, now: Now, least: usize, most: usize) -> Portion {
        if self.quiet {
            self.busy_until_us = now.mono_us;
            return Portion { bytes: CATCH_UP_QUIET_PORTION.max(least).min(most), pause_us: 0 };
        }
        let wanted =
            usize::try_from(self.rate / PORTIONS_A_SECOND).unwrap_or(usize::MAX).min(CATCH_UP_PORTION);
        let bytes = (wanted / BLOCK * BLOCK).max(least).min(most);
        let begin = self.busy_until_us.max(now.mono_us);
        self.busy_until_us = begin + bytes as u64 * 1_000_000 / self.rate;
        Portion { bytes, pause_us: begin - now.mono_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1000;
    const MOST: usize = 2 << 20;

    fn at(mono_us: u64) -> Now {
        Now { mono_us, wall_us: 0 }
    }

    /// Ten milliseconds with as many commits as there is time for, of which each takes so long.
    fn steps(pace: &mut Pace, usual: &mut Usual, from_us: u64, steps: u64, took_us: u64) -> u64 {
        for step in 0..steps {
            let now = at(from_us + step * CATCH_UP_STEP_US);
            for _ in 0..CATCH_UP_STEP_US / took_us {
                usual.took(took_us, 1);
            }
            pace.turn(now, true, false, usual);
        }
        pace.rate
    }

    fn learned() -> Usual {
        let mut usual = Usual::default();
        for n in 0..2000u64 {
            usual.took(if n % 50 == 0 { 900 } else { 200 + n % 7 }, 1);
        }
        usual
    }

    #[test]
    fn nearly_all_commits_take_what_is_usual() {
        let mut usual = learned();
        assert!((206..=1000).contains(&usual.us()), "{usual:?}");
        // Ten times as slow a disk from now on.
        for n in 0..2000u64 {
            usual.took(2000 + n % 70, 1);
        }
        assert!((2000..=2400).contains(&usual.us()), "{usual:?}");
    }

    #[test]
    fn the_pace_grows_while_commits_take_what_they_took() {
        let (mut pace, mut usual) = (Pace::default(), learned());
        assert_eq!(steps(&mut pace, &mut usual, 1, 100, 200), CATCH_UP_BYTES);
    }

    #[test]
    fn while_nobody_commits_there_is_no_pace_and_the_first_commit_finds_the_one_before() {
        let (mut pace, mut usual) = (Pace::default(), learned());
        let rate = steps(&mut pace, &mut usual, 1, 5, 200);
        assert!((CATCH_UP_LEAST_BYTES + 1..CATCH_UP_BYTES).contains(&rate), "{rate}");
        let mut now_us = 1000 * MS;
        for _ in 0..100 {
            pace.turn(at(now_us), true, true, &mut usual);
            let Portion { bytes, pause_us } = pace.portion(at(now_us), 0, MOST);
            assert_eq!((bytes, pause_us), (CATCH_UP_QUIET_PORTION, 0));
            now_us += MS;
        }
        pace.turn(at(now_us), true, false, &mut usual);
        assert!(pace.rate <= rate + rate / 8, "{} after {rate}", pace.rate);
        assert!(pace.portion(at(now_us), 0, MOST).bytes <= CATCH_UP_PORTION);
        assert!(pace.portion(at(now_us), 0, MOST).pause_us > 0, "the portion before keeps the reader busy");
    }

    #[test]
    fn it_is_halved_as_soon_as_more_than_one_in_a_hundred_takes_twice_as_long_and_not_below_the_floor() {
        let (mut pace, mut usual) = (Pace::default(), learned());
        let fast = steps(&mut pace, &mut usual, 1, 20, 200);
        let slow_us = 2 * usual.us() + 1;
        let slow = steps(&mut pace, &mut usual, 10_000 * MS, 1, slow_us);
        assert_eq!(slow, fast / 2);
        // It settles: no more than a few commits are made in a step, and a hundred have to prove it.
        assert_eq!(steps(&mut pace, &mut usual, 10_100 * MS, 1, 15 * MS / 2), fast / 4, "still slow");
        let floor = steps(&mut pace, &mut usual, 11_000 * MS, 50, slow_us);
        assert_eq!(floor, CATCH_UP_LEAST_BYTES);
    }

    /// No commit takes twice as long as nearly all do, and yet who waits for one after the other makes half as many.
    #[test]
    fn it_is_halved_when_commits_are_slower_on_the_average() {
        let (mut pace, mut usual) = (Pace::default(), learned());
        let fast = steps(&mut pace, &mut usual, 1, 20, 200);
        assert!(steps(&mut pace, &mut usual, 10_000 * MS, 5, 260) >= fast, "a little is no matter");
        let before = pace.rate;
        assert!(usual.us() * 2 > 500);
        assert_eq!(steps(&mut pace, &mut usual, 20_000 * MS, 1, 500), before / 2);
    }

    #[test]
    fn at_the_floor_it_learns_what_is_usual_now() {
        let (mut pace, mut usual) = (Pace::default(), learned());
        steps(&mut pace, &mut usual, 1, 200, 5 * MS);
        assert!(usual.us() > 4 * MS, "{usual:?}");
        assert!(steps(&mut pace, &mut usual, 100_000 * MS, 200, 5 * MS) > 2 * CATCH_UP_LEAST_BYTES);
    }

    /// What is asked for in a second is what the rate says, in portions that suit it.
    #[test]
    fn portions_are_as_large_as_the_pace_and_come_when_they_are_due() {
        for rate in [CATCH_UP_LEAST_BYTES, 100 << 20, CATCH_UP_BYTES] {
            let mut pace = Pace { rate, ..Pace::default() };
            let (mut now_us, mut bytes) = (5, 0);
            while now_us < 1_000_005 {
                let portion = pace.portion(at(now_us), 0, MOST);
                assert!(portion.bytes.is_multiple_of(BLOCK), "{portion:?}");
                assert!((64 << 10..=CATCH_UP_PORTION).contains(&portion.bytes), "{portion:?}");
                assert!(portion.pause_us <= 2 * MS, "{portion:?}");
                (now_us, bytes) = (now_us + portion.pause_us, bytes + portion.bytes as u64);
            }
            assert!(bytes.abs_diff(rate) < rate / 40, "{bytes} of {rate}");
        }
    }
}
