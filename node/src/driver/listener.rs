//! One port for all workers: a listening socket each, the kernel spreads connections over them.

use std::net::{SocketAddr, TcpListener};
use std::{io, thread, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};

use crate::params::{BACKLOG, START_PATIENCE_MS};

/// `count` listeners on one address. With port 0 the kernel picks one, the same for all.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        patiently(address, || refuse_a_shared_port(address))?;
    }
    let first = listen(address)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(listen(address)?);
    }
    Ok(listeners)
}

/// Tries again while the address is in use: the port of a killed process stays held for a moment.
pub fn patiently<T>(address: SocketAddr, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const PAUSE_MS: u64 = 50;
    for _ in 0..START_PATIENCE_MS / PAUSE_MS {
        match attempt() {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => thread::sleep(Duration::from_millis(PAUSE_MS)),
            other => return other,
        }
    }
    attempt().map_err(|e| io::Error::new(e.kind(), format!("{address}: {e}")))
}

/// SO_REUSEPORT would let a second node of the same user join this port and take half of the connections, so the
/// port is first bound without it.
fn refuse_a_shared_port(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_listeners_share_the_port_that_the_kernel_picked() {
        let listeners = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports[0] != 0 && ports.iter().all(|p| *p == ports[0]));
    }

    #[test]
    fn a_second_node_does_not_join_a_port_unnoticed() {
        let taken = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let error = bind(taken[0].local_addr().unwrap(), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
