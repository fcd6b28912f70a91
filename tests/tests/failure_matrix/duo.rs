//! A leader and a follower, and at times a third one, event by event: the workers of the node on disks with a volatile cache, and the messages
//! between them, in the hand of the test. It can stop between any two steps, and end any process there.

use std::collections::VecDeque;
use std::sync::Arc;

use seawall::map::{Generation, Map, MemberId, Parts, Policy, Replicas, ShardId};
use seawall::position::{Epoch, Lineage};
use seawall_node::seam::order::Obeyed;
use seawall_node::seam::{Effect, Event, FollowerStatus, LogFound, Now, ShardStatus, WorkerId};
use seawall_node::shard::{Budget, ReadProof};
use seawall_node::worker::{Capabilities, Worker, WorkerConfig};
use seawall_wal::recover::Report;
use seawall_wal::{Buffer, FileId, Io, IoError, IoStep, LogLimits};

use crate::client::Client;
use crate::support::LOG;
use crate::volatile::{Crash, Left, Volatile};

pub const SHARD: ShardId = ShardId(1);
pub const LEADER: usize = 0;
pub const FOLLOWER: usize = 1;
pub const THIRD: usize = 2;
const SECOND: u64 = 1_000_000;
const TICK_US: u64 = 50_000;

/// An operation of a disk, or its end that the worker has not heard of.
#[derive(Debug)]
pub enum Op {
    UnderWay(Io),
    Ended(Event),
    Reopen,
}

pub struct Member {
    pub disk: Volatile,
    worker: Option<Worker>,
    pub ops: VecDeque<Op>,
    /// Of each recovery since the process started.
    pub reports: Vec<Report>,
    /// What it said loudly, with its first word saying what kind it is.
    pub loud: Vec<String>,
    pub obeyed: Vec<Obeyed>,
    pub clients: Vec<Client>,
    status: Option<ShardStatus>,
    /// Its disk does nothing for now.
    pub stuck: bool,
}

#[derive(Clone, Debug)]
pub enum Letter {
    Frame { from: usize, to: usize, frame: Vec<u8> },
    Map { to: usize },
}

pub struct Duo {
    pub members: Vec<Member>,
    pub map: Arc<Map>,
    pub wire: VecDeque<Letter>,
    /// Nothing that they say arrives.
    pub parted: bool,
    /// It hears nobody, the authority neither, and nobody hears it.
    pub cut_off: Option<usize>,
    /// What the authority is asked for is on its way, and comes there when the test says so.
    pub holds_proposals: bool,
    pub proposals: Vec<Map>,
    /// By how much the clock of each is fast, in millionths.
    pub drift_ppm: [i64; 3],
    /// When somebody asked the authority for the newest map.
    pub questions: Vec<u64>,
    /// It answers nobody for now; what it would have said.
    pub silent_authority: Option<Vec<(usize, Event)>>,
    /// Bytes a second; what is asked for is read at once.
    pub scrub: u64,
    /// Which files were read.
    pub scrubbed: Vec<(usize, FileId)>,
    pub limits: LogLimits,
    read_proof: ReadProof,
    pub now_us: u64,
}

impl Duo {
    /// When the world begins, by its wall clocks.
    pub const WALL_US: i64 = 1_767_225_598_000_000;

    /// Disks as they are after `seawall format`, and nobody runs.
    pub fn new(limits: LogLimits, min_in_sync: u8) -> Self {
        Self::proving(limits, min_in_sync, ReadProof::Lease)
    }

    pub fn proving(limits: LogLimits, min_in_sync: u8, read_proof: ReadProof) -> Self {
        Self::of(2, limits, Policy { min_in_sync, ..POLICY }, read_proof)
    }

