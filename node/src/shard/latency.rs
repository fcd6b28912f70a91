//! How long commits take: from the append until the record is committed and the answer may leave.

use std::collections::VecDeque;

use seawall_wal::Index;

/// Upper edges of the buckets, in microseconds. What takes longer falls into one more bucket behind them.
pub const EDGES_US: [u64; 15] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    5_000_000,
];

/// Commits by how long they took, since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Each counts its own range alone.
    pub buckets: [u64; EDGES_US.len() + 1],
    pub sum_us: u64,
}

impl Histogram {
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn add(&mut self, took_us: u64, commits: u64) {
        let bucket = EDGES_US.partition_point(|edge| *edge < took_us);
        self.buckets[bucket] += commits;
        self.sum_us = self.sum_us.saturating_add(took_us.saturating_mul(commits));
    }
}

/// What commits take in times when nothing disturbs them, nearly all of them and on the average; and what they took since.
#[derive(Debug, Default)]
pub(super) struct Usual {
    us: u64,
    mean_ns: u64,
    /// Something may disturb them: nothing is learned.
    disturbed: bool,
    seen: Seen,
}

/// Commits since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub commits: u64,
    /// More than one in a hundred took twice as long as nearly all do, or all together half as long again as they do.
    pub slow: bool,
    late: u64,
    sum_us: u64,
}

impl Usual {
    /// So many samples below for one above: what 98 of 100 commits do not exceed.
    const BELOW: u64 = 49;
    /// The average follows each sample by so much.
    const MEAN: u64 = 256;

    #[cfg(test)]
    pub fn us(&self) -> u64 {
        self.us
    }

    /// Commits that were made together took so long.
    pub fn took(&mut self, us: u64, commits: u64) {
        if self.disturbed {
            self.seen.commits += commits;
            self.seen.late += if us > 2 * self.us { commits } else { 0 };
            self.seen.sum_us = self.seen.sum_us.saturating_add(us.saturating_mul(commits));
            return;
        }
        let ns = us.saturating_mul(1000);
        self.mean_ns = match self.mean_ns {
            0 => ns,
            mean => (mean.saturating_mul(Self::MEAN - 1).saturating_add(ns)) / Self::MEAN,
        };
        if us > self.us {
            // The steps are relative, so they suit every disk.
            self.us = if self.us == 0 { us } else { self.us + (self.us / 8).max(1) };
        } else {
            self.us -= (self.us / (8 * Self::BELOW)).min(self.us - us);
        }
    }

    /// What there was since the last look.
    pub fn look(&mut self, disturbed: bool) -> Seen {
        self.disturbed = disturbed && self.us > 0;
        let mut seen = std::mem::take(&mut self.seen);
        let Seen { commits, late, sum_us, .. } = seen;
        let average_ns = sum_us.saturating_mul(1000).checked_div(commits).unwrap_or(0);
        seen.slow = late * 100 > commits || average_ns > self.mean_ns + self.mean_ns / 2;
        seen
    }
}

#[derive(Debug, Default)]
pub(super) struct Latency {
    seen: Histogram,
    /// Commits that are not committed yet, oldest first: one entry for all of the same moment.
    waiting: VecDeque<Waiting>,
    newest_us: u64,
    usual: Usual,
}

#[derive(Debug)]
struct Waiting {
    last: Index,
    at_us: u64,
    commits: u64,
}

impl Latency {
    pub(super) fn appended(&mut self, index: Index, now_us: u64) {
        self.newest_us = now_us;
        match self.waiting.back_mut() {
            Some(same) if same.at_us == now_us => {
                same.last = index;
                same.commits += 1;
            }
            _ => self.waiting.push_back(Waiting { last: index, at_us: now_us, commits: 1 }),
        }
    }

    /// An entry of which a part is committed counts when the rest is, too: a batch is sealed between two moments.
    pub(super) fn committed(&mut self, through: Index, now_us: u64) {
        while let Some(Waiting { at_us, commits, .. }) = self.waiting.pop_front_if(|w| w.last <= through) {
            let took_us = now_us.saturating_sub(at_us);
            self.seen.add(took_us, commits);
            self.usual.took(took_us, commits);
        }
    }

    /// Nothing waits, and nobody has committed for so long.
    pub(super) fn is_quiet(&self, now_us: u64, quiet_us: u64) -> bool {
        self.waiting.is_empty() && now_us.saturating_sub(self.newest_us) >= quiet_us
    }

    /// What waits is never committed by this process.
    pub(super) fn fail(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn usual(&mut self) -> &mut Usual {
        &mut self.usual
    }

    pub(super) fn seen(&self) -> Histogram {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_commit_counts_once_when_it_is_committed() {
        let mut latency = Latency::default();
        latency.appended(Index(7), 1_000);
        latency.appended(Index(8), 1_000);
        latency.appended(Index(10), 1_400);
        latency.committed(Index(7), 1_050);
        assert_eq!(latency.seen().count(), 0, "the other one of that moment is under way");
        latency.committed(Index(9), 1_050);
        latency.committed(Index(10), 1_651);
        let seen = latency.seen();
        assert_eq!((seen.count(), seen.sum_us), (3, 50 + 50 + 251));
        assert_eq!((seen.buckets[0], seen.buckets[3]), (2, 1), "an edge belongs to the bucket below it");
        latency.appended(Index(11), 2_000);
        latency.fail();
        latency.committed(Index(11), 9_000_000);
        assert_eq!(latency.seen().count(), 3);
    }

    #[test]
    fn it_is_quiet_a_while_after_the_last_commit_and_never_while_one_waits() {
        let mut latency = Latency::default();
        assert!(latency.is_quiet(100, 100), "nobody has committed yet");
        latency.appended(Index(1), 1_000);
        assert!(!latency.is_quiet(9_000, 100), "it waits");
        latency.committed(Index(1), 9_000);
        assert!(latency.is_quiet(9_000, 100) && !latency.is_quiet(1_099, 100));
    }

    #[test]
    fn what_is_slower_than_every_edge_is_counted_too() {
        let mut seen = Histogram::default();
        seen.add(60_000_000, 2);
        assert_eq!((seen.count(), *seen.buckets.last().expect("one")), (2, 2));
    }
}
