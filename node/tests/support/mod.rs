//! A worker with a disk that the test holds in its hand: operations are executed one by one, when the test says so.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod heard;

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall::map::{Generation, Map, ShardId};
use seawall::message::assigned::Results;
use seawall::message::settle::KeyStatus;
use seawall::message::{Commit, HelloRequest, Opcode};
use seawall::position::{Lineage, Position};
use seawall::refusal::Refusal;
use seawall::reply::{Body, Flags, Reply};
use seawall::session::{Answer, ClientSession};
use seawall::{Key, Row, RowRef};
use seawall_node::seam::{ConnId, Effect, Effects, Event, Letter, LogFound, Now, WorkerId, WorkerStatus};
use seawall_node::shard::Budget;
use seawall_node::worker::{Capabilities, Worker, WorkerConfig};
use seawall_wal::recover::Files;
use seawall_wal::{
    Done, FileId, FoldDone, FoldJob, Io, IoError, IoStep, LogId, LogLimits, Replay, Scan, SlotId, meta,
};

type Disk = BTreeMap<FileId, Vec<u8>>;

/// When the first process starts: two seconds before 2026.
pub const WALL_US: i64 = 1_767_225_598_000_000;

pub const LINEAGE: Lineage = Lineage(*b"the test lineage");

/// One worker, its disk, and one client connection that said HELLO.
pub struct Bench {
    pub worker: Worker,
    pub files: Disk,
    /// Operations that were asked for and not executed yet.
    pub disk: Vec<Io>,
    pub mail: Vec<(WorkerId, Letter)>,
    pub received: Vec<u8>,
    pub status: Vec<WorkerStatus>,
    pub closed: bool,
    pub stopped: bool,
    pub log_failed: Option<String>,
    pub no_space: Option<String>,
    /// No slot can be prepared.
    pub disk_full: bool,
    /// The client takes nothing of what it is sent.
    pub reads_nothing: bool,
    session: ClientSession,
    receiving: Option<(Vec<u8>, usize)>,
    shard: ShardId,
    budget: Budget,
    mono_us: u64,
    /// The wall clock advances with the other one, and may be set.
    pub wall_us: i64,
    /// What the operations of each commit came to.
    pub results: Vec<Results>,
}

pub const CONN: ConnId = ConnId { slot: 0, serial: 1 };

/// A reply as a test wants to look at it.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    Committed(u64, u64),
    /// An earlier commit under the same key.
    Replayed(u64, u64),
    /// The position of the answer, the status, the position of the outcome.
    Status((u64, u64), &'static str, Option<(u64, u64)>),
    /// Position of the answer, version and row.
    Row((u64, u64), Option<((u64, u64), Row)>),
    Refused(Refusal),
    /// An earlier rejection under the same key.
    RefusedAgain(Refusal),
}

impl Bench {
    /// Booted, recovered and serving, with a client that said HELLO.
    pub fn serving() -> Self {
        Self::start(0, 1)
    }

    pub fn start(id: u16, workers: u16) -> Self {
        Self::boot(id, workers, fresh(id), Budget::default(), WALL_US)
    }

    /// Connected, while its log is still being read.
    pub fn booting(id: u16, workers: u16) -> Self {
        Self::begin(id, workers, fresh(id), Budget::default(), WALL_US)
    }

    /// Serving, with less room.
    pub fn with_budget(budget: Budget) -> Self {
        Self::boot(0, 1, fresh(0), budget, WALL_US)
    }

    /// Serving, with another log.
    pub fn with_limits(limits: LogLimits) -> Self {
        Self::boot_with(0, 1, fresh(0), Budget::default(), WALL_US, limits)
    }

    /// Serving, with so many places for connections.
    pub fn with_places(places: u32) -> Self {
        let limits = LogLimits::test_min();
        let mut bench = Self::begin_with(0, 1, fresh(0), Budget::default(), WALL_US, limits, places);
        bench.settle();
        bench.replies();
        bench
    }

    /// Serving from files that were made before.
    pub fn on(files: Disk) -> Self {
        Self::boot(0, 1, files, Budget::default(), WALL_US)
    }

    fn boot(id: u16, workers: u16, files: Disk, budget: Budget, wall_us: i64) -> Self {
        Self::boot_with(id, workers, files, budget, wall_us, LogLimits::test_min())
    }

