//! Before the load: a socket and HELLO, blocking, one after the other.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use seawall::message::{HelloReply, HelloRequest};
use seawall::reply::Body;
use seawall::session::{Answer, ClientSession};

use super::Unreachable;

const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that said HELLO; its socket does not block any more.
#[derive(Debug)]
pub struct Connected {
    pub socket: TcpStream,
    pub session: ClientSession,
    pub node: HelloReply,
}

pub fn connect(address: &str) -> Result<Connected, Unreachable> {
    dial(address).and_then(hello).map_err(|error| Unreachable(format!("no connection to {address}: {error}")))
}

fn dial(address: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn hello(mut socket: TcpStream) -> std::io::Result<Connected> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let (mut session, mut out) = (ClientSession::new(), Vec::new());
    session.hello(&mut out, &HelloRequest::new("seawall-bench", ""), 0);
    socket.write_all(&out)?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = socket.read(&mut chunk)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&chunk[..read]);
        let node = match session.next(&bytes) {
            Ok(Answer::Need(_)) => continue,
            Ok(Answer::Reply(reply, _)) => match reply.body {
                Body::Hello(node) => node,
                Body::Refused(why) => return Err(std::io::Error::other(format!("HELLO was refused: {why}"))),
                _ => {
                    return Err(std::io::Error::other("HELLO was answered by something else"));
                }
            },
            Err(why) => return Err(std::io::Error::other(why.to_string())),
        };
        socket.set_nonblocking(true)?;
        return Ok(Connected { socket, session, node });
    }
}
