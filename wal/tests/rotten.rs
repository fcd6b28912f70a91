//! What is kept is read again, and a checkpoint that rots is made again.

#[path = "support/folding.rs"]
mod folding;
mod support;

use folding::{checkpoints, fold, limits, start, until_fold, until_roll};
use seawall_wal::{Buffer, FileId, Flaw, FoldError, Io, Log, LogLimits, ScrubJob, Scrubbed};
use support::{Disk, append};

/// What a round reads, in its order.
fn round(log: &Log) -> Vec<ScrubJob> {
    std::iter::successors(log.scrub(Scrubbed::Nothing), |read| log.scrub(read.behind())).collect()
}

#[test]
fn a_round_reads_every_checkpoint_and_every_closed_segment_once() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(3));
    fold(&mut disk, &mut log, 4);
    let read: Vec<FileId> = round(&log).iter().map(ScrubJob::file).collect();
    let mut wanted: Vec<_> = checkpoints(&disk).into_iter().map(FileId::Checkpoint).collect();
    wanted.sort_unstable_by_key(|file| std::cmp::Reverse(*file));
    wanted.extend(log.closed_segments().map(|closed| FileId::Slot(closed.slot)));
    assert!(read.starts_with(&wanted[..3]) && matches!(read[2], FileId::Checkpoint(_)), "{read:?}");
    assert_eq!(read, wanted);
}

/// A log that leads has all that a rotten checkpoint was made of: the same bytes are made again, whoever finds it, a round of
/// reading or the next fold.
#[test]
fn a_checkpoint_that_rots_is_made_again_from_what_lies_before_it() {
    for (kept, folds, fold_changes) in [(2, 3, 1000), (2, 1, 1000), (2, 3, 1), (1, 3, 1000)] {
        for by_a_round in [true, false] {
            let mut disk = Disk::new();
            let limits = LogLimits { fold_changes, ..limits(kept) };
            let mut log = disk.open_with(limits);
            fold(&mut disk, &mut log, folds);
            disk.settle(&mut log);
            let newest = log.checkpoint().unwrap().id();
            let file = FileId::Checkpoint(newest);
            let (whole, at) = (disk.files[&file].clone(), disk.files[&file].len() / 2);
            disk.files.get_mut(&file).unwrap()[at] ^= 4;
            let mends = if by_a_round {
                let read = log.scrub(Scrubbed::Nothing).unwrap();
                assert!(matches!(scrub(&disk, &read), Err(Flaw::Rot(_))) && log.keeps(&read));
                log.found_rotten(&read)
            } else {
                let job = until_fold(&mut disk, &mut log);
                assert_eq!(job.previous, Some(newest));
                let done = disk.fold(&job);
                assert!(matches!(&done.result, Err(FoldError::Fault { file: found, .. }) if *found == file));
                log.folded(done)
            };
            let case = format!("{kept} {folds} {fold_changes} {by_a_round}");
            assert!(log.is_rotten(newest), "{case}");
            if kept == 1 {
                // Nothing stands in for it: an older log was let go.
                assert!(!mends && log.checkpoint().unwrap().id() == newest, "{case}");
                continue;
            }
            assert!(mends && log.checkpoint().is_none_or(|older| older.id() < newest), "{case}");
            assert!(log.fold_error().is_none(), "{case}");
            disk.settle(&mut log);
            let again = log.checkpoint().unwrap().id();
            assert!(if by_a_round { again == newest } else { again >= newest }, "{case}: {again:?}");
            assert!(!log.is_rotten(again), "{case}");
            if again == newest {
                assert!(disk.files[&file] == whole, "{case}");
            }
            assert!(round(&log).iter().all(|read| scrub(&disk, read).is_ok()), "{case}");
            fold(&mut disk, &mut log, 2);
            let (state, _, report) = start(&mut disk, kept);
            assert!(
                report.corrupt.is_empty() && state[&b"key"[..]].0.index == report.last,
                "{case}: {report}"
            );
        }
    }
}

/// The fold has ended, and its log has not heard of it: what stands under the name of the newest checkpoint is another one,
/// and whole.
#[test]
fn a_checkpoint_that_was_just_replaced_is_not_taken_for_rotten() {
    let mut disk = Disk::new();
    let limits = LogLimits { fold_changes: 1, ..limits(2) };
    let mut replaced = 0;
    for n in 0..8u8 {
        for _ in 0..4 {
            let mut log = disk.open_with(limits);
            until_roll(&mut disk, &mut log).into_iter().for_each(|io| disk.serve(&mut log, io));
        }
        let mut log = disk.open_with(limits);
        append(&mut log, &[n]).unwrap();
        for _ in 0..40 {
            let mut ios = Vec::new();
            log.pump(0, &mut ios);
            for io in ios {
                let Io::Fold(job) = io else {
                    disk.serve(&mut log, io);
                    continue;
                };
                let before = log.scrub(Scrubbed::Nothing);
                let before = before.filter(|read| matches!(read.file(), FileId::Checkpoint(_)));
                let done = disk.fold(&job);
                if let Some(read) = before
                    && let Err(Flaw::Rot(rot)) = scrub(&disk, &read)
                {
                    assert!(log.keeps(&read) && log.may_have_replaced(&read), "{rot}");
                    replaced += 1;
                }
                log.folded(done);
                let read = log.scrub(Scrubbed::Nothing).expect("there is a checkpoint");
                assert_eq!((scrub(&disk, &read), log.may_have_replaced(&read)), (Ok(()), false));
            }
        }
    }
    assert!(replaced > 0, "no checkpoint took the name of another one");
}

fn scrub(disk: &Disk, job: &ScrubJob) -> Result<(), Flaw> {
    let mut buffer = Buffer::new(0, job.buffer_bytes());
    job.run(&mut buffer, &mut |offset, bytes| {
        let from = usize::try_from(offset).unwrap();
        bytes.copy_from_slice(&disk.files[&job.file()][from..][..bytes.len()]);
        Ok(())
    })
}
