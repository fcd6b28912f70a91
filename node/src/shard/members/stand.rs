//! A member on its way to the leadership (R15): promise, fence, compare-and-swap, and the log is opened as a leader's.
//!
//! Whether the compare-and-swap succeeded is read off the map: an epoch is won by one member, once.

use std::collections::BTreeSet;

use seawall::map::{By, Change, Map, MemberId, Replicas};
use seawall::position::{Epoch, Index};
use seawall::replication::{Fence, Fenced, Message, Refused, Verdict, Why};
use seawall_wal::{Start, Wish};

use super::follow::granted;
use super::{Membership, epochs_of};
use crate::params::{FENCE_WAIT_US, REPLICA_RETRY_US};
use crate::replica::candidacy::Recorded;
use crate::replica::{Candidacy, Kind, Loss};
use crate::seam::{Effect, Effects, Now};
use crate::shard::{Life, Shard, to_net};

#[derive(Debug)]
pub(in crate::shard) struct Standing {
    candidacy: Candidacy,
    /// Its own promise; nothing is asked before it is durable.
    promised: Wish,
    since_us: u64,
    next_fence_us: u64,
    /// What the authority was asked to record.
    proposed: Option<Map>,
}

impl Shard {
    /// The recorded leader of the shard is this member, after a start: it takes a new epoch (R10).
    pub(super) fn follower_sees_map(&mut self, now: Now) {
        let (Life::Following(following), Some(membership)) = (&mut self.life, &self.membership) else {
            return;
        };
        let entry = membership.entry();
        match &following.standing {
            Some(standing) if entry.epoch >= standing.candidacy.epoch() => {
                let won = (entry.epoch, entry.leader) == (standing.candidacy.epoch(), Some(membership.me));
                following.standing = None;
                if won && following.halted.is_none() {
                    following.leaving = Some(Start::Lead { epoch: seawall_wal::Epoch(entry.epoch.0) });
                }
            }
            // Another shard's entry changed, or this one's set: what was judged by is not what is there.
            Some(standing) if standing.proposed.is_some() => following.standing = None,
            _ => {}
        }
        self.stand_if_recorded(now);
    }

    /// Of its own accord only the recorded leader stands, and nobody in the beginning but the first of all.
    pub(in crate::shard) fn stand_if_recorded(&mut self, now: Now) {
        let Some(membership) = &self.membership else { return };
        let entry = membership.entry();
        let first = || entry.epoch == Epoch(0) && entry.all().min() == Some(membership.me);
        if entry.leader == Some(membership.me) || entry.leader.is_none() && first() {
            let _later = self.stand(now, Kind::Recorded);
        }
    }

    /// R15's first steps.
    pub fn stand(&mut self, now: Now, kind: Kind) -> Result<(), String> {
        let applied = self.applied_epochs();
        let (Life::Following(following), Some(membership)) = (&mut self.life, &self.membership) else {
            return Err("this member leads the shard, or its log is being read".to_owned());
        };
        if following.halted.is_some() || following.leaving.is_some() || following.pending.is_some() {
            return Err("the member is halted, or on its way to another role".to_owned());
        }
        if following.standing.is_some() {
            return Ok(());
        }
        let entry = membership.entry();
        // A higher promise may be on its way to the disk: the new epoch is above that, too.
        let meta = *following.log.wanted();
        let own = (epochs_of(applied, &following.log), to_net(following.log.validated()));
        let left_us = following.grant.left_us(now.mono_us);
        let read = recorded(membership, entry);
        let promised = Epoch(meta.epoch.0);
        let candidacy = Candidacy::stand(membership.me, kind, read, promised, own, meta.reseeding, left_us)
            .map_err(|why| format!("{why:?}"))?;
        following.hang_up();
        let epoch = seawall_wal::Epoch(candidacy.epoch().0);
        let promised = following.log.wish(|meta| (meta.epoch, meta.bound) = (epoch, None));
        let (since_us, next_fence_us) = (now.mono_us, 0);
        following.standing = Some(Standing { candidacy, promised, since_us, next_fence_us, proposed: None });
        Ok(())
    }

