//! What a durable write of one block takes here, each way, measured on a scratch file.
//!
//! The two ways take turns (A B B A), so that whatever else the machine does meets both alike.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use std::{fmt, io};

use io_uring::{opcode, types};
use seawall_wal::{BLOCK, Buffer};

use super::{Durable, watch};
use crate::driver::clock;
use crate::driver::ring::queue::Queue;

/// Of A B B A: two writes each way. More: steadier figures, a longer start.
const ROUNDS: usize = 30;
/// No new round begins after this.
const BUDGET: Duration = Duration::from_millis(100);
const SCRATCH_BYTES: usize = 512 << 10;

/// The latencies of one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    pub writes: usize,
    pub p50: Duration,
    pub p99: Duration,
    /// They ended at scheduler ticks, not when the disk was done.
    pub at_ticks: bool,
}

impl Series {
    fn of(mut latencies: Vec<Duration>, tick_us: u64) -> Self {
        assert!(!latencies.is_empty(), "something was measured");
        let in_us = latencies.iter().map(|latency| latency.as_micros() as u64);
        let at_ticks = watch::clustered(tick_us, in_us).is_some();
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() * percent).div_ceil(100) - 1];
        Self { writes: latencies.len(), p50: at(50), p99: at(99), at_ticks }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} us", self.p50.as_micros(), self.p99.as_micros())?;
        if self.at_ticks { f.write_str(", at scheduler ticks") } else { Ok(()) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// What the writes went through.
    pub through: &'static str,
    /// `None` where RWF_DSYNC is refused.
    pub dsync: Option<Series>,
    pub link: Series,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (writes, through) = (self.link.writes, self.through);
        write!(f, "{writes} writes of {BLOCK} bytes each way by {through}, p50/p99: ")?;
        match self.dsync {
            Some(dsync) => write!(f, "RWF_DSYNC {dsync}; ")?,
            None => write!(f, "RWF_DSYNC refused; ")?,
        }
        write!(f, "with fdatasync {}", self.link)
    }
}

/// Measures on `file`, which is empty and nobody else's, through io_uring where it may be used.
pub(super) fn measure(file: &File, io_uring: bool) -> io::Result<Measured> {
    let zeros = Buffer::new(0, SCRATCH_BYTES);
    file.write_all_at(zeros.bytes(), 0)?; // as in a slot of the log: really written, so that no write changes metadata
    file.sync_all()?;
    let ring = if io_uring { Some(Queue::new(8, 16)?) } else { None };
    let through = if io_uring { "io_uring" } else { "system calls" };
    let mut rig = Rig { file, ring, block: Buffer::new(0, BLOCK), next: 0 };
    let understood = match rig.write(Durable::Dsync) {
        Ok(_) => true,
        Err(e) if is_refusal(&e) => false,
        Err(e) => return Err(e),
    };
    rig.write(Durable::Link)?; // the first of each way is not counted
    let (mut dsync, mut link) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    for round in 0..ROUNDS {
        if round > 0 && begin.elapsed() > BUDGET {
            break;
        }
        for durable in [Durable::Dsync, Durable::Link, Durable::Link, Durable::Dsync] {
            match durable {
                Durable::Dsync if understood => dsync.push(rig.write(durable)?),
                Durable::Dsync => {}
                Durable::Link => link.push(rig.write(durable)?),
            }
        }
    }
    let tick_us = clock::tick_us();
    let dsync = understood.then(|| Series::of(dsync, tick_us));
    Ok(Measured { through, dsync, link: Series::of(link, tick_us) })
}

fn is_refusal(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSYS))
}

struct Rig<'a> {
    file: &'a File,
    /// System calls without it.
    ring: Option<Queue>,
    block: Buffer,
    /// Where the next write goes: one block after the other, as in a log.
    next: u64,
}

impl Rig<'_> {
    /// One durable write, alone, and how long it took.
    fn write(&mut self, durable: Durable) -> io::Result<Duration> {
        let offset = self.next;
        self.next = (offset + BLOCK as u64) % SCRATCH_BYTES as u64;
        let begin = Instant::now();
        match (&mut self.ring, durable) {
            (Some(queue), Durable::Link) => by_link(queue, self.file, &self.block, offset)?,
            (Some(queue), Durable::Dsync) => by_ring(queue, self.file, &self.block, offset)?,
            (None, Durable::Link) => {
                self.file.write_all_at(self.block.bytes(), offset)?;
                self.file.sync_data()?;
            }
            (None, Durable::Dsync) => by_call(self.file, &self.block, offset)?,
        }
        Ok(begin.elapsed())
    }
}