    pub fn of(members: u32, limits: LogLimits, policy: Policy, read_proof: ReadProof) -> Self {
        let member = |_| Member {
            disk: Volatile::new(),
            worker: None,
            ops: VecDeque::new(),
            reports: Vec::new(),
            loud: Vec::new(),
            obeyed: Vec::new(),
            clients: Vec::new(),
            status: None,
            stuck: false,
        };
        Self {
            members: (0..members).map(member).collect(),
            map: Arc::new(map(members, policy)),
            wire: VecDeque::new(),
            parted: false,
            cut_off: None,
            holds_proposals: false,
            proposals: Vec::new(),
            drift_ppm: [0; 3],
            questions: Vec::new(),
            silent_authority: None,
            scrub: 0,
            scrubbed: Vec::new(),
            limits,
            read_proof,
            now_us: SECOND,
        }
    }

    /// Both run, one leads, the other one streams and is recorded.
    pub fn serving(limits: LogLimits) -> Self {
        let mut duo = Self::new(limits, 2);
        duo.start(LEADER);
        duo.start(FOLLOWER);
        duo.pass(4 * SECOND);
        assert_eq!((duo.status(LEADER).state, duo.status(FOLLOWER).state), ("serving", "streaming"));
        duo
    }

    pub fn start(&mut self, nth: usize) {
        let worker = Worker::new(WorkerConfig {
            id: WorkerId(0),
            workers: 1,
            member: Some(MemberId(nth as u32 + 1)),
            lineage: Lineage(LOG.lineage),
            limits: self.limits,
            budget: Budget { scrub_bytes_per_second: self.scrub, ..Budget::default() },
            read_proof: self.read_proof,
            capabilities: Capabilities::default(),
        });
        let member = &mut self.members[nth];
        assert!(member.worker.is_none(), "one process at a time");
        member.worker = Some(worker);
        (member.reports, member.loud, member.clients) = (Vec::new(), Vec::new(), Vec::new());
        self.boot(nth);
        self.event(nth, Event::MapChanged(self.map.clone()));
    }

    fn boot(&mut self, nth: usize) {
        let found = LogFound { files: self.members[nth].disk.found(), buffers: self.limits.buffers() };
        self.event(nth, Event::Boot { shard: SHARD, found });
    }

    /// The process or the machine of a member ends. What it said and was not heard is lost with its connections.
    pub fn crash(&mut self, nth: usize, crash: &Crash) {
        let member = &mut self.members[nth];
        (member.worker, member.stuck) = (None, false);
        member.ops.clear();
        member.disk = member.disk.after(crash);
        self.wire.clear();
    }

    pub fn crash_and_start(&mut self, nth: usize, crash: &Crash) {
        self.crash(nth, crash);
        self.start(nth);
    }

    pub fn event(&mut self, nth: usize, event: Event) {
        self.now_us += 1;
        let fast_us = self.now_us.cast_signed() * self.drift_ppm.get(nth).unwrap_or(&0) / 1_000_000;
        let mono_us = self.now_us.saturating_add_signed(fast_us);
        let now = Now { mono_us, wall_us: Self::WALL_US + self.now_us.cast_signed() };
        let Some(worker) = &mut self.members[nth].worker else { return };
        let mut effects = Vec::new();
        worker.step(now, event, &mut effects);
        worker.step(now, Event::EndOfTurn, &mut effects);
        effects.into_iter().for_each(|effect| self.execute(nth, effect));
    }

