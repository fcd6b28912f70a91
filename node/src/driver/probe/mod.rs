//! What this machine offers, asked and not assumed; shown at every start.

mod cpu;
mod disk;
mod uring;

use std::fmt;
use std::path::Path;

use super::directory::DirectoryError;

pub use cpu::Placement;
pub use disk::{Direct, WriteCache};
pub use uring::Obstacle;

/// How a write is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// A write, and fdatasync once it succeeded wholly; in a ring the two are linked.
    Link,
    /// One write with RWF_DSYNC.
    Dsync,
}

impl Durable {
    pub fn name(self) -> &'static str {
        match self {
            Durable::Link => "write, then fdatasync",
            Durable::Dsync => "write with RWF_DSYNC",
        }
    }
}

/// What was found, and what follows from it.
#[derive(Clone, Debug)]
pub struct Probe {
    pub kernel: String,
    pub direct: Direct,
    pub cache: WriteCache,
    pub durable: Durable,
    /// Why this primitive.
    pub why_durable: String,
    /// The CPU that takes the interrupts of the disk under the data directory.
    pub disk_cpu: Option<usize>,
}

/// Whether this machine can run the ring; asked before anything is touched.
pub fn driver() -> Result<(), Obstacle> {
    uring::check()
}

/// Probes for a data directory at `path`, which exists and is ours. `durable` overrides the rule.
pub fn probe(path: &Path, durable: Option<Durable>) -> Result<Probe, DirectoryError> {
    let direct = disk::direct(path).map_err(|e| {
        let what = format!("a block cannot be written and read back: {e}");
        DirectoryError::new(path, what, "check that the file system is writable and has room")
    })?;
    let device = disk::device(path);
    let cache = device.as_deref().map_or(WriteCache::Unknown, disk::write_cache);
    let (durable, why_durable) = choose(durable, cache, direct.dsync);
    let disk_cpu = device.as_deref().and_then(cpu::of_disk);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().into();
    Ok(Probe { kernel, direct, cache, durable, why_durable, disk_cpu })
}

/// A flush-type cache wants one shared flush, and RWF_DSYNC is fragile on it; with FUA, or with no volatile cache,
/// RWF_DSYNC is one command. What is not known is treated as the cache that can lose the most.
fn choose(wanted: Option<Durable>, cache: WriteCache, dsync: bool) -> (Durable, String) {
    match (wanted, cache) {
        (Some(wanted), _) => (wanted, format!("as --durable asks; {cache}")),
        (None, _) if !dsync => (Durable::Link, "the file system refuses RWF_DSYNC".into()),
        (None, WriteCache::Volatile | WriteCache::Unknown) => (Durable::Link, cache.to_string()),
        (None, WriteCache::None | WriteCache::Fua) => (Durable::Dsync, cache.to_string()),
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel      Linux {}", self.kernel)?;
        writeln!(f, "direct I/O  {}", self.direct)?;
        write!(f, "durable by  {} ({})", self.durable.name(), self.why_durable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_follows_the_cache_and_an_order_goes_before_it() {
        let rule = |cache| choose(None, cache, true).0;
        assert_eq!(rule(WriteCache::Volatile), Durable::Link);
        assert_eq!(rule(WriteCache::Unknown), Durable::Link);
        assert_eq!(rule(WriteCache::Fua), Durable::Dsync);
        assert_eq!(rule(WriteCache::None), Durable::Dsync);
        assert_eq!(choose(None, WriteCache::Fua, false).0, Durable::Link);
        assert_eq!(choose(Some(Durable::Dsync), WriteCache::Volatile, true).0, Durable::Dsync);
    }
}
