//! A shard: one ordered log and one state, decided on by one thread.
//!
//! ```text
//! request -> admit -> log.append + state.apply -> (the log makes it durable) -> release -> answer
//! ```
//! The life of a shard is its [`Life`]: recovering, running, or dead. It serves once the first record of its epoch
//! is committed (R10). All answers leave through [`release`].

mod admit;
mod asked;
mod check;
#[doc(hidden)] // open for benchmarks
pub mod draft;
#[doc(hidden)]
pub mod evaluate;
mod expire;
mod freshness;
mod insight;
mod keys;
pub mod latency;
mod lease;
mod members;
mod operate;
mod parked;
mod read;
mod recover;
mod refuse;
pub mod release;
mod running;
mod scan;
mod scrub;
mod settle;
pub mod spaces;
pub mod state;
pub mod table;
mod time;
mod watch;

use seawall::map::ShardId;
use seawall::message::Request;
use seawall::position::{Lineage, Position};
use seawall::reply::{Role, State as ReplyState};
use seawall_wal::recover::Report;
use seawall_wal::{Done, Epoch, FoldDone, Index, Io, Kind, Log, LogId, LogLimits, Ordered, Recovery, Start};

use crate::params::{
    FENCE_IDLE_US, FOLD_RETRY_US, NAMESPACE_KEYS, PREPARE_RETRY_US, SCRUB_AFTER_US, SCRUB_AGAIN_US,
    SCRUB_BYTES_PER_SECOND, SHARD_MEMORY_BYTES,
};
use crate::seam::{Effect, Effects, LogFound, Now};
pub(crate) use admit::decode;
pub use asked::{Asked, ReplyTo, Sent};
use draft::Draft;
use freshness::Waiting;
pub use freshness::{Verdict, judge};
use latency::Latency;
use members::{Following, Held, Lead, Membership, Orders, Reseed};
pub use members::{ReadProof, audit_line};
use parked::Parked;
use release::{Answer, Release, Released};
use running::Running;
pub use scan::Scanned;
use scrub::Scrub;
use state::State;
pub use state::{Coming, TOGETHER};
use watch::Watchers;
pub use watch::{Listeners, Told, unknown_subscription};

/// What one shard may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of state. Above it, what makes the state larger is refused.
    pub memory_bytes: u64,
    /// Outcomes that each namespace may have under request keys. Above it new keys are refused, and none is
    /// forgotten before its time.
    pub request_keys: u64,
    /// How fast what is kept is read again; 0: never.
    pub scrub_bytes_per_second: u64,
    /// How long after a start or a change of role, and after each round of it.
    pub scrub_after_us: u64,
    pub scrub_again_us: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            memory_bytes: SHARD_MEMORY_BYTES,
            request_keys: NAMESPACE_KEYS,
            scrub_bytes_per_second: SCRUB_BYTES_PER_SECOND,
            scrub_after_us: SCRUB_AFTER_US,
            scrub_again_us: SCRUB_AGAIN_US,
        }
    }
}

#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    lineage: Lineage,
    limits: LogLimits,
    budget: Budget,
    read_proof: ReadProof,
    /// `None`: this node is alone.
    membership: Option<Membership>,
    orders: Orders,
    /// What the next recovery is to do first.
    ordered: Option<Ordered>,
    /// While its log begins anew.
    reseed: Option<Reseed>,
    state: State,
    release: Release,
    parked: Parked,
    waiting: Waiting,
    watchers: Watchers,
    latency: Latency,
    /// What is kept, read again.
    scrub: Scrub,
    /// When its marks were last looked at.
    marked_us: u64,
    life: Life,
    /// Counts up with each role that the shard takes.
    role: u64,
    /// Memory of the last step, reused: operations for the disk, the effects of a commit, a stored key.
    ios: Vec<Io>,
    draft: Draft,
    scratch: Vec<u8>,
}

