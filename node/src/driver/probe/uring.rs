//! Whether io_uring is there, and whether it may be used.

use std::{fmt, fs, io};

use io_uring::{IoUring, cqueue, squeue};

/// Why io_uring cannot be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Somebody forbids it or left it out; otherwise it is there and broken.
    pub blocked: bool,
    pub what: String,
    pub way_out: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.way_out)
    }
}

pub(super) fn check() -> Result<(), Obstacle> {
    let built = IoUring::<squeue::Entry, cqueue::Entry>::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .build(8);
    built.map(drop).map_err(|e| {
        let (what, way_out) = explain(&e);
        Obstacle { blocked: is_blocked(&e), what, way_out }
    })
}

/// Kernels without it, seccomp filters of container runtimes, and the sysctl answer with any of the three.
fn is_blocked(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EACCES))
}

fn explain(e: &io::Error) -> (String, String) {
    match e.raw_os_error() {
        _ if is_blocked(e) => (format!("io_uring is blocked here ({e})"), unblock()),
        Some(libc::EINVAL) => (
            "this kernel's io_uring is too old (DEFER_TASKRUN is missing)".into(),
            "run Linux 6.1 or newer".into(),
        ),
        Some(libc::ENOMEM) => (
            "io_uring may not lock memory here".into(),
            "raise the limit: `ulimit -l`, or LimitMEMLOCK= in the unit".into(),
        ),
        _ => (format!("io_uring cannot be set up: {e}"), "see the kernel's log".into()),
    }
}

fn unblock() -> String {
    let sysctl = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match sysctl.trim() {
        "1" | "2" => {
            let value = sysctl.trim();
            format!("kernel.io_uring_disabled is {value}: run `sysctl kernel.io_uring_disabled=0` as root")
        }
        _ => "a seccomp filter forbids it: allow io_uring_setup, io_uring_enter and io_uring_register \
              (`--security-opt seccomp=…` for a container, SystemCallFilter=@aio for a unit)"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_being_blocked_is_called_blocked() {
        for errno in [libc::ENOSYS, libc::EPERM, libc::EACCES] {
            let error = io::Error::from_raw_os_error(errno);
            let (what, way_out) = explain(&error);
            assert!(is_blocked(&error));
            assert!(what.contains("blocked"), "{what}");
            assert!(way_out.contains("io_uring"), "{way_out}");
        }
        let too_old = io::Error::from_raw_os_error(libc::EINVAL);
        assert!(explain(&too_old).1.contains("6.1") && !is_blocked(&too_old));
    }
}
