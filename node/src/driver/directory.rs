//! The data directory: who may use it, what it is, and the files of each shard's log.
//!
//! ```text
//! lock                      held by the one process that serves the directory; holds its pid
//! audit.log                 who ended a halt, or had a log put aside, and why: a line each
//! probe.json                what the last start found of the machine
//! superblock                written last when a directory is made: without it nothing here is served
//! shard-0001/meta           the log's small metadata
//! shard-0001/closed.json    where the log ended, while no process has it open and the last one closed it in order
//! shard-0001/checkpoint-000000001234.ckp   the state at index 1234
//! shard-0001/slot-000017.seg   a place in the pool of segments; `.tmp` behind it until it is wholly zeroed and flushed
//! ```
//!
//! A directory that is refused is not modified.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fmt, thread, time::Duration};

use seawall::map::{MemberId, ShardId};
use seawall::position::Lineage;
use seawall_wal::recover::Files;
use seawall_wal::{CheckpointId, FileId, LogId, SlotId, meta};

use super::superblock::Superblock;
use super::{clock, lock::Lock};
use crate::driver::console;

pub const SUPERBLOCK: &str = "superblock";
const LOCK: &str = "lock";
const PROBE: &str = "probe.json";
pub const AUDIT: &str = "audit.log";
pub const META: &str = "meta";
const UNFINISHED: &str = "tmp";

/// A data directory that this process alone may use.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    superblock: Superblock,
    /// Whether this start made it.
    pub made: bool,
    _lock: Lock,
}

/// Whose directory it is to be.
#[derive(Clone, Copy, Debug)]
pub enum Owner {
    /// A node that is alone: with `wanted` shards, or else as many as there are, or else `default`.
    Alone { wanted: Option<u32>, default: u32 },
    /// A member, of a cluster that has a name and a number of shards.
    Member { member: MemberId, lineage: Lineage, shards: u32 },
}

/// Why a directory is refused: what, where, and the way out.
#[derive(Debug)]
pub struct DirectoryError {
    pub path: PathBuf,
    pub what: String,
    pub way_out: String,
}

impl DirectoryError {
    pub(super) fn new(path: &Path, what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { path: path.to_owned(), what: what.into(), way_out: way_out.into() }
    }

    fn io(path: &Path, doing: &str, e: &io::Error) -> Self {
        Self::new(path, format!("{doing}: {e}"), "check that the path exists, is writable and has room")
    }
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path.display(), self.what, self.way_out)
    }
}

impl std::error::Error for DirectoryError {}

/// What a look at a directory found, before anything was touched.
enum Found {
    Nothing,
    /// Made by a start that ended before the superblock was written: nothing was ever served from it.
    Unfinished,
    Ours,
}

impl Directory {
    /// Opens `path`, or makes it with `wanted` shards, or else `default` many. An existing directory keeps its number.
    pub fn open(path: &Path, wanted: Option<u32>, default: u32) -> Result<Self, DirectoryError> {
        Self::open_for(path, &Owner::Alone { wanted, default })
    }

