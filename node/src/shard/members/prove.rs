//! How a linearizable read is proven (R16): by the lease that runs, or by a *round* that begins after the read came.
//!
//! A round ends when every required member has answered a message that was sent when it began: none of them had
//! adopted a higher epoch then, so nobody else had committed anything. Where nobody is required, no member's word proves
//! anything, and the authority is asked instead: no other leader was recorded then.
//!
//! What the authority says proves what followers had said of their time before it was asked, too (R22). It is asked for
//! them as long as they stream, and for nobody else.

use seawall::map::Generation;
use seawall::position::Index;
use seawall::replication::{ClosedSegment, Echo, Heartbeat, Message, Stamp, Standing, StateDigest};

use super::lead::{Lead, Sent, Stage};
use super::marks::told;
use crate::params::{HEARTBEAT_US, REPLICA_RETRY_US};
use crate::seam::{Effect, Effects, Now};
use crate::shard::release::{OnlyIf, Proof};
use crate::shard::{Life, Shard, to_net};

/// What a linearizable read rests on where members are required.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadProof {
    /// The promises of all of them run. Nothing is sent for a read.
    #[default]
    Lease,
    /// Each of them answered since the read came: it holds also where a paused machine stops the clock.
    RoundTrip,
}

/// Counts up, and one is under way at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shard) struct Rounds {
    begun: u64,
    /// When the newest began, while it is under way.
    began_us: Option<u64>,
    /// When the authority was asked for it.
    asked_us: Option<u64>,
}

/// What a member said of its own time, to be echoed with a commit index that is taken afterwards (R22). It belongs to a
/// session: whoever was started again may count from another beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probes {
    newest_us: Option<u64>,
    /// It had come before the authority was asked.
    asked_us: Option<u64>,
    /// And the authority has answered since.
    proven_us: Option<u64>,
}

impl Probes {
    pub fn came(&mut self, probe_us: u64) {
        self.newest_us = Some(probe_us);
    }

    /// What comes from now on is not proven by the answer.
    fn ask(&mut self) {
        self.asked_us = self.newest_us.take().or(self.asked_us);
    }

    fn answered(&mut self) {
        self.proven_us = self.asked_us.take().or(self.proven_us);
    }

    /// Which one is echoed now, and whether that proves anything. Where nobody is required, they wait for the authority.
    fn echo(&mut self, leased: bool, alone: bool) -> Option<(u64, bool)> {
        match self.proven_us.take().filter(|_| !leased) {
            Some(probe_us) => Some((probe_us, true)),
            None if alone => None,
            None => self.newest_us.take().map(|probe_us| (probe_us, leased)),
        }
    }
}

/// What every heartbeat of a moment says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    pub stamp: Stamp,
    pub last: Index,
    pub committed: Index,
    /// Whether echoes prove anything by the lease.
    pub proven: bool,
    /// Nobody is required.
    pub alone: bool,
    pub closed: Option<ClosedSegment>,
    pub state: Option<StateDigest>,
}

impl Beat {
    pub fn to(&self, now: Now, sent: &mut Sent, standing: Standing) -> Message<'static> {
        let Self { stamp, last, committed, proven, alone, closed, state } = *self;
        let echo = sent.probes.echo(proven, alone);
        let echo = echo.map(|(probe_us, lease_proven)| Echo { probe_us, committed, lease_proven });
        let (session, sent_us) = (sent.session, now.mono_us);
        Message::Heartbeat(Heartbeat {
            stamp,
            session,
            sent_us,
            standing,
            last,
            committed,
            echo,
            closed,
            state,
        })
    }
}

impl Lead {
    /// What a linearizable read that comes now waits for.
    fn only_if(&self, by: ReadProof) -> OnlyIf {
        match by {
            ReadProof::Lease if !self.leadership.is_alone() => OnlyIf::Leased,
            _ => OnlyIf::Led { round: self.rounds.begun + 1 },
        }
    }

    /// Followers stream, have said something of their time, and only the authority can prove it: once in the half of a
    /// lease.
    fn is_due_for_followers(&self, now: Now) -> bool {
        let waits = |sent: &Sent| sent.stage == Stage::Streaming && sent.probes.newest_us.is_some();
        let every_us = HEARTBEAT_US.max(self.leadership.lease_us() / 2);
        self.leadership.is_alone()
            && self.leadership.serves()
            && self.rounds.asked_us.is_none_or(|asked_us| now.mono_us >= asked_us + every_us)
            && self.members.values().any(waits)
    }
}

