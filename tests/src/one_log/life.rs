//! One process: it recovers the log, and then runs it.

use seawall_wal::{Done, FileId, FoldDone, Index, Io, IoId, Log, Progress, Recovery};

use super::met::Met;
use super::{LOG, SHARD, What, World};
use crate::check::{Violation, violation};
use crate::trace::Bytes;

pub struct Life {
    pub phase: Phase,
    pub met: Met,
    /// The file and the length of recovery's operation under way.
    asked: (FileId, usize),
    /// What the running log was told to be committed.
    pub committed: Index,
    wrong_before: u64,
    pub troubles: Troubles,
    /// Recovery has come to its verdict and writes it down.
    pub settling: bool,
    /// The log met an error: what it had acknowledged until then.
    pub frozen: Option<Index>,
    /// The first record of the epoch was taken.
    pub begun: bool,
}

pub enum Phase {
    Down,
    Recovering(Box<Recovery>),
    Running(Box<Log>),
    /// Recovery halted.
    Halted,
}

/// What the device did to a recovery: operations that failed, and damage or wrong bytes while it looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    pub failed: u64,
    /// Reads of a checkpoint that failed: an older one may do.
    pub unread: u64,
    pub wrong: u64,
}

impl Life {
    pub fn down() -> Self {
        Self {
            phase: Phase::Down,
            met: Met::default(),
            asked: (FileId::Meta, 0),
            committed: Index(0),
            wrong_before: 0,
            troubles: Troubles::default(),
            settling: false,
            frozen: None,
            begun: false,
        }
    }

    pub fn recovering(&self) -> bool {
        matches!(self.phase, Phase::Recovering(_))
    }
}

impl World {
    pub(super) fn start(&mut self) -> Result<(), Violation> {
        let files = self.disk.found(SHARD);
        self.trace.note(self.now, format_args!("process {} starts with {files:?}", self.lives));
        let limits = self.shape.limits;
        let mut recovery = Recovery::new(LOG, limits, files, limits.buffers(), seawall_wal::Start::Alone);
        let mut asked = Vec::new();
        recovery.start(&mut asked);
        let phase = Phase::Recovering(Box::new(recovery));
        self.life = Life { phase, wrong_before: self.disk.wrongs(), ..Life::down() };
        self.submit(asked)
    }

    /// Gives to the disk what was asked for.
    pub(super) fn submit(&mut self, asked: Vec<Io>) -> Result<(), Violation> {
        for io in asked {
            self.describe(&io);
            match (&io, &self.life.phase) {
                (_, Phase::Running(_)) if self.life.frozen.is_some() => {
                    return violation("R4, a failed log asks for nothing", format!("{io:?}"));
                }
                (_, Phase::Running(_)) => {
                    if let Io::Write { file: FileId::Slot(slot), offset: 0, .. } = io {
                        self.counts.add("segments begun", 1);
                        self.counts.add("slots used again", u64::from(self.writes.used(slot)));
                    }
                    self.writes.submit(&LOG, &io, self.model.covered())?;
                }
                (Io::Write { file, len, .. } | Io::Read { file, len, .. }, _) => {
                    self.life.asked = (*file, *len);
                    self.life.settling |= matches!(io, Io::Write { .. });
                    self.same_bytes(&io)?;
                }
                _ => {}
            }
            let mut plan = Vec::new();
            self.disk
                .submit(self.now, SHARD, io, |at, ticket, step| plan.push((at, What::Disk(ticket, step))));
            for (at, what) in plan {
                self.at(at, what);
            }
        }
        Ok(())
    }

    pub(super) fn done(&mut self, done: Done) -> Result<(), Violation> {
        self.trace.note(self.now, format_args!("{:?} done {:?}", done.id, done.result));
        self.count_wrongs();
        match &mut self.life.phase {
            Phase::Recovering(recovery) => {
                let (file, len) = self.life.asked;
                let Troubles { failed, unread, .. } = &mut self.life.troubles;
                let fails = if matches!(file, FileId::Checkpoint(_)) { unread } else { failed };
                *fails += u64::from(done.result != Ok(len));
                let (mut asked, met) = (Vec::new(), &mut self.life.met);
                let progress = recovery.done(done, &mut asked, &mut |replay| met.take(replay));
                match progress {
                    Progress::Working => self.submit(asked),
                    Progress::Halted(report) => self.halted(&report),
                    Progress::AtRest(..) => unreachable!("a start that is alone takes an epoch"),
                    Progress::Recovered(log, report) => self.recovered(log, &report),
                }
            }
            Phase::Running(log) => {
                let whole = self.writes.done(&done);
                if !whole && self.life.frozen.is_none() {
                    self.life.frozen = Some(log.durable());
                }
                let (id, said) = (done.id, log.done(done));
                if let (Err(failure), true) = (said, whole) {
                    return violation("R4, a log fails for an error", format!("{id:?}: {failure}"));
                }
                self.acknowledge(id)
            }
            Phase::Down | Phase::Halted => unreachable!("a process that ended hears nothing"),
        }
    }