    fn boot_with(
        id: u16,
        workers: u16,
        files: Disk,
        budget: Budget,
        wall_us: i64,
        limits: LogLimits,
    ) -> Self {
        let mut bench = Self::begin_with(id, workers, files, budget, wall_us, limits, 0);
        bench.settle();
        assert_eq!(bench.replies().len(), 0, "HELLO was answered and is not listed");
        bench
    }

    fn begin(id: u16, workers: u16, files: Disk, budget: Budget, wall_us: i64) -> Self {
        Self::begin_with(id, workers, files, budget, wall_us, LogLimits::test_min(), 0)
    }

    fn begin_with(
        id: u16,
        workers: u16,
        files: Disk,
        budget: Budget,
        wall_us: i64,
        limits: LogLimits,
        places: u32,
    ) -> Self {
        let config = WorkerConfig {
            id: WorkerId(id),
            workers,
            member: None,
            lineage: LINEAGE,
            limits,
            budget: Budget { scrub_bytes_per_second: 0, ..budget },
            read_proof: Default::default(),
            capabilities: Capabilities { connections: places, ..Capabilities::default() },
        };
        let shard = ShardId(u32::from(id) + 1);
        let found = LogFound { files: found(&files), buffers: limits.buffers() };
        let mut bench = Self {
            worker: Worker::new(config),
            files,
            disk: Vec::new(),
            mail: Vec::new(),
            received: Vec::new(),
            status: Vec::new(),
            closed: false,
            stopped: false,
            log_failed: None,
            no_space: None,
            disk_full: false,
            reads_nothing: false,
            session: ClientSession::new(),
            receiving: None,
            shard,
            mono_us: 1,
            wall_us,
            results: Vec::new(),
            budget,
        };
        bench.step(Event::Boot { shard, found });
        bench.step(Event::MapChanged(Arc::new(Map::even(Generation(1), u32::from(workers)))));
        bench.step(Event::Accepted { conn: CONN });
        bench.hello();
        bench
    }

    /// The same disk under a new process.
    pub fn restart(self) -> Self {
        Self::boot(0, 1, self.files, self.budget, self.wall_us)
    }

    /// The same, and the disk has no space for another slot.
    pub fn restart_on_a_full_disk(self) -> Self {
        let mut bench = Self::begin(0, 1, self.files, self.budget, self.wall_us);
        bench.disk_full = true;
        bench.settle();
        bench.replies();
        bench
    }

    /// One event and the end of its turn.
    pub fn step(&mut self, event: Event) {
        let mut effects = Effects::new();
        self.pass(1);
        let now = Now { mono_us: self.mono_us, wall_us: self.wall_us };
        self.worker.step(now, event, &mut effects);
        self.worker.step(now, Event::EndOfTurn, &mut effects);
        self.take(effects);
    }

    /// Time passes.
    pub fn pass(&mut self, us: u64) {
        self.mono_us += us;
        self.wall_us += us as i64;
    }

    /// Time passes, and the worker notices.
    pub fn tick_after(&mut self, us: u64) {
        self.pass(us);
        self.step(Event::Tick);
    }

    /// The client learns the node's map.
    pub fn hello(&mut self) {
        let mut out = Vec::new();
        self.session.hello(&mut out, &HelloRequest::new("test", ""), 0);
        self.receive(&out);
    }

    /// Any request.
    pub fn ask(&mut self, opcode: Opcode, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        self.session.ask(&mut out, opcode, 0, write).unwrap();
        self.receive(&out);
    }

    pub fn commit_many(&mut self, commits: &[Commit]) {
        let mut out = Vec::new();
        self.session.commit_many(&mut out, commits, 0).unwrap();
        self.receive(&out);
    }

    /// Commits, settles and returns the only reply.
    pub fn commit_now(&mut self, commit: &Commit) -> Got {
        self.commit(commit);
        self.settle();
        self.reply()
    }

    /// The only reply since the last call.
    pub fn reply(&mut self) -> Got {
        let mut replies = self.replies();
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies.remove(0)
    }

