//! What may be sent again, how often and how soon.

use std::time::Duration;

use super::Instant;
use super::answer::Failure;
use crate::client::Options;
use crate::refusal::{self, Refusal, Retry};

/// No wait is longer, before jitter.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Whether a request may be sent again when its fate is unknown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Repeat {
    /// It changes nothing.
    Freely,
    /// Only if it is certain that nothing was done.
    IfNotDone,
    /// It happens once, however often it arrives.
    UnderItsKey,
}

impl Repeat {
    /// How long to wait at least before the next attempt, or `None`: there is none.
    pub(crate) fn after(self, failure: &Failure, others: bool) -> Option<Duration> {
        match failure {
            Failure::Refused(_) if failure.leader().is_some() => Some(Duration::ZERO),
            Failure::Refused(refusal) => self.after_refusal(refusal, others),
            Failure::NotSent(_) => Some(Duration::ZERO),
            Failure::Lost(_) => self.after_loss(),
            Failure::Protocol(_) => None,
        }
    }

    fn after_refusal(self, refusal: &Refusal, others: bool) -> Option<Duration> {
        let undecided = match refusal.outcome {
            refusal::Outcome::None => true,
            refusal::Outcome::Unknown => matches!(self, Repeat::UnderItsKey | Repeat::Freely),
            refusal::Outcome::Committed | refusal::Outcome::Rejected => false,
        };
        if !undecided {
            return None;
        }
        match refusal.retry() {
            Retry::OtherReplica if others => Some(Duration::from_millis(refusal.retry_after_ms.into())),
            Retry::Never | Retry::OtherReplica => None, // it knows one address
            Retry::SameKeyNow | Retry::RefreshMap => Some(Duration::ZERO),
            Retry::SameKeyAfter => Some(Duration::from_millis(refusal.retry_after_ms.into())),
        }
    }

    fn after_loss(self) -> Option<Duration> {
        match self {
            Repeat::Freely | Repeat::UnderItsKey => Some(Duration::ZERO),
            Repeat::IfNotDone => None,
        }
    }
}

/// The budget of one call.
#[derive(Debug)]
pub(crate) struct Attempts {
    deadline: Instant,
    left: u32,
    backoff: Duration,
}

impl Attempts {
    pub(crate) fn begin(options: &Options, now: Instant) -> Attempts {
        Attempts { deadline: now + options.deadline, left: options.attempts, backoff: options.backoff }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When the next attempt begins, if there is one.
    pub(crate) fn next(&mut self, now: Instant, at_least: Duration, jitter: &mut Jitter) -> Option<Instant> {
        self.left = self.left.saturating_sub(1);
        let next = now + at_least + jitter.between_half_and_all(self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        (self.left > 0 && next < self.deadline).then_some(next)
    }
}

/// Keeps clients that failed together from coming back together. Xorshift: nothing rests on its quality.
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn seeded(seed: u64) -> Jitter {
        Jitter(seed.max(1))
    }

    fn between_half_and_all(&mut self, whole: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        whole / 2 + whole / 2 * (self.0 >> 48) as u32 / (1 << 16)
    }
}
