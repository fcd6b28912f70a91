//! What a path is, whose log it holds, and who is writing it.

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use seawall::position::Lineage;
use seawall_wal::format::{NotValid, SEGMENT_HEADER, SegmentHeader};
use seawall_wal::meta::{self, META_BYTES};
use seawall_wal::recover::{Files, Segment};
use seawall_wal::{BLOCK, FileId, LogId, SlotId};

use super::Failed;
use crate::driver::directory::file_of;
use crate::driver::superblock::Superblock;

/// For a checkpoint that is being made.
const HOLD_PATIENCE: Duration = Duration::from_secs(10);

pub(in crate::cli) struct Target {
    pub superblock: Option<Superblock>,
    pub shards: Vec<Shard>,
    /// The process that holds the data directory's lock.
    pub writer: Option<u32>,
}

/// The files of one log, or one segment of it.
pub(in crate::cli) struct Shard {
    /// The shard's directory, or the segment's file.
    pub path: PathBuf,
    directory: PathBuf,
    pub id: LogId,
    /// One segment, and its successor where that is beside it.
    pub only: Option<(Segment, Option<Segment>)>,
    lock: PathBuf,
}

fn unreadable(path: &Path, why: impl std::fmt::Display) -> Failed {
    Failed::Unreadable(format!("{}: {why}", path.display()))
}

impl Target {
    pub fn find(path: &Path) -> Result<Self, Failed> {
        let path = &fs::canonicalize(path).map_err(|e| unreadable(path, e))?;
        let parent = |p: &Path| p.parent().unwrap_or(Path::new("/")).to_owned();
        if !path.is_dir() {
            let lock = parent(&parent(path)).join("lock");
            let writer = writer(&lock);
            return Ok(Self { superblock: None, shards: vec![segment(path, lock)?], writer });
        }
        let (top, superblock) = (path.join("superblock"), parent(path).join("superblock"));
        if top.exists() {
            let superblock = read_superblock(&top)?;
            let shards: Result<_, _> = (1..=superblock.shards)
                .map(|n| Shard::new(&path.join(format!("shard-{n:04}")), Some((superblock.lineage, n))))
                .collect();
            return Ok(Self {
                superblock: Some(superblock),
                shards: shards?,
                writer: writer(&path.join("lock")),
            });
        }
        if !path.join("meta").exists() && files(path)?.slots.is_empty() {
            return Err(unreadable(path, "neither a data directory nor a shard of one: it holds no log"));
        }
        let number = path.file_name().and_then(|n| n.to_str()?.strip_prefix("shard-")?.parse().ok());
        let superblock = if superblock.exists() { Some(read_superblock(&superblock)?) } else { None };
        let known = superblock.and_then(|s| Some((s.lineage, number?)));
        let shard = Shard::new(path, known)?;
        Ok(Self { superblock, writer: writer(&shard.lock), shards: vec![shard] })
    }

    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(Shard::bytes).sum()
    }
}

impl Shard {
    fn new(path: &Path, known: Option<(Lineage, u32)>) -> Result<Self, Failed> {
        let known = known.map(|(lineage, shard)| LogId { lineage: lineage.0, shard });
        let id = whose(path, known)?;
        let lock = path.parent().unwrap_or(path).join("lock");
        Ok(Self { path: path.to_owned(), directory: path.to_owned(), id, only: None, lock })
    }

    pub fn files(&self) -> Result<Files, Failed> {
        files(&self.directory)
    }

    pub fn file(&self, file: FileId) -> PathBuf {
        match file {
            FileId::Slot(_) if self.only.is_some() => self.path.clone(),
            _ => self.directory.join(file.to_string()),
        }
    }

    pub fn meta(&self) -> meta::Meta {
        let bytes = front(&self.file(FileId::Meta), META_BYTES).unwrap_or_default();
        meta::read(&bytes, &self.id).unwrap_or_default()
    }

    /// Both copies, as they are.
    pub fn metadata(&self) -> Vec<Result<meta::Meta, NotValid>> {
        let bytes = front(&self.file(FileId::Meta), META_BYTES).unwrap_or_default();
        bytes.chunks(BLOCK).map(|copy| meta::Meta::decode(copy, &self.id)).collect()
    }

    pub fn writer(&self) -> Option<u32> {
        writer(&self.lock)
    }

    /// While this lives, the node that writes the log waits with its next checkpoint for some seconds, so what holds
    /// the log now is not used again. A checkpoint that is being made is waited for. Where that takes too long, or
    /// directories cannot be locked, a look has nothing but its patience.
    pub fn hold(&self) -> Option<File> {
        let directory = File::open(&self.directory).ok()?;
        let begin = Instant::now();
        while begin.elapsed() < HOLD_PATIENCE {
            match directory.try_lock_shared() {
                Ok(()) => return Some(directory),
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
                Err(TryLockError::Error(_)) => break,
            }
        }
        None
    }

    pub fn bytes(&self) -> u64 {
        match &self.only {
            Some((segment, _)) => segment.header.bytes,
            None => self.files().map_or(0, |files| {
                let slots = files.slots.iter().map(|(_, bytes)| bytes);
                slots.chain(files.checkpoints.iter().map(|(_, bytes)| bytes)).sum()
            }),
        }
    }
}

