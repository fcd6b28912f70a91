//! One niced thread beside the workers that reads files of logs again, slower than any disk could: a piece, a pause, the
//! next piece. It executes one order after the other and decides nothing; what the bytes are worth, `wal` says.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use seawall::map::ShardId;
use seawall_wal::{Buffer, Flaw, IoError, IoStep, ScrubJob};

use super::directory::{Directory, ShardDirectory};
use super::keeper::{Keeper, be_nice};
use super::mailbox::{Control, Post};
use super::node::NodeError;
use crate::params::SCRUB_PIECE_BYTES;
use crate::seam::{Event, WorkerId};

/// What the worker of a shard wants read; one at a time for each.
#[derive(Debug)]
pub struct Scrub {
    pub worker: WorkerId,
    pub shard: ShardId,
    pub round: u64,
    pub job: ScrubJob,
    pub bytes_per_second: u64,
}

/// The threads beside the workers.
pub struct Beside {
    pub keeper: Keeper,
    pub scrubber: Scrubber,
}

impl Beside {
    pub fn start(directory: &Directory, direct: bool, post: &Arc<Post>) -> Result<Self, NodeError> {
        let shards = || (1..=directory.shards()).map(ShardId);
        let logs = || shards().map(|shard| directory.shard(shard)).collect::<Result<_, _>>();
        let keeper = Keeper::start(logs()?, direct, post.clone()).map_err(NodeError::Start)?;
        let scrubber = Scrubber::start(logs()?, direct, post.clone()).map_err(NodeError::Start)?;
        Ok(Self { keeper, scrubber })
    }
}

/// The thread; dropped, it ends after the piece that it reads.
pub struct Scrubber {
    orders: Option<Sender<Scrub>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
pub struct Scrubs(Sender<Scrub>);

impl Scrubs {
    pub fn give(&self, order: Scrub) {
        // It ends after the workers, or with the process.
        let _scrubber_is_gone = self.0.send(order);
    }
}

impl Scrubber {
    pub fn start(logs: Vec<ShardDirectory>, direct: bool, post: Arc<Post>) -> io::Result<Self> {
        let (sender, orders) = mpsc::channel::<Scrub>();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("seawall-scrub".into()).spawn(move || {
            be_nice();
            Scrubbing { logs, direct, stopped, post }.run(&orders);
        })?;
        Ok(Self { orders: Some(sender), stop, thread: Some(thread) })
    }

    pub fn orders(&self) -> Scrubs {
        Scrubs(self.orders.clone().expect("it runs"))
    }
}

impl Drop for Scrubber {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a scrubber that panics takes the process with it");
        }
    }
}

struct Scrubbing {
    logs: Vec<ShardDirectory>,
    direct: bool,
    stopped: Arc<AtomicBool>,
    post: Arc<Post>,
}

impl Scrubbing {
    fn run(&self, orders: &Receiver<Scrub>) {
        for Scrub { worker, shard, round, job, bytes_per_second } in orders {
            let log = self.logs.iter().find(|log| log.shard == shard).expect("a shard of this node");
            let result = self.read(log, &job, bytes_per_second);
            let mut control = Control::Told(Box::new(Event::Scrubbed { shard, round, result }));
            while !self.stopped.load(Ordering::Relaxed) {
                let Err(back) = self.post.control(worker, control) else { break };
                control = back;
                thread::sleep(Duration::from_millis(1));
            }
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Past the page cache where that is possible: what it holds is not what the disk holds.
    fn read(&self, log: &ShardDirectory, job: &ScrubJob, bytes_per_second: u64) -> Result<(), Flaw> {
        let file = log.open_to_read(job.file(), self.direct);
        let file = file.map_err(|e| Flaw::Unread(error(IoStep::Open, &e)))?;
        let mut buffer = Buffer::new(u16::MAX, job.buffer_bytes());
        job.run(&mut buffer, &mut |offset, bytes| self.read_slowly(&file, offset, bytes, bytes_per_second))
    }

    fn read_slowly(&self, file: &File, mut offset: u64, bytes: &mut [u8], rate: u64) -> Result<(), IoError> {
        for piece in bytes.chunks_mut(SCRUB_PIECE_BYTES) {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(IoError { step: IoStep::Read, errno: libc::ECANCELED });
            }
            file.read_exact_at(piece, offset).map_err(|e| error(IoStep::Read, &e))?;
            offset += piece.len() as u64;
            thread::sleep(Duration::from_micros(piece.len() as u64 * 1_000_000 / rate));
        }
        Ok(())
    }
}

/// A file that is shorter than it was has lost bytes: that is an error of the device.
fn error(step: IoStep, e: &io::Error) -> IoError {
    IoError { step, errno: e.raw_os_error().unwrap_or(libc::EIO) }
}
