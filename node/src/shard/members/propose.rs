//! What a leader asks of the authority: members in and out of its sync set (R14), a handover, and that a loss was told.

use seawall::map::{By, Change, InEpoch, Map, MemberId};
use seawall::position::{Epoch, Index};

use super::lead::{Lead, Sent, Stage};
use super::{Membership, Orders};
use crate::params::REPLICA_RETRY_US;
use crate::replica::sync_set::Way;
use crate::seam::{Effect, Effects, Now};
use crate::shard::{Life, Shard, to_net};

const ITSELF: &str = "the leader itself";

/// Why a set is changed that nobody told it to change.
fn by_itself(way: Way) -> By<'static> {
    let reason = match way {
        Way::In => "R14: it is level, and the policy needs more in sync",
        Way::Out => "R14: it takes its log anew, so it lost what it had acknowledged",
    };
    By { actor: ITSELF, reason }
}

impl Lead {
    /// What else than its set this leader has to change in the map: a loss is told as soon as the `EpochStart` that tells
    /// it is committed; and the leadership goes to somebody else when that one has all, and nothing more comes.
    fn wants_of_the_map(
        &self,
        membership: &Membership,
        orders: &Orders,
        idle: bool,
        last: Index,
    ) -> Option<Map> {
        let (shard, epoch) = (membership.shard, self.leadership.epoch());
        let change = if let Some(to) = orders.hands_over_to() {
            // What it said in a session that is over may have been said by a disk that is lost.
            let whole =
                |member: &MemberId| self.streams_to(*member) && self.leadership.validated(*member) == last;
            if !idle || self.leadership.committed() != last || !whole(&to) {
                return None;
            }
            let others = self.members.keys().copied().filter(whole).filter(|member| *member != to);
            let sync = others.chain([membership.me]).collect();
            Change::Lead { shard, member: to, epoch: Epoch(epoch.0 + 1), sync, loss_from: None }
        } else if membership.entry().open_loss.is_some() && self.leadership.serves() {
            Change::In { shard, epoch, change: InEpoch::LossTold }
        } else {
            return None;
        };
        let told = By { actor: ITSELF, reason: "R15: the loss is told in the log" };
        membership.map.next(orders.by().unwrap_or(told), &change).ok()
    }
}

impl Shard {
    /// R14: while there are fewer than the policy needs, members that are level come into the set, one at a time.
    pub(super) fn keep_in_sync(&mut self, now: Now, effects: &mut Effects) {
        let (Life::Running(running), Some(membership)) = (&mut self.life, &self.membership) else { return };
        let Some(lead) = &mut running.lead else { return };
        let (last, entry) = (to_net(running.log.appended()), membership.entry());
        let needs = usize::from(entry.policy.min_in_sync);
        let orders = &self.orders;
        if lead.proposed.is_none() && lead.leadership.change().is_none() {
            lead.proposed = lead.wants_of_the_map(membership, orders, running.log.is_idle(), last);
            lead.next_proposal_us = 0;
        }
        if lead.proposed.is_none()
            && lead.leadership.change().is_none()
            && 1 + lead.leadership.set().required().count() < needs
        {
            let set = lead.leadership.set();
            let level =
                |member: &MemberId| !set.requires(*member) && lead.leadership.may_enter(*member, last);
            let streams =
                |(member, sent): (&MemberId, &Sent)| (sent.stage == Stage::Streaming).then_some(*member);
            let next = lead.members.iter().filter_map(streams).find(level);
            if let Some(member) = next {
                let _one_at_a_time = lead.leadership.begin_change(member, Way::In);
            }
        }
        if let Some(change) = lead.leadership.change()
            && lead.proposed.is_none()
            && lead.leadership.ask_change().is_some()
        {
            let by = orders.by().unwrap_or(by_itself(change.way));
            let record = match change.way {
                Way::In => InEpoch::Require(change.member),
                Way::Out => InEpoch::Release(change.member),
            };
            let change = Change::In { shard: self.id, epoch: lead.leadership.epoch(), change: record };
            match membership.map.next(by, &change) {
                Ok(map) => (lead.proposed, lead.next_proposal_us) = (Some(map), 0),
                Err(_) => lead.leadership.change_not_sent(),
            }
        }
        if let Some(map) = lead.proposed.as_ref().filter(|_| now.mono_us >= lead.next_proposal_us) {
            lead.next_proposal_us = now.mono_us + REPLICA_RETRY_US;
            effects.push(Effect::Propose { map: Box::new(map.clone()) });
        }
    }
}
