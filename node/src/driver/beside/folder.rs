//! Makes checkpoints: a fold reads the previous one and whole segments, writes the next one, flushes it, reads it back and
//! names it. What a leader sent gets its name in the same way.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use memmap2::Mmap;
use seawall_wal::checkpoint::Folded;
use seawall_wal::{AdoptJob, Buffer, FileId, FoldDone, FoldError, FoldJob, Io, IoError, IoStep};

use super::hand::Stop;
use super::{Logs, Order, no_read_ahead};
use crate::driver::console;
use crate::driver::directory::ShardDirectory;
use crate::driver::pace::{FOLD, Pace, Step, Traffic};
use crate::params::{FOLD_BUFFER_BYTES, FOLD_FLUSH_BYTES, FOLD_PATIENCE_US};
use crate::seam::{Event, WorkerId};

const LOOK_FOR_COPIES: Duration = Duration::from_millis(20);

pub(super) struct Folder {
    pub logs: Logs,
    pub direct: bool,
    pub traffic: Arc<Traffic>,
    /// A fold is broken off.
    pub stop: Stop,
}

impl Folder {
    pub fn execute(&mut self, order: Order) -> (WorkerId, Event) {
        let log = self.logs.of(order.shard);
        let done = match order.io {
            Io::Fold(job) => FoldDone { id: job.id, result: self.fold_between_copies(log, &job) },
            Io::Adopt(job) => FoldDone { id: job.id, result: self.adopt(log, &job) },
            other => unreachable!("others execute {other:?}"),
        };
        (order.worker, Event::Folded { shard: order.shard, done })
    }

    fn unhurried(&self) -> Unhurried {
        Unhurried { pace: Pace::begin(self.traffic.clone(), FOLD), stop: self.stop.clone() }
    }

    /// Whoever copies the log has a shared lock on its directory, because what a fold covers is used again soon. A copy
    /// that takes too long is not waited for, and finds out by itself. One that begins meanwhile waits for the fold.
    fn fold_between_copies(&self, log: &ShardDirectory, job: &FoldJob) -> Result<Folded, FoldError> {
        let begin = Instant::now();
        let patience = Duration::from_micros(FOLD_PATIENCE_US);
        while let Err(TryLockError::WouldBlock) = log.handle().try_lock() {
            if begin.elapsed() >= patience || self.stop.is_asked() {
                break;
            }
            thread::sleep(LOOK_FOR_COPIES);
        }
        let folded = self.fold(log, job);
        let _where_there_are_no_locks = log.handle().unlock();
        folded
    }

    fn fold(&self, log: &ShardDirectory, job: &FoldJob) -> Result<Folded, FoldError> {
        let mut unhurried = self.unhurried();
        let mut read = |file: FileId| -> Result<Mmap, FoldError> {
            map(log, file, &mut unhurried).map_err(|e| failed(&file.to_string(), &e))
        };
        let previous = job.previous.map(|id| read(FileId::Checkpoint(id))).transpose()?;
        let segments: Vec<Mmap> =
            job.segments.iter().map(|(slot, _)| read(FileId::Slot(*slot))).collect::<Result<_, _>>()?;
        let segments: Vec<&[u8]> = segments.iter().map(|map| &map[..]).collect();
        let unfinished = log.unfinished_checkpoint();
        let made = self.write(log, job, previous.as_deref(), &segments, unhurried);
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
        let mut unhurried = self.unhurried();
        let judged = job.verify(&mut buffer, |at, bytes| {
            unhurried.turn(bytes.len()).and_then(|()| back.read_exact_at(bytes, at)).map_err(trouble)
        });
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
        unhurried: Unhurried,
    ) -> Result<Folded, FoldError> {
        let path = log.unfinished_checkpoint();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let trouble = |e: io::Error| failed(&name, &e);
        let mut file = Output::new(File::create(&path).map_err(trouble)?, unhurried);
        let folded = job.run(previous, segments, |part| file.write(part))?;
        let mut unhurried = file.end().map_err(trouble)?;
        let back = log.open_unfinished_checkpoint(self.direct).map_err(trouble)?;
        let mut buffer = Buffer::new(u16::MAX, FOLD_BUFFER_BYTES);
        job.verify(&folded, &mut buffer, |at, bytes| {
            unhurried.turn(bytes.len()).and_then(|()| back.read_exact_at(bytes, at)).map_err(trouble)
        })?;
        fs::rename(&path, log.path(FileId::Checkpoint(folded.checkpoint()))).map_err(trouble)?;
        log.handle().sync_all().map_err(trouble)?;
        Ok(folded)
    }
}

/// The whole file in memory, as the page cache holds it. It is read once through the ordinary calls first: a bad
/// sector is an error there, and a signal that ends the process here.
fn map(log: &ShardDirectory, file: FileId, unhurried: &mut Unhurried) -> io::Result<Mmap> {
    let mut opened = File::open(log.path(file))?;
    no_read_ahead(&opened);
    let mut window = vec![0; FOLD_BUFFER_BYTES];
    loop {
        unhurried.turn(window.len())?;
        if opened.read(&mut window)? == 0 {
            break;
        }
    }
    // SAFETY: nobody writes to a closed segment or a checkpoint, or cuts it short, before the fold that reads it
    // has ended.
    unsafe { Mmap::map(&opened) }
}

/// Goes on when it is its turn.
struct Unhurried {
    pace: Pace,
    stop: Stop,
}

impl Unhurried {
    /// Waits until so many bytes may go, or until the thread is to end.
    fn turn(&mut self, bytes: usize) -> io::Result<()> {
        loop {
            if self.stop.is_asked() {
                return Err(io::Error::from_raw_os_error(libc::ECANCELED));
            }
            match self.pace.step() {
                Step::Pause(time) => thread::sleep(time),
                Step::Take(_) => break,
            }
        }
        self.pace.took(bytes);
        Ok(())
    }
}

fn failed(file: &str, e: &io::Error) -> FoldError {
    let errno = e.raw_os_error().unwrap_or(libc::EIO);
    FoldError::Io { file: file.into(), error: IoError { step: IoStep::Fold, errno } }
}

/// A file that is written front to back and flushed every few MiB, so that the log's own flushes never wait behind
/// a large one. The first error ends it.
struct Output {
    file: File,
    waiting: Vec<u8>,
    unflushed: usize,
    unhurried: Unhurried,
    error: Option<io::Error>,
}

impl Output {
    fn new(file: File, unhurried: Unhurried) -> Self {
        let waiting = Vec::with_capacity(2 * FOLD_BUFFER_BYTES);
        Self { file, waiting, unflushed: 0, unhurried, error: None }
    }

    fn write(&mut self, part: &[u8]) {
        self.waiting.extend_from_slice(part);
        if self.waiting.len() >= FOLD_BUFFER_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        if self.error.is_none() {
            self.error = self.unhurried.turn(self.waiting.len()).err();
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

    fn end(mut self) -> io::Result<Unhurried> {
        self.send();
        match self.error.take() {
            Some(e) => Err(e),
            None => self.file.sync_all().map(|()| self.unhurried),
        }
    }
}
