//! The file operations of both drivers on a real disk.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the I/O")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

#[macro_use]
mod driver_support;

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use driver_support::{Bench, Scratch};
use seawall::map::ShardId;
use seawall_node::driver::choice::Kind;
use seawall_node::driver::directory::Directory;
use seawall_node::driver::either::{Driver, DriverConfig};
use seawall_node::driver::probe::Durable;
use seawall_node::params;
use seawall_node::seam::{Effect, Event, LogFound};
use seawall_wal::{BLOCK, Buffer, Done, FileId, Io, IoId, IoStep, LogLimits, SlotId};

const SHARD: ShardId = ShardId(1);
const SLOT: FileId = FileId::Slot(SlotId(17));
const SLOT_BYTES: u64 = 3 << 20 | BLOCK as u64;

for_both_drivers! {
    what_never_ends_is_given_up_and_said,
    the_end_of_an_operation_ends_the_sleep,
    prepare_makes_zeros_of_the_right_size_under_the_final_name,
    a_write_is_readable_after_everything_was_opened_again,
    a_buffer_that_is_not_of_the_pool_works_all_the_same,
    a_failed_write_reports_its_error_with_its_buffer,
    a_short_write_is_reported_as_short_and_its_flush_counts_for_nothing,
    a_file_that_is_not_there_is_an_error_and_not_a_panic,
    a_write_does_not_wait_for_a_slot_that_is_being_filled,
    a_read_past_the_end_is_short,
    as_many_operations_as_there_may_be_all_end_once,
}

struct Log {
    bench: Bench,
    found: LogFound,
    directory: Directory,
    next: u64,
}

impl Log {
    fn open(kind: Kind, scratch: &Scratch, durable: Durable) -> Self {
        Self::open_with(DriverConfig::new(kind, 1, durable, true), scratch)
    }

    fn open_with(config: DriverConfig, scratch: &Scratch) -> Self {
        let directory = Directory::open(&scratch.path().join("data"), None, 1).unwrap();
        let mut bench = Bench::new(config);
        let files = directory.shard(SHARD).unwrap();
        let (_, found) =
            bench.driver.open_logs(vec![(files, LogLimits::test_min().buffers())]).unwrap().remove(0);
        Self { bench, found, directory, next: 0 }
    }

    fn id(&mut self) -> IoId {
        self.next += 1;
        IoId(self.next)
    }

