//! Receiving, in one of two ways that nobody above can tell apart.
//!
//! *One-shot*: each receive is an operation of its own into the connection's buffer. *Multishot*: one operation stays in
//! the kernel and fills provided buffers as bytes arrive, without being asked each time; they are copied to where the
//! core wants them. What arrives unasked is held. A connection that holds much is not read from until it was emptied,
//! and one for which no buffer was left receives once into its own.

use std::collections::VecDeque;

use io_uring::{cqueue, opcode, types};

use super::Ring;
use super::provided::{GROUP, Piece, Provided};
use crate::driver::table::{Key, Operation, Part};
use crate::params::RECEIVE_HELD;
use crate::seam::{ConnId, Event, SocketError};

/// What a connection receives by a multishot.
#[derive(Default)]
pub(super) struct Receiving {
    /// Where the core wants bytes: behind `from` of this buffer.
    asked: Option<(Vec<u8>, usize)>,
    armed: Option<Key>,
    /// It holds too much, so what is armed is on its way out.
    cancelled: bool,
    held: VecDeque<Piece>,
    /// What comes behind the held bytes, again and again.
    end: Option<Result<usize, SocketError>>,
}

impl Receiving {
    /// Takes from what is held as much as there is room for; or else the end, if it has come.
    fn answer(&mut self, conn: ConnId, provided: &mut Provided) -> Option<Event> {
        if self.held.is_empty() && self.end.is_none() {
            return None;
        }
        let (mut buf, from) = self.asked.take()?;
        let mut room = &mut buf[from..];
        let mut moved = 0;
        while let Some(piece) = self.held.front_mut()
            && !room.is_empty()
        {
            let len = room.len().min(piece.to - piece.from);
            let (target, rest) = room.split_at_mut(len);
            target.copy_from_slice(provided.bytes(Piece { to: piece.from + len, ..*piece }));
            room = rest;
            moved += len;
            piece.from += len;
            if piece.from == piece.to {
                provided.give_back(piece.buffer);
                self.held.pop_front();
            }
        }
        let result = match self.end {
            Some(end) if moved == 0 => end,
            _ => Ok(moved),
        };
        Some(Event::Received { conn, buf, result })
    }

    /// The connection is gone.
    pub fn let_go(self, provided: &mut Provided) {
        self.held.into_iter().for_each(|piece| provided.give_back(piece.buffer));
    }
}

impl Ring {
    pub(super) fn receive(&mut self, conn: ConnId, buf: Vec<u8>, from: usize) {
        assert!(from < buf.len(), "a receive without room looks like the end of the stream");
        let connection = self.connections.get_mut(conn);
        if self.provided.is_none() || connection.receives_once() {
            return self.receive_once(conn, buf, from);
        }
        assert!(!connection.closing, "{conn:?} was closed");
        let before = connection.receiving.asked.replace((buf, from));
        assert!(before.is_none(), "{conn:?} receives already");
        let mut ready = std::mem::take(&mut self.ready);
        self.go_on_receiving(conn, &mut ready);
        self.ready = ready;
    }

    fn receive_once(&mut self, conn: ConnId, mut buf: Vec<u8>, from: usize) {
        let room = &mut buf[from..];
        let (target, len) = (room.as_mut_ptr(), super::sockets::as_len(room.len()));
        let fd = self.occupy(conn);
        let key = self.table.insert(Operation::Receive { conn, buf, from });
        let entry = opcode::Recv::new(fd, target, len).build();
        // SAFETY: `target` and `len` are the end of the vector that the table owns until the completion was reaped;
        // a vector that moves does not move its bytes. The connection's socket stays open while `under_way` counts.
        unsafe { self.queue.push(entry.user_data(key.user_data(Part::Main))) };
    }

    fn arm_receive(&mut self, conn: ConnId) {
        let fd: types::Fd = self.occupy(conn);
        let key = self.table.insert(Operation::ReceiveMany { conn });
        self.connections.get_mut(conn).receiving.armed = Some(key);
        let entry = opcode::RecvMulti::new(fd, GROUP).build();
        // SAFETY: it names no memory but the provided buffers, which live as long as the ring. The connection's socket
        // stays open while `under_way` counts.
        unsafe { self.queue.push(entry.user_data(key.user_data(Part::Main))) };
    }

    /// Hands over what is here, or sees to it that something comes.
    fn go_on_receiving(&mut self, conn: ConnId, events: &mut Vec<Event>) {
        let provided = self.provided.as_mut().expect("multishot has its buffers");
        let connection = self.connections.get_mut(conn);
        let receiving = &mut connection.receiving;
        events.extend(receiving.answer(conn, provided));
        match receiving.armed {
            None if receiving.asked.is_some() => self.arm_receive(conn),
            Some(key) if receiving.held.len() >= RECEIVE_HELD && !receiving.cancelled => {
                receiving.cancelled = true;
                self.queue.cancel(key.user_data(Part::Main));
            }
            _ => {}
        }
    }

    pub(super) fn received_many(&mut self, key: Key, result: i32, flags: u32, events: &mut Vec<Event>) {
        let Operation::ReceiveMany { conn } = *self.table.get_mut(key) else { unreachable!("looked at") };
        let connection = self.connections.get_mut(conn);
        let receiving = &mut connection.receiving;
        match (result, cqueue::buffer_select(flags)) {
            (1.., Some(buffer)) => {
                receiving.held.push_back(Piece { buffer, from: 0, to: result as usize });
            }
            (0.., _) => receiving.end = Some(Ok(0)),
            (errno, _) if -errno == libc::ENOBUFS => {}
            (errno, _) if -errno == libc::ECANCELED && receiving.cancelled => {}
            (errno, _) => receiving.end = Some(Err(SocketError(-errno))),
        }
        let no_buffer = result == -libc::ENOBUFS;
        if !cqueue::more(flags) {
            self.table.remove(key);
            (receiving.armed, receiving.cancelled) = (None, false);
            connection.under_way -= 1;
            if connection.closing {
                receiving.end.get_or_insert(Err(SocketError(libc::ECANCELED)));
            } else if no_buffer
                && receiving.held.is_empty()
                && let Some((buf, from)) = receiving.asked.take()
            {
                return self.receive_once(conn, buf, from);
            }
        }
        self.go_on_receiving(conn, events);
        self.ended(conn, events);
    }
}
