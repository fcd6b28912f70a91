//! One connection of the load: a socket, and slots that each have one request under way.
//!
//! The low bits of a correlation id name the slot, the high bits count its requests. So replies may come in any
//! order, and a reply to something that was not asked is noticed.

use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;
use seawall::refusal::{Outcome, Refusal};
use seawall::reply::{Body, Reply};
use seawall::session::{Answer, ClientSession};

use super::connect::Connected;
use super::request::Requests;
use super::window::{Ended, Nanos, Tally, Window};

/// Bits of a correlation id that name the slot.
const SLOT_BITS: u32 = 16;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
/// Bytes already sent are dropped from an output that never runs empty when there are this many.
const SENT_MAX: usize = 256 << 10;

/// The connection is of no more use, and why.
#[derive(Debug)]
pub struct Lost(pub String);

/// What the connections of a thread share.
#[derive(Debug)]
pub struct Shared {
    pub requests: Requests,
    pub tally: Tally,
    pub window: Window,
    /// Where reads go: one piece of memory for all, so that it stays in the cache.
    pub scratch: Vec<u8>,
    /// Whether a request that ended is followed by another.
    pub asking: bool,
}

#[derive(Debug)]
pub struct Connection {
    pub socket: TcpStream,
    session: ClientSession,
    slots: Vec<Slot>,
    under_way: usize,
    output: Vec<u8>,
    /// How much of `output` the kernel has.
    sent: usize,
    /// The beginning of a reply whose rest has not arrived.
    rest: Vec<u8>,
}

/// A place in the pipeline.
#[derive(Clone, Copy, Debug)]
struct Slot {
    correlation: u64,
    /// `None`: nothing is under way.
    asked: Option<Nanos>,
}

impl Connection {
    pub fn new(connected: Connected, pipeline: usize) -> Connection {
        let Connected { socket, session, .. } = connected;
        assert!(pipeline as u64 <= SLOT_MASK + 1, "the options keep a pipeline within the slots");
        // The first round is 1: no id is the one that HELLO had.
        let slot = |n| Slot { correlation: (1 << SLOT_BITS) | n, asked: None };
        Connection {
            socket: TcpStream::from_std(socket),
            session,
            slots: (0..pipeline as u64).map(slot).collect(),
            under_way: 0,
            output: Vec::new(),
            sent: 0,
            rest: Vec::new(),
        }
    }

    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Fills the pipeline.
    pub fn begin(&mut self, shared: &mut Shared, now: Nanos) -> Result<(), Lost> {
        let generation = self.session.generation();
        for slot in &mut self.slots {
            slot.asked = Some(now);
            shared.requests.write(&mut self.output, slot.correlation, generation);
        }
        self.under_way = self.slots.len();
        self.flush()
    }

    /// The socket may be read: takes all replies, and asks again for each. `hung_up`: the end may be near, so read
    /// until it is seen.
    pub fn readable(&mut self, shared: &mut Shared, now: Nanos, hung_up: bool) -> Result<(), Lost> {
        loop {
            let kept = self.rest.len();
            shared.scratch[..kept].copy_from_slice(&self.rest);
            match self.socket.read(&mut shared.scratch[kept..]) {
                Ok(0) => return Err(Lost("the node closed the connection".to_owned())),
                Ok(read) => {
                    let filled = kept + read;
                    self.take_replies(shared, now, filled)?;
                    // A short read has drained the socket; what comes next is announced anew.
                    if filled < shared.scratch.len() && !hung_up {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Lost(format!("reading failed: {error}"))),
            }
        }
    }

    fn take_replies(&mut self, shared: &mut Shared, now: Nanos, filled: usize) -> Result<(), Lost> {
        let Shared { requests, tally, window, scratch, asking } = shared;
        let generation = self.session.generation();
        let bytes = &scratch[..filled];
        let mut used = 0;
        loop {
            match self.session.next(&bytes[used..]) {
                Ok(Answer::Need(need)) if need <= scratch.len() => break,
                Ok(Answer::Need(need)) => return Err(Lost(format!("a reply of {need} bytes"))),
                Ok(Answer::Reply(reply, len)) => {
                    used += len;
                    let slot = settle(&mut self.slots, &reply)?;
                    let asked = slot.asked.take().expect("only a request under way is settled");
                    tally.ended(*window, asked, now, ended(reply.body)?);
                    self.under_way -= 1;
                    if *asking {
                        slot.correlation += 1 << SLOT_BITS;
                        slot.asked = Some(now);
                        self.under_way += 1;
                        requests.write(&mut self.output, slot.correlation, generation);
                    }
                }
                Err(refusal) => return Err(Lost(format!("a reply cannot be read: {refusal}"))),
            }
        }
        self.rest.clear();
        self.rest.extend_from_slice(&bytes[used..]);
        Ok(())
    }

    /// Sends what is written, as far as the kernel takes it.
    pub fn flush(&mut self) -> Result<(), Lost> {
        while self.sent < self.output.len() {
            match self.socket.write(&self.output[self.sent..]) {
                Ok(taken) => self.sent += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Lost(format!("writing failed: {error}"))),
            }
        }
        if self.sent == self.output.len() || self.sent > SENT_MAX {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }
}

/// The slot whose request this is the reply to.
fn settle<'s>(slots: &'s mut [Slot], reply: &Reply<'_>) -> Result<&'s mut Slot, Lost> {
    let correlation = reply.meta.correlation;
    slots
        .get_mut((correlation & SLOT_MASK) as usize)
        .filter(|slot| slot.correlation == correlation && slot.asked.is_some())
        .ok_or_else(|| Lost(format!("a reply to {correlation}, which is not under way")))
}

fn ended(body: Body<'_>) -> Result<Ended, Lost> {
    match body {
        Body::Committed { .. } | Body::Row { found: Some(_), .. } => Ok(Ended::Done),
        Body::Row { found: None, .. } => Ok(Ended::NotFound),
        Body::Refused(Refusal { code, outcome: Outcome::Unknown, .. }) => Ok(Ended::Unknown(code)),
        Body::Refused(Refusal { code, .. }) => Ok(Ended::Refused(code)),
        other => Err(Lost(format!("an answer that was not asked for: {other:?}"))),
    }
}
