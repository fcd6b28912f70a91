//! One connection: bytes in, bytes out, and what it may have under way.
//!
//! At most one receive and one send of it are under way. It is read from only while it has few enough requests and
//! replies waiting, so a client that asks without reading stops itself and nobody else. Answers for which there is no
//! room in its output keep what they share with the state, and get their bytes when there is.

use std::collections::VecDeque;

use seawall::frame::HEADER_LEN;
use seawall::limits::{HANDSHAKE_BODY_MAX, REQUEST_BODY_MAX};
use seawall::map::ShardId;
use seawall::reply::ReplyMeta;
use seawall::session::ServerSession;

use super::answer;
use super::patience::{Patience, Standing};
use crate::params::{CONNECTION_INPUT, CONNECTION_OUTPUT, CONNECTION_REQUESTS, OUTPUT_SHARE};
use crate::seam::{ConnId, Effect, Effects, Now};
use crate::shard::release::Answer;

pub(super) const FIRST_INPUT: usize = HEADER_LEN + HANDSHAKE_BODY_MAX;
const _: () = assert!(CONNECTION_INPUT >= FIRST_INPUT);

#[derive(Debug)]
pub(super) struct Connection {
    pub id: ConnId,
    pub session: ServerSession,
    pub input: Input,
    /// Replies that were not handed to the driver yet, and memory for the next ones.
    pub output: Vec<u8>,
    pub spare: Vec<u8>,
    /// Where the send under way begins in its buffer, and what that buffer takes.
    pub sending: Option<usize>,
    pub sending_bytes: usize,
    /// What of the memory of its replies counts against the worker's bound.
    pub large: usize,
    /// Requests whose replies are still to come.
    pub waiting: usize,
    /// Answers to some of them, for which there is no room in the output.
    pub held: VecDeque<(ReplyMeta, Answer)>,
    pub ending: Ending,
    pub dirty: bool,
    pub patience: Patience,
    /// Subscriptions by the correlation ids of their SUBSCRIBEs, and whose logs they are about.
    pub subscriptions: Vec<(u64, ShardId)>,
}

/// Bytes received and not yet used: `bytes[..filled]`. While the driver receives, it has `bytes`.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub bytes: Vec<u8>,
    /// What of [`super::Connections`]'s `large` is this one's.
    pub large: usize,
    pub filled: usize,
    pub receiving: bool,
    /// There may be a request in it that was not taken, because too much was under way.
    pub paused: bool,
    /// How long it would have to be for what comes, where there is no room for that now.
    pub wants: Option<usize>,
}

/// What is left for replies of what all connections of a worker may have beyond their shares.
#[derive(Debug)]
pub(super) struct Room {
    pub limit: usize,
    pub used: usize,
}

impl Room {
    /// Half of it is used: nobody may be owed more than a little.
    pub(super) fn tight(&self) -> bool {
        self.used >= self.limit / 2
    }

    /// For a reply more of one connection. The second half is for those who have taken everything so far.
    fn left(&self, took_all: bool) -> usize {
        let limit = if took_all { self.limit } else { self.limit / 2 };
        limit.saturating_sub(self.used)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    No,
    /// Nothing more is read; what is owed is still sent.
    AfterOutput,
    Now,
    /// `Effect::Close` was emitted.
    Closing,
}

/// The bytes of a connection, out of it while requests are taken from them.
pub(super) struct Lent {
    pub bytes: Vec<u8>,
    pub filled: usize,
    pub used: usize,
}

impl Lent {
    /// What no request has taken yet.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.used..self.filled).unwrap_or_default()
    }

    /// The request at the front of [`Lent::rest`] took this many bytes.
    pub(super) fn used(&mut self, bytes: usize) {
        self.used += bytes;
    }
}

impl Connection {
    /// The driver receives for it already.
    pub(super) fn new(now: Now, conn: ConnId) -> Self {
        Self {
            id: conn,
            session: ServerSession::new(REQUEST_BODY_MAX),
            input: Input { receiving: true, ..Input::default() },
            output: Vec::new(),
            spare: Vec::new(),
            sending: None,
            sending_bytes: 0,
            large: 0,
            waiting: 0,
            held: VecDeque::new(),
            ending: Ending::No,
            dirty: false,
            patience: Patience::new(now),
            subscriptions: Vec::new(),
        }
    }

