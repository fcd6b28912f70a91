//! What this machine offers, asked and not assumed; shown at every start.
//!
//! ```text
//! uring.rs       may io_uring be used, and if not, who forbids it     cpu.rs      the disk's CPU, and the workers'
//! disk.rs        direct I/O, the device, its write cache              measure.rs  what a durable write takes, each way
//! filesystem.rs  its kind and options, and what to be warned of       rule.rs     which primitive follows from that
//! watch.rs       while the node runs: do writes end at ticks?         report.rs   as text and as JSON
//! scratch.rs     the file that is measured on
//! ```

mod cpu;
mod disk;
mod filesystem;
mod measure;
mod receive;
mod report;
mod rule;
mod scratch;
mod uring;
pub mod watch;

use std::io;
use std::path::{Path, PathBuf};

use super::clock;
use super::directory::DirectoryError;

pub use cpu::Placement;
pub use disk::{Alignment, Direct, WriteCache};
pub use filesystem::{FileSystem, Warning};
pub use measure::{Measured, Series};
pub use rule::choose;
pub use uring::Obstacle;

/// How a write is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// A write, and fdatasync behind it; in a ring linked to it.
    Link,
    /// One write with RWF_DSYNC.
    Dsync,
}

impl Durable {
    pub fn name(self) -> &'static str {
        match self {
            Durable::Link => "write linked to fdatasync",
            Durable::Dsync => "write with RWF_DSYNC",
        }
    }
}

/// What was found, and what follows from it.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The directory that was looked at.
    pub path: PathBuf,
    pub at_us: i64,
    pub io_uring: Result<(), Obstacle>,
    pub kernel: String,
    /// The time between two scheduler ticks.
    pub tick_us: u64,
    pub file_system: FileSystem,
    pub direct: Direct,
    /// The name of the disk, where there is one.
    pub device: Option<String>,
    pub cache: WriteCache,
    /// Or why nothing could be measured.
    pub measured: Result<Measured, String>,
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

/// Whether its ring can receive by multishot.
pub fn multishot() -> Result<(), String> {
    receive::check()
}

/// The directory itself, or where it would be made: the nearest one above it that exists.
pub fn nearest(path: &Path) -> Result<PathBuf, DirectoryError> {
    let here = Path::new(".");
    let named = path.ancestors().map(|p| if p.as_os_str().is_empty() { here } else { p });
    let found = named.chain([here]).find(|p| p.exists()).unwrap_or(here);
    if found.is_dir() {
        return Ok(found.to_owned());
    }
    Err(DirectoryError::new(found, "it is not a directory", "name a directory that exists or can be made"))
}

/// Probes the directory at `path`, which exists and may be written to. `ordered` overrides the rule for the primitive.
pub fn probe(path: &Path, ordered: Option<Durable>) -> Result<Probe, DirectoryError> {
    let failed = |e: io::Error| {
        let what = format!("a block cannot be written durably and read back: {e}");
        DirectoryError::new(path, what, "check that the file system is writable and sound")
    };
    let io_uring = uring::check();
    let file_system = filesystem::of(path).map_err(failed)?;
    let scratch = scratch::Scratch::new(path).map_err(failed)?;
    let direct = disk::direct(&scratch).map_err(failed)?;
    let file = if direct.works { scratch.direct.as_ref().unwrap_or(&scratch.plain) } else { &scratch.plain };
    let measured = match measure::measure(file, io_uring.is_ok()) {
        Ok(measured) => Ok(measured),
        Err(e) if disk::is_full(&e) => Err(format!("no room for a scratch file ({e})")),
        Err(e) => return Err(failed(e)),
    };
    let device = disk::device(path);
    let cache = device.as_deref().map_or(WriteCache::Unknown, disk::write_cache);
    let (durable, why_durable) = choose(ordered, cache, measured.as_ref().map_err(String::as_str));
    Ok(Probe {
        path: path.to_owned(),
        at_us: clock::now().wall_us,
        io_uring,
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().into(),
        tick_us: clock::tick_us(),
        file_system,
        direct,
        device: device.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()),
        cache,
        measured,
        durable,
        why_durable,
        disk_cpu: device.as_deref().and_then(|device| cpu::of_disk(&disk::bottom(device))),
    })
}
