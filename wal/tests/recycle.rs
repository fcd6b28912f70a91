//! A log that folds, recycles and starts from a checkpoint: what it keeps, what it lets go, and what it refuses.

#[path = "support/folding.rs"]
mod folding;
mod support;

use std::collections::BTreeMap;

use folding::{checkpoints, fold, limits, start, until_fold, until_roll};
use seawall_wal::checkpoint::FoldPolicy;
use seawall_wal::format::{BatchHeader, SegmentHeader};
use seawall_wal::{BLOCK, FileId, FoldDone, FoldError, Index, Io, IoError, IoStep, Log, LogLimits, SlotId};
use support::{Disk, LOG, append};

#[test]
fn a_log_that_is_written_for_ever_takes_bounded_room() {
    for kept in [1, 2] {
        let mut disk = Disk::new();
        let mut log = disk.open_with(limits(kept));
        let mut most = 0;
        for round in 0..20 {
            fold(&mut disk, &mut log, 1);
            most = most.max(disk.found().slots.len());
            assert_eq!(checkpoints(&disk).len(), kept.min(round + 1));
        }
        assert!(most <= 8 + 4 * kept, "{most} slots with {kept} checkpoints");
        let (state, log, report) = start(&mut disk, kept);
        let last = report.last;
        assert!(log.is_some() && report.corrupt.is_empty() && report.checkpoint.is_some(), "{report}");
        assert_eq!(state[&b"key"[..]].0.index, last, "the last writer wins");
        assert!(report.records < last.0 / 4, "most of it came from the checkpoint: {report}");
    }
}

/// The slots of a small log are replaced by large ones, and their files removed, when it has grown.
#[test]
fn small_slots_go_when_the_log_has_grown() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(1));
    fold(&mut disk, &mut log, 6);
    let sizes: Vec<u64> = disk.found().slots.iter().map(|(_, bytes)| *bytes).collect();
    assert!(sizes.iter().all(|bytes| *bytes == limits(1).slot_bytes), "{sizes:?}");
}

#[test]
fn a_reader_keeps_the_segments_that_it_needs() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(1));
    fold(&mut disk, &mut log, 1);
    let floor = Index(log.durable().0 + 1);
    log.set_floor(Some(floor));
    fold(&mut disk, &mut log, 5);
    let (_, _, report) = start(&mut disk.clone(), 1);
    let found = disk.found().slots.len();
    let holds = |n: u32| {
        let header = SegmentHeader::read(disk.files[&FileId::Slot(SlotId(n))].as_slice(), &LOG).ok()?;
        Some(header.first_index)
    };
    let oldest = disk.found().slots.iter().filter_map(|(slot, _)| holds(slot.0)).min().unwrap();
    assert!(oldest <= floor.0, "the segment with {floor:?} is kept, {report}");
    log.set_floor(None);
    fold(&mut disk, &mut log, 4);
    assert!(disk.found().slots.len() <= found, "and its slot is used again");
}

#[test]
fn the_newest_batches_are_read_from_memory() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(1));
    let mut last = Index(0);
    for n in 0..40u8 {
        last = disk.commit(&mut log, &[n; 100]);
    }
    assert!(log.recent(Index(1)).is_none(), "gone");
    let recent: Vec<_> = log.recent(last).expect("kept").map(|(header, _)| header.last_index()).collect();
    assert_eq!(recent, [last]);
    append(&mut log, b"not durable").unwrap();
    let mut ios = Vec::new();
    log.pump(0, &mut ios);
    assert_eq!(log.recent(last).expect("kept").count(), 1, "what is not durable is not shown");
    assert_eq!(log.recent(Index(last.0 + 1)).expect("level").count(), 0);
}

/// R8: an older checkpoint is used only loudly and with the complete log after it.
#[test]
fn a_corrupt_newest_checkpoint_is_survived_loudly_with_the_log_behind_an_older_one() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(2));
    fold(&mut disk, &mut log, 3);
    disk.commit(&mut log, b"the last");
    let (whole, _, report) = start(&mut disk.clone(), 2);
    let [older, newest] = checkpoints(&disk)[..] else { panic!("two are kept") };
    assert_eq!(report.checkpoint.unwrap().cut.0, newest.0);
    let bytes = disk.files[&FileId::Checkpoint(newest)].len();
    for at in (0..bytes).step_by(97).chain([bytes - BLOCK, bytes - BLOCK + 127]) {
        let mut rotten = disk.clone();
        rotten.files.get_mut(&FileId::Checkpoint(newest)).unwrap()[at] ^= 4;
        let (state, log, report) = start(&mut rotten, 2);
        assert!(log.is_some() && state == whole, "at {at}: {report}");
        assert_eq!(report.corrupt[0].id, newest);
        assert_eq!(report.checkpoint.unwrap().cut.0, older.0);
        assert!(report.to_string().contains("INTEGRITY FAILURE: checkpoint-"), "{report}");
    }
    // The next fold leaves nothing of it.
    disk.files.get_mut(&FileId::Checkpoint(newest)).unwrap()[5000] ^= 4;
    let mut log = disk.open_with(limits(2));
    fold(&mut disk, &mut log, 2);
    let (_, _, report) = start(&mut disk.clone(), 2);
    assert!(report.corrupt.is_empty(), "{report}");
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_a_corrupt_one() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(2));
    fold(&mut disk, &mut log, 2);
    let (whole, ..) = start(&mut disk.clone(), 2);
    let newest = *checkpoints(&disk).last().unwrap();
    for at in [0, BLOCK as u64, disk.files[&FileId::Checkpoint(newest)].len() as u64 - 10] {
        let mut disk = disk.clone();
        disk.bad_sector = Some((FileId::Checkpoint(newest), at));
        let (state, log, report) = start(&mut disk, 2);
        assert!(log.is_some() && state == whole && report.corrupt.len() == 1, "{report}");
    }
}

