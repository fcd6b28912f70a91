//! A shard among members (R9 to R16, R22): what it hears from other nodes, and what it says to them.
//!
//! ```text
//! lead.rs     a leader's sessions: greets, ships what is durable at home, counts what is acknowledged
//! follow.rs   a follower: takes blocks verbatim, applies what is committed, acknowledges
//! greet.rs    how a follower meets a leader or a candidate: promise, divergence, cut
//! ship.rs     which bytes of the log go out
//! catch_up.rs a member that is behind what is in memory: from segments,
//! bootstrap.rs and from a checkpoint
//! marks.rs    what is written down now and then, and digests that are compared
//! stand.rs    a member on its way to the leadership
//! propose.rs  what a leader asks of the authority
//! reseed.rs   halts that end on purpose, and logs that begin anew
//! orders.rs   what operators tell this member
//! prove.rs    how a leader proves a linearizable read
//! proof.rs    how old a follower's state is at most
//! waits.rs    how many members an answer waits for, and how long
//! held.rs     records that are whole and not known to be committed
//! ```
//! Every change of role goes through recovery: the shard asks for its log to be opened again, and begins anew from the
//! disk. What the rules are is in `replica/`; here they meet the log and the messages.

mod bootstrap;
mod catch_up;
mod follow;
mod greet;
mod held;
mod lead;
mod marks;
mod orders;
mod pace;
mod proof;
mod propose;
mod prove;
mod rate;
mod report;
mod reseed;
mod ship;
mod stand;
mod take;
mod waits;

use std::sync::Arc;

use seawall::frame::Frame;
use seawall::map::{Generation, Map, MemberId, Replicas, ShardId};
use seawall::position::Epoch;
use seawall::refusal::Refusal;
use seawall::replication::{Envelope, EpochBegin, Epochs, Message, Session, Stamp, Start as ReplicaStart};
use seawall_wal::Start;

use super::{Life, Shard, to_net};
use crate::replica::Incarnation;
use crate::seam::{Effect, Effects, Now};
pub(super) use follow::Following;
pub(super) use held::Held;
pub(super) use lead::{Lead, Sent};
pub(super) use orders::Orders;
pub use prove::ReadProof;
pub(super) use reseed::Reseed;
pub use reseed::audit_line;

/// What the map says of this shard, and what is to be said to others.
#[derive(Debug)]
pub(super) struct Membership {
    pub me: MemberId,
    pub map: Arc<Map>,
    shard: ShardId,
    said: Vec<(MemberId, Vec<u8>)>,
    /// Somebody stands for this epoch, and may until this time: whoever led stepped down for it, and does not run
    /// against it.
    gives_way: Option<(Epoch, u64)>,
    /// This member stood, too, and met the higher epoch of another candidate, which has until this time.
    outbid: Option<(Epoch, MemberId, u64)>,
    /// Who greeted last, and for which session. It outlives the log that was open then.
    greeted: Option<(Incarnation, Epoch, Session)>,
}

impl Membership {
    /// Whether a leader greets for a session that is older than one that it has begun since: the message was late, and
    /// says what that leader's log was like then. To judge the log here by it would be to halt for nothing.
    fn is_late(&mut self, leader: Incarnation, epoch: Epoch, session: Session) -> bool {
        let late = |known: &(Incarnation, Epoch, Session)| {
            (known.0, known.1) == (leader, epoch) && known.2 > session
        };
        if self.greeted.as_ref().is_some_and(late) {
            return true;
        }
        self.greeted = Some((leader, epoch, session));
        false
    }

    fn entry(&self) -> &Replicas {
        self.map.replicas(self.shard).expect("a shard of a member stands in the map")
    }

    /// What the first record of an epoch says beside where it begins: see [`crate::shard::spaces::PROMOTIONS`].
    pub fn told(&self) -> Vec<u8> {
        let from = self.entry().open_loss.map_or(0, |loss| loss.from.0);
        let mut told = from.to_le_bytes().to_vec();
        if let Some(audit) = &self.map.parts().audit {
            let (actor, change, reason) = (&audit.actor, &audit.change, &audit.reason);
            told.extend_from_slice(format!("{actor}: {change} ({reason})").as_bytes());
        }
        told
    }

    pub fn generation(&self) -> Generation {
        self.map.generation()
    }

    /// Everybody else who keeps the shard.
    fn others(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.entry().all().filter(|member| *member != self.me)
    }

    fn say(&mut self, to: MemberId, message: Message<'_>) {
        let mut frame = Vec::new();
        Envelope { generation: self.map.generation(), shard: self.shard, message }.encode(&mut frame);
        self.said.push((to, frame));
    }

    pub fn leader_address(&self) -> Option<&str> {
        self.map.leader(self.shard).map(|leader| leader.address.as_str())
    }
}

