//! An eventfd: whoever rings it ends a worker's sleep.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

#[derive(Debug)]
pub(super) struct Bell(File);

impl Bell {
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and belongs to nobody else.
        Ok(Self(unsafe { File::from_raw_fd(fd) }))
    }

    pub fn ring(&self) {
        let rung = (&self.0).write_all(&1u64.to_ne_bytes());
        rung.expect("an eventfd takes a 1 at any time");
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
