//! The fault model, held to its word.

use seawall::map::ShardId;
use seawall_wal::{BLOCK, Buffer, Done, FileId, Io, IoError, IoId, IoStep, SlotId};

use super::{Disk, DiskShape, Ended, SECTOR, Step};
use crate::fault::Fault;
use crate::random::Random;

const SHARD: ShardId = ShardId(1);
const FILE: FileId = FileId::Slot(SlotId(0));

fn shape() -> DiskShape {
    DiskShape {
        write_us: (1, 10),
        flush_us: (1, 10),
        read_us: (1, 10),
        prepare_us: (1, 10),
        dsync: false,
        stall: 0,
        stall_us: 0,
        write_error: 0,
        flush_error: 0,
        short_write: 0,
        prepare_error: 0,
        read_error: 0,
        short_read: 0,
        offered_damage: 0,
        misdirected_write: 0,
        misdirected_read: 0,
        stale_read: 0,
        capacity: u64::MAX,
    }
}

fn disk(shape: DiskShape, seed: u64) -> Disk {
    let mut disk = Disk::new(shape, Random::new(seed));
    disk.install(SHARD, FILE, vec![0; 4 * BLOCK]);
    disk
}

fn write(id: u64, offset: usize, fill: u8) -> Io {
    let mut buf = Buffer::new(0, 2 * BLOCK);
    buf.bytes_mut().fill(fill);
    Io::Write { id: IoId(id), file: FILE, offset: offset as u64, buf, at: 0, len: 2 * BLOCK }
}

/// Takes the operation and returns its steps in the order of their times.
fn submit(disk: &mut Disk, io: Io) -> Vec<(super::Ticket, Step)> {
    let mut steps = Vec::new();
    disk.submit(0, SHARD, io, |at, ticket, step| steps.push((at, ticket, step)));
    steps.sort_by_key(|(at, ..)| *at);
    steps.into_iter().map(|(_, ticket, step)| (ticket, step)).collect()
}

fn finish(disk: &mut Disk, steps: Vec<(super::Ticket, Step)>) -> Done {
    match steps.into_iter().filter_map(|(ticket, step)| disk.step(ticket, step)).last() {
        Some((_, Ended::Io(done))) => done,
        other => panic!("it does not end: {other:?}"),
    }
}

/// How many sectors of the first two blocks hold `fill`.
fn sectors(disk: &mut Disk, fill: u8) -> usize {
    let read =
        Io::Read { id: IoId(99), file: FILE, offset: 0, buf: Buffer::new(1, 2 * BLOCK), len: 2 * BLOCK };
    let done = disk.execute(SHARD, read);
    assert_eq!(done.result, Ok(2 * BLOCK));
    let buf = done.buf.expect("a buffer comes back");
    buf.bytes().chunks(SECTOR).filter(|sector| sector.iter().all(|byte| *byte == fill)).count()
}

const ALL: usize = 2 * BLOCK / SECTOR;

#[test]
fn a_flushed_write_survives_a_power_cut() {
    for seed in 0..20 {
        let mut disk = disk(shape(), seed);
        let steps = submit(&mut disk, write(1, 0, 7));
        assert_eq!(finish(&mut disk, steps).result, Ok(2 * BLOCK));
        disk.power_cut();
        assert_eq!(sectors(&mut disk, 7), ALL);
    }
}

