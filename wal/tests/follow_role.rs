//! What a start is told to be, and what it makes of a tail that it did not issue.

#[path = "support/follow.rs"]
mod following;
mod support;

use following::{Opened, feed, follow, items, lead, leader, missing, open_as, same_segments, settle};
use seawall_wal::meta::{self, Bound, Meta};
use seawall_wal::recover::{Report, Tail};
use seawall_wal::{BLOCK, Epoch, FileId, Index, LogLimits, SlotId, Start};
use support::{Disk, LOG, batches, limits};

fn stored(disk: &Disk) -> Meta {
    meta::read(&disk.files[&FileId::Meta], &LOG).expect("a whole copy")
}

/// Writes metadata as if it had been wished for.
fn remember(disk: &mut Disk, change: impl FnOnce(&mut Meta)) {
    let mut meta = stored(disk);
    meta.sequence += 1;
    change(&mut meta);
    let at = usize::try_from(meta.offset()).unwrap();
    disk.files.get_mut(&FileId::Meta).unwrap()[at..at + BLOCK].copy_from_slice(&meta.encode(&LOG));
}

/// A follower of a leader with two epochs; its last segment has several batches.
fn followed() -> Disk {
    let mut source = leader(11, 1, 4, limits());
    let mut log = source.open_with(wide());
    for n in 0..12u8 {
        source.commit(&mut log, &[n; 100]);
    }
    let mut disk = Disk::new();
    let mut follower = follow(&mut disk, wide());
    feed(&mut disk, &mut follower, &items(&source));
    disk
}

/// Segments so large that many batches lie in the last one, behind what may be under way.
fn wide() -> LogLimits {
    LogLimits { small_slot_bytes: 16 * BLOCK as u64, slot_bytes: 16 * BLOCK as u64, ..limits() }
}

/// The slot of the last segment, and its batches.
fn last_segment(disk: &Disk) -> (SlotId, Vec<(usize, u64, u64)>) {
    let (_, _, report) = disk.clone().recover_as(Start::Follow);
    let slot = report.end.expect("it is not empty").slot;
    (slot, batches(&disk.files[&FileId::Slot(slot)]))
}

trait RecoverAs {
    fn recover_as(&mut self, role: Start) -> (usize, Opened, Report);
}

impl RecoverAs for Disk {
    fn recover_as(&mut self, role: Start) -> (usize, Opened, Report) {
        let (seen, opened, report) = open_as(self, wide(), role);
        (seen.len(), opened, report)
    }
}

#[test]
fn a_follower_takes_no_epoch_and_counts_its_starts() {
    let mut disk = followed();
    let before = stored(&disk);
    let (records, opened, report) = disk.recover_as(Start::Follow);
    let after = stored(&disk);
    assert!(matches!(opened, Opened::Follower(_)) && report.follows && records > 0);
    assert_eq!((after.epoch, after.start, after.own), (before.epoch, before.start + 1, before.own));
    assert!(after.followed && report.epoch == before.epoch && report.to_string().contains("it follows"));
}

