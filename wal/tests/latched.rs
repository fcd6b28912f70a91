//! R25, R6, R8: damage that a member of a cluster meets at a start is an end, over restarts, also where the log could do
//! without it; what is written twice takes no bit's word for it.

#[path = "support/folding.rs"]
mod folding;
#[path = "support/follow.rs"]
mod following;
mod support;

use folding::{checkpoints, fold, limits};
use following::settle;
use seawall_wal::format::SegmentHeader;
use seawall_wal::meta::{self, Meta};
use seawall_wal::recover::{Halt, Intention, Report};
use seawall_wal::{Act, BLOCK, Epoch, FileId, Follower, Ordered, Progress, Recovery, Start};
use support::{Disk, LOG};

/// As a member starts: what it finds damaged is latched.
fn start(disk: &mut Disk, order: Option<Act>) -> (Option<Follower>, Report) {
    let order = order.map(|act| Ordered { act, audit: "an operator: because".into() });
    let recovery = Recovery::new(LOG, limits(3), disk.found(), limits(3).buffers(), Start::Follow);
    let mut recovery = recovery.ordered(order).latching();
    let mut ios = Vec::new();
    recovery.start(&mut ios);
    loop {
        let done = disk.execute(ios.pop().expect("recovery works until it ends"));
        match recovery.done(done, &mut ios, &mut |_| {}) {
            Progress::Working => assert_eq!(ios.len(), 1),
            Progress::Halted(report) => return (None, report),
            Progress::AtRest(log, report) => return (Some(*log), report),
            Progress::Recovered(..) => panic!("it follows"),
        }
    }
}

fn halts(disk: &mut Disk) -> Halt {
    let (log, report) = start(disk, None);
    assert!(log.is_none());
    report.halt.expect("it halted")
}

/// A member with three checkpoints and a log behind the oldest.
fn member() -> Disk {
    let mut disk = Disk::new();
    let mut log = disk.open_with(limits(3));
    fold(&mut disk, &mut log, 4);
    disk.settle(&mut log);
    for n in 0..4 {
        disk.commit(&mut log, &[n; 100]);
    }
    assert!(start(&mut disk, None).0.is_some());
    disk
}

fn copies(disk: &Disk) -> meta::Copies {
    meta::read_both(&disk.files[&FileId::Meta], &LOG).expect("one is whole")
}

fn flip(disk: &mut Disk, file: FileId, at: usize) {
    disk.files.get_mut(&file).expect("a file of the test")[at] ^= 16;
}

/// Where the copy begins that was written last.
fn newest(disk: &Disk) -> usize {
    usize::try_from(copies(disk).newest.offset()).expect("a small file")
}

#[test]
fn a_bit_in_one_copy_of_the_metadata_halts_a_member_wherever_it_is() {
    let whole = member();
    // Its own bytes, the text of a latch that is not there, and what lies behind it.
    for at in [0, 9, 40, 251, 300, 600, BLOCK - 1] {
        for copy in [0, BLOCK] {
            let mut disk = whole.clone();
            flip(&mut disk, FileId::Meta, copy + at);
            let halt = halts(&mut disk);
            let place = (halt.rule, halt.file, halt.offset);
            assert_eq!(place, ("R6", FileId::Meta, copy as u64), "{at}: {halt}");
            assert_eq!(copies(&disk).bad, None, "the latch stands where the bad copy was");
            let again = halts(&mut disk);
            assert!((again.rule, again.file, again.offset) == place, "{again}");
            assert!(again.observed.contains("kept until an operator clears it"), "{again}");
            let (log, report) = start(&mut disk, Some(Act::Clear));
            assert!(log.is_some() && report.is_clean(), "{report}");
            assert!(start(&mut disk, None).0.is_some(), "it is over");
        }
    }
}