/// A segment by its header. A file whose header is gone is judged with its shard, not alone.
fn segment(path: &Path, lock: PathBuf) -> Result<Shard, Failed> {
    let bytes = front(path, SEGMENT_HEADER).map_err(|e| unreadable(path, e))?;
    let header = SegmentHeader::peek(&bytes).map_err(|why| match why {
        NotValid::Checksum => Failed::Damaged(format!(
            "{} at offset 0 breaks R1: expected a segment header; observed that {why}",
            path.display()
        )),
        _ => unreadable(path, format!("not a segment: {why}")),
    })?;
    let size = fs::metadata(path).map_err(|e| unreadable(path, e))?.len();
    if size != header.bytes {
        let (path, expected) = (path.display(), header.bytes);
        return Err(Failed::Damaged(format!(
            "{path} breaks R5: expected a file of {expected} bytes; observed {size} bytes"
        )));
    }
    let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
    let name = path.file_name().and_then(|n| n.to_str()).and_then(file_of);
    let slot = if let Some(FileId::Slot(slot)) = name { slot } else { SlotId(0) };
    let beside = files(&directory).unwrap_or_default().slots.into_iter().filter_map(|(slot, _)| {
        let bytes = front(&directory.join(FileId::Slot(slot).to_string()), SEGMENT_HEADER).ok()?;
        Some(Segment { slot, header: SegmentHeader::read(&bytes, &header.log()).ok()? })
    });
    let successor = beside.into_iter().find(|s| s.header.pred_incarnation == header.incarnation);
    let only = Some((Segment { slot, header }, successor));
    Ok(Shard { path: path.to_owned(), directory, id: header.log(), only, lock })
}

/// Whose log a directory holds: as the data directory says, or else as its files do. Another version is named here:
/// such a log is not damaged, it is another program's.
fn whose(path: &Path, known: Option<LogId>) -> Result<LogId, Failed> {
    let mut said = known;
    let mut hear = |file: &Path, heard: Result<LogId, NotValid>| match heard {
        Ok(id) => {
            said = said.or(Some(id));
            Ok(())
        }
        Err(why @ NotValid::Version(_)) => Err(unreadable(file, why)),
        Err(_) => Ok(()),
    };
    let metadata = path.join("meta");
    for copy in open_front(&metadata, META_BYTES)?.chunks(BLOCK) {
        hear(&metadata, meta::peek(copy))?;
    }
    for (slot, _) in files(path)?.slots {
        let file = path.join(FileId::Slot(slot).to_string());
        let bytes = open_front(&file, SEGMENT_HEADER)?;
        hear(&file, SegmentHeader::peek(&bytes).map(|header| header.log()))?;
    }
    said.ok_or_else(|| {
        let expected = "metadata or a segment header that says whose log this is";
        Failed::Damaged(format!("{} breaks R6: expected {expected}; observed none", path.display()))
    })
}

fn read_superblock(path: &Path) -> Result<Superblock, Failed> {
    let bytes = front(path, BLOCK).map_err(|e| unreadable(path, e))?;
    Superblock::decode(&bytes).map_err(|why| {
        let sum = bytes.get(..252).map(|covered| crc32c::crc32c(covered).to_le_bytes());
        let rotten = bytes.starts_with(b"SEAWALL\0") && bytes.get(252..256) != sum.as_ref().map(|s| &s[..]);
        match rotten {
            true => Failed::Damaged(format!(
                "{} at offset 0: expected a whole superblock; observed that {why}",
                path.display()
            )),
            false => unreadable(path, why),
        }
    })
}

/// What may not be opened is said at once. A file that is gone or a sector that cannot be read is for the scan to
/// judge, as recovery would.
fn open_front(path: &Path, len: usize) -> Result<Vec<u8>, Failed> {
    match front(path, len) {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Err(unreadable(path, e)),
        other => Ok(other.unwrap_or_default()),
    }
}

fn front(path: &Path, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    File::open(path)?.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn files(directory: &Path) -> Result<Files, Failed> {
    let mut files = Files::default();
    for entry in fs::read_dir(directory).map_err(|e| unreadable(directory, e))? {
        let entry = entry.map_err(|e| unreadable(directory, e))?;
        let bytes = || Ok(entry.metadata().map_err(|e| unreadable(&entry.path(), e))?.len());
        match file_of(&entry.file_name().to_string_lossy()) {
            Some(FileId::Slot(slot)) => files.slots.push((slot, bytes()?)),
            Some(FileId::Checkpoint(checkpoint)) => files.checkpoints.push((checkpoint, bytes()?)),
            Some(FileId::Meta) | None => {}
        }
    }
    files.slots.sort_unstable();
    files.checkpoints.sort_unstable();
    Ok(files)
}

/// Who holds the lock, as the kernel lists it: asking by locking would take it from a node that starts.
pub(in crate::cli) fn writer(lock: &Path) -> Option<u32> {
    let inode = fs::metadata(lock).ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|w| *w != "FLOCK").skip(3);
        let (pid, file) = (words.next()?, words.next()?);
        (file.rsplit(':').next()? == inode).then(|| pid.parse().ok())?
    })
}
