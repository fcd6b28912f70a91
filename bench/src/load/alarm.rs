//! Wakes the thread when a request is due.
//!
//! epoll's own timeout knows only milliseconds, in which a busy open loop has many requests; a timer of the kernel
//! knows nanoseconds, and waiting for it burns no CPU that the node may need.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::window::{Nanos, nanos};

#[derive(Debug)]
pub struct Alarm {
    timer: OwnedFd,
    /// When which connection has something to send, the earliest first.
    due: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// Whether a connection is among them: it never is twice.
    set: Vec<bool>,
    /// What the timer is set to.
    armed: Option<Nanos>,
}

impl Alarm {
    pub fn new(connections: usize, registry: &Registry, token: Token) -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Alarm { timer, due: BinaryHeap::new(), set: vec![false; connections], armed: None })
    }

    /// A connection wants to be turned then; what it wanted before holds as long as it is not past.
    pub fn set(&mut self, connection: usize, due: Nanos) {
        if !std::mem::replace(&mut self.set[connection], true) {
            self.due.push(Reverse((due, connection)));
        }
    }

    /// The next connection whose time has come.
    pub fn rings(&mut self, now: Nanos) -> Option<usize> {
        let Reverse((due, connection)) = *self.due.peek()?;
        if due > now {
            return None;
        }
        self.due.pop();
        self.set[connection] = false;
        Some(connection)
    }

    /// Sets the timer for whoever is next. A time that has passed meanwhile rings at once.
    pub fn arm(&mut self, begin: Instant) -> io::Result<()> {
        let next = self.due.peek().map(|Reverse((due, _))| *due);
        if let Some(due) = next.filter(|_| next != self.armed) {
            // Zero would switch the timer off.
            let wait = due.saturating_sub(nanos(begin.elapsed())).max(1);
            let it_value =
                Timespec { tv_sec: (wait / 1_000_000_000) as i64, tv_nsec: (wait % 1_000_000_000) as _ };
            let once = Itimerspec { it_interval: Timespec::default(), it_value };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
            self.armed = next;
        }
        Ok(())
    }
}