/// Nobody else has what it has: what is there twice is used, and said.
#[test]
fn a_bit_in_one_copy_is_said_by_a_log_that_is_alone() {
    let mut disk = Disk::new();
    drop(disk.open_with(limits(3)));
    let at = newest(&disk);
    flip(&mut disk, FileId::Meta, at + 70);
    let (_, log, report) = disk.recover_with(limits(3));
    assert!(log.is_some() && !report.is_clean(), "{report}");
    let said = report.to_string();
    assert!(said.contains(&format!("INTEGRITY FAILURE: meta at offset {at} breaks R6: ")), "{said}");
    assert_eq!((report.bad_copy.map(|bad| bad.0), copies(&disk).bad), (Some(at as u64), None));
    assert!(
        report.json().contains(&format!(r#""bad_copy_of_metadata":{{"offset":{at},"#)),
        "{}",
        report.json()
    );
}

/// A promise counts when no bit that turns takes it back. Without that: it is answered, the newest copy rots, and the next
/// start promises the same epoch to somebody else.
#[test]
fn what_is_promised_is_in_both_copies_before_it_counts() {
    let mut disk = member();
    let (log, _) = start(&mut disk, None);
    let mut log = log.expect("whole");
    let holds = |disk: &Disk, copy: usize| {
        let bytes = &disk.files[&FileId::Meta][copy..copy + BLOCK];
        Meta::decode(bytes, &LOG).expect("whole").epoch == Epoch(77)
    };
    let wish = log.wish(|meta| meta.epoch = Epoch(77));
    let mut writes = 0;
    while log.remembered() < wish {
        let mut ios = Vec::new();
        log.pump(&mut ios);
        for io in ios {
            writes += 1;
            log.done(disk.execute(io)).expect("it lands");
        }
    }
    assert!(holds(&disk, 0) && holds(&disk, BLOCK), "after {writes} writes");
    settle(&mut disk, &mut log);
    assert_eq!((log.meta().epoch, writes), (Epoch(77), 2));
}

/// What recovery itself decides is in both, too.
#[test]
fn a_start_leaves_two_copies_that_say_the_same() {
    let disk = member();
    let whole = copies(&disk);
    let older = BLOCK - newest(&disk);
    let older = Meta::decode(&disk.files[&FileId::Meta][older..][..BLOCK], &LOG).expect("whole");
    assert_eq!(Meta { sequence: whole.newest.sequence, ..older }, whole.newest);
}

/// A rotten checkpoint halts a member that has an older one: nobody may learn of a bad disk by what is lost next. Cleared,
/// the older one is used, loudly (R8).
#[test]
fn a_rotten_checkpoint_halts_a_member_until_somebody_accepts_the_older_one() {
    let whole = member();
    let kept = checkpoints(&whole);
    let newest = FileId::Checkpoint(*kept.last().expect("three of them"));
    for at in [9, whole.files[&newest].len() / 2, whole.files[&newest].len() - 9] {
        let mut disk = whole.clone();
        flip(&mut disk, newest, at);
        let halt = halts(&mut disk);
        assert_eq!((halt.rule, halt.file), ("R8", newest), "{halt}");
        assert!(halts(&mut disk).observed.contains("kept until"), "over restarts");
        let (log, report) = start(&mut disk, Some(Act::Clear));
        assert!(log.is_some() && report.corrupt.len() == 1 && !report.is_clean(), "{at}: {report}");
        let (log, report) = start(&mut disk, None);
        assert!(
            log.is_some() && !report.is_clean(),
            "it is cleared until the next fold takes it away: {report}"
        );
    }
}

/// A clear that is written while nobody has the log open, and a start later.
#[test]
fn a_clear_of_a_stopped_member_holds_as_long_as_what_was_cleared_is_there() {
    let whole = member();
    let kept = checkpoints(&whole);
    let mut disk = whole.clone();
    flip(&mut disk, FileId::Checkpoint(kept[kept.len() - 1]), 4000);
    halts(&mut disk);
    let intention = Intention::of(Act::Clear, &LOG, &disk.files[&FileId::Meta]);
    assert!(intention.halt.as_ref().is_some_and(|halt| halt.contains("breaks R8")), "{intention:?}");
    let (at, block) = intention.write.expect("the latch goes");
    let at = usize::try_from(at).expect("a small file");
    disk.files.get_mut(&FileId::Meta).expect("there is one")[at..at + BLOCK].copy_from_slice(&block);
    let (log, report) = start(&mut disk, None);
    assert!(log.is_some() && !report.corrupt.is_empty(), "{report}");
    disk.files.remove(&FileId::Checkpoint(kept[kept.len() - 1])); // as the next fold does
    assert!(start(&mut disk, None).1.is_clean() && !copies(&disk).newest.cleared);
    flip(&mut disk, FileId::Checkpoint(kept[kept.len() - 2]), 4000);
    assert_eq!(halts(&mut disk).rule, "R8", "the next rotten one halts again");
}

/// Bytes that are whole at the next look take no halt back.
#[test]
fn damage_that_a_start_met_halts_the_next_one_that_does_not_meet_it() {
    let mut disk = member();
    let (log, _) = start(&mut disk, None);
    let last = log.expect("whole").expected();
    let holds = |bytes: &Vec<u8>| {
        SegmentHeader::read(bytes, &LOG).is_ok_and(|header| header.incarnation == last.incarnation.0)
    };
    let (slot, whole) = disk.files.iter().find(|(_, bytes)| holds(bytes)).expect("where the log ends");
    let (slot, whole) = (*slot, whole.clone());
    flip(&mut disk, slot, BLOCK + 20);
    let first = halts(&mut disk);
    disk.files.insert(slot, whole);
    let second = halts(&mut disk);
    assert_eq!((first.rule, first.file, first.offset), (second.rule, second.file, second.offset));
    assert!(start(&mut disk, Some(Act::Clear)).0.is_some(), "and it is whole, indeed");
}

/// A disk that does not take the latch halts all the same.
#[test]
fn a_latch_that_cannot_be_written_is_no_way_out() {
    let mut disk = member();
    flip(&mut disk, FileId::Meta, 9);
    disk.dead = true;
    assert_eq!(halts(&mut disk).rule, "R6");
}

/// What could not be read may be whole: the next start looks again.
#[test]
fn a_sector_that_cannot_be_read_halts_a_start_and_latches_nothing() {
    let mut disk = member();
    let (slot, _) = disk.found().slots[0];
    disk.bad_sector = Some((FileId::Slot(slot), 0));
    assert!(halts(&mut disk).observed.contains("read failed"));
    disk.bad_sector = None;
    assert!(start(&mut disk, None).0.is_some());
}
