//! The connections of a worker: who there is, who gives way to others, and the bounds on all of them together.

use std::collections::VecDeque;

use seawall::map::ShardId;
use seawall::refusal::Refusal;
use seawall::reply::ReplyMeta;
use seawall::session::ServerSession;

use super::connection::{Connection, Ending, FIRST_INPUT, Input, Lent, Room};
use crate::params::{
    CONNECTION_INPUT, CROWD_RESERVE, DEAF_US, IDLE_US, LARGE_INPUT, LARGE_OUTPUT, REST_US, RETRY_QUEUE_MS,
    STRANGERS, SUBSCRIPTIONS_PER_CONNECTION,
};
use crate::seam::{ConnId, Effect, Effects, Now, SocketError};
use crate::shard::release::Answer;

/// All connections of a worker, by the slot that the driver gave them.
#[derive(Debug)]
pub(super) struct Connections {
    slots: Vec<Option<Connection>>,
    /// Connections with something to do at the end of the turn.
    dirty: Vec<ConnId>,
    open: usize,
    /// Connections without HELLO, the oldest first; some of them may have said it meanwhile, or be gone.
    strangers: VecDeque<ConnId>,
    /// Bytes of receive buffers beyond [`CONNECTION_INPUT`].
    large: usize,
    /// The same of replies.
    room: Room,
    /// So many were hung up on for the room of others.
    deaf: u64,
    /// From so many on those that only lie there give way.
    crowded: usize,
}

impl Connections {
    /// `limit`: as many as the driver has places for, 0: nobody counts them. Links to other members take some of those,
    /// and are not counted here, so it is a crowd before all are taken.
    pub(super) fn new(limit: u32) -> Self {
        let crowded = limit - (limit / 4).min(CROWD_RESERVE);
        Self::bounded(crowded as usize, LARGE_OUTPUT)
    }

    fn bounded(crowded: usize, large_output: usize) -> Self {
        let room = Room { limit: large_output, used: 0 };
        Self {
            slots: Vec::new(),
            dirty: Vec::new(),
            open: 0,
            strangers: VecDeque::new(),
            large: 0,
            room,
            deaf: 0,
            crowded,
        }
    }

