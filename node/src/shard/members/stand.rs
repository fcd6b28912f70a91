//! A member on its way to the leadership (R15): promise, fence, compare-and-swap, and the log is opened as a leader's.
//!
//! Whether the compare-and-swap succeeded is read off the map: an epoch is won by one member, once.

use std::collections::BTreeSet;

use seawall::map::{By, Change, Map, MemberId, Replicas, ShardId};
use seawall::position::Epoch;
use seawall::replication::{Fence, Fenced, Message, Refused, Verdict, Why};
use seawall_wal::{Start, Wish};

use super::follow::granted;
use super::{Membership, epochs_of};
use crate::params::{FENCE_LINGER_US, FENCE_WAIT_US, REPLICA_RETRY_US};
use crate::replica::candidacy::{Claim, NotElectable, Recorded};
use crate::replica::{Candidacy, Kind, Own};
use crate::seam::{Effect, Effects, Now};
use crate::shard::{Life, Shard, to_net};

#[derive(Debug)]
pub(in crate::shard) struct Standing {
    candidacy: Candidacy,
    /// Its own promise; nothing is asked before it is durable.
    promised: Wish,
    since_us: u64,
    next_try_us: u64,
    /// What the authority was asked to record.
    proposed: Option<Map>,
}

impl Membership {
    /// Whoever led and met a higher epoch leaves it to whoever stands for that, for as long as it takes: to wait out a
    /// lease promise, to fence, and to ask. Otherwise a promotion is a race that its leader of before can win.
    pub(super) fn give_way(&mut self, now: Now, newer: Epoch) {
        let lease_us = u64::from(self.entry().policy.lease_ms) * 1000;
        self.gives_way = Some((newer, now.mono_us + lease_us + 2 * FENCE_WAIT_US));
    }

    fn gives_way(&self, now: Now) -> bool {
        self.gives_way.is_some_and(|(newer, until_us)| self.entry().epoch < newer && now.mono_us < until_us)
    }
}

impl Membership {
    /// Of several that stand the last one goes on undisturbed for as long as a candidate needs. Each would otherwise
    /// meet the next one's epoch before it may ask, and none of them would ever lead. Who is outbid at one moment comes
    /// back in turns.
    pub(super) fn is_outbid(&mut self, now: Now, newer: Epoch, by: MemberId) {
        let before = self.entry().all().filter(|member| *member < self.me).count() as u64;
        let until_us = now.mono_us + FENCE_WAIT_US + (2 + before) * FENCE_LINGER_US;
        self.outbid = Some((newer, by, until_us));
    }

    fn outbid(&self, now: Now) -> Result<(), NotNow> {
        match self.outbid {
            Some((epoch, by, until_us)) if self.entry().epoch < epoch && now.mono_us < until_us => {
                Err(NotNow::Later(format!("R15: member {by} stands, too, for epoch {}", epoch.0)))
            }
            _ => Ok(()),
        }
    }
}

impl Standing {
    /// For whoever ordered it: a promise that runs, or members that have not answered.
    pub fn waits_for(&self) -> String {
        let missing = self.candidacy.claim().err().unwrap_or_default();
        let fenced: Vec<String> =
            self.candidacy.to_fence().map(|member| format!("member {member}")).collect();
        match missing.is_empty() {
            true => format!("R15: it waits for answers to R_FENCE from {}", fenced.join(", ")),
            false => format!("R15: it waits for {}", missing.join("; ")),
        }
    }

    /// Whether the authority owes an answer.
    pub fn asked(&self) -> bool {
        self.proposed.is_some()
    }
}

impl Shard {
    /// The recorded leader of the shard is this member, after a start: it takes a new epoch (R10).
    pub(in crate::shard) fn follower_sees_map(&mut self, now: Now) {
        let (Life::Following(following), Some(membership)) = (&mut self.life, &self.membership) else {
            return;
        };
        let entry = membership.entry();
        let recorded = entry.write_set().any(|member| member == membership.me);
        following.knows_a_lost_disk(entry.epoch, recorded);
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
        let Some(membership) = self.membership.as_ref().filter(|membership| !membership.gives_way(now))
        else {
            return;
        };
        let entry = membership.entry();
        let first = || entry.epoch == Epoch(0) && entry.all().min() == Some(membership.me);
        if entry.leader == Some(membership.me) || entry.leader.is_none() && first() {
            let _later = self.stand(now, Kind::Recorded);
        }
    }

