//! Commits: from a checked request to a record in the open batch, applied at once and answered when it is
//! committed.
//!
//! The order of refusals: durability, request key, clock, conditions, memory, log. Everything before the append
//! refuses with `outcome = none`; after it comes nothing but the commit or its rejection.

use seawall::address;
use seawall::frame::{Decoder, Step};
use seawall::limits::FRAME_BODY_MAX;
use seawall::message::outcome::{Decision, StoredOutcome};
use seawall::message::request_key::Fingerprint;
use seawall::message::{CommitRequest, Request, RequestMeta};
use seawall::position::Position;
use seawall::refusal::Refusal;
use seawall_wal::{Entry, Index, Kind, NoRoom, Space};

use super::evaluate::Evaluation;
use super::freshness::epoch_of;
use super::keys::{Known, Scoped};
use super::release::{Answer, Doubt};
use super::{Asked, Life, ReplyTo, Shard, position};
use crate::params::{PARKED_COMMITS, RETRY_QUEUE_MS, RETRY_QUOTA_MS, RETRY_SPACE_MS};
use crate::seam::Now;

/// The log has no room right now, and nothing was done.
pub(super) struct Busy;

/// Leader time, and the position of the next record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub time_us: i64,
    pub at: Position,
}

impl Shard {
    /// A COMMIT or a RESOLVE: who came first is decided on first.
    pub(super) fn admit(&mut self, now: Now, asked: &Asked<'_>) {
        if !self.parked.is_empty() || self.decide(now, asked).is_err() {
            self.park(now, asked);
        }
    }

    fn decide(&mut self, now: Now, asked: &Asked<'_>) -> Result<(), Busy> {
        match &asked.request {
            Request::Commit(commit) => self.commit(now, asked, commit),
            Request::Resolve(settle) => self.resolve(now, asked, settle),
            _ => unreachable!("only what may append waits for room"),
        }
    }

    fn commit(&mut self, now: Now, asked: &Asked<'_>, commit: &CommitRequest<'_>) -> Result<(), Busy> {
        let members = match commit.min_durability {
            0 | 1 => 0,
            asked_for => match self.wider(asked_for) {
                Ok(members) => members,
                Err(refusal) => {
                    self.refuse(asked.to, refusal, None);
                    return Ok(());
                }
            },
        };
        let partition = address::begin_stored_key(asked.namespace, commit.partition, &mut self.scratch);
        let scoped =
            commit.request_key.map(|key| Scoped { partition: commit.partition, begins: partition, key });
        let fingerprint = scoped.map(|_| commit.fingerprint()).unwrap_or_default();
        if let Some(scoped) = &scoped
            && self.replay(asked.to, scoped, fingerprint, members)
        {
            return Ok(());
        }
        let stamp = match self.stamp(now, scoped.as_ref()) {
            Ok(stamp) => stamp,
            Err(refusal) => {
                self.refuse(asked.to, refusal, None);
                return Ok(());
            }
        };
        let mut evaluation = Evaluation {
            state: &self.state,
            namespace: asked.namespace,
            commit,
            time_us: stamp.time_us,
            at: stamp.at,
            draft: &mut self.draft,
            key: &mut self.scratch,
            partition,
            last: None,
            seen: None,
        };
        let verdict = evaluation.run();
        let seen = evaluation.seen;
        if let (Err(why), None) = (&verdict, &scoped) {
            let (until, at) = self.rests_on(seen);
            self.release.answer(asked.to, until, Answer::refused(why.clone().at(at)));
            return Ok(());
        }
        if let Some(scoped) = &scoped {
            self.keep_outcome(scoped, fingerprint, verdict.as_ref().err());
        }
        let doubt = scoped.as_ref().map(doubt);
        let answer = match verdict {
            Ok(()) => Answer::Committed { position: stamp.at, results: self.draft.results.clone(), doubt },
            Err(why) => Answer::Rejected { why: Box::new(why.at(stamp.at)), doubt },
        };
        self.append_draft(now, asked, stamp, seen, answer, members)
    }

    /// The draft of the record gets the outcome; of a rejection nothing else.
    fn keep_outcome(&mut self, scoped: &Scoped<'_>, fingerprint: Fingerprint, why: Option<&Refusal>) {
        if why.is_some() {
            self.draft.clear();
        }
        let results = std::mem::take(&mut self.draft.results);
        let decision = match why {
            None => Decision::Committed { fingerprint, results: results.list() },
            Some(why) => Decision::Rejected { fingerprint, why: why.clone() },
        };
        let outcome = StoredOutcome { first_sent_us: scoped.key.first_sent_us, decision };
        scoped.store(&outcome, &self.state, &mut self.draft, &mut self.scratch);
        self.draft.results = results;
    }

