//! A shard: one ordered log and one state, decided on by one thread.
//!
//! ```text
//! request -> admit -> log.append + state.apply -> (the log makes it durable) -> release -> answer
//! ```
//! The life of a shard is its [`Life`]: recovering, running, or dead. It serves once the first record of its epoch
//! is committed (R10). All answers leave through [`release`].

mod admit;
mod read;
pub mod release;
pub mod spaces;
pub mod state;
mod time;

use seawall::map::ShardId;
use seawall::message::{Request, RequestMeta};
use seawall::position::{Lineage, Position};
use seawall::refusal::Refusal;
use seawall::reply::State as ReplyState;
use seawall_wal::checkpoint::Item;
use seawall_wal::recover::Report;
use seawall_wal::{
    Done, Entry, Epoch, Failure, FoldDone, Index, Io, Kind, Log, LogId, LogLimits, LogStats, Progress,
    Recovery, Replay, Replayed,
};

use crate::params::{FENCE_IDLE_US, FOLD_RETRY_US, PREPARE_RETRY_US, RETRY_RECOVERY_MS, RETRY_SPACE_MS};
use crate::seam::{ConnId, Effect, Effects, LogFound, Now, ShardStatus, WorkerId};
use admit::Parked;
pub(crate) use admit::decode;
use release::{Answer, Release, Released};
use state::State;
use time::LeaderTime;

/// Whom an answer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The worker that has the connection.
    pub worker: WorkerId,
    pub conn: ConnId,
    pub request: RequestMeta,
}

/// A request that was routed here.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub to: ReplyTo,
    pub namespace: &'a str,
    pub request: Request<'a>,
    /// The whole frame, for a request that has to wait.
    pub frame: &'a [u8],
}

#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    state: State,
    release: Release,
    parked: Parked,
    life: Life,
    /// Memory of the last step, reused: operations for the disk, and the keys of a commit.
    ios: Vec<Io>,
    keys: admit::Keys,
}

#[derive(Debug)]
enum Life {
    Recovering {
        recovery: Box<Recovery>,
        last_time_us: i64,
    },
    Running(Box<Running>),
    /// Recovery refused: nothing can be believed, nothing is served.
    Halted(Box<Report>),
    /// The log failed while running (R4); its operations may still come back.
    Failed {
        log: Box<Log>,
        why: String,
    },
}

#[derive(Debug)]
struct Running {
    log: Log,
    time: LeaderTime,
    /// The first record of this epoch; nothing is served before it is committed (R10).
    epoch_start: Option<Index>,
    retry_prepare_us: u64,
    retry_fold_us: u64,
    /// When the last commit was appended.
    appended_us: u64,
}

impl Shard {
    /// Starts recovery of the log that was found.
    pub fn boot(
        id: ShardId,
        lineage: Lineage,
        limits: LogLimits,
        found: LogFound,
        effects: &mut Effects,
    ) -> Self {
        let log = LogId { lineage: lineage.0, shard: id.0 };
        let mut recovery = Box::new(Recovery::new(log, limits, found.files, found.buffers));
        let mut ios = Vec::new();
        recovery.start(&mut ios);
        let mut shard = Self {
            id,
            state: State::default(),
            release: Release::default(),
            parked: Parked::default(),
            life: Life::Recovering { recovery, last_time_us: i64::MIN },
            ios,
            keys: admit::Keys::default(),
        };
        shard.emit(effects);
        shard
    }

    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Takes a request; its answer comes out of [`Shard::take_ready`], now or after a later event.
    pub fn request(&mut self, now: Now, asked: Asked<'_>) {
        if let Some(refusal) = self.refuse_all() {
            // It rests on no row, only on what this shard is.
            return self.release.answer(asked.to, Index(0), Answer::Refused(refusal));
        }
        match asked.request {
            Request::Commit(commit) => self.commit(now, &asked, &commit),
            Request::Get(get) => self.get(&asked, &get),
            _ => unreachable!("answered at the connection, or refused where requests are routed"),
        }
    }

    /// While the shard does not serve, nothing is looked at.
    fn refuse_all(&self) -> Option<Refusal> {
        let recovering = || Refusal::not_ready("recovering", RETRY_RECOVERY_MS);
        match &self.life {
            Life::Running(running) if running.serves(self.release.committed()) => None,
            Life::Running(running) => Some(match running.log.prepare_error() {
                Some(error) => Refusal::disk_full(error.to_string(), RETRY_SPACE_MS),
                None => recovering(),
            }),
            Life::Recovering { .. } => Some(recovering()),
            Life::Halted(_) => Some(Refusal::not_ready("halted: its log cannot be believed", 0)),
            Life::Failed { why, .. } => Some(Refusal::log_failed(why.clone())),
        }
    }

