//! epoll, edge-triggered but for the listener: what woke the worker.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::seam::ConnId;

/// Whom an event of the kernel is for. It travels through the kernel as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Bell,
    Lanes,
    Listener,
    Connection(ConnId),
}

/// No connection has a slot this high.
const NO_SLOT: u32 = u32::MAX;

impl Source {
    fn number(self) -> u64 {
        let (high, low) = match self {
            Source::Bell => (0, NO_SLOT),
            Source::Lanes => (1, NO_SLOT),
            Source::Listener => (2, NO_SLOT),
            Source::Connection(ConnId { slot, serial }) => {
                assert_ne!(slot, NO_SLOT, "connections are bounded");
                (serial, slot)
            }
        };
        u64::from(high) << 32 | u64::from(low)
    }

    fn parse(number: u64) -> Self {
        match ((number >> 32) as u32, number as u32) {
            (0, NO_SLOT) => Source::Bell,
            (1, NO_SLOT) => Source::Lanes,
            (2, NO_SLOT) => Source::Listener,
            (other, NO_SLOT) => panic!("the kernel reported on source {other}; there is none"),
            (serial, slot) => Source::Connection(ConnId { slot, serial }),
        }
    }

    fn interest(self) -> i32 {
        match self {
            Source::Bell | Source::Lanes => libc::EPOLLIN | libc::EPOLLET,
            // Level-triggered: clients that were left in the queue are told of again.
            Source::Listener => libc::EPOLLIN,
            Source::Connection(_) => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET,
        }
    }
}

/// What a socket became ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Readiness {
    pub read: bool,
    pub write: bool,
    /// The peer sends nothing more, or the connection broke: there is always an end to read from now on.
    pub ended: bool,
}

impl Readiness {
    fn of(events: u32) -> Self {
        let any = |flags: i32| events & flags as u32 != 0;
        let broken = libc::EPOLLHUP | libc::EPOLLERR;
        Self {
            read: any(libc::EPOLLIN | libc::EPOLLRDHUP | broken),
            write: any(libc::EPOLLOUT | broken),
            ended: any(libc::EPOLLRDHUP | broken),
        }
    }
}

pub(super) struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// What one look tells of at most; the next look tells the rest.
const EVENTS: usize = 256;

impl Poller {
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and belongs to nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS] })
    }

    /// A file that is closed is not watched any more.
    pub fn watch(&self, fd: RawFd, source: Source) -> io::Result<()> {
        let mut event = libc::epoll_event { events: source.interest() as u32, u64: source.number() };
        self.control(libc::EPOLL_CTL_ADD, fd, &mut event)
    }

    pub fn forget(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, &mut libc::epoll_event { events: 0, u64: 0 })
    }

    fn control(&self, what: i32, fd: RawFd, event: &mut libc::epoll_event) -> io::Result<()> {
        // SAFETY: `event` is valid for reads; the kernel copies it.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), what, fd, event) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Sleeps until something happens or `timeout` is over, `None` being never. Says how much happened.
    pub fn wait(&mut self, timeout: Option<Duration>) -> usize {
        // Rounded up: a sleep that ends before its time is followed by one of no time at all, again and again.
        let timeout = timeout.map_or(-1, |timeout| timeout.as_micros().div_ceil(1000).min(60_000) as i32);
        let (epoll, events) = (self.epoll.as_raw_fd(), &mut self.events);
        // SAFETY: the pointer and the count are those of `events`, which the kernel fills.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), EVENTS as i32, timeout) };
        usize::try_from(count).unwrap_or_else(|_| {
            let e = io::Error::last_os_error();
            assert_eq!(e.kind(), io::ErrorKind::Interrupted, "epoll_wait failed: {e}");
            0
        })
    }

    /// The `at`th of what the last wait found.
    pub fn happened(&self, at: usize) -> (Source, Readiness) {
        let event = self.events[at];
        (Source::parse(event.u64), Readiness::of(event.events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_travel() {
        let first = ConnId { slot: 0, serial: 0 };
        let last = ConnId { slot: NO_SLOT - 1, serial: u32::MAX };
        let connections = [first, last].map(Source::Connection);
        for source in [Source::Bell, Source::Lanes, Source::Listener].into_iter().chain(connections) {
            assert_eq!(Source::parse(source.number()), source);
        }
    }

    #[test]
    fn a_broken_connection_is_ready_for_everything() {
        let broken = Readiness { read: true, write: true, ended: true };
        assert_eq!(Readiness::of(libc::EPOLLERR as u32), broken);
        assert_eq!(Readiness::of(libc::EPOLLHUP as u32), broken);
        let said_all = Readiness { read: true, write: false, ended: true };
        assert_eq!(Readiness::of(libc::EPOLLRDHUP as u32), said_all);
        assert_eq!(Readiness::of(libc::EPOLLIN as u32), Readiness { ended: false, ..said_all });
    }
}
