//! Connections: bytes in, bytes out, and the bounds on both.
//!
//! At most one receive and one send of a connection are under way. A connection is read from only while it has few
//! enough requests and replies waiting, so a client that asks without reading stops itself and nobody else. Answers
//! for which there is no room in its output keep what they share with the state, and get their bytes when there is.

use std::collections::VecDeque;

use seawall::frame::HEADER_LEN;
use seawall::limits::{HANDSHAKE_BODY_MAX, REQUEST_BODY_MAX};
use seawall::map::ShardId;
use seawall::refusal::Refusal;
use seawall::reply::ReplyMeta;
use seawall::session::ServerSession;

use super::answer;
use super::patience::{Patience, Standing};
use crate::params::{
    CONNECTION_INPUT, CONNECTION_OUTPUT, CONNECTION_REQUESTS, IDLE_US, LARGE_INPUT, RETRY_QUEUE_MS, STRANGERS,
    SUBSCRIPTIONS_PER_CONNECTION,
};
use crate::seam::{ConnId, Effect, Effects, Now, SocketError};
use crate::shard::release::Answer;

const FIRST_INPUT: usize = HEADER_LEN + HANDSHAKE_BODY_MAX;
const _: () = assert!(CONNECTION_INPUT >= FIRST_INPUT);

/// All connections of a worker, by the slot that the driver gave them.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Option<Connection>>,
    /// Connections with something to do at the end of the turn.
    dirty: Vec<ConnId>,
    open: usize,
    /// Connections without HELLO, the oldest first; some of them may have said it meanwhile, or be gone.
    strangers: VecDeque<ConnId>,
    /// Bytes of receive buffers beyond [`CONNECTION_INPUT`].
    large: usize,
    /// From so many on those that only lie there give way.
    crowded: usize,
}

#[derive(Debug)]
struct Connection {
    id: ConnId,
    session: ServerSession,
    input: Input,
    /// Replies that were not handed to the driver yet, and memory for the next ones.
    output: Vec<u8>,
    spare: Vec<u8>,
    /// Where the send under way begins in its buffer.
    sending: Option<usize>,
    /// Requests whose replies are still to come.
    waiting: usize,
    /// Answers to some of them, for which there is no room in the output.
    held: VecDeque<(ReplyMeta, Answer)>,
    ending: Ending,
    dirty: bool,
    patience: Patience,
    /// Subscriptions by the correlation ids of their SUBSCRIBEs, and whose logs they are about.
    subscriptions: Vec<(u64, ShardId)>,
}

/// Bytes received and not yet used: `bytes[..filled]`. While the driver receives, it has `bytes`.
#[derive(Debug, Default)]
struct Input {
    bytes: Vec<u8>,
    /// What of [`Connections::large`] is this one's.
    large: usize,
    filled: usize,
    receiving: bool,
    /// There may be a request in it that was not taken, because too much was under way.
    paused: bool,
    /// How long it would have to be for what comes, where there is no room for that now.
    wants: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    No,
    /// Nothing more is read; what is owed is still sent.
    AfterOutput,
    Now,
    /// `Effect::Close` was emitted.
    Closing,
}

/// The bytes of a connection, out of it while requests are taken from them.
pub(super) struct Lent {
    bytes: Vec<u8>,
    filled: usize,
    used: usize,
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

impl Connections {
    /// `limit`: as many as the driver has places for; some of those are for other members of a cluster.
    pub(super) fn new(limit: u32) -> Self {
        let limit = limit as usize;
        Self { crowded: limit - limit / 64, ..Self::default() }
    }

    pub(super) fn accepted(&mut self, now: Now, conn: ConnId, effects: &mut Effects) {
        let slot = conn.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        assert!(self.slots[slot].is_none(), "the driver gives a slot again only after `Closed`");
        self.open += 1;
        self.slots[slot] = Some(Connection {
            id: conn,
            session: ServerSession::new(REQUEST_BODY_MAX),
            input: Input { receiving: true, ..Input::default() },
            output: Vec::new(),
            spare: Vec::new(),
            sending: None,
            waiting: 0,
            held: VecDeque::new(),
            ending: Ending::No,
            dirty: false,
            patience: Patience::new(now),
            subscriptions: Vec::new(),
        });
        effects.push(Effect::Receive { conn, buf: vec![0; FIRST_INPUT], from: 0 });
        self.strangers.push_back(conn);
        if self.strangers.len() > STRANGERS {
            self.dismiss_a_stranger();
        }
        self.dismiss_an_idle_one(now);
    }

