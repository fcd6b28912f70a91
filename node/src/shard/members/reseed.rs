//! A halt that ends on purpose (R25), and a log that begins anew (R14): as an operator orders it, or where an accepted loss
//! took what a checkpoint here holds (R12).
//!
//! Either is a recovery that does one thing first, crash-safe at each step: see `wal/src/recover/ordered.rs`. What follows
//! is as after a lost disk: a member that reseeds refuses whoever requires it, so its leader releases it before it takes
//! data; it neither stands nor answers R_FENCE until it is recorded again.

use seawall::Value;
use seawall::map::ShardId;
use seawall_wal::recover::{Report, aside};
use seawall_wal::{Act, Ordered, Start};

use crate::seam::order::{Done, Obeyed};
use crate::seam::{Effect, Effects, Now, ReseedStatus};
use crate::shard::{Life, Shard};

/// How a log that begins anew comes along.
#[derive(Clone, Debug)]
pub(in crate::shard) struct Reseed {
    since_us: u64,
    /// When the newest bytes came.
    until_us: u64,
    bytes: u64,
    attempts: u64,
    reason: String,
    /// The number under which the log of before is in the quarantine.
    aside: Option<u64>,
}

impl Reseed {
    fn begin(now: Now, reason: String) -> Self {
        let (since_us, until_us) = (now.mono_us, now.mono_us);
        Self { since_us, until_us, bytes: 0, attempts: 0, reason, aside: None }
    }

    pub fn greeted(&mut self) {
        self.attempts += 1;
    }

    pub fn got(&mut self, now: Now, bytes: usize) {
        self.bytes += bytes as u64;
        self.until_us = now.mono_us;
    }

    pub fn was_put_aside(&self) -> bool {
        self.aside.is_some()
    }

    pub fn status(&self) -> ReseedStatus {
        let Self { since_us, until_us, bytes, attempts, .. } = *self;
        let us = until_us.saturating_sub(since_us).max(1);
        let bytes_per_second = bytes.saturating_mul(1_000_000) / us;
        ReseedStatus { since_us, bytes, bytes_per_second, attempts, reason: self.reason.clone() }
    }
}

/// One line of JSON: when, what, who and why, and what the halt had said.
pub fn audit_line(
    wall_us: i64,
    shard: ShardId,
    act: Act,
    (actor, reason): (&str, &str),
    halt: Option<String>,
) -> String {
    let act = match act {
        Act::Clear => "clear",
        Act::Reseed => "reseed",
    };
    serde_json::json!({
        "time": Value::Time(wall_us).to_string(),
        "shard": shard.0,
        "act": act,
        "actor": actor,
        "reason": reason,
        "halt": halt,
    })
    .to_string()
}

impl Shard {
    pub(super) fn refuse_clear(&self) -> Option<String> {
        let shard = self.id;
        self.halt().is_none().then(|| {
            format!("R25: shard {shard} of this member is not halted: there is nothing to clear; see `seawall status`")
        })
    }

    pub(super) fn refuse_reseed(&self) -> Option<String> {
        let membership = self.membership.as_ref()?;
        let (shard, leader) = (self.id, membership.entry().leader);
        let why = if leader == Some(membership.me) || matches!(self.life, Life::Running(_)) {
            format!(
                "R14: this member leads shard {shard}: others take their log from it; first hand over to a member that \
                 has all, `seawall hand-over {shard} --to N`, or promote another one, `seawall promote {shard}` there"
            )
        } else if leader.is_none() {
            format!(
                "R23: nobody has led shard {shard}: there is no log that could take the place of this one"
            )
        } else if matches!(&self.life, Life::Following(f) if f.leaving.is_some() || f.standing.is_some()) {
            "R15: it is on its way to another role; ask again when that has ended".to_owned()
        } else if self.is_being_opened() {
            "its log is being opened; ask again when that has ended".to_owned()
        } else {
            return None;
        };
        Some(why)
    }