    fn run(&mut self, io: Io) -> Done {
        self.bench.run(SHARD, io)
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

    /// Its slot is a pipe.
    fn begin_endless_prepare(&mut self) -> (IoId, PathBuf) {
        let pipe = self.file().with_extension("seg.tmp");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let id = self.id();
        let io = Io::Prepare { id, slot: SlotId(17), bytes: SLOT_BYTES };
        self.bench.execute(Effect::Disk { shard: SHARD, io });
        (id, pipe)
    }

    /// How many the ring reaped; the other driver has none, and `driver_syscall.rs` looks at its calls.
    fn completions(&self) -> u64 {
        match &self.bench.driver {
            Driver::Ring(ring) => ring.completions(),
            Driver::Syscall(_) => 0,
        }
    }

    /// How many operations went to the ring.
    fn submissions(&self) -> u64 {
        match &self.bench.driver {
            Driver::Ring(ring) => ring.submissions(),
            Driver::Syscall(_) => 0,
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.shard(SHARD).unwrap().path(SLOT)
    }

    fn close(mut self) -> Directory {
        assert!(self.bench.driver.finish(), "everything came back");
        assert_eq!(self.bench.driver.under_way(), 0);
        self.directory
    }
}

fn filled(mut buf: Buffer, byte: u8) -> Buffer {
    buf.bytes_mut().fill(byte);
    buf
}

fn prepare_makes_zeros_of_the_right_size_under_the_final_name(kind: Kind) {
    let scratch = Scratch::new(&format!("prepare-{kind:?}"));
    let mut log = Log::open(kind, &scratch, Durable::Link);
    let before = log.completions();
    let done = log.prepare();
    assert_eq!(done.result, Ok(SLOT_BYTES as usize));
    // Four writes of zeros, the file's flush, the directory's flush.
    assert!(kind != Kind::Ring || log.completions() - before >= 6);
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

fn a_write_is_readable_after_everything_was_opened_again(kind: Kind) {
    for durable in [Durable::Link, Durable::Dsync] {
        let scratch = Scratch::new(&format!("reopen-{kind:?}-{durable:?}"));
        let mut log = Log::open(kind, &scratch, durable);
        log.prepare().result.unwrap();
        let buf = filled(log.found.buffers.remove(0), 0x5A);
        let done = log.write(SLOT, BLOCK as u64, buf, 2 * BLOCK);
        assert_eq!(done.result, Ok(2 * BLOCK));
        assert_eq!(done.buf.unwrap().id(), 0);
        drop(log.close());

        let mut log = Log::open(kind, &scratch, durable);
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
    for (durable, operations) in [(Durable::Link, 2), (Durable::Dsync, 1)] {
        let scratch = Scratch::new(&format!("flush-{durable:?}"));
        let mut log = Log::open(Kind::Ring, &scratch, durable);
        log.prepare().result.unwrap();
        let buf = log.found.buffers.remove(0);
        // A tick may come between, so the smallest of several counts.
        let mut taken = Vec::new();
        let mut buf = Some(buf);
        for _ in 0..5 {
            let before = log.submissions();
            let done = log.write(SLOT, 0, buf.take().unwrap(), BLOCK);
            assert_eq!(done.result, Ok(BLOCK));
            buf = done.buf;
            taken.push(log.submissions() - before);
        }
        assert_eq!(taken.into_iter().min(), Some(operations), "{durable:?}");
    }
}

fn a_buffer_that_is_not_of_the_pool_works_all_the_same(kind: Kind) {
    let scratch = Scratch::new(&format!("foreign-{kind:?}"));
    let mut log = Log::open(kind, &scratch, Durable::Link);
    log.prepare().result.unwrap();
    // The same number as a registered buffer, other memory.
    let done = log.write(SLOT, 0, filled(Buffer::new(0, 2 * BLOCK), 7), BLOCK);
    assert_eq!(done.result, Ok(BLOCK));
    let done = log.read(0, Buffer::new(0, 2 * BLOCK), BLOCK);
    assert!(done.buf.unwrap().bytes()[..BLOCK].iter().all(|b| *b == 7));
}

/// No file system takes a write at its very end: the error of the write is reported, not that of the flush that it
/// cancelled.
fn a_failed_write_reports_its_error_with_its_buffer(kind: Kind) {
    for durable in [Durable::Link, Durable::Dsync] {
        let scratch = Scratch::new(&format!("failed-{kind:?}-{durable:?}"));
        let mut log = Log::open(kind, &scratch, durable);
        log.prepare().result.unwrap();
        let buf = log.found.buffers.remove(1);
        let done = log.write(SLOT, 1 << 62, buf, BLOCK);
        let error = done.result.unwrap_err();
        assert_eq!(error.step, IoStep::Write);
        assert!(matches!(error.errno, libc::EFBIG | libc::EINVAL), "{error}");
        assert_eq!(done.buf.unwrap().id(), 1);
    }
}

fn a_short_write_is_reported_as_short_and_its_flush_counts_for_nothing(kind: Kind) {
    let scratch = Scratch::new(&format!("short-{kind:?}"));
    let mut log = Log::open(kind, &scratch, Durable::Link);
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

fn a_file_that_is_not_there_is_an_error_and_not_a_panic(kind: Kind) {
    let scratch = Scratch::new(&format!("missing-{kind:?}"));
    let mut log = Log::open(kind, &scratch, Durable::Link);
    let buf = log.found.buffers.remove(0);
    let done = log.read(0, buf, BLOCK);
    let error = done.result.unwrap_err();
    assert_eq!((error.step, error.errno), (IoStep::Open, libc::ENOENT));
    assert!(done.buf.is_some());
}

/// Without a tick, so an operation whose end wakes nobody is slept over for ever.
fn the_end_of_an_operation_ends_the_sleep(kind: Kind) {
    let working = std::thread::spawn(move || {
        let scratch = Scratch::new(&format!("sleep-{kind:?}"));
        let directory = Directory::open(&scratch.path().join("data"), None, 1).unwrap();
        let mut driver = Driver::new(DriverConfig::new(kind, 1, Durable::Link, true)).unwrap();
        let logs = vec![(directory.shard(SHARD).unwrap(), LogLimits::test_min().buffers())];
        let mut buffers = driver.open_logs(logs).unwrap().remove(0).1.buffers;
        let mut events = Vec::new();
        for id in (0..200).map(IoId) {
            let buf = buffers.pop().unwrap();
            let io = Io::Write { id, file: FileId::Meta, offset: 0, buf, at: 0, len: BLOCK };
            assert!(driver.execute(Effect::Disk { shard: SHARD, io }).is_none());
            while events.is_empty() {
                driver.wait();
                driver.reap(&mut events);
            }
            let Some(Event::Disk { done, .. }) = events.pop() else { panic!("only disks here") };
            buffers.extend(done.buf);
        }
    });
    let patience = Instant::now() + Duration::from_secs(60);
    while !working.is_finished() {
        assert!(Instant::now() < patience, "the driver sleeps over the end of a write");
        std::thread::sleep(Duration::from_millis(1));
    }
    working.join().unwrap();
}

/// The slot under preparation is a pipe that nobody reads.
fn what_never_ends_is_given_up_and_said(kind: Kind) {
    let scratch = Scratch::new(&format!("stuck-{kind:?}"));
    let mut log = Log::open_with(DriverConfig::new(kind, 1, Durable::Link, false), &scratch);
    log.begin_endless_prepare();
    assert!(log.bench.next_within(1).is_none());
    assert!(!log.bench.driver.finish(), "it did not come back");
    assert!(log.bench.driver.under_way() > 0);
}

/// The slot under preparation is a pipe, which is full after a few pages: its filling does not end, and the write
/// goes by.
fn a_write_does_not_wait_for_a_slot_that_is_being_filled(kind: Kind) {
    let scratch = Scratch::new(&format!("filling-{kind:?}"));
    let mut log = Log::open_with(DriverConfig::new(kind, 1, Durable::Link, false), &scratch);
    let (id, pipe) = log.begin_endless_prepare();
    let buf = log.found.buffers.remove(0);
    let done = log.write(FileId::Meta, 0, buf, BLOCK);
    assert_eq!(done.result, Ok(BLOCK));
    assert!(log.bench.next_within(2).is_none(), "the filling has not ended");
    let reader = std::thread::spawn(move || {
        let mut zeros = vec![1; SLOT_BYTES as usize];
        File::open(pipe).unwrap().read_exact(&mut zeros).unwrap();
        zeros.iter().all(|b| *b == 0)
    });
    let Event::Disk { done, .. } = log.bench.next() else { panic!("the end of the filling") };
    assert_eq!(done.id, id);
    let error = done.result.unwrap_err();
    assert_eq!((error.step, error.errno), (IoStep::Prepare, libc::EINVAL), "a pipe cannot be flushed");
    assert!(reader.join().unwrap());
    log.close();
}

fn a_read_past_the_end_is_short(kind: Kind) {
    let scratch = Scratch::new(&format!("past-{kind:?}"));
    let mut log = Log::open(kind, &scratch, Durable::Link);
    log.prepare().result.unwrap();
    let buf = log.found.buffers.remove(0);
    assert_eq!(log.read(SLOT_BYTES - BLOCK as u64, buf, 2 * BLOCK).result, Ok(BLOCK));
}

fn as_many_operations_as_there_may_be_all_end_once(kind: Kind) {
    let scratch = Scratch::new(&format!("many-{kind:?}"));
    let mut log = Log::open(kind, &scratch, Durable::Link);
    log.prepare().result.unwrap();
    let count = match kind {
        Kind::Ring => params::SUBMISSION_ENTRIES, // it takes even more than its queue holds
        Kind::Syscall => params::LOG_OPERATIONS_PER_SHARD,
    } as usize;
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
