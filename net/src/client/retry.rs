//! How often and how soon a call is tried again.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Options;

/// No wait is longer, before jitter.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The budget of one call.
#[derive(Debug)]
pub(super) struct Attempts {
    deadline: Instant,
    left: u32,
    backoff: Duration,
    jitter: Jitter,
}

impl Attempts {
    pub(super) fn begin(options: &Options) -> Attempts {
        Attempts {
            deadline: Instant::now() + options.deadline,
            left: options.attempts,
            backoff: options.backoff,
            jitter: Jitter::seeded(),
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Sleeps until the next attempt and returns whether there is one.
    pub(super) fn wait(&mut self, at_least: Duration) -> bool {
        self.left = self.left.saturating_sub(1);
        let wait = at_least + self.jitter.between_half_and_all(self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        if self.left == 0 || Instant::now() + wait >= self.deadline {
            return false;
        }
        std::thread::sleep(wait);
        true
    }
}

/// Keeps clients that failed together from coming back together. Xorshift: nothing rests on its quality.
#[derive(Debug)]
struct Jitter(u64);

impl Jitter {
    fn seeded() -> Jitter {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Jitter((clock.as_nanos() as u64).max(1))
    }

    fn between_half_and_all(&mut self, whole: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        whole / 2 + whole / 2 * (self.0 >> 48) as u32 / (1 << 16)
    }
}