    pub(super) fn may_ask(&self, tight: bool) -> bool {
        self.waiting < CONNECTION_REQUESTS && self.has_room(tight) && self.ending == Ending::No
    }

    /// Whether more may be put into its output; in a `tight` worker that is its share of it.
    pub(super) fn has_room(&self, tight: bool) -> bool {
        let bound = if tight { OUTPUT_SHARE } else { CONNECTION_OUTPUT };
        self.held.is_empty() && self.output.len() < bound
    }

    /// Memory of its replies beyond its share.
    pub(super) fn large_output(&self) -> usize {
        let held = self.held.capacity() * size_of::<(ReplyMeta, Answer)>();
        let bytes = self.output.capacity() + self.spare.capacity() + self.sending_bytes + held;
        bytes.saturating_sub(OUTPUT_SHARE)
    }

    /// Gives replies that wait their bytes, as far as there is `room`.
    pub(super) fn encode_held(&mut self, tag: u32, room: &Room) {
        while self.output.len() < CONNECTION_OUTPUT
            && let Some((meta, answer)) = self.held.front()
        {
            if self.ending < Ending::Now {
                let before = self.output.len();
                answer::encode(&mut self.output, *meta, answer, tag);
                let takes_all = before == 0 && self.sending.is_none();
                if self.large_output() > self.large + room.left(takes_all) {
                    self.output.truncate(before);
                    self.output.shrink_to(before);
                    return;
                }
            }
            self.held.pop_front();
            self.waiting -= 1;
        }
    }

    /// A buffer that was sent: memory for the next one, unless others need it more.
    pub(super) fn take_back(&mut self, mut buf: Vec<u8>, tight: bool) {
        buf.clear();
        let keeps = if tight { OUTPUT_SHARE } else { CONNECTION_OUTPUT };
        self.spare = if buf.capacity() <= keeps { buf } else { Vec::new() };
        self.sending_bytes = 0;
        if tight && self.output.is_empty() {
            self.output.shrink_to(OUTPUT_SHARE);
        }
    }

    /// What was needed once is given back when nothing is owed any more.
    pub(super) fn rest(&mut self) {
        if self.sending.is_none() && self.output.is_empty() {
            self.output.shrink_to(OUTPUT_SHARE / 4);
            self.spare.shrink_to(OUTPUT_SHARE / 4);
            self.held.shrink_to(0);
        }
    }

    /// Nothing is under way, or owed, or listened for. The front of a frame is [`Patience`]'s.
    pub(super) fn is_idle(&self) -> bool {
        let owes =
            self.waiting > 0 || !self.held.is_empty() || !self.output.is_empty() || self.sending.is_some();
        let asks = self.input.filled > 0 && !self.input.receiving;
        self.session.is_open() && self.ending == Ending::No && self.subscriptions.is_empty() && !owes && !asks
    }

    pub(super) fn standing(&self) -> Standing {
        Standing { open: self.session.is_open(), sending: self.sending.is_some() }
    }

    /// An end never becomes a milder one.
    pub(super) fn end(&mut self, ending: Ending) {
        self.ending = self.ending.max(ending);
    }

    pub(super) fn flush(&mut self, now: Now, effects: &mut Effects) {
        let conn = self.id;
        let owes = !self.output.is_empty() || self.sending.is_some() || self.waiting > 0;
        if self.ending == Ending::Now || (self.ending == Ending::AfterOutput && !owes) {
            self.ending = Ending::Closing;
            return effects.push(Effect::Close { conn });
        }
        if self.ending == Ending::Closing {
            return;
        }
        if !self.output.is_empty() && self.sending.is_none() {
            let next = std::mem::take(&mut self.spare);
            let buf = std::mem::replace(&mut self.output, next);
            (self.sending, self.sending_bytes) = (Some(0), buf.capacity());
            self.patience.took(now);
            effects.push(Effect::Send { conn, buf, from: 0 });
        }
        let reads = !self.input.receiving && !self.input.paused && self.input.wants.is_none();
        if self.ending == Ending::No && reads {
            self.input.receiving = true;
            let buf = std::mem::take(&mut self.input.bytes);
            effects.push(Effect::Receive { conn, buf, from: self.input.filled });
        }
    }
}