impl Shard {
    pub fn prove_reads_by(&mut self, proof: ReadProof) {
        self.read_proof = proof;
    }

    /// What a linearizable answer waits for, beyond the record that it rests on.
    pub(in crate::shard) fn linearizable(&self) -> OnlyIf {
        match &self.life {
            Life::Running(running) => match &running.lead {
                Some(lead) => lead.only_if(self.read_proof),
                None => OnlyIf::Always,
            },
            _ => OnlyIf::Leased,
        }
    }

    /// Begins a round as soon as a read waits for one, or followers do.
    pub(in crate::shard) fn prove(&mut self, now: Now, effects: &mut Effects) {
        let Life::Running(running) = &self.life else { return };
        let for_followers = || running.lead.as_ref().is_some_and(|lead| lead.is_due_for_followers(now));
        if !self.release.wants_proof() && !for_followers() {
            return;
        }
        let beat = self.beat(now);
        let (Life::Running(running), Some(membership)) = (&mut self.life, &mut self.membership) else {
            return;
        };
        let (Some(lead), Some(beat)) = (&mut running.lead, beat) else { return };
        let begins = lead.rounds.began_us.is_none();
        if begins {
            lead.rounds.begun += 1;
            lead.rounds.began_us = Some(now.mono_us);
        }
        if lead.leadership.is_alone() {
            if begins {
                lead.members.values_mut().for_each(|sent| sent.probes.ask());
            }
            let again = |asked_us| now.mono_us >= asked_us + REPLICA_RETRY_US;
            if begins || lead.rounds.asked_us.is_none_or(again) {
                lead.rounds.asked_us = Some(now.mono_us);
                effects.push(Effect::AskMap { shard: self.id, round: lead.rounds.begun });
            }
        } else if begins {
            let members: Vec<_> = lead.leadership.set().required().collect();
            for member in members {
                let standing = lead.standing(member);
                let Some(sent) = lead.members.get_mut(&member).filter(|sent| sent.stage != Stage::Away)
                else {
                    continue; // it is greeted again, and answers the next heartbeat
                };
                membership.say(member, beat.to(now, sent, standing));
            }
        }
    }

    /// Members have answered: perhaps all of them what was sent when the round began.
    pub(super) fn round_answered(&mut self) {
        let Life::Running(running) = &mut self.life else { return };
        let Some(lead) = &mut running.lead else { return };
        if let Some(began_us) = lead.rounds.began_us
            && lead.leadership.serves()
            && lead.leadership.answered_since(began_us)
        {
            lead.rounds.began_us = None;
            self.release.led(lead.rounds.begun, Proof::RoundTrip);
        }
    }

    /// The authority was asked after a round had begun, and says which map is the newest.
    pub fn newest_map_is(&mut self, round: u64, generation: Generation, effects: &mut Effects) {
        let (Life::Running(running), Some(membership)) = (&mut self.life, &self.membership) else { return };
        let Some(lead) = &mut running.lead else { return };
        let (entry, epoch) = (membership.entry(), lead.leadership.epoch());
        let leads = membership.generation() >= generation
            && (entry.leader, entry.epoch) == (Some(membership.me), epoch);
        let asked =
            lead.rounds.began_us.is_some() && lead.rounds.begun == round && lead.leadership.is_alone();
        if asked && leads && lead.leadership.serves() {
            lead.rounds.began_us = None;
            lead.members.values_mut().for_each(|sent| sent.probes.answered());
            self.release.led(round, Proof::Authority);
        }
        self.go_on(effects);
    }

    /// What a heartbeat says now.
    pub(super) fn beat(&self, now: Now) -> Option<Beat> {
        let Life::Running(running) = &self.life else { return None };
        let lead = running.lead.as_ref()?;
        let (closed, state) = told(running.log.digests());
        // Before its first commit a leader knows less than the one before it had acknowledged.
        let leased = matches!(lead.leadership.lease(now.mono_us), Ok(Some(_)));
        Some(Beat {
            stamp: lead.stamp(self.lineage),
            last: to_net(running.log.durable()),
            committed: to_net(self.release.committed()),
            proven: leased && lead.leadership.serves(),
            alone: lead.leadership.is_alone(),
            closed,
            state,
        })
    }
}
