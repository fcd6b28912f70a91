//! What a recovery reads, window after window: parts of the file may be read before they are asked for, and nobody can
//! tell by the bytes.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the I/O")]

#[macro_use]
mod driver_support;

use driver_support::{Bench, Scratch};
use seawall::map::ShardId;
use seawall_node::driver::choice::Kind;
use seawall_node::driver::directory::Directory;
use seawall_node::driver::either::{Driver, DriverConfig};
use seawall_node::driver::probe::Durable;
use seawall_node::params::{READ_AHEAD_PART, READ_AHEAD_PARTS};
use seawall_node::seam::Effect;
use seawall_wal::{BLOCK, Buffer, Done, FileId, Io, IoId, LogLimits, SlotId};

const SHARD: ShardId = ShardId(1);
const FILES: [FileId; 2] = [FileId::Slot(SlotId(1)), FileId::Slot(SlotId(2))];
const WINDOW: usize = 2 * READ_AHEAD_PART;
/// Not a whole number of parts.
const BYTES: usize = 9 * READ_AHEAD_PART + 5 * BLOCK;

for_both_drivers! {
    windows_hold_what_the_file_holds,
    what_was_written_meanwhile_is_read,
    a_file_that_was_let_go_is_not_read,
    each_byte_of_a_file_is_read_once,
}

struct Log {
    bench: Bench,
    /// What the files hold.
    bytes: [Vec<u8>; 2],
    next: u64,
    _directory: Directory,
}

impl Log {
    fn open(kind: Kind, scratch: &Scratch) -> Self {
        let directory = Directory::open(&scratch.path().join("data"), None, 1).unwrap();
        let shard = directory.shard(SHARD).unwrap();
        let bytes = [7u64, 1 << 40].map(|salt| {
            let words = (0..BYTES as u64 / 8).map(|n| (n ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            words.flat_map(u64::to_le_bytes).collect::<Vec<u8>>()
        });
        for (file, bytes) in FILES.iter().zip(&bytes) {
            std::fs::write(shard.path(*file), bytes).unwrap();
        }
        let mut bench = Bench::new(DriverConfig::new(kind, 1, Durable::Link, true));
        bench.driver.open_logs(vec![(shard, LogLimits::test_min().buffers())]).unwrap();
        Self { bench, bytes, next: 0, _directory: directory }
    }

    fn run(&mut self, io: Io) -> Done {
        self.bench.run(SHARD, io)
    }

    fn read(&mut self, nth: usize, offset: usize, len: usize) -> Done {
        self.next += 1;
        let (id, buf) = (IoId(self.next), Buffer::new(u16::MAX, WINDOW));
        self.run(Io::Read { id, file: FILES[nth], offset: offset as u64, buf, len })
    }

    /// As much as the file has of it.
    fn check(&mut self, nth: usize, offset: usize, len: usize) {
        let done = self.read(nth, offset, len);
        let there = self.bytes[nth].len().saturating_sub(offset).min(len);
        assert_eq!(done.result, Ok(there), "{offset} of file {nth}");
        let buf = done.buf.unwrap();
        assert!(buf.bytes()[..there] == self.bytes[nth][offset..][..there], "{offset} of file {nth}");
    }

    fn write(&mut self, nth: usize, offset: usize, byte: u8) {
        self.next += 1;
        let mut buf = Buffer::new(u16::MAX, BLOCK);
        buf.bytes_mut().fill(byte);
        self.bytes[nth][offset..][..BLOCK].fill(byte);
        let io = Io::Write {
            id: IoId(self.next),
            file: FILES[nth],
            offset: offset as u64,
            buf,
            at: 0,
            len: BLOCK,
        };
        assert_eq!(self.run(io).result, Ok(BLOCK));
    }

    fn close(mut self) {
        assert!(self.bench.driver.finish(), "everything came back");
        assert_eq!(self.bench.driver.under_way(), 0);
    }
}

/// On, back, elsewhere, and over the end; windows of all lengths.
fn windows_hold_what_the_file_holds(kind: Kind) {
    let scratch = Scratch::new(&format!("ahead-windows-{kind:?}"));
    let mut log = Log::open(kind, &scratch);
    let (mut offset, mut draw) = (0, 1u64);
    for _ in 0..120 {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let drawn = (draw >> 33) as usize;
        let len = if drawn.is_multiple_of(5) { BLOCK * (1 + drawn / 5 % 300) } else { WINDOW };
        log.check(usize::from(drawn.is_multiple_of(7)), offset, len);
        let on = len - BLOCK * (drawn / 11 % 40).min(len / BLOCK - 1);
        offset = if drawn.is_multiple_of(13) { BLOCK * (drawn / 13 % 2000) } else { offset + on };
        if offset >= BYTES {
            offset = BLOCK * (drawn / 17 % 100);
        }
    }
    log.close();
}

fn what_was_written_meanwhile_is_read(kind: Kind) {
    let scratch = Scratch::new(&format!("ahead-written-{kind:?}"));
    let mut log = Log::open(kind, &scratch);
    log.check(0, 0, WINDOW);
    // In what stands ahead by now, and in what was given out.
    log.write(0, WINDOW + BLOCK, 0xAA);
    log.check(0, WINDOW - 8 * BLOCK, WINDOW);
    log.write(0, WINDOW, 0xBB);
    log.check(0, WINDOW - 4 * BLOCK, WINDOW);
    log.close();
}

fn a_file_that_was_let_go_is_not_read(kind: Kind) {
    let scratch = Scratch::new(&format!("ahead-forgotten-{kind:?}"));
    let mut log = Log::open(kind, &scratch);
    log.check(0, 0, WINDOW);
    let io = Io::Remove { id: IoId(0), file: FILES[0] };
    assert!(
        log.bench.driver.execute(Effect::Disk { shard: SHARD, io }).is_some(),
        "a keeper of files does it"
    );
    let done = log.read(0, WINDOW, WINDOW);
    assert!(done.result.is_err(), "{:?}", done.result);
    log.check(1, WINDOW, WINDOW);
    log.close();
}

/// Windows overlap, and what they share came from the disk before.
fn each_byte_of_a_file_is_read_once(kind: Kind) {
    let scratch = Scratch::new(&format!("ahead-once-{kind:?}"));
    let mut log = Log::open(kind, &scratch);
    let submissions = |log: &Log| match &log.bench.driver {
        Driver::Ring(ring) => ring.submissions(),
        Driver::Syscall(_) => 0,
    };
    let (before, whole) = (submissions(&log), BYTES / READ_AHEAD_PART);
    let mut offset = 0;
    while offset + WINDOW <= whole * READ_AHEAD_PART {
        log.check(0, offset, WINDOW);
        offset += WINDOW - 30 * BLOCK;
    }
    // Ticks are submissions, too: one for each wait at most.
    let asked = (submissions(&log) - before) as usize;
    assert!(asked <= whole + READ_AHEAD_PARTS + 2, "{asked} operations for {whole} parts");
    log.close();
}
