//! Stream frames on their way from shards to connections, here or at another worker.
//!
//! A shard's worker has at most [`STREAM_LETTERS`] of them under way to one other worker, and one to each of its
//! connections. The other worker says that a frame was taken when the connection has room for more, so what a slow
//! client does not read waits in the log and nowhere else.

use std::collections::BTreeSet;

use seawall::frame::{self, FrameMeta, Kind};
use seawall::map::ShardId;
use seawall::message::watch::CancelRequest;
use seawall::message::{Opcode, RequestMeta};
use seawall::reply::{self, ReplyMeta};

use super::route::{Peers, home_of};
use super::{Connections, ReplyTo, Sent, Worker};
use crate::params::STREAM_LETTERS;
use crate::seam::{ConnId, Letter, Now, WorkerId};
use crate::shard::{self, Told};

#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Frames under way to connections of each other worker, at most one to each of them.
    under_way: Vec<BTreeSet<ConnId>>,
    /// Frames of other workers that were put into an output without room for more; said when there is room again.
    owed: Vec<(WorkerId, ConnId, u64)>,
    /// Subscriptions of connections that are gone, which their shards do not know yet.
    gone: Vec<(ConnId, u64, ShardId)>,
}

impl Streams {
    pub(super) fn new(workers: u16) -> Self {
        Self { under_way: vec![BTreeSet::new(); usize::from(workers)], ..Self::default() }
    }

    /// Everybody was told what ended here.
    pub(super) fn settled(&self) -> bool {
        self.gone.is_empty()
    }
}

/// Where the frames of a turn find their places. Each is put there before there is talk of the next one, so many
/// subscriptions of one connection have the room of one connection together.
struct Places<'a> {
    me: WorkerId,
    connections: &'a mut Connections,
    streams: &'a mut Streams,
    peers: &'a mut Peers,
    /// Told to connections of this worker.
    here: &'a mut Vec<(ConnId, u64)>,
}

impl shard::Listeners for Places<'_> {
    fn has_room(&mut self, worker: WorkerId, conn: ConnId) -> bool {
        if worker == self.me {
            return self.connections.has_room(conn);
        }
        let under_way = &self.streams.under_way[usize::from(worker.0)];
        under_way.len() < STREAM_LETTERS && !under_way.contains(&conn)
    }

    fn tell(&mut self, told: Told) {
        let Told { worker, conn, subscription, frame, last } = told;
        if worker == self.me {
            put(self.connections, conn, subscription, &frame, last);
            self.here.push((conn, subscription));
        } else {
            self.streams.under_way[usize::from(worker.0)].insert(conn);
            self.peers.reply(worker, Letter::Stream { conn, subscription, frame, last });
        }
    }
}

impl Worker {
    /// Each subscription of the shards here is told what it may be told now.
    pub(super) fn tell(&mut self, now: Now) {
        let generation = self.generation();
        let me = self.config.id;
        let Self { shards, connections, peers, streams, .. } = self;
        for shard in shards {
            let meta = ReplyMeta {
                shard: shard.id(),
                generation,
                role: reply::Role::Leader,
                state: shard.reply_state(),
                staleness_ms: shard.staleness_ms(now),
                ..ReplyMeta::default()
            };
            let mut here = Vec::new();
            let mut places = Places { me, connections, streams, peers, here: &mut here };
            shard.tell(now, meta, &mut places);
            here.into_iter().for_each(|(conn, subscription)| shard.taken(me, conn, subscription));
        }
    }

    /// A frame of another worker's shard for a connection of this one.
    pub(super) fn streamed(
        &mut self,
        from: WorkerId,
        conn: ConnId,
        subscription: u64,
        frame: &[u8],
        last: bool,
    ) {
        put(&mut self.connections, conn, subscription, frame, last);
        self.streams.owed.push((from, conn, subscription));
        self.say_taken();
    }

    /// The frame of a shard here found its place at another worker.
    pub(super) fn stream_taken(&mut self, by: WorkerId, conn: ConnId, subscription: u64) {
        self.streams.under_way[usize::from(by.0)].remove(&conn);
        self.shards.iter_mut().for_each(|shard| shard.taken(by, conn, subscription));
    }

    /// Says what was taken to those whose connections have room again, or are gone.
    pub(super) fn say_taken(&mut self) {
        let Self { streams, connections, peers, .. } = self;
        for (worker, conn, subscription) in
            streams.owed.extract_if(.., |(_, conn, _)| connections.has_room(*conn))
        {
            peers.reply(worker, Letter::StreamTaken { conn, subscription });
        }
    }

    /// A connection is gone: its subscriptions end.
    pub(super) fn hung_up(&mut self, conn: ConnId) {
        let ended = self.connections.closed(conn);
        self.streams.gone.extend(ended.into_iter().map(|(subscription, shard)| (conn, subscription, shard)));
    }

    /// Cancels the subscriptions of connections that are gone, as far as their workers have places for requests.
    pub(super) fn cancel_gone(&mut self, now: Now) {
        for (conn, subscription, shard) in std::mem::take(&mut self.streams.gone) {
            let frame = cancel(subscription);
            let (meta, request) = shard::decode(&frame);
            let home = home_of(shard, self.config.workers);
            if home == self.config.id {
                self.ask(now, shard, ReplyTo::here(home, conn, meta), request, Sent::Frame(&frame));
            } else if self.peers.request(home, Letter::Request { conn, shard, frame }).is_err() {
                self.streams.gone.push((conn, subscription, shard));
            }
        }
    }
}

fn put(connections: &mut Connections, conn: ConnId, subscription: u64, frame: &[u8], last: bool) {
    connections.push(conn, frame);
    if last {
        connections.unsubscribed(conn, subscription);
    }
}

fn cancel(subscription: u64) -> Vec<u8> {
    let mut frame = Vec::new();
    let request = RequestMeta::default();
    let meta = FrameMeta {
        kind: Kind::Request,
        opcode: Opcode::Cancel as u16,
        correlation: request.correlation,
        generation: request.generation,
        shard: request.shard,
        deadline_ms: 0,
        tags: &[],
    };
    frame::write(&mut frame, &meta, |out| CancelRequest { subscription }.encode(out));
    frame
}
