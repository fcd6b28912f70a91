//! The ring's file operations on a real disk.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the I/O")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

mod driver_support;

use std::fs::OpenOptions;
use std::path::PathBuf;

use driver_support::{Bench, Scratch};
use seawall::map::ShardId;
use seawall_node::driver::directory::Directory;
use seawall_node::driver::probe::Durable;
use seawall_node::driver::ring::RingConfig;
use seawall_node::seam::{Effect, Event, LogFound};
use seawall_wal::{BLOCK, Buffer, Done, FileId, Io, IoId, IoStep, LogLimits, SlotId};

const SHARD: ShardId = ShardId(1);
const SLOT: FileId = FileId::Slot(SlotId(17));
const SLOT_BYTES: u64 = 3 << 20 | BLOCK as u64;

struct Log {
    bench: Bench,
    found: LogFound,
    directory: Directory,
    next: u64,
}

impl Log {
    fn open(scratch: &Scratch, durable: Durable) -> Self {
        let directory = Directory::open(&scratch.path().join("data"), None, 1).unwrap();
        let mut bench = Bench::new(RingConfig::new(1, durable, true));
        let files = directory.shard(SHARD).unwrap();
        let (_, found) =
            bench.ring.open_logs(vec![(files, LogLimits::test_min().buffers())]).unwrap().remove(0);
        Self { bench, found, directory, next: 0 }
    }

    fn id(&mut self) -> IoId {
        self.next += 1;
        IoId(self.next)
    }

    fn run(&mut self, io: Io) -> Done {
        let id = io.id();
        self.bench.execute(Effect::Disk { shard: SHARD, io });
        match self.bench.next() {
            Event::Disk { shard: SHARD, done } if done.id == id => done,
            other => panic!("not the end of {id:?}: {other:?}"),
        }
    }

    fn prepare(&mut self) -> Done {
        let id = self.id();
        self.run(Io::Prepare { id, slot: SlotId(17), bytes: SLOT_BYTES })
    }

    fn write(&mut self, file: FileId, offset: u64, buf: Buffer, len: usize) -> Done {
        let id = self.id();
        self.run(Io::Write { id, file, offset, buf, at: BLOCK, len })
    }

    fn read(&mut self, offset: u64, buf: Buffer, len: usize) -> Done {
        let id = self.id();
        self.run(Io::Read { id, file: SLOT, offset, buf, len })
    }

    fn file(&self) -> PathBuf {
        self.directory.shard(SHARD).unwrap().path(SLOT)
    }

    fn close(mut self) -> Directory {
        assert!(self.bench.ring.finish(), "everything came back");
        assert_eq!(self.bench.ring.under_way(), 0);
        self.directory
    }
}

fn filled(mut buf: Buffer, byte: u8) -> Buffer {
    buf.bytes_mut().fill(byte);
    buf
}

#[test]
fn prepare_makes_zeros_of_the_right_size_under_the_final_name() {
    let scratch = Scratch::new("prepare");
    let mut log = Log::open(&scratch, Durable::Link);
    let before = log.bench.ring.completions();
    let done = log.prepare();
    assert_eq!(done.result, Ok(SLOT_BYTES as usize));
    // Four writes of zeros, the file's flush, the directory's flush.
    assert!(log.bench.ring.completions() - before >= 6);
    let bytes = std::fs::read(log.file()).unwrap();
    assert_eq!(bytes.len() as u64, SLOT_BYTES);
    assert!(bytes.iter().all(|b| *b == 0));
    let shard = log.file().parent().unwrap().to_owned();
    let names: Vec<_> = std::fs::read_dir(shard).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|n| !n.to_string_lossy().ends_with(".tmp")), "{names:?}");
    assert_eq!(log.directory.shard(SHARD).unwrap().files().unwrap().slots, [(SlotId(17), SLOT_BYTES)]);
    // A slot that exists is not made again: it may hold a log.
    let error = log.prepare().result.unwrap_err();
    assert_eq!((error.step, error.errno), (IoStep::Prepare, libc::EEXIST));
    assert_eq!(std::fs::metadata(log.file()).unwrap().len(), SLOT_BYTES);
}

#[test]
fn a_write_is_readable_after_everything_was_opened_again() {
    for durable in [Durable::Link, Durable::Dsync] {
        let scratch = Scratch::new(&format!("reopen-{durable:?}"));
        let mut log = Log::open(&scratch, durable);
        log.prepare().result.unwrap();
        let buf = filled(log.found.buffers.remove(0), 0x5A);
        let done = log.write(SLOT, BLOCK as u64, buf, 2 * BLOCK);
        assert_eq!(done.result, Ok(2 * BLOCK));
        assert_eq!(done.buf.unwrap().id(), 0);
        drop(log.close());

        let mut log = Log::open(&scratch, durable);
        assert_eq!(log.found.files.slots, [(SlotId(17), SLOT_BYTES)]);
        let done = log.read_back();
        assert!(done[..BLOCK].iter().all(|b| *b == 0));
        assert!(done[BLOCK..3 * BLOCK].iter().all(|b| *b == 0x5A));
        assert!(done[3 * BLOCK..].iter().all(|b| *b == 0));
    }
}

impl Log {
    /// The first four blocks.
    fn read_back(&mut self) -> Vec<u8> {
        let buf = self.found.buffers.remove(0);
        let done = self.read(0, buf, 4 * BLOCK);
        assert_eq!(done.result, Ok(4 * BLOCK));
        done.buf.unwrap().bytes().to_vec()
    }
}

