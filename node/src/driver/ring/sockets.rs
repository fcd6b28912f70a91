//! Connections: one receive and one send under way at most, closed when nothing is.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;

use io_uring::{opcode, types};

use super::Ring;
use crate::driver::table::{Key, Operation, Part};
use crate::seam::{ConnId, Event, SocketError};

pub(super) struct Connection {
    stream: TcpStream,
    /// Operations that the kernel has.
    under_way: u8,
    closing: bool,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, under_way: 0, closing: false }
    }
}

impl Ring {
    pub(super) fn receive(&mut self, conn: ConnId, mut buf: Vec<u8>, from: usize) {
        let room = &mut buf[from..];
        assert!(!room.is_empty(), "a receive without room looks like the end of the stream");
        let (target, len) = (room.as_mut_ptr(), as_len(room.len()));
        let fd = self.occupy(conn);
        let key = self.table.insert(Operation::Receive { conn, buf, from });
        let entry = opcode::Recv::new(fd, target, len).build();
        // SAFETY: `target` and `len` are the end of the vector that the table owns until the completion was reaped;
        // a vector that moves does not move its bytes. The connection's socket stays open while `under_way` counts.
        unsafe { self.queue.push(entry.user_data(key.user_data(Part::Main))) };
    }

    pub(super) fn send(&mut self, conn: ConnId, buf: Vec<u8>, from: usize) {
        let bytes = &buf[from..];
        assert!(!bytes.is_empty(), "a send of nothing");
        let (source, len) = (bytes.as_ptr(), as_len(bytes.len()));
        let fd = self.occupy(conn);
        let key = self.table.insert(Operation::Send { conn, buf, from });
        let entry = opcode::Send::new(fd, source, len).flags(libc::MSG_NOSIGNAL).build();
        // SAFETY: as in `receive`; the kernel only reads.
        unsafe { self.queue.push(entry.user_data(key.user_data(Part::Main))) };
    }

    fn occupy(&mut self, conn: ConnId) -> types::Fd {
        let connection = self.connections.get_mut(conn);
        assert!(!connection.closing, "{conn:?} was closed");
        connection.under_way += 1;
        types::Fd(connection.stream.as_raw_fd())
    }

    pub(super) fn socket_completed(&mut self, key: Key, result: i32, events: &mut Vec<Event>) {
        let outcome = usize::try_from(result).map_err(|_| SocketError(-result));
        let conn = match self.table.remove(key) {
            Operation::Receive { conn, buf, from } => {
                debug_assert!(outcome.is_err() || from + outcome.unwrap_or(0) <= buf.len());
                events.push(Event::Received { conn, buf, result: outcome });
                conn
            }
            Operation::Send { conn, buf, from } => {
                debug_assert!(outcome.is_err() || from + outcome.unwrap_or(0) <= buf.len());
                events.push(Event::Sent { conn, buf, result: outcome });
                conn
            }
            other => unreachable!("{other:?} is no operation of a socket"),
        };
        let connection = self.connections.get_mut(conn);
        connection.under_way -= 1;
        if connection.closing && connection.under_way == 0 {
            self.closed(conn, events);
        }
    }

    /// `shutdown` ends what is under way; the last of its completions ends the connection.
    pub(super) fn close(&mut self, conn: ConnId) {
        let connection = self.connections.get_mut(conn);
        assert!(!connection.closing, "{conn:?} was closed already");
        connection.closing = true;
        // It fails when the peer is gone already, which is what it is for.
        let _gone_already = connection.stream.shutdown(Shutdown::Both);
        if connection.under_way == 0 {
            let mut ready = std::mem::take(&mut self.ready);
            self.closed(conn, &mut ready);
            ready.append(&mut self.ready);
            self.ready = ready;
        }
    }

    fn closed(&mut self, conn: ConnId, events: &mut Vec<Event>) {
        self.connections.remove(conn);
        events.push(Event::Closed { conn });
        if self.accepting.admission.has_room() {
            self.arm_accept();
        }
    }

    pub(super) fn close_all(&mut self) {
        let open = self.connections.iter().filter(|(_, connection)| !connection.closing);
        let open: Vec<ConnId> = open.map(|(conn, _)| conn).collect();
        open.into_iter().for_each(|conn| self.close(conn));
    }
}

/// The kernel counts in 32 bits; the rest of a larger buffer is a short transfer.
fn as_len(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
