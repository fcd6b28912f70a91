//! The embedded authority (R26): a directory that the members on one machine share.
//!
//! ```text
//! map-00000000000000000007    the map of generation 7, for ever the same bytes
//! proposal-….tmp              a map that somebody is about to propose
//! ```
//! Compare-and-swap is `link(2)` of a file that is whole and flushed to the name of the next generation: the name is there
//! or not, at once for everybody, and the file system gives it once. There is no lock, so a process that was stopped
//! halfway holds nobody up. Whoever acts on a map flushes the directory first: what it acts on outlives a power cut.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "this room is made for files")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use seawall::map::Generation;

use super::document::{self, Document};
use super::{Swap, Trouble};

/// Older maps are for people, and go.
const KEPT: u64 = 1_000;
const NAME: &str = "map-";
const UNFINISHED: &str = ".tmp";

#[derive(Debug)]
pub struct Embedded {
    path: PathBuf,
    proposals: AtomicU64,
}

impl Embedded {
    /// The authority in a directory that has a map.
    pub fn open(path: &Path) -> Result<Self, Trouble> {
        let embedded = Self { path: path.to_owned(), proposals: AtomicU64::new(0) };
        embedded.newest()?;
        Ok(embedded)
    }

    /// Begins a cluster: its first map, in a directory that has none yet.
    pub fn init(path: &Path, first: &Document) -> Result<Self, Trouble> {
        let embedded = Self { path: path.to_owned(), proposals: AtomicU64::new(0) };
        let trouble = |e| embedded.trouble("cannot be made", &e);
        fs::create_dir_all(path).map_err(trouble)?;
        if let Some(there) = embedded.generations().map_err(trouble)?.last() {
            let why = format!(
                "it has the map of generation {there} already; name another directory, or `seawall map show`"
            );
            return Err(Trouble(format!("{}: {why}", path.display())));
        }
        let named = || File::open(fs::canonicalize(path)?.parent().unwrap_or(Path::new("/")))?.sync_all();
        named().map_err(trouble)?;
        match embedded.swap(first)? {
            Swap::Won => Ok(embedded),
            Swap::Lost => Err(Trouble(format!("{}: somebody else made the first map", path.display()))),
        }
    }

    pub fn newest(&self) -> Result<Document, Trouble> {
        let none = || {
            let why = "there is no map; make one with `seawall map init`";
            Trouble(format!("{}: {why}", self.path.display()))
        };
        if !self.path.exists() {
            return Err(none());
        }
        // Twice at most: the newest one is never removed, but by the time it is read there may be many newer ones.
        for last in [false, true] {
            self.flush().map_err(|e| self.trouble("cannot be flushed", &e))?;
            let generations = self.generations().map_err(|e| self.trouble("cannot be read", &e))?;
            let newest = generations.last().copied().ok_or_else(none)?;
            let path = self.path_of(newest);
            let text = match fs::read_to_string(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && !last => continue,
                text => text.map_err(|e| Trouble(format!("{}: cannot be read: {e}", path.display())))?,
            };
            let read = document::read(&text).map_err(|e| Trouble(format!("{}: {e}", path.display())))?;
            if read.map.generation().0 != newest {
                let why = format!("it says that it is generation {}", read.map.generation());
                return Err(Trouble(format!("{}: {why}; files here are not to be renamed", path.display())));
            }
            return Ok(read);
        }
        unreachable!("the second look answers")
    }

    pub fn swap(&self, next: &Document) -> Result<Swap, Trouble> {
        let generation = next.map.generation().0;
        let newest =
            self.generations().map_err(|e| self.trouble("cannot be read", &e))?.last().copied().unwrap_or(0);
        // A name that was given long ago and removed since must not look as if it were free.
        if newest + 1 != generation {
            return Ok(Swap::Lost);
        }
        let proposal = self.proposal();
        let swap = self.link(&proposal, next, generation);
        let _nobody_needs_it = fs::remove_file(&proposal);
        let swap = swap.map_err(|e| self.trouble("a map cannot be written", &e))?;
        if swap == Swap::Won {
            self.prune(generation);
        }
        Ok(swap)
    }

    fn link(&self, proposal: &Path, next: &Document, generation: u64) -> io::Result<Swap> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(proposal)?;
        file.write_all(document::write(next).as_bytes())?;
        file.sync_all()?;
        match fs::hard_link(proposal, self.path_of(generation)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(Swap::Lost),
            Err(e) => return Err(e),
        }
        self.flush()?;
        Ok(Swap::Won)
    }

    /// Nothing rests on it: whoever looks reads the newest.
    pub fn moved_past(&self, generation: Generation) -> bool {
        // After a pause the next one may be gone already, with many newer ones there.
        self.path_of(generation.0 + 1).exists() || !self.path_of(generation.0).exists()
    }

    fn prune(&self, newest: u64) {
        let Ok(generations) = self.generations() else { return };
        for old in generations.into_iter().filter(|generation| generation + KEPT <= newest) {
            let _next_time = fs::remove_file(self.path_of(old));
        }
    }

    /// Of the maps that are there, ascending.
    fn generations(&self) -> io::Result<Vec<u64>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(NAME));
            let whole = number.filter(|number| number.len() == 20);
            found.extend(whole.and_then(|number| number.parse::<u64>().ok()));
        }
        found.sort_unstable();
        Ok(found)
    }

    fn proposal(&self) -> PathBuf {
        let nth = self.proposals.fetch_add(1, Ordering::Relaxed);
        let mut name = [0u8; 8];
        // A process of the same number may have left one behind, so the name is by chance, too.
        let _by_number_alone =
            File::open("/dev/urandom").and_then(|mut chance| io::Read::read_exact(&mut chance, &mut name));
        let (process, chance) = (std::process::id(), u64::from_le_bytes(name));
        self.path.join(format!("proposal-{process}-{nth}-{chance:016x}{UNFINISHED}"))
    }

    fn path_of(&self, generation: u64) -> PathBuf {
        self.path.join(format!("{NAME}{generation:020}"))
    }

    fn flush(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn trouble(&self, what: &str, e: &io::Error) -> Trouble {
        Trouble(format!(
            "the map in {} {what}: {e}; check that all members may read and write there",
            self.path.display()
        ))
    }
}
