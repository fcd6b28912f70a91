//! A follower's log parts from the new leader's: it is cut, over several segments, and dies at each step of that. What
//! was cut off never comes back, and what the new leader wrote at the same indices stays.

#[path = "support/deaths.rs"]
mod deaths;
#[path = "support/follow.rs"]
mod following;
mod support;
#[path = "support/volatile.rs"]
mod volatile;

use deaths::{crashes, drive, feed, recover};
use following::{Item, items, lead, leader, missing, same_segments};
use seawall_wal::checkpoint::FoldPolicy;
use seawall_wal::{BLOCK, FileId, Follower, Index, LogLimits, NoCut};
use support::{Disk, Seen, limits};
use volatile::{Crash, Volatile};

/// Two leaders with one beginning. The old one went on for some epochs, the new one in an epoch above them.
struct Parted {
    old: Vec<Item>,
    old_records: Vec<Seen>,
    new: Disk,
    new_items: Vec<Item>,
    new_records: Vec<Seen>,
    /// The last index of the beginning.
    common: Index,
}

impl Parted {
    /// `in_the_middle`: the new leader lacks the end of the old one's segment, too.
    fn new(seed: u64, in_the_middle: bool) -> Self {
        let mut new = leader(seed, 1, 5, limits());
        let mut old = new.clone();
        if in_the_middle {
            // Before another start writes its header: the same process goes on.
            (old, new) = went_on(seed);
        }
        let common = new.clone().recover().2.last;
        for n in 0..3u8 {
            let mut log = old.open();
            for m in 0..4 {
                old.commit(&mut log, &vec![100 + n * 8 + m; 3000]);
            }
        }
        let mut log = lead(&mut new, limits(), 9);
        for n in 0..7u8 {
            new.commit(&mut log, &vec![200 + n; 2500]);
        }
        let (old_items, new_items) = (items(&old), items(&new));
        let (old_records, new_records) = (old.clone().recover().0, new.clone().recover().0);
        Self { old: old_items, old_records, new, new_items, new_records, common }
    }

    fn old_last(&self) -> Index {
        self.old.last().unwrap().last
    }
}

/// One log as it was, and as it went on in the same epoch: the old and the new leader.
fn went_on(seed: u64) -> (Disk, Disk) {
    let mut disk = leader(seed, 1, 2, limits());
    let mut log = disk.open();
    disk.commit(&mut log, b"both have it");
    let before = disk.clone();
    for n in 0..9u8 {
        disk.commit(&mut log, &vec![50 + n; 2000]);
    }
    (disk, before)
}

fn limits_of() -> LogLimits {
    limits()
}

/// Recovers, cuts if that is still to be done, follows the new leader to its end. At every place where the log is
/// known it is the old one or a prefix of the new one, and never the old one again.
fn go_on(parted: &Parted, mut disk: Volatile, crash: &Crash, cut_before: bool) {
    let (seen, mut follower, report) = recover(&mut disk, limits_of(), &mut |_, _| {});
    let cut = follower.validated() <= parted.common || seen != parted.old_records;
    assert!(cut || !cut_before, "what was cut off is back: {report}, after {crash:?}");
    if !cut {
        assert_eq!(seen, parted.old_records, "{report}, after {crash:?}");
        follower.cut_to(parted.common).unwrap();
        drive(&mut disk, &mut follower, &mut |_, _| {});
        (_, follower, _) = recover(&mut disk, limits_of(), &mut |_, _| {});
        assert_eq!(follower.validated(), parted.common);
    } else {
        assert!(parted.new_records.starts_with(&seen), "{report}, after {crash:?}");
    }
    feed(&mut disk, &mut follower, &parted.new_items, 3, &mut |_, _| {});
    same_segments(&parted.new, &disk.read());
    let (seen, again, report) = recover(&mut disk, limits_of(), &mut |_, _| {});
    assert!(seen == parted.new_records && again.validated() == report.last, "{report}");
}

