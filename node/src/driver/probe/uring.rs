//! Whether io_uring is there, and whether it may be used.

use std::{fmt, fs, io};

use io_uring::{IoUring, cqueue, squeue};

/// Why io_uring cannot be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Somebody forbids it or left it out, and another kind of I/O is needed; otherwise it is there and broken.
    pub blocked: bool,
    pub what: String,
    pub way_out: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.way_out)
    }
}

/// Sets up a ring as the driver does, and lets it go.
pub(super) fn check() -> Result<(), Obstacle> {
    let built = IoUring::<squeue::Entry, cqueue::Entry>::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .build(8);
    built.map(drop).map_err(|e| {
        let sysctl = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        explain(&e, sysctl.as_deref().map(str::trim), is_filtered(&status))
    })
}

/// `sysctl` is the value of kernel.io_uring_disabled, if there is one; `filtered` whether a seccomp filter is at work.
fn explain(e: &io::Error, sysctl: Option<&str>, filtered: bool) -> Obstacle {
    let broken = |what: &str, way_out: &str| Obstacle {
        blocked: false,
        what: what.to_owned(),
        way_out: way_out.to_owned(),
    };
    match e.raw_os_error() {
        // Kernels without it, seccomp filters of container runtimes, and the sysctl answer with any of the three.
        Some(errno @ (libc::ENOSYS | libc::EPERM | libc::EACCES)) => Obstacle {
            blocked: true,
            what: format!("io_uring is blocked here ({e})"),
            way_out: unblock(errno, sysctl, filtered),
        },
        Some(libc::EINVAL) => {
            broken("this kernel's io_uring is too old (DEFER_TASKRUN is missing)", "run Linux 6.1 or newer")
        }
        Some(libc::ENOMEM) => broken(
            "io_uring may not lock memory here",
            "raise the limit: `ulimit -l`, or LimitMEMLOCK= in the unit",
        ),
        _ => broken(&format!("io_uring cannot be set up: {e}"), "see the kernel's log"),
    }
}

fn unblock(errno: i32, sysctl: Option<&str>, filtered: bool) -> String {
    let allow = "allow io_uring_setup, io_uring_enter and io_uring_register (`--security-opt seccomp=PROFILE` \
                 for a container, SystemCallFilter=@aio for a unit)";
    let value = sysctl.unwrap_or("not there");
    match sysctl {
        Some("2") => {
            "kernel.io_uring_disabled is 2, for nobody: run `sysctl kernel.io_uring_disabled=0` as root"
                .into()
        }
        Some("1") => {
            "kernel.io_uring_disabled is 1, for the group kernel.io_uring_group alone: add this user to it, \
                      or run `sysctl kernel.io_uring_disabled=0` as root"
                .into()
        }
        _ if filtered => {
            format!("a seccomp filter forbids it (kernel.io_uring_disabled is {value}): {allow}")
        }
        _ if errno == libc::ENOSYS => {
            format!(
                "this kernel has no io_uring (kernel.io_uring_disabled is {value}): build it with CONFIG_IO_URING"
            )
        }
        _ => format!(
            "neither kernel.io_uring_disabled ({value}) nor a seccomp filter forbids it, so a security module does: \
             see the audit log"
        ),
    }
}

/// By /proc/self/status.
fn is_filtered(status: &str) -> bool {
    status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(errno: i32, sysctl: Option<&str>, filtered: bool) -> Obstacle {
        explain(&io::Error::from_raw_os_error(errno), sysctl, filtered)
    }

    #[test]
    fn each_way_of_being_blocked_is_called_blocked_and_its_cause_is_named() {
        for errno in [libc::ENOSYS, libc::EPERM, libc::EACCES] {
            for (sysctl, filtered, word) in [
                (Some("2"), false, "sysctl kernel.io_uring_disabled=0"),
                (Some("2"), true, "sysctl kernel.io_uring_disabled=0"),
                (Some("1"), false, "kernel.io_uring_group"),
                (Some("0"), true, "seccomp"),
                (None, true, "seccomp"),
            ] {
                let obstacle = explained(errno, sysctl, filtered);
                assert!(obstacle.blocked && obstacle.what.contains("blocked"), "{obstacle}");
                assert!(obstacle.way_out.contains(word), "{word:?} is missing in {obstacle}");
            }
        }
        assert!(explained(libc::ENOSYS, None, false).way_out.contains("CONFIG_IO_URING"));
        assert!(explained(libc::EACCES, Some("0"), false).way_out.contains("security module"));
    }

    #[test]
    fn what_is_there_and_broken_is_not_called_blocked() {
        for (errno, word) in [(libc::EINVAL, "6.1"), (libc::ENOMEM, "ulimit -l"), (libc::EMFILE, "log")] {
            let obstacle = explained(errno, Some("0"), false);
            assert!(!obstacle.blocked && obstacle.way_out.contains(word), "{obstacle}");
        }
    }

    #[test]
    fn a_seccomp_filter_is_seen_in_the_status_of_the_process() {
        assert!(is_filtered("Name:\tseawall\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!is_filtered("Name:\tseawall\nSeccomp:\t0\nSeccomp_filters:\t0\n"));
    }
}