    fn take(&mut self, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Receive { buf, from, .. } => self.receiving = Some((buf, from)),
                Effect::Send { .. } if self.reads_nothing => {}
                Effect::Send { conn, buf, from } => {
                    self.received.extend_from_slice(&buf[from..]);
                    let result = Ok(buf.len() - from);
                    self.step(Event::Sent { conn, buf, result });
                }
                Effect::Close { conn } => {
                    self.closed = true;
                    self.step(Event::Closed { conn });
                }
                Effect::Disk { io, .. } => self.disk.push(io),
                Effect::FoldFailed { why, .. } => panic!("{why}"),
                Effect::Mail { to, letter } => self.mail.push((to, letter)),
                Effect::Status { status, .. } => self.status.push(status),
                Effect::Recovered { report, .. } => assert_eq!(report.halt, None),
                Effect::NoSpace { why, .. } => self.no_space = Some(why),
                Effect::LogFailed { why, .. } => self.log_failed = Some(why),
                Effect::Say { .. }
                | Effect::Propose { .. }
                | Effect::AskMap { .. }
                | Effect::Reopen { .. }
                | Effect::Obeyed { .. }
                | Effect::ReplicaHalted { .. }
                | Effect::Unproven { .. }
                | Effect::CommitsRefused { .. }
                | Effect::Scrub { .. }
                | Effect::Rotten { .. }
                | Effect::ReplicaTroubled { .. }
                | Effect::ReplicaReseeds { .. } => {
                    unreachable!("it is alone")
                }
                Effect::Stopped => self.stopped = true,
            }
        }
    }

    pub fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (mut buf, from) = self.receiving.take().expect("the worker wants to receive");
            let n = bytes.len().min(buf.len() - from);
            buf[from..from + n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            self.step(Event::Received { conn: CONN, buf, result: Ok(n) });
        }
    }

    /// Bytes that the worker has set aside for what comes.
    pub fn input_bytes(&self) -> usize {
        self.receiving.as_ref().map_or(0, |(buf, _)| buf.len())
    }

    pub fn is_receiving(&self) -> bool {
        self.receiving.is_some()
    }

    pub fn commit(&mut self, commit: &Commit) {
        let mut out = Vec::new();
        self.session.commit(&mut out, commit, 0).unwrap();
        self.receive(&out);
    }

    pub fn get(&mut self, partition: &str, row: &RowRef) {
        let mut out = Vec::new();
        self.session.get(&mut out, &Key::from(partition), row, 0).unwrap();
        self.receive(&out);
    }

    /// Executes the `n`th operation that was asked for, well or with an error of the device.
    pub fn execute(&mut self, n: usize, error: Option<IoStep>) {
        let io = self.disk.remove(n);
        let done = match (io, error) {
            (Io::Fold(job), _) => return self.fold(&job),
            (Io::Quarantine { .. } | Io::Audit { .. } | Io::PutAside { .. }, _)
            | (Io::WriteOffered { .. } | Io::Adopt(_), _) => {
                unreachable!("nothing is followed here")
            }
            (Io::Remove { id, file }, _) => {
                self.files.remove(&file);
                Done { id, result: Ok(0), buf: None }
            }
            (Io::Write { id, buf, .. }, Some(step)) => {
                Done { id, result: Err(IoError { step, errno: 5 }), buf: Some(buf) }
            }
            (Io::Prepare { id, .. }, None) if self.disk_full => {
                Done { id, result: Err(IoError { step: IoStep::Prepare, errno: 28 }), buf: None }
            }
            (Io::Prepare { id, .. }, Some(step)) => {
                Done { id, result: Err(IoError { step, errno: 28 }), buf: None }
            }
            (Io::Write { id, file, offset, buf, at, len }, None) => {
                let start = usize::try_from(offset).unwrap();
                let target = self.files.get_mut(&file).unwrap();
                target[start..start + len].copy_from_slice(&buf.bytes()[at..at + len]);
                Done { id, result: Ok(len), buf: Some(buf) }
            }
            (
                Io::Read { id, file, offset, mut buf, len }
                | Io::ReadBack { id, file, offset, mut buf, len, .. },
                _,
            ) => {
                let start = usize::try_from(offset).unwrap();
                buf.bytes_mut()[..len].copy_from_slice(&self.files[&file][start..start + len]);
                Done { id, result: Ok(len), buf: Some(buf) }
            }
            (Io::Prepare { id, slot, bytes }, None) => {
                self.files.insert(FileId::Slot(SlotId(slot.0)), vec![0; usize::try_from(bytes).unwrap()]);
                Done { id, result: Ok(0), buf: None }
            }
        };
        self.step(Event::Disk { shard: self.shard, done });
    }

    fn fold(&mut self, job: &FoldJob) {
        let previous = job.previous.map(|id| self.files[&FileId::Checkpoint(id)].clone());
        let segments: Vec<&[u8]> =
            job.segments.iter().map(|(slot, _)| self.files[&FileId::Slot(*slot)].as_slice()).collect();
        let mut bytes = Vec::new();
        let result = job.run(previous.as_deref(), &segments, |part| bytes.extend_from_slice(part));
        if let Ok(folded) = &result {
            self.files.insert(FileId::Checkpoint(folded.checkpoint()), bytes);
        }
        self.step(Event::Folded { shard: self.shard, done: FoldDone { id: job.id, result } });
    }

    /// Every record that is on the disk, as the next start will meet it.
    pub fn replay(&self, sink: &mut dyn FnMut(Replay<'_>)) {
        let id = LogId { lineage: LINEAGE.0, shard: self.shard.0 };
        let mut scan = Scan::new(id, LogLimits::test_min(), found(&self.files));
        while let Some(Io::Read { id, file, offset, mut buf, len }) = scan.wants() {
            let start = usize::try_from(offset).unwrap();
            buf.bytes_mut()[..len].copy_from_slice(&self.files[&file][start..start + len]);
            scan.done(Done { id, result: Ok(len), buf: Some(buf) }, sink);
        }
        assert_eq!(scan.report().halt, None);
    }

    /// Executes everything that is asked for until nothing is.
    pub fn settle(&mut self) {
        while !self.disk.is_empty() {
            self.execute(0, None);
        }
    }

    /// The replies since the last call, HELLO's left out.
    pub fn replies(&mut self) -> Vec<Got> {
        let bytes = std::mem::take(&mut self.received);
        let mut rest = &bytes[..];
        let mut replies = Vec::new();
        while !rest.is_empty() {
            match self.session.next(rest).unwrap() {
                Answer::Reply(reply, used) => {
                    if let Body::Committed { results, .. } = &reply.body {
                        self.results.push(Results::of(results));
                    }
                    replies.extend(got(&reply));
                    rest = &rest[used..];
                }
                Answer::Need(_) => panic!("the worker sends whole frames"),
            }
        }
        replies
    }
}