/// A follower that has all of the old leader's log.
fn follower_of_old(parted: &Parted) -> (Volatile, Follower) {
    let mut disk = Volatile::new();
    let (_, mut follower, _) = recover(&mut disk, limits_of(), &mut |_, _| {});
    feed(&mut disk, &mut follower, &parted.old, 4, &mut |_, _| {});
    assert_eq!(follower.validated(), parted.old_last());
    (disk, follower)
}

/// Dies at each operation of: writing the cut down, the recovery that finishes it (and of the recovery after that
/// death), and following the new leader.
fn die_everywhere(parted: &Parted, twice: bool) -> usize {
    let mut runs = 0;
    let (mut disk, mut follower) = follower_of_old(parted);
    follower.cut_to(parted.common).unwrap();
    drive(&mut disk, &mut follower, &mut |disk, _| {
        for crash in crashes(disk) {
            go_on(parted, disk.after(&crash), &crash, false);
            runs += 1;
        }
    });
    drop(follower); // the cut is durable
    let (seen, mut follower, report) = recover(&mut disk, limits_of(), &mut |disk, _| {
        for crash in crashes(disk) {
            runs += 1;
            let after = disk.after(&crash);
            if twice {
                recover(&mut after.clone(), limits_of(), &mut |disk, _| {
                    for crash in crashes(disk) {
                        go_on(parted, disk.after(&crash), &crash, true);
                        runs += 1;
                    }
                });
            }
            go_on(parted, after, &crash, true);
        }
    });
    assert_eq!((follower.validated(), seen.len() as u64), (parted.common, parted.common.0), "{report}");
    assert!(report.abandoned.len() > 2 && follower.meta().cut.is_none(), "{report}");
    let kept: Vec<Vec<u8>> = disk.quarantine.values().map(|bytes| bytes.to_vec()).collect();
    for item in missing(&parted.old, &follower) {
        let there = |bytes: &Vec<u8>| bytes.chunks(BLOCK).any(|block| block == &item.bytes[..BLOCK]);
        assert!(
            kept.iter().any(there),
            "segment {} at {} is in the quarantine",
            item.incarnation,
            item.offset
        );
    }
    feed(&mut disk, &mut follower, &parted.new_items, 2, &mut |disk, _| {
        for crash in crashes(disk) {
            go_on(parted, disk.after(&crash), &crash, true);
            runs += 1;
        }
    });
    same_segments(&parted.new, &disk.read());
    runs
}

#[test]
fn a_cut_between_segments_is_finished_whenever_it_dies() {
    let runs = die_everywhere(&Parted::new(1, false), false);
    assert!(runs > 150, "{runs}");
}

#[test]
fn a_cut_inside_a_segment_is_finished_whenever_it_dies() {
    let parted = Parted::new(2, true);
    let inside = |item: &&Item| item.last == parted.common && item.offset > 0;
    assert!(parted.old.iter().rfind(inside).is_some_and(|item| {
        parted.old.iter().any(|next| next.incarnation == item.incarnation && next.offset > item.offset)
    }));
    let runs = die_everywhere(&parted, false);
    assert!(runs > 150, "{runs}");
}

#[test]
fn a_cut_is_finished_by_the_second_start_after_a_death() {
    let runs = die_everywhere(&Parted::new(3, true), true);
    assert!(runs > 1000, "{runs}");
}

