//! Where connections come from: a listener that is watched but for the pauses of [`Admission`].

use std::net::TcpListener;
use std::os::fd::AsRawFd;

use super::Syscall;
use super::poll::Source;
use crate::driver::admission::Admission;

#[derive(Default)]
pub(super) struct Accepting {
    listener: Option<TcpListener>,
    watched: bool,
    pub admission: Admission,
}

/// A crowd at the door does not keep the connections that are in from their turn.
const AT_ONCE: usize = 64;

impl Syscall {
    pub fn listen(&mut self, listener: TcpListener) {
        assert!(self.accepting.listener.is_none(), "a worker listens on one socket");
        listener.set_nonblocking(true).expect("a socket can be told not to block");
        self.accepting.listener = Some(listener);
        self.watch_listener();
    }

    /// Watches the listener exactly while connections are accepted.
    pub(super) fn watch_listener(&mut self) {
        let Accepting { listener: Some(listener), watched, admission } = &mut self.accepting else { return };
        if *watched == admission.paused() {
            let fd = listener.as_raw_fd();
            let changed =
                if *watched { self.poller.forget(fd) } else { self.poller.watch(fd, Source::Listener) };
            match changed {
                Ok(()) => *watched = !*watched,
                // Tried again with the next tick.
                Err(e) => admission.failed(e.raw_os_error().unwrap_or(libc::EIO), self.ticks),
            }
        }
    }

    pub(super) fn accept(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(listener) = &self.accepting.listener else { return };
            let connected = listener.accept().and_then(|(stream, _)| self.connected(stream));
            if let Err(e) = connected {
                self.accepting.admission.failed(e.raw_os_error().unwrap_or(libc::EIO), self.ticks);
                break;
            }
            if self.connections.full() {
                self.accepting.admission.full(self.connections.limit(), self.ticks);
                break;
            }
        }
        self.watch_listener();
    }

    pub(super) fn stop_accepting(&mut self) {
        self.accepting.listener = None;
    }
}
