//! Data directories: made, opened, refused; and a refused one stays as it was.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the files")]

mod driver_support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use driver_support::Scratch;
use seawall::map::ShardId;
use seawall_node::driver::directory::Directory;

/// Every file and its contents.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.insert(path.clone(), Vec::new());
            all.extend(contents(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

fn refused(path: &Path, workers: Option<u32>, words: &[&str]) {
    let before = contents(path);
    let error = Directory::open(path, workers, 1).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "it names the path: {error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is missing in {error:?}");
    }
    assert_eq!(contents(path), before, "a refused directory is not modified");
}

#[test]
fn a_directory_keeps_its_lineage_and_its_shards() {
    let scratch = Scratch::new("keeps");
    let path = scratch.path().join("data");
    let made = Directory::open(&path, Some(3), 1).unwrap();
    assert!(made.made);
    let (lineage, shards) = (made.lineage(), made.shards());
    assert_eq!(shards, 3);
    assert!(made.shard(ShardId(3)).unwrap().files().unwrap().slots.is_empty());
    drop(made);
    let opened = Directory::open(&path, None, 8).unwrap();
    assert!(!opened.made);
    assert_eq!((opened.lineage(), opened.shards()), (lineage, shards));
    drop(opened);
    refused(&path, Some(2), &["--workers 3", "--workers 2", "--data"]);
}

#[test]
fn two_directories_never_share_a_lineage() {
    let scratch = Scratch::new("lineage");
    let a = Directory::open(&scratch.path().join("a"), None, 1).unwrap();
    let b = Directory::open(&scratch.path().join("b"), None, 1).unwrap();
    assert_ne!(a.lineage(), b.lineage());
}

#[test]
fn a_directory_in_use_is_refused_with_the_holders_pid() {
    let scratch = Scratch::new("in-use");
    let _held = Directory::open(scratch.path(), None, 1).unwrap();
    let before = contents(scratch.path());
    let error = Directory::open(scratch.path(), None, 1).unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    assert_eq!(contents(scratch.path()), before);
}

#[test]
fn what_is_not_ours_is_refused() {
    let scratch = Scratch::new("foreign");
    fs::write(scratch.path().join("letters.txt"), "dear").unwrap();
    refused(scratch.path(), None, &["letters.txt", "--data"]);
}

#[test]
fn a_damaged_superblock_is_refused() {
    let scratch = Scratch::new("damaged");
    drop(Directory::open(scratch.path(), None, 1).unwrap());
    let superblock = scratch.path().join("superblock");
    let mut bytes = fs::read(&superblock).unwrap();
    bytes[20] ^= 1;
    fs::write(&superblock, bytes).unwrap();
    let error = Directory::open(scratch.path(), None, 1).unwrap_err().to_string();
    assert!(error.contains("checksum") && error.contains("copy"), "{error}");
}

#[test]
fn a_log_without_a_superblock_is_refused_and_a_making_that_was_interrupted_is_finished() {
    let scratch = Scratch::new("half");
    drop(Directory::open(scratch.path(), None, 1).unwrap());
    fs::remove_file(scratch.path().join("superblock")).unwrap();
    fs::write(scratch.path().join("superblock.tmp"), "half").unwrap();
    let made = Directory::open(scratch.path(), None, 1).unwrap();
    assert!(made.made);
    drop(made);
    fs::remove_file(scratch.path().join("superblock")).unwrap();
    fs::write(scratch.path().join("shard-0001/slot-000000.seg"), [1; 4096]).unwrap();
    refused(scratch.path(), None, &["segments", "superblock"]);
}

#[test]
fn unfinished_slots_are_removed_at_a_start() {
    let scratch = Scratch::new("leftover");
    drop(Directory::open(scratch.path(), None, 1).unwrap());
    let shard = scratch.path().join("shard-0001");
    fs::write(shard.join("slot-000002.seg.tmp"), [0; 4096]).unwrap();
    fs::write(shard.join("slot-000001.seg"), [0; 4096]).unwrap();
    let opened = Directory::open(scratch.path(), None, 1).unwrap();
    assert!(!shard.join("slot-000002.seg.tmp").exists());
    assert_eq!(opened.shard(ShardId(1)).unwrap().files().unwrap().slots.len(), 1);
}
