//! The clocks that a process sees. Virtual time is the world's; a process sees CLOCK_BOOTTIME, which only
//! advances while the machine runs, and the wall clock, which may jump either way.

use seawall_node::seam::Now;

#[derive(Clone, Debug)]
pub struct Clock {
    /// Virtual time of the machine's start, and what CLOCK_BOOTTIME showed then.
    started_at: u64,
    shown: u64,
    /// What the wall clock shows at virtual time 0.
    wall_us: i64,
    /// By how much CLOCK_BOOTTIME is fast, in millionths: its own constant rate.
    drift_ppm: i64,
}

impl Clock {
    /// `shown` is what CLOCK_BOOTTIME shows at virtual time 0.
    pub fn new(shown: u64) -> Self {
        Self { started_at: 0, shown, wall_us: 1_780_000_000_000_000, drift_ppm: 0 }
    }

    /// Such a clock with a rate of its own.
    pub fn drifting(shown: u64, drift_ppm: i64) -> Self {
        Self { drift_ppm, ..Self::new(shown) }
    }

    /// The wall clock is set to another time, forwards or backwards.
    pub fn jump(&mut self, by_us: i64) {
        self.wall_us += by_us;
    }

    /// Both clocks show a later time: so long nobody looked.
    pub fn pass(&mut self, by_us: u64) {
        self.shown += by_us;
        self.wall_us = self.wall_us.saturating_add_unsigned(by_us);
    }

    /// The machine starts again at virtual time `at`: CLOCK_BOOTTIME begins anew.
    pub fn reboot(&mut self, at: u64) {
        (self.started_at, self.shown) = (at, 1_000_000);
    }

    pub fn read(&self, at: u64) -> Now {
        let wall = i64::try_from(at).expect("virtual time is small");
        let ran = i64::try_from(at - self.started_at).expect("virtual time is small");
        let mono_us = self.shown.saturating_add_signed(ran + ran * self.drift_ppm / 1_000_000);
        Now { mono_us, wall_us: self.wall_us + wall }
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn two_clocks_drift_apart_by_the_difference_of_their_rates() {
        let (fast, slow) = (Clock::drifting(0, 250), Clock::drifting(0, -250));
        assert_eq!(fast.read(2_000_000).mono_us - slow.read(2_000_000).mono_us, 1_000);
    }

    #[test]
    fn the_wall_clock_jumps_alone_and_a_reboot_restarts_the_other() {
        let mut clock = Clock::new(500);
        let before = clock.read(100);
        clock.jump(-1_000_000);
        let after = clock.read(150);
        assert_eq!(after.mono_us - before.mono_us, 50);
        assert!(after.wall_us < before.wall_us);
        clock.reboot(200);
        assert_eq!(clock.read(205).mono_us, 1_000_005);
    }
}
