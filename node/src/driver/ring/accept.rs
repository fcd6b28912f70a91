//! Where connections come from: one multishot accept that stays in the ring but for the pauses of [`Admission`].

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::{opcode, types};

use super::Ring;
use super::sockets::Connection;
use crate::driver::admission::Admission;
use crate::driver::table::{Key, Operation, Part};
use crate::seam::{ConnId, Event};

#[derive(Default)]
pub(super) struct Accepting {
    listener: Option<TcpListener>,
    armed: Option<Key>,
    pub admission: Admission,
    /// Old kernels refuse multishot accepts; then each connection costs one more submission.
    one_shot: bool,
}

impl Ring {
    /// Connections are accepted from now on.
    pub fn listen(&mut self, listener: TcpListener) {
        assert!(self.accepting.listener.is_none(), "a worker listens on one socket");
        self.accepting.listener = Some(listener);
        self.arm_accept();
    }

    pub(super) fn arm_accept(&mut self) {
        let Some(listener) = &self.accepting.listener else { return };
        if self.draining || self.accepting.armed.is_some() || self.accepting.admission.paused() {
            return;
        }
        let fd = types::Fd(listener.as_raw_fd());
        let multishot = !self.accepting.one_shot;
        let entry = if multishot {
            opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC).build()
        } else {
            let (address, len) = (std::ptr::null_mut(), std::ptr::null_mut());
            opcode::Accept::new(fd, address, len).flags(libc::SOCK_CLOEXEC).build()
        };
        let key = self.table.insert(Operation::Accept { multishot });
        self.accepting.armed = Some(key);
        // SAFETY: no address is asked for, so the entry names no memory; the listener stays open with the ring.
        unsafe { self.queue.push(entry.user_data(key.user_data(Part::Main))) };
    }

    pub(super) fn accept_completed(&mut self, key: Key, result: i32, more: bool, events: &mut Vec<Event>) {
        let mut multishot = true;
        if !more {
            self.accepting.armed = None;
            let Operation::Accept { multishot: was } = self.table.remove(key) else {
                unreachable!("looked at")
            };
            multishot = was;
        }
        if result >= 0 {
            // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
            let fd = unsafe { OwnedFd::from_raw_fd(result) };
            self.accepted(fd, events);
        } else {
            self.accept_failed(-result, multishot);
        }
        self.arm_accept();
    }

    fn accepted(&mut self, fd: OwnedFd, events: &mut Vec<Event>) {
        if self.draining || self.connections.full() {
            return; // the accept that is being cancelled brought one more; it is closed here
        }
        let stream = TcpStream::from(fd);
        // A socket that refuses it is about to end; its first receive will say so.
        let _ends_soon = stream.set_nodelay(true);
        let conn = self.connections.insert(Connection::of_a_client(stream));
        events.push(Event::Accepted { conn });
        if self.connections.full() {
            self.accepting.admission.full(self.connections.limit(), self.ticks);
            self.cancel_accept();
        }
    }

    /// A connection to another member, which somebody else made.
    pub fn adopt(&mut self, stream: TcpStream) -> ConnId {
        // A socket that refuses it is about to end; its first receive will say so.
        let _ends_soon = stream.set_nodelay(true);
        self.connections.insert(Connection::to_a_member(stream))
    }

    fn accept_failed(&mut self, errno: i32, multishot: bool) {
        match errno {
            libc::ECANCELED => {}
            libc::EINVAL if multishot && !self.accepting.one_shot => self.accepting.one_shot = true,
            _ if self.draining => {}
            _ => self.accepting.admission.failed(errno, self.ticks),
        }
    }

    fn cancel_accept(&mut self) {
        if let Some(key) = self.accepting.armed {
            self.queue.cancel(key.user_data(Part::Main));
        }
    }

    pub(super) fn stop_accepting(&mut self) {
        self.cancel_accept();
    }
}