    /// R15's first steps.
    pub(super) fn stand(&mut self, now: Now, kind: Kind) -> Result<(), NotNow> {
        let applied = self.applied_epochs();
        let (Life::Following(following), Some(membership)) = (&mut self.life, &self.membership) else {
            return Err(NotNow::Later("its log is being read".to_owned()));
        };
        if let Some(why) = &following.halted {
            return Err(NotNow::Never(format!("R25: this member is halted: {why}")));
        }
        if following.leaving.is_some() || following.pending.is_some() {
            return Err(NotNow::Later("it is on its way to another role".to_owned()));
        }
        if following.standing.is_some() {
            return Ok(());
        }
        let (entry, kind_is_told) = (membership.entry(), self.orders.abstains());
        // A higher promise may be on its way to the disk: the new epoch is above that, too.
        let meta = *following.log.wanted();
        let own = Own {
            epochs: epochs_of(applied, &following.log),
            last: to_net(following.log.validated()),
            reseeding: meta.reseeding,
            uncertain: meta.uncertain,
        };
        let left_us = following.grant.left_us(now.mono_us);
        let read = recorded(membership, entry);
        let promised = Epoch(meta.epoch.0);
        let candidacy = Candidacy::stand(membership.me, kind, read, promised, own, left_us)
            .map_err(|why| not_electable(membership.me, &why));
        // Whoever was told to lead acknowledges nothing more from here on, also while its own promise still runs (R15).
        // One that cannot lead at all goes on as it was.
        let may = !matches!(candidacy, Err(NotNow::Never(_)));
        if may && (kind_is_told || candidacy.is_ok()) {
            following.hang_up();
        }
        let candidacy = candidacy?;
        membership.outbid(now)?;
        let epoch = seawall_wal::Epoch(candidacy.epoch().0);
        let promised = following.log.wish(|meta| (meta.epoch, meta.bound) = (epoch, None));
        let (since_us, next_try_us) = (now.mono_us, 0);
        following.standing = Some(Standing { candidacy, promised, since_us, next_try_us, proposed: None });
        Ok(())
    }

    /// Fences and asks, again and again, until the map says whose the epoch became.
    pub(in crate::shard) fn candidate_tick(&mut self, now: Now, effects: &mut Effects) {
        let Life::Following(following) = &mut self.life else { return };
        if following.halted.is_some() || following.leaving.is_some() {
            return;
        }
        let Some(standing) = &mut following.standing else { return self.stand_if_recorded(now) };
        if !granted(&following.log, standing.promised) || !following.log.is_quiet() {
            return;
        }
        let mut due = now.mono_us >= standing.next_try_us;
        if standing.proposed.is_none() {
            if due {
                standing.next_try_us = now.mono_us + REPLICA_RETRY_US;
                self.fence_others();
            }
            let before = self.trouble_of_standing();
            if !self.claims(now) {
                let why = self.trouble_of_standing().filter(|why| Some(why) != before.as_ref());
                effects.extend(why.map(|why| Effect::CommitsRefused { shard: self.id, why }));
                return;
            }
            due = true; // it is asked for the first time
        }
        let Life::Following(following) = &mut self.life else { return };
        let Some(standing) = &mut following.standing else { return };
        if let Some(map) = standing.proposed.as_ref().filter(|_| due) {
            standing.next_try_us = now.mono_us + REPLICA_RETRY_US;
            effects.push(Effect::Propose { map: Box::new(map.clone()) });
        }
    }

    fn trouble_of_standing(&self) -> Option<String> {
        let Life::Following(following) = &self.life else { return None };
        following.trouble.clone()
    }

    fn fence_others(&mut self) {
        let lineage = self.lineage;
        let (Life::Following(following), Some(membership)) = (&mut self.life, &mut self.membership) else {
            return;
        };
        let Some(standing) = &mut following.standing else { return };
        let start = seawall::replication::Start(following.log.meta().start);
        let stamp = seawall::replication::Stamp { lineage, epoch: standing.candidacy.epoch(), start };
        let fence = Fence { stamp, candidate: membership.me };
        standing.candidacy.to_fence().for_each(|member| membership.say(member, Message::Fence(fence)));
    }

