//! One connection of the load: a socket, and slots that each have one request under way.
//!
//! A correlation id says which slot it is of, which of the slot's requests, and for a COMMIT_MANY which of its
//! commits. So replies may come in any order, and a reply to something that was not asked, or a second one, is noticed.

use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;
use seawall::message::Opcode;
use seawall::reply::{Body, Reply};
use seawall::session::{Answer, ClientSession};

use super::check::{Asked, Expected};
use super::connect::Connected;
use super::pace::Timetable;
use super::request::{Requests, Session};
use super::window::{Nanos, Tally, Window};

/// Bits of a correlation id: the lowest say which commit of its request, those above them which slot, the rest which
/// of the slot's requests.
const NTH_BITS: u32 = 10;
const SLOT_BITS: u32 = 16;
const NEXT_REQUEST: u64 = 1 << (NTH_BITS + SLOT_BITS);
const _: () = assert!(seawall::limits::COMMITS_MAX <= 1 << NTH_BITS);
/// Bytes already sent are dropped from an output that never runs empty when there are this many.
const SENT_MAX: usize = 256 << 10;

/// The connection is of no more use, and why.
#[derive(Debug)]
pub struct Lost(pub String);

/// What the connections of a thread share.
#[derive(Debug)]
pub struct Shared {
    pub requests: Requests,
    pub expected: Expected,
    pub tally: Tally,
    pub window: Window,
    /// Where reads go: one piece of memory for all, so that it stays in the cache.
    pub scratch: Vec<u8>,
    /// Whether requests are still sent.
    pub asking: bool,
}

#[derive(Debug)]
pub struct Connection {
    pub socket: TcpStream,
    session: ClientSession,
    keys: Session,
    /// `None`: a closed loop.
    timetable: Option<Timetable>,
    slots: Slots,
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
    /// When the request was sent, or in an open loop when it was due.
    since: Nanos,
    asked: Asked,
    /// Answers that are still to come; none: the slot is idle.
    left: usize,
}

#[derive(Debug)]
struct Slots {
    slots: Vec<Slot>,
    idle: Vec<usize>,
    /// Commits of a request.
    many: usize,
    /// Which commits of each slot's request were answered: so many words of bits for each.
    answered: Vec<u64>,
    under_way: usize,
}

impl Connection {
    /// `n` tells the connections of a run apart.
    pub fn new(
        connected: Connected,
        n: u64,
        (pipeline, many): (usize, usize),
        timetable: Option<Timetable>,
    ) -> Connection {
        let Connected { socket, session, node } = connected;
        Connection {
            socket: TcpStream::from_std(socket),
            session,
            keys: Session::new(n, node.server_time_us),
            timetable,
            slots: Slots::new(pipeline, many),
            output: Vec::new(),
            sent: 0,
            rest: Vec::new(),
        }
    }

    /// Operations that are under way.
    pub fn under_way(&self) -> usize {
        self.slots.under_way
    }

    /// When the next request is due, in an open loop.
    pub fn next_due(&self) -> Option<Nanos> {
        self.timetable.as_ref().and_then(Timetable::next)
    }

    /// The end: what was due and is not sent never will be.
    pub fn give_up(&mut self, window: Window, tally: &mut Tally) {
        if let Some(timetable) = &mut self.timetable {
            timetable.give_up(window, self.slots.many as u64, tally);
        }
    }

    /// Writes as many requests as are due and find a slot, for the next [`flush`](Self::flush).
    pub fn ask(&mut self, shared: &mut Shared, now: Nanos) {
        let generation = self.session.generation();
        while shared.asking && self.slots.has_idle() {
            let due = self.timetable.as_mut().map_or(Some(now), |timetable| timetable.take(now));
            let Some(since) = due else { break };
            let slot = self.slots.begin(since);
            slot.asked =
                shared.requests.write(&mut self.output, slot.correlation, generation, &mut self.keys, now);
        }
    }

