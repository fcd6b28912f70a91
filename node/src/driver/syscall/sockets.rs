//! Connections: an operation is tried when its socket may be ready for it, and waits for the kernel's word otherwise.
//! The kernel speaks only when readiness *begins* (EPOLLET), so what it said is remembered until a call proves it over.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;

use super::Syscall;
use super::poll::{Readiness, Source};
use crate::seam::{ConnId, Event, SocketError};

pub(super) struct Connection {
    stream: TcpStream,
    receive: Option<Transfer>,
    send: Option<Transfer>,
    may_read: bool,
    may_write: bool,
    /// See [`Readiness::ended`].
    ended: bool,
}

/// `buf[from..]` is to be filled, or sent.
struct Transfer {
    buf: Vec<u8>,
    from: usize,
}

impl Connection {
    pub fn under_way(&self) -> usize {
        usize::from(self.receive.is_some()) + usize::from(self.send.is_some())
    }

    /// Tries what is asked for. `Err` gives the transfer back: it has to wait.
    fn try_receive(&mut self, mut transfer: Transfer) -> Result<Ended, Transfer> {
        let room = &mut transfer.buf[transfer.from..];
        let asked = room.len();
        match (&self.stream).read(room) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.may_read = false;
                Err(transfer)
            }
            result => {
                // Less than there was room for is all there was. The end is nothing more to be told of.
                if matches!(result, Ok(moved) if moved < asked) {
                    self.may_read = self.ended;
                }
                Ok((transfer.buf, outcome(result)))
            }
        }
    }

    fn try_send(&mut self, transfer: Transfer) -> Result<Ended, Transfer> {
        match (&self.stream).write(&transfer.buf[transfer.from..]) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.may_write = false;
                Err(transfer)
            }
            result => Ok((transfer.buf, outcome(result))),
        }
    }
}

type Ended = (Vec<u8>, Result<usize, SocketError>);

fn outcome(result: io::Result<usize>) -> Result<usize, SocketError> {
    result.map_err(|e| SocketError(e.raw_os_error().unwrap_or(libc::EIO)))
}

impl Syscall {
    pub(super) fn connected(&mut self, stream: TcpStream) -> io::Result<()> {
        let conn = self.adopt(stream)?;
        self.ready.push(Event::Accepted { conn });
        Ok(())
    }

    /// A connection that somebody else made.
    pub fn adopt(&mut self, stream: TcpStream) -> io::Result<ConnId> {
        stream.set_nonblocking(true)?;
        // A socket that refuses it is about to end; its first receive will say so.
        let _ends_soon = stream.set_nodelay(true);
        let fd = stream.as_raw_fd();
        let (may_read, may_write, ended) = (false, true, false);
        let connection = Connection { stream, receive: None, send: None, may_read, may_write, ended };
        let conn = self.connections.insert(connection);
        if let Err(e) = self.poller.watch(fd, Source::Connection(conn)) {
            self.connections.remove(conn);
            return Err(e);
        }
        Ok(conn)
    }

    pub(super) fn receive(&mut self, conn: ConnId, buf: Vec<u8>, from: usize) {
        assert!(from < buf.len(), "a receive without room looks like the end of the stream");
        let before = self.connections.get_mut(conn).receive.replace(Transfer { buf, from });
        assert!(before.is_none(), "{conn:?} receives already");
        self.due.push(conn);
    }

    pub(super) fn send(&mut self, conn: ConnId, buf: Vec<u8>, from: usize) {
        assert!(from < buf.len(), "a send of nothing");
        let before = self.connections.get_mut(conn).send.replace(Transfer { buf, from });
        assert!(before.is_none(), "{conn:?} sends already");
        self.due.push(conn);
    }

    /// The kernel may still tell of a connection that was closed a moment ago.
    pub(super) fn became_ready(&mut self, conn: ConnId, readiness: Readiness) {
        let Some(connection) = self.connections.find(conn) else { return };
        connection.may_read |= readiness.read;
        connection.may_write |= readiness.write;
        connection.ended |= readiness.ended;
        self.due.push(conn);
    }

    /// Tries every operation that may be able to go on.
    pub(super) fn try_due(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        for conn in due.drain(..) {
            let Some(connection) = self.connections.find(conn) else { continue };
            if connection.may_read
                && let Some(transfer) = connection.receive.take()
            {
                match connection.try_receive(transfer) {
                    Ok((buf, result)) => self.ready.push(Event::Received { conn, buf, result }),
                    Err(waits) => connection.receive = Some(waits),
                }
            }
            if connection.may_write
                && let Some(transfer) = connection.send.take()
            {
                match connection.try_send(transfer) {
                    Ok((buf, result)) => self.ready.push(Event::Sent { conn, buf, result }),
                    Err(waits) => connection.send = Some(waits),
                }
            }
        }
        self.due = due;
    }

    /// What waits is cancelled, and the connection ends with it. Closing the socket ends its watching too.
    pub(super) fn close(&mut self, conn: ConnId) {
        let Connection { stream, receive, send, .. } = self.connections.remove(conn);
        // It fails when the peer is gone already, which is what it is for.
        let _gone_already = stream.shutdown(Shutdown::Both);
        let cancelled = Err(SocketError(libc::ECANCELED));
        if let Some(Transfer { buf, .. }) = receive {
            self.ready.push(Event::Received { conn, buf, result: cancelled });
        }
        if let Some(Transfer { buf, .. }) = send {
            self.ready.push(Event::Sent { conn, buf, result: cancelled });
        }
        self.ready.push(Event::Closed { conn });
        if self.accepting.admission.has_room() {
            self.watch_listener();
        }
    }

    pub(super) fn close_all(&mut self) {
        let open: Vec<ConnId> = self.connections.iter().map(|(conn, _)| conn).collect();
        open.into_iter().for_each(|conn| self.close(conn));
    }
}
