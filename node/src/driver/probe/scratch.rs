//! A file that exists for the probe alone. It loses its name as soon as it is open, so that nothing is left behind
//! whatever becomes of the process.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::driver::directory::direct_flag;

/// The two ways into one nameless file.
pub(super) struct Scratch {
    pub plain: File,
    /// Past the page cache, or why not.
    pub direct: io::Result<File>,
}

impl Scratch {
    /// The name, for the moment that it has one, is one that a data directory bears and a start removes.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let mut result = Err(io::Error::from(io::ErrorKind::AlreadyExists));
        for nth in 0..16 {
            let path = directory.join(format!("probe-{}-{nth}.tmp", std::process::id()));
            let mut new = OpenOptions::new();
            match new.read(true).write(true).create_new(true).mode(0o600).open(&path) {
                Ok(plain) => {
                    let mut again = OpenOptions::new();
                    let direct = again.read(true).write(true).custom_flags(direct_flag(true)).open(&path);
                    fs::remove_file(&path)?;
                    return Ok(Self { plain, direct });
                }
                // Somebody else's, perhaps of another process space: another name is free.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => result = Err(e),
                Err(e) => return Err(e),
            }
        }
        result
    }
}
