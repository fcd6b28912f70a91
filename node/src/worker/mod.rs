//! What one core owns, its connections and its shards, behind one synchronous function.
//!
//! ```text
//! Received -> connection.session -> route -> shard.request -> ... EndOfTurn: log.pump -> Disk
//! Disk     -> shard.disk -> release ------------------------> EndOfTurn: deliver -> Send
//! ```
//! [`Worker::step`] takes one event at a time. The start is `Boot` for each shard, then `MapChanged`, then
//! connections. After the events that were at hand together comes `EndOfTurn`: there batches are sealed and
//! replies leave. No I/O, no clock, no thread: the same events give the same effects.

mod answer;
mod connection;
mod connections;
mod foresight;
mod here;
pub mod links;
mod patience;
mod route;
mod stream;

use std::sync::Arc;

use seawall::map::{Generation, Map, MemberId, ShardId};
use seawall::message::{HelloReply, Limits, Request, RequestMeta};
use seawall::position::{Lineage, Position};
use seawall::refusal::Refusal;
use seawall::reply::{self, Flags, ReplyMeta};
use seawall::session::{Fatal, Next};
use seawall_wal::{LogLimits, Start};

use crate::params::STOP_US;
use crate::seam::{ConnId, Effect, Effects, Event, Letter, LogFound, Now, WorkerId, WorkerStatus};
use crate::shard::release::{OnlyIf, Proof, Released};
use crate::shard::{Budget, ReadProof, ReplyTo, Sent, Shard};
use connections::Connections;
use foresight::Foresight;
use route::Peers;
pub use route::home_of;
use stream::Streams;

/// What a worker is told before its first event.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    pub id: WorkerId,
    /// Workers of this node.
    pub workers: u16,
    /// `None`: it is alone, and needs no name.
    pub member: Option<MemberId>,
    pub lineage: Lineage,
    pub limits: LogLimits,
    pub budget: Budget,
    pub read_proof: ReadProof,
    pub capabilities: Capabilities,
}

/// What HELLO says of the machinery below.
#[derive(Clone, Debug, Default)]
pub struct Capabilities {
    /// `ring` or `syscall`.
    pub driver: String,
    /// How writes become durable, in words: what the start chose, until `Event::DurableBy` says otherwise.
    pub durable_primitive: String,
    pub direct_io: bool,
    /// Started for development.
    pub dev: bool,
    /// So many connections it has places for; 0: nobody counts them.
    pub connections: u32,
}

#[derive(Debug)]
pub struct Worker {
    config: WorkerConfig,
    /// Stands in each token.
    lineage_tag: u32,
    map: Option<Arc<Map>>,
    connections: Connections,
    shards: Vec<Shard>,
    peers: Peers,
    streams: Streams,
    foresight: Foresight,
    stop: Option<Stop>,
}

#[derive(Clone, Copy, Debug)]
struct Stop {
    by_us: u64,
    said: bool,
}

impl Worker {
    pub fn new(config: WorkerConfig) -> Self {
        let peers = Peers::new(config.id, config.workers);
        let streams = Streams::new(config.workers);
        Self {
            lineage_tag: config.lineage.tag(),
            connections: Connections::new(config.capabilities.connections),
            config,
            map: None,
            shards: Vec::new(),
            peers,
            streams,
            foresight: Foresight::default(),
            stop: None,
        }
    }

