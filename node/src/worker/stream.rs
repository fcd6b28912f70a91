//! Stream frames on their way from shards to connections, here or at another worker.
//!
//! A shard's worker has at most [`STREAM_LETTERS`] of them under way to one other worker, and one of each
//! subscription. The other worker says that a frame was taken when the connection has room for more, so what a slow
//! client does not read waits in the log and nowhere else.

use seawall::frame::{self, FrameMeta, Kind};
use seawall::map::ShardId;
use seawall::message::watch::CancelRequest;
use seawall::message::{Opcode, RequestMeta};
use seawall::reply::{self, ReplyMeta};

use super::route::home_of;
use super::{Connections, ReplyTo, Sent, Worker};
use crate::params::STREAM_LETTERS;
use crate::seam::{ConnId, Letter, Now, WorkerId};
use crate::shard::{self, Told};

#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Frames under way to each other worker.
    under_way: Vec<usize>,
    /// Frames of other workers that were put into an output without room for more; said when there is room again.
    owed: Vec<(WorkerId, ConnId, u64)>,
    /// Subscriptions of connections that are gone, which their shards do not know yet.
    gone: Vec<(ConnId, u64, ShardId)>,
}

impl Streams {
    pub(super) fn new(workers: u16) -> Self {
        Self { under_way: vec![0; usize::from(workers)], ..Self::default() }
    }

    /// Everybody was told what ended here.
    pub(super) fn settled(&self) -> bool {
        self.gone.is_empty()
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
            let mut places: Vec<usize> = streams.under_way.iter().map(|n| STREAM_LETTERS - n).collect();
            let room = |worker: WorkerId, conn| match worker == me {
                true => connections.has_room(conn),
                false => {
                    let places = &mut places[usize::from(worker.0)];
                    let free = *places > 0;
                    *places -= usize::from(free);
                    free
                }
            };
            let mut told = Vec::new();
            shard.tell(now, meta, room, |frame| told.push(frame));
            for Told { worker, conn, subscription, frame, last } in told {
                if worker == me {
                    put(connections, conn, subscription, &frame, last);
                    here.push((conn, subscription));
                } else {
                    streams.under_way[usize::from(worker.0)] += 1;
                    peers.reply(worker, Letter::Stream { conn, subscription, frame, last });
                }
            }
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
        self.streams.under_way[usize::from(by.0)] -= 1;
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
    if let Some(out) = connections.output(conn) {
        out.extend_from_slice(frame);
    }
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