    /// Opens `path` for this owner, or makes it.
    pub fn open_for(path: &Path, owner: &Owner) -> Result<Self, DirectoryError> {
        let found = look(path)?;
        if let Found::Ours = &found {
            owner.check(path, &read_superblock(path)?)?;
        }
        if matches!(found, Found::Nothing) {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|e| DirectoryError::io(path, "cannot be made", &e))?;
        }
        let lock = Lock::take(&path.join(LOCK))?;
        // Another process may have finished making it while this one waited for the lock.
        let made = !matches!(look(path)?, Found::Ours);
        let superblock = if made { make(path, owner)? } else { read_superblock(path)? };
        owner.check(path, &superblock)?;
        let directory = Self { path: path.to_owned(), superblock, made, _lock: lock };
        directory.remove_leftovers()?;
        Ok(directory)
    }

    /// Of a node that is stopped, and stays so while this is held: nothing in it is changed, and its owner is not asked.
    pub fn of_stopped(path: &Path) -> Result<Self, DirectoryError> {
        if !Self::check(path)? {
            return Err(DirectoryError::new(path, "it is no data directory", "name one with --data"));
        }
        let lock = Lock::take(&path.join(LOCK))?;
        Ok(Self { path: path.to_owned(), superblock: read_superblock(path)?, made: false, _lock: lock })
    }

    /// Whose it is; `None`: that of a node that is alone.
    pub fn member(&self) -> Option<MemberId> {
        Some(MemberId(self.superblock.member)).filter(|member| member.0 != 0)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the log of a shard is.
    pub fn shard_path(&self, shard: ShardId) -> PathBuf {
        shard_path(&self.path, shard)
    }

    pub fn lineage(&self) -> Lineage {
        self.superblock.lineage
    }

    /// Shards are numbered from 1.
    pub fn shards(&self) -> u32 {
        self.superblock.shards
    }

    pub fn shard(&self, shard: ShardId) -> Result<ShardDirectory, DirectoryError> {
        let path = shard_path(&self.path, shard);
        ShardDirectory::open(shard, &path).map_err(|e| DirectoryError::io(&path, "cannot be opened", &e))
    }

    /// Whether a data directory is at `path`, or nothing that keeps one from being made; nothing is changed.
    pub fn check(path: &Path) -> Result<bool, DirectoryError> {
        let ours = matches!(look(path)?, Found::Ours);
        if ours {
            read_superblock(path)?;
        }
        Ok(ours)
    }

    /// What this start found of the machine, for whoever asks later. A node serves without it, on a full disk for one.
    pub fn put_probe(&self, json: &str) {
        if let Err(e) = put_file(&self.path, PROBE, json.as_bytes()) {
            console::complain(format_args!("{}: cannot be stored: {e}", self.path.join(PROBE).display()));
        }
    }

    /// What has an unfinished name was never part of a log, nor of anything else.
    fn remove_leftovers(&self) -> Result<(), DirectoryError> {
        let shards = (1..=self.shards()).map(|shard| shard_path(&self.path, ShardId(shard)));
        for path in std::iter::once(self.path.clone()).chain(shards) {
            let remove = || -> io::Result<()> {
                for entry in fs::read_dir(&path)? {
                    let entry = entry?.path();
                    if entry.extension().is_some_and(|e| e == UNFINISHED) {
                        fs::remove_file(&entry)?;
                    }
                }
                Ok(())
            };
            remove().map_err(|e| DirectoryError::io(&path, "leftovers cannot be removed", &e))?;
        }
        Ok(())
    }
}

/// Judges what stands at `path` without changing it.
fn look(path: &Path) -> Result<Found, DirectoryError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(e) => return Err(DirectoryError::io(path, "cannot be read", &e)),
    };
    let mut found = Found::Unfinished;
    for entry in entries {
        let entry = entry.map_err(|e| DirectoryError::io(path, "cannot be read", &e))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        match name.as_ref() {
            SUPERBLOCK => found = Found::Ours,
            LOCK | PROBE | AUDIT => {}
            _ if name.starts_with("shard-") || name.ends_with(".tmp") => {}
            _ => {
                let foreign = format!("it holds {name:?}, which is not Seawall's");
                return Err(DirectoryError::new(
                    path,
                    foreign,
                    "name an empty or a new directory with --data",
                ));
            }
        }
    }
    if matches!(found, Found::Unfinished) && holds_a_log(path) {
        let what = "it holds segments of a log and no superblock";
        let way_out = "restore the superblock from a copy of this directory, or name another one with --data";
        return Err(DirectoryError::new(path, what, way_out));
    }
    Ok(found)
}

fn holds_a_log(path: &Path) -> bool {
    let Ok(entries) = fs::read_dir(path) else { return false };
    entries.flatten().filter_map(|shard| fs::read_dir(shard.path()).ok()).flatten().flatten().any(|file| {
        let name = file.file_name();
        file_of(&name.to_string_lossy()).is_some()
    })
}