    /// One operation on the log ended.
    pub fn disk(&mut self, now: Now, done: Done, effects: &mut Effects) {
        match &mut self.life {
            Life::Recovering { .. } => self.recover(now, done, effects),
            Life::Running(running) => match running.done(done) {
                Ok(None) => self.durable_grew(),
                Ok(Some(why)) => effects.push(Effect::NoSpace { shard: self.id, why }),
                Err(failure) => self.log_failed(failure.to_string(), effects),
            },
            Life::Failed { log, .. } => {
                let _ = log.done(done); // the first failure was reported
            }
            Life::Halted(_) => unreachable!("recovery has one operation under way, and it ended"),
        }
        self.emit(effects);
    }

    /// A fold ended. Without a newer checkpoint the log stays as long as it is, and that is said.
    pub fn folded(&mut self, done: FoldDone, effects: &mut Effects) {
        let why = done.result.as_ref().err().map(ToString::to_string);
        let log = match &mut self.life {
            Life::Running(running) => &mut running.log,
            Life::Failed { log, .. } => log,
            Life::Recovering { .. } | Life::Halted(_) => unreachable!("only a running log folds"),
        };
        let known = log.fold_error().is_some();
        log.folded(done);
        effects.extend(why.filter(|_| !known).map(|why| Effect::FoldFailed { shard: self.id, why }));
    }

    fn recover(&mut self, now: Now, done: Done, effects: &mut Effects) {
        let Life::Recovering { recovery, last_time_us } = &mut self.life else { return };
        let state = &mut self.state;
        let progress = recovery.done(done, &mut self.ios, &mut |replay| match replay {
            Replay::Base(boundary) => {
                *state = State::default();
                *last_time_us = boundary.time_us;
            }
            Replay::Item(item) => load(state, &item),
            Replay::Record(replayed) => {
                *last_time_us = (*last_time_us).max(replayed.record.time_us);
                replay_record(state, &replayed);
            }
        });
        let last_time_us = *last_time_us;
        let report = match progress {
            Progress::Working => return,
            Progress::Halted(report) => {
                let report = Box::new(report);
                self.state = State::default();
                self.life = Life::Halted(report.clone());
                report
            }
            Progress::Recovered(mut log, report) => {
                // On a single replica everything durable is committed, and recovery made all of it durable.
                log.commit(log.durable());
                self.release.advance(log.durable());
                self.state.bury(to_net(log.durable()));
                let time = LeaderTime::start(now, last_time_us);
                let mut running = Running {
                    log: *log,
                    time,
                    epoch_start: None,
                    retry_prepare_us: 0,
                    retry_fold_us: 0,
                    appended_us: 0,
                };
                running.start_epoch(now);
                self.life = Life::Running(Box::new(running));
                Box::new(report)
            }
        };
        effects.push(Effect::Recovered { shard: self.id, report });
    }

    /// The contiguous durable prefix may have grown: with one replica, durable is committed.
    fn durable_grew(&mut self) {
        let Life::Running(running) = &mut self.life else { return };
        let committed = running.log.durable();
        if committed > self.release.committed() {
            running.log.commit(committed);
            self.release.advance(committed);
            self.state.bury(to_net(committed));
        }
    }

    /// R4: nothing more is acknowledged, and what ran ahead of the disk is forgotten.
    fn log_failed(&mut self, why: String, effects: &mut Effects) {
        let halted = Life::Halted(Box::default());
        let Life::Running(running) = std::mem::replace(&mut self.life, halted) else { return };
        self.release.fail(&why);
        self.parked.fail(&why, &mut self.release);
        self.state = State::default();
        effects.push(Effect::LogFailed { shard: self.id, why: why.clone() });
        self.life = Life::Failed { log: Box::new(running.log), why };
    }

    /// Everything that arrived together was stepped: take in what waited for room, seal, write.
    pub fn end_of_turn(&mut self, now: Now, effects: &mut Effects) {
        self.pump(now);
        if self.admit_parked(now) {
            self.pump(now);
        }
        self.emit(effects);
    }

    fn pump(&mut self, now: Now) {
        let Life::Running(running) = &mut self.life else { return };
        if running.epoch_start.is_none() {
            running.start_epoch(now);
        }
        running.log.pump(running.time.at(now), &mut self.ios);
        self.release.sealed(running.log.sealed());
    }

    pub fn tick(&mut self, now: Now) {
        let Life::Running(running) = &mut self.life else { return };
        if now.mono_us >= running.retry_prepare_us {
            running.retry_prepare_us = now.mono_us + PREPARE_RETRY_US;
            running.log.retry_prepare();
        }
        if now.mono_us >= running.retry_fold_us {
            running.retry_fold_us = now.mono_us + FOLD_RETRY_US;
            running.log.retry_fold();
        }
        if running.log.wants_fence() && now.mono_us >= running.appended_us + FENCE_IDLE_US {
            // Without room now, the next tick tries.
            let _ = running.log.append(Kind::Fence, running.time.at(now), std::iter::empty());
        }
    }

