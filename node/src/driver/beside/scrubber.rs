//! Reads files of logs again, slower than any disk could: a piece, a pause, the next piece. What the bytes are worth, `wal`
//! says.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use seawall::map::ShardId;
use seawall_wal::{Buffer, Flaw, IoError, IoStep, ScrubJob};

use super::Logs;
use super::hand::Stop;
use crate::driver::directory::ShardDirectory;
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

pub(super) struct Scrubber {
    pub logs: Logs,
    pub direct: bool,
    /// Nothing further is read.
    pub stop: Stop,
}

impl Scrubber {
    pub fn execute(&mut self, order: Scrub) -> (WorkerId, Event) {
        let Scrub { worker, shard, round, job, bytes_per_second } = order;
        let result = self.read(self.logs.of(shard), &job, bytes_per_second);
        (worker, Event::Scrubbed { shard, round, result })
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
            if self.stop.is_asked() {
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
