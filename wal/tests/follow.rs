//! A follower's log: the same bytes as the leader's, and nothing that does not continue it.

#[path = "support/follow.rs"]
mod following;
mod support;

use following::{Item, Opened, Random, feed, follow, items, leader, missing, open_as, same_segments, settle};
use seawall_wal::checkpoint::FoldPolicy;
use seawall_wal::meta::{Latch, Meta};
use seawall_wal::{
    BLOCK, Cause, Done, Epoch, FileId, Follower, Index, Io, IoError, IoStep, LogLimits, Start, Wish,
};
use support::{Disk, append, limits};

#[test]
fn a_follower_holds_the_same_bytes_however_they_arrive() {
    for seed in 1..30 {
        let (leader, mut random) = (leader(seed, 3, 12, limits()), Random(seed * 77));
        let (mut disk, all) = (Disk::new(), items(&leader));
        let mut follower = follow(&mut disk, limits());
        let mut at = 0;
        while at < all.len() {
            // Sometimes from further back, as after a lost connection; sometimes it starts anew.
            let from = at - random.below(3).min(at);
            let to = (at + 1 + random.below(6)).min(all.len());
            let known = missing(&all, &follower).len();
            match follower.take(&bytes(&all[from..to])) {
                Ok(_) => {}
                // What memory does not hold any more cannot be compared.
                Err(rejected) => assert!(from < at && rejected.rule == "R1" || rejected.rule == "R11"),
            }
            settle(&mut disk, &mut follower);
            assert!(missing(&all, &follower).len() <= known);
            if random.below(5) == 0 {
                follower = follow(&mut disk, limits());
            }
            at = all.len() - missing(&all, &follower).len();
            let rest = feed(&mut disk, &mut follower, &all[at..(at + 1).min(all.len())]);
            assert!(rest.len() <= 1);
            at = (at + 1).min(all.len());
        }
        same_segments(&leader, &disk);
        let last = all.last().unwrap().last;
        assert_eq!((follower.received(), follower.persisted(), follower.validated()), (last, last, last));
        let epochs: Vec<_> = follower.epochs().collect();
        assert_eq!(epochs.iter().map(|(epoch, _)| epoch.0).collect::<Vec<_>>(), [1, 2, 3]);
        let (seen, log, _) = disk.clone().recover();
        assert!(log.is_some() && seen == leader.clone().recover().0);
    }
}

fn bytes(items: &[Item]) -> Vec<u8> {
    items.iter().flat_map(|item| item.bytes.clone()).collect()
}

fn folding() -> LogLimits {
    let fold = FoldPolicy { least_bytes: 20 * BLOCK as u64, most_segments: 4 };
    LogLimits { fold, fold_changes: 1000, ..limits() }
}

/// When to fold is a function of the log alone, for who catches up, too.
#[test]
fn checkpoints_are_byte_identical_to_the_leaders() {
    // Live; behind, and told what is committed before or after the rest arrives.
    for (at_once, told_late) in [(false, false), (true, false), (true, true)] {
        let mut disk = Disk::new();
        let mut log = disk.open_with(folding());
        log.set_floor(Some(Index(1))); // the test reads all of it
        let mut copy = Disk::new();
        let mut follower = follow(&mut copy, folding());
        for n in 0..120u8 {
            disk.commit(&mut log, &vec![n; 3000]);
            if !at_once {
                let new = missing(&items(&disk), &follower);
                feed(&mut copy, &mut follower, &new);
                follower.commit(log.durable());
                settle(&mut copy, &mut follower);
            }
        }
        if !told_late {
            follower.commit(log.durable());
        }
        let rest = missing(&items(&disk), &follower);
        feed(&mut copy, &mut follower, &rest);
        follower.commit(log.durable());
        settle(&mut copy, &mut follower);
        assert_eq!(follower.stats().folds, log.stats().folds);
        assert!(log.stats().folds > 2);
        let checkpoints = |disk: &Disk| -> Vec<(FileId, Vec<u8>)> {
            let files = disk.files.clone().into_iter();
            files.filter(|(file, _)| matches!(file, FileId::Checkpoint(_))).collect()
        };
        assert!(checkpoints(&disk) == checkpoints(&copy) && checkpoints(&disk).len() == 2);
        let again = follow(&mut copy, folding());
        assert_eq!((again.validated(), again.checkpoint()), (log.durable(), log.checkpoint()));
    }
}

/// R8: what the leader did not say to be committed is not folded.
#[test]
fn an_uncommitted_record_is_not_folded_by_a_follower() {
    let leader = leader(5, 1, 60, limits());
    let mut disk = Disk::new();
    let mut follower = follow(&mut disk, folding());
    feed(&mut disk, &mut follower, &items(&leader));
    assert!(follower.stats().folds == 0 && follower.stats().rolls > 5);
    follower.commit(Index(u64::MAX));
    assert_eq!(follower.committed(), follower.validated(), "what is not here is not committed here");
    settle(&mut disk, &mut follower);
    assert!(follower.stats().folds > 0);
}