    fn emit(&mut self, effects: &mut Effects) {
        let shard = self.id;
        effects.extend(self.ios.drain(..).map(|io| Effect::Disk { shard, io }));
    }

    pub fn take_ready(&mut self) -> impl Iterator<Item = Released> + '_ {
        self.release.take_ready()
    }

    /// Nothing is under way on the disk and nothing waits for it.
    pub fn is_quiet(&self) -> bool {
        match &self.life {
            Life::Recovering { .. } => false,
            Life::Running(running) => {
                running.log.is_idle() && !running.log.outstanding() && self.parked.is_empty()
            }
            Life::Failed { log, .. } => !log.outstanding(),
            Life::Halted(_) => true,
        }
    }

    /// What every reply says of this shard.
    pub fn reply_state(&self) -> ReplyState {
        match &self.life {
            Life::Running(running) if running.serves(self.release.committed()) => ReplyState::Serving,
            Life::Running(_) | Life::Recovering { .. } => ReplyState::Recovering,
            Life::Halted(_) | Life::Failed { .. } => ReplyState::Halted,
        }
    }

    pub fn status(&self) -> ShardStatus {
        let (state, reason, log) = match &self.life {
            Life::Recovering { .. } => ("recovering", None, None),
            Life::Running(running) => {
                let serves = running.serves(self.release.committed());
                let state = if serves { "serving" } else { "recovering" };
                (state, running.trouble(), Some(&running.log))
            }
            Life::Halted(report) => ("halted", Some(report.to_string()), None),
            Life::Failed { why, log } => ("failed", Some(why.clone()), Some(&**log)),
        };
        let stats = log.map_or_else(LogStats::default, Log::stats);
        let checkpoint = log.and_then(Log::checkpoint);
        ShardStatus {
            shard: self.id,
            state,
            reason,
            epoch: log.map_or(0, |log| log.epoch().0),
            durable: log.map_or(0, |log| log.durable().0),
            appended: log.map_or(0, |log| log.appended().0),
            rows: self.state.rows(),
            log_writes: stats.batches,
            log_bytes: stats.batch_bytes,
            checkpoint: checkpoint.map_or(0, |checkpoint| checkpoint.id().0),
            checkpoint_bytes: checkpoint.map_or(0, |checkpoint| checkpoint.bytes),
        }
    }
}

impl Running {
    fn serves(&self, committed: Index) -> bool {
        self.epoch_start.is_some_and(|start| start <= committed)
    }

    /// Takes back one operation; says why if the log cannot grow from now on.
    fn done(&mut self, done: Done) -> Result<Option<String>, Failure> {
        let could_grow = self.log.prepare_error().is_none();
        self.log.done(done)?;
        Ok(self.log.prepare_error().filter(|_| could_grow).map(|error| error.to_string()))
    }

    /// What the log suffers from while it serves.
    fn trouble(&self) -> Option<String> {
        let grow = self.log.prepare_error().map(|error| format!("the log cannot grow: {error}"));
        let fold = || self.log.fold_error().map(|error| format!("no newer checkpoint can be made: {error}"));
        grow.or_else(fold)
    }

    /// The first record of the epoch. A pool without a prepared slot has no room yet; then the next turn tries.
    fn start_epoch(&mut self, now: Now) {
        let (epoch, first) = (self.log.epoch(), self.log.appended().0 + 1);
        let (key, value) = (epoch.0.to_be_bytes(), first.to_le_bytes());
        let entry = Entry { space: spaces::EPOCHS, key: &key, value: Some(&value) };
        self.epoch_start = self.log.append(Kind::EpochStart, self.time.at(now), std::iter::once(entry)).ok();
    }
}

fn load(state: &mut State, item: &Item<'_>) {
    if item.space == spaces::ROWS {
        state.apply(item.key, Some(item.value), position(item.version.epoch, item.version.index));
    }
}

fn replay_record(state: &mut State, replayed: &Replayed<'_>) {
    let version = position(replayed.epoch, replayed.index);
    for entry in replayed.record.entries().filter(|entry| entry.space == spaces::ROWS) {
        state.apply(entry.key, entry.value, version);
    }
}

/// `wal` and `net` do not know each other; here a place in the log becomes a place in history.
fn position(epoch: Epoch, index: Index) -> Position {
    Position::new(epoch.0, index.0)
}

fn to_net(index: Index) -> seawall::position::Index {
    seawall::position::Index(index.0)
}
