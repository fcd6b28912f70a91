//! When connections are accepted, and when not. Accepting pauses, loudly, when a worker has all the connections that
//! it may have, and until the next tick when the process has no descriptors left.

use crate::driver::console;

/// A full node does not fill its log as well: a pause is shown at most once in so many ticks.
const QUIET_TICKS: u64 = 100;

#[derive(Default)]
pub(super) struct Admission {
    pause: Option<Pause>,
    /// When a pause was last shown, in ticks.
    said_at: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pause {
    Full,
    Trouble,
}

impl Admission {
    pub fn paused(&self) -> bool {
        self.pause.is_some()
    }

    /// The last place was given away.
    pub fn full(&mut self, limit: u32, ticks: u64) {
        self.pause(Pause::Full, &format!("this worker has all {limit} connections that it may have"), ticks);
    }

    /// An accept failed.
    pub fn failed(&mut self, errno: i32, ticks: u64) {
        match errno {
            // The client went away before it was its turn.
            libc::ECONNABORTED | libc::EPROTO | libc::EINTR | libc::EAGAIN => {}
            // EMFILE, ENFILE, ENOMEM and the like do not go away by asking again at once.
            _ => self.pause(Pause::Trouble, &std::io::Error::from_raw_os_error(errno).to_string(), ticks),
        }
    }

    fn pause(&mut self, pause: Pause, why: &str, ticks: u64) {
        self.pause = Some(pause);
        if self.said_at.is_none_or(|at| ticks >= at + QUIET_TICKS) {
            console::complain(format_args!(
                "accepting connections is paused: {why}; waiting clients stay in the kernel's queue"
            ));
            self.said_at = Some(ticks);
        }
    }

    /// A place became free. `true` when that ends a pause.
    pub fn has_room(&mut self) -> bool {
        self.end(Pause::Full)
    }

    /// Time passed. `true` when that ends a pause.
    pub fn ticked(&mut self) -> bool {
        self.end(Pause::Trouble)
    }

    fn end(&mut self, pause: Pause) -> bool {
        let ends = self.pause == Some(pause);
        if ends {
            self.pause = None;
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_ends_by_what_it_waits_for() {
        let mut admission = Admission::default();
        admission.full(2, 0);
        assert!(!admission.ticked() && admission.paused());
        assert!(admission.has_room() && !admission.paused());
        admission.failed(libc::EMFILE, 1);
        assert!(!admission.has_room() && admission.paused());
        assert!(admission.ticked() && !admission.paused());
        admission.failed(libc::ECONNABORTED, 2);
        assert!(!admission.paused(), "a client that left is no trouble");
    }
}
