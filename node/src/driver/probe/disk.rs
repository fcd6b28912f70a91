//! Direct I/O on the data directory, and the device under it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use seawall_wal::{BLOCK, Buffer};

use super::scratch::Scratch;

/// The alignment that direct I/O needs on a file, by `statx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment {
    /// The kernel or the file system does not say.
    Unsaid,
    /// It says that there is no direct I/O on this file, even if O_DIRECT is accepted.
    Refused,
    /// In bytes.
    Needs { memory: u32, disk: u32 },
}

/// Direct I/O as tried on a real block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    pub works: bool,
    pub alignment: Alignment,
    /// Why it does not work.
    pub why_not: String,
}

impl Direct {
    fn without(alignment: Alignment, why_not: impl Into<String>) -> Self {
        Self { works: false, alignment, why_not: why_not.into() }
    }
}

impl fmt::Display for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.works, self.alignment) {
            (true, Alignment::Needs { memory, disk }) => {
                write!(f, "yes, {BLOCK}-byte blocks ({memory} in memory, {disk} on disk needed)")
            }
            (true, _) => write!(f, "yes, {BLOCK}-byte blocks (the file system names no alignment)"),
            (false, _) => write!(f, "no ({}): writes go through the page cache and are slower", self.why_not),
        }
    }
}

/// Writes one block the way the log does, reads it back, and falls back to the page cache where that is refused.
/// On a full file system nothing can be written, and what it says of itself is believed.
pub(super) fn direct(scratch: &Scratch) -> io::Result<Direct> {
    let alignment = alignment(&scratch.plain);
    let direct = judge_direct(alignment, scratch.direct.as_ref().map(drop));
    if !direct.works {
        return try_block(&scratch.plain).or_else(full_is_no_answer).map(|()| direct);
    }
    let file = scratch.direct.as_ref().expect("it was judged to be open");
    match try_block(file).or_else(full_is_no_answer) {
        Ok(()) => Ok(direct),
        Err(e) => try_block(&scratch.plain).map(|()| Direct::without(alignment, e.to_string())),
    }
}

fn judge_direct(alignment: Alignment, opened: Result<(), &io::Error>) -> Direct {
    let fits = |bytes: u32| bytes > 0 && BLOCK.is_multiple_of(bytes as usize);
    match (opened, alignment) {
        (Err(e), _) => Direct::without(alignment, format!("O_DIRECT: {e}")),
        (Ok(()), Alignment::Refused) => {
            Direct::without(alignment, "the file system takes O_DIRECT and says that it does not honour it")
        }
        (Ok(()), Alignment::Needs { memory, disk }) if !(fits(memory) && fits(disk)) => {
            let why = format!(
                "it wants {memory} bytes of alignment in memory and {disk} on disk, the log's are {BLOCK}"
            );
            Direct::without(alignment, why)
        }
        (Ok(()), _) => Direct { works: true, alignment, why_not: String::new() },
    }
}

pub(super) fn is_full(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

fn full_is_no_answer(e: io::Error) -> io::Result<()> {
    if is_full(&e) { Ok(()) } else { Err(e) }
}

fn try_block(file: &File) -> io::Result<()> {
    let mut block = Buffer::new(0, BLOCK);
    block.bytes_mut().fill(0xA5);
    file.write_all_at(block.bytes(), 0)?;
    file.sync_data()?;
    let mut back = Buffer::new(0, BLOCK);
    file.read_exact_at(back.bytes_mut(), 0)?;
    if block.bytes() != back.bytes() {
        return Err(io::Error::other("a block that was written reads back differently"));
    }
    Ok(())
}

fn alignment(file: &File) -> Alignment {
    match statx(file, libc::STATX_DIOALIGN) {
        None => Alignment::Unsaid,
        Some(about) => said(about.stx_dio_mem_align, about.stx_dio_offset_align),
    }
}

/// In an answer about alignment, zero says that there is no direct I/O.
fn said(memory: u32, disk: u32) -> Alignment {
    if memory == 0 || disk == 0 { Alignment::Refused } else { Alignment::Needs { memory, disk } }
}

/// What the kernel says of an open file; `None` when it does not know about `wanted`.
pub(super) fn statx(file: &File, wanted: u32) -> Option<libc::statx> {
    let mut about = MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_EMPTY_PATH;
    // SAFETY: the name is empty and ends in a zero byte, and `about` is valid for writes.
    let result = unsafe { libc::statx(file.as_raw_fd(), c"".as_ptr(), flags, wanted, about.as_mut_ptr()) };
    // SAFETY: zeros are a valid value of it, and the kernel filled in more.
    let about = unsafe { about.assume_init() };
    (result == 0 && about.stx_mask & wanted == wanted).then_some(about)
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

impl WriteCache {
    pub fn name(self) -> &'static str {
        match self {
            WriteCache::None => "none",
            WriteCache::Fua => "fua",
            WriteCache::Volatile => "volatile",
            WriteCache::Unknown => "unknown",
        }
    }
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

/// The disk that takes the interrupts: below a mapped device (encryption, volumes) that stands on one disk alone.
pub(super) fn bottom(device: &Path) -> PathBuf {
    let mut device = device.to_owned();
    while let Some(only) = only_entry(&device.join("slaves")) {
        let Ok(below) = fs::canonicalize(only) else { break };
        let partition = below.join("partition").exists();
        device = if partition { below.parent().unwrap_or(&below).to_owned() } else { below };
    }
    device
}

fn only_entry(directory: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(directory).ok()?.flatten();
    let first = entries.next()?;
    entries.next().is_none().then(|| first.path())
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
    fn direct_io_is_used_only_where_a_block_of_the_log_fits() {
        let judged = |alignment| judge_direct(alignment, Ok(()));
        let needs = |memory, disk| judged(Alignment::Needs { memory, disk });
        assert!(judged(Alignment::Unsaid).works);
        assert_eq!(said(512, 4096), Alignment::Needs { memory: 512, disk: 4096 });
        assert_eq!([said(0, 0), said(0, 512), said(512, 0)], [Alignment::Refused; 3]);
        assert!(needs(4, 512).works && needs(4096, 4096).works);
        for wrong in [needs(4096, 16384), needs(8192, 512), judged(Alignment::Refused)] {
            assert!(!wrong.works);
            assert!(wrong.to_string().contains("page cache"), "the fallback is named: {wrong}");
        }
        assert!(needs(512, 16384).why_not.contains("16384"));
        let refused = judge_direct(Alignment::Unsaid, Err(&io::Error::from_raw_os_error(libc::EINVAL)));
        assert!(!refused.works && refused.why_not.contains("Invalid argument"), "{refused}");
    }

    #[test]
    fn what_the_kernel_says_of_caches() {
        assert_eq!(judge("write back", "0"), WriteCache::Volatile);
        assert_eq!(judge("write back", "1"), WriteCache::Fua);
        assert_eq!(judge("write back", ""), WriteCache::Volatile);
        assert_eq!(judge("write through", "0"), WriteCache::None);
        assert_eq!(judge("", ""), WriteCache::Unknown);
    }
}
