//! One niced thread beside the workers for what may take long and must not stop a core: folds, which read whole
//! segments and write a checkpoint, the removal of files, and copies of what is cut off. It executes one order after the other, and decides
//! nothing.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use memmap2::Mmap;
use seawall::map::ShardId;
use seawall_wal::checkpoint::Folded;
use seawall_wal::recover::aside;
use seawall_wal::{
    AdoptJob, Buffer, Done, FileId, FoldDone, FoldError, FoldJob, Io, IoError, IoId, IoStep, SlotId,
};

use super::directory::{ShardDirectory, put_file};
use super::mailbox::{Control, Post};
use crate::driver::console;
use crate::params::{FOLD_BUFFER_BYTES, FOLD_FLUSH_BYTES, FOLD_PATIENCE_US};
use crate::seam::{Event, WorkerId};

const LOOK_FOR_COPIES: Duration = Duration::from_millis(20);

/// What the worker of a shard wants done. A log has one fold and one removal under way, so few orders wait.
#[derive(Debug)]
pub struct Order {
    pub worker: WorkerId,
    pub shard: ShardId,
    pub io: Io,
}

/// The thread; dropped, it ends after the order that it works on, which is broken off if it is a fold.
pub struct Keeper {
    orders: Option<Sender<Order>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Gives orders from a worker's thread.
#[derive(Clone)]
pub struct Orders(Sender<Order>);

impl Orders {
    pub fn give(&self, order: Order) {
        // It ends after the workers, or with the process.
        let _keeper_is_gone = self.0.send(order);
    }
}

impl Keeper {
    pub fn start(logs: Vec<ShardDirectory>, direct: bool, post: Arc<Post>) -> io::Result<Self> {
        let (sender, orders) = mpsc::channel::<Order>();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("seawall-keeper".into()).spawn(move || {
            be_nice();
            let keeping = Keeping { logs, direct, stopped };
            for Order { worker, shard, io } in orders {
                if keeping.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let event = keeping.execute(shard, io);
                let mut control = Control::Told(Box::new(event));
                while let Err(back) = post.control(worker, control) {
                    if keeping.stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    control = back;
                    thread::sleep(Duration::from_millis(1));
                }
            }
        })?;
        Ok(Self { orders: Some(sender), stop, thread: Some(thread) })
    }

    pub fn orders(&self) -> Orders {
        Orders(self.orders.clone().expect("it runs"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a keeper that panics takes the process with it");
        }
    }
}

/// Commits go first.
pub(super) fn be_nice() {
    // SAFETY: both calls take numbers only. A thread is a process to the scheduler: 0 names this one.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
        const WHO_PROCESS: i32 = 1;
        const IDLE: i32 = 3 << 13;
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, IDLE);
    }
}

struct Keeping {
    logs: Vec<ShardDirectory>,
    direct: bool,
    stopped: Arc<AtomicBool>,
}

impl Keeping {
    fn execute(&self, shard: ShardId, io: Io) -> Event {
        let log = self.logs.iter().find(|log| log.shard == shard).expect("a shard of this node");
        match io {
            Io::Fold(job) => {
                let result = self.fold_between_copies(log, &job);
                Event::Folded { shard, done: FoldDone { id: job.id, result } }
            }
            Io::Adopt(job) => {
                Event::Folded { shard, done: FoldDone { id: job.id, result: self.adopt(log, &job) } }
            }
            Io::WriteOffered { id, offset, bytes } => {
                let written = write_offered(log, offset, &bytes);
                let error = |e| IoError { step: IoStep::Write, errno: errno(&e) };
                let result = written.map(|()| bytes.len()).map_err(error);
                Event::Disk { shard, done: Done { id, result, buf: None } }
            }
            Io::Remove { id, file } => Event::Disk { shard, done: remove(log, id, file) },
            Io::Quarantine { id, cut, slot, from, to } => {
                let copied = quarantine(log, cut, slot, from..to);
                let error = |e| IoError { step: IoStep::Quarantine, errno: errno(&e) };
                Event::Disk { shard, done: Done { id, result: copied.map(|()| 0).map_err(error), buf: None } }
            }
            Io::Audit { id, line } => {
                let done = append_line(&log.audit(), &line);
                let error = |e| IoError { step: IoStep::Audit, errno: errno(&e) };
                Event::Disk { shard, done: Done { id, result: done.map(|()| 0).map_err(error), buf: None } }
            }
            Io::PutAside { id, number } => {
                let moved = put_aside(log, number);
                let error = |e| IoError { step: IoStep::PutAside, errno: errno(&e) };
                Event::Disk { shard, done: Done { id, result: moved.map(|()| 0).map_err(error), buf: None } }
            }
            Io::ReadBack { id, file, offset, buf, len, pause_us } => {
                // The core paces what it reads back, so that commits keep their time.
                thread::sleep(Duration::from_micros(pause_us));
                Event::Disk { shard, done: read_back(log, id, file, offset, buf, len) }
            }
            other => unreachable!("a driver executes {other:?}"),
        }
    }