    pub fn step(&mut self, now: Now, event: Event, effects: &mut Effects) {
        // What happens after the end, a tick say, starts nothing new.
        if self.stop.is_some_and(|stop| stop.said) && !matches!(event, Event::StatusAsked { .. }) {
            return;
        }
        match event {
            Event::Boot { shard, found } => self.boot(shard, found, effects),
            // What is told late is older than what is known; and what is told twice changes nothing: a candidate that
            // waits for the authority would begin anew each time.
            Event::MapChanged(map) if map.generation() <= self.generation() => {}
            Event::MapChanged(map) => {
                let member = self.config.member;
                self.shards.iter_mut().for_each(|shard| shard.map_changed(now, member, &map, effects));
                self.map = Some(map);
            }
            Event::NewestMap { shard, round, generation } => {
                self.shard(shard).newest_map_is(round, generation, effects);
            }
            Event::Heard { from, shard, frame } => {
                // A follower that is to end takes nothing more: its log would never be quiet.
                let stopping = self.stop.is_some();
                let shard = self.shard(shard);
                if !(stopping && shard.follows_others()) {
                    shard.heard(now, from, &frame, effects);
                }
            }
            Event::Accepted { conn } => self.connections.accepted(now, conn, effects),
            Event::Received { conn, buf, result } => {
                self.connections.received(conn, buf, result);
                self.take_requests(now, conn);
            }
            Event::Sent { conn, buf, result } => self.connections.sent(now, conn, buf, result, effects),
            Event::Closed { conn } => self.hung_up(conn),
            Event::Disk { shard, done } => self.shard(shard).disk(now, done, effects),
            Event::Folded { shard, done } => self.shard(shard).folded(done, effects),
            Event::Scrubbed { shard, round, result } => self.shard(shard).scrubbed(round, result, effects),
            Event::Mail { from, letter } => self.mail(now, from, letter),
            Event::StatusAsked { ticket } => effects.push(Effect::Status { ticket, status: self.status() }),
            Event::ClockAccepted { shard } => self.shard(shard).accept_clock(now),
            Event::DurableBy(primitive) => self.config.capabilities.durable_primitive = primitive.to_owned(),
            Event::Ordered { shard, ticket, order } => {
                self.shard(shard).order(now, ticket, *order, effects);
            }
            Event::Tick => self.tick(now, effects),
            Event::Stop => {
                self.shards.iter_mut().for_each(Shard::stop_waiting);
                self.stop = Some(Stop { by_us: now.mono_us + STOP_US, said: false });
            }
            Event::EndOfTurn => self.end_of_turn(now, effects),
        }
    }

    /// Takes the requests that a connection's bytes hold, as far as it may have more under way.
    fn take_requests(&mut self, now: Now, conn: ConnId) {
        let Some((mut session, mut lent)) = self.connections.lend(conn) else { return };
        let mut need = 0;
        while self.connections.may_ask(conn) {
            self.foresee_frames(lent.rest());
            let used = match session.next(lent.rest()) {
                Ok(Next::Need(bytes)) => {
                    need = bytes;
                    break;
                }
                Ok(Next::Request { meta, request: Request::Hello(hello), used }) => {
                    let accepted = session.accept(&hello);
                    self.hello(now, conn, &meta, accepted);
                    used
                }
                Ok(Next::Request { meta, request, used }) => {
                    let frame = lent.rest().get(..used).unwrap_or_default();
                    self.route(now, conn, meta, request, Sent::Frame(frame));
                    self.deliver(now); // what is answered at once counts against the output before the next one
                    used
                }
                Ok(Next::Refused { meta, refusal, used }) => {
                    self.refuse(conn, &meta, &refusal);
                    used
                }
                Err(Fatal { meta, refusal }) => {
                    self.refuse(conn, &meta, &refusal);
                    self.connections.close_after_output(conn);
                    break;
                }
            };
            self.foresight.took();
            lent.used(used);
        }
        self.connections.give_back(now, conn, session, lent, need);
    }

    fn hello(&mut self, now: Now, conn: ConnId, meta: &RequestMeta, accepted: Result<u8, Refusal>) {
        let version = match accepted {
            Ok(version) => version,
            Err(refusal) => {
                self.refuse(conn, meta, &refusal);
                return self.connections.close_after_output(conn);
            }
        };
        let Capabilities { driver, durable_primitive, direct_io, dev, .. } = self.config.capabilities.clone();
        let hello = HelloReply {
            version,
            features: 0, // none is defined yet
            lineage: self.config.lineage,
            cluster: self.config.lineage,
            server_time_us: now.wall_us,
            limits: Limits::default(),
            driver,
            durable_primitive,
            direct_io,
            dev,
        };
        let meta = ReplyMeta { generation: self.generation(), ..ReplyMeta::to(meta) };
        if let Some(out) = self.connections.output(conn) {
            reply::encode_hello(out, &meta, &hello);
        }
    }

    /// A refusal that looked at no shard.
    fn refuse(&mut self, conn: ConnId, request: &RequestMeta, refusal: &Refusal) {
        let meta = ReplyMeta { generation: self.generation(), ..ReplyMeta::to(request) };
        if let Some(out) = self.connections.output(conn) {
            reply::encode_refusal(out, &meta, refusal);
        }
    }