    /// Whose end comes by itself.
    fn is_being_opened(&self) -> bool {
        matches!(self.life, Life::Recovering { .. } | Life::Reopening { .. } | Life::Deposed { .. })
    }

    /// Why nothing goes on until somebody acts.
    pub(super) fn halt(&self) -> Option<String> {
        match &self.life {
            Life::Halted(report) => report.halt.as_ref().map(ToString::to_string),
            Life::Following(following) => following.halted.clone(),
            Life::Failed { why, .. } => Some(why.clone()),
            _ => None,
        }
    }

    /// The log is opened again as a follower's, and that begins with what is ordered here.
    pub(super) fn begin_anew(
        &mut self,
        now: Now,
        act: Act,
        actor: &str,
        reason: &str,
        effects: &mut Effects,
    ) {
        let audit = self.audit(now, act, actor, reason);
        self.ordered = Some(Ordered { act, audit });
        if act == Act::Reseed {
            self.reseed = Some(Reseed::begin(now, format!("{actor}: {reason}")));
        }
        self.life = match std::mem::replace(&mut self.life, Life::Reopening { start: Start::Follow }) {
            Life::Following(mut following) => {
                following.hang_up();
                (following.pending, following.standing) = (None, None);
                following.leaving = Some(Start::Follow);
                Life::Following(following)
            }
            Life::Failed { log, .. } => Life::Deposed { log },
            Life::Halted(_) => {
                effects.push(Effect::Reopen { shard: self.id });
                Life::Reopening { start: Start::Follow }
            }
            other => unreachable!("it was refused before: {other:?}"),
        };
    }

    fn audit(&self, now: Now, act: Act, actor: &str, reason: &str) -> String {
        audit_line(now.wall_us, self.id, act, (actor, reason), self.halt())
    }

    /// How that ended, once it has.
    pub(super) fn began_anew(&self, act: Act) -> Option<Obeyed> {
        if self.ordered.is_some() || self.is_being_opened() {
            return None;
        }
        if let Some(why) = self.halt() {
            return Some(Err(format!("the log was opened again, and it halted again: {why}")));
        }
        let number = self.reseed.as_ref().and_then(|reseed| reseed.aside).unwrap_or_default();
        Some(Ok(match act {
            Act::Clear => Done::Cleared,
            Act::Reseed => Done::Reseeds { aside: number },
        }))
    }

    /// A recovery ended at rest.
    pub(in crate::shard) fn reseeds_after(&mut self, now: Now, report: &Report) {
        let Some(number) = report.put_aside else { return };
        let unknown = || Reseed::begin(now, "an earlier process began with it: see audit.log".to_owned());
        let reseed = self.reseed.get_or_insert_with(unknown);
        reseed.aside = Some(number);
        reseed.reason = format!("{}; the log of before is in {}", reseed.reason, aside(number));
    }

    /// Begins with what an accepted loss makes necessary, and notes when it is over.
    pub(in crate::shard) fn reseed_tick(&mut self, now: Now, effects: &mut Effects) {
        let Life::Following(following) = &mut self.life else { return };
        if following.leaving.is_some() || following.halted.is_some() {
            return;
        }
        if !following.log.wanted().reseeding {
            self.reseed = None;
        } else if self.reseed.is_none() {
            let lost = following.lost_disk.take();
            effects.extend(lost.clone().map(|why| Effect::ReplicaReseeds { shard: self.id, why }));
            let why =
                lost.unwrap_or_else(|| "R14: it had no log, and takes all of it from a leader".to_owned());
            self.reseed = Some(Reseed::begin(now, why));
        }
        if let Some(why) = following.given_up.take() {
            effects.push(Effect::ReplicaReseeds { shard: self.id, why: why.clone() });
            self.begin_anew(now, Act::Reseed, "the member itself", &why, effects);
        }
    }
}