/// Without the complete log behind an older one, nothing that is left is the state.
#[test]
fn a_corrupt_checkpoint_that_nothing_stands_in_for_halts() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(1));
    fold(&mut disk, &mut log, 2);
    let before = disk.files.clone();
    let only = checkpoints(&disk)[0];
    disk.files.get_mut(&FileId::Checkpoint(only)).unwrap()[5000] ^= 1;
    let damaged = disk.files.clone();
    let (_, log, report) = start(&mut disk, 1);
    let halt = report.halt.expect("an integrity failure");
    assert!(log.is_none() && halt.rule == "R8" && matches!(halt.file, FileId::Checkpoint(_)), "{halt}");
    assert!(disk.files == damaged, "nothing was changed");
    disk.files = before;
    disk.files.remove(&FileId::Checkpoint(only));
    let (_, log, report) = start(&mut disk, 1);
    assert!(log.is_none() && report.halt.is_some(), "a lost checkpoint is no empty beginning: {report}");
}

/// The header of a slot that is used again was acknowledged and is lost: the batches under it are not forgotten.
#[test]
fn a_stale_header_over_newer_batches_halts() {
    for kept in [1, 2] {
        let lost = stale_headers(kept);
        assert!(lost > 3, "slots are used again, with {kept} checkpoints kept: {lost}");
    }
}

/// How often a slot was used again, each time with its newest header lost.
fn stale_headers(kept: usize) -> usize {
    // Folds are so rare that several segments stand behind the checkpoint.
    let rare = FoldPolicy { least_bytes: 60 * BLOCK as u64, most_segments: 8 };
    let mut disk = Disk::new();
    let mut log = disk.open_with(LogLimits { fold: rare, ..limits(kept) });
    fold(&mut disk, &mut log, 3);
    let mut lost = 0;
    let mut headers: BTreeMap<FileId, Vec<u8>> = BTreeMap::new();
    // Until a slot gets its next header: the one before it is what the disk would hold.
    for n in 0..200 {
        for (slot, _) in disk.found().slots {
            let file = FileId::Slot(slot);
            let header = disk.files[&file][..BLOCK].to_vec();
            let stale = headers.insert(file, header.clone()).filter(|old| *old != header && old[0] != 0);
            let Some(stale) = stale else { continue };
            // What the disk would hold if that header had gone elsewhere.
            let mut disk = disk.clone();
            disk.files.get_mut(&file).unwrap()[..BLOCK].copy_from_slice(&stale);
            let (_, log, report) = start(&mut disk, kept);
            let halt = report.halt.expect("batches under a header that is gone are not forgotten");
            assert!(log.is_none(), "{halt}");
            lost += usize::from(halt.rule == "R2");
        }
        disk.commit(&mut log, &vec![n; 3000]);
    }
    lost
}

#[test]
fn a_fold_that_failed_for_want_of_room_is_tried_again_and_the_log_goes_on() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(1));
    let job = until_fold(&mut disk, &mut log);
    let error = IoError { step: IoStep::Fold, errno: 28 };
    let failed = FoldError::Io { file: "checkpoint-1.ckp.tmp".into(), error };
    log.folded(FoldDone { id: job.id, result: Err(failed.clone()) });
    assert_eq!(log.fold_error(), Some(&failed));
    disk.commit(&mut log, b"goes on");
    assert_eq!(log.stats().folds, 0, "not tried again by itself");
    log.retry_fold();
    disk.commit(&mut log, b"and on");
    assert!(log.stats().folds == 1 && log.fold_error().is_none());
}

