//! What operators tell this member (R14, R15). One order at a time is at work, and each is answered once.

use seawall::map::{By, MemberId};
use seawall::position::{Epoch, Index};
use seawall_wal::Act;

use crate::params::{ORDER_PATIENCE_US, RETRY_RECOVERY_MS};
use crate::replica::candidacy::{Claim, Missing};
use crate::replica::sync_set::{NoChange, Way};
use crate::seam::order::{Done, Errand, Obeyed, Order};
use crate::seam::{Effect, Effects, Now};
use crate::shard::{Life, Shard};

use super::stand::{NotNow, Standing};

/// Of one shard.
#[derive(Debug, Default)]
pub(in crate::shard) struct Orders {
    at_work: Option<AtWork>,
    /// What the newest order ended with: whoever gave it may ask only afterwards, and must hear of a loss all the same.
    ended: Option<(Order, Obeyed)>,
    obeyed: Vec<(u64, Obeyed)>,
}

#[derive(Debug)]
struct AtWork {
    ticket: u64,
    order: Order,
    until_us: u64,
    /// The epoch of the map when it was told: a higher one is this order's doing, or somebody else's.
    from: Epoch,
    /// What the authority was asked for, in a promotion.
    claim: Option<Claim>,
    /// Whether the change of the sync set that it wants is under way, or was found made.
    begun: bool,
    /// Why it is not done yet.
    waits_for: String,
}

impl Orders {
    /// Whether this member was told to lead: it promises and acknowledges nothing more to the leader of before (R15).
    pub fn abstains(&self) -> bool {
        matches!(self.errand(), Some(Errand::Promote(_)))
    }

    /// Whom this leader hands over to: it takes nothing more.
    pub fn hands_over_to(&self) -> Option<MemberId> {
        match self.errand() {
            Some(Errand::HandOver(to)) => Some(*to),
            _ => None,
        }
    }

    fn errand(&self) -> Option<&Errand> {
        self.at_work.as_ref().map(|work| &work.order.errand)
    }

    /// In whose name the map is changed now.
    pub fn by(&self) -> Option<By<'_>> {
        self.at_work.as_ref().map(|work| By { actor: &work.order.actor, reason: &work.order.reason })
    }

    pub fn claimed(&mut self, claim: &Claim) {
        if let Some(work) = &mut self.at_work {
            work.claim = Some(claim.clone());
        }
    }

    pub fn missing(&mut self, missing: &Missing) {
        if let Some(work) = &mut self.at_work {
            work.waits_for = missing.join("; ");
        }
    }

    fn answer(&mut self, obeyed: Obeyed) {
        if let Some(work) = self.at_work.take() {
            self.ended = Some((work.order, obeyed.clone()));
            self.obeyed.push((work.ticket, obeyed));
        }
    }

    /// Whether an order that is given again is known here: it is answered now, or when it is done.
    fn asked_again(&mut self, ticket: u64, order: &Order) -> bool {
        if !order.again {
            return false;
        }
        if let Some(work) = self.at_work.as_mut().filter(|work| work.order.is_the_same_as(order)) {
            let nobody_waits = std::mem::replace(&mut work.ticket, ticket);
            self.obeyed.push((nobody_waits, Err("it was asked for again".to_owned())));
            return true;
        }
        let Some((_, obeyed)) = self.ended.as_ref().filter(|(ended, _)| ended.is_the_same_as(order)) else {
            return false;
        };
        self.obeyed.push((ticket, obeyed.clone()));
        true
    }
}

impl Shard {
    pub fn order(&mut self, now: Now, ticket: u64, order: Order, effects: &mut Effects) {
        if self.orders.asked_again(ticket, &order) {
            return self.say_obeyed(effects);
        }
        let refused = self.refuse_order(&order.errand);
        let Some(membership) = self.membership.as_ref().filter(|_| refused.is_none()) else {
            let why = refused.unwrap_or_else(|| "this node is alone, and member of nothing".to_owned());
            self.orders.obeyed.push((ticket, Err(why)));
            return self.say_obeyed(effects);
        };
        let from = membership.entry().epoch;
        let until_us = now.mono_us + ORDER_PATIENCE_US;
        let waits_for = "it has just begun".to_owned();
        self.orders.at_work =
            Some(AtWork { ticket, order, until_us, from, claim: None, begun: false, waits_for });
        self.orders_tick(now, effects);
    }

