//! A follower dies at each of its operations, and at each of those of the start after it. What it said that it had, it
//! has; what it has is the leader's; and it goes on from there to the same bytes.

#[path = "support/deaths.rs"]
mod deaths;
#[path = "support/follow.rs"]
mod following;
mod support;
#[path = "support/volatile.rs"]
mod volatile;

use deaths::{crashes, drive, feed, recover};
use following::{Item, items, leader, same_segments};
use seawall_wal::checkpoint::FoldPolicy;
use seawall_wal::{BLOCK, Follower, Index, LogLimits};
use support::{Disk, Seen, limits};
use volatile::{Crash, Left, Volatile};

struct Leader {
    disk: Disk,
    items: Vec<Item>,
    records: Vec<Seen>,
}

impl Leader {
    fn new(seed: u64, starts: usize, commits: usize) -> Self {
        let disk = leader(seed, starts, commits, limits());
        let (items, records) = (items(&disk), disk.clone().recover().0);
        Self { disk, items, records }
    }

    /// Starts on the disk as a crash left it, dies again while `depth` allows, and goes on to the end.
    fn survive(&self, disk: &Volatile, said: Index, depth: usize, limits: LogLimits, runs: &mut usize) {
        for crash in crashes(disk) {
            *runs += 1;
            let mut disk = disk.after(&crash);
            let (seen, mut follower, report) = recover(&mut disk, limits, &mut |disk, _| {
                if depth > 1 {
                    self.survive(disk, said, depth - 1, limits, runs);
                }
            });
            let last = follower.validated();
            assert!(last >= said, "it said {said:?}: {report}, after {crash:?}");
            assert_eq!((follower.received(), follower.persisted()), (last, last));
            let from = report.checkpoint.map_or(0, |checkpoint| usize::try_from(checkpoint.cut.0).unwrap());
            let known = &self.records[from..usize::try_from(last.0).unwrap()];
            assert_eq!(seen, known, "{report}, after {crash:?}");
            assert!(self.items.iter().any(|item| item.last == last), "half a batch: {report}");
            if depth == 1 {
                feed(&mut disk, &mut follower, &self.items, 3, &mut |_, _| {});
                let end = disk.after(&Crash::Power(vec![Left::Nothing]));
                let (again, ..) = recover(&mut end.clone(), limits, &mut |_, _| {});
                assert!(
                    self.records.ends_with(&again) && follower.validated().0 == self.records.len() as u64
                );
                if from == 0 {
                    same_segments(&self.disk, &end.read());
                }
            }
        }
    }

    fn die_everywhere(&self, depth: usize, group: usize, limits: LogLimits) -> usize {
        let (mut disk, mut runs) = (Volatile::new(), 0);
        let (_, mut follower, _) = recover(&mut disk, limits, &mut |_, _| {});
        feed(&mut disk, &mut follower, &self.items, group, &mut |disk, said| {
            self.survive(disk, said, depth, limits, &mut runs);
        });
        runs
    }
}

#[test]
fn a_follower_dies_at_each_operation_and_goes_on() {
    let runs: usize = [(1, 1), (2, 4)]
        .map(|(seed, group)| Leader::new(seed, 2, 5).die_everywhere(1, group, limits()))
        .iter()
        .sum();
    assert!(runs > 300, "{runs}");
}

#[test]
fn a_follower_dies_at_each_operation_of_the_start_after_its_death() {
    let runs = Leader::new(3, 2, 2).die_everywhere(2, 2, limits());
    assert!(runs > 1000, "{runs}");
}

/// With folds, and slots that are used again.
#[test]
fn a_follower_that_folds_dies_at_each_operation() {
    let fold = FoldPolicy { least_bytes: 12 * BLOCK as u64, most_segments: 3 };
    let limits = LogLimits { fold, checkpoints: 1, ..limits() };
    let leader = Leader::new(7, 2, 14);
    let (mut disk, mut runs, mut folds) = (Volatile::new(), 0, 0);
    let (_, mut follower, _) = recover(&mut disk, limits, &mut |_, _| {});
    follower.commit(Index(u64::MAX));
    feed(&mut disk, &mut follower, &leader.items, 2, &mut |disk, said| {
        leader.survive(disk, said, 1, limits, &mut runs);
    });
    folds += follower.stats().folds;
    assert!(runs > 300 && folds > 2, "{runs} {folds}");
}

/// A follower with everything but the last item, which was given to it.
fn last_given(leader: &Leader) -> (Volatile, Follower) {
    let mut disk = Volatile::new();
    let (_, mut follower, _) = recover(&mut disk, limits(), &mut |_, _| {});
    let (last, before) = leader.items.split_last().unwrap();
    feed(&mut disk, &mut follower, before, 3, &mut |_, _| {});
    drive(&mut disk, &mut follower, &mut |_, _| {});
    assert_eq!(follower.take(&last.bytes), Ok(last.bytes.len()));
    (disk, follower)
}

/// F-R1: bytes were received and not persisted. They are discarded: nothing is validated, and the follower resumes
/// from its last durable place.
#[test]
fn f_r1_what_was_received_and_not_persisted_is_discarded() {
    let leader = Leader::new(5, 2, 6);
    let (mut disk, mut follower) = last_given(&leader);
    let (before, end) = (follower.validated(), leader.items.last().unwrap());
    assert!(follower.received() > before && follower.fresh().count() == 0);
    let mut ios = Vec::new();
    follower.pump(&mut ios);
    ios.iter().for_each(|io| disk.accept(io));
    for left in [Left::Nothing, Left::FirstHalf, Left::SecondHalf, Left::Even, Left::Odd] {
        let mut disk = disk.after(&Crash::Power(vec![left]));
        let (seen, mut again, report) = recover(&mut disk, limits(), &mut |_, _| {});
        // Padding that is lost is zeros, as it was.
        if again.validated() == before {
            assert_eq!(seen.len() as u64, before.0);
            assert_eq!(
                (again.expected().offset, again.expected().incarnation.0),
                (end.offset, end.incarnation)
            );
        } else {
            assert_eq!(again.validated(), end.last, "{left:?}: {report}");
        }
        feed(&mut disk, &mut again, &leader.items, 1, &mut |_, _| {});
        same_segments(&leader.disk, &disk.read());
    }
    assert_eq!((follower.persisted(), follower.validated()), (before, before));
}

/// F-R2: bytes are durable, and the follower dies before it looks at them. They are there to be validated; nothing was
/// handed out to be applied.
#[test]
fn f_r2_what_was_persisted_and_not_validated_is_there_to_be_validated() {
    let leader = Leader::new(5, 2, 6);
    let (mut disk, mut follower) = last_given(&leader);
    let (before, last) = (follower.validated(), leader.items.last().unwrap().last);
    let mut ios = Vec::new();
    follower.pump(&mut ios);
    for io in ios {
        disk.accept(&io);
        disk.finish(io); // and the follower is not told
    }
    assert!(follower.received() == last && follower.validated() == before && follower.fresh().count() == 0);
    let mut disk = disk.after(&Crash::Power(vec![Left::Nothing]));
    let (seen, again, report) = recover(&mut disk, limits(), &mut |_, _| {});
    assert_eq!((again.validated(), report.last, seen.len() as u64), (last, last, last.0));
    assert_eq!(seen, leader.records);
    assert!(again.committed() < last, "nobody said that it is committed");
}