/// R10: the epoch of a leader is above all that the log holds, was promised, and was led by no start before.
#[test]
fn a_start_leads_an_epoch_that_was_won_and_no_other() {
    type Case = (&'static str, fn(&mut Meta), u64);
    let cases: [Case; 5] = [
        ("the log holds it", |_| {}, 2),
        ("a higher one is promised", |meta| meta.epoch = Epoch(9), 8),
        ("it is promised to another leader", |meta| bind(meta, Epoch(9)), 9),
        ("an earlier start led it", |meta| meta.issued = Epoch(5), 5),
        ("an earlier start led a later one", |meta| meta.issued = Epoch(5), 4),
    ];
    for (what, change, epoch) in cases {
        let mut disk = followed();
        remember(&mut disk, change);
        let before = disk.files.clone();
        let (_, opened, report) = disk.recover_as(Start::Lead { epoch: Epoch(epoch) });
        let halt = report.halt.expect(what);
        assert!(
            matches!(opened, Opened::Halted) && halt.rule == "R10" && disk.files == before,
            "{what}: {halt}"
        );
    }
    let mut disk = followed();
    remember(&mut disk, |meta| meta.epoch = Epoch(7)); // the candidate's own promise
    let mut log = lead(&mut disk, wide(), 7);
    let meta = stored(&disk);
    assert_eq!(
        (log.epoch(), meta.epoch, meta.issued, meta.own),
        (Epoch(7), Epoch(7), Epoch(7), (Epoch(7), Epoch(7)))
    );
    disk.commit(&mut log, b"led");
    let (_, opened, _) = disk.recover_as(Start::Lead { epoch: Epoch(7) });
    assert!(matches!(opened, Opened::Halted), "a process continues no epoch");
    let mut log = lead(&mut disk, wide(), 8);
    disk.commit(&mut log, b"led again");
    assert_eq!(stored(&disk).own, (Epoch(7), Epoch(8)), "both were issued here, with none between");
    assert!(!stored(&disk).issued_here(Epoch(2)) && stored(&disk).issued_here(Epoch(7)));
}

fn bind(meta: &mut Meta, epoch: Epoch) {
    (meta.epoch, meta.bound) = (epoch, Some(Bound { leader: 2, start: 4 }));
}

/// A log that was led follows, and leads again; what it issued last is judged as its own.
#[test]
fn a_deposed_leader_follows_and_leads_again() {
    let mut a = leader(12, 2, 5, wide());
    let mut b = Disk::new();
    let mut follower = follow(&mut b, wide());
    feed(&mut b, &mut follower, &items(&a));
    drop(follower);
    let mut log = lead(&mut b, wide(), 5);
    b.commit(&mut log, b"by the new leader");
    assert!(stored(&b).issued_here(Epoch(5)) && !stored(&b).issued_here(Epoch(2)));
    let mut deposed = follow(&mut a, wide());
    assert!(stored(&a).issued_here(Epoch(2)) && !stored(&a).issued_here(Epoch(5)));
    let rest = missing(&items(&b), &deposed);
    feed(&mut a, &mut deposed, &rest);
    same_segments(&b, &a);
    let mut log = lead(&mut a, wide(), 6);
    a.commit(&mut log, b"by the old one");
    assert_eq!(stored(&a).own, (Epoch(6), Epoch(6)));
    let mut follower = follow(&mut b, wide());
    let rest = missing(&items(&a), &follower);
    feed(&mut b, &mut follower, &rest);
    same_segments(&a, &b);
    let epochs: Vec<u64> = follower.epochs().map(|(epoch, _)| epoch.0).collect();
    assert_eq!(epochs, [1, 2, 5, 6]);
}

/// R2, third row. A follower's batches say what was flushed at the issuer, which proves nothing here: two writes were
/// under way, the first one is torn. To halt for that would be to halt for a crash.
#[test]
fn what_the_issuer_flushed_proves_nothing_of_a_follower() {
    let disk = followed();
    let (slot, batches) = last_segment(&disk);
    let window = wide().writes_in_flight * wide().buffer_bytes;
    let (last, through, _) = *batches.last().unwrap();
    let (torn, _, first) = batches[batches.len() - 3];
    assert!(through >= first && last - torn <= window, "its issuer had it durable");
    let mut issued = disk.clone();
    issued.slot(slot.0)[torn + 140] ^= 1;
    let mut followed = issued.clone();
    remember(&mut issued, |meta| meta.own = (Epoch(1), Epoch(2)));
    let halt = issued.recover_as(Start::Follow).2.halt.expect("its own batch proves it");
    assert_eq!((halt.rule, halt.offset), ("R2", torn as u64));
    let (records, opened, report) = followed.recover_as(Start::Follow);
    let end = report.end.unwrap();
    assert!(matches!(opened, Opened::Follower(_)) && end.tail == Tail::Uncertain, "{report}");
    assert_eq!((records as u64, end.offset, report.abandoned.len()), (first - 1, torn as u64, 1));
    assert!(report.to_string().contains("quarantine") && followed.quarantine.len() == 1);
    // Until somebody has settled what it lacks, it says so.
    let (_, _, report) = followed.recover_as(Start::Follow);
    assert!(report.end.unwrap().tail == Tail::Uncertain && stored(&followed).uncertain, "{report}");
    let mut follower = follow(&mut followed, wide());
    follower.wish(|meta| meta.uncertain = false);
    settle(&mut followed, &mut follower);
    assert_eq!(followed.recover_as(Start::Follow).2.end.unwrap().tail, Tail::Certain);
}

/// R2, third row: a batch that lies further behind than all that can be under way was written when the missing one was
/// durable.
#[test]
fn damage_further_back_than_what_was_under_way_halts() {
    let disk = followed();
    let (slot, batches) = last_segment(&disk);
    let window = wide().writes_in_flight * wide().buffer_bytes;
    let last = batches.last().unwrap().0;
    let mut halts = 0;
    for (at, ..) in &batches {
        let mut disk = disk.clone();
        disk.slot(slot.0)[*at + 140] ^= 1;
        let before = disk.files.clone();
        let (_, opened, report) = disk.recover_as(Start::Follow);
        let halted = matches!(opened, Opened::Halted);
        assert_eq!(halted, last - *at > window, "at {at} of {last}: {report}");
        assert!(!halted || report.halt.unwrap().rule == "R2" && disk.files == before);
        halts += u32::from(halted);
    }
    assert!(halts > 2, "{halts}");
}

/// R2, third row: what the metadata says was durable is not torn, and not missing either.
#[test]
fn a_log_that_ends_below_its_durable_mark_halts() {
    let disk = followed();
    let (slot, batches) = last_segment(&disk);
    let (last, _, first) = *batches.last().unwrap();
    for mark in [|meta: &mut Meta, index| meta.durable = index, |meta: &mut Meta, index| meta.clean = index] {
        for lost in [false, true] {
            let mut disk = disk.clone();
            remember(&mut disk, |meta| mark(meta, Index(first)));
            assert!(matches!(disk.clone().recover_as(Start::Follow).1, Opened::Follower(_)));
            match lost {
                true => disk.slot(slot.0)[last..last + BLOCK].fill(0),
                false => disk.slot(slot.0)[last + 140] ^= 1,
            }
            let (_, _, report) = disk.recover_as(Start::Follow);
            let halt = report.halt.expect("it was durable");
            assert!(
                halt.rule == "R2" && halt.offset == last as u64 && halt.expected.contains("metadata"),
                "{halt}"
            );
            remember(&mut disk, |meta| mark(meta, Index(first - 1)));
            assert!(matches!(disk.recover_as(Start::Follow).1, Opened::Follower(_)), "a torn tail");
        }
    }
}

/// Readable is not durable: of a followed epoch, all that may have been under way is written again.
#[test]
fn what_may_have_been_under_way_is_rewritten() {
    let mut disk = followed();
    let (slot, batches) = last_segment(&disk);
    let window = wide().writes_in_flight * wide().buffer_bytes;
    let last = batches.last().unwrap().0;
    disk.writes.clear();
    let (_, _, report) = disk.recover_as(Start::Follow);
    let in_slot = disk.writes.iter().filter(|(file, ..)| *file == FileId::Slot(slot));
    let first = in_slot.map(|(_, at, _)| *at).min().expect("something was rewritten");
    assert_eq!(first as usize, last - window, "{report}");
}

/// A log of one replica goes on as it was, whoever reads its metadata later.
#[test]
fn a_log_that_was_alone_becomes_a_followers() {
    let mut disk = leader(13, 3, 3, limits());
    assert!(!stored(&disk).followed && stored(&disk).issued_here(Epoch(1)));
    let files = disk.files.clone();
    let before = disk.clone().recover().0;
    disk.files = files;
    let follower = follow(&mut disk, limits());
    assert_eq!(follower.validated().0, before.len() as u64);
    let meta = stored(&disk);
    assert!(meta.issued_here(Epoch(3)) && !meta.issued_here(Epoch(4)));
    assert_eq!(disk.recover().0, before);
}

/// A log that was alone promises the next epoch to itself, and leads it.
#[test]
fn a_log_that_never_followed_leads_the_epoch_that_it_promised() {
    let mut disk = leader(14, 1, 3, limits());
    let mut log = disk.open();
    let next = Epoch(log.epoch().0 + 1);
    log.wish(|meta| meta.epoch = next);
    disk.settle(&mut log);
    let mut log = lead(&mut disk, limits(), next.0);
    disk.commit(&mut log, b"led");
    assert_eq!((stored(&disk).issued, stored(&disk).own), (next, (Epoch(0), next)));
    let (_, opened, report) = open_as(&mut disk, limits(), Start::Lead { epoch: next });
    assert!(matches!(opened, Opened::Halted), "{report}");
}

/// It led epoch 7 without having seen 4, was deposed and cut back, and follows 4 at last: that was not its own, though
/// it lies between epochs that were.
#[test]
fn an_epoch_between_those_that_were_issued_here_is_followed_all_the_same() {
    let mut mine = leader(15, 1, 3, limits());
    let mut others = mine.clone();
    let common = mine.clone().recover().2.last;
    let mut log = lead(&mut others, limits(), 4);
    for n in 0..6u8 {
        others.commit(&mut log, &[n; 100]);
    }
    let mut log = lead(&mut mine, limits(), 7);
    mine.commit(&mut log, b"lost");
    assert_eq!(stored(&mine).own, (Epoch(0), Epoch(7)));
    let mut follower = follow(&mut mine, limits());
    follower.cut_to(common).unwrap();
    settle(&mut mine, &mut follower);
    let mut follower = follow(&mut mine, limits());
    let rest = missing(&items(&others), &follower);
    feed(&mut mine, &mut follower, &rest);
    let meta = stored(&mine);
    assert!(meta.issued_here(Epoch(1)) && !meta.issued_here(Epoch(4)) && meta.issued == Epoch(7), "{meta:?}");
    // Two writes were under way, the first one is torn: no corruption.
    let (_, _, report) = open_as(&mut mine.clone(), limits(), Start::Follow);
    let slot = report.end.unwrap().slot;
    let torn = batches(&mine.files[&FileId::Slot(slot)]).iter().rev().nth(1).unwrap().0;
    mine.slot(slot.0)[torn + 140] ^= 1;
    assert!(matches!(open_as(&mut mine, limits(), Start::Follow).1, Opened::Follower(_)));
}
