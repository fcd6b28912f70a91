//! What may take long with files of logs: copies of what is cut off, moves and removals, and reading what a follower lacks.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use seawall_wal::recover::aside;
use seawall_wal::{BLOCK, Done, FileId, Io, IoError, IoStep, SlotId};

use super::{Logs, Order};
use crate::driver::directory::{ShardDirectory, put_file};
use crate::seam::{Event, WorkerId};

pub(super) struct Keeper {
    pub logs: Logs,
    /// Whether files can be read past the page cache.
    pub direct: bool,
}

impl Keeper {
    pub fn execute(&mut self, order: Order) -> (WorkerId, Event) {
        let Order { worker, shard, io } = order;
        (worker, Event::Disk { shard, done: execute(self.logs.of(shard), io, self.direct) })
    }
}

fn execute(log: &ShardDirectory, io: Io, direct: bool) -> Done {
    let ended = |id, step, result: io::Result<usize>| {
        let result = result.map_err(|e| IoError { step, errno: errno(&e) });
        Done { id, result, buf: None }
    };
    match io {
        Io::WriteOffered { id, offset, bytes } => {
            let written = write_offered(log, offset, &bytes);
            ended(id, IoStep::Write, written.map(|()| bytes.len()))
        }
        Io::Remove { id, file } => ended(id, IoStep::Remove, remove(log, file).map(|()| 0)),
        Io::Quarantine { id, cut, slot, from, to } => {
            ended(id, IoStep::Quarantine, quarantine(log, cut, slot, from..to).map(|()| 0))
        }
        Io::Audit { id, line } => ended(id, IoStep::Audit, append_line(&log.audit(), &line).map(|()| 0)),
        Io::PutAside { id, number } => ended(id, IoStep::PutAside, put_aside(log, number).map(|()| 0)),
        Io::ReadBack { id, file, offset, mut buf, len, pause_us } => {
            // The core paces what it reads back, so that commits keep their time.
            thread::sleep(Duration::from_micros(pause_us));
            let result = read_back(log, file, offset, &mut buf.bytes_mut()[..len], direct);
            let result = result.map(|()| len).map_err(|e| IoError { step: IoStep::Read, errno: errno(&e) });
            Done { id, result, buf: Some(buf) }
        }
        other => unreachable!("a driver executes {other:?}"),
    }
}

/// A piece of a checkpoint that comes from the leader, flushed so that the last step has little left to flush.
fn write_offered(log: &ShardDirectory, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(offset == 0).open(log.offered_checkpoint())?;
    file.write_all_at(bytes, offset)?;
    file.sync_data()
}

/// Past the page cache, which has nothing of a log that was written past it: a copy less, and no read-ahead that commits
/// wait for. By a call that reports a bad sector: of a mapping that would be a signal, and a slot may be written to
/// meanwhile. A file that is gone or shorter by now is an error like any other: whoever asked judges.
fn read_back(
    log: &ShardDirectory,
    file: FileId,
    offset: u64,
    bytes: &mut [u8],
    direct: bool,
) -> io::Result<()> {
    let whole = bytes.len().is_multiple_of(BLOCK); // the end of a checkpoint may be less
    log.open_to_read(file, direct && whole)?.read_exact_at(bytes, offset)
}

fn remove(log: &ShardDirectory, file: FileId) -> io::Result<()> {
    fs::remove_file(log.path(file))
        .or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

/// A copy of what is about to be cut off, without the zeros at its end.
fn quarantine(log: &ShardDirectory, cut: u64, slot: SlotId, range: Range<u64>) -> io::Result<()> {
    let from = File::open(log.path(FileId::Slot(slot)))?;
    let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
    from.read_exact_at(&mut bytes, range.start)?;
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    let directory = log.quarantine();
    if !directory.try_exists()? {
        fs::create_dir(&directory)?;
    }
    log.handle().sync_all()?; // a crash may have left the name without a flush
    put_file(&directory, &format!("cut-{cut:06}-slot-{:06}-offset-{:010}", slot.0, range.start), &bytes)
}

/// A line of its own, also behind one that a crash cut short.
pub fn append_line(path: &Path, line: &str) -> io::Result<()> {
    let mut file = File::options().read(true).append(true).create(true).mode(0o600).open(path)?;
    let end = file.metadata()?.len();
    let mut last = [b'\n'];
    if let Some(at) = end.checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    let cut_short = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{cut_short}{line}\n").as_bytes())?;
    file.sync_all()?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// A copy of the metadata first, then every other file of the log, and all of that durable. What an attempt before a
/// crash moved is there already.
fn put_aside(log: &ShardDirectory, number: u64) -> io::Result<()> {
    let to = log.path(FileId::Meta).with_file_name(aside(number));
    fs::create_dir_all(&to)?;
    log.handle().sync_all()?;
    File::open(log.quarantine())?.sync_all()?;
    let meta = FileId::Meta.to_string();
    if !to.join(&meta).try_exists()? {
        put_file(&to, &meta, &fs::read(log.path(FileId::Meta))?)?;
    }
    let files = log.files()?;
    let slots = files.slots.iter().map(|(slot, _)| FileId::Slot(*slot));
    let checkpoints = files.checkpoints.iter().map(|(id, _)| FileId::Checkpoint(*id));
    for file in slots.chain(checkpoints) {
        fs::rename(log.path(file), to.join(file.to_string()))?;
    }
    File::open(&to)?.sync_all()?;
    log.handle().sync_all()
}

fn errno(e: &io::Error) -> i32 {
    e.raw_os_error().unwrap_or(libc::EIO)
}
