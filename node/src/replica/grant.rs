//! A member's lease promise, on its own CLOCK_BOOTTIME: until it ends, no higher epoch is adopted (R11, R16).

/// What a member has granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    until_us: u64,
    /// The longest one that was ever made durable: after a start it counts as just granted, whoever got it.
    longest_us: u64,
}

impl Grant {
    /// A start knows what was granted longest, and not when.
    pub fn after_start(now_us: u64, longest_us: u64) -> Self {
        Self { until_us: now_us + longest_us, longest_us }
    }

    pub fn left_us(&self, now_us: u64) -> u64 {
        self.until_us.saturating_sub(now_us)
    }

    /// Whether a lease of this length may be granted before a longer one is made durable.
    pub fn covers(&self, lease_us: u64) -> bool {
        lease_us <= self.longest_us
    }

    /// The metadata says so now.
    pub fn remembered(&mut self, longest_us: u64) {
        self.longest_us = self.longest_us.max(longest_us);
    }

    /// Promised from now on, for so long. Earlier promises are never shortened.
    pub fn grant(&mut self, now_us: u64, lease_us: u64) {
        assert!(self.covers(lease_us), "a start must know how long it may have granted");
        self.until_us = self.until_us.max(now_us + lease_us);
    }
}