    /// Why it cannot even begin.
    fn refuse_order(&self, errand: &Errand) -> Option<String> {
        if let Some(busy) = &self.orders.at_work {
            return Some(format!("another order is at work: {:?}, {}", busy.order.errand, busy.waits_for));
        }
        let leads = matches!(&self.life, Life::Running(running) if running.lead.is_some());
        match errand {
            Errand::Promote(_) if leads => Some("this member leads the shard already".to_owned()),
            Errand::Promote(_) => self.halt().map(|why| format!("R25: this member is halted: {why}")),
            Errand::Clear => self.refuse_clear(),
            Errand::Reseed => self.refuse_reseed(),
            _ if !leads => Some("this member does not lead the shard: tell the leader".to_owned()),
            Errand::HandOver(to) => {
                let entry = self.membership.as_ref()?.entry();
                let text = || {
                    format!("R15: member {to} is not in the sync set: it could lack what was acknowledged")
                };
                (!entry.sync.contains(to)).then(text)
            }
            Errand::Require(member) | Errand::Release(member) => {
                let place = self.membership.as_ref()?.entry().place_of(*member);
                place.is_none().then(|| format!("R14: member {member} keeps no replica of the shard"))
            }
        }
    }

    /// Begins as soon as nothing else changes the set. A member on its way in must be level then: one that streams
    /// becomes it before long, for any other that is to be waited for elsewhere.
    fn change_as_told(&mut self, member: MemberId, way: Way) {
        let (Life::Running(running), Some(work)) = (&mut self.life, &mut self.orders.at_work) else { return };
        let Some(lead) = running.lead.as_mut().filter(|_| !work.begun) else { return };
        let last = super::to_net(running.log.appended());
        if way == Way::In && !lead.leadership.may_enter(member, last) {
            let validated = lead.leadership.validated(member).0;
            let last = last.0;
            work.waits_for =
                format!("R14: member {member} has validated up to {validated}, and the log ends at {last}");
            if !lead.streams_to(member) {
                let why = work.waits_for.clone();
                self.orders.answer(Err(why));
            }
            return;
        }
        match lead.leadership.begin_change(member, way) {
            Ok(()) | Err(NoChange::AlreadySo) => work.begun = true,
            Err(NoChange::Busy(other)) => {
                work.waits_for = format!("R14: the change of member {} is under way", other.member);
            }
        }
    }

    /// Looks whether what is at work is done, goes on with it, or gives it up.
    pub(in crate::shard) fn orders_tick(&mut self, now: Now, effects: &mut Effects) {
        if let Some(work) = &self.orders.at_work {
            let (until_us, errand) = (work.until_us, work.order.errand.clone());
            match errand {
                Errand::Promote(kind) => {
                    self.stand_as_told(now, kind);
                    self.promoted();
                }
                Errand::HandOver(to) => self.handed_over(to),
                Errand::Require(member) => {
                    self.change_as_told(member, Way::In);
                    self.recorded(member, true);
                }
                Errand::Release(member) => {
                    self.change_as_told(member, Way::Out);
                    self.recorded(member, false);
                }
                Errand::Clear => self.begin_as_told(now, Act::Clear, effects),
                Errand::Reseed => self.begin_as_told(now, Act::Reseed, effects),
            }
            if now.mono_us >= until_us {
                self.give_up();
            }
        }
        self.say_obeyed(effects);
    }

    /// The log is opened again with what was ordered, and how that ends is the answer.
    fn begin_as_told(&mut self, now: Now, act: Act, effects: &mut Effects) {
        let Some(work) = self.orders.at_work.as_mut() else { return };
        if !std::mem::replace(&mut work.begun, true) {
            work.waits_for = "its log is being opened again".to_owned();
            let Order { actor, reason, .. } = work.order.clone();
            self.begin_anew(now, act, &actor, &reason, effects);
        } else if let Some(began) = self.began_anew(act) {
            self.orders.answer(began);
        }
    }

    fn say_obeyed(&mut self, effects: &mut Effects) {
        let obeyed = self.orders.obeyed.drain(..);
        effects.extend(obeyed.map(|(ticket, obeyed)| Effect::Obeyed { ticket, obeyed }));
    }