/// What a test can see of a follower.
fn state(disk: &Disk, follower: &Follower) -> (Vec<Index>, String, usize, Disk) {
    let positions = vec![follower.received(), follower.persisted(), follower.validated()];
    (positions, format!("{:?}", follower.expected()), follower.segment_headers().count(), disk.clone())
}

/// F-V2: a gap, an overlap, another lineage, an older epoch. Each is refused with what was expected, and nothing
/// changes.
#[test]
fn f_v2_what_does_not_continue_the_log_is_rejected_and_changes_nothing() {
    let leader = leader(3, 2, 12, limits());
    let all = items(&leader);
    let second_epoch = all.iter().position(|item| item.incarnation > 2_000_000_000);
    let half = second_epoch.expect("there are two") + 2;
    let mut disk = Disk::new();
    let mut follower = follow(&mut disk, limits());
    feed(&mut disk, &mut follower, &all[..half]);
    let before = state(&disk, &follower);
    let mut other = all[half].bytes.clone();
    other[8] ^= 1; // the lineage, and a whole header
    let crc = crc32c::crc32c(&other[..124]).to_le_bytes();
    other[124..128].copy_from_slice(&crc);
    let old = all.iter().position(|item| item.offset > 0).unwrap();
    let cases = [
        ("a gap", all[half + 1].bytes.clone(), "R1"),
        ("a gap behind what continues", bytes(&[all[half].clone(), all[half + 2].clone()]), "R1"),
        ("another lineage", other, "R11"),
        ("an older epoch", all[old].bytes.clone(), "R11"),
        ("half a block", all[half].bytes[..BLOCK / 2].to_vec(), "R1"),
        ("zeros", vec![0; BLOCK], "R1"),
    ];
    for (what, bytes, rule) in cases {
        let rejected = follower.take(&bytes).expect_err(what);
        let mut ios = Vec::new();
        follower.pump(&mut ios);
        assert!(ios.is_empty(), "{what}");
        assert_eq!((rejected.rule, rejected.index), (rule, Index(follower.received().0 + 1)), "{what}");
        assert!(!rejected.expected.is_empty() && rejected.to_string().contains(&rejected.observed));
        let after = state(&disk, &follower);
        assert!((&before.0, &before.1, before.2) == (&after.0, &after.1, after.2), "{what}");
        assert!(before.3.files == after.3.files, "{what}");
    }
    feed(&mut disk, &mut follower, &all[half..]);
    same_segments(&leader, &disk);
}

/// The same item twice is a lost answer; another one at its place is a second history.
#[test]
fn an_exact_repeat_is_passed_over_and_another_item_at_its_place_is_a_conflict() {
    let leader = leader(3, 1, 6, limits());
    let all = items(&leader);
    let mut disk = Disk::new();
    let mut follower = follow(&mut disk, limits());
    feed(&mut disk, &mut follower, &all[..3]);
    for item in [&all[0], &all[2]] {
        assert_eq!(follower.take(&item.bytes), Ok(item.bytes.len()));
        let mut other = item.bytes.clone();
        other[72] ^= 1; // when it was opened, or sealed
        let crc = crc32c::crc32c(&other[..124]).to_le_bytes();
        other[124..128].copy_from_slice(&crc);
        follower.take(&other).expect_err("another history");
    }
    assert!(settle(&mut disk, &mut follower).is_empty());
    feed(&mut disk, &mut follower, &all[3..]);
    same_segments(&leader, &disk);
}

/// Three items, two of them taken: a segment with a batch. The third one is next.
fn two_of_three() -> (Disk, Vec<Item>) {
    let mut disk = Disk::new();
    let mut log = disk.open();
    for n in 0..2u8 {
        append(&mut log, &[n; 300]).unwrap();
        append(&mut log, &[n; 30]).unwrap();
        disk.settle(&mut log);
    }
    let all = items(&disk);
    let mut copy = Disk::new();
    let mut follower = follow(&mut copy, limits());
    feed(&mut copy, &mut follower, &all[..2]);
    copy.settle_follower(&mut follower);
    (copy, all)
}

trait SettleFollower {
    fn settle_follower(&mut self, follower: &mut Follower);
}

impl SettleFollower for Disk {
    fn settle_follower(&mut self, follower: &mut Follower) {
        settle(self, follower);
    }
}

