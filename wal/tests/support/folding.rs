//! A log that folds early and often, for tests of what it keeps.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;

use seawall_wal::checkpoint::{FoldPolicy, Version};
use seawall_wal::recover::Report;
use seawall_wal::{BLOCK, CheckpointId, FileId, Io, Log, LogLimits, Progress, Recovery, Replay};

use super::support::{Disk, LOG, append};

pub fn limits(checkpoints: usize) -> LogLimits {
    let fold = FoldPolicy { least_bytes: 12 * BLOCK as u64, most_segments: 4 };
    LogLimits { fold, checkpoints, fold_changes: 1000, ..LogLimits::test_min() }
}

/// Commits until so many folds went well; a log that has waited may fold several times at once.
pub fn fold(disk: &mut Disk, log: &mut Log, folds: u64) {
    let wanted = log.stats().folds + folds;
    for n in 0.. {
        if log.stats().folds >= wanted {
            return;
        }
        assert!(n < 1000, "no fold after {n} commits");
        disk.commit(log, &vec![n as u8; 3000]);
    }
}

pub type State = BTreeMap<Vec<u8>, (Version, Vec<u8>)>;

/// The state as a start finds it.
pub fn start(disk: &mut Disk, checkpoints: usize) -> (State, Option<Log>, Report) {
    let limits = limits(checkpoints);
    let mut recovery = Recovery::new(LOG, limits, disk.found(), limits.buffers(), seawall_wal::Start::Alone);
    let (mut ios, mut state) = (Vec::new(), State::new());
    recovery.start(&mut ios);
    loop {
        let done = disk.execute(ios.pop().expect("recovery works until it ends"));
        let progress = recovery.done(done, &mut ios, &mut |replay| match replay {
            Replay::Base(_) => state.clear(),
            Replay::Item(item) => {
                state.insert(item.key.to_vec(), (item.version, item.value.to_vec()));
            }
            Replay::Record(record) => {
                let version = Version { epoch: record.epoch, index: record.index };
                for entry in record.record.entries() {
                    state.insert(entry.key.to_vec(), (version, entry.value.unwrap().to_vec()));
                }
            }
        });
        match progress {
            Progress::Working => {}
            Progress::Halted(report) => return (state, None, report),
            Progress::AtRest(..) => panic!("a start that is alone leads"),
            Progress::Recovered(log, report) => return (state, Some(*log), report),
        }
    }
}

pub fn checkpoints(disk: &Disk) -> Vec<CheckpointId> {
    disk.found().checkpoints.into_iter().map(|(id, _)| id).collect()
}

/// Pumps until a fold is asked for; everything else is executed.
pub fn until_fold(disk: &mut Disk, log: &mut Log) -> seawall_wal::FoldJob {
    for _ in 0..200 {
        let mut ios = Vec::new();
        let _ = append(log, &[1; 3000]);
        log.pump(0, &mut ios);
        for io in ios {
            match io {
                Io::Fold(job) => return job,
                io => disk.serve(log, io),
            }
        }
    }
    panic!("no fold");
}

/// Appends until the next segment begins; its header is not written yet.
pub fn until_roll(disk: &mut Disk, log: &mut Log) -> Vec<Io> {
    for _ in 0..200 {
        let mut ios = Vec::new();
        let _ = append(log, &[1; 3000]);
        log.pump(0, &mut ios);
        if ios.iter().any(|io| matches!(io, Io::Write { file: FileId::Slot(_), offset: 0, .. })) {
            return ios;
        }
        ios.into_iter().for_each(|io| disk.serve(log, io));
    }
    panic!("no segment began");
}
