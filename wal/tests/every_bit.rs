//! Every bit of a 64 KiB segment is flipped, one at a time, and every block is zeroed, swapped, aged or cut off:
//! recovery gives the exact log, halts, or cuts and calls the cut uncertain. It is never shorter or different in
//! silence, and never loses a record that the log itself proves durable.

#[path = "support/damage.rs"]
mod damage;
mod support;

use damage::{SEGMENT, SMALL, Subject, extents, limits, record};
use seawall_wal::batch::{OpenBatch, Seal};
use seawall_wal::format::Incarnation;
use seawall_wal::{BLOCK, Buffer, Entry, Epoch, FileId, Index, Io, Kind, Log, SlotId, Space};
use support::{Disk, LOG};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// The segment is followed by another.
    Successor,
    Fence,
    /// Two writes were in flight when it ended.
    TwoInFlight,
}

/// A short segment, then one of 64 KiB that is full but for a block at most, then what `last` says.
fn log(last: Last, old: bool) -> Subject {
    let mut disk = Disk::new();
    start(&mut disk, SMALL, |disk, log| {
        disk.commit(log, b"before");
    });
    let target = disk.found().slots.iter().map(|(slot, _)| slot.0).max().unwrap() + 1;
    // The spare of the first start would be next in line.
    disk.files.retain(|file, bytes| *file == FileId::Meta || bytes[0] != 0);
    disk.files.insert(FileId::Slot(SlotId(target)), if old { older() } else { vec![0; SEGMENT] });
    start(&mut disk, SMALL, |disk, log| {
        let mut n = 0u8;
        let mut room = SEGMENT / BLOCK - 1;
        // Batches of one, two and three blocks; the last blocks are for `last`.
        while room > 4 {
            n += 1;
            let blocks = usize::from(n % 3) + 1;
            let len = blocks * BLOCK - 200 * usize::from(n % 2) - 170;
            disk.commit(log, &vec![n; len]);
            room -= blocks;
        }
        while room > 3 {
            disk.commit(log, b"small");
            room -= 1;
        }
        end(disk, log, last);
    });
    if last == Last::Successor {
        start(&mut disk, SMALL, |disk, log| {
            disk.commit(log, b"after");
        });
    }
    disk.files.retain(|file, bytes| *file == FileId::Meta || bytes[0] != 0);
    Subject::new(disk, target)
}

fn end(disk: &mut Disk, log: &mut Log, last: Last) {
    match last {
        Last::Successor => {
            disk.commit(log, &[0xaa; 2 * BLOCK]);
        }
        Last::Fence => {
            disk.commit(log, b"before the fence");
            disk.commit(log, b"just before the fence");
            record(log, Kind::Fence, b"");
            disk.settle(log);
        }
        Last::TwoInFlight => {
            record(log, Kind::Data, b"first in flight");
            let mut ios: Vec<Io> = Vec::new();
            log.pump(0, &mut ios);
            record(log, Kind::Data, &[0x77; BLOCK]);
            record(log, Kind::Data, &[0x78; 300]);
            log.pump(0, &mut ios);
            ios.retain(|io| matches!(io, Io::Write { .. }));
            assert_eq!(ios.len(), 2, "both are under way at once");
            for io in ios {
                log.done(disk.execute(io)).unwrap();
            }
        }
    }
    assert_eq!(log.durable(), log.appended());
}

fn start(disk: &mut Disk, small: usize, run: impl FnOnce(&mut Disk, &mut Log)) {
    let mut log = disk.open_with(limits(small));
    run(disk, &mut log);
}

/// What a slot still holds of an earlier use: batches of three blocks, and no header.
fn older() -> Vec<u8> {
    let mut slot = vec![0; SEGMENT];
    for at in (BLOCK..SEGMENT).step_by(3 * BLOCK) {
        let mut open = OpenBatch::new(Buffer::new(0, 3 * BLOCK), Index(1));
        let entry = Entry { space: Space(1), key: b"old", value: Some(&[0x0d; 2 * BLOCK + 100]) };
        open.push(Kind::Data, 1, std::iter::once(entry));
        let sealed = open.seal(Seal {
            log: &LOG,
            incarnation: Incarnation(0),
            offset: at as u64,
            epoch: Epoch(0),
            flushed_through: Index(0),
            committed_through: Index(0),
            chain: 0,
            now_us: 0,
        });
        slot[at..at + sealed.len].copy_from_slice(&sealed.buffer.bytes()[..sealed.len]);
    }
    slot
}

/// Flips every bit of `part` of the segment; a flip may be without effect only where no checksum reaches.
fn flip(last: Last, part: std::ops::Range<usize>) {
    let mut subject = log(last, false);
    let used: usize = extents(subject.bytes()).iter().map(|(_, len)| len).sum();
    assert!(used >= SEGMENT - 2 * BLOCK, "{used} bytes of batches: the segment is full");
    let covered = covered(subject.bytes());
    for at in part {
        for bit in 0..8 {
            subject.bytes()[at] ^= 1 << bit;
            let noticed = subject.judge(false, &|| format!("bit {bit} of byte {at}"));
            assert!(noticed || !covered[at], "bit {bit} of byte {at} is checked by nothing");
            subject.bytes()[at] ^= 1 << bit;
        }
    }
}