    /// Whoever said HELLO and asks for nothing keeps nobody out: when there are many, the one that has been so for longest
    /// gives way. Its client connects again when it has something to ask.
    fn dismiss_an_idle_one(&mut self, now: Now) {
        if self.crowded == 0 || self.open < self.crowded {
            return;
        }
        let idle = self.slots.iter().flatten().filter(|connection| connection.is_idle());
        let longest = idle.min_by_key(|connection| connection.patience.idle_since_us());
        if let Some(connection) = longest.filter(|c| now.mono_us > c.patience.idle_since_us() + IDLE_US) {
            self.end_now(connection.id);
        }
    }

    /// The oldest connection without HELLO gives way, if there are too many.
    fn dismiss_a_stranger(&mut self) {
        let Self { slots, strangers, .. } = self;
        strangers.retain(|conn| {
            let connection = slots.get(conn.slot as usize).and_then(Option::as_ref);
            connection.is_some_and(|c| c.id == *conn && !c.session.is_open() && c.ending < Ending::Now)
        });
        if self.strangers.len() > STRANGERS
            && let Some(oldest) = self.strangers.pop_front()
        {
            self.end_now(oldest);
        }
    }

    fn end_now(&mut self, conn: ConnId) {
        if let Some(connection) = self.get(conn) {
            connection.end(Ending::Now);
        }
        self.mark(conn);
    }

    pub(super) fn received(&mut self, conn: ConnId, buf: Vec<u8>, result: Result<usize, SocketError>) {
        let Some(connection) = self.get(conn) else { return };
        let input = &mut connection.input;
        (input.bytes, input.receiving) = (buf, false);
        match result {
            // The peer sends nothing more; it may still read what it is owed.
            Ok(0) => connection.end(Ending::AfterOutput),
            Ok(moved) => {
                input.filled += moved;
                assert!(input.filled <= input.bytes.len(), "the driver fills only what it was given");
            }
            Err(_) => connection.end(Ending::Now),
        }
        self.mark(conn);
    }

    pub(super) fn sent(
        &mut self,
        now: Now,
        conn: ConnId,
        mut buf: Vec<u8>,
        result: Result<usize, SocketError>,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.get(conn) else { return };
        let from = connection.sending.take().expect("a send was under way");
        connection.patience.took(now);
        match result {
            Ok(moved) if from + moved < buf.len() && connection.ending < Ending::Now => {
                connection.sending = Some(from + moved);
                return effects.push(Effect::Send { conn, buf, from: from + moved });
            }
            Ok(_) => {
                buf.clear();
                connection.spare = if buf.capacity() <= CONNECTION_OUTPUT { buf } else { Vec::new() };
            }
            Err(_) => connection.end(Ending::Now),
        }
        self.mark(conn);
    }

    /// The subscriptions that nobody listens to any more are returned.
    pub(super) fn closed(&mut self, conn: ConnId) -> Vec<(u64, ShardId)> {
        let Some(connection) = self.get(conn) else { return Vec::new() };
        let subscriptions = std::mem::take(&mut connection.subscriptions);
        let large = connection.input.large;
        self.large -= large;
        self.slots[conn.slot as usize] = None;
        self.open -= 1;
        subscriptions
    }

    /// A SUBSCRIBE goes to its shard: its number is taken until it ends.
    pub(super) fn subscribed(
        &mut self,
        conn: ConnId,
        subscription: u64,
        shard: ShardId,
    ) -> Result<(), Refusal> {
        let Some(connection) = self.get(conn) else { return Ok(()) };
        if connection.subscriptions.iter().any(|(taken, _)| *taken == subscription) {
            let observed = format!("{subscription} twice");
            return Err(Refusal::bad_frame("watch.subscription", "another correlation id", observed));
        }
        let limit = SUBSCRIPTIONS_PER_CONNECTION;
        if connection.subscriptions.len() >= limit {
            return Err(Refusal::throttled(
                "the list of the connection's subscriptions",
                limit,
                RETRY_QUEUE_MS,
            ));
        }
        connection.subscriptions.push((subscription, shard));
        Ok(())
    }