#[test]
fn a_linked_write_takes_a_flush_and_a_dsync_write_takes_none() {
    for (durable, completions) in [(Durable::Link, 2), (Durable::Dsync, 1)] {
        let scratch = Scratch::new(&format!("flush-{durable:?}"));
        let mut log = Log::open(&scratch, durable);
        log.prepare().result.unwrap();
        let buf = log.found.buffers.remove(0);
        // A tick may come between, so the smallest of several counts.
        let mut taken = Vec::new();
        let mut buf = Some(buf);
        for _ in 0..5 {
            let before = log.bench.ring.completions();
            let done = log.write(SLOT, 0, buf.take().unwrap(), BLOCK);
            assert_eq!(done.result, Ok(BLOCK));
            buf = done.buf;
            taken.push(log.bench.ring.completions() - before);
        }
        assert_eq!(taken.into_iter().min(), Some(completions), "{durable:?}");
    }
}

#[test]
fn a_buffer_that_is_not_of_the_pool_works_all_the_same() {
    let scratch = Scratch::new("foreign");
    let mut log = Log::open(&scratch, Durable::Link);
    log.prepare().result.unwrap();
    // The same number as a registered buffer, other memory.
    let done = log.write(SLOT, 0, filled(Buffer::new(0, 2 * BLOCK), 7), BLOCK);
    assert_eq!(done.result, Ok(BLOCK));
    let done = log.read(0, Buffer::new(0, 2 * BLOCK), BLOCK);
    assert!(done.buf.unwrap().bytes()[..BLOCK].iter().all(|b| *b == 7));
}

/// No file system takes a write at its very end: the error of the write is reported, not that of the flush that it
/// cancelled.
#[test]
fn a_failed_write_reports_its_error_with_its_buffer() {
    for durable in [Durable::Link, Durable::Dsync] {
        let scratch = Scratch::new(&format!("failed-{durable:?}"));
        let mut log = Log::open(&scratch, durable);
        log.prepare().result.unwrap();
        let buf = log.found.buffers.remove(1);
        let done = log.write(SLOT, 1 << 62, buf, BLOCK);
        let error = done.result.unwrap_err();
        assert_eq!(error.step, IoStep::Write);
        assert!(matches!(error.errno, libc::EFBIG | libc::EINVAL), "{error}");
        assert_eq!(done.buf.unwrap().id(), 1);
    }
}

#[test]
fn a_short_write_is_reported_as_short_and_its_flush_counts_for_nothing() {
    let scratch = Scratch::new("short");
    let mut log = Log::open(&scratch, Durable::Link);
    log.prepare().result.unwrap();
    let file = OpenOptions::new().write(true).open(log.file()).unwrap();
    let (mut fits, mut too_long) = (SLOT_BYTES, 1u64 << 63);
    while too_long - fits > 1 {
        let middle = fits + (too_long - fits) / 2;
        if file.set_len(middle).is_ok() { fits = middle } else { too_long = middle }
    }
    file.set_len(SLOT_BYTES).unwrap();
    let last_block = fits / BLOCK as u64 * BLOCK as u64 - BLOCK as u64;
    let buf = log.found.buffers.remove(0);
    match log.write(SLOT, last_block, buf, 2 * BLOCK).result {
        Ok(bytes) => assert_eq!(bytes, BLOCK, "only the first block fits below the largest file size"),
        Err(e) => println!("SKIPPED: this file system refuses a write across its end at {fits} ({e})"),
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error_and_not_a_panic() {
    let scratch = Scratch::new("missing");
    let mut log = Log::open(&scratch, Durable::Link);
    let buf = log.found.buffers.remove(0);
    let done = log.read(0, buf, BLOCK);
    let error = done.result.unwrap_err();
    assert_eq!((error.step, error.errno), (IoStep::Open, libc::ENOENT));
    assert!(done.buf.is_some());
}

#[test]
fn a_read_past_the_end_is_short() {
    let scratch = Scratch::new("past");
    let mut log = Log::open(&scratch, Durable::Link);
    log.prepare().result.unwrap();
    let buf = log.found.buffers.remove(0);
    assert_eq!(log.read(SLOT_BYTES - BLOCK as u64, buf, 2 * BLOCK).result, Ok(BLOCK));
}

#[test]
fn more_operations_than_the_submission_queue_holds_all_end_once() {
    let scratch = Scratch::new("many");
    let mut log = Log::open(&scratch, Durable::Link);
    log.prepare().result.unwrap();
    let count = seawall_node::params::SUBMISSION_ENTRIES as usize;
    for at in 0..count {
        let (id, buf) = (log.id(), Buffer::new(9, BLOCK));
        let io = Io::Write { id, file: SLOT, offset: (at % 64 * BLOCK) as u64, buf, at: 0, len: BLOCK };
        log.bench.execute(Effect::Disk { shard: SHARD, io });
    }
    let mut seen = vec![0; count + 2];
    for _ in 0..count {
        let Event::Disk { done, .. } = log.bench.next() else { panic!("only disks here") };
        assert_eq!(done.result, Ok(BLOCK));
        seen[done.id.0 as usize] += 1;
    }
    assert_eq!(seen.iter().filter(|times| **times == 1).count(), count);
    log.close();
}
