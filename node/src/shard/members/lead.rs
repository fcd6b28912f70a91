//! A leader's sessions with its members: it greets, ships what is durable at home (R9), and counts (R13, R16).
//!
//! ```text
//! away -> greeted -> streaming <-> catching up <- bootstrapping
//!   ^________|___________|______________|______________|         refused: it says why, and is greeted again
//! ```

use std::collections::{BTreeMap, VecDeque};

use seawall::map::{Map, MemberId, Replicas};
use seawall::position::{Epoch, Index, Lineage};
use seawall::refusal::Refusal;
use seawall::replication::{
    Ack, Agreement, Envelope, Hello, Message, Refused, Session, Stamp, Standing, Start, Welcome, Why,
};
use seawall_wal::Log;

use super::Membership;
use super::bootstrap::Bootstrap;
use super::catch_up::{Behind, level};
use super::pace::Pace;
use super::prove::{Beat, Probes, Rounds};
use super::rate::Rate;
use crate::params::{
    HEARTBEAT_US, REPLICA_RETRY_US, REPLICA_SILENCE_US, RETRY_RECOVERY_MS, UNCOMMITTED_BYTES,
};
use crate::replica::leadership::{Policy, Unavailable};
use crate::replica::sync_set::Way;
use crate::replica::{self, Leadership, SyncSet};
use crate::seam::{Effect, Effects, Now};
use crate::shard::{Life, Shard, to_net};

#[derive(Debug)]
pub(in crate::shard) struct Lead {
    pub leadership: Leadership,
    /// Of this replica.
    start: u64,
    pub(super) members: BTreeMap<MemberId, Sent>,
    next_session: u64,
    /// From where on the log is kept for members.
    pub(super) floor: Option<Index>,
    pub(super) pace: Pace,
    /// A change of the sync set, as the authority was asked to record it.
    pub(super) proposed: Option<Map>,
    pub(super) next_proposal_us: u64,
    next_beat_us: u64,
    pub(super) rounds: Rounds,
    /// Why commits are refused for want of members.
    pub refuses: Option<String>,
}

/// So many sessions in a row in which a member took nothing: what its log ends with is not kept here any more, such as
/// a segment of an epoch that came to nothing. A checkpoint begins anew.
const REJECTIONS: u64 = 3;

/// What was sent to one member, and how it stands.
#[derive(Debug)]
pub(in crate::shard) struct Sent {
    pub stage: Stage,
    pub since_us: u64,
    pub attempts: u64,
    /// Why it is where it is.
    pub reason: Option<String>,
    pub(super) session: Session,
    /// The next index that it was not sent.
    pub(super) next: Index,
    acknowledged: Index,
    /// What was acknowledged when the session began, and how many sessions in a row ended there.
    began: Index,
    pub(super) rejected: u64,
    /// Last index and bytes of what was sent and not acknowledged as received.
    pub(super) under_way: VecDeque<(Index, usize)>,
    /// What becomes of it while it is behind what is in memory.
    pub(in crate::shard) behind: Option<Behind>,
    pub(super) boot: Option<Bootstrap>,
    /// How often it had to catch up.
    pub catch_ups: u64,
    /// The log is kept for it from this index on, until this time if it does not answer.
    pub(super) pin: Option<(Index, u64)>,
    pub(super) bytes: usize,
    /// Since when the oldest of it is under way.
    pub(super) moved_us: u64,
    next_hello_us: u64,
    heard_us: u64,
    pub(super) probes: Probes,
    pub(super) rate: Rate,
    /// It said so when it was greeted last.
    pub(super) halted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Stage {
    Away,
    Streaming,
    /// What it needs is read back from segments.
    CatchingUp,
    /// It needs a checkpoint first.
    Bootstrapping,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Away => "away",
            Stage::Streaming => "streaming",
            Stage::CatchingUp => "catching up",
            Stage::Bootstrapping => "bootstrapping",
        }
    }
}

