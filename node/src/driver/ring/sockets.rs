//! Connections: one receive and one send under way at most, closed when nothing is. `receive.rs` has the receiving.
//!
//! A send that ends at once, as nearly all do, would end the sleep that follows it for no other news. So while a log
//! write is under way, whose end is news in any case, sends are *silent*: they never wait, and the kernel reports only
//! those that could not send everything at once. When it has taken them, no report is success.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;

use io_uring::{opcode, squeue, types};

use super::Ring;
use super::receive::Receiving;
use crate::driver::table::{Key, Operation, Part};
use crate::seam::{ConnId, Event, SocketError};

pub(super) struct Connection {
    stream: TcpStream,
    /// Operations that the kernel has.
    pub under_way: u8,
    pub closing: bool,
    pub receiving: Receiving,
    /// To another member: few, and what comes over them is large, so each receive goes straight into its own buffer.
    to_member: bool,
}

impl Connection {
    pub fn of_a_client(stream: TcpStream) -> Self {
        Self { stream, under_way: 0, closing: false, receiving: Receiving::default(), to_member: false }
    }

    pub fn to_a_member(stream: TcpStream) -> Self {
        Self { to_member: true, ..Self::of_a_client(stream) }
    }

    pub fn receives_once(&self) -> bool {
        self.to_member
    }
}

/// Silent sends of which nothing was heard.
#[derive(Default)]
pub(super) struct Silent {
    pushed: Vec<Key>,
    /// The kernel has taken them: they failed or succeeded.
    taken: Vec<Key>,
}

impl Silent {
    /// Everything that was pushed was taken, and its completions can be seen.
    pub fn settle(&mut self) {
        self.taken.append(&mut self.pushed);
    }

    fn spoke(&mut self, key: Key) {
        self.taken.retain(|silent| *silent != key);
        self.pushed.retain(|silent| *silent != key);
    }
}

impl Ring {
    pub(super) fn send(&mut self, conn: ConnId, buf: Vec<u8>, from: usize) {
        self.push_send(conn, buf, from, self.writes > 0);
    }

    fn push_send(&mut self, conn: ConnId, buf: Vec<u8>, from: usize, silent: bool) {
        let bytes = &buf[from..];
        assert!(!bytes.is_empty(), "a send of nothing");
        let (source, len) = (bytes.as_ptr(), as_len(bytes.len()));
        let fd = self.occupy(conn);
        let key = self.table.insert(Operation::Send { conn, buf, from, silent });
        let entry = opcode::Send::new(fd, source, len);
        let entry = if silent {
            self.silent.pushed.push(key);
            // DONTWAIT: taken means done. WAITALL: less than everything is a failure, and failures are reported.
            let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_WAITALL;
            entry.flags(flags).build().flags(squeue::Flags::SKIP_SUCCESS)
        } else {
            entry.flags(libc::MSG_NOSIGNAL).build()
        };
        // SAFETY: `source` and `len` are the end of the vector that the table owns until the completion was reaped, or
        // until none comes any more; the kernel only reads. The connection's socket stays open while `under_way` counts.
        unsafe { self.queue.push(entry.user_data(key.user_data(Part::Main))) };
    }

    pub(super) fn occupy(&mut self, conn: ConnId) -> types::Fd {
        let connection = self.connections.get_mut(conn);
        assert!(!connection.closing, "{conn:?} was closed");
        connection.under_way += 1;
        types::Fd(connection.stream.as_raw_fd())
    }

    pub(super) fn received_once(&mut self, key: Key, result: i32, events: &mut Vec<Event>) {
        let Operation::Receive { conn, buf, from } = self.table.remove(key) else {
            unreachable!("it was looked at")
        };
        let result = outcome(result);
        debug_assert!(from + result.unwrap_or(0) <= buf.len());
        events.push(Event::Received { conn, buf, result });
        self.connections.get_mut(conn).under_way -= 1;
        self.ended(conn, events);
    }

    pub(super) fn sent(&mut self, key: Key, result: i32, events: &mut Vec<Event>) {
        let Operation::Send { conn, buf, from, silent } = self.table.remove(key) else {
            unreachable!("it was looked at")
        };
        if silent {
            self.silent.spoke(key);
        }
        let connection = self.connections.get_mut(conn);
        connection.under_way -= 1;
        if silent && result == -libc::EAGAIN && !connection.closing {
            return self.push_send(conn, buf, from, false); // the peer is slow: this one waits
        }
        let result = outcome(result);
        debug_assert!(from + result.unwrap_or(0) <= buf.len());
        events.push(Event::Sent { conn, buf, result });
        self.ended(conn, events);
    }

    /// Of these sends nothing was heard and nothing will be: they sent everything.
    pub(super) fn silence_is_success(&mut self, events: &mut Vec<Event>) {
        let mut taken = std::mem::take(&mut self.silent.taken);
        for key in taken.drain(..) {
            let Operation::Send { conn, buf, from, .. } = self.table.remove(key) else {
                unreachable!("only sends are silent")
            };
            let result = Ok(buf.len() - from);
            events.push(Event::Sent { conn, buf, result });
            self.connections.get_mut(conn).under_way -= 1;
            self.ended(conn, events);
        }
        self.silent.taken = taken;
    }

    /// One of its operations ended; the last one of a connection that is being closed ends the connection.
    pub(super) fn ended(&mut self, conn: ConnId, events: &mut Vec<Event>) {
        let connection = self.connections.get_mut(conn);
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
        let connection = self.connections.remove(conn);
        if let Some(provided) = &mut self.provided {
            connection.receiving.let_go(provided);
        }
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

fn outcome(result: i32) -> Result<usize, SocketError> {
    usize::try_from(result).map_err(|_| SocketError(-result))
}

/// The kernel counts in 32 bits; the rest of a larger buffer is a short transfer.
pub(super) fn as_len(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
