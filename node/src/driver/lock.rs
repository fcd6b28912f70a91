//! One process serves a data directory: the `lock` file, held for the life of the process and gone with it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::directory::{DirectoryError, pause};
use crate::driver::console;
use crate::params::START_PATIENCE_MS;

#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits a little: the kernel may still work off the ring of a killed process, and holds its lock meanwhile.
    pub fn take(path: &Path) -> Result<Self, DirectoryError> {
        let refuse = |what: String| {
            DirectoryError::new(path, what, "stop that process, or name another directory with --data")
        };
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = opened.map_err(|e| refuse(format!("cannot be opened: {e}")))?;
        for attempt in 0..=START_PATIENCE_MS / 50 {
            match file.try_lock() {
                Ok(()) => {
                    write_pid(&mut file).map_err(|e| refuse(format!("cannot be written: {e}")))?;
                    return Ok(Self { _file: file });
                }
                Err(TryLockError::WouldBlock) if attempt == 0 => {
                    console::complain(format_args!(
                        "{}: held by {}; waiting a moment",
                        path.display(),
                        holder(path)
                    ));
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(refuse(format!("cannot be locked: {e}"))),
            }
            pause();
        }
        Err(refuse(format!("the directory is in use by {}", holder(path))))
    }
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
}

fn holder(path: &Path) -> String {
    let pid = fs::read_to_string(path).unwrap_or_default();
    if pid.trim().is_empty() { "another process".into() } else { format!("process {}", pid.trim()) }
}
