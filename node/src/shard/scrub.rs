//! What is kept is read again, slowly and rarely: a bit that turns where no start looks, and no client, is met by nobody
//! else until a follower that is behind needs it.
//!
//! A round begins some time after each start and each change of role: the checkpoints, the newest first, then the closed
//! segments, one file at a time. A follower that finds rot halts, as at a start (R25). A leader says it, and goes on: what
//! it holds in memory is whole, and nobody else could take its place for a bit that nobody needs; it never ships what is
//! rotten, and makes a checkpoint again from what lies before it.

use seawall_wal::{Flaw, Rot, ScrubJob, Scrubbed};

use crate::seam::{Effect, Effects, Now, ScrubRound, ScrubStatus};
use crate::shard::{Budget, Life, Shard, to_net};

/// What is said of a checkpoint that is not whole, and that the log can do without.
pub(super) const MENDED: &str = "the next one is made of the log and of what came before it";

#[derive(Debug)]
pub(super) struct Scrub {
    /// Of the role in which this round began.
    role: u64,
    done: Scrubbed,
    next_us: u64,
    /// Names what is asked for.
    asked: u64,
    under_way: Option<UnderWay>,
    /// The round that goes on; how many came to their end since the process began, and the last of them.
    round: Option<ScrubRound>,
    rounds: u64,
    last: Option<ScrubRound>,
    /// What was not whole, as it was found last.
    found: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    number: u64,
    role: u64,
    job: ScrubJob,
}

impl Default for Scrub {
    fn default() -> Self {
        Self {
            role: 0,
            done: Scrubbed::Nothing,
            next_us: 0,
            asked: 0,
            under_way: None,
            round: None,
            rounds: 0,
            last: None,
            found: None,
        }
    }
}

impl Scrub {
    fn found(&mut self, rot: &Rot) {
        self.round.get_or_insert_default().rotten += 1;
        self.found = Some(rot.to_string());
    }

    pub fn status(&self, bytes_per_second: u64) -> ScrubStatus {
        ScrubStatus {
            bytes_per_second,
            reading: self.under_way.map(|under_way| under_way.job.file().to_string()),
            round: self.round,
            rounds: self.rounds,
            last: self.last,
            found: self.found.clone(),
        }
    }
}

impl Shard {
    pub(super) fn scrub_tick(&mut self, now: Now, effects: &mut Effects) {
        let Budget { scrub_bytes_per_second: bytes_per_second, scrub_after_us, scrub_again_us, .. } =
            self.budget;
        let role = self.role;
        let scrub = &mut self.scrub;
        if bytes_per_second == 0 || scrub.under_way.is_some() {
            return;
        }
        if scrub.role != role {
            let next_us = now.mono_us + scrub_after_us;
            (scrub.role, scrub.done, scrub.next_us, scrub.round) = (role, Scrubbed::Nothing, next_us, None);
        }
        if now.mono_us < scrub.next_us {
            return;
        }
        let next = match &self.life {
            Life::Running(running) => running.log.scrub(scrub.done),
            Life::Following(following) if following.halted.is_none() => following.log.scrub(scrub.done),
            _ => return,
        };
        let began_us = now.mono_us;
        let round = *scrub.round.get_or_insert(ScrubRound { began_us, ..ScrubRound::default() });
        let Some(job) = next else {
            (scrub.done, scrub.next_us) = (Scrubbed::Nothing, now.mono_us + scrub_again_us);
            (scrub.round, scrub.rounds) = (None, scrub.rounds + 1);
            scrub.last = Some(ScrubRound { ended_us: now.mono_us, ..round });
            return;
        };
        scrub.asked += 1;
        scrub.under_way = Some(UnderWay { number: scrub.asked, role, job });
        effects.push(Effect::Scrub { shard: self.id, round: scrub.asked, job, bytes_per_second });
    }

    /// A file was read again. What was found counts for the role in which it was asked for, and if the file is kept still.
    pub fn scrubbed(&mut self, round: u64, result: Result<(), Flaw>, effects: &mut Effects) {
        let Some(UnderWay { role, job, .. }) = self.scrub.under_way.take_if(|asked| asked.number == round)
        else {
            return;
        };
        if role != self.role {
            return;
        }
        if result.is_err() && self.may_be_another(&job) {
            return; // it is read again
        }
        self.scrub.done = job.behind();
        let round = self.scrub.round.get_or_insert_default();
        (round.files, round.bytes) = (round.files + 1, round.bytes + job.bytes());
        match result {
            Ok(()) => {}
            Err(Flaw::Unread(_)) => round.unread += 1,
            Err(Flaw::Rot(rot)) => self.found_rot(&job, &rot, effects),
        }
    }

    /// A file of the same name may stand in its place, and nothing was heard of it yet.
    fn may_be_another(&self, job: &ScrubJob) -> bool {
        match &self.life {
            Life::Running(running) => running.log.may_have_replaced(job),
            Life::Following(following) => following.log.may_have_replaced(job),
            _ => false,
        }
    }

    fn found_rot(&mut self, job: &ScrubJob, rot: &Rot, effects: &mut Effects) {
        match &mut self.life {
            Life::Running(running) if running.log.keeps(job) => {
                self.scrub.found(rot);
                let why = match running.log.found_rotten(job) {
                    true => format!("{rot}; {MENDED}"),
                    false => rot.to_string(),
                };
                effects.push(Effect::Rotten { shard: self.id, why });
                self.go_on(effects);
            }
            Life::Following(following) if following.halted.is_none() && following.log.keeps(job) => {
                self.scrub.found(rot);
                let at = (rot.offset, to_net(rot.index));
                following.latch(rot.rule, rot.file, at, &rot.expected, &rot.observed);
                self.go_on(effects);
            }
            _ => {}
        }
    }
}