    fn stand_as_told(&mut self, now: Now, kind: crate::replica::Kind) {
        let Life::Following(_) = &self.life else { return };
        let stood = self.stand(now, kind);
        let Some(work) = &mut self.orders.at_work else { return };
        match stood {
            Ok(()) if work.claim.is_none() => {
                let Life::Following(following) = &self.life else { return };
                let waits_for = following.standing.as_ref().map(Standing::waits_for);
                work.waits_for = waits_for.unwrap_or_else(|| "it stands no more".to_owned());
            }
            Ok(()) => work.waits_for = "the authority has not answered".to_owned(),
            Err(NotNow::Later(why)) => work.waits_for = why,
            Err(NotNow::Never(why)) => self.orders.answer(Err(why)),
        }
    }

    fn promoted(&mut self) {
        let (Some(work), Some(membership)) = (&self.orders.at_work, &self.membership) else { return };
        let entry = membership.entry();
        let (leader, epoch) = (entry.leader, entry.epoch);
        if epoch > work.from && leader != Some(membership.me) {
            let whose = leader.map_or_else(|| "nobody".to_owned(), |leader| format!("member {leader}"));
            return self.orders.answer(Err(format!("meanwhile {whose} leads, in epoch {}", epoch.0)));
        }
        let Life::Running(running) = &self.life else { return };
        let (Some(start), Some(claim)) = (running.epoch_start, &work.claim) else { return };
        if running.serves(self.release.committed()) && claim.epoch.0 == running.log.epoch().0 {
            let done = Done::Leads {
                epoch: claim.epoch,
                start: Index(start.0),
                in_sync: claim.sync.iter().copied().collect(),
                loss: claim.loss,
                old_leader_fenced: claim.old_leader_fenced,
            };
            self.orders.answer(Ok(done));
        }
    }

    fn handed_over(&mut self, to: MemberId) {
        let (Some(work), Some(membership)) = (&self.orders.at_work, &self.membership) else { return };
        let entry = membership.entry();
        let (leader, epoch) = (entry.leader, entry.epoch);
        if epoch > work.from {
            self.orders.answer(match leader == Some(to) {
                true => Ok(Done::HandedOver { to, epoch }),
                false => Err(format!("meanwhile another member leads, in epoch {}", epoch.0)),
            });
        }
    }

    fn recorded(&mut self, member: MemberId, wanted: bool) {
        let (Some(work), Some(membership)) = (&self.orders.at_work, &self.membership) else { return };
        let (entry, generation, begun) = (membership.entry(), membership.generation(), work.begun);
        let under_way = match &self.life {
            Life::Running(running) => running.lead.as_ref().is_some_and(|l| l.leadership.change().is_some()),
            _ => false,
        };
        if entry.epoch > work.from {
            let why = format!("meanwhile epoch {} began", entry.epoch.0);
            self.orders.answer(Err(why));
        } else if begun && !under_way {
            self.orders.answer(match entry.sync.contains(&member) == wanted {
                true => Ok(Done::Recorded { generation }),
                false => Err("the change was not made".to_owned()),
            });
        }
    }

    /// Nothing that was asked of the authority is taken back: it may still come to be.
    fn give_up(&mut self) {
        let asked = match &self.life {
            Life::Following(following) => following.standing.as_ref().is_some_and(|s| s.asked()),
            Life::Running(running) => running.lead.as_ref().is_some_and(|lead| lead.asked()),
            _ => true,
        };
        let Some(work) = self.orders.at_work.as_ref().filter(|_| !asked) else { return };
        let why = format!("given up after {} s: {}", ORDER_PATIENCE_US / 1_000_000, work.waits_for);
        if let Life::Following(following) = &mut self.life {
            following.standing = None;
        }
        self.orders.answer(Err(why));
    }

    /// Why nothing is taken while the leadership goes to somebody else.
    pub(in crate::shard) fn handing_over(&self) -> Option<seawall::refusal::Refusal> {
        let to = self.orders.hands_over_to()?;
        Some(seawall::refusal::Refusal::not_ready(format!("handing over to member {to}"), RETRY_RECOVERY_MS))
    }
}
