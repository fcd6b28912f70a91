//! Leader time (R18): the only clock that decides, stamped into each record.
//!
//! It runs on from the last stamp in the log by CLOCK_BOOTTIME, so it never goes backwards, across starts too. At a
//! start it takes the wall clock where that is later. (Slewing to the wall clock while running comes with expiry.)

use crate::seam::Now;

#[derive(Clone, Copy, Debug)]
pub struct LeaderTime {
    base_us: i64,
    since_mono_us: u64,
}

impl LeaderTime {
    /// `last` is the newest stamp of the recovered log.
    pub fn start(now: Now, last: i64) -> Self {
        Self { base_us: now.wall_us.max(last), since_mono_us: now.mono_us }
    }

    pub fn at(&self, now: Now) -> i64 {
        let elapsed = now.mono_us.saturating_sub(self.since_mono_us);
        self.base_us.saturating_add_unsigned(elapsed)
    }
}