#[test]
fn an_accepted_write_is_read_survives_a_kill_and_may_be_lost_or_torn_by_a_power_cut() {
    let mut seen = [0; 3];
    for seed in 0..60 {
        let mut disk = disk(shape(), seed);
        for (ticket, step) in submit(&mut disk, write(1, 0, 7)) {
            if step == Step::End {
                break;
            }
            assert!(disk.step(ticket, step).is_none());
        }
        assert_eq!(sectors(&mut disk, 7), ALL);
        disk.kill();
        assert_eq!(sectors(&mut disk, 7), ALL);
        disk.power_cut();
        match sectors(&mut disk, 7) {
            0 => seen[0] += 1,
            ALL => seen[2] += 1,
            torn => {
                assert_eq!(sectors(&mut disk, 0), ALL - torn);
                seen[1] += 1;
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "lost, torn, kept: {seen:?}");
}

#[test]
fn a_write_under_way_at_a_kill_arrives_in_part() {
    let arrived = |seed| {
        let mut disk = disk(shape(), seed);
        submit(&mut disk, write(1, 0, 7));
        disk.kill();
        assert!(disk.idle());
        sectors(&mut disk, 7)
    };
    assert!((0..20).map(arrived).any(|count| (1..ALL).contains(&count)));
}

#[test]
fn a_flush_covers_what_was_accepted_before_it_began() {
    for dsync in [false, true] {
        let mut disk = disk(DiskShape { dsync, ..shape() }, 1);
        let first = submit(&mut disk, write(1, 0, 7));
        for (ticket, step) in first.iter().take(first.len() - 2) {
            assert!(disk.step(*ticket, *step).is_none());
        }
        let second = submit(&mut disk, write(2, 2 * BLOCK, 8));
        assert!(finish(&mut disk, second).result.is_ok());
        for file in disk.files.values_mut() {
            file.lose(0, &mut Random::new(1));
        }
        assert_eq!(sectors(&mut disk, 7), if dsync { 0 } else { ALL });
    }
}

#[test]
fn after_a_failed_flush_another_one_reports_success_and_keeps_less() {
    let (mut dropped, mut forgotten) = (0, 0);
    for seed in 0..20 {
        let mut disk = disk(DiskShape { flush_error: 1000, ..shape() }, seed);
        let steps = submit(&mut disk, write(1, 0, 7));
        let error = IoError { step: IoStep::Flush, errno: super::EIO };
        assert_eq!(finish(&mut disk, steps).result, Err(error));
        let readable = sectors(&mut disk, 7);
        dropped += ALL - readable;
        disk.heal();
        let steps = submit(&mut disk, write(2, 2 * BLOCK, 8));
        assert_eq!(finish(&mut disk, steps).result, Ok(2 * BLOCK));
        for file in disk.files.values_mut() {
            file.lose(0, &mut Random::new(1));
        }
        forgotten += readable - sectors(&mut disk, 7);
        assert!(disk.fired.count(Fault::FlushError) == 1);
    }
    assert!(dropped > 0 && forgotten > 0, "{dropped} {forgotten}");
}

#[test]
fn what_was_forgotten_never_comes_back_over_a_later_durable_write() {
    for seed in 0..40 {
        let mut disk = disk(DiskShape { flush_error: 1000, ..shape() }, seed);
        let steps = submit(&mut disk, write(1, 0, 7));
        assert!(finish(&mut disk, steps).result.is_err());
        disk.heal();
        let steps = submit(&mut disk, write(2, 0, 8));
        assert!(finish(&mut disk, steps).result.is_ok());
        disk.power_cut();
        assert_eq!(sectors(&mut disk, 8), ALL);
    }
}

#[test]
fn a_short_write_leaves_less_and_says_so() {
    let mut disk = disk(DiskShape { short_write: 1000, ..shape() }, 3);
    let steps = submit(&mut disk, write(1, 0, 7));
    let moved = finish(&mut disk, steps).result.expect("short is no error of the system");
    assert!(moved < 2 * BLOCK);
    assert_eq!(sectors(&mut disk, 7), moved / SECTOR);
}

#[test]
fn a_slot_whose_preparation_was_not_reported_is_absent_half_written_or_complete() {
    let left = |seed| {
        let mut disk = disk(shape(), seed);
        submit(&mut disk, Io::Prepare { id: IoId(1), slot: SlotId(1), bytes: 8 * BLOCK as u64 });
        disk.kill();
        disk.found(SHARD).slots.into_iter().find(|(slot, _)| *slot == SlotId(1)).map(|(_, bytes)| bytes)
    };
    let left: Vec<_> = (0..40).map(left).collect();
    let whole = 8 * BLOCK as u64;
    assert!(left.contains(&None) && left.contains(&Some(whole)) && left.iter().flatten().any(|b| *b < whole));
}

fn read(disk: &mut Disk) -> (Result<usize, IoError>, Vec<u8>) {
    let buf = Buffer::new(1, 2 * BLOCK);
    let done = disk.execute(SHARD, Io::Read { id: IoId(99), file: FILE, offset: 0, buf, len: 2 * BLOCK });
    (done.result, done.buf.expect("a buffer comes back").bytes().to_vec())
}

#[test]
fn bit_rot_is_durable_seen_as_damage_and_can_be_repaired() {
    let mut disk = disk(shape(), 1);
    disk.execute(SHARD, write(1, 0, 7));
    assert!(disk.damage().is_empty());
    disk.rot(SHARD, FILE, 0, BLOCK);
    disk.power_cut();
    assert_eq!(sectors(&mut disk, 7), ALL - 1);
    assert!(disk.damage() == [FILE] && disk.damaged(SHARD, FILE, 0, BLOCK));
    assert!(!disk.damaged(SHARD, FILE, BLOCK, BLOCK));
    disk.repair();
    assert!(sectors(&mut disk, 7) == ALL && disk.damage().is_empty());
    disk.rot(SHARD, FILE, 0, BLOCK);
    disk.adopt(SHARD, FILE, true);
    disk.repair();
    assert!(sectors(&mut disk, 7) == ALL - 1 && disk.damage() == [FILE], "what was adopted stays");
    assert!(!disk.damaged(SHARD, FILE, 0, BLOCK), "and is meant now");
}

#[test]
fn a_misdirected_write_lands_elsewhere_and_is_reported_as_good() {
    let mut elsewhere = 0;
    for seed in 0..20 {
        let mut disk = disk(DiskShape { misdirected_write: 1000, ..shape() }, seed);
        assert_eq!(disk.execute(SHARD, write(1, 0, 7)).result, Ok(2 * BLOCK));
        disk.power_cut();
        let (_, bytes) = read(&mut disk);
        elsewhere += u64::from(bytes.iter().all(|byte| *byte == 0));
        assert!(disk.damaged(SHARD, FILE, 0, 4 * BLOCK) || disk.fired.count(Fault::MisdirectedWrite) == 0);
        disk.repair();
        assert_eq!(sectors(&mut disk, 7), ALL);
    }
    assert!(elsewhere > 0);
}

#[test]
fn a_read_fails_is_short_or_brings_other_bytes_once() {
    let mut disk = disk(DiskShape { read_error: 1000, ..shape() }, 1);
    disk.execute(SHARD, write(1, 0, 7));
    assert_eq!(read(&mut disk).0, Err(IoError { step: IoStep::Read, errno: super::EIO }));
    disk.shape = DiskShape { short_read: 1000, ..shape() };
    assert!(read(&mut disk).0.is_ok_and(|moved| moved < 2 * BLOCK));
    disk.shape = DiskShape { stale_read: 1000, ..shape() };
    assert!(read(&mut disk).1.contains(&0));
    disk.shape = DiskShape { misdirected_read: 1000, ..shape() };
    assert!((0..20).any(|_| read(&mut disk).1.contains(&0)));
    disk.shape = shape();
    assert_eq!(sectors(&mut disk, 7), ALL);
    assert!(disk.damage().is_empty() && disk.wrongs() > 1);
}

#[test]
fn a_full_disk_prepares_nothing_until_there_is_room() {
    let mut disk = disk(DiskShape { capacity: 6 * BLOCK as u64, ..shape() }, 1);
    let prepare = || Io::Prepare { id: IoId(1), slot: SlotId(1), bytes: 4 * BLOCK as u64 };
    let full = IoError { step: IoStep::Prepare, errno: super::ENOSPC };
    assert_eq!(disk.execute(SHARD, prepare()).result, Err(full));
    disk.heal();
    assert!(disk.execute(SHARD, prepare()).result.is_ok());
}