fn by_link(queue: &mut Queue, file: &File, block: &Buffer, offset: u64) -> io::Result<()> {
    let file = types::Fd(file.as_raw_fd());
    let write = opcode::Write::new(file, block.bytes().as_ptr(), BLOCK as u32).offset(offset).build();
    let flush = opcode::Fsync::new(file).flags(types::FsyncFlags::DATASYNC).build();
    // SAFETY: the kernel only reads the block, which is borrowed until the completion that ends the pair was popped
    // below; if that panics, the worst is that other bytes reach a file without a name.
    unsafe { queue.push_linked(write.user_data(BLOCK as u64), flush.user_data(0)) };
    complete(queue)
}

fn by_ring(queue: &mut Queue, file: &File, block: &Buffer, offset: u64) -> io::Result<()> {
    let file = types::Fd(file.as_raw_fd());
    let write = opcode::Write::new(file, block.bytes().as_ptr(), BLOCK as u32).offset(offset);
    let write = write.rw_flags(libc::RWF_DSYNC).build().user_data(BLOCK as u64);
    // SAFETY: as in `by_link`.
    unsafe { queue.push(write) };
    complete(queue)
}

/// Waits for the one completion, which carries the result that it must have, or why not.
fn complete(queue: &mut Queue) -> io::Result<()> {
    loop {
        queue.enter(1);
        let Some(entry) = queue.pop() else { continue };
        return match entry.result() {
            result if result < 0 => Err(io::Error::from_raw_os_error(-result)),
            result if result as u64 != entry.user_data() => Err(io::ErrorKind::WriteZero.into()),
            _ => Ok(()),
        };
    }
}

fn by_call(file: &File, block: &Buffer, offset: u64) -> io::Result<()> {
    let bytes = block.bytes();
    let range = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let offset = i64::try_from(offset).expect("a scratch file is small");
    // SAFETY: one range of one live buffer, which the kernel only reads.
    let written = unsafe { libc::pwritev2(file.as_raw_fd(), &range, 1, offset, libc::RWF_DSYNC) };
    match written {
        result if result < 0 => Err(io::Error::last_os_error()),
        result if result as usize != BLOCK => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn a_series_is_its_median_and_its_tail() {
        let us = |n: u64| Duration::from_micros(n);
        let series = Series::of((1..=100).rev().map(us).collect(), 4_000);
        assert_eq!(series, Series { writes: 100, p50: us(50), p99: us(99), at_ticks: false });
        let one = Series::of(vec![us(7)], 4_000);
        assert_eq!((one.p50, one.p99), (us(7), us(7)));
        let ticking = Series::of(vec![us(3_990); 60], 4_000);
        assert!(ticking.at_ticks && ticking.to_string().contains("ticks"), "{ticking}");
    }

    /// In the temporary directory, whatever it is on.
    #[test]
    fn both_ways_are_measured_through_a_ring_and_through_calls() {
        for (io_uring, through) in [(true, "io_uring"), (false, "system calls")] {
            let scratch = Scratch::new(&std::env::temp_dir()).expect("a scratch file");
            let measured = measure(&scratch.plain, io_uring).expect("it can be written");
            assert_eq!(measured.through, through);
            assert!((2..=2 * ROUNDS).contains(&measured.link.writes));
            assert!(measured.dsync.is_none_or(|dsync| dsync.writes == measured.link.writes));
            assert_eq!(scratch.plain.metadata().expect("it is open").len(), SCRATCH_BYTES as u64);
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error_and_no_figure() {
        let scratch = Scratch::new(&std::env::temp_dir()).expect("a scratch file");
        let read_only = File::open("/dev/null").expect("it is everywhere");
        assert!(measure(&read_only, false).is_err());
        for ring in [None, Some(Queue::new(8, 16).expect("a ring"))] {
            let mut rig = Rig { file: &read_only, ring, block: Buffer::new(0, BLOCK), next: 0 };
            for durable in [Durable::Link, Durable::Dsync] {
                let error = rig.write(durable).expect_err("it was opened for reading");
                assert_eq!(error.raw_os_error(), Some(libc::EBADF), "the write's error, not its flush's");
            }
            rig.file = &scratch.plain;
            rig.write(Durable::Link).expect("the next write is not held up by the last");
        }
    }

    #[test]
    fn only_an_unknown_flag_is_a_refusal() {
        assert!(is_refusal(&io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
        for errno in [libc::EIO, libc::ENOSPC, libc::EROFS] {
            assert!(!is_refusal(&io::Error::from_raw_os_error(errno)));
        }
    }
}