impl Owner {
    fn check(&self, path: &Path, superblock: &Superblock) -> Result<(), DirectoryError> {
        let Superblock { lineage, shards, member, .. } = superblock;
        let refuse = |what: String, way_out: &str| Err(DirectoryError::new(path, what, way_out));
        match *self {
            Owner::Alone { .. } if *member != 0 => refuse(
                format!("it is that of member {member} of cluster {lineage}"),
                "start the node with its --member and --map, or name another directory with --data",
            ),
            Owner::Alone { wanted: Some(wanted), .. } => check_shards(path, superblock, wanted),
            Owner::Alone { wanted: None, .. } => Ok(()),
            Owner::Member { member: MemberId(wanted), .. } if *member != wanted => {
                let whose = match member {
                    0 => "of a node that is alone".to_owned(),
                    member => format!("that of member {member} of cluster {lineage}"),
                };
                refuse(
                    format!("it is {whose}, and cannot be that of member {wanted}"),
                    "name the member whose directory it is, or another directory with --data",
                )
            }
            Owner::Member { lineage: cluster, .. } if *lineage != cluster => refuse(
                format!("it belongs to cluster {lineage}, and the map is that of cluster {cluster}"),
                "name the map of its cluster with --map, or another directory with --data",
            ),
            Owner::Member { shards: wanted, .. } if *shards != wanted => refuse(
                format!("it has {shards} shards, and the map has {wanted}"),
                "name the map of its cluster with --map, or another directory with --data",
            ),
            Owner::Member { .. } => Ok(()),
        }
    }
}

fn check_shards(path: &Path, superblock: &Superblock, wanted: u32) -> Result<(), DirectoryError> {
    let made = superblock.shards;
    if made == wanted {
        return Ok(());
    }
    let what = format!("it was made with --workers {made} and cannot be served with --workers {wanted}");
    let way_out = format!("leave --workers out or give {made}, or name another directory with --data");
    Err(DirectoryError::new(path, what, way_out))
}

fn read_superblock(path: &Path) -> Result<Superblock, DirectoryError> {
    let path = path.join(SUPERBLOCK);
    let bytes = fs::read(&path).map_err(|e| DirectoryError::io(&path, "cannot be read", &e))?;
    Superblock::decode(&bytes).map_err(|why| {
        let way_out = "use the program that made it, or restore the file from a copy";
        DirectoryError::new(&path, why, way_out)
    })
}

/// Everything but the superblock first, flushed; the superblock last, so that it stands for the whole.
fn make(path: &Path, owner: &Owner) -> Result<Superblock, DirectoryError> {
    let made_us = clock::now().wall_us;
    let superblock = match *owner {
        Owner::Alone { wanted, default } => {
            let shards = wanted.unwrap_or(default);
            Superblock { lineage: random_lineage(), shards, member: 0, made_us }
        }
        Owner::Member { member, lineage, shards } => {
            Superblock { lineage, shards, member: member.0, made_us }
        }
    };
    let shards = superblock.shards;
    let fill = || -> io::Result<()> {
        for shard in (1..=shards).map(ShardId) {
            let directory = shard_path(path, shard);
            DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
            let log = LogId { lineage: superblock.lineage.0, shard: shard.0 };
            put_file(&directory, META, &meta::format(&log))?;
        }
        File::open(path)?.sync_all()?;
        put_file(path, SUPERBLOCK, &superblock.encode())?;
        // The directory's own name may be new as well.
        if let Some(parent) = fs::canonicalize(path)?.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    };
    fill().map_err(|e| DirectoryError::io(path, "a new data directory cannot be written", &e))?;
    Ok(superblock)
}

/// Writes a file so that its name stands for its whole contents, after a crash too.
pub fn put_file(directory: &Path, name: &str, contents: &[u8]) -> io::Result<()> {
    let unfinished = directory.join(format!("{name}.{UNFINISHED}"));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&unfinished, directory.join(name))?;
    File::open(directory)?.sync_all()
}

/// The name of a history that begins now.
pub fn random_lineage() -> Lineage {
    let mut bytes = [0u8; 16];
    // SAFETY: the pointer and the length are those of `bytes`.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    assert_eq!(got, 16, "getrandom gives up to 256 bytes at once");
    Lineage(bytes)
}

pub fn shard_path(path: &Path, shard: ShardId) -> PathBuf {
    path.join(format!("shard-{:04}", shard.0))
}

/// The file of a log that bears this name.
pub fn file_of(name: &str) -> Option<FileId> {
    let number = |prefix, suffix| name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok();
    let slot =
        || number("slot-", ".seg").and_then(|n| u32::try_from(n).ok()).map(|n| FileId::Slot(SlotId(n)));
    let checkpoint = || number("checkpoint-", ".ckp").map(|n: u64| FileId::Checkpoint(CheckpointId(n)));
    slot().or_else(checkpoint).filter(|file| file.to_string() == name)
}