    fn count_wrongs(&mut self) {
        let wrong = self.disk.wrongs() - self.life.wrong_before;
        if wrong > self.life.troubles.wrong {
            self.trace.note(self.now, format_args!("  (by now {wrong} wrongs that nobody was told of)"));
        }
        self.life.troubles.wrong = wrong;
    }

    /// What the log says is durable now, against what the disk said.
    fn acknowledge(&mut self, id: IoId) -> Result<(), Violation> {
        let Phase::Running(log) = &self.life.phase else { return Ok(()) };
        let durable = log.durable();
        if let Some(frozen) = self.life.frozen
            && durable != frozen
        {
            let text = format!("{frozen:?} before the error, {durable:?} after {id:?}");
            return violation("I5, nothing is acknowledged after an error", text);
        }
        if durable > self.writes.through() {
            let text = format!("{durable:?}, the disk reported {:?}", self.writes.through());
            return violation("R7, the contiguous prefix is acknowledged", text);
        }
        if durable < self.model.acknowledged {
            return violation("a position never goes back", format!("{durable:?}"));
        }
        self.counts.add("acknowledged", durable.0 - self.model.acknowledged.0);
        self.model.acknowledged = durable;
        if let (Some(_), false) = (log.failure(), self.life.frozen.is_some()) {
            return violation("R4, a log fails for an error", format!("{:?}", log.failure()));
        }
        if self.life.frozen.is_some() && log.failure().is_none() {
            return violation("R4, an error ends a log", format!("after {id:?}"));
        }
        self.commit(durable);
        // Sooner or later somebody notices; until then, the script tries its luck.
        if self.life.frozen.is_some() && self.random.chance(500) {
            self.at(self.now, What::Crash);
        }
        if self.random.chance(800) { self.pump() } else { Ok(()) }
    }

    /// What is durable is committed, sooner or later.
    fn commit(&mut self, durable: Index) {
        let Phase::Running(log) = &mut self.life.phase else { return };
        if self.random.chance(700) {
            log.commit(durable);
            self.life.committed = durable;
        }
    }

    /// A fold ended: nothing uncommitted is in it, and its state is the model's at its cut.
    pub(super) fn folded(&mut self, done: FoldDone) -> Result<(), Violation> {
        self.trace.note(self.now, format_args!("{:?} folded {:?}", done.id, done.result));
        self.count_wrongs();
        self.judge_fold(&done)?;
        let Phase::Running(log) = &mut self.life.phase else { unreachable!("only a running log folds") };
        log.folded(done);
        if self.life.frozen.is_some() { Ok(()) } else { self.pump() }
    }

    pub(super) fn pump(&mut self) -> Result<(), Violation> {
        let Phase::Running(log) = &mut self.life.phase else { return Ok(()) };
        let mut asked = Vec::new();
        log.pump(i64::try_from(self.now).expect("a short life"), &mut asked);
        self.submit(asked)
    }

    fn describe(&mut self, io: &Io) {
        let trace = &mut self.trace;
        match io {
            Io::Write { id, file, offset, buf, at, len } => {
                let bytes = Bytes(&buf.bytes()[*at..at + len]);
                trace.note(self.now, format_args!("{id:?} writes {file:?} at {offset}: {bytes}"));
            }
            Io::Read { id, file, offset, len, .. } | Io::ReadBack { id, file, offset, len, .. } => {
                trace.note(self.now, format_args!("{id:?} reads {file:?} at {offset}: {len}"));
            }
            Io::Prepare { .. }
            | Io::Fold(_)
            | Io::Remove { .. }
            | Io::Quarantine { .. }
            | Io::Audit { .. }
            | Io::PutAside { .. }
            | Io::WriteOffered { .. }
            | Io::Adopt(_) => trace.note(self.now, format_args!("{io:?}")),
        }
    }
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.phase {
            Phase::Down => write!(f, "no process"),
            Phase::Recovering(_) => write!(f, "recovery, {} records so far", self.met.records.len()),
            Phase::Running(log) => {
                write!(
                    f,
                    "a log in epoch {:?}, {:?} of {:?} durable",
                    log.epoch(),
                    log.durable(),
                    log.appended()
                )
            }
            Phase::Halted => write!(f, "a halted log"),
        }
    }
}