    /// The subscription has ended, or never began.
    pub(super) fn unsubscribed(&mut self, conn: ConnId, subscription: u64) {
        if let Some(connection) = self.get(conn) {
            connection.subscriptions.retain(|(taken, _)| *taken != subscription);
        }
    }

    /// Whose log a subscription is about.
    pub(super) fn shard_of(&self, conn: ConnId, subscription: u64) -> Option<ShardId> {
        let connection = self.peek(conn)?;
        connection.subscriptions.iter().find(|(taken, _)| *taken == subscription).map(|(_, shard)| *shard)
    }

    /// Whether more may be pushed to a connection; one that is gone takes everything.
    pub(super) fn has_room(&self, conn: ConnId) -> bool {
        self.peek(conn).is_none_or(|c| c.ending != Ending::No || c.has_room())
    }

    fn peek(&self, conn: ConnId) -> Option<&Connection> {
        self.slots.get(conn.slot as usize)?.as_ref().filter(|connection| connection.id == conn)
    }

    /// What no request has taken yet of a buffer that comes back with `moved` bytes more.
    pub(super) fn untaken<'a>(&self, conn: ConnId, buf: &'a [u8], moved: usize) -> Option<&'a [u8]> {
        buf.get(..self.peek(conn)?.input.filled + moved)
    }

    /// Takes session and bytes out, so that requests can be taken from them while the worker works on them.
    pub(super) fn lend(&mut self, conn: ConnId) -> Option<(ServerSession, Lent)> {
        let connection = self.get(conn)?;
        if connection.input.receiving || connection.ending != Ending::No {
            return None;
        }
        let bytes = std::mem::take(&mut connection.input.bytes);
        Some((connection.session.clone(), Lent { bytes, filled: connection.input.filled, used: 0 }))
    }

    /// `need` is how many bytes the next request takes, if that is known. The buffer grows with what has arrived: a
    /// header that promises much is not believed.
    pub(super) fn give_back(
        &mut self,
        now: Now,
        conn: ConnId,
        session: ServerSession,
        lent: Lent,
        need: usize,
    ) {
        let room = LARGE_INPUT - self.large;
        let Some(connection) = self.get(conn) else { return };
        let Lent { mut bytes, filled, used } = lent;
        bytes.copy_within(used..filled, 0);
        let filled = filled - used;
        connection.session = session;
        let size = if connection.session.is_open() { CONNECTION_INPUT } else { FIRST_INPUT };
        let wanted = size.max(need.min(2 * filled)).max(filled);
        let had = connection.input.large;
        let large = wanted.saturating_sub(CONNECTION_INPUT);
        let starved = large > had && large - had > room;
        let paused = !connection.may_ask();
        if !starved {
            bytes.resize(wanted, 0);
            if wanted == size && bytes.capacity() > 2 * size {
                bytes.shrink_to_fit();
            }
        }
        connection.patience.input(now, filled > 0 && !paused, used > 0);
        let (large, wants) = if starved { (had, Some(need)) } else { (large, None) };
        connection.input = Input { bytes, large, filled, receiving: false, paused, wants };
        self.large = self.large + large - had;
        self.mark(conn);
    }

    pub(super) fn may_ask(&mut self, conn: ConnId) -> bool {
        self.get(conn).is_some_and(|connection| connection.may_ask())
    }

    /// A request of this connection is under way.
    pub(super) fn asked(&mut self, conn: ConnId) {
        if let Some(connection) = self.get(conn) {
            connection.waiting += 1;
        }
    }

    /// The answer to a request that was under way.
    pub(super) fn answer(&mut self, conn: ConnId, meta: ReplyMeta, answer: Answer, tag: u32) {
        self.mark(conn);
        let Some(connection) = self.get(conn) else { return };
        connection.held.push_back((meta, answer));
        connection.encode_held(tag);
    }

    /// Where the reply to a request that was under way goes; `None` if the connection is gone.
    pub(super) fn reply(&mut self, conn: ConnId) -> Option<&mut Vec<u8>> {
        self.get(conn)?.waiting -= 1;
        self.output(conn)
    }

    /// Where a reply goes that was never under way.
    pub(super) fn output(&mut self, conn: ConnId) -> Option<&mut Vec<u8>> {
        self.mark(conn);
        self.get(conn)
            .filter(|connection| connection.ending < Ending::Now)
            .map(|connection| &mut connection.output)
    }

    pub(super) fn close_after_output(&mut self, conn: ConnId) {
        if let Some(connection) = self.get(conn) {
            connection.end(Ending::AfterOutput);
        }
        self.mark(conn);
    }

    pub(super) fn close_all_after_output(&mut self) {
        self.close_all(Ending::AfterOutput);
    }

    pub(super) fn close_all_now(&mut self) {
        self.close_all(Ending::Now);
    }

    fn close_all(&mut self, ending: Ending) {
        let ids: Vec<ConnId> =
            self.slots.iter().flatten().filter(|c| c.ending < ending).map(|c| c.id).collect();
        for conn in ids {
            if let Some(connection) = self.get(conn) {
                connection.end(ending);
            }
            self.mark(conn);
        }
    }

    /// Ends connections that do not go on, and reads large frames on that waited for room.
    pub(super) fn tick(&mut self, now: Now) {
        let over = |c: &&Connection| c.patience.is_over(now, c.standing());
        let ids: Vec<ConnId> = self.slots.iter().flatten().filter(over).map(|c| c.id).collect();
        ids.into_iter().for_each(|conn| self.end_now(conn));
        self.dismiss_an_idle_one(now);
        let starved: Vec<ConnId> =
            self.slots.iter().flatten().filter(|c| c.input.wants.is_some()).map(|c| c.id).collect();
        for conn in starved {
            let Some((session, lent)) = self.lend(conn) else { continue };
            let need = self.get(conn).and_then(|connection| connection.input.wants).unwrap_or(0);
            self.give_back(now, conn, session, lent, need);
        }
    }

    /// Connections that were paused and may go on.
    pub(super) fn resumable(&mut self) -> Vec<ConnId> {
        let Self { slots, dirty, .. } = self;
        let may_go_on = |conn: &&ConnId| {
            let connection = slots.get(conn.slot as usize).and_then(Option::as_ref);
            connection.is_some_and(|c| c.input.paused && c.may_ask())
        };
        dirty.iter().filter(may_go_on).copied().collect()
    }

    /// Hands out what is to be sent, received and closed.
    pub(super) fn flush(&mut self, now: Now, tag: u32, effects: &mut Effects) {
        for conn in std::mem::take(&mut self.dirty) {
            if let Some(connection) = self.get(conn) {
                connection.dirty = false;
                connection.encode_held(tag);
                connection.flush(now, effects);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open == 0
    }

    fn get(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.slots.get_mut(conn.slot as usize)?.as_mut().filter(|connection| connection.id == conn)
    }

    fn mark(&mut self, conn: ConnId) {
        if let Some(connection) = self.get(conn)
            && !std::mem::replace(&mut connection.dirty, true)
        {
            self.dirty.push(conn);
        }
    }
}

impl Connection {
    fn may_ask(&self) -> bool {
        self.waiting < CONNECTION_REQUESTS && self.has_room() && self.ending == Ending::No
    }

    fn has_room(&self) -> bool {
        self.held.is_empty() && self.output.len() < CONNECTION_OUTPUT
    }

    fn encode_held(&mut self, tag: u32) {
        while self.output.len() < CONNECTION_OUTPUT
            && let Some((meta, answer)) = self.held.pop_front()
        {
            self.waiting -= 1;
            if self.ending < Ending::Now {
                answer::encode(&mut self.output, meta, &answer, tag);
            }
        }
    }

    /// Nothing is under way, or owed, or listened for.
    fn is_idle(&self) -> bool {
        let owes = self.waiting > 0 || !self.held.is_empty() || !self.output.is_empty() || self.sending.is_some();
        let asks = self.input.filled > 0 && !self.input.receiving;
        self.session.is_open() && self.ending == Ending::No && self.subscriptions.is_empty() && !owes && !asks
    }

    fn standing(&self) -> Standing {
        Standing { open: self.session.is_open(), sending: self.sending.is_some() }
    }

    /// An end never becomes a milder one.
    fn end(&mut self, ending: Ending) {
        self.ending = self.ending.max(ending);
    }

    fn flush(&mut self, now: Now, effects: &mut Effects) {
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
            self.sending = Some(0);
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
