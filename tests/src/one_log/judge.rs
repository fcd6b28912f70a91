//! What must hold when a recovery ends. With crashes and errors alone: an exact prefix that holds everything
//! acknowledged. With damage: that, or a halt, or a shorter log whose report does not hide it, and the last only
//! where nothing undamaged proves what is missing.

use seawall_wal::checkpoint::Folded;
use seawall_wal::format::BATCH_HEADER;
use seawall_wal::recover::{End, Report, Tail};
use seawall_wal::{BLOCK, FileId, FoldDone, FoldError, Index, Io, Log};

use super::life::Phase;
use super::model::digest;
use super::writes::What as Wrote;
use super::{LOG, SHARD, What, World};
use crate::check::{Violation, violation};
use crate::fault::Fault;

const PREFIX: &str = "I4, a recovered log is an exact prefix";
const ACKNOWLEDGED: &str = "I4, a recovered log holds everything acknowledged";

impl World {
    pub(super) fn recovered(&mut self, mut log: Box<Log>, report: &Report) -> Result<(), Violation> {
        self.trace.note(self.now, format_args!("recovered: {report}"));
        self.counts.add("recoveries", 1);
        if self.life.troubles.failed > 0 {
            return violation("R2, a read error halts, R4, so does a write error", report.to_string());
        }
        match self.is_a_prefix(&log, report) {
            Err(_) if self.overlooked => {
                self.give_up();
                return Ok(());
            }
            judged => judged?,
        }
        if report.epoch <= self.model.epoch || log.epoch() != report.epoch {
            return violation(
                "R10, every start takes a new epoch",
                format!("{:?}: {report}", self.model.epoch),
            );
        }
        if report.last < self.model.acknowledged {
            self.may_be_shorter(report)?;
        }
        self.same_state(report)?;
        if let Some(End { tail, finished_cut, .. }) = report.end {
            let tail = if tail == Tail::Certain { "tails certain" } else { "tails uncertain" };
            self.counts.add(tail, 1);
            self.counts.add("cuts finished", u64::from(finished_cut));
        }
        // What wrong bytes hid is still there, and the log goes on without it.
        let wrong = self.life.troubles.wrong;
        if wrong > 0 && report.last < Index(self.model.records.len() as u64) {
            let recorded = report.end.is_some_and(|end| end.leftover.is_some() || end.finished_cut);
            self.overlooked |= wrong > 1 || !recorded;
            self.misled = true;
        }
        self.model.records.truncate(usize::try_from(report.last.0).expect("a short log"));
        (self.model.acknowledged, self.model.epoch) = (report.last, report.epoch);
        self.model.checkpoint = self.life.met.base.index;
        self.cut_for_damage = false;
        self.counts.add("recoveries from a checkpoint", u64::from(report.checkpoint.is_some()));
        let older = report.checkpoint.is_some() && !report.corrupt.is_empty();
        self.counts.add("recoveries from an older checkpoint", u64::from(older));
        self.writes.resume(report.last);
        let (unseen, base) = (self.life.troubles.wrong > 0, self.life.met.base.index);
        for (slot, _) in self.disk.names(SHARD).slots {
            // What the checkpoint covers was not looked at.
            if !self.writes.ends_before(slot, base) {
                // Nor was the rest of the header block of a slot without a header.
                let unseen = unseen || self.disk.damaged(SHARD, FileId::Slot(slot), 0, BLOCK);
                self.disk.adopt(SHARD, FileId::Slot(slot), unseen);
            }
        }
        self.life.committed = log.durable();
        log.commit(log.durable());
        self.life.phase = Phase::Running(log);
        self.at(self.now, What::Turn { life: self.lives });
        Ok(())
    }

    fn is_a_prefix(&self, log: &Log, report: &Report) -> Result<(), Violation> {
        let met = &self.life.met;
        if (log.durable(), log.appended()) != (report.last, report.last) {
            return violation(PREFIX, format!("{:?} of {:?}: {report}", log.durable(), log.appended()));
        }
        if report.last != met.last() {
            return violation(PREFIX, format!("met {:?}: {report}", met.last()));
        }
        if met.last() > Index(0) && report.epoch <= met.last_epoch() {
            return violation(PREFIX, format!("met {:?}: {report}", met.last_epoch()));
        }
        for ((index, record), expected) in met.records.iter().zip(met.base.index.0 + 1..) {
            let known = self.model.records.get(usize::try_from(expected - 1).expect("a short log"));
            if *index != Index(expected) || Some(record) != known {
                return violation(
                    PREFIX,
                    format!("{index:?} is {record:?}, appended was {known:?}: {report}"),
                );
            }
        }
        Ok(())
    }

    /// The rows that come out of the recovered log are those that the model has.
    fn same_state(&self, report: &Report) -> Result<(), Violation> {
        let met = &self.life.met;
        let (base, loaded) = (self.model.state(met.base.index), report.checkpoint.map(|c| (c.cut, c.digest)));
        let expected = (met.base.index, digest(LOG, &base));
        if met.rows != base || loaded.unwrap_or((Index(0), expected.1)) != expected {
            return violation(
                "R8, a checkpoint is the state at its cut",
                format!("{:?}: {report}", met.base),
            );
        }
        let (state, model) = (met.state(), self.model.state(report.last));
        if state != model || digest(LOG, &state) != digest(LOG, &model) {
            return violation("the recovered state is the model's", report.to_string());
        }
        Ok(())
    }