#[derive(Debug)]
enum Life {
    Recovering {
        recovery: Box<Recovery>,
        start: Start,
        held: Held,
    },
    /// It leads: alone, or among members.
    Running(Box<Running>),
    /// It follows, or stands for the leadership.
    Following(Box<Following>),
    /// It led; its operations still come back.
    Deposed {
        log: Box<Log>,
    },
    /// Its log is being looked for again, for another role.
    Reopening {
        start: Start,
    },
    /// Recovery refused: nothing can be believed, nothing is served.
    Halted(Box<Report>),
    /// The log failed while running (R4); its operations may still come back.
    Failed {
        log: Box<Log>,
        why: String,
    },
}

impl Shard {
    /// Starts recovery of the log that was found.
    pub fn boot(
        id: ShardId,
        lineage: Lineage,
        limits: LogLimits,
        budget: Budget,
        found: LogFound,
        start: Start,
        effects: &mut Effects,
    ) -> Self {
        let mut shard = Self {
            id,
            lineage,
            limits,
            budget,
            read_proof: ReadProof::default(),
            membership: None,
            orders: Orders::default(),
            ordered: None,
            reseed: None,
            state: State::default(),
            release: Release::default(),
            parked: Parked::default(),
            waiting: Waiting::default(),
            watchers: Watchers::default(),
            latency: Latency::default(),
            scrub: Scrub::default(),
            marked_us: 0,
            life: Life::Reopening { start },
            role: 0,
            ios: Vec::new(),
            draft: Draft::default(),
            scratch: Vec::new(),
        };
        shard.opened(found, effects);
        shard
    }

    /// The log was found: recovery of it begins, for the role that is wanted.
    pub fn opened(&mut self, found: LogFound, effects: &mut Effects) {
        let Life::Reopening { start } = self.life else {
            unreachable!("a log is opened when it was asked for")
        };
        let log = LogId { lineage: self.lineage.0, shard: self.id.0 };
        let recovery = Recovery::new(log, self.limits, found.files, found.buffers, start);
        let mut recovery = Box::new(recovery.ordered(self.ordered.take()).latching());
        recovery.start(&mut self.ios);
        self.state = State::default();
        self.role += 1;
        self.release.begin_anew();
        self.life = Life::Recovering { recovery, start, held: Held::default() };
        self.emit(effects);
    }

    pub fn id(&self) -> ShardId {
        self.id
    }

    /// This node is alone, and keeps the only replica.
    fn has_no_members(&self) -> bool {
        self.membership.is_none()
    }

