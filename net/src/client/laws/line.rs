//! One connection, without its reads and writes: bytes of requests out, bytes of replies in.

use std::io::{Error, ErrorKind};

use super::Instant;
use super::answer::Failure;
use crate::message::HelloReply;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::session::{Answer, ClientSession};

/// What one call of the operating system may bring.
const READ_LEN: usize = 64 << 10;

/// A socket and what was said over it; they live and end together. Nothing is lost when a send or a receive is given up
/// between two steps: the next one goes on from there.
#[derive(Debug)]
pub(crate) struct Line<S> {
    socket: S,
    session: ClientSession,
    outbox: Outbox,
    inbox: Inbox,
    /// When the node's time of the last HELLO was received.
    greeted: Instant,
}

/// Requests: those before `sent` are out.
#[derive(Debug, Default)]
struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

/// Bytes that arrived: those in `start..end` belong to no reply yet.
#[derive(Debug, Default)]
struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl<S> Line<S> {
    /// Over a socket that was just connected.
    pub(crate) fn new(socket: S, now: Instant) -> Line<S> {
        let (outbox, inbox) = (Outbox::default(), Inbox::default());
        Line { socket, session: ClientSession::new(), outbox, inbox, greeted: now }
    }

    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    pub(crate) fn node(&self) -> Option<&HelloReply> {
        self.session.node()
    }

    /// The node's time was received now.
    pub(crate) fn greeted(&mut self, now: Instant) {
        self.greeted = now;
    }

    /// The node's time, as far as HELLO told it: microseconds since 1970, UTC.
    pub(crate) fn server_time_us(&self, now: Instant) -> i64 {
        let told = self.session.node().map_or(0, |node| node.server_time_us);
        let since = now.saturating_duration_since(self.greeted).as_micros();
        told.saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
    }

    /// Writes one request into the outbox and returns its correlation id.
    pub(crate) fn push(
        &mut self,
        write: impl FnOnce(&mut ClientSession, &mut Vec<u8>) -> Result<u64, Refusal>,
    ) -> Result<u64, Failure> {
        write(&mut self.session, &mut self.outbox.bytes)
            .map_err(|refusal| Failure::Refused(Box::new(refusal)))
    }

    /// What is to be sent; `None`: nothing any more.
    pub(crate) fn unsent(&mut self) -> Option<(&mut S, &[u8])> {
        let bytes = self.outbox.bytes.get(self.outbox.sent..).filter(|bytes| !bytes.is_empty())?;
        Some((&mut self.socket, bytes))
    }

    /// How sending it went. If it failed, the last request was not sent whole.
    pub(crate) fn sent(&mut self, sent: Result<usize, Error>) -> Result<(), Failure> {
        let failed = match sent {
            Ok(0) => Error::from(ErrorKind::WriteZero),
            Ok(sent) => {
                self.outbox.sent += sent;
                if self.outbox.sent >= self.outbox.bytes.len() {
                    self.outbox.clear();
                }
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => error,
        };
        self.outbox.clear();
        Err(Failure::NotSent(failed.to_string()))
    }

    /// Where to receive; `None`: a whole reply is there.
    pub(crate) fn room(&mut self) -> Result<Option<(&mut S, &mut [u8])>, Failure> {
        let need = self.session.need(self.inbox.unread()).map_err(protocol)?;
        if self.inbox.unread().len() >= need {
            return Ok(None);
        }
        Ok(Some((&mut self.socket, self.inbox.room(need))))
    }

    /// Bytes of a reply that is not whole yet.
    pub(crate) fn unread(&self) -> usize {
        self.inbox.unread().len()
    }

    /// How receiving went; false: nothing came in time, which leaves everything as it was.
    pub(crate) fn received(&mut self, received: Result<usize, Error>) -> Result<bool, Failure> {
        match received {
            Ok(0) => Err(Failure::Lost("the node closed the connection".to_owned())),
            Ok(received) => {
                self.inbox.end += received;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(Failure::Lost(error.to_string())),
        }
    }

    /// The reply that is there, borrowed from the inbox, and the bytes that its frame took.
    pub(crate) fn reply(&mut self) -> Result<(Reply<'_>, usize), Failure> {
        let Inbox { bytes, start, end } = &mut self.inbox;
        match self.session.next(&bytes[*start..*end]).map_err(protocol)? {
            Answer::Reply(reply, used) => {
                *start += used;
                Ok((reply, used))
            }
            // Not reached: there is no room for more when all the bytes that it needs are there.
            Answer::Need(_) => Err(Failure::Lost("half a reply".to_owned())),
        }
    }

    /// The same, to `correlation`, the only request under way. A refusal of the connection itself has the id 0.
    pub(crate) fn reply_to(&mut self, correlation: u64) -> Result<Reply<'_>, Failure> {
        let (reply, _) = self.reply()?;
        if [0, correlation].contains(&reply.meta.correlation) {
            return Ok(reply);
        }
        let (expected, observed) = (correlation.to_string(), reply.meta.correlation.to_string());
        Err(protocol(Refusal::bad_frame("reply.correlation", expected, observed)))
    }
}

impl Outbox {
    fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }
}

impl Inbox {
    fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Behind what arrived, with a frame of `need` bytes in mind.
    fn room(&mut self, need: usize) -> &mut [u8] {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let room = need.max(READ_LEN);
        if self.bytes.len() < room {
            self.bytes.resize(room, 0);
        }
        &mut self.bytes[self.end..]
    }
}

fn protocol(refusal: Refusal) -> Failure {
    Failure::Protocol(Box::new(refusal))
}