#[test]
fn a_closed_segment_that_rots_is_found_by_the_fold_and_kept() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(1));
    let job = until_fold(&mut disk, &mut log);
    let (slot, _) = job.segments[0];
    disk.slot(slot.0)[BLOCK + 200] ^= 1;
    let done = disk.fold(&job);
    let Err(FoldError::Fault { file, .. }) = &done.result else { panic!("{done:?}") };
    assert_eq!(*file, FileId::Slot(slot));
    log.folded(done);
    log.retry_fold();
    disk.settle(&mut log);
    assert!(!log.folding() && log.stats().folds == 0 && checkpoints(&disk).is_empty());
    disk.commit(&mut log, b"the log goes on");
}

/// R8: what is not committed is not folded, however durable it is.
#[test]
fn an_uncommitted_record_is_not_folded() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(1));
    for n in 0..100 {
        append(&mut log, &[n; 3000]).unwrap();
        let mut ios = Vec::new();
        loop {
            log.pump(0, &mut ios);
            if ios.is_empty() {
                break;
            }
            for io in std::mem::take(&mut ios) {
                let Io::Fold(job) = io else {
                    let _ = log.done(disk.execute(io));
                    continue;
                };
                panic!("folded {:?}", job.segments);
            }
        }
    }
    log.commit(log.durable());
    fold(&mut disk, &mut log, 1);
}

#[test]
fn a_fold_may_end_while_the_next_segment_begins() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(1));
    let job = until_fold(&mut disk, &mut log);
    let ios = until_roll(&mut disk, &mut log);
    log.folded(disk.fold(&job));
    ios.into_iter().for_each(|io| disk.serve(&mut log, io));
    disk.commit(&mut log, b"goes on");
    assert!(log.stats().folds >= 1);
}

#[test]
fn a_fold_that_is_tried_again_while_the_next_segment_begins_waits_for_something_to_fold() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(1));
    let job = until_fold(&mut disk, &mut log);
    let error = IoError { step: IoStep::Fold, errno: 28 };
    log.folded(FoldDone { id: job.id, result: Err(FoldError::Io { file: "it".into(), error }) });
    let mut ios = until_roll(&mut disk, &mut log);
    log.retry_fold();
    log.pump(0, &mut ios);
    assert!(!ios.iter().any(|io| matches!(io, Io::Fold(_))), "{ios:?}");
    ios.into_iter().for_each(|io| disk.serve(&mut log, io));
    disk.commit(&mut log, b"goes on");
    assert_eq!(log.stats().folds, 1);
}

/// A start that dies behind its header leaves a segment without a record: a checkpoint behind it has the cut, and so
/// the name, of the one before.
#[test]
fn a_checkpoint_that_replaces_one_with_its_name_is_not_let_go_for_it() {
    let mut disk = Disk::new();
    let limits = LogLimits { fold_changes: 1, ..limits(2) };
    for _ in 0..6 {
        let mut log = disk.open_with(limits);
        for n in 0..3 {
            disk.commit(&mut log, &[n]);
        }
        for _ in 0..4 {
            let mut log = disk.open_with(limits);
            until_roll(&mut disk, &mut log).into_iter().for_each(|io| disk.serve(&mut log, io));
        }
    }
    let mut log = disk.open_with(limits);
    disk.commit(&mut log, b"last");
    let [.., newest] = checkpoints(&disk)[..] else { panic!("there are some") };
    disk.files.get_mut(&FileId::Checkpoint(newest)).unwrap()[100] ^= 1;
    let (state, log, report) = start(&mut disk, 2);
    assert!(log.is_some() && report.checkpoint.is_some() && report.corrupt.len() == 1, "{report}");
    assert_eq!(state[&b"key"[..]].1, b"last");
}

/// Who was almost level before a start is so behind it: what the tail held is there again, byte for byte.
#[test]
fn a_start_finds_the_newest_batches_in_memory() {
    let unfolded = FoldPolicy { least_bytes: 1 << 30, most_segments: 1 };
    let limits = LogLimits { fold: unfolded, ..LogLimits::test_min() };
    for commits in [1, 3, 40] {
        let mut disk = Disk::new();
        let mut log = disk.open_with(limits);
        let lasts: Vec<Index> = (0..commits).map(|n| disk.commit(&mut log, &[n; 100])).collect();
        let again = disk.open_with(limits);
        let batches = |log: &Log, from| -> Option<Vec<(BatchHeader, Vec<u8>)>> {
            Some(log.recent(from)?.map(|(header, bytes)| (*header, bytes.to_vec())).collect())
        };
        let kept = lasts.iter().filter_map(|from| batches(&log, *from).map(|kept| (*from, kept)));
        let kept: Vec<_> = kept.collect();
        assert!(!kept.is_empty());
        for (from, before) in kept {
            assert_eq!(batches(&again, from).as_ref(), Some(&before), "{commits} commits, from {from:?}");
        }
        assert_eq!(again.recent(Index(1)).is_some(), log.recent(Index(1)).is_some());
    }
}