    /// Whether enough is proven to ask for the leadership. Whoever answers later is not in the set that is published:
    /// a moment for everybody, more while too few have answered.
    fn claims(&mut self, now: Now) -> bool {
        let (Life::Following(following), Some(membership)) = (&mut self.life, &self.membership) else {
            return false;
        };
        let Some(standing) = &mut following.standing else { return false };
        let proven = 1 + standing.candidacy.proven().count();
        let enough = proven >= usize::from(membership.entry().policy.min_in_sync);
        let patience_us = if enough { FENCE_LINGER_US } else { FENCE_WAIT_US };
        let everybody = standing.candidacy.to_fence().next().is_none();
        if !everybody && now.mono_us < standing.since_us + patience_us {
            return false;
        }
        let claim = match standing.candidacy.claim() {
            Ok(claim) => claim,
            Err(missing) => {
                self.orders.missing(&missing);
                following.trouble = Some(format!("it does not lead yet, for want of {}", missing.join("; ")));
                return false;
            }
        };
        standing.candidacy.asked();
        self.orders.claimed(&claim);
        // The entry it was judged by is the one that is changed: the generation says so.
        let next = match membership.generation() == claim.expected {
            true => {
                let issued = Epoch(following.log.meta().issued.0);
                let by = self.orders.by().or_else(|| told_to_lead(&membership.map, self.id, issued));
                let by = by.unwrap_or(BY_ITSELF);
                membership.map.next(by, &lead(self.id, &claim)).map_err(|why| why.to_string())
            }
            false => Err("the map has changed since".to_owned()),
        };
        match next {
            Ok(map) => standing.proposed = Some(map),
            Err(why) => {
                following.trouble = Some(format!("R15: {why}"));
                following.standing = None;
            }
        }
        following.standing.is_some()
    }

    pub(super) fn candidate_hears(&mut self, from: MemberId, fenced: &Fenced<'_>) {
        let Life::Following(following) = &mut self.life else { return };
        let Some(standing) = &mut following.standing else { return };
        match fenced.verdict {
            Verdict::Fenced | Verdict::Uncertain => {
                let (epoch, last) = (fenced.stamp.epoch, fenced.positions.validated);
                let uncertain = fenced.verdict == Verdict::Uncertain;
                standing.candidacy.fenced(from, epoch, &fenced.epochs, last, uncertain);
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

/// Why a member does not stand now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotNow {
    /// It may, before long.
    Later(String),
    Never(String),
}

fn not_electable(me: MemberId, why: &NotElectable) -> NotNow {
    match why {
        NotElectable::Granted { left_us } => {
            NotNow::Later(format!("R15: its own lease promise runs for {} ms more", left_us / 1000))
        }
        NotElectable::NotRecorded => NotNow::Never(format!(
            "R15: member {me} is not recorded in the sync set: it could lack what was acknowledged; promote one that \
             is, or accept a loss"
        )),
        NotElectable::Reseeding => NotNow::Never(format!(
            "R14: member {me} began with an empty disk and was not in the sync set since: it could lack what was \
                 acknowledged; promote one that is, or, once it has a log, accept a loss"
        )),
    }
}

const BY_ITSELF: By<'_> = By { actor: "the member itself", reason: "the recorded leader started" };

/// Who handed the leadership over to this member, which has not led in the epoch of the map yet, and why: that is why it leads
/// in the next one. Known as long as the map says nothing newer.
fn told_to_lead(map: &Map, shard: ShardId, issued: Epoch) -> Option<By<'_>> {
    let handed_over = |entry: &&Replicas| entry.epoch > issued && entry.changed == map.generation();
    let audit = map.replicas(shard).filter(handed_over).and(map.parts().audit.as_ref())?;
    Some(By { actor: &audit.actor, reason: &audit.reason })
}

fn lead(shard: ShardId, claim: &Claim) -> Change {
    Change::Lead {
        shard,
        member: claim.leader,
        epoch: claim.epoch,
        sync: claim.sync.clone(),
        loss_from: claim.loss_from,
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
        min_in_sync: usize::from(entry.policy.min_in_sync),
        loss_open: entry.open_loss.is_some(),
    }
}