    /// The socket may be read: takes all replies. `hung_up`: the end may be near, so read until it is seen.
    pub fn readable(&mut self, shared: &mut Shared, now: Nanos, hung_up: bool) -> Result<(), Lost> {
        loop {
            let kept = self.rest.len();
            shared.scratch[..kept].copy_from_slice(&self.rest);
            match self.socket.read(&mut shared.scratch[kept..]) {
                Ok(0) => return Err(Lost("the node closed the connection".to_owned())),
                Ok(read) => {
                    let filled = kept + read;
                    self.take_replies(shared, now, filled)?;
                    self.ask(shared, now);
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
        let Shared { expected, tally, window, scratch, .. } = shared;
        let bytes = &scratch[..filled];
        let mut used = 0;
        loop {
            match self.session.next(&bytes[used..]) {
                Ok(Answer::Need(need)) if need <= scratch.len() => break,
                Ok(Answer::Need(need)) => return Err(Lost(format!("a reply of {need} bytes"))),
                Ok(Answer::Reply(reply, len)) => {
                    used += len;
                    let (Slot { since, asked, .. }, operations) = self.slots.settle(&reply)?;
                    let counts = window.holds(if self.timetable.is_some() { since } else { now });
                    for _ in 0..operations {
                        let ended = expected.judge(asked, &reply.body, &mut tally.sums);
                        tally.ended(counts, since, now, ended);
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

impl Slots {
    fn new(pipeline: usize, many: usize) -> Slots {
        assert!(
            pipeline <= 1 << SLOT_BITS && many <= 1 << NTH_BITS,
            "the options keep both within a correlation id"
        );
        let slot =
            |n: usize| Slot { correlation: (n as u64) << NTH_BITS, since: 0, asked: Asked::Change, left: 0 };
        Slots {
            slots: (0..pipeline).map(slot).collect(),
            idle: (0..pipeline).rev().collect(),
            many,
            answered: vec![0; pipeline * many.div_ceil(64)],
            under_way: 0,
        }
    }

    fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// The next request of an idle slot. Its ids begin at one that was never used, not even by HELLO.
    fn begin(&mut self, since: Nanos) -> &mut Slot {
        let n = self.idle.pop().expect("the caller looked");
        self.bits(n).fill(0);
        self.under_way += self.many;
        let slot = &mut self.slots[n];
        slot.correlation += NEXT_REQUEST;
        (slot.since, slot.left) = (since, self.many);
        slot
    }

    fn bits(&mut self, slot: usize) -> &mut [u64] {
        let words = self.many.div_ceil(64);
        &mut self.answered[slot * words..][..words]
    }

    /// The slot that this is a reply to, and how many operations it answers: all, if a COMMIT_MANY was refused whole.
    fn settle(&mut self, reply: &Reply<'_>) -> Result<(Slot, usize), Lost> {
        let correlation = reply.meta.correlation;
        let nth = (correlation & ((1 << NTH_BITS) - 1)) as usize;
        let n = ((correlation >> NTH_BITS) & ((1 << SLOT_BITS) - 1)) as usize;
        let stray = || Lost(format!("a reply to {correlation}, which is not under way"));
        let of_this_request = |slot: &&Slot| slot.correlation == correlation - nth as u64 && slot.left > 0;
        let mut slot = *self.slots.get(n).filter(of_this_request).ok_or_else(stray)?;
        let many = self.many;
        let bits = self.bits(n);
        if nth >= many || bits[nth / 64] & 1 << (nth % 64) != 0 {
            return Err(stray());
        }
        let whole = reply.meta.opcode == Opcode::CommitMany as u16 && matches!(reply.body, Body::Refused(_));
        let operations = if whole { slot.left } else { 1 };
        bits[nth / 64] |= 1 << (nth % 64);
        slot.left -= operations;
        self.slots[n].left = slot.left;
        self.under_way -= operations;
        if slot.left == 0 {
            self.idle.push(n);
        }
        Ok((slot, operations))
    }
}

#[cfg(test)]
mod tests {
    use seawall::Refusal;
    use seawall::reply::ReplyMeta;

    use super::*;

    fn reply(correlation: u64, opcode: Opcode) -> Reply<'static> {
        let meta = ReplyMeta { correlation, opcode: opcode as u16, ..ReplyMeta::default() };
        Reply { meta, body: Body::Refused(Refusal::throttled("a queue", 1, 1)) }
    }

    #[test]
    fn each_commit_of_a_request_is_answered_once_in_any_order() {
        let mut slots = Slots::new(2, 3);
        let first = slots.begin(10).correlation;
        let second = slots.begin(20).correlation;
        assert!(!slots.has_idle());
        assert_eq!(slots.under_way, 6);
        let mut settled = |correlation| {
            let settled = slots.settle(&reply(correlation, Opcode::Commit));
            settled.map(|(slot, operations)| (slot.since, operations)).ok()
        };
        assert_eq!(settled(second + 2), Some((20, 1)));
        assert_eq!(settled(second + 2), None, "a second answer to one commit");
        assert_eq!(settled(first), Some((10, 1)));
        assert_eq!(settled(second), Some((20, 1)));
        assert_eq!(settled(second + 3), None, "a commit that the request does not have");
        assert_eq!(settled(second + NEXT_REQUEST), None, "a request that was not sent yet");
        assert_eq!(settled(second + 1), Some((20, 1)));
        assert_eq!(settled(second + 1), None, "an answer to nothing");
        assert!(slots.has_idle());
        assert_eq!((slots.under_way, slots.begin(30).correlation), (2, second + NEXT_REQUEST));
    }

    #[test]
    fn a_refusal_of_a_whole_request_answers_all_that_is_left_of_it() {
        let mut slots = Slots::new(1, 100);
        let correlation = slots.begin(10).correlation;
        slots.settle(&reply(correlation + 99, Opcode::Commit)).unwrap();
        let (_, operations) = slots.settle(&reply(correlation, Opcode::CommitMany)).unwrap();
        assert_eq!((operations, slots.under_way, slots.has_idle()), (99, 0, true));
    }
}