/// A later leader whose history has an *earlier* epoch behind the cut: the incarnations of its segments are lower than
/// those that were cut off.
#[test]
fn segments_of_an_earlier_epoch_follow_a_cut() {
    let (went_on, before) = went_on(4);
    let mut other = before.clone();
    let mut log = lead(&mut other, limits(), 5);
    for n in 0..9u8 {
        other.commit(&mut log, &vec![n; 3000]);
    }
    let common = before.clone().recover().2.last;
    let mut disk = Volatile::new();
    let (_, mut follower, _) = recover(&mut disk, limits(), &mut |_, _| {});
    feed(&mut disk, &mut follower, &items(&other), 3, &mut |_, _| {});
    follower.cut_to(common).unwrap();
    drive(&mut disk, &mut follower, &mut |_, _| {});
    let (_, mut follower, _) = recover(&mut disk, limits(), &mut |_, _| {});
    feed(&mut disk, &mut follower, &items(&went_on), 2, &mut |disk, said| {
        for crash in crashes(disk) {
            let (_, again, report) = recover(&mut disk.after(&crash), limits(), &mut |_, _| {});
            assert!(again.validated() >= said, "{report}, after {crash:?}");
        }
    });
    same_segments(&went_on, &disk.read());
}

#[test]
fn all_of_a_log_is_cut_off() {
    let (old, new) = (leader(5, 2, 4, limits()), leader(6, 3, 6, limits()));
    let mut disk = Disk::new();
    let mut follower = following::follow(&mut disk, limits());
    following::feed(&mut disk, &mut follower, &items(&old));
    follower.cut_to(Index(0)).unwrap();
    following::settle(&mut disk, &mut follower);
    let mut follower = following::follow(&mut disk, limits());
    assert_eq!((follower.validated(), follower.segment_headers().count()), (Index(0), 0));
    following::feed(&mut disk, &mut follower, &items(&new));
    same_segments(&new, &disk);
}

/// What a checkpoint holds cannot be cut off; what lies behind it can, to the last record.
#[test]
fn a_cut_at_a_checkpoint_leaves_it_and_one_below_is_refused() {
    let fold = FoldPolicy { least_bytes: 20 * BLOCK as u64, most_segments: 4 };
    let limits = LogLimits { fold, fold_changes: 1000, ..limits() };
    let mut old = Disk::new();
    let mut log = old.open_with(limits);
    log.set_floor(Some(Index(1)));
    let mut disk = Disk::new();
    let mut follower = following::follow(&mut disk, limits);
    follower.commit(Index(u64::MAX));
    for n in 0..60u8 {
        old.commit(&mut log, &vec![n; 3000]);
    }
    following::feed(&mut disk, &mut follower, &items(&old));
    let covered = follower.checkpoint().unwrap().boundary.cut.index;
    assert!(covered < follower.validated());
    assert_eq!(follower.cut_to(Index(covered.0 - 1)), Err(NoCut::InCheckpoint(covered)));
    let last = follower.validated();
    assert_eq!(follower.cut_to(Index(last.0 + 1)), Err(NoCut::Beyond(last)));
    follower.cut_to(covered).unwrap();
    following::settle(&mut disk, &mut follower);
    let mut again = following::follow(&mut disk.clone(), limits);
    assert_eq!((again.validated(), again.received()), (covered, covered));
    let mut follower = following::follow(&mut disk, limits);
    let rest = missing(&items(&old), &follower);
    following::feed(&mut disk, &mut follower, &rest);
    assert_eq!(follower.validated(), last);
    // And a leader begins there, too.
    let covered = again.checkpoint().unwrap().boundary.cut.index;
    again.cut_to(covered).unwrap();
    let mut led = disk.clone();
    let mut third = following::follow(&mut led, limits);
    third.cut_to(third.checkpoint().unwrap().boundary.cut.index).unwrap();
    following::settle(&mut led, &mut third);
    let mut log = lead(&mut led, limits, 7);
    led.commit(&mut log, b"goes on");
    let (_, log, report) = led.recover_with(limits);
    assert!(log.is_some() && report.found_epoch.0 == 7, "{report}");
}

