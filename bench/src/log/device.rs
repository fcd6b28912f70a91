//! What the disk wrote, as the kernel counts it. It counts for everybody: on a machine where others write too, it says
//! too much.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the kernel counts in, whatever the disk's own sectors are.
const SECTOR: u64 = 512;
/// Which of the numbers of a `stat` file are the sectors written.
const SECTORS_WRITTEN: usize = 6;

/// The block device that a directory is on.
#[derive(Debug)]
pub struct Device(PathBuf);

impl Device {
    /// `None`: it is on none, as in memory or on a network.
    pub fn under(directory: &Path) -> Option<Device> {
        let number = fs::metadata(directory).ok()?.dev();
        let (major, minor) = (major(number), minor(number));
        let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
        stat.exists().then_some(Device(stat))
    }

    /// Bytes that were written to it since the machine started.
    pub fn written(&self) -> Option<u64> {
        written(&fs::read_to_string(&self.0).ok()?)
    }
}

fn written(stat: &str) -> Option<u64> {
    let sectors: u64 = stat.split_whitespace().nth(SECTORS_WRITTEN)?.parse().ok()?;
    Some(sectors * SECTOR)
}

/// As the kernel packs it for programs: twelve low bits of the major number stand above eight of the minor.
fn major(number: u64) -> u64 {
    (number >> 8) & 0xfff | (number >> 32) & !0xfff
}

fn minor(number: u64) -> u64 {
    number & 0xff | (number >> 12) & !0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seventh_number_is_what_was_written() {
        let stat = "  1 2 3 4 5 6 7000 8 9 10 11 12 13 14 15 16 17\n";
        assert_eq!(written(stat), Some(7000 * 512));
        assert_eq!(written("1 2 3"), None);
        assert_eq!((major(0xfe01), minor(0xfe01)), (254, 1));
        assert_eq!((major(0x10_3100), minor(0x10_3105)), (0x31, 0x105));
    }

    #[test]
    fn a_directory_in_memory_is_on_no_device() {
        assert!(Device::under(Path::new("/proc")).is_none());
    }
}