impl Lead {
    /// The log was opened for an epoch that the map says is this member's.
    pub fn begin(now: Now, membership: &Membership, log: &Log, start: Index, committed: Index) -> Self {
        let entry = membership.entry();
        let policy = policy_of(entry);
        let set = SyncSet::new(entry.sync.iter().copied());
        let epoch = Epoch(log.epoch().0);
        assert!(!set.requires(membership.me), "a leader is not its own follower: {entry:?}");
        let leadership = Leadership::new(epoch, start, policy, set, committed, now.mono_us);
        let mut lead = Self {
            leadership,
            start: log.meta().start,
            members: BTreeMap::new(),
            next_session: 1,
            floor: None,
            pace: Pace::default(),
            proposed: None,
            next_proposal_us: 0,
            next_beat_us: 0,
            rounds: Rounds::default(),
            refuses: None,
        };
        lead.keep_members(now, membership);
        lead
    }

    fn keep_members(&mut self, now: Now, membership: &Membership) {
        let others: Vec<MemberId> = membership.others().collect();
        self.members.retain(|member, _| others.contains(member));
        for member in others {
            self.members.entry(member).or_insert_with(|| Sent::away(now));
        }
    }

    /// For every message of this epoch.
    pub(super) fn stamp(&self, lineage: Lineage) -> Stamp {
        Stamp { lineage, epoch: self.leadership.epoch(), start: Start(self.start) }
    }

    /// Whether the authority owes an answer.
    pub fn asked(&self) -> bool {
        self.proposed.is_some()
    }

    pub fn members(&self) -> impl Iterator<Item = (MemberId, &Sent)> {
        self.members.iter().map(|(member, sent)| (*member, sent))
    }

    /// Why commits are refused, if they were not before. An epoch that has committed nothing yet has refused nobody.
    fn refuses_from_now_on(&mut self, now: Now) -> Option<String> {
        let unavailable = self.leadership.unavailable(now.mono_us).filter(|_| self.leadership.serves());
        let why = unavailable.map(|why| why.to_string());
        let begins = self.refuses.is_none();
        self.refuses.clone_from(&why);
        why.filter(|_| begins)
    }

    /// Who could be in the sync set and is not.
    fn outside(&self) -> String {
        let outside = self.members.keys().filter(|member| !self.leadership.set().requires(**member));
        let outside: Vec<String> = outside.map(|member| format!("member {member}")).collect();
        if outside.is_empty() { "nobody else keeps the shard".to_owned() } else { outside.join(", ") }
    }

    pub(super) fn streams_to(&self, member: MemberId) -> bool {
        self.members.get(&member).is_some_and(|sent| sent.stage == Stage::Streaming)
    }

    pub(super) fn standing(&self, member: MemberId) -> Standing {
        let recorded = self.leadership.set().recorded().contains(&member);
        Standing { required: self.leadership.set().requires(member), recorded }
    }
}

fn policy_of(entry: &Replicas) -> Policy {
    Policy {
        min_in_sync: usize::from(entry.policy.min_in_sync),
        member_timeout_us: u64::from(entry.policy.member_timeout_ms) * 1000,
        lease_us: u64::from(entry.policy.lease_ms) * 1000,
    }
}

impl Sent {
    fn away(now: Now) -> Self {
        Self {
            stage: Stage::Away,
            since_us: now.mono_us,
            attempts: 0,
            reason: None,
            session: Session(0),
            next: Index(0),
            acknowledged: Index(0),
            began: Index(0),
            rejected: 0,
            under_way: VecDeque::new(),
            behind: None,
            boot: None,
            catch_ups: 0,
            pin: None,
            bytes: 0,
            moved_us: now.mono_us,
            next_hello_us: 0,
            heard_us: now.mono_us,
            probes: Probes::default(),
            rate: Rate::default(),
            halted: false,
        }
    }

    pub(super) fn goes(&mut self, now: Now, stage: Stage, reason: Option<String>) {
        if self.stage != stage {
            (self.stage, self.since_us) = (stage, now.mono_us);
        }
        (self.reason, self.halted) = (reason, false);
        (self.behind, self.boot) = (None, None);
        self.under_way.clear();
        self.bytes = 0;
    }

