//! One TCP connection after its HELLO: requests out, replies in, each with a deadline.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::Options;
use super::answer::{Failure, unexpected};
use crate::message::{HelloReply, HelloRequest};
use crate::refusal::Refusal;
use crate::reply::{Body, Reply};
use crate::session::{Answer, ClientSession};

/// What one call of the operating system may bring.
const READ_LEN: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    session: ClientSession,
    /// Requests that were written and not sent yet.
    outbox: Vec<u8>,
    inbox: Inbox,
    /// When the node's time of the last HELLO was received.
    greeted: Instant,
}

/// Bytes that arrived: those in `start..end` belong to no reply yet.
#[derive(Debug, Default)]
struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Connection {
    pub(super) fn open(address: &str, options: &Options, deadline: Instant) -> Result<Connection, Failure> {
        let stream = dial(address, deadline).map_err(|error| Failure::NotSent(error.to_string()))?;
        let (session, outbox, inbox) = (ClientSession::new(), Vec::new(), Inbox::default());
        let mut connection = Connection { stream, session, outbox, inbox, greeted: Instant::now() };
        let hello = HelloRequest::new(&options.client_name, &options.identity);
        // HELLO changes nothing: whatever goes wrong here, the request proper was not sent.
        let not_sent = |failure| match failure {
            Failure::Lost(why) => Failure::NotSent(why),
            other => other,
        };
        let asked = connection.send(deadline, |session, out, ms| Ok(session.hello(out, &hello, ms)));
        let answered = asked.and_then(|asked| {
            connection.receive(asked, deadline, |reply| match &reply.body {
                Body::Hello(_) => Ok(()),
                _ => Err(unexpected(reply)),
            })
        });
        answered.map_err(not_sent)?;
        connection.greeted = Instant::now();
        Ok(connection)
    }

    /// The node's time, as far as HELLO told it: microseconds since 1970, UTC.
    pub(super) fn server_time_us(&self) -> i64 {
        let told = self.session.node().map_or(0, |node| node.server_time_us);
        told.saturating_add(i64::try_from(self.greeted.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    pub(super) fn node(&self) -> Option<&HelloReply> {
        self.session.node()
    }

    /// Whether the node has not hung up, as far as can be seen without asking it. A commit that is sent into a
    /// connection that ended long ago would be unknown for no reason.
    pub(super) fn is_alive(&self) -> bool {
        let peek = || {
            self.stream.set_nonblocking(true)?;
            let peeked = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            peeked
        };
        peek().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Writes one request, sends it, and returns its correlation id.
    pub(super) fn send(
        &mut self,
        deadline: Instant,
        write: impl FnOnce(&mut ClientSession, &mut Vec<u8>, u32) -> Result<u64, Refusal>,
    ) -> Result<u64, Failure> {
        let correlation = self.push(left_ms(deadline), write)?;
        self.flush(deadline)?;
        Ok(correlation)
    }

    /// Writes one request into the outbox and returns its correlation id.
    pub(super) fn push(
        &mut self,
        deadline_ms: u32,
        write: impl FnOnce(&mut ClientSession, &mut Vec<u8>, u32) -> Result<u64, Refusal>,
    ) -> Result<u64, Failure> {
        write(&mut self.session, &mut self.outbox, deadline_ms)
            .map_err(|refusal| Failure::Refused(Box::new(refusal)))
    }

    /// Sends what was written. If this fails, the last request was not sent whole.
    pub(super) fn flush(&mut self, deadline: Instant) -> Result<(), Failure> {
        let sent = send_all(&mut self.stream, &self.outbox, deadline);
        self.outbox.clear();
        sent.map_err(|error| Failure::NotSent(error.to_string()))
    }

    /// The reply to `correlation`, the only request under way, as `read` understands it. A refusal of the connection
    /// itself has the id 0.
    pub(super) fn receive<T>(
        &mut self,
        correlation: u64,
        deadline: Instant,
        read: impl FnOnce(&Reply<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.recv(deadline)? {
            Some(reply) if [0, correlation].contains(&reply.meta.correlation) => read(&reply),
            Some(reply) => Err(Failure::Protocol(Box::new(Refusal::bad_frame(
                "reply.correlation",
                correlation.to_string(),
                reply.meta.correlation.to_string(),
            )))),
            None => Err(Failure::Lost("the deadline passed".to_owned())),
        }
    }

    /// The next reply, borrowed from the inbox; `None` when it does not come in time, which leaves everything as it
    /// was.
    pub(super) fn recv(&mut self, deadline: Instant) -> Result<Option<Reply<'_>>, Failure> {
        Ok(self.recv_sized(deadline)?.map(|(reply, _)| reply))
    }

    /// The same, with the bytes that its frame took.
    pub(super) fn recv_sized(&mut self, deadline: Instant) -> Result<Option<(Reply<'_>, usize)>, Failure> {
        let protocol = |refusal| Failure::Protocol(Box::new(refusal));
        loop {
            let need = self.session.need(self.inbox.unread()).map_err(protocol)?;
            if self.inbox.unread().len() >= need {
                break;
            }
            match self.inbox.fill(&mut self.stream, need, deadline) {
                Ok(0) => return Err(Failure::Lost("the node closed the connection".to_owned())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Ok(None),
                Err(error) => return Err(Failure::Lost(error.to_string())),
            }
        }
        let Inbox { bytes, start, end } = &mut self.inbox;
        match self.session.next(&bytes[*start..*end]).map_err(protocol)? {
            Answer::Reply(reply, used) => {
                *start += used;
                Ok(Some((reply, used)))
            }
            Answer::Need(_) => Ok(None), // not reached: all the bytes that it needs are there
        }
    }
}

impl Inbox {
    fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Receives once, with room for a frame of `need` bytes.
    fn fill(&mut self, stream: &mut TcpStream, need: usize, deadline: Instant) -> std::io::Result<usize> {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let room = need.max(READ_LEN);
        if self.bytes.len() < room {
            self.bytes.resize(room, 0);
        }
        stream.set_read_timeout(Some(left(deadline)?))?;
        let received = stream.read(&mut self.bytes[self.end..])?;
        self.end += received;
        Ok(received)
    }
}

fn dial(address: &str, deadline: Instant) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, left(deadline)?) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn send_all(stream: &mut TcpStream, mut bytes: &[u8], deadline: Instant) -> std::io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The time that is left; none is an error, for the operating system takes zero for "for ever".
fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn left_ms(deadline: Instant) -> u32 {
    let left = deadline.saturating_duration_since(Instant::now());
    u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1)
}
