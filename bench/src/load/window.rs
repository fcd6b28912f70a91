//! Which operations count, and what is counted.
//!
//! In a closed loop an operation counts when its reply arrives within the measured window; in an open loop, when it
//! was due within it, so that no stall can push the operations that it delayed out of the window. A moment is when
//! the thread woke for a batch of events: a latency includes the time that other connections of the batch took here.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use seawall::Code;

/// Nanoseconds since the run began.
pub type Nanos = u64;

const LONGEST_US: u64 = 60_000_000;
const DIGITS: u8 = 3;
/// Lines of failures that are kept; the rest is only counted.
const FAILURES: usize = 8;
/// What is done in a time so long is one step of the throughput over time.
pub const STEP: Nanos = 100_000_000;

/// From its first moment up to, but not including, its last.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from: Nanos,
    pub until: Nanos,
}

impl Window {
    pub fn after(warmup: Duration, seconds: Duration) -> Window {
        let from = nanos(warmup);
        Window { from, until: from + nanos(seconds) }
    }

    pub fn holds(&self, moment: Nanos) -> bool {
        (self.from..self.until).contains(&moment)
    }
}

pub fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).expect("a run lasts less than 500 years")
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Done,
    /// Done, and there was no such row.
    NotFound,
    /// Nothing happened, or it was rejected.
    Refused(Code),
    /// It may have happened.
    Unknown(Code),
    /// It was answered with what cannot be.
    Wrong(String),
}

/// Errors that no node gave a code.
pub mod fault {
    pub const CONNECTION_LOST: &str = "CONNECTION_LOST";
    pub const NO_ANSWER: &str = "NO_ANSWER";
    pub const WRONG_ANSWER: &str = "WRONG_ANSWER";
    pub const TOOL_FAILED: &str = "TOOL_FAILED";
}

/// What happened to the operations of a thread, or of all.
#[derive(Debug)]
pub struct Tally {
    /// In microseconds, of what was done and counts, and of what was due and never sent.
    pub latencies: Histogram<u64>,
    /// Done, and it counts.
    pub done: u64,
    /// Reads among these that found no row.
    pub not_found: u64,
    /// Due within the window, and not sent until its end.
    pub behind: u64,
    /// Done at any time, warm-up and draining included.
    pub done_ever: u64,
    /// What was done in each [`STEP`] of the run.
    pub steps: Vec<u64>,
    /// Everything that was asked and not done, at any time, by code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Those among them that nobody may take for "nothing happened".
    pub serious: u64,
    /// The first of these in words.
    pub failures: Vec<String>,
    /// What the additions to the one hot row came to.
    pub sums: Sums,
}

impl Default for Tally {
    fn default() -> Tally {
        let latencies = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("sensible bounds");
        Tally {
            latencies,
            done: 0,
            not_found: 0,
            behind: 0,
            done_ever: 0,
            steps: Vec::new(),
            errors: BTreeMap::new(),
            serious: 0,
            failures: Vec::new(),
            sums: Sums::default(),
        }
    }
}

impl Tally {
    /// An operation ended at `now`; its latency began at `since`, and it `counts` or does not.
    pub fn ended(&mut self, counts: bool, since: Nanos, now: Nanos, ended: Ended) {
        match ended {
            Ended::Done | Ended::NotFound => {
                self.done_ever += 1;
                *self.step(now) += 1;
                if counts {
                    self.done += 1;
                    self.not_found += u64::from(ended == Ended::NotFound);
                    self.latencies.saturating_record(now.saturating_sub(since) / 1000);
                }
            }
            Ended::Refused(code) => *self.errors.entry(code.name()).or_default() += 1,
            Ended::Unknown(code) => {
                self.failed(code.name(), 1, || format!("{code}: whether an operation was done is unknown"));
            }
            Ended::Wrong(why) => self.failed(fault::WRONG_ANSWER, 1, || why),
        }
    }

    /// `operations` were due at `due`, and not sent until the end.
    pub fn never_sent(&mut self, window: Window, due: Nanos, end: Nanos, operations: u64) {
        if window.holds(due) {
            self.behind += operations;
            self.latencies.saturating_record_n(end.saturating_sub(due) / 1000, operations);
        }
    }

    /// `count` operations or connections failed; never none.
    pub fn failed(&mut self, code: &'static str, count: u64, why: impl FnOnce() -> String) {
        let count = count.max(1);
        *self.errors.entry(code).or_default() += count;
        self.serious += count;
        if self.failures.len() < FAILURES {
            self.failures.push(why());
        }
    }

    /// How many operations and connections failed, whatever their code.
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    pub fn add(&mut self, part: Tally) {
        self.latencies.add(&part.latencies).expect("the same bounds everywhere");
        self.done += part.done;
        self.not_found += part.not_found;
        self.behind += part.behind;
        self.done_ever += part.done_ever;
        self.steps.resize(self.steps.len().max(part.steps.len()), 0);
        self.steps.iter_mut().zip(&part.steps).for_each(|(step, more)| *step += more);
        for (code, count) in part.errors {
            *self.errors.entry(code).or_default() += count;
        }
        self.serious += part.serious;
        let room = FAILURES.saturating_sub(self.failures.len());
        self.failures.extend(part.failures.into_iter().take(room));
        self.sums.add(part.sums);
    }