    /// It goes on from other bytes: what is under way to it stays so.
    pub(super) fn goes_on(&mut self, now: Now, stage: Stage) {
        (self.stage, self.since_us, self.reason) = (stage, now.mono_us, None);
    }

    pub fn acknowledged(&self) -> Index {
        self.acknowledged
    }
}

impl Shard {
    pub(in crate::shard) fn leader_sees_map(&mut self, now: Now) {
        let (Life::Running(running), Some(membership)) = (&mut self.life, &self.membership) else { return };
        let (Some(lead), entry) = (&mut running.lead, membership.entry()) else { return };
        let epoch = lead.leadership.epoch();
        if entry.epoch > epoch {
            let newer = entry.epoch;
            return self.step_down(now, newer);
        }
        lead.leadership.follow(policy_of(entry));
        lead.keep_members(now, membership);
        // Only the leader of an epoch changes its set: what is recorded is what was asked for, or it never will be.
        if let Some(proposed) = &lead.proposed
            && membership.generation() >= proposed.generation()
        {
            let asked = proposed.replicas(self.id).map(|asked| &asked.sync);
            if lead.leadership.change().is_some_and(|change| change.asked) {
                match Some(&entry.sync) == asked {
                    true => {
                        lead.leadership
                            .change_answered(true)
                            .expect("the map is of this epoch, and it was asked");
                    }
                    false => lead.leadership.change_not_sent(),
                }
            }
            lead.proposed = None;
        }
        self.committed_grew(now); // fewer may be needed
    }

    pub(super) fn leader_hears(&mut self, now: Now, from: MemberId, envelope: &Envelope<'_>) {
        match &envelope.message {
            Message::Welcome(welcome) => self.welcomed(now, from, welcome),
            Message::Ack(ack) => self.acknowledged(now, from, ack),
            Message::Refused(refused) => self.refused(now, from, refused),
            // Somebody stands, or leads: what it promised says whether that is above.
            Message::Hello(hello) => self.meets_higher(now, from, hello.stamp.epoch),
            Message::Fence(fence) => self.meets_higher(now, from, fence.stamp.epoch),
            _ => {}
        }
    }

    /// Another leader or candidate speaks. One above this epoch ends it: this member follows, and answers then.
    fn meets_higher(&mut self, now: Now, _from: MemberId, epoch: Epoch) {
        let Life::Running(running) = &self.life else { return };
        if running.lead.as_ref().is_some_and(|lead| epoch > lead.leadership.epoch()) {
            self.step_down(now, epoch);
        }
    }

    fn welcomed(&mut self, now: Now, from: MemberId, welcome: &Welcome<'_>) {
        let epochs = self.applied_epochs();
        let Life::Running(running) = &mut self.life else { return };
        let Some(lead) = &mut running.lead else { return };
        let Some(sent) = lead.members.get_mut(&from).filter(|sent| sent.session == welcome.session) else {
            return;
        };
        if welcome.stamp.epoch != lead.leadership.epoch() || sent.stage != Stage::Away {
            return;
        }
        // R14: it was greeted before it was required, and had lost by then what it was required for.
        if welcome.reseeding && lead.leadership.set().requires(from) {
            sent.reason = Some("R14: it lost what it had acknowledged".to_owned());
            let _one_at_a_time = lead.leadership.begin_change(from, Way::Out);
            return;
        }
        let (last, theirs) = (to_net(running.log.durable()), welcome.positions.validated);
        if epochs.table().agreement(last, &welcome.epochs, theirs) != Agreement::Until(theirs) {
            sent.reason = Some(format!("R12: its log parts from this one before {}", theirs.0));
            return; // it cuts its log, and is greeted again
        }
        (sent.next, sent.acknowledged, sent.began) = (Index(theirs.0 + 1), theirs, theirs);
        (sent.heard_us, sent.attempts, sent.probes) = (now.mono_us, 0, Probes::default());
        sent.goes(now, Stage::Streaming, None);
        if !level(&running.log, sent.next) {
            sent.falls_behind(now, last);
        }
        if sent.rejected >= REJECTIONS {
            sent.falls_behind(now, last);
            sent.begin_bootstrap(now, &running.log);
        }
        lead.leadership.greeted(from, welcome.session.0, theirs, now.mono_us);
    }

