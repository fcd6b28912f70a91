//! The file system and the device under the data directory.

use std::ffi::CString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use seawall_wal::{BLOCK, Buffer};

use crate::driver::directory::direct_flag;

/// Direct I/O as tried on a real block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    pub works: bool,
    /// Alignment that the file system asks for, in memory and on disk; 0 when it does not say.
    pub alignment: (u32, u32),
    /// Why it does not work.
    pub why_not: String,
    /// Whether one write with RWF_DSYNC succeeded.
    pub dsync: bool,
}

impl fmt::Display for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.works, self.alignment) {
            (true, (0, 0)) => write!(f, "yes, 4096-byte blocks (the file system names no alignment)"),
            (true, (memory, disk)) => {
                write!(f, "yes, 4096-byte blocks ({memory} in memory, {disk} on disk needed)")
            }
            (false, _) => write!(f, "no ({}): writes go through the page cache and are slower", self.why_not),
        }
    }
}

/// Writes one block the way the log does, reads it back, and falls back to the page cache where that is refused.
pub(super) fn direct(directory: &Path) -> io::Result<Direct> {
    let path = directory.join("probe.tmp");
    let tried = try_block(&path, true).and_then(|dsync| Ok((dsync, alignment(&path)?)));
    let result = match tried {
        Ok((dsync, (memory, disk))) if memory as usize <= BLOCK && disk as usize <= BLOCK => {
            Ok(Direct { works: true, alignment: (memory, disk), why_not: String::new(), dsync })
        }
        Ok((_, (memory, disk))) => {
            let why_not = format!("it asks for {memory} bytes of alignment in memory and {disk} on disk");
            try_block(&path, false).map(|dsync| Direct {
                works: false,
                alignment: (memory, disk),
                why_not,
                dsync,
            })
        }
        Err(e) => try_block(&path, false).map(|dsync| Direct {
            works: false,
            alignment: (0, 0),
            why_not: e.to_string(),
            dsync,
        }),
    };
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => result,
    }
}

/// `Ok` says whether RWF_DSYNC is understood too.
fn try_block(path: &Path, direct: bool) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).custom_flags(direct_flag(direct));
    let file = options.open(path)?;
    let mut block = Buffer::new(0, BLOCK);
    block.bytes_mut().fill(0xA5);
    file.write_all_at(block.bytes(), 0)?;
    file.sync_data()?;
    let mut back = Buffer::new(0, BLOCK);
    file.read_exact_at(back.bytes_mut(), 0)?;
    if block.bytes() != back.bytes() {
        return Err(io::Error::other("a block that was written reads back differently"));
    }
    Ok(dsync(&file, &block))
}

fn dsync(file: &File, block: &Buffer) -> bool {
    let bytes = block.bytes();
    let range = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: one range of one live buffer, which the kernel only reads.
    let written = unsafe { libc::pwritev2(file.as_raw_fd(), &range, 1, 0, libc::RWF_DSYNC) };
    written == bytes.len() as isize
}

/// (memory, disk); zeros when the kernel or the file system does not say.
fn alignment(path: &Path) -> io::Result<(u32, u32)> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut about = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: `name` ends in a zero byte and `about` is valid for writes.
    let result =
        unsafe { libc::statx(libc::AT_FDCWD, name.as_ptr(), 0, libc::STATX_DIOALIGN, about.as_mut_ptr()) };
    if result != 0 {
        return Ok((0, 0));
    }
    // SAFETY: zeros are a valid value of it, and the kernel filled in more.
    let about = unsafe { about.assume_init() };
    Ok(if about.stx_mask & libc::STATX_DIOALIGN == 0 {
        (0, 0)
    } else {
        (about.stx_dio_mem_align, about.stx_dio_offset_align)
    })
}

/// Whether a completed write may still be lost, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteCache {
    None,
    /// Volatile, with a write command that goes through it.
    Fua,
    /// Volatile; only a flush empties it.
    Volatile,
    Unknown,
}

impl fmt::Display for WriteCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WriteCache::None => "the device has no volatile write cache",
            WriteCache::Fua => "the device has a volatile write cache and FUA",
            WriteCache::Volatile => "the device has a volatile write cache and no FUA",
            WriteCache::Unknown => "the device's write cache is unknown",
        })
    }
}

/// The whole disk under `path` in /sys, not the partition; `None` for file systems without one.
pub(super) fn device(path: &Path) -> Option<PathBuf> {
    let number = fs::metadata(path).ok()?.dev();
    let (major, minor) = (libc::major(number), libc::minor(number));
    let device = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    if device.join("partition").exists() { device.parent().map(Path::to_owned) } else { Some(device) }
}

pub(super) fn write_cache(device: &Path) -> WriteCache {
    let read = |name: &str| fs::read_to_string(device.join("queue").join(name)).unwrap_or_default();
    judge(read("write_cache").trim(), read("fua").trim())
}

fn judge(cache: &str, fua: &str) -> WriteCache {
    match (cache, fua) {
        ("write through", _) => WriteCache::None,
        ("write back", "1") => WriteCache::Fua,
        ("write back", _) => WriteCache::Volatile,
        _ => WriteCache::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_caches() {
        assert_eq!(judge("write back", "0"), WriteCache::Volatile);
        assert_eq!(judge("write back", "1"), WriteCache::Fua);
        assert_eq!(judge("write back", ""), WriteCache::Volatile);
        assert_eq!(judge("write through", "0"), WriteCache::None);
        assert_eq!(judge("", ""), WriteCache::Unknown);
    }
}
