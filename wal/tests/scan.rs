//! A scan says of a log what recovery will say, and writes nothing.

mod support;

use seawall_wal::recover::Report;
use seawall_wal::{BLOCK, FileId, Io, Replay, Scan, SlotId};
use support::{Disk, LOG};

fn scan(disk: &mut Disk) -> (u64, Report) {
    let mut scan = Scan::new(LOG, support::limits(), disk.found());
    let mut records = 0;
    while let Some(io) = scan.wants() {
        assert!(matches!(io, Io::Read { .. }));
        scan.done(disk.execute(io), &mut |replay| records += u64::from(matches!(replay, Replay::Record(_))));
    }
    (records, scan.report())
}

/// The halt, the end and the counts are recovery's; what recovery writes is left out.
fn agree(disk: &mut Disk, what: &str) -> Report {
    let before = disk.files.clone();
    let (records, scanned) = scan(disk);
    assert!(disk.files == before, "{what}: a scan changes nothing");
    let (seen, log, recovered) = disk.clone().recover();
    assert_eq!(log.is_none(), scanned.halt.is_some(), "{what}");
    assert_eq!(records, seen.len() as u64, "{what}");
    assert_eq!(scanned, Report { rewritten: 0, ..recovered }, "{what}");
    scanned
}

/// Two starts, a full segment and a tail.
fn rolled() -> Disk {
    let mut disk = Disk::new();
    for n in 0..2u8 {
        let mut log = disk.open();
        for m in 0..9 {
            disk.commit(&mut log, &[n * 16 + m; 3000]);
        }
    }
    disk
}

#[test]
fn a_scan_agrees_with_recovery_on_whole_and_empty_logs() {
    assert!(agree(&mut Disk::new(), "empty").end.is_none());
    let report = agree(&mut rolled(), "whole");
    assert!(report.segments > 2 && report.halt.is_none(), "{report}");
}

#[test]
fn a_scan_agrees_with_recovery_wherever_a_block_is_damaged() {
    let whole = rolled();
    let (mut halts, mut cuts) = (0, 0);
    for (file, bytes) in &whole.files {
        for block in (0..bytes.len()).step_by(BLOCK) {
            for at in [block, block + 60, block + 90, block + 140, block + BLOCK - 1] {
                let mut disk = whole.clone();
                disk.files.get_mut(file).expect("it is there")[at] ^= 0x10;
                let report = agree(&mut disk, &format!("{file:?} at {at}"));
                halts += u32::from(report.halt.is_some());
                cuts += u32::from(report.end.is_some_and(|e| e.leftover.is_some()));
            }
        }
    }
    assert!(halts > 20 && cuts > 5, "{halts} halts, {cuts} cuts");
}

#[test]
fn a_scan_agrees_on_lost_files_bad_sectors_and_finished_cuts() {
    let whole = rolled();
    for slot in 0..4 {
        let mut disk = whole.clone();
        disk.files.remove(&FileId::Slot(SlotId(slot)));
        agree(&mut disk, "a lost file");
        let mut disk = whole.clone();
        disk.bad_sector = Some((FileId::Slot(SlotId(slot)), BLOCK as u64 + 100));
        assert_eq!(agree(&mut disk, "a bad sector").halt.expect("unreadable").rule, "R2");
    }
    let mut disk = whole;
    let last = scan(&mut disk).1.end.expect("an end");
    let at = usize::try_from(last.offset).expect("small") - BLOCK;
    disk.slot(last.slot.0)[at + 140] ^= 1;
    disk.recover();
    assert!(agree(&mut disk, "cut").end.expect("an end").finished_cut);
}
