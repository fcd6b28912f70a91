//! Which system calls stand behind a promise of the syscall driver: each is made to fail, and the operation says so.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the I/O")]

mod driver_support;

use std::os::fd::AsRawFd;

use driver_support::seccomp::{self, Call, always, when};
use driver_support::{Bench, Scratch};
use seawall::map::ShardId;
use seawall_node::driver::choice::Kind;
use seawall_node::driver::directory::{Directory, ShardDirectory};
use seawall_node::driver::either::{Driver, DriverConfig};
use seawall_node::driver::probe::Durable;
use seawall_node::driver::syscall::Syscall;
use seawall_node::seam::{Effect, Event};
use seawall_wal::{BLOCK, Buffer, Done, FileId, Io, IoError, IoId, IoStep, LogLimits, SlotId};
use seccompiler::SeccompCmpOp;

const SHARD: ShardId = ShardId(1);

/// A log in a directory of its own.
struct Log(Directory, #[expect(dead_code, reason = "removed with it")] Scratch);

impl Log {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        Self(Directory::open(&scratch.path().join("data"), None, 1).unwrap(), scratch)
    }

    fn files(&self) -> ShardDirectory {
        self.0.shard(SHARD).unwrap()
    }

    /// Runs the operation that `make` asks for, with a buffer of the pool, on a driver whose threads cannot do
    /// `calls`.
    fn run_without(&self, calls: Vec<Call>, durable: Durable, make: fn(Buffer) -> Io) -> Done {
        self.run(self.files(), calls, durable, make)
    }

    fn run(&self, files: ShardDirectory, calls: Vec<Call>, durable: Durable, make: fn(Buffer) -> Io) -> Done {
        let config = DriverConfig::new(Kind::Syscall, 1, durable, true);
        let mut driver = seccomp::without(calls, libc::EIO, || Syscall::new(config).unwrap());
        let logs = vec![(files, LogLimits::test_min().buffers())];
        let (_, mut found) = driver.open_logs(logs).unwrap().remove(0);
        let mut bench = Bench::of(Driver::Syscall(Box::new(driver)));
        bench.execute(Effect::Disk { shard: SHARD, io: make(found.buffers.remove(0)) });
        let Event::Disk { done, .. } = bench.next() else { panic!("only a disk here") };
        assert!(bench.driver.finish(), "everything came back");
        done
    }
}

fn write(buf: Buffer) -> Io {
    Io::Write { id: IoId(1), file: FileId::Meta, offset: 0, buf, at: 0, len: BLOCK }
}

fn prepare(_: Buffer) -> Io {
    Io::Prepare { id: IoId(1), slot: SlotId(0), bytes: BLOCK as u64 }
}

fn error(step: IoStep) -> Result<usize, IoError> {
    Err(IoError { step, errno: libc::EIO })
}

#[test]
fn a_write_of_two_calls_is_durable_by_its_flush() {
    let log = Log::new("by-flush");
    let done = log.run_without(always(&[libc::SYS_fdatasync]), Durable::Link, write);
    assert_eq!(done.result, error(IoStep::Flush));
    assert!(done.buf.is_some(), "the buffer is back all the same");
    let done = log.run_without(always(&[libc::SYS_pwrite64]), Durable::Link, write);
    assert_eq!(done.result, error(IoStep::Write));
    assert_eq!(log.run_without(always(&[libc::SYS_pwritev2]), Durable::Link, write).result, Ok(BLOCK));
}

#[test]
fn a_dsync_write_is_durable_by_itself() {
    let log = Log::new("by-itself");
    let done = log.run_without(always(&[libc::SYS_pwritev2]), Durable::Dsync, write);
    assert_eq!(done.result, error(IoStep::Write));
    assert!(done.buf.is_some());
    let mut others = always(&[libc::SYS_pwrite64, libc::SYS_fdatasync, libc::SYS_fsync]);
    others.push(when(libc::SYS_pwritev2, 5, SeccompCmpOp::Ne, libc::RWF_DSYNC));
    assert_eq!(log.run_without(others, Durable::Dsync, write).result, Ok(BLOCK));
}

#[test]
fn a_slot_has_no_name_before_its_zeros_are_flushed() {
    let log = Log::new("unflushed");
    let files = log.files();
    let directory = files.handle().as_raw_fd();
    let zeros_alone = vec![when(libc::SYS_fsync, 0, SeccompCmpOp::Ne, directory)];
    assert_eq!(log.run(files, zeros_alone, Durable::Link, prepare).result, error(IoStep::Prepare));
    let files = log.files();
    assert!(files.files().unwrap().slots.is_empty());
    let unfinished = files.path(FileId::Slot(SlotId(0))).with_extension("seg.tmp");
    assert!(!unfinished.exists(), "what failed gives its room back");
}

#[test]
fn a_slot_is_not_made_before_its_name_is_flushed() {
    let log = Log::new("unnamed");
    let files = log.files();
    let name_alone = vec![when(libc::SYS_fsync, 0, SeccompCmpOp::Eq, files.handle().as_raw_fd())];
    assert_eq!(log.run(files, name_alone, Durable::Link, prepare).result, error(IoStep::Prepare));
    let log = Log::new("named");
    assert_eq!(log.run_without(always(&[libc::SYS_fdatasync]), Durable::Link, prepare).result, Ok(BLOCK));
}
