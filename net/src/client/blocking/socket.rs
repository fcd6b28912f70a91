//! What the laws want, done with a socket of the standard library.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::client::Error;
use crate::client::laws::answer::Failure;
use crate::client::laws::ask::Request;
use crate::client::laws::call::{Call, Want};
use crate::client::laws::line::Line;

/// Does what a call wants until it wants nothing.
pub(super) fn drive<R: Request>(mut call: Call<'_, TcpStream, R>) -> std::result::Result<R::End, Error> {
    loop {
        let deadline = call.until(Instant::now());
        match call.want() {
            Want::Probe(socket) => {
                let alive = is_alive(socket);
                call.probed(alive, Instant::now());
            }
            Want::Dial(address) => {
                let dialled = dial(address, deadline);
                call.dialled(dialled, Instant::now());
            }
            Want::Exchange(line) => {
                let exchanged = send(line, deadline).and_then(|()| receive(line, deadline));
                call.exchanged(exchanged, Instant::now());
            }
            Want::Rest(until) => {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
                call.rested();
            }
            Want::End(end) => return end,
        }
    }
}

/// Sends all that is in the line.
pub(super) fn send(line: &mut Line<TcpStream>, deadline: Instant) -> std::result::Result<(), Failure> {
    while let Some((socket, bytes)) = line.unsent() {
        let sent = write(socket, bytes, deadline);
        line.sent(sent)?;
    }
    Ok(())
}

/// Receives until there is a whole reply; false: it did not come in time.
pub(super) fn receive(line: &mut Line<TcpStream>, deadline: Instant) -> std::result::Result<bool, Failure> {
    while let Some((socket, room)) = line.room()? {
        let received = read(socket, room, deadline);
        if !line.received(received)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn dial(address: &str, deadline: Instant) -> Result<TcpStream> {
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, left(deadline)?) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn is_alive(socket: &TcpStream) -> bool {
    let peek = || {
        socket.set_nonblocking(true)?;
        let peeked = socket.peek(&mut [0]);
        socket.set_nonblocking(false)?;
        peeked
    };
    peek().is_err_and(|error: std::io::Error| error.kind() == ErrorKind::WouldBlock)
}

fn write(socket: &mut TcpStream, bytes: &[u8], deadline: Instant) -> Result<usize> {
    socket.set_write_timeout(Some(left(deadline)?))?;
    socket.write(bytes)
}

fn read(socket: &mut TcpStream, room: &mut [u8], deadline: Instant) -> Result<usize> {
    socket.set_read_timeout(Some(left(deadline)?))?;
    socket.read(room)
}

/// The time that is left; none is an error, for the operating system takes zero for "for ever".
fn left(deadline: Instant) -> Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}