    pub(super) fn accepted(&mut self, now: Now, conn: ConnId, effects: &mut Effects) {
        let slot = conn.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        assert!(self.slots[slot].is_none(), "the driver gives a slot again only after `Closed`");
        self.open += 1;
        self.slots[slot] = Some(Connection::new(now, conn));
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

    /// Much of the room for replies is taken: those who take nothing of what they are owed are hung up on, who has not for
    /// longest first, until it is less.
    fn dismiss_deaf_ones(&mut self, now: Now) {
        if !self.room.tight() {
            return;
        }
        let deaf = |c: &&Connection| {
            let owed = c.sending.is_some() && c.large > 0 && c.ending < Ending::Now;
            owed && now.mono_us > c.patience.took_us() + DEAF_US
        };
        let mut deaf: Vec<_> = self.slots.iter().flatten().filter(deaf).collect();
        deaf.sort_by_key(|connection| connection.patience.took_us());
        // Those that were hung up on give theirs back when the driver is done with it.
        let closing = self.slots.iter().flatten().filter(|c| c.ending >= Ending::Now);
        let mut left = self.room.used - closing.map(|connection| connection.large).sum::<usize>();
        let all = deaf.iter().map(|connection| (connection.id, connection.large));
        let enough = all.take_while(|(_, large)| {
            let goes_on = left >= self.room.limit / 2;
            left -= large;
            goes_on
        });
        let ids: Vec<ConnId> = enough.map(|(conn, _)| conn).collect();
        self.deaf += ids.len() as u64;
        ids.into_iter().for_each(|conn| self.end_now(conn));
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
        buf: Vec<u8>,
        result: Result<usize, SocketError>,
        effects: &mut Effects,
    ) {
        let tight = self.room.tight();
        let Some(connection) = self.get(conn) else { return };
        let from = connection.sending.take().expect("a send was under way");
        connection.patience.took(now);
        match result {
            Ok(moved) if from + moved < buf.len() && connection.ending < Ending::Now => {
                connection.sending = Some(from + moved);
                return effects.push(Effect::Send { conn, buf, from: from + moved });
            }
            Ok(_) => connection.take_back(buf, tight),
            Err(_) => {
                connection.take_back(buf, tight);
                connection.end(Ending::Now);
            }
        }
        self.mark(conn);
    }

    /// The subscriptions that nobody listens to any more are returned.
    pub(super) fn closed(&mut self, conn: ConnId) -> Vec<(u64, ShardId)> {
        let Some(connection) = self.get(conn) else { return Vec::new() };
        let subscriptions = std::mem::take(&mut connection.subscriptions);
        let (input, output) = (connection.input.large, connection.large);
        self.large -= input;
        self.room.used -= output;
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
        let all = self.room.used < self.room.limit;
        self.peek(conn).is_none_or(|c| c.ending != Ending::No || (all && c.has_room(self.room.tight())))
    }

    /// Pushes a stream frame: whether there was room for it was asked before.
    pub(super) fn push(&mut self, conn: ConnId, frame: &[u8]) {
        if let Some(out) = self.output(conn) {
            out.extend_from_slice(frame);
        }
        self.count(conn);
    }

    /// What a connection takes of the room for replies now.
    fn count(&mut self, conn: ConnId) {
        let Self { slots, room, .. } = self;
        let connection = slots.get_mut(conn.slot as usize).and_then(Option::as_mut);
        if let Some(connection) = connection.filter(|connection| connection.id == conn) {
            let large = connection.large_output();
            room.used = room.used + large - std::mem::replace(&mut connection.large, large);
        }
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
        let (room, tight) = (LARGE_INPUT - self.large, self.room.tight());
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
        let paused = !connection.may_ask(tight);
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
        let tight = self.room.tight();
        self.get(conn).is_some_and(|connection| connection.may_ask(tight))
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
        let Self { slots, room, .. } = self;
        let connection = slots.get_mut(conn.slot as usize).and_then(Option::as_mut);
        let Some(connection) = connection.filter(|connection| connection.id == conn) else { return };
        connection.held.push_back((meta, answer));
        connection.encode_held(tag, room);
        self.count(conn);
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

    /// Ends connections that do not go on, and goes on with what waited for room.
    pub(super) fn tick(&mut self, now: Now) {
        let over = self.those(|c| c.patience.is_over(now, c.standing()));
        over.into_iter().for_each(|conn| self.end_now(conn));
        self.dismiss_an_idle_one(now);
        self.dismiss_deaf_ones(now);
        for conn in self.those(|c| c.large > 0 && now.mono_us > c.patience.took_us() + REST_US) {
            if let Some(connection) = self.get(conn) {
                connection.rest();
            }
            self.count(conn);
        }
        self.those(|c| !c.held.is_empty()).into_iter().for_each(|conn| self.mark(conn));
        for conn in self.those(|c| c.input.wants.is_some()) {
            let Some((session, lent)) = self.lend(conn) else { continue };
            let need = self.get(conn).and_then(|connection| connection.input.wants).unwrap_or(0);
            self.give_back(now, conn, session, lent, need);
        }
    }

    /// Connections that were paused and may go on.
    pub(super) fn resumable(&mut self) -> Vec<ConnId> {
        let tight = self.room.tight();
        let Self { slots, dirty, .. } = self;
        let may_go_on = |conn: &&ConnId| {
            let connection = slots.get(conn.slot as usize).and_then(Option::as_ref);
            connection.is_some_and(|c| c.input.paused && c.may_ask(tight))
        };
        dirty.iter().filter(may_go_on).copied().collect()
    }

    /// Hands out what is to be sent, received and closed.
    pub(super) fn flush(&mut self, now: Now, tag: u32, effects: &mut Effects) {
        for conn in std::mem::take(&mut self.dirty) {
            let Self { slots, room, .. } = self;
            let connection = slots.get_mut(conn.slot as usize).and_then(Option::as_mut);
            if let Some(connection) = connection.filter(|connection| connection.id == conn) {
                connection.dirty = false;
                connection.encode_held(tag, room);
                connection.flush(now, effects);
            }
            self.count(conn);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// Memory of replies beyond each connection's share, and how many were hung up on for it.
    pub(super) fn output_status(&self) -> (usize, u64) {
        (self.room.used, self.deaf)
    }

    fn those(&self, are: impl Fn(&Connection) -> bool) -> Vec<ConnId> {
        self.slots.iter().flatten().filter(|c| are(c)).map(|c| c.id).collect()
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

#[cfg(test)]
mod tests;
