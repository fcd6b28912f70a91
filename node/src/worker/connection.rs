//! Connections: bytes in, bytes out, and the bounds on both.
//!
//! At most one receive and one send of a connection are under way. A connection is read from only while it has few
//! enough requests and replies waiting, so a client that asks without reading stops itself and nobody else.

use seawall::frame::HEADER_LEN;
use seawall::limits::{HANDSHAKE_BODY_MAX, REQUEST_BODY_MAX};
use seawall::map::ShardId;
use seawall::refusal::Refusal;
use seawall::session::ServerSession;

use crate::params::{
    CONNECTION_INPUT, CONNECTION_OUTPUT, CONNECTION_REQUESTS, HANDSHAKE_US, RETRY_QUEUE_MS,
    SUBSCRIPTIONS_PER_CONNECTION,
};
use crate::seam::{ConnId, Effect, Effects, Now, SocketError};

const FIRST_INPUT: usize = HEADER_LEN + HANDSHAKE_BODY_MAX;
const _: () = assert!(CONNECTION_INPUT >= FIRST_INPUT);

/// All connections of a worker, by the slot that the driver gave them.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Option<Connection>>,
    /// Connections with something to do at the end of the turn.
    dirty: Vec<ConnId>,
    open: usize,
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
    ending: Ending,
    dirty: bool,
    opened_us: u64,
    /// Subscriptions by the correlation ids of their SUBSCRIBEs, and whose logs they are about.
    subscriptions: Vec<(u64, ShardId)>,
}

/// Bytes received and not yet used: `bytes[..filled]`. While the driver receives, it has `bytes`.
#[derive(Debug, Default)]
struct Input {
    bytes: Vec<u8>,
    filled: usize,
    receiving: bool,
    /// There may be a request in it that was not taken, because too much was under way.
    paused: bool,
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
            ending: Ending::No,
            dirty: false,
            opened_us: now.mono_us,
            subscriptions: Vec::new(),
        });
        effects.push(Effect::Receive { conn, buf: vec![0; FIRST_INPUT], from: 0 });
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
        conn: ConnId,
        mut buf: Vec<u8>,
        result: Result<usize, SocketError>,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.get(conn) else { return };
        let from = connection.sending.take().expect("a send was under way");
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
        self.peek(conn).is_none_or(|c| c.ending != Ending::No || c.output.len() < CONNECTION_OUTPUT)
    }

    fn peek(&self, conn: ConnId) -> Option<&Connection> {
        self.slots.get(conn.slot as usize)?.as_ref().filter(|connection| connection.id == conn)
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

    /// `need` is how many bytes the next request takes, if that is known.
    pub(super) fn give_back(&mut self, conn: ConnId, session: ServerSession, lent: Lent, need: usize) {
        let Some(connection) = self.get(conn) else { return };
        let Lent { mut bytes, filled, used } = lent;
        bytes.copy_within(used..filled, 0);
        let filled = filled - used;
        let size = if session.is_open() { CONNECTION_INPUT } else { FIRST_INPUT };
        bytes.resize(size.max(need).max(filled), 0);
        if bytes.len() == size && bytes.capacity() > 2 * size {
            bytes.shrink_to_fit();
        }
        connection.session = session;
        let paused = !connection.may_ask();
        connection.input = Input { bytes, filled, receiving: false, paused };
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

    /// Ends connections that did not say HELLO in time.
    pub(super) fn tick(&mut self, now: Now) {
        let silent = |c: &&Connection| !c.session.is_open() && now.mono_us > c.opened_us + HANDSHAKE_US;
        let ids: Vec<ConnId> = self.slots.iter().flatten().filter(silent).map(|c| c.id).collect();
        for conn in ids {
            if let Some(connection) = self.get(conn) {
                connection.end(Ending::Now);
            }
            self.mark(conn);
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
    pub(super) fn flush(&mut self, effects: &mut Effects) {
        for conn in std::mem::take(&mut self.dirty) {
            if let Some(connection) = self.get(conn) {
                connection.dirty = false;
                connection.flush(effects);
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
        let room = self.waiting < CONNECTION_REQUESTS && self.output.len() < CONNECTION_OUTPUT;
        room && self.ending == Ending::No
    }

    /// An end never becomes a milder one.
    fn end(&mut self, ending: Ending) {
        self.ending = self.ending.max(ending);
    }

    fn flush(&mut self, effects: &mut Effects) {
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
            effects.push(Effect::Send { conn, buf, from: 0 });
        }
        if self.ending == Ending::No && !self.input.receiving && !self.input.paused {
            self.input.receiving = true;
            let buf = std::mem::take(&mut self.input.bytes);
            effects.push(Effect::Receive { conn, buf, from: self.input.filled });
        }
    }
}