/// The marks go down with the cut: what was cut off is not missed.
/// A leader that came to nothing closed a segment in which the log that everybody has now goes on. All that stood in it
/// was committed: a checkpoint of it would end where no other log does, and nothing would ever continue it.
#[test]
fn a_segment_is_not_folded_before_what_follows_it_is_committed() {
    let fold = FoldPolicy { least_bytes: BLOCK as u64, most_segments: 1 };
    let limits = LogLimits { fold, fold_changes: 1000, ..limits() };
    let (all, before) = went_on(11);
    let common = before.clone().recover().2.last;
    let mut nothing = before.clone();
    let mut log = lead(&mut nothing, limits_of(), 4);
    nothing.commit(&mut log, b"came to nothing");
    let mut disk = Disk::new();
    let mut follower = following::follow(&mut disk, limits);
    following::feed(&mut disk, &mut follower, &items(&nothing));
    assert!(follower.validated() > common, "it has what the other leader began with");
    follower.commit(common);
    following::settle(&mut disk, &mut follower);
    follower.cut_to(common).expect("nothing below is cut");
    following::settle(&mut disk, &mut follower);
    drop(follower);
    let mut follower = following::follow(&mut disk, limits);
    let rest = missing(&items(&all), &follower);
    following::feed(&mut disk, &mut follower, &rest);
    assert_eq!(follower.validated(), all.clone().recover().2.last);
}

#[test]
fn a_cut_takes_the_marks_along() {
    let parted = Parted::new(1, false);
    let mut disk = Disk::new();
    let mut follower = following::follow(&mut disk, limits());
    following::feed(&mut disk, &mut follower, &parted.old);
    let last = follower.validated();
    follower.wish(|meta| (meta.durable, meta.clean, meta.committed) = (last, last, last));
    following::settle(&mut disk, &mut follower);
    follower.cut_to(parted.common).unwrap();
    following::settle(&mut disk, &mut follower);
    let follower = following::follow(&mut disk, limits());
    let meta = follower.meta();
    assert_eq!([meta.durable, meta.clean, meta.committed], [parted.common; 3]);
    assert!(disk.files.keys().any(|file| matches!(file, FileId::Slot(_))));
}

/// Whoever starts next finishes the cut, also one who leads.
#[test]
fn a_start_that_leads_finishes_a_cut_too() {
    for alone in [false, true] {
        let parted = Parted::new(4, true);
        let mut disk = Disk::new();
        let mut follower = following::follow(&mut disk, limits());
        following::feed(&mut disk, &mut follower, &parted.old);
        follower.cut_to(parted.common).unwrap();
        following::settle(&mut disk, &mut follower);
        let mut log = if alone { disk.open() } else { lead(&mut disk, limits(), 8) };
        assert_eq!(log.durable(), parted.common);
        disk.commit(&mut log, b"goes on");
        let (seen, log, report) = disk.recover();
        assert!(log.is_some() && seen.len() as u64 == parted.common.0 + 1, "{report}");
        assert!(parted.old_records.starts_with(&seen[..seen.len() - 1]));
    }
}

/// A cut that stands inside a batch was decided by somebody with another log: it is not carried out.
#[test]
fn a_cut_inside_a_batch_halts_and_takes_nothing() {
    let mut source = Disk::new();
    let mut log = source.open();
    for n in 0..3u8 {
        for m in 0..2u8 {
            support::append(&mut log, &[n, m]).unwrap();
        }
        source.settle(&mut log);
    }
    let mut disk = Disk::new();
    let mut follower = following::follow(&mut disk, limits());
    following::feed(&mut disk, &mut follower, &items(&source));
    follower.cut_to(Index(3)).unwrap();
    assert_eq!(follower.take(&items(&source)[0].bytes), Ok(0), "its end is decided");
    following::settle(&mut disk, &mut follower);
    let before = disk.files.clone();
    let (_, opened, report) = following::open_as(&mut disk, limits(), seawall_wal::Start::Follow);
    let halt = report.halt.expect("no batch ends there");
    assert!(matches!(opened, following::Opened::Halted) && halt.rule == "R12", "{halt}");
    assert!(disk.files == before && disk.quarantine.is_empty());
}