    fn acknowledged(&mut self, now: Now, from: MemberId, ack: &Ack) {
        let Life::Running(running) = &mut self.life else { return };
        let Some(lead) = &mut running.lead else { return };
        let Some(sent) = lead.members.get_mut(&from).filter(|sent| sent.session == ack.session) else {
            return;
        };
        if ack.stamp.epoch != lead.leadership.epoch() || sent.stage == Stage::Away {
            return;
        }
        sent.heard_us = now.mono_us;
        sent.probes.came(ack.probe_us);
        sent.wrote(now, ack.checkpoint, ack.echo_sent_us);
        sent.acknowledged = sent.acknowledged.max(ack.positions.validated);
        while let Some((_, bytes)) = sent.under_way.pop_front_if(|(last, _)| *last <= ack.positions.received)
        {
            sent.bytes -= bytes;
            sent.moved_us = now.mono_us;
        }
        let counted = replica::Ack {
            session: ack.session.0,
            validated: ack.positions.validated,
            echo_us: ack.echo_sent_us,
            lease_us: ack.lease_us,
            disk_answered: ack.disk_answered,
        };
        lead.leadership.acknowledged(from, &counted, now.mono_us);
        self.committed_grew(now);
        self.widen();
        self.round_answered();
    }

    fn refused(&mut self, now: Now, from: MemberId, refused: &Refused<'_>) {
        let Life::Running(running) = &mut self.life else { return };
        let Some(lead) = &mut running.lead else { return };
        if let Why::FencedEpoch { promise } = refused.why
            && promise > lead.leadership.epoch()
        {
            return self.step_down(now, promise);
        }
        let Some(sent) = lead.members.get_mut(&from).filter(|sent| sent.session == refused.session) else {
            return;
        };
        let nothing_was_taken = refused.why == Why::NoSession && sent.acknowledged == sent.began;
        sent.rejected = if nothing_was_taken { sent.rejected + 1 } else { 0 };
        // R14: who lost what it had acknowledged leaves the set before it takes data.
        if refused.why == Why::Reseeding && lead.leadership.set().recorded().contains(&from) {
            let _one_at_a_time = lead.leadership.begin_change(from, Way::Out);
        }
        let reason = format!("{:?}: {}", refused.why, refused.text);
        sent.goes(now, Stage::Away, Some(reason));
        sent.halted = refused.why == Why::Halted;
        sent.next_hello_us = sent.next_hello_us.min(now.mono_us + HEARTBEAT_US);
    }

    /// Greets those who are away, beats, changes the set, and gives up on silence.
    pub(in crate::shard) fn leader_tick(&mut self, now: Now, effects: &mut Effects) {
        let (epochs, losses, beat) = (self.applied_epochs(), self.losses(), self.beat(now));
        let (Life::Running(running), Some(membership)) = (&mut self.life, &mut self.membership) else {
            return;
        };
        let (Some(lead), Some(beat)) = (&mut running.lead, beat) else { return };
        let Beat { stamp, last, committed, .. } = beat;
        // Where all that is durable was dropped from memory, what is there begins behind it.
        let next = Index(last.0 + 1);
        let memory_from = running.log.oldest_recent().map_or(next, to_net).min(next);
        let segments_from = running.log.oldest_stored().map_or(memory_from, to_net).min(memory_from);
        let members: Vec<MemberId> = lead.members.keys().copied().collect();
        let beats = now.mono_us >= lead.next_beat_us;
        for member in members {
            let standing = lead.standing(member);
            let Some(sent) = lead.members.get_mut(&member) else { continue };
            let stuck = !sent.under_way.is_empty() && now.mono_us >= sent.moved_us + REPLICA_SILENCE_US;
            if sent.stage != Stage::Away && (stuck || now.mono_us >= sent.heard_us + REPLICA_SILENCE_US) {
                let what = if stuck { "what was sent to it did not arrive" } else { "it does not answer" };
                sent.goes(now, Stage::Away, Some(what.to_owned()));
            }
            if sent.stage == Stage::Away && now.mono_us >= sent.next_hello_us {
                sent.next_hello_us = now.mono_us + REPLICA_RETRY_US;
                sent.attempts += 1;
                sent.session = Session(lead.next_session);
                lead.next_session += 1;
                let hello = Hello {
                    stamp,
                    session: sent.session,
                    sent_us: now.mono_us,
                    standing,
                    last,
                    committed,
                    memory_from,
                    segments_from,
                    losses: losses.table(),
                    epochs: epochs.table(),
                };
                membership.say(member, Message::Hello(hello));
            } else if sent.stage != Stage::Away && beats {
                membership.say(member, beat.to(now, sent, standing));
            }
        }
        if beats {
            lead.next_beat_us = now.mono_us + HEARTBEAT_US;
        }
        lead.leadership.watch(last, now.mono_us);
        effects
            .extend(lead.refuses_from_now_on(now).map(|why| Effect::CommitsRefused { shard: self.id, why }));
        self.keep_in_sync(now, effects);
    }