    fn end_of_turn(&mut self, now: Now, effects: &mut Effects) {
        self.deliver(now);
        for conn in self.connections.resumable() {
            self.take_requests(now, conn);
        }
        let ending = self.stop.is_some() && self.connections.is_empty();
        for shard in &mut self.shards {
            if ending {
                shard.fence(now);
                shard.mark_clean();
            }
            shard.end_of_turn(now, effects);
        }
        self.cancel_gone(now);
        self.deliver(now);
        for shard in &mut self.shards {
            effects.extend(shard.take_said().map(|(to, frame)| Effect::Say { to, frame }));
        }
        self.tell(now);
        self.say_taken();
        self.peers.post(effects);
        if self.stop.is_some() {
            self.connections.close_all_after_output();
        }
        self.connections.flush(now, self.lineage_tag, effects);
        self.say_stopped(effects);
    }

    /// Brings the answers that may leave to their connections, here or at another worker.
    fn deliver(&mut self, now: Now) {
        let generation = self.generation();
        let Self { config, lineage_tag, shards, connections, peers, .. } = self;
        for shard in shards.iter_mut().filter(|shard| shard.has_ready()) {
            let (id, state, staleness_ms) = (shard.id(), shard.reply_state(), shard.staleness_ms(now));
            let role = shard.reply_role();
            for Released { to, answer, only_if } in shard.take_ready(now) {
                let (staleness_ms, flags) = match only_if {
                    OnlyIf::Proven(Proof::RoundTrip) => (Some(0), Flags::ROUND_TRIP),
                    OnlyIf::Proven(Proof::Authority) => (Some(0), Flags::AUTHORITY),
                    _ => (staleness_ms, Flags::default()),
                };
                let meta = ReplyMeta {
                    shard: id,
                    generation,
                    role,
                    state,
                    flags,
                    staleness_ms,
                    ..ReplyMeta::to(&to.request)
                };
                let ended = answer.ends(&to.request);
                if to.worker == config.id {
                    ended.into_iter().for_each(|ended| connections.unsubscribed(to.conn, ended));
                    connections.answer(to.conn, meta, answer, *lineage_tag);
                } else {
                    let mut frame = Vec::new();
                    answer::encode(&mut frame, meta, &answer, *lineage_tag);
                    peers.reply(to.worker, Letter::Reply { conn: to.conn, frame, ended });
                }
            }
        }
    }

    fn boot(&mut self, id: ShardId, found: LogFound, effects: &mut Effects) {
        let Self { config, shards, .. } = self;
        if let Some(again) = shards.iter_mut().find(|shard| shard.id() == id) {
            return again.opened(found, effects);
        }
        let start = if config.member.is_some() { Start::Follow } else { Start::Alone };
        let mut shard = Shard::boot(id, config.lineage, config.limits, config.budget, found, start, effects);
        shard.prove_reads_by(config.read_proof);
        shards.push(shard);
    }

    fn tick(&mut self, now: Now, effects: &mut Effects) {
        self.shards.iter_mut().for_each(|shard| shard.tick(now, effects));
        self.connections.tick(now);
        if self.stop.is_some_and(|stop| now.mono_us >= stop.by_us) {
            self.connections.close_all_now();
        }
    }

    /// The end of a stop: tell the other workers that no request comes from here any more, wait until they said the
    /// same, finish what is on the disk.
    fn say_stopped(&mut self, effects: &mut Effects) {
        let Some(stop) = &mut self.stop else { return };
        if self.connections.is_empty() && self.streams.settled() {
            self.peers.leave();
            self.peers.post(effects);
        }
        if !stop.said && self.peers.all_left() && self.shards.iter().all(Shard::is_quiet) {
            stop.said = true;
            effects.push(Effect::Stopped);
        }
    }

    fn status(&self) -> WorkerStatus {
        let (output_bytes, deaf) = self.connections.output_status();
        WorkerStatus {
            worker: self.config.id,
            connections: self.connections.len(),
            output_bytes,
            deaf,
            shards: self.shards.iter().map(Shard::status).collect(),
            links: Vec::new(),
        }
    }

    /// Where the state of a shard stands here, and what it holds, as one number: whoever stands there, too, holds the same
    /// (I7).
    pub fn held(&self, shard: ShardId) -> Option<(Position, u64)> {
        self.shards.iter().find(|known| known.id() == shard)?.held()
    }

    fn shard(&mut self, id: ShardId) -> &mut Shard {
        self.shards
            .iter_mut()
            .find(|shard| shard.id() == id)
            .expect("an event names a shard that was booted here")
    }

    fn generation(&self) -> Generation {
        self.map.as_ref().map_or(Generation::ANY, |map| map.generation())
    }
}

impl ReplyTo {
    fn here(worker: WorkerId, conn: ConnId, request: RequestMeta) -> Self {
        Self { worker, conn, request }
    }
}