    /// Requests that will come soon: see [`State::bring_near`].
    pub fn bring_near<'a>(&self, coming: impl Iterator<Item = &'a Coming> + Clone) {
        self.state.bring_near(coming);
    }

    /// Takes a request; its answer comes out of [`Shard::take_ready`], now or after a later event.
    pub fn request(&mut self, now: Now, asked: Asked<'_>) {
        if let Request::Status(_) | Request::Explain(_) | Request::Trace(_) = asked.request {
            return self.report(now, &asked); // also of a shard that does not serve
        }
        if let (Life::Following(_), Request::Get(_) | Request::MultiGet(_) | Request::Scan(_)) =
            (&self.life, &asked.request)
        {
            return self.read(now, &asked);
        }
        if let Some(refusal) = self.refuse_all() {
            // It rests on no row, only on what this shard is.
            return self.release.answer(asked.to, Index(0), Answer::refused(refusal));
        }
        if let Request::Commit(_) | Request::Resolve(_) | Request::Declare(_) | Request::AckCursor(_) =
            asked.request
            && let Some(refusal) = self.undurable(now)
        {
            return self.release.answer(asked.to, Index(0), Answer::refused(refusal));
        }
        match asked.request {
            Request::Commit(_) | Request::Resolve(_) => self.admit(now, &asked),
            Request::StatusOf(settle) => self.status_of(&asked, &settle),
            Request::Get(_) | Request::MultiGet(_) | Request::Scan(_) => self.read(now, &asked),
            Request::Declare(declare) => self.declare(now, &asked, &declare),
            Request::Describe(table) => self.describe(&asked, table),
            Request::Subscribe(subscribe) => self.subscribe(now, &asked, &subscribe),
            Request::AckCursor(ack) => self.ack_cursor(now, &asked, &ack),
            Request::Credit(credit) => self.credit(&asked, &credit),
            Request::Cancel(cancel) => self.cancel(&asked, cancel.subscription),
            _ => unreachable!("answered at the connection, or refused where requests are routed"),
        }
    }

    /// One operation on the log ended.
    pub fn disk(&mut self, now: Now, done: Done, effects: &mut Effects) {
        match &mut self.life {
            Life::Recovering { .. } => self.recover(now, done, effects),
            Life::Running(running) => match running.done(done) {
                Ok(None) => self.committed_grew(now),
                Ok(Some(why)) => effects.push(Effect::NoSpace { shard: self.id, why }),
                Err(failure) => self.log_failed(failure.to_string(), effects),
            },
            Life::Following(following) => {
                let could_grow = following.log.prepare_error().is_none();
                self.follower_done(done);
                effects.extend(self.no_space().filter(|_| could_grow));
            }
            Life::Failed { log, .. } | Life::Deposed { log } => {
                let _ = log.done(done); // what became of it, the next recovery sees
            }
            Life::Halted(_) | Life::Reopening { .. } => {
                unreachable!("recovery has one operation under way, and it ended")
            }
        }
        self.go_on(effects);
    }

    /// A fold ended. Without a newer checkpoint the log stays as long as it is, and that is said.
    pub fn folded(&mut self, done: FoldDone, effects: &mut Effects) {
        let why = done.result.as_ref().err().map(ToString::to_string);
        let log = match &mut self.life {
            Life::Running(running) => &mut running.log,
            Life::Failed { log, .. } | Life::Deposed { log } => log,
            Life::Following(following) => {
                let known = following.log.fold_error().is_some();
                following.folded(done);
                // What came from elsewhere and was thrown away is no fold that failed.
                let fails = !known && following.log.fold_error().is_some();
                effects.extend(why.filter(|_| fails).map(|why| Effect::FoldFailed { shard: self.id, why }));
                return self.go_on(effects);
            }
            _ => unreachable!("only a log that is open folds"),
        };
        let known = log.fold_error().is_some();
        if log.folded(done) {
            let why = format!("{}; {}", why.unwrap_or_default(), scrub::MENDED);
            effects.push(Effect::Rotten { shard: self.id, why });
        } else {
            effects.extend(why.filter(|_| !known).map(|why| Effect::FoldFailed { shard: self.id, why }));
        }
        self.go_on(effects);
    }

    /// Alone, durable is committed; among members, what all who are required have validated, too (R13).
    fn committed_grew(&mut self, now: Now) {
        let alone = self.has_no_members();
        let Life::Running(running) = &mut self.life else { return };
        // A leader whose epoch has no first record yet counts nobody, and is not alone for that: what is durable here may be
        // on no other disk.
        if running.lead.is_none() && !alone {
            return;
        }
        let committed = running.committed();
        if committed > self.release.committed() {
            running.log.commit(committed);
            self.release.advance(committed);
            self.latency.committed(committed, now.mono_us);
            self.state.bury(to_net(committed));
            self.serve_waiting();
            self.widen();
        }
    }

    /// R4: nothing more is acknowledged, and what ran ahead of the disk is forgotten.
    fn log_failed(&mut self, why: String, effects: &mut Effects) {
        let halted = Life::Halted(Box::default());
        let Life::Running(running) = std::mem::replace(&mut self.life, halted) else { return };
        self.release.fail(&why);
        self.parked.fail(&why, &mut self.release);
        self.fail_waiting(&why);
        self.latency.fail();
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
        self.catch_up(now);
        self.ship(now);
        self.prove(now, effects);
        self.go_on(effects);
    }

    fn pump(&mut self, now: Now) {
        if let Life::Following(_) = &self.life {
            return self.follower_turn(now);
        }
        if let Life::Failed { log, .. } | Life::Deposed { log } = &mut self.life {
            return log.pump(0, &mut self.ios); // only its metadata
        }
        let Life::Running(running) = &mut self.life else { return };
        if running.epoch_start.is_none() {
            running.start_epoch(now, &mut self.state, self.membership.as_ref());
            self.begin_to_lead(now);
        }
        let Life::Running(running) = &mut self.life else { return };
        running.log.pump(running.time.at(now), &mut self.ios);
        self.release.sealed(running.log.sealed());
    }

    pub fn tick(&mut self, now: Now, effects: &mut Effects) {
        self.expire_waiting(now);
        self.give_up_late(now);
        self.candidate_tick(now, effects);
        self.leader_tick(now, effects);
        self.reseed_tick(now, effects);
        self.rate_tick(now);
        self.orders_tick(now, effects);
        self.mark(now);
        self.scrub_tick(now, effects);
        self.unproven_tick(now, effects);
        if let Life::Following(following) = &mut self.life {
            following.retry(now);
        }
        let Life::Running(running) = &mut self.life else { return };
        running.clock_doubt = running.time.distrust(now).map(|refusal| refusal.to_string());
        if now.mono_us >= running.retry_prepare_us {
            running.retry_prepare_us = now.mono_us + PREPARE_RETRY_US;
            running.log.retry_prepare();
        }
        if now.mono_us >= running.retry_fold_us {
            running.retry_fold_us = now.mono_us + FOLD_RETRY_US;
            running.log.retry_fold();
        }
        let idle = now.mono_us >= running.appended_us + FENCE_IDLE_US;
        if idle && self.handing_over().is_none() {
            self.fence(now);
        }
        if self.undurable(now).is_none() {
            self.expire(now);
        }
    }

    /// Proves the last batch durable, if no later one does: damage to it can be told from a torn write then (R2).
    pub fn fence(&mut self, now: Now) {
        let Life::Running(running) = &mut self.life else { return };
        if running.log.wants_fence() {
            // Without room now, the next time tries.
            let _ = running.log.append(Kind::Fence, running.time.at(now), std::iter::empty());
        }
    }

    /// An operator accepts the wall clock as it is (R18).
    pub fn accept_clock(&mut self, now: Now) {
        if let Life::Running(running) = &mut self.life {
            running.time.accept(now);
            running.clock_doubt = None;
        }
    }

    fn emit(&mut self, effects: &mut Effects) {
        let shard = self.id;
        effects.extend(self.ios.drain(..).map(|io| Effect::Disk { shard, io }));
    }

    /// Nearly always nothing is: answers leave together.
    pub fn has_ready(&self) -> bool {
        self.release.has_ready()
    }

    pub fn take_ready(&mut self, now: Now) -> impl Iterator<Item = Released> + '_ {
        let gate = self.gate(now);
        self.release.take_ready().map(move |released| gate.look_again(released))
    }

    /// Nothing is under way on the disk and nothing waits for it.
    pub fn is_quiet(&self) -> bool {
        match &self.life {
            Life::Recovering { .. } | Life::Deposed { .. } | Life::Reopening { .. } => false,
            Life::Following(following) => following.log.is_quiet(),
            Life::Running(running) => {
                running.log.is_idle() && !running.log.outstanding() && self.parked.is_empty()
            }
            Life::Failed { log, .. } => !log.outstanding(),
            Life::Halted(_) => true,
        }
    }

    pub fn reply_role(&self) -> Role {
        match &self.life {
            Life::Following(_) => Role::Follower,
            _ => Role::Leader,
        }
    }

    /// What every reply says of this shard.
    pub fn reply_state(&self) -> ReplyState {
        match &self.life {
            Life::Running(running) if running.serves(self.release.committed()) => ReplyState::Serving,
            Life::Following(following) if following.halted.is_some() => ReplyState::Halted,
            Life::Following(following) if following.is_streaming() => ReplyState::Serving,
            Life::Running(_)
            | Life::Recovering { .. }
            | Life::Deposed { .. }
            | Life::Reopening { .. }
            | Life::Following(_) => ReplyState::Recovering,
            Life::Halted(_) | Life::Failed { .. } => ReplyState::Halted,
        }
    }
}

/// `wal` and `net` do not know each other; here a place in the log becomes a place in history.
fn position(epoch: Epoch, index: Index) -> Position {
    Position::new(epoch.0, index.0)
}

fn to_net(index: Index) -> seawall::position::Index {
    seawall::position::Index(index.0)
}

fn to_wal(index: seawall::position::Index) -> Index {
    Index(index.0)
}