fn fresh(id: u16) -> Disk {
    BTreeMap::from([(FileId::Meta, meta::format(&LogId { lineage: LINEAGE.0, shard: u32::from(id) + 1 }))])
}

fn found(files: &Disk) -> Files {
    let mut found = Files::default();
    for (file, bytes) in files {
        match file {
            FileId::Slot(slot) => found.slots.push((*slot, bytes.len() as u64)),
            FileId::Checkpoint(id) => found.checkpoints.push((*id, bytes.len() as u64)),
            FileId::Meta => {}
        }
    }
    found
}

fn got(reply: &Reply<'_>) -> Option<Got> {
    let at = reply.meta.position.map(|p| (p.epoch.0, p.index.0));
    let again = reply.meta.flags.has(Flags::REPLAYED);
    match &reply.body {
        Body::Hello(_) => None,
        Body::Refused(refusal) if again => Some(Got::RefusedAgain(refusal.clone())),
        Body::Refused(refusal) => Some(Got::Refused(refusal.clone())),
        Body::Committed { .. } => {
            let (epoch, index) = at.expect("a commit names its position");
            Some(if again { Got::Replayed(epoch, index) } else { Got::Committed(epoch, index) })
        }
        Body::KeyStatus { status, .. } => {
            let pair = |p: &Position| (p.epoch.0, p.index.0);
            let decided = match status {
                KeyStatus::Committed { at, .. }
                | KeyStatus::Rejected { at, .. }
                | KeyStatus::Aborted { at } => Some(pair(at)),
                _ => None,
            };
            Some(Got::Status(at.expect("a status names its position"), status.name(), decided))
        }
        Body::Row { found, .. } => {
            let row = found.map(|f| ((f.version.epoch.0, f.version.index.0), Row::decode(f.row).unwrap()));
            Some(Got::Row(at.expect("a read names its position"), row))
        }
        other => panic!("nobody asked for {other:?}"),
    }
}