    /// Fences and asks, again and again, until the map says whose the epoch became.
    pub(in crate::shard) fn candidate_tick(&mut self, now: Now, effects: &mut Effects) {
        let lineage = self.lineage;
        let (Life::Following(following), Some(membership)) = (&mut self.life, &mut self.membership) else {
            return;
        };
        if following.halted.is_some() || following.leaving.is_some() {
            return;
        }
        let Some(standing) = &mut following.standing else { return self.stand_if_recorded(now) };
        if !granted(&following.log, standing.promised)
            || !following.log.is_quiet()
            || now.mono_us < standing.next_fence_us
        {
            return;
        }
        standing.next_fence_us = now.mono_us + REPLICA_RETRY_US;
        let start = seawall::replication::Start(following.log.meta().start);
        let stamp = seawall::replication::Stamp { lineage, epoch: standing.candidacy.epoch(), start };
        let to: Vec<MemberId> = standing.candidacy.to_fence().collect();
        let waits = !to.is_empty() && now.mono_us < standing.since_us + FENCE_WAIT_US;
        if standing.proposed.is_none() {
            let fence = Fence { stamp, candidate: membership.me };
            to.into_iter().for_each(|member| membership.say(member, Message::Fence(fence)));
        }
        if waits {
            return;
        }
        if standing.proposed.is_none() {
            let Ok(claim) = standing.candidacy.claim() else { return };
            standing.candidacy.asked();
            let loss_from = match claim.loss {
                Loss::Nothing => None,
                Loss::Between(after, _) => Some(Index(after.0 + 1)),
                Loss::Unknown => Some(Index(1)),
            };
            let change = Change::Lead {
                shard: self.id,
                member: claim.leader,
                epoch: claim.epoch,
                sync: claim.sync,
                loss_from,
            };
            let by = By { actor: "the member itself", reason: "the recorded leader started" };
            // The entry it was judged by is the one that is changed: the generation says so.
            if membership.generation() != claim.expected {
                following.standing = None;
                return;
            }
            match membership.map.next(by, &change) {
                Ok(map) => standing.proposed = Some(map),
                Err(why) => {
                    following.trouble = Some(format!("R15: {why}"));
                    following.standing = None;
                    return;
                }
            }
        }
        if let Some(Standing { proposed: Some(map), .. }) = &following.standing {
            effects.push(Effect::Propose { map: Box::new(map.clone()) });
        }
    }

    pub(super) fn candidate_hears(&mut self, from: MemberId, fenced: &Fenced<'_>) {
        let Life::Following(following) = &mut self.life else { return };
        let Some(standing) = &mut following.standing else { return };
        match fenced.verdict {
            Verdict::Fenced => {
                let (epoch, last) = (fenced.stamp.epoch, fenced.positions.validated);
                standing.candidacy.fenced(from, epoch, &fenced.epochs, last);
            }
            // R10: the next one goes above every promise that was met.
            Verdict::Promised if fenced.promise >= standing.candidacy.epoch() => self.met(fenced.promise),
            Verdict::Promised | Verdict::LeaseRuns { .. } | Verdict::Reseeding => {}
        }
    }

    pub(super) fn candidate_refused(&mut self, refused: &Refused<'_>) {
        if let Why::FencedEpoch { promise } = refused.why {
            self.met(promise);
        }
    }

    /// A promise above this candidate's epoch: it stands again, above that.
    fn met(&mut self, promise: Epoch) {
        let Life::Following(following) = &mut self.life else { return };
        let lower = following
            .standing
            .as_ref()
            .is_some_and(|s| s.candidacy.epoch() <= promise && s.proposed.is_none());
        if lower {
            following.standing = None;
            let promise = seawall_wal::Epoch(promise.0);
            following.log.wish(|meta| {
                if meta.epoch < promise {
                    (meta.epoch, meta.bound) = (promise, None);
                }
            });
        }
    }
}

fn recorded(membership: &Membership, entry: &Replicas) -> Recorded {
    let members: BTreeSet<MemberId> = entry.all().collect();
    // Before the first epoch everybody is as good as recorded: there is nothing to lose.
    let leader = entry.leader.or(Some(membership.me).filter(|_| entry.epoch == Epoch(0)));
    Recorded {
        generation: membership.generation(),
        epoch: entry.epoch,
        leader,
        sync: entry.sync.clone(),
        members,
        loss_open: entry.open_loss.is_some(),
    }
}
