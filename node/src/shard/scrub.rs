//! What is kept is read again, slowly and rarely: a bit that turns where no start looks, and no client, is met by nobody
//! else until a follower that is behind needs it.
//!
//! A round begins some time after each start and each change of role: the newest checkpoint, then the closed segments, one
//! file at a time. A follower that finds rot halts, as at a start (R25). A leader says it, and goes on: what it holds in
//! memory is whole, and nobody else could take its place for a bit that nobody needs; it never ships what is rotten.

use seawall_wal::{Flaw, Rot, ScrubJob, Scrubbed};

use crate::params::{SCRUB_AFTER_US, SCRUB_AGAIN_US};
use crate::seam::{Effect, Effects, Now};
use crate::shard::{Life, Shard, to_net};

#[derive(Debug)]
pub(super) struct Scrub {
    /// Of the role in which this round began.
    role: u64,
    done: Scrubbed,
    next_us: u64,
    /// Names what is asked for.
    asked: u64,
    under_way: Option<UnderWay>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    number: u64,
    role: u64,
    job: ScrubJob,
}

impl Default for Scrub {
    fn default() -> Self {
        Self { role: 0, done: Scrubbed::Nothing, next_us: 0, asked: 0, under_way: None }
    }
}

impl Shard {
    pub(super) fn scrub_tick(&mut self, now: Now, effects: &mut Effects) {
        let (bytes_per_second, role) = (self.budget.scrub_bytes_per_second, self.role);
        let scrub = &mut self.scrub;
        if bytes_per_second == 0 || scrub.under_way.is_some() {
            return;
        }
        if scrub.role != role {
            let next_us = now.mono_us + SCRUB_AFTER_US;
            (scrub.role, scrub.done, scrub.next_us) = (role, Scrubbed::Nothing, next_us);
        }
        if now.mono_us < scrub.next_us {
            return;
        }
        let next = match &self.life {
            Life::Running(running) => running.log.scrub(scrub.done),
            Life::Following(following) if following.halted.is_none() => following.log.scrub(scrub.done),
            _ => return,
        };
        let Some(job) = next else {
            (scrub.done, scrub.next_us) = (Scrubbed::Nothing, now.mono_us + SCRUB_AGAIN_US);
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
        self.scrub.done = job.behind();
        if let Err(Flaw::Rot(rot)) = result {
            self.found_rot(&job, &rot, effects);
        }
    }

    fn found_rot(&mut self, job: &ScrubJob, rot: &Rot, effects: &mut Effects) {
        match &mut self.life {
            Life::Running(running) if running.log.keeps(job) => {
                running.log.found_rotten(job);
                effects.push(Effect::Rotten { shard: self.id, why: rot.to_string() });
            }
            Life::Following(following) if following.halted.is_none() && following.log.keeps(job) => {
                let at = (rot.offset, to_net(rot.index));
                following.latch(rot.rule, rot.file, at, &rot.expected, &rot.observed);
                self.go_on(effects);
            }
            _ => {}
        }
    }
}