    /// Answers what the key says already; false: it says nothing. Whoever comes while the first one is on its way
    /// to the disk waits for the same record, so they are answered alike.
    fn replay(&mut self, to: ReplyTo, scoped: &Scoped<'_>, sent: Fingerprint, members: u8) -> bool {
        match scoped.look_up(&self.state, &mut self.scratch) {
            Known::Unseen { .. } => return false,
            Known::Expired { why, rests_on } => self.refuse(to, why, Some(rests_on)),
            Known::Decided { at, stored } => {
                let outcome = StoredOutcome::decode(&stored).expect("an outcome that this node stored");
                match outcome.decision {
                    Decision::Committed { fingerprint, .. } | Decision::Rejected { fingerprint, .. }
                        if fingerprint != sent =>
                    {
                        self.refuse(to, Refusal::key_reused(fingerprint, sent), Some(at));
                    }
                    Decision::Committed { .. } | Decision::Rejected { .. } => {
                        let doubt = doubt(scoped);
                        let answer = Answer::Replayed { at, stored, doubt };
                        self.release.answer_on(members, to, Index(at.index.0), answer);
                    }
                    Decision::Aborted => self.refuse(to, Refusal::key_aborted(at), Some(at)),
                }
            }
        }
        true
    }

    /// Nothing is stamped by a clock that jumped, or under a key of the future.
    pub(super) fn stamp(&mut self, now: Now, scoped: Option<&Scoped<'_>>) -> Result<Stamp, Refusal> {
        let Life::Running(running) = &mut self.life else { unreachable!("only a running shard decides") };
        if let Some(refusal) = running.time.distrust(now) {
            return Err(refusal);
        }
        let time_us = running.time.at(now);
        scoped.map_or(Ok(()), |scoped| scoped.may_begin(time_us))?;
        let at = position(running.log.epoch(), Index(running.log.appended().0 + 1));
        Ok(Stamp { time_us, at })
    }

    /// The draft becomes the record at `stamp`, and the state runs ahead of the disk; the answer waits for it.
    pub(super) fn append_draft(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        stamp: Stamp,
        seen: Option<Position>,
        answer: Answer,
        members: u8,
    ) -> Result<(), Busy> {
        if let Some(refusal) = self.over_budget(asked.namespace) {
            // It rests on everything that is in memory.
            let Life::Running(running) = &self.life else { return Ok(()) };
            let tip = position(running.log.epoch(), running.log.appended());
            self.refuse(asked.to, refusal, Some(tip));
            return Ok(());
        }
        let appended = self.append(now, stamp);
        if let Ok(index) = &appended {
            self.latency.appended(*index, now.mono_us);
        }
        match appended {
            Ok(index) => self.release.answer_on(members, asked.to, index, answer),
            Err(NoRoom::Busy) => return Err(Busy),
            Err(NoRoom::TooLarge) => {
                let Life::Running(running) = &self.life else { return Ok(()) };
                let len =
                    self.draft.entries().map(|e| e.key.len() + e.value.map_or(0, <[u8]>::len)).sum::<usize>();
                let refusal = Refusal::too_large("commit.record", running.log.largest_record(), len as u64);
                self.refuse(asked.to, refusal, seen);
            }
            Err(why) => self.refuse(asked.to, no_room(&why), None),
        }
        Ok(())
    }

    /// Appends the draft as a record and applies it.
    pub(super) fn append(&mut self, now: Now, stamp: Stamp) -> Result<Index, NoRoom> {
        let Life::Running(running) = &mut self.life else { return Err(NoRoom::Failed) };
        let index = running.log.append(Kind::Data, stamp.time_us, self.draft.entries())?;
        assert_eq!(index.0, stamp.at.index.0, "the draft was made for this record");
        running.appended_us = now.mono_us;
        for entry in self.draft.entries() {
            self.state.apply(entry.space, entry.key, entry.value, stamp.at);
        }
        Ok(index)
    }

    /// Whether the draft takes more than there is. What makes the rest smaller may always be done. Far from its limits
    /// the shard does not look what exactly would change.
    fn over_budget(&self, namespace: &str) -> Option<Refusal> {
        let used = self.state.memory().total() as u64;
        let stored = self.state.outcomes().of_namespace(namespace) as u64;
        let (mut most, mut keys) = (used, stored);
        for entry in self.draft.entries() {
            most += self.state.most_growth(&entry) as u64;
            keys += u64::from(entry.space == super::spaces::OUTCOMES);
        }
        if most <= self.budget.memory_bytes && keys <= self.budget.request_keys {
            return None;
        }
        self.exactly_over_budget(used, stored)
    }

