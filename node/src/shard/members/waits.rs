//! What answers wait for (R13): more members than the policy says, where a commit asks for them; and for how long.

use seawall::map::MemberId;
use seawall::position::Index;
use seawall::refusal::Refusal;

use super::lead::{Sent, Stage};
use crate::params::{RETRY_MEMBERS_MS, RETRY_RECOVERY_MS};
use crate::seam::Now;
use crate::shard::release::Late;
use crate::shard::{Life, Shard, to_net};

impl Shard {
    /// Answers that more members are to have than the policy says.
    pub(in crate::shard) fn widen(&mut self) {
        let Life::Running(running) = &self.life else { return };
        let Some(lead) = &running.lead else { return };
        let (durable, leadership) = (to_net(running.log.durable()), &lead.leadership);
        let has = |index: Index| move |member: &&MemberId| leadership.validated(**member) >= index;
        self.release.widen(|index| {
            let index = to_net(index);
            usize::from(durable >= index) + lead.members.keys().filter(has(index)).count()
        });
    }

    /// R13: how many members an answer waits for, if a commit asks for more of them than the policy; 0: for no more.
    pub(in crate::shard) fn wider(&self, asked: u8) -> Result<u8, Refusal> {
        let lead = match &self.life {
            Life::Running(running) => running.lead.as_ref(),
            _ => None,
        };
        let in_sync = lead.map_or(1, |lead| 1 + lead.leadership.set().required().count());
        let need = usize::from(asked);
        if need <= in_sync {
            return Ok(0);
        }
        let streaming = lead
            .map_or(0, |lead| lead.members.values().filter(|sent| sent.stage == Stage::Streaming).count());
        match 1 + streaming {
            have if have < need => {
                let away = lead.map(|lead| lead.members.iter());
                let away = away.into_iter().flatten().filter(|(_, sent)| sent.stage != Stage::Streaming);
                let away = away.map(|(member, sent)| format!("member {member} is {}", sent.stage.name()));
                let away = away.collect::<Vec<_>>().join(", ");
                let away = if away.is_empty() { "no other member keeps the shard" } else { &away };
                Err(Refusal::durability_unavailable(need, have, away, RETRY_MEMBERS_MS))
            }
            _ => Ok(asked),
        }
    }

    /// R13: whoever waits longer than it wants to hears what is missing.
    pub(in crate::shard) fn give_up_late(&mut self, now: Now) {
        let mut release = std::mem::take(&mut self.release);
        release.tick(now.mono_us, &|late, ms| self.too_late(late, ms));
        self.release = release;
    }

    /// R13: what an answer that waits has waited for in vain.
    fn too_late(&self, late: Late, ms: u32) -> Refusal {
        let missing = self.missing();
        match late {
            Late::Appended => Refusal::durability_timeout(ms, missing),
            Late::Looked => Refusal::not_committed_in_time(ms, missing, RETRY_RECOVERY_MS),
            Late::Unproven => Refusal::lease_unproven(missing, RETRY_RECOVERY_MS),
        }
    }

    /// Who is behind, in words.
    fn missing(&self) -> String {
        let Life::Running(running) = &self.life else { return "the shard does not lead".to_owned() };
        let durable = to_net(running.log.durable());
        let Some(lead) = &running.lead else { return "the disk has not answered".to_owned() };
        if durable < to_net(running.log.appended()) {
            return format!("the leader's own disk has index {}", durable.0);
        }
        let behind = |(member, sent): (MemberId, &Sent)| {
            let has = lead.leadership.validated(member);
            (has < durable)
                .then(|| format!("member {member} is {} and has index {}", sent.stage.name(), has.0))
        };
        let behind: Vec<String> = lead.members().filter_map(behind).collect();
        match behind.is_empty() {
            true if lead.leadership.is_alone() => "the authority has not answered".to_owned(),
            true => "the answer of a required member".to_owned(),
            false => behind.join("; "),
        }
    }
}