    fn execute(&mut self, nth: usize, effect: Effect) {
        let member = &mut self.members[nth];
        match effect {
            Effect::Receive { conn, buf, .. } => member.clients[conn.slot as usize].lends(buf),
            Effect::Send { conn, buf, from } => {
                member.clients[conn.slot as usize].hears(&buf[from..]);
                let result = Ok(buf.len() - from);
                self.event(nth, Event::Sent { conn, buf, result });
            }
            Effect::Close { conn } => self.event(nth, Event::Closed { conn }),
            Effect::Disk { io, .. } => {
                member.disk.accept(&io);
                member.ops.push_back(Op::UnderWay(io));
            }
            Effect::Reopen { .. } => member.ops.push_back(Op::Reopen),
            Effect::Say { to, frame } if !self.parted => {
                let (from, to) = (nth, to.0 as usize - 1);
                if self.cut_off.is_none_or(|off| off != from && off != to) {
                    self.wire.push_back(Letter::Frame { from, to, frame });
                }
            }
            Effect::Say { .. } => {}
            Effect::Obeyed { obeyed, .. } => member.obeyed.push(obeyed),
            Effect::Propose { .. } if self.cut_off == Some(nth) => {}
            Effect::Propose { map } if self.holds_proposals => self.proposals.push(*map),
            Effect::Propose { map } => self.propose(*map),
            Effect::AskMap { shard, round } => {
                self.questions.push(self.now_us);
                let generation = self.map.generation();
                let answer = Event::NewestMap { shard, round, generation };
                match &mut self.silent_authority {
                    Some(unsaid) => unsaid.push((nth, answer)),
                    None => self.event(nth, answer),
                }
            }
            Effect::Status { mut status, .. } => member.status = status.shards.pop(),
            Effect::Recovered { report, .. } => member.reports.push(*report),
            Effect::ReplicaHalted { why, .. } => member.loud.push(format!("halted: {why}")),
            Effect::ReplicaTroubled { why, .. } => member.loud.push(format!("does not go on: {why}")),
            Effect::ReplicaReseeds { why, .. } => member.loud.push(format!("reseeds: {why}")),
            Effect::LogFailed { why, .. } => member.loud.push(format!("failed: {why}")),
            Effect::FoldFailed { why, .. } => member.loud.push(format!("not folded: {why}")),
            Effect::CommitsRefused { why, .. } => member.loud.push(format!("commits are refused: {why}")),
            Effect::Unproven { why, .. } => {
                member.loud.extend(why.map(|why| format!("no read is served: {why}")));
            }
            Effect::NoSpace { why, .. } => member.loud.push(format!("no space: {why}")),
            Effect::Rotten { why, .. } => member.loud.push(format!("rotten: {why}")),
            Effect::Scrub { shard, round, job, .. } => {
                self.scrubbed.push((nth, job.file()));
                let files = member.disk.read().files;
                let mut buffer = Buffer::new(0, job.buffer_bytes());
                let result = job.run(&mut buffer, &mut |offset, bytes| {
                    let from = usize::try_from(offset).expect("a place in memory");
                    let file = files.get(&job.file()).and_then(|file| file.get(from..from + bytes.len()));
                    bytes.copy_from_slice(file.ok_or(IoError { step: IoStep::Read, errno: 2 })?);
                    Ok(())
                });
                self.event(nth, Event::Scrubbed { shard, round, result });
            }
            Effect::Mail { .. } | Effect::Stopped => panic!("nobody asked for {effect:?}"),
        }
    }

    /// The authority hears what it is asked for, and tells everybody what it holds then.
    pub fn propose(&mut self, map: Map) {
        if map.generation().0 == self.map.generation().0 + 1 {
            self.map = Arc::from(map);
        }
        let told = (0..self.members.len()).filter(|to| self.cut_off != Some(*to));
        self.wire.extend(told.map(|to| Letter::Map { to }));
    }

    /// The next step of anything: an operation of a disk becomes durable, its end is heard, a letter arrives.
    pub fn step(&mut self) -> bool {
        (0..self.members.len()).any(|nth| self.disk_step(nth)) || self.letter_arrives()
    }

    pub fn disk_step(&mut self, nth: usize) -> bool {
        let member = &mut self.members[nth];
        if member.stuck || member.worker.is_none() {
            return false;
        }
        match member.ops.pop_front() {
            None => return false,
            Some(Op::Ended(event)) => self.event(nth, event),
            Some(Op::Reopen) => self.boot(nth),
            Some(Op::UnderWay(io)) => {
                let shard = SHARD;
                let ended = match io {
                    Io::Fold(job) => Event::Folded { shard, done: member.disk.fold(&job) },
                    Io::Adopt(job) => Event::Folded { shard, done: member.disk.adopt(&job) },
                    io => Event::Disk { shard, done: member.disk.finish(io) },
                };
                member.ops.push_front(Op::Ended(ended));
            }
        }
        true
    }