/// F-V1: what was sent is not whole. It was written, and is found when it is durable: the log halts, says why, and
/// stays halted over a restart.
#[test]
fn f_v1_a_batch_that_is_not_whole_halts_durably_with_its_rule() {
    let (mut disk, all) = two_of_three();
    let mut follower = follow(&mut disk, limits());
    let before = follower.validated();
    let mut rotten = all[2].bytes.clone();
    rotten[200] ^= 1;
    follower.take(&rotten).expect("its header continues the log");
    let mut ios = Vec::new();
    follower.pump(&mut ios);
    let failures: Vec<_> = ios.into_iter().filter_map(|io| follower.done(disk.execute(io)).err()).collect();
    let [failure] = failures[..] else { panic!("{failures:?}") };
    let Cause::Invalid(invalid) = failure.cause else { panic!("{failure}") };
    assert_eq!((invalid.index, invalid.offset), (Index(before.0 + 1), all[2].offset));
    assert_eq!((follower.validated(), follower.fresh().count()), (before, 0));
    assert_eq!(follower.take(&all[2].bytes), Ok(0), "nothing is taken any more");
    let latch =
        Latch::new("R1", failure.file, invalid.offset, invalid.index, "a whole batch", "a bad checksum");
    let wish = follower.wish(|meta| meta.latch = Some(latch));
    settle(&mut disk, &mut follower);
    assert!(follower.remembered() == wish && follower.is_quiet());
    for role in [Start::Follow, Start::Alone, Start::Lead { epoch: Epoch(9) }] {
        let files = disk.files.clone();
        let (_, opened, report) = open_as(&mut disk, limits(), role);
        let halt = report.halt.expect("latched");
        assert!(matches!(opened, Opened::Halted) && disk.files == files);
        assert_eq!((halt.rule, halt.offset), ("R1", invalid.offset));
        assert!(halt.file == failure.file && halt.observed.contains("a bad checksum"), "{halt}");
    }
}

/// Every bit of an item, one at a time: it is refused at the door, or when it is durable; it is never validated.
#[test]
fn a_flipped_bit_is_never_validated() {
    let (disk, all) = two_of_three();
    let (mut rejected, mut invalid) = (0, 0);
    let mut copy = disk.clone();
    let mut follower = follow(&mut copy, limits());
    let before = follower.validated();
    for bit in 0..all[2].bytes.len() * 8 {
        let mut flipped = all[2].bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if follower.take(&flipped).is_err() {
            rejected += 1;
            assert_eq!(follower.received(), before);
            continue;
        }
        let mut ios = Vec::new();
        follower.pump(&mut ios);
        let failed = ios.into_iter().any(|io| follower.done(copy.execute(io)).is_err());
        assert!(failed && follower.validated() == before && follower.fresh().count() == 0, "bit {bit}");
        invalid += 1;
        copy = disk.clone();
        follower = follow(&mut copy, limits());
    }
    assert!(rejected == 128 * 8 && invalid == (BLOCK - 128) * 8, "{rejected} {invalid}");
}

#[test]
fn every_flipped_bit_of_a_segment_header_is_rejected() {
    let leader = leader(3, 1, 1, limits());
    let header = &items(&leader)[0].bytes;
    let mut disk = Disk::new();
    let mut follower = follow(&mut disk, limits());
    for bit in 0..BLOCK * 8 {
        let mut flipped = header.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        follower.take(&flipped).expect_err("a segment header that is not whole");
    }
    assert_eq!(follower.take(header), Ok(BLOCK));
}

/// A slot has the size that the leader's header names; what is no size of a slot is refused before it is made.
#[test]
fn a_slot_of_the_wanted_size_is_prepared() {
    let size = 12 * BLOCK as u64;
    let other = LogLimits { small_slot_bytes: size, ..limits() };
    let leader = leader(8, 1, 12, other);
    let mut disk = Disk::new();
    let mut follower = follow(&mut disk, limits());
    feed(&mut disk, &mut follower, &items(&leader));
    same_segments(&leader, &disk);
    let sizes: Vec<u64> = disk.found().slots.into_iter().map(|(_, bytes)| bytes).collect();
    assert!(sizes.contains(&size) && sizes.contains(&limits().small_slot_bytes), "{sizes:?}");
    for bytes in [0, BLOCK as u64, size + 1, u64::MAX] {
        let mut header = items(&leader)[0].bytes.clone();
        header[32..40].copy_from_slice(&bytes.to_le_bytes());
        let crc = crc32c::crc32c(&header[..124]).to_le_bytes();
        header[124..128].copy_from_slice(&crc);
        let rejected = follow(&mut Disk::new(), limits()).take(&header).expect_err("no size of a slot");
        assert_eq!(rejected.rule, "R5", "{rejected}");
    }
}