impl Shard {
    /// The partition map, at the start and whenever it changes.
    pub fn map_changed(&mut self, now: Now, me: Option<MemberId>, map: &Arc<Map>, effects: &mut Effects) {
        let Some(me) = me else { return };
        match &mut self.membership {
            Some(membership) => membership.map = map.clone(),
            None if map.replicas(self.id).is_some() => {
                let (map, shard) = (map.clone(), self.id);
                self.membership = Some(Membership {
                    me,
                    map,
                    shard,
                    said: Vec::new(),
                    gives_way: None,
                    outbid: None,
                    greeted: None,
                });
            }
            None => return,
        }
        match &self.life {
            Life::Running(_) => self.leader_sees_map(now),
            Life::Following(_) => self.follower_sees_map(now),
            _ => {}
        }
        self.go_on(effects);
    }

    /// Its log is another member's.
    pub fn follows_others(&self) -> bool {
        matches!(self.life, Life::Following(_))
    }

    /// A whole frame of another member, already checked.
    pub fn heard(&mut self, now: Now, from: MemberId, frame: &[u8], effects: &mut Effects) {
        let known = self.membership.as_ref().is_some_and(|m| m.others().any(|other| other == from));
        if !known {
            return; // whoever has an older map hears of the newer one before long
        }
        let envelope = decode(frame);
        match &self.life {
            Life::Running(running) if running.lead.is_some() => self.leader_hears(now, from, &envelope),
            Life::Following(_) => self.follower_hears(now, from, frame, &envelope),
            Life::Halted(_) => self.says_that_it_is_halted(from, &envelope),
            _ => {}
        }
        self.go_on(effects);
    }

    /// The next step of whatever has waited for a write, or for the log to be quiet.
    pub(super) fn go_on(&mut self, effects: &mut Effects) {
        if let Life::Following(_) = &self.life {
            self.remembered();
            self.say_halt(effects);
        }
        self.reopen_when_quiet(effects);
        self.emit(effects);
    }

    /// Nothing stands still silently.
    fn say_halt(&mut self, effects: &mut Effects) {
        let Life::Following(following) = &mut self.life else { return };
        if let Some(why) = following.alarm.take() {
            effects.push(Effect::ReplicaTroubled { shard: self.id, why });
        }
        if let Some(why) = following.halted.as_ref().filter(|_| !following.halt_said) {
            let refusal = Refusal::replica_unsafe("R25", why.clone());
            effects.push(Effect::ReplicaHalted { shard: self.id, why: why.clone() });
            following.halt_said = true;
            self.lose_waiting(&refusal);
        }
    }

    /// Of a follower's log, as a leader says it of its own.
    pub(super) fn no_space(&self) -> Option<Effect> {
        let Life::Following(following) = &self.life else { return None };
        let error = following.log.prepare_error()?;
        Some(Effect::NoSpace { shard: self.id, why: error.to_string() })
    }

    /// Another role begins with recovery, once nothing of this one is under way.
    fn reopen_when_quiet(&mut self, effects: &mut Effects) {
        let start = match &self.life {
            Life::Following(following) => following.leaving.filter(|_| following.log.is_quiet()),
            Life::Deposed { log } => Some(Start::Follow).filter(|_| !log.outstanding() && !log.folding()),
            _ => None,
        };
        let Some(start) = start else { return };
        if matches!(&self.life, Life::Following(following) if following.log.folding()) {
            return;
        }
        self.life = Life::Reopening { start };
        effects.push(Effect::Reopen { shard: self.id });
    }

    /// What is to be said to other members.
    pub fn take_said(&mut self) -> impl Iterator<Item = (MemberId, Vec<u8>)> + '_ {
        self.membership.iter_mut().flat_map(|membership| membership.said.drain(..))
    }

    /// For messages of this epoch, by this start of this replica.
    fn stamp_of(&self, epoch: Epoch, start: u64) -> Stamp {
        Stamp { lineage: self.lineage, epoch, start: ReplicaStart(start) }
    }

    /// Losses that operators accepted, as this log tells them: from which index on, in which epoch (R12).
    fn losses(&self) -> Epochs {
        let mut losses = Epochs::default();
        for (epoch, from) in self.state.losses() {
            losses.push(EpochBegin { epoch: Epoch(*epoch), first: seawall::position::Index(*from) });
        }
        losses
    }

    /// Of everything that is applied.
    fn applied_epochs(&self) -> Epochs {
        let mut epochs = Epochs::default();
        for (epoch, first) in self.state.epochs() {
            epochs.push(EpochBegin { epoch: Epoch(*epoch), first: seawall::position::Index(*first) });
        }
        epochs
    }
}

/// Of everything that is whole here: what is applied, and the segments behind that.
fn epochs_of(applied: Epochs, log: &seawall_wal::Follower) -> Epochs {
    let mut epochs = applied;
    let known = epochs.table().iter().last().map_or(0, |newest| newest.epoch.0);
    for (epoch, first) in log.epochs().filter(|(epoch, _)| epoch.0 > known) {
        epochs.push(EpochBegin { epoch: Epoch(epoch.0), first: to_net(first) });
    }
    epochs.cut(seawall::position::Index(log.validated().0 + 1));
    epochs
}

/// A frame that was checked when it arrived.
fn decode(frame: &[u8]) -> Envelope<'_> {
    let frame = Frame::checked_before(frame).expect("it was whole when it arrived");
    Envelope::decode(&frame).expect("it was decoded when it arrived")
}