    fn exactly_over_budget(&self, used: u64, stored: u64) -> Option<Refusal> {
        let (mut growth, mut data, mut keys) = (0, 0, 0);
        for entry in self.draft.entries() {
            let grows = self.state.growth(entry.space, entry.key, entry.value);
            growth += grows;
            match entry.space {
                super::spaces::OUTCOMES => keys += if entry.value.is_some() { 1 } else { -1i64 },
                _ => data += grows,
            }
        }
        if used.saturating_add_signed(growth) > self.budget.memory_bytes && data >= 0 && growth > 0 {
            return Some(Refusal::quota("bytes of memory", self.budget.memory_bytes, used, RETRY_QUOTA_MS));
        }
        let full = keys > 0 && stored.saturating_add_signed(keys) > self.budget.request_keys;
        full.then(|| {
            Refusal::quota("outcomes under request keys", self.budget.request_keys, stored, RETRY_QUOTA_MS)
        })
    }

    /// What the refusal looked at, if anything, may still be on its way to the disk.
    pub(super) fn refuse(&mut self, to: ReplyTo, refusal: Refusal, seen: Option<Position>) {
        let Some(seen) = seen else {
            return self.release.answer(to, Index(0), Answer::refused(refusal));
        };
        let (until, at) = self.rests_on(Some(seen));
        self.release.answer(to, until, Answer::refused(refusal.at(at)));
    }

    /// Which record an answer waits for that saw what `seen` changed, and the position that it names: that record,
    /// or if it is committed, everything that is.
    pub(super) fn rests_on(&self, seen: Option<Position>) -> (Index, Position) {
        let committed = self.release.committed();
        let until = seen.map_or(committed, |seen| committed.max(Index(seen.index.0)));
        let at = match (&self.life, seen) {
            (_, Some(seen)) if seen.index.0 == until.0 => seen,
            (Life::Running(running), _) => position(running.log.epoch(), until),
            // What a follower has applied is committed, in whatever epoch.
            (Life::Following(_), _) => epoch_of(self.state.epochs(), until),
            _ => unreachable!("only a shard that leads or follows looks at its state"),
        };
        (until, at)
    }

    fn park(&mut self, now: Now, asked: &Asked<'_>) {
        if let Err(refusal) = self.parked.push(now, asked) {
            self.refuse(asked.to, refusal, None);
        }
    }

    /// Takes in what waited for room, in order; true if anything was decided.
    pub(super) fn admit_parked(&mut self, now: Now) -> bool {
        let mut any = false;
        while let Some(waiting) = self.parked.pop() {
            if waiting.expired(now) {
                let refusal = Refusal::deadline_before_append(waiting.to.request.deadline_ms);
                self.refuse(waiting.to, refusal, None);
                continue;
            }
            let (_, request) = decode(&waiting.frame);
            if self.decide(now, &waiting.asked(request)).is_err() {
                self.parked.unpop(waiting);
                break;
            }
            any = true;
        }
        any
    }
}

impl Shard {
    /// A record of one entry that is no commit: a declaration, an acknowledgement. It does not wait for room.
    pub(super) fn append_one(
        &mut self,
        now: Now,
        space: Space,
        key: &[u8],
        value: &[u8],
    ) -> Result<Position, Refusal> {
        let Life::Running(running) = &mut self.life else {
            return Err(Refusal::log_failed("the log failed"));
        };
        let entry = Entry { space, key, value: Some(value) };
        let time = running.time.at(now);
        let appended = running.log.append(Kind::Data, time, std::iter::once(entry));
        let index = appended.map_err(|why| match why {
            NoRoom::Busy | NoRoom::TooLarge => Refusal::throttled("the shard's log", 1, RETRY_QUEUE_MS),
            why => no_room(&why),
        })?;
        running.appended_us = now.mono_us;
        let at = position(running.log.epoch(), index);
        self.state.apply(space, key, Some(value), at);
        Ok(at)
    }
}

fn no_room(why: &NoRoom) -> Refusal {
    match why {
        NoRoom::Busy => Refusal::throttled("the shard's log", PARKED_COMMITS, RETRY_QUEUE_MS),
        NoRoom::DiskFull(error) => Refusal::disk_full(error.to_string(), RETRY_SPACE_MS),
        NoRoom::TooLarge => unreachable!("answered with what it looked at"),
        NoRoom::Failed => Refusal::log_failed("the log failed"),
    }
}

/// What to RESOLVE, should the log fail while the answer waits.
pub(super) fn doubt(scoped: &Scoped<'_>) -> Doubt {
    Doubt::new(scoped.partition, &scoped.key)
}

/// A frame that was checked when it arrived.
pub(crate) fn decode(frame: &[u8]) -> (RequestMeta, Request<'_>) {
    match Decoder::new(FRAME_BODY_MAX).next(frame) {
        Ok(Step::Frame(frame, _)) => {
            let request = Request::decode(&frame).expect("it was decoded when it arrived");
            (RequestMeta::from(&frame.header), request)
        }
        other => panic!("a frame that was whole when it arrived is now {other:?}"),
    }
}