    fn letter_arrives(&mut self) -> bool {
        match self.wire.pop_front() {
            None => return false,
            Some(Letter::Map { to }) => self.event(to, Event::MapChanged(self.map.clone())),
            Some(Letter::Frame { from, to, frame }) => {
                let from = MemberId(from as u32 + 1);
                self.event(to, Event::Heard { from, shard: SHARD, frame });
            }
        }
        true
    }

    /// Whether a power cut now leaves the record of this commit on a member's disk.
    pub fn keeps(&self, nth: usize, n: u64) -> bool {
        let disk = self.members[nth].disk.after(&Crash::Power(vec![Left::Nothing]));
        let number = format!("{n:016}");
        let holds = |bytes: &Vec<u8>| bytes.windows(16).any(|window| window == number.as_bytes());
        disk.read().files.values().any(holds)
    }

    /// So many steps; false when nothing was left to do before.
    pub fn steps(&mut self, count: usize) -> bool {
        (0..count).all(|_| self.step())
    }

    /// A step, or, when there is none to do, a tick.
    pub fn go_on(&mut self) {
        if !self.step() {
            self.tick();
        }
    }

    pub fn settle(&mut self) {
        let rests = (0..100_000).any(|_| !self.step());
        assert!(rests, "it never comes to rest without a tick");
    }

    /// Time passes, and everything that it brings is done.
    pub fn pass(&mut self, us: u64) {
        let until = self.now_us + us;
        self.settle();
        while self.now_us < until {
            self.tick();
            self.settle();
        }
    }

    pub fn tick(&mut self) {
        self.now_us += TICK_US;
        (0..self.members.len()).for_each(|nth| self.event(nth, Event::Tick));
    }

    pub fn status(&mut self, nth: usize) -> ShardStatus {
        self.event(nth, Event::StatusAsked { ticket: 0 });
        self.members[nth].status.clone().expect("it runs")
    }

    pub fn following(&mut self) -> FollowerStatus {
        let replication = self.status(FOLLOWER).replication.expect("it is a member");
        replication.following.expect("it follows")
    }

    /// The authority says what it has not said, as it was when it was asked.
    pub fn authority_answers(&mut self) {
        for (nth, answer) in self.silent_authority.take().unwrap_or_default() {
            self.event(nth, answer);
        }
    }

    /// What the newest recovery said.
    pub fn report(&self, nth: usize) -> &Report {
        self.members[nth].reports.last().expect("it recovered")
    }
}

pub const POLICY: Policy = Policy { min_in_sync: 2, member_timeout_ms: 500, lease_ms: 400 };

/// So many members keep the one shard, and nobody has led it: the first of them begins.
fn map(members: u32, policy: Policy) -> Map {
    let member = |id: MemberId| seawall::map::Member {
        id,
        address: format!("member-{id}:7411"),
        peer: format!("member-{id}:7413"),
        labels: Vec::new(),
    };
    let replicas = Replicas {
        shard: SHARD,
        epoch: Epoch(0),
        leader: None,
        sync: Default::default(),
        asyncs: (1..=members).map(MemberId).collect(),
        policy,
        open_loss: None,
        changed: Generation(1),
    };
    let ranges = vec![seawall::map::Range { first_hash: 0, shard: SHARD }];
    let members = (1..=members).map(MemberId).map(member).collect();
    Map::of(Parts { generation: Generation(1), members, ranges, replicas: vec![replicas], audit: None })
        .expect("a map")
}

/// What may be left of a write that was not flushed, and never is the whole of it.
pub const TORN: [Left; 3] = [Left::Nothing, Left::FirstHalf, Left::Even];