/// Full buffers hold the sender up, and nothing is lost.
#[test]
fn what_finds_no_buffer_waits_with_the_sender() {
    let leader = leader(4, 1, 30, limits());
    let all = bytes(&items(&leader));
    let mut disk = Disk::new();
    let mut follower = follow(&mut disk, limits());
    let taken = follower.take(&all).unwrap();
    assert!(taken < all.len(), "one segment begins at a time, and the pool is small");
    let (mut at, mut rounds) = (taken, 0);
    while at < all.len() {
        settle(&mut disk, &mut follower);
        at += follower.take(&all[at..]).unwrap();
        rounds += 1;
    }
    settle(&mut disk, &mut follower);
    assert!(rounds > 3);
    same_segments(&leader, &disk);
}

/// Writes that end in the wrong order: only the contiguous prefix is persisted, and validated in order.
#[test]
fn only_the_contiguous_prefix_counts() {
    let leader = leader(4, 1, 4, limits());
    let all = items(&leader);
    let mut disk = Disk::new();
    let mut follower = follow(&mut disk, limits());
    feed(&mut disk, &mut follower, &all[..2]);
    let mut ios = Vec::new();
    let mut at = 2;
    while ios.len() < 2 {
        follower.take(&all[at].bytes).unwrap();
        at += 1;
        follower.pump(&mut ios);
        ios.retain(|io| matches!(io, Io::Write { .. }));
    }
    let before = follower.persisted();
    let second = ios.pop().unwrap();
    follower.done(disk.execute(second)).unwrap();
    assert_eq!((follower.persisted(), follower.validated(), follower.fresh().count()), (before, before, 0));
    let first = ios.pop().unwrap();
    follower.done(disk.execute(first)).unwrap();
    let firsts: Vec<u64> = follower.fresh().map(|batch| batch.header.first_index).collect();
    assert!(follower.validated() > before && firsts.is_sorted() && firsts[0] == before.0 + 1);
}

/// R4, R6: one write at a time, the newest wish wins, and an error ends the log.
#[test]
fn metadata_is_written_while_a_log_runs() {
    let mut disk = Disk::new();
    let mut log = disk.open();
    let first = log.wish(|meta| meta.epoch = Epoch(7));
    let mut ios = Vec::new();
    log.pump(0, &mut ios);
    ios.retain(|io| matches!(io, Io::Write { file: FileId::Meta, .. }));
    log.wish(|meta| meta.epoch = Epoch(8));
    let last = log.wish(|meta| meta.lease_us = 5);
    let mut more = Vec::new();
    log.pump(0, &mut more);
    assert!(more.is_empty() && ios.len() == 1 && log.remembered() == Wish(0) && log.outstanding());
    log.done(disk.execute(ios.pop().unwrap())).unwrap();
    assert_eq!((log.remembered(), log.meta().epoch), (Wish(0), Epoch(1)), "one copy may rot");
    log.pump(0, &mut ios);
    log.done(disk.execute(ios.pop().unwrap())).unwrap();
    assert_eq!((log.remembered(), log.meta().epoch), (first, Epoch(7)));
    disk.settle(&mut log);
    assert_eq!((log.remembered(), log.meta().epoch, log.meta().lease_us), (last, Epoch(8), 5));
    let stored: Meta = seawall_wal::meta::read(&disk.files[&FileId::Meta], &support::LOG).unwrap();
    assert_eq!(Meta { sequence: 0, ..stored }, Meta { sequence: 0, ..*log.meta() });
    log.wish(|meta| meta.epoch = Epoch(9));
    log.pump(0, &mut ios);
    let Some(Io::Write { id, buf, .. }) = ios.pop() else { panic!("a write") };
    let result = Err(IoError { step: IoStep::Flush, errno: 5 });
    let failure = log.done(Done { id, result, buf: Some(buf) }).unwrap_err();
    assert_eq!((failure.file, log.remembered()), (FileId::Meta, last));
    assert!(append(&mut log, b"refused").is_err());
    log.wish(|meta| meta.epoch = Epoch(10));
    log.pump(0, &mut ios);
    assert!(ios.is_empty(), "what is on disk is not known any more");
}

/// A leader finds what it has to ship: the segment of an index, and its recorded end.
#[test]
fn closed_segments_are_found_by_their_indices() {
    let mut disk = Disk::new();
    let mut log = disk.open();
    for n in 0..30u8 {
        disk.commit(&mut log, &[n; 3000]);
    }
    let mut copy = Disk::new();
    let mut follower = follow(&mut copy, limits());
    feed(&mut copy, &mut follower, &items(&disk));
    let closed: Vec<_> = log.closed_segments().map(|c| (c.incarnation, c.end, c.last)).collect();
    let same: Vec<_> = follower.closed_segments().map(|c| (c.incarnation, c.end, c.last)).collect();
    assert!(closed == same && closed.len() > 3);
    for index in 1..=closed.last().unwrap().2.0 {
        let found = log.segment_holding(Index(index)).expect("it is closed");
        assert!(found.header.first_index <= index && index <= found.last.0);
    }
    assert!(log.segment_holding(log.durable()).is_none() && log.segment_holding(Index(0)).is_none());
}
