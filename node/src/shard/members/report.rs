//! What a member says of itself and of the others, for whoever asks.

use seawall::replication::FollowerState;

use super::lead::Sent;
use super::{Following, Lead, Membership, Reseed};
use crate::seam::{FollowerStatus, MemberStatus, Replication};
use crate::shard::{Life, Shard};

impl Shard {
    /// In the map; 0 of a node that is alone.
    pub(in crate::shard) fn recorded_epoch(&self) -> u64 {
        self.membership.as_ref().map_or(0, |membership| membership.entry().epoch.0)
    }

    /// A log that was put aside is not just behind, until it is level.
    pub(in crate::shard) fn state_of(&self, following: &Following) -> &'static str {
        match following.state() {
            state @ (FollowerState::Halted | FollowerState::Streaming) => state.name(),
            _ if self.reseed.as_ref().is_some_and(Reseed::was_put_aside) => "reseeding",
            state => state.name(),
        }
    }

    /// A follower of itself, in a line.
    pub(in crate::shard) fn follows(&self) -> String {
        let Some(Replication { following: Some(own), .. }) = self.replication() else {
            return "it follows nobody".to_owned();
        };
        let leader = own.leader.map_or("nobody".to_owned(), |leader| format!("member {leader}"));
        let target = own.target.map(|target| format!(" of {target}")).unwrap_or_default();
        let reason = own.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
        format!(
            "follows {leader}: {}, received {}, persisted {}, validated {}{target}, applied {}{reason}",
            own.state, own.received, own.persisted, own.validated, own.applied
        )
    }

    /// `None`: this node is alone.
    pub(in crate::shard) fn replication(&self) -> Option<Replication> {
        let membership = self.membership.as_ref()?;
        let mut refuses_commits = false;
        let (role, members, following) = match &self.life {
            Life::Running(running) => {
                let lead = running.lead.as_deref();
                refuses_commits = lead.is_some_and(|lead| lead.refuses.is_some());
                ("leader", lead.map(|lead| lead.report(running.log.durable().0)).unwrap_or_default(), None)
            }
            Life::Following(following) if following.stands() => ("candidate", Vec::new(), Some(following)),
            Life::Following(following) => ("follower", Vec::new(), Some(following)),
            _ => ("none", Vec::new(), None),
        };
        Some(Replication {
            role,
            generation: membership.generation().0,
            epoch: membership.entry().epoch.0,
            leader: membership.entry().leader,
            committed: self.is_open().then(|| self.release.committed().0),
            refuses_commits,
            members,
            following: following.map(|following| FollowerStatus {
                state: self.state_of(following),
                reseed: self.reseed.as_ref().map(Reseed::status),
                ..following.report(membership)
            }),
        })
    }
}

impl Lead {
    fn report(&self, durable: u64) -> Vec<MemberStatus> {
        let member = |(member, sent): (seawall::map::MemberId, &Sent)| {
            let set = self.leadership.set();
            MemberStatus {
                member,
                required: set.requires(member),
                recorded: set.recorded().contains(&member),
                state: if sent.halted { "halted" } else { sent.stage.name() },
                since_us: sent.since_us,
                target: durable,
                acknowledged: sent.acknowledged().0,
                under_way_bytes: sent.bytes as u64,
                attempts: sent.attempts,
                records_per_second: sent.rate.per_second(),
                reason: sent.reason.clone(),
            }
        };
        self.members().map(member).collect()
    }
}

impl Following {
    fn report(&self, membership: &Membership) -> FollowerStatus {
        let positions = self.positions();
        FollowerStatus {
            state: self.state().name(),
            leader: self.session.as_ref().map(|stream| stream.leader.member),
            place: membership.entry().place_of(membership.me),
            target: self.session.as_ref().map(|stream| stream.last.0),
            promise: self.log.meta().epoch.0,
            received: positions.received.0,
            persisted: positions.persisted.0,
            validated: positions.validated.0,
            applied: positions.applied.0,
            records_per_second: self.rate.per_second(),
            reseeding: self.log.meta().reseeding,
            reseed: None,
            unproven: self.unproven.is_some(),
            reason: self.reason(),
        }
    }

    fn stands(&self) -> bool {
        self.standing.is_some()
    }
}