/// The files of one shard's log.
#[derive(Debug)]
pub struct ShardDirectory {
    pub shard: ShardId,
    path: PathBuf,
    handle: File,
}

impl ShardDirectory {
    pub fn open(shard: ShardId, path: &Path) -> io::Result<Self> {
        Ok(Self { shard, path: path.to_owned(), handle: File::open(path)? })
    }

    /// The directory itself, to flush the names in it.
    pub fn handle(&self) -> &File {
        &self.handle
    }

    pub fn path(&self, file: FileId) -> PathBuf {
        self.path.join(file.to_string())
    }

    /// The slots and checkpoints with their final names, and the sizes of their files. The names are made durable first: a process
    /// that was killed between a rename and its flush left one that a power cut could still take away.
    pub fn files(&self) -> io::Result<Files> {
        File::open(&self.path)?.sync_all()?;
        let mut files = Files::default();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            match file_of(&name) {
                Some(FileId::Slot(slot)) => files.slots.push((slot, entry.metadata()?.len())),
                Some(FileId::Checkpoint(id)) => files.checkpoints.push((id, entry.metadata()?.len())),
                Some(FileId::Meta) | None => {}
            }
        }
        files.slots.sort_unstable();
        files.checkpoints.sort_unstable();
        Ok(files)
    }

    pub fn open_file(&self, file: FileId, direct: bool) -> io::Result<File> {
        let path = self.path(file);
        let opened = OpenOptions::new().read(true).write(true).custom_flags(direct_flag(direct)).open(&path);
        opened.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
    }

    pub fn open_to_read(&self, file: FileId, direct: bool) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(direct_flag(direct)).open(self.path(file))
    }

    /// A new file under an unfinished name.
    pub fn begin_slot(&self, slot: SlotId, direct: bool) -> io::Result<File> {
        if self.path(FileId::Slot(slot)).try_exists()? {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        options.custom_flags(direct_flag(direct)).open(self.unfinished(slot))
    }

    /// Its contents are flushed: the final name. The name is durable once the directory is flushed.
    pub fn name_slot(&self, slot: SlotId) -> io::Result<()> {
        fs::rename(self.unfinished(slot), self.path(FileId::Slot(slot)))
    }

    /// Removes what [`ShardDirectory::begin_slot`] made, so that a full disk gets its room back.
    pub fn abandon_slot(&self, slot: SlotId) {
        if let Err(e) = fs::remove_file(self.unfinished(slot))
            && e.kind() != io::ErrorKind::NotFound
        {
            console::complain(format_args!("{}: cannot be removed: {e}", self.unfinished(slot).display()));
        }
    }

    /// A log makes one checkpoint at a time; what becomes of it, its final name says.
    pub fn unfinished_checkpoint(&self) -> PathBuf {
        self.path.join(format!("checkpoint.{UNFINISHED}"))
    }

    /// A log takes one checkpoint at a time from elsewhere; it has no name before it is whole.
    pub fn offered_checkpoint(&self) -> PathBuf {
        self.path.join(format!("offered.{UNFINISHED}"))
    }

    pub fn open_offered_checkpoint(&self, direct: bool) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(direct_flag(direct)).open(self.offered_checkpoint())
    }

    /// The audit is that of the whole data directory.
    pub fn audit(&self) -> PathBuf {
        self.path.with_file_name(AUDIT)
    }

    /// Where copies of what was cut off, and whole logs, are kept for a look; nothing here reads them.
    pub fn quarantine(&self) -> PathBuf {
        self.path.join("quarantine")
    }

    pub fn open_unfinished_checkpoint(&self, direct: bool) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(direct_flag(direct)).open(self.unfinished_checkpoint())
    }

    fn unfinished(&self, slot: SlotId) -> PathBuf {
        self.path(FileId::Slot(slot)).with_extension(format!("seg.{UNFINISHED}"))
    }

    /// What recovery found, for whoever asks later.
    pub fn put_report(path: &Path, shard: ShardId, json: &str) -> io::Result<()> {
        put_file(&shard_path(path, shard), "recovery-report.json", json.as_bytes())
    }
}

pub(super) fn direct_flag(direct: bool) -> i32 {
    if direct { libc::O_DIRECT } else { 0 }
}

/// Sleeps a moment between two attempts at something that a dying process still holds.
pub(super) fn pause() {
    thread::sleep(Duration::from_millis(50));
}