    /// Whoever copies the log has a shared lock on its directory, because what a fold covers is used again soon. A copy
    /// that takes too long is not waited for, and finds out by itself. One that begins meanwhile waits for the fold.
    fn fold_between_copies(&self, log: &ShardDirectory, job: &FoldJob) -> Result<Folded, FoldError> {
        let begin = Instant::now();
        let patience = Duration::from_micros(FOLD_PATIENCE_US);
        while let Err(TryLockError::WouldBlock) = log.handle().try_lock() {
            if begin.elapsed() >= patience || self.stopped.load(Ordering::Relaxed) {
                break;
            }
            thread::sleep(LOOK_FOR_COPIES);
        }
        let folded = self.fold(log, job);
        let _where_there_are_no_locks = log.handle().unlock();
        folded
    }

    fn fold(&self, log: &ShardDirectory, job: &FoldJob) -> Result<Folded, FoldError> {
        let read = |file: FileId| -> Result<Mmap, FoldError> {
            map(log, file).map_err(|e| failed(&file.to_string(), &e))
        };
        let previous = job.previous.map(|id| read(FileId::Checkpoint(id))).transpose()?;
        let segments: Vec<Mmap> =
            job.segments.iter().map(|(slot, _)| read(FileId::Slot(*slot))).collect::<Result<_, _>>()?;
        let segments: Vec<&[u8]> = segments.iter().map(|map| &map[..]).collect();
        let unfinished = log.unfinished_checkpoint();
        let made = self.write(log, job, previous.as_deref(), &segments);
        if made.is_err()
            && let Err(e) = fs::remove_file(&unfinished)
            && e.kind() != io::ErrorKind::NotFound
        {
            console::complain(format_args!("{}: cannot be removed: {e}", unfinished.display()));
        }
        made
    }

    /// What came from the leader gets its name when it was flushed and read back whole, or goes.
    fn adopt(&self, log: &ShardDirectory, job: &AdoptJob) -> Result<Folded, FoldError> {
        let path = log.offered_checkpoint();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let trouble = |e: io::Error| failed(&name, &e);
        File::open(&path).and_then(|file| file.sync_all()).map_err(trouble)?;
        let back = log.open_offered_checkpoint(self.direct).map_err(trouble)?;
        let mut buffer = Buffer::new(u16::MAX, FOLD_BUFFER_BYTES);
        let judged = job.verify(&mut buffer, |at, bytes| back.read_exact_at(bytes, at).map_err(trouble));
        let Ok(folded) = judged else {
            fs::remove_file(&path).map_err(trouble)?;
            return judged;
        };
        fs::rename(&path, log.path(FileId::Checkpoint(job.checkpoint()))).map_err(trouble)?;
        log.handle().sync_all().map_err(trouble)?;
        Ok(folded)
    }

    /// Under an unfinished name until what was flushed has been read back.
    fn write(
        &self,
        log: &ShardDirectory,
        job: &FoldJob,
        previous: Option<&[u8]>,
        segments: &[&[u8]],
    ) -> Result<Folded, FoldError> {
        let path = log.unfinished_checkpoint();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let trouble = |e: io::Error| failed(&name, &e);
        let mut file = Output::new(File::create(&path).map_err(trouble)?, self.stopped.clone());
        let folded = job.run(previous, segments, |part| file.write(part))?;
        file.end().map_err(trouble)?;
        let back = log.open_unfinished_checkpoint(self.direct).map_err(trouble)?;
        let mut buffer = Buffer::new(u16::MAX, FOLD_BUFFER_BYTES);
        job.verify(&folded, &mut buffer, |at, bytes| back.read_exact_at(bytes, at).map_err(trouble))?;
        if self.stopped.load(Ordering::Relaxed) {
            return Err(trouble(io::Error::from_raw_os_error(libc::ECANCELED)));
        }
        fs::rename(&path, log.path(FileId::Checkpoint(folded.checkpoint()))).map_err(trouble)?;
        log.handle().sync_all().map_err(trouble)?;
        Ok(folded)
    }
}