    /// R13: why nothing is appended now.
    pub(in crate::shard) fn undurable(&self, now: Now) -> Option<Refusal> {
        if let Some(refusal) = self.handing_over() {
            return Some(refusal);
        }
        let Life::Running(running) = &self.life else { return None };
        let lead = running.lead.as_ref()?;
        match lead.leadership.unavailable(now.mono_us) {
            Some(Unavailable::TooFew { need, have }) => {
                let who = format!("not in the sync set: {}", lead.outside());
                Some(Refusal::durability_unavailable(need, have, &who, RETRY_RECOVERY_MS))
            }
            Some(why @ (Unavailable::Silent { .. } | Unavailable::Stuck { .. })) => {
                let required = 1 + lead.leadership.set().required().count();
                Some(Refusal::durability_unavailable(
                    required,
                    required - 1,
                    &why.to_string(),
                    RETRY_RECOVERY_MS,
                ))
            }
            None if running.uncommitted_bytes(self.release.committed()) > UNCOMMITTED_BYTES => {
                Some(Refusal::throttled(
                    "what followers have not validated",
                    UNCOMMITTED_BYTES as usize,
                    RETRY_RECOVERY_MS,
                ))
            }
            None => None,
        }
    }

    /// R16: whether a linearizable answer is proven now.
    pub(in crate::shard) fn unproven(&self, now: Now) -> Option<Refusal> {
        let Life::Running(running) = &self.life else { return None };
        let missing = match running.lead.as_ref()?.leadership.lease(now.mono_us) {
            Ok(Some(_)) => return None,
            // Whoever was required when the read came is so no more: it comes again, and the authority is asked.
            Ok(None) => {
                let missing = "a member that is required: nobody's promise proves anything";
                return Some(Refusal::lease_unproven(missing, RETRY_RECOVERY_MS));
            }
            Err(missing) => missing,
        };
        Some(Refusal::lease_unproven(format!("the promise of member {}", missing.member), RETRY_RECOVERY_MS))
    }

    /// A higher epoch exists: nothing more is answered here, and the log is opened again as a follower's.
    pub(super) fn step_down(&mut self, now: Now, newer: Epoch) {
        if let Some(membership) = &mut self.membership {
            membership.give_way(now, newer);
        }
        let halted = Life::Halted(Box::default());
        let Life::Running(running) = std::mem::replace(&mut self.life, halted) else { return };
        let ours = Epoch(running.log.epoch().0);
        let hint = self.membership.as_ref().and_then(|m| m.leader_address().map(str::to_owned));
        let elsewhere = || Refusal::not_leader(hint.as_deref());
        self.release.lose(|| Refusal::leadership_lost(ours, newer), elsewhere);
        self.parked.lose(elsewhere, &mut self.release);
        self.lose_waiting(&elsewhere());
        self.latency.fail();
        self.state = crate::shard::state::State::default();
        self.life = Life::Deposed { log: Box::new(running.log) };
    }
}
