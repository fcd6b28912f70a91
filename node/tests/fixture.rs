//! Data directories of each released format are opened for ever. What stands in `tests/fixtures/v1` is never made
//! again: a build that cannot open it has broken version 1.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test of real files")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use seawall::{Commit, row};
use seawall_node::driver::directory::Directory;
use seawall_node::driver::superblock::Superblock;
use seawall_node::params::FENCE_IDLE_US;
use seawall_node::seam::Event;
use seawall_wal::{FileId, Io};
use support::{Bench, Got, LINEAGE};

const PARTITION: &str = "HP-2026-07-14";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/v1")
}

/// What the fixture holds: the text of each cabin, if it is there.
fn expected(n: u64) -> Option<String> {
    (n % 9 != 4).then(|| format!("cabin {n} ").repeat(40 + n as usize))
}

/// A life of three starts, with a checkpoint, slots that were used before, a fence, and a torn write at its end.
fn live() -> Bench {
    let mut bench = Bench::serving();
    for start in 0..3 {
        for round in 0..4 {
            for n in 0..24u64 {
                let place = row("cabin", n as i64);
                let text = if round == 3 { expected(n) } else { Some(format!("draft {start} {round}")) };
                let commit = match text {
                    Some(text) => Commit::new(PARTITION).put(&place, [("state", text.as_str())]),
                    None => Commit::new(PARTITION).delete(&place),
                };
                bench.commit(&commit);
                bench.settle();
            }
        }
        if start < 2 {
            bench = bench.restart();
        }
    }
    bench.pass(2 * FENCE_IDLE_US);
    bench.step(Event::Tick);
    bench.settle();
    bench.commit(&Commit::new(PARTITION).put(&row("cabin", 99i64), [("state", "torn".repeat(2000))]));
    let Some(Io::Write { file, offset, buf, at, len, .. }) = bench.disk.pop() else {
        panic!("it is written")
    };
    // The power fails: the first of its blocks arrived, the last one did not.
    let arrived = &buf.bytes()[at..at + len - 4096];
    let start = usize::try_from(offset).unwrap();
    bench.files.get_mut(&file).unwrap()[start..start + arrived.len()].copy_from_slice(arrived);
    bench
}

/// A place for one test, empty.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fixture-{name}-{}", std::process::id()));
    fs::create_dir_all(path.join("shard-0001")).unwrap();
    path
}

/// What this build writes, it opens; the frozen directory was made by this function.
#[test]
fn what_is_written_today_is_opened_and_holds_what_was_written() {
    let path = scratch("today");
    for (file, bytes) in &live().files {
        fs::write(path.join("shard-0001").join(file.to_string()), bytes).unwrap();
    }
    let superblock = Superblock { lineage: LINEAGE, shards: 1, member: 0, made_us: 1_000_000 };
    fs::write(path.join("superblock"), superblock.encode()).unwrap();
    check(&path);
    fs::remove_dir_all(&path).unwrap();
}

#[test]
fn version_1_is_opened_and_holds_what_was_written() {
    let path = scratch("v1");
    fs::copy(fixture().join("superblock"), path.join("superblock")).unwrap();
    for entry in fs::read_dir(fixture().join("shard-0001")).unwrap() {
        let file = entry.unwrap().path();
        fs::copy(&file, path.join("shard-0001").join(file.file_name().unwrap())).unwrap();
    }
    check(&path);
    fs::remove_dir_all(&path).unwrap();
}

/// Through the node's own directory.
fn check(path: &Path) {
    let directory = Directory::open(path, None, 1).unwrap();
    assert!(!directory.made && directory.lineage() == LINEAGE);
    let log = directory.shard(seawall::map::ShardId(1)).unwrap();
    let found = log.files().unwrap();
    assert_eq!(found.checkpoints.len(), 2);
    let names = found.slots.iter().map(|(slot, _)| FileId::Slot(*slot));
    let names = names.chain(found.checkpoints.iter().map(|(id, _)| FileId::Checkpoint(*id)));
    let read = |file: FileId| (file, fs::read(log.path(file)).unwrap());
    let mut bench = Bench::on(names.chain([FileId::Meta]).map(read).collect());
    for n in 0..24 {
        bench.get(PARTITION, &row("cabin", n as i64));
    }
    bench.get(PARTITION, &row("cabin", 99i64));
    bench.settle();
    let replies = bench.replies();
    assert_eq!(replies.len(), 25);
    for (reply, n) in replies.into_iter().zip(0..) {
        let Got::Row(_, found) = reply else { panic!("{reply:?}") };
        let text = found.map(|(_, row)| row.get("state").unwrap().to_string());
        let wanted = if n == 24 { None } else { expected(n) }; // the torn commit never was
        assert_eq!(text.map(|t| t.trim_matches('"').to_owned()), wanted, "cabin {n}");
    }
    bench.step(Event::StatusAsked { ticket: 1 });
    let status = bench.status.pop().unwrap().shards.remove(0);
    assert!(status.epoch == 4 && status.checkpoint > 200, "{status:?}");
}