/// The whole file in memory, as the page cache holds it. It is read once through the ordinary calls first: a bad
/// sector is an error there, and a signal that ends the process here.
fn map(log: &ShardDirectory, file: FileId) -> io::Result<Mmap> {
    let mut opened = File::open(log.path(file))?;
    let mut window = vec![0; FOLD_BUFFER_BYTES];
    while opened.read(&mut window)? > 0 {}
    // SAFETY: nobody writes to a closed segment or a checkpoint, or cuts it short, before the fold that reads it
    // has ended.
    unsafe { Mmap::map(&opened) }
}

/// A piece of a checkpoint that comes from the leader, flushed so that the last step has little left to flush.
fn write_offered(log: &ShardDirectory, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(offset == 0).open(log.offered_checkpoint())?;
    file.write_all_at(bytes, offset)?;
    file.sync_data()
}

/// Through the page cache, and by a call that reports a bad sector: of a mapping that would be a signal, and a slot may
/// be written to meanwhile. A file that is gone or shorter by now is an error like any other: whoever asked judges.
fn read_back(log: &ShardDirectory, id: IoId, file: FileId, offset: u64, mut buf: Buffer, len: usize) -> Done {
    let bytes = &mut buf.bytes_mut()[..len];
    let read = File::open(log.path(file)).and_then(|opened| {
        opened.read_exact_at(bytes, offset)?;
        expect(&opened, offset + len as u64, len);
        Ok(())
    });
    let result = read.map(|()| len).map_err(|e| IoError { step: IoStep::Read, errno: errno(&e) });
    Done { id, result, buf: Some(buf) }
}

/// The disk fetches what will be asked for next, while the core looks at what was read and sends it.
fn expect(file: &File, offset: u64, len: usize) {
    let (offset, len) = (offset.cast_signed(), len.cast_signed() as i64);
    // SAFETY: it takes numbers only. What it answers is about a hint.
    let _hint = unsafe { libc::posix_fadvise(file.as_raw_fd(), offset, len, libc::POSIX_FADV_WILLNEED) };
}

fn remove(log: &ShardDirectory, id: IoId, file: FileId) -> Done {
    let result = match fs::remove_file(log.path(file)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(IoError { step: IoStep::Remove, errno: errno(&e) })
        }
        _ => Ok(0),
    };
    Done { id, result, buf: None }
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
pub(super) fn append_line(path: &Path, line: &str) -> io::Result<()> {
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

fn failed(file: &str, e: &io::Error) -> FoldError {
    FoldError::Io { file: file.into(), error: IoError { step: IoStep::Fold, errno: errno(e) } }
}

fn errno(e: &io::Error) -> i32 {
    e.raw_os_error().unwrap_or(libc::EIO)
}

/// A file that is written front to back and flushed every few MiB, so that the log's own flushes never wait behind
/// a large one. The first error ends it.
struct Output {
    file: File,
    waiting: Vec<u8>,
    unflushed: usize,
    stopped: Arc<AtomicBool>,
    error: Option<io::Error>,
}

impl Output {
    fn new(file: File, stopped: Arc<AtomicBool>) -> Self {
        let waiting = Vec::with_capacity(2 * FOLD_BUFFER_BYTES);
        Self { file, waiting, unflushed: 0, stopped, error: None }
    }

    fn write(&mut self, part: &[u8]) {
        self.waiting.extend_from_slice(part);
        if self.waiting.len() >= FOLD_BUFFER_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        if self.stopped.load(Ordering::Relaxed) {
            self.error.get_or_insert_with(|| io::Error::from_raw_os_error(libc::ECANCELED));
        }
        if self.error.is_none() {
            self.unflushed += self.waiting.len();
            let mut result = self.file.write_all(&self.waiting);
            if result.is_ok() && self.unflushed >= FOLD_FLUSH_BYTES {
                self.unflushed = 0;
                result = self.file.sync_data();
            }
            self.error = result.err();
        }
        self.waiting.clear();
    }

    fn end(mut self) -> io::Result<()> {
        self.send();
        match self.error.take() {
            Some(e) => Err(e),
            None => self.file.sync_all(),
        }
    }
}
