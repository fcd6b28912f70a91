//! Log operations as system calls, each executed once. One `Io` gives exactly one `Done`, with its buffer; a short
//! result or an error is reported as it is, and nothing is tried again (R4).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;

use seawall::map::ShardId;
use seawall_wal::{Buffer, Done, FileId, Io, IoError, IoId, SlotId, io::IoStep};

use super::Syscall;
use super::lanes::Which;
use crate::driver::directory::ShardDirectory;
use crate::driver::pace::{Pace, Step};
use crate::driver::probe::Durable;
use crate::params::ZERO_FILL_BYTES;
use crate::seam::Event;

/// An operation with everything that it needs, on its way to a lane.
pub(super) struct Job {
    shard: ShardId,
    id: IoId,
    task: Task,
}

enum Task {
    Write { file: Arc<File>, offset: u64, buf: Buffer, at: usize, len: usize, durable: Durable },
    Read { file: Arc<File>, offset: u64, buf: Buffer, len: usize },
    Prepare { directory: Arc<ShardDirectory>, slot: SlotId, bytes: u64, direct: bool, pace: Pace },
}

/// An operation on its way back.
pub(super) struct Ended {
    shard: ShardId,
    done: Done,
    /// It was a write.
    wrote: bool,
    /// A new slot, open.
    made: Option<(SlotId, File)>,
}

impl Syscall {
    pub(super) fn disk(&mut self, shard: ShardId, io: Io) {
        let (durable, direct) = (self.config.durable, self.config.direct);
        let files = self.files.shard(shard);
        let id = io.id();
        let task = match io {
            Io::Write { file, offset, buf, at, len, .. } => {
                assert!(len > 0 && at + len <= buf.capacity(), "a write of {len} bytes at {at} of {buf:?}");
                match files.open(file) {
                    Some(file) => {
                        self.config.traffic.begun(len);
                        Task::Write { file, offset, buf, at, len, durable }
                    }
                    None => return self.refuse(shard, id, IoStep::Open, libc::ENOENT, Some(buf)),
                }
            }
            Io::Read { file, offset, buf, len, .. } => {
                assert!(len > 0 && len <= buf.capacity(), "a read of {len} bytes into {buf:?}");
                match files.open(file) {
                    Some(file) => Task::Read { file, offset, buf, len },
                    None => return self.refuse(shard, id, IoStep::Open, libc::ENOENT, Some(buf)),
                }
            }
            Io::Prepare { slot, bytes, .. } => {
                assert!(bytes > 0, "a slot has room for something");
                if !files.has_place(slot) {
                    return self.refuse(shard, id, IoStep::Prepare, libc::ENFILE, None);
                }
                let pace = files.filling.begin(self.config.traffic.clone(), bytes);
                Task::Prepare { directory: files.directory.clone(), slot, bytes, direct, pace }
            }
            io => unreachable!("a thread beside the workers executes {io:?}"),
        };
        self.lanes.give(Job { shard, id, task });
    }

    fn refuse(&mut self, shard: ShardId, id: IoId, step: IoStep, errno: i32, buf: Option<Buffer>) {
        let result = Err(IoError { step, errno });
        self.ready.push(Event::Disk { shard, done: Done { id, result, buf } });
    }

    pub(super) fn take_ended(&mut self) {
        while let Some(Ended { shard, done, wrote, made }) = self.lanes.take() {
            if wrote {
                self.config.traffic.ended();
            }
            if let Some((slot, file)) = made {
                let put = self.files.shard(shard).put(FileId::Slot(slot), file);
                put.expect("its place was there when it was asked for");
            }
            self.ready.push(Event::Disk { shard, done });
        }
    }
}

impl Job {
    pub fn lane(&self) -> Which {
        match self.task {
            Task::Write { .. } | Task::Read { .. } => Which::Log,
            Task::Prepare { .. } => Which::Chores,
        }
    }

    pub fn run(self) -> Ended {
        let Self { shard, id, task } = self;
        let wrote = matches!(task, Task::Write { .. });
        let (result, buf, made) = match task {
            Task::Write { file, offset, buf, at, len, durable } => {
                (write(&file, offset, &buf.bytes()[at..at + len], durable), Some(buf), None)
            }
            Task::Read { file, offset, mut buf, len } => {
                let read = file.read_at(&mut buf.bytes_mut()[..len], offset);
                (read.map_err(|e| failed(IoStep::Read, &e)), Some(buf), None)
            }
            Task::Prepare { directory, slot, bytes, direct, pace } => {
                match prepare(&directory, slot, bytes, direct, pace) {
                    Ok(file) => {
                        let bytes = usize::try_from(bytes).expect("a slot is smaller than the address space");
                        (Ok(bytes), None, Some((slot, file)))
                    }
                    Err(e) => (Err(failed(IoStep::Prepare, &e)), None, None),
                }
            }
        };
        Ended { shard, done: Done { id, result, buf }, wrote, made }
    }
}

fn failed(step: IoStep, e: &io::Error) -> IoError {
    IoError { step, errno: e.raw_os_error().unwrap_or(libc::EIO) }
}

/// A short write is not flushed: it is reported as short, never as durable.
fn write(file: &File, offset: u64, bytes: &[u8], durable: Durable) -> Result<usize, IoError> {
    let written = match durable {
        Durable::Link => file.write_at(bytes, offset),
        Durable::Dsync => write_dsync(file, offset, bytes),
    };
    let written = written.map_err(|e| failed(IoStep::Write, &e))?;
    if durable == Durable::Link && written == bytes.len() {
        flush(file, libc::fdatasync).map_err(|e| failed(IoStep::Flush, &e))?;
    }
    Ok(written)
}

fn write_dsync(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    let offset = i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let range = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: one range of live bytes, which the kernel only reads, and only during the call.
    let written = unsafe { libc::pwritev2(file.as_raw_fd(), &range, 1, offset, libc::RWF_DSYNC) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// Once: the standard library would flush again after EINTR, and a second flush says nothing about the first (R4).
fn flush(file: &File, call: unsafe extern "C" fn(i32) -> i32) -> io::Result<()> {
    // SAFETY: `fsync` or `fdatasync` of an open file; no memory is involved.
    let result = unsafe { call(file.as_raw_fd()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a slot (R5): zeros really written, flushed, named, the name flushed.
fn prepare(
    directory: &ShardDirectory,
    slot: SlotId,
    bytes: u64,
    direct: bool,
    pace: Pace,
) -> io::Result<File> {
    let file = directory.begin_slot(slot, direct)?;
    let made = fill(&file, bytes, pace).and_then(|()| {
        flush(&file, libc::fsync)?;
        directory.name_slot(slot)?;
        flush(directory.handle(), libc::fsync)
    });
    if made.is_err() {
        directory.abandon_slot(slot);
    }
    made.map(|()| file)
}

fn fill(mut file: &File, bytes: u64, mut pace: Pace) -> io::Result<()> {
    let zeros = Buffer::new(u16::MAX, ZERO_FILL_BYTES);
    let mut left = bytes;
    while left > 0 {
        let portion = match pace.step() {
            Step::Take(bytes) => bytes,
            Step::Pause(time) => {
                thread::sleep(time);
                continue;
            }
        };
        let len = left.min(portion as u64) as usize;
        // A full disk first writes short, then not at all. A remainder that is not whole blocks ends in EINVAL.
        match file.write(&zeros.bytes()[..len])? as u64 {
            0 => return Err(io::Error::from_raw_os_error(libc::ENOSPC)),
            moved => {
                pace.took(moved as usize);
                left -= moved;
            }
        }
    }
    Ok(())
}