/// The bytes of a segment that some checksum covers.
fn covered(bytes: &[u8]) -> Vec<bool> {
    let mut covered = vec![false; bytes.len()];
    covered[..128].fill(true);
    for (at, _) in extents(bytes) {
        let length = u32::from_le_bytes(bytes[at + 88..at + 92].try_into().unwrap());
        covered[at..at + 128 + length as usize].fill(true);
    }
    covered
}

#[test]
fn each_bit_of_a_segment_inside_the_chain_first_half() {
    flip(Last::Successor, 0..SEGMENT / 2);
}

#[test]
fn each_bit_of_a_segment_inside_the_chain_second_half() {
    flip(Last::Successor, SEGMENT / 2..SEGMENT);
}

#[test]
fn each_bit_of_a_last_segment_that_ends_with_a_fence_first_half() {
    flip(Last::Fence, 0..SEGMENT / 2);
}

#[test]
fn each_bit_of_a_last_segment_that_ends_with_a_fence_second_half() {
    flip(Last::Fence, SEGMENT / 2..SEGMENT);
}

#[test]
fn each_bit_of_a_last_segment_that_ended_with_two_writes_in_flight_first_half() {
    flip(Last::TwoInFlight, 0..SEGMENT / 2);
}

#[test]
fn each_bit_of_a_last_segment_that_ended_with_two_writes_in_flight_second_half() {
    flip(Last::TwoInFlight, SEGMENT / 2..SEGMENT);
}

const KINDS: [Last; 3] = [Last::Successor, Last::Fence, Last::TwoInFlight];

#[test]
fn each_block_and_each_batch_zeroed_or_filled() {
    for last in KINDS {
        let mut subject = log(last, false);
        let whole = subject.bytes().clone();
        let mut parts: Vec<_> = (0..SEGMENT).step_by(BLOCK).map(|at| (at, BLOCK)).collect();
        parts.extend(extents(&whole));
        for (at, len) in parts {
            for byte in [0, 0xff] {
                subject.bytes()[at..at + len].fill(byte);
                subject.judge(byte == 0, &|| format!("{len} bytes at {at} filled with {byte}"));
                subject.bytes().copy_from_slice(&whole);
            }
        }
    }
}

#[test]
fn each_pair_of_blocks_swapped() {
    for last in KINDS {
        let mut subject = log(last, false);
        let whole = subject.bytes().clone();
        for a in 0..SEGMENT / BLOCK {
            for b in 0..a {
                let block = |n: usize| n * BLOCK..(n + 1) * BLOCK;
                subject.bytes()[block(a)].copy_from_slice(&whole[block(b)]);
                subject.bytes()[block(b)].copy_from_slice(&whole[block(a)]);
                subject.judge(false, &|| format!("blocks {a} and {b} swapped"));
                subject.bytes().copy_from_slice(&whole);
            }
        }
    }
}

#[test]
fn each_block_exchanged_with_each_block_of_the_other_segments() {
    for last in KINDS {
        let mut subject = log(last, false);
        let slots = subject.slots.clone();
        let target = subject.target;
        for other in (0..slots.len()).filter(|n| *n != target) {
            for a in (0..SEGMENT).step_by(BLOCK) {
                for b in (0..slots[other].1.len()).step_by(BLOCK) {
                    let (mine, theirs) = (&slots[target].1[a..a + BLOCK], &slots[other].1[b..b + BLOCK]);
                    subject.slots[target].1[a..a + BLOCK].copy_from_slice(theirs);
                    subject.slots[other].1[b..b + BLOCK].copy_from_slice(mine);
                    // The last batch in a place where nothing is read is a write that never came.
                    let zeros = theirs.iter().all(|byte| *byte == 0);
                    subject.judge(zeros, &|| format!("byte {a} exchanged with byte {b} of segment {other}"));
                    subject.slots[target].1[a..a + BLOCK].copy_from_slice(mine);
                    subject.slots[other].1[b..b + BLOCK].copy_from_slice(theirs);
                }
            }
        }
    }
}

/// A write that the drive acknowledged and lost: the place still holds what the slot's earlier use left there.
#[test]
fn each_block_and_each_run_of_batches_as_the_slot_held_them_before() {
    for last in KINDS {
        let mut subject = log(last, true);
        let (whole, older) = (subject.bytes().clone(), older());
        let batches = extents(&whole);
        let mut parts: Vec<_> = (BLOCK..SEGMENT).step_by(BLOCK).map(|at| (at, BLOCK, false)).collect();
        for (n, (at, len)) in batches.iter().enumerate() {
            parts.push((*at, *len, n + 1 == batches.len()));
        }
        for (at, len, is_last) in parts {
            let is_last = is_last || (at, len) == *batches.last().unwrap();
            subject.bytes()[at..at + len].copy_from_slice(&older[at..at + len]);
            subject.judge(is_last, &|| format!("{len} bytes at {at} as they were before"));
            subject.bytes().copy_from_slice(&whole);
        }
    }
}

#[test]
fn the_file_cut_off_at_each_sector() {
    for last in KINDS {
        let mut subject = log(last, false);
        let whole = subject.bytes().clone();
        for len in (0..SEGMENT).step_by(512) {
            subject.bytes().truncate(len);
            let report = match subject.recover() {
                damage::Outcome::Halted(report) => report,
                damage::Outcome::Recovered(_, report) => panic!("cut off at {len}: {report}"),
            };
            assert_eq!(report.halt.unwrap().rule, "R5");
            subject.bytes().extend_from_slice(&whole[len..]);
        }
    }
}
