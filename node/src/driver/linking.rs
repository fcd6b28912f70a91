//! The links of a node in the thread of the worker that has them: what happens to their connections is told to
//! [`Links`], and what they ask for is done. Connecting is rare, so each attempt has a thread of its own for as long as it
//! takes; whoever accepts has one for good.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use seawall::map::MemberId;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::mailbox::{Control, Post};
use crate::driver::console;
use crate::params::{LINK_GREETING_US, LINK_SILENCE_MS};
use crate::seam::{ConnId, Event, LinkEvent, WorkerId};
use crate::worker::links::Links;

/// The worker that has the links.
pub(super) const HOME: WorkerId = WorkerId(0);

pub(super) struct Linking {
    pub links: Links,
    /// What happened and was not told yet.
    pub events: Vec<LinkEvent>,
    post: Arc<Post>,
    /// Where this member is found, so that it is seen to be the one that connects.
    from: SocketAddr,
}

impl Linking {
    pub fn new(links: Links, post: Arc<Post>, from: SocketAddr) -> Self {
        Self { links, events: Vec::new(), post, from }
    }

    /// Takes out of `events` what is about links, and notes what concerns everybody.
    pub fn sort(&mut self, events: &mut Vec<Event>) {
        let Self { links, events: own, .. } = self;
        let is_ours = |event: &mut Event| match event {
            Event::Received { conn, .. } | Event::Sent { conn, .. } | Event::Closed { conn } => {
                links.owns(*conn)
            }
            _ => false,
        };
        if !links.is_empty() {
            own.extend(events.extract_if(.., is_ours).map(|event| match event {
                Event::Received { conn, buf, result } => LinkEvent::Received { conn, buf, result },
                Event::Sent { conn, buf, result } => LinkEvent::Sent { conn, buf, result },
                Event::Closed { conn } => LinkEvent::Closed { conn },
                other => unreachable!("{other:?} is about no connection"),
            }));
        }
        for event in events {
            match event {
                Event::MapChanged(map) => own.push(LinkEvent::MapChanged(map.clone())),
                Event::Tick => own.push(LinkEvent::Tick),
                _ => {}
            }
        }
    }

    /// How an attempt ended; `adopted` is the connection, if there is one.
    pub fn dialled(&mut self, to: MemberId, adopted: Result<ConnId, String>) {
        self.events.push(LinkEvent::Dialled { to, result: adopted });
    }

    /// Connects, elsewhere; how it went comes as [`Control::Dialled`].
    pub fn dial(&mut self, to: MemberId, address: String) {
        let (post, from) = (self.post.clone(), self.from);
        let attempt = move || {
            let result = dial(from, &address).map_err(|e| format!("{address}: {e}"));
            tell(&post, Control::Dialled { to, result });
        };
        if let Err(e) = thread::Builder::new().name("seawall-dial".into()).spawn(attempt) {
            self.dialled(to, Err(format!("no thread to connect with: {e}")));
        }
    }
}

fn tell(post: &Post, mut control: Control) {
    // The queue is looked at in each turn; a worker that has ended takes nothing any more.
    for _ in 0..1000 {
        match post.control(HOME, control) {
            Ok(()) => return,
            Err(back) => control = back,
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn dial(from: SocketAddr, address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for to in address.to_socket_addrs()? {
        match connect(from, to) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn connect(from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    if from.is_ipv4() == to.is_ipv4() {
        socket.bind(&SocketAddr::new(from.ip(), 0).into())?;
    }
    socket.connect_timeout(&to.into(), Duration::from_micros(LINK_GREETING_US))?;
    let stream = TcpStream::from(socket);
    prepare(&stream)?;
    Ok(stream)
}

/// A link is not delayed for company, and one whose other end is gone ends.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    let silence = Duration::from_millis(LINK_SILENCE_MS.into());
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(silence))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(silence).with_interval(silence / 5))
}

/// Accepts connections at the address for members.
pub(super) struct Door {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    pub fn open(listener: TcpListener, post: Arc<Post>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let accept = move || {
            while !stopped.load(Ordering::Relaxed) {
                let accepted = listener.accept().and_then(|(stream, _)| prepare(&stream).map(|()| stream));
                match accepted {
                    // Whoever finds no place connects again.
                    Ok(stream) => drop(post.control(HOME, Control::PeerAccepted(stream))),
                    Err(e) => {
                        console::complain(format_args!("a member's connection cannot be accepted: {e}"));
                        thread::sleep(Duration::from_millis(100));
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("seawall-peers".into()).spawn(accept)?;
        Ok(Self { address, stop, thread: Some(thread) })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It sleeps until somebody comes.
        let came = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let (Ok(_), Some(thread)) = (came, self.thread.take()) {
            thread.join().expect("whoever accepts does not panic");
        }
    }
}
