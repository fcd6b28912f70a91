//! What a run is asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use seawall_node::driver::choice::Kind;
use seawall_node::driver::probe;
use seawall_wal::{BLOCK, LogLimits};

use crate::parse::{count, seconds};

/// Which of the node's drivers writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// io_uring.
    Ring,
    /// Threads that write with plain system calls.
    Syscall,
}

/// How a write is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durable {
    /// As the node chooses for this disk.
    Auto,
    /// A write linked to fdatasync.
    Link,
    /// One write with RWF_DSYNC.
    Dsync,
}

#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where the log is made: a directory that is empty or does not exist. It is emptied at the end.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Bytes of a batch, one run for each: 4k, 256k, 1m.
    #[arg(long, value_name = "BYTES,...", value_delimiter = ',', default_value = "4k,16k,64k,256k", value_parser = batch)]
    pub batch: Vec<usize>,
    /// Length of each measured window.
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    pub seconds: Duration,
    /// Which driver writes.
    #[arg(long, value_enum, default_value = "ring")]
    pub driver: Driver,
    /// How a batch is made durable.
    #[arg(long, value_enum, default_value = "auto")]
    pub durable: Durable,
    /// Batches under way at once; 1 waits for each before it writes the next.
    #[arg(long, value_name = "D", default_value = "1", value_parser = count::<1, 2>)]
    pub depth: usize,
    /// MiB of a segment.
    #[arg(long, value_name = "MIB", default_value = "64", value_parser = count::<4, 1024>)]
    pub segment: usize,
    /// The most MiB of segments to prepare for one window; a window that uses them up ends early. Never fewer than
    /// 16 segments.
    #[arg(long, value_name = "MIB", default_value = "16384", value_parser = count::<1, 1_048_576>)]
    pub pool: usize,
    /// Also opens the log again and times its recovery.
    #[arg(long)]
    pub recover: bool,
    /// One JSON object for each batch size instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Whole blocks, and no more than a log takes at once.
fn batch(text: &str) -> Result<usize, String> {
    let max = LogLimits::default().batch_bytes;
    let text = text.to_ascii_lowercase();
    let (digits, unit) = match text.strip_suffix(['k', 'm']) {
        Some(digits) if text.ends_with('k') => (digits, 1 << 10),
        Some(digits) => (digits, 1 << 20),
        None => (text.as_str(), 1),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(unit));
    bytes
        .filter(|bytes| (BLOCK..=max).contains(bytes) && bytes.is_multiple_of(BLOCK))
        .ok_or_else(|| "write a multiple of 4k, up to 1m".to_owned())
}

impl Driver {
    pub fn kind(self) -> Kind {
        match self {
            Driver::Ring => Kind::Ring,
            Driver::Syscall => Kind::Syscall,
        }
    }
}

impl Durable {
    /// `None` leaves it to the probe.
    pub fn wanted(self) -> Option<probe::Durable> {
        match self {
            Durable::Auto => None,
            Durable::Link => Some(probe::Durable::Link),
            Durable::Dsync => Some(probe::Durable::Dsync),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::batch;

    #[test]
    fn a_batch_is_whole_blocks_within_the_logs_cap() {
        assert_eq!((batch("4k"), batch("256K"), batch("1m")), (Ok(4096), Ok(262_144), Ok(1 << 20)));
        assert_eq!(batch("8192"), Ok(8192));
        for wrong in ["", "k", "0", "1", "5k", "2m", "-4k", "99999999999999999999k"] {
            assert!(batch(wrong).is_err(), "{wrong}");
        }
    }
}