    fn step(&mut self, now: Nanos) -> &mut u64 {
        let step = (now / STEP) as usize;
        if self.steps.len() <= step {
            self.steps.resize(step + 1, 0);
        }
        &mut self.steps[step]
    }
}

/// Sums that additions of 1 to a row that began at 0 came to. If each was done once, they are 1, 2, 3 and so on, and
/// every one of them was seen once, in whatever order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub seen: u64,
    highest: u64,
    total: u128,
}

impl Sums {
    pub fn saw(&mut self, sum: u64) {
        self.add(Sums { seen: 1, highest: sum, total: u128::from(sum) });
    }

    fn add(&mut self, more: Sums) {
        self.seen += more.seen;
        self.highest = self.highest.max(more.highest);
        self.total += more.total;
    }

    /// What is wrong with them, provided that every addition was answered.
    pub fn complaint(&self) -> Option<String> {
        let Sums { seen, highest, total } = *self;
        let expected = u128::from(seen) * u128::from(seen + 1) / 2;
        (highest != seen || total != expected).then(|| {
            format!(
                "{seen} additions of 1 to a new row were answered, but their sums are not 1 to {seen}: the highest is \
                 {highest}, and they add up to {total} instead of {expected}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_its_first_moment_and_not_its_last() {
        let window = Window::after(Duration::from_millis(1), Duration::from_millis(2));
        let held = [999_999, 1_000_000, 2_999_999, 3_000_000].map(|moment| window.holds(moment));
        assert_eq!(held, [false, true, true, false]);
    }

    #[test]
    fn what_does_not_count_is_done_but_has_no_latency() {
        let mut tally = Tally::default();
        tally.ended(false, 0, 999_999, Ended::Done);
        tally.ended(true, 0, 1_000_000, Ended::Done);
        tally.ended(true, 1_500_000, 2_999_999, Ended::NotFound);
        assert_eq!((tally.done, tally.not_found, tally.done_ever, tally.latencies.len()), (2, 1, 3, 2));
        assert_eq!((tally.latencies.min(), tally.latencies.max()), (1000, 1499));
    }

    #[test]
    fn latencies_beyond_the_scale_are_kept_at_its_ends() {
        let mut tally = Tally::default();
        tally.ended(true, 0, 10, Ended::Done);
        tally.ended(true, 0, 90_000_000_000, Ended::NotFound);
        assert_eq!(tally.latencies.len(), 2);
        assert!(tally.latencies.max() >= LONGEST_US);
    }

    #[test]
    fn what_is_not_done_counts_by_code_and_never_as_done() {
        let mut tally = Tally::default();
        tally.ended(true, 0, 1, Ended::Refused(Code::Throttled));
        tally.ended(false, 0, 1, Ended::Refused(Code::ConditionFailed));
        assert_eq!((tally.serious, tally.failures.len()), (0, 0), "refused and rejected is certain");
        tally.ended(true, 0, 1, Ended::Unknown(Code::LogFailed));
        tally.ended(false, 0, 1, Ended::Wrong("a row of another key".to_owned()));
        let names = ["CONDITION_FAILED", "LOG_FAILED", "THROTTLED", "WRONG_ANSWER"];
        assert_eq!(tally.errors, names.map(|name| (name, 1)).into());
        assert_eq!((tally.error_count(), tally.serious, tally.failures.len()), (4, 2, 2));
        assert_eq!((tally.done, tally.done_ever, tally.latencies.len(), tally.steps.len()), (0, 0, 0, 0));
    }

    #[test]
    fn parts_add_up() {
        let part = |at| {
            let mut tally = Tally::default();
            tally.ended(true, 0, at, Ended::Done);
            tally.ended(true, 0, at, Ended::Refused(Code::Throttled));
            tally.sums.saw(at / STEP);
            (0..FAILURES).for_each(|_| tally.failed(fault::CONNECTION_LOST, 0, || "lost".to_owned()));
            tally
        };
        let mut whole = part(2 * STEP);
        whole.add(part(STEP));
        assert_eq!((whole.done, whole.latencies.len(), whole.errors["THROTTLED"]), (2, 2, 2));
        assert_eq!((whole.serious, whole.failures.len()), (2 * FAILURES as u64, FAILURES));
        assert_eq!(whole.steps, [0, 1, 1]);
        assert_eq!((whole.sums.seen, whole.sums.complaint()), (2, None));
    }

    #[test]
    fn sums_that_are_missing_or_come_twice_are_noticed() {
        let of = |sums: &[u64]| {
            let mut all = Sums::default();
            sums.iter().for_each(|sum| all.saw(*sum));
            all.complaint()
        };
        for fine in [&[][..], &[1], &[3, 1, 2]] {
            assert_eq!(of(fine), None);
        }
        for wrong in [&[2][..], &[1, 1], &[1, 2, 2], &[1, 3], &[1, 2, 3, 3, 3]] {
            assert!(of(wrong).is_some(), "{wrong:?}");
        }
    }
}
