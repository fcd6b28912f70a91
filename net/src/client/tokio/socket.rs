//! What the laws want, done with a socket of tokio.

use std::future::Future;
use std::io::{ErrorKind, Result};
use std::os::fd::AsFd;
use std::time::Instant;

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net::{TcpStream, lookup_host};
use ::tokio::time::{sleep_until, timeout_at};

use crate::client::Error;
use crate::client::laws::answer::Failure;
use crate::client::laws::ask::Request;
use crate::client::laws::call::{Call, Want};
use crate::client::laws::line::Line;

/// The time of the runtime, which tests may hold.
pub(super) fn now() -> Instant {
    ::tokio::time::Instant::now().into_std()
}

/// Does what a call wants until it wants nothing.
pub(super) async fn drive<R: Request>(
    mut call: Call<'_, TcpStream, R>,
) -> std::result::Result<R::End, Error> {
    loop {
        let deadline = call.until(now());
        match call.want() {
            Want::Probe(socket) => {
                let alive = is_alive(socket);
                call.probed(alive, now());
            }
            Want::Dial(address) => {
                let dialled = within(deadline, dial(address)).await;
                call.dialled(dialled, now());
            }
            Want::Exchange(line) => {
                let exchanged = exchange(line, deadline).await;
                call.exchanged(exchanged, now());
            }
            Want::Rest(until) => {
                sleep_until(until.into()).await;
                call.rested();
            }
            Want::End(end) => return end,
        }
    }
}

async fn exchange(line: &mut Line<TcpStream>, deadline: Instant) -> std::result::Result<bool, Failure> {
    send(line, deadline).await?;
    receive(line, deadline).await
}

/// Sends all that is in the line. Given up halfway, it has sent what is not in the line any more.
pub(super) async fn send(line: &mut Line<TcpStream>, deadline: Instant) -> std::result::Result<(), Failure> {
    while let Some((socket, bytes)) = line.unsent() {
        let sent = within(deadline, socket.write(bytes)).await;
        line.sent(sent)?;
    }
    Ok(())
}

/// Receives until there is a whole reply; false: it did not come in time. Given up halfway, it has received what is in
/// the line.
pub(super) async fn receive(
    line: &mut Line<TcpStream>,
    deadline: Instant,
) -> std::result::Result<bool, Failure> {
    while let Some((socket, room)) = line.room()? {
        let received = within(deadline, socket.read(room)).await;
        if !line.received(received)? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn dial(address: &str) -> Result<TcpStream> {
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
    for candidate in lookup_host(address).await? {
        match TcpStream::connect(candidate).await {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks the operating system itself: the runtime may not have heard yet that the node hung up.
fn is_alive(socket: &TcpStream) -> bool {
    let peek = || std::net::TcpStream::from(socket.as_fd().try_clone_to_owned()?).peek(&mut [0]);
    peek().is_err_and(|error: std::io::Error| error.kind() == ErrorKind::WouldBlock)
}

async fn within<T>(deadline: Instant, io: impl Future<Output = Result<T>>) -> Result<T> {
    timeout_at(deadline.into(), io).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}