    /// Records that were acknowledged are not there. Only damage explains it, the report must not hide it, and
    /// whatever proves them must be damaged too.
    fn may_be_shorter(&mut self, report: &Report) -> Result<(), Violation> {
        let missing = Index(report.last.0 + 1);
        let acknowledged = self.model.acknowledged;
        let why = |what: &str| violation(ACKNOWLEDGED, format!("{acknowledged:?} was, {what}: {report}"));
        let Some(batch) = self.writes.batch_of(missing).copied() else {
            return why("and nobody knows the batch of the next one");
        };
        let Wrote::Batch(header) = batch.what else { unreachable!("a batch was asked for") };
        let offset = usize::try_from(batch.offset).expect("a small slot");
        let wrong = self.life.troubles.wrong > 0 || self.cut_for_damage;
        let scarred = self.disk.damage().contains(&batch.file());
        if !wrong && !scarred && !self.disk.damaged(SHARD, batch.file(), 0, offset + batch.len) {
            return why("and its batch is undamaged");
        }
        // In a slot that was used before, recovery looks for a lost header as far as the first batch.
        let intact = |w: &&super::writes::Written| {
            let at = usize::try_from(w.offset).expect("a small slot");
            let whole = |at| !self.disk.damaged(SHARD, w.file(), at, BATCH_HEADER);
            whole(at) && (whole(0) || whole(BLOCK))
        };
        if let (false, Some(proof)) = (wrong, self.writes.proofs(missing, header.incarnation).find(intact)) {
            return why(&format!("and {proof:?} proves it"));
        }
        // Without its header, a segment has no tail.
        let headless = self.disk.damaged(SHARD, batch.file(), 0, BATCH_HEADER);
        let uncertain = headless || report.end.is_some_and(|end| end.tail == Tail::Uncertain);
        if !uncertain && !wrong && self.disk.holds_any_of(SHARD, batch.file(), offset, batch.len) {
            return why("something of its batch is there, and the tail is called certain");
        }
        self.counts.add("acknowledged, then lost to damage and reported", 1);
        Ok(())
    }

    /// Recovery refused. It needs a reason, and it must have changed nothing.
    pub(super) fn halted(&mut self, report: &Report) -> Result<(), Violation> {
        self.trace.note(self.now, format_args!("halted: {report}"));
        let damage = self.disk.damage();
        let copies = [0, BLOCK].map(|at| self.disk.damaged(SHARD, FileId::Meta, at, BLOCK));
        // Of metadata and checkpoints there are two, or the log that makes up for the other one: unless that was
        // damaged before, which nobody has to notice.
        let one_copy = match damage[..] {
            [FileId::Meta] => copies != [true, true],
            [FileId::Checkpoint(_)] => self.disk.wrongs() == 1,
            _ => false,
        };
        let failed = self.life.troubles.failed > 0;
        let wrong = self.life.troubles.wrong > 0 || self.life.troubles.unread > 0;
        if failed {
            self.counts.add("halts for a read or write error", 1);
        } else if wrong || self.misled || self.astray() || !(damage.is_empty() || one_copy) {
            self.counts.add("halts for damage", 1);
        } else {
            return violation("a halt has a reason", format!("{damage:?}: {report}"));
        }
        self.remember_the_cut();
        self.life.phase = Phase::Halted;
        if !failed && !wrong {
            self.repair(damage.is_empty());
        }
        self.at(self.now + 1, What::Crash);
        Ok(())
    }

    /// A batch that once went to the wrong slot lies where a recovery did not look, and is found when that slot's
    /// segment is covered.
    fn astray(&self) -> bool {
        self.disk.fired.count(Fault::MisdirectedWrite) > 0
    }

    /// Somebody brings the right bytes from a copy. What was adopted as the log's content is beyond help.
    fn repair(&mut self, in_vain: bool) {
        self.disk.repair();
        if in_vain || self.disk.damage().iter().any(|file| *file != FileId::Meta) {
            return self.give_up();
        }
        self.trace.note(self.now, format_args!("repaired"));
        self.counts.add("repairs", 1);
    }

    fn give_up(&mut self) {
        self.trace.note(self.now, format_args!("the log is lost to damage"));
        self.counts.add("logs lost to damage", 1);
        self.lost = true;
    }

    pub(super) fn judge_fold(&mut self, done: &FoldDone) -> Result<(), Violation> {
        match &done.result {
            Ok(Folded { finished, boundary, .. }) => {
                let cut = boundary.cut.index;
                if cut > self.life.committed {
                    let text = format!("{cut:?}, committed is {:?}", self.life.committed);
                    return violation("R8, only what is committed is folded", text);
                }
                if finished.digest != digest(LOG, &self.model.state(cut)) {
                    return violation("R8, a checkpoint is the state at its cut", format!("{done:?}"));
                }
                self.model.checkpoint = cut;
                self.counts.add("checkpoints made", 1);
            }
            Err(FoldError::Io { .. }) => self.counts.add("folds failed for an error", 1),
            Err(FoldError::Fault { .. }) => {
                if self.disk.damage().is_empty() && self.life.troubles.wrong == 0 {
                    return violation("R8, a fold is refused for damage alone", format!("{done:?}"));
                }
                self.counts.add("folds refused for damage", 1);
            }
        }
        Ok(())
    }

    /// What recovery writes again is what stands there; two wrong reads of damage may make it what stood there before.
    pub(super) fn same_bytes(&self, io: &Io) -> Result<(), Violation> {
        let Io::Write { file: file @ FileId::Slot(_), offset, buf, at, len, .. } = io else { return Ok(()) };
        let offset = usize::try_from(*offset).expect("a small slot");
        if self.disk.holds(SHARD, *file, offset, &buf.bytes()[*at..at + len]) {
            return Ok(());
        }
        violation("R2, the last window is written again byte for byte", format!("{file:?} at {offset}"))
    }
}
