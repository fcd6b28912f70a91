//! How a follower meets a leader or a candidate: its promise first (R10, R11), then where their logs part (R12).
//!
//! Nothing is said before what it rests on is durable, and before the writes of an earlier session are over: what is
//! said then is all that is here.

use seawall::map::MemberId;
use seawall::position::{Epoch, Index};
use seawall::replication::{
    Agreement, Envelope, EpochBegin, Epochs, Fenced, Hello, Message, Refused, Session, Stamp, Verdict,
    Welcome, Why,
};
use seawall_wal::meta::{Bound, Meta};
use seawall_wal::{FileId, NoCut, Start, Wish};

use super::follow::{Stream, granted};
use super::{Reseed, decode, epochs_of};
use crate::replica::{Heard, Incarnation, Promise};
use crate::seam::Now;
use crate::shard::{Life, Shard, to_net, to_wal};

/// What waits for the metadata to be durable, and for writes under way.
#[derive(Debug)]
pub(in crate::shard) enum Pending {
    /// R_HELLO or R_FENCE: its promise is on its way to the disk.
    Message { from: MemberId, frame: Vec<u8>, wish: Wish },
    /// The log ends earlier from now on; then it is opened again.
    Cut { wish: Wish },
}

impl Shard {
    /// R_HELLO or R_FENCE. One at a time: whoever is not heard asks again.
    pub(super) fn meet(&mut self, now: Now, from: MemberId, frame: &[u8], envelope: &Envelope<'_>) {
        let Life::Following(following) = &mut self.life else { return };
        // A promise that is on its way to the disk binds already, and is not to be spoken of yet.
        let (meta, wanted) = (following.log.meta(), following.log.wanted());
        let known = |meta: &Meta| (meta.epoch, meta.bound, meta.reseeding);
        if following.pending.is_some() || known(meta) != known(wanted) {
            return;
        }
        let (stamp, session, leads) = match &envelope.message {
            Message::Hello(hello) => (hello.stamp, hello.session, true),
            Message::Fence(fence) => (fence.stamp, Session(0), false),
            _ => unreachable!("only these two meet a promise"),
        };
        if stamp.lineage != self.lineage {
            return self.refuse_member(from, stamp, session, Why::Lineage, "R23: another history");
        }
        let leader = Incarnation { member: from, start: stamp.start.0 };
        if leads && self.membership.as_mut().is_some_and(|known| known.is_late(leader, stamp.epoch, session))
        {
            return;
        }
        let meta = *following.log.meta();
        let required = matches!(&envelope.message, Message::Hello(hello) if hello.standing.required);
        if meta.reseeding && (required || !leads) {
            return self.refuse_member(
                from,
                stamp,
                session,
                Why::Reseeding,
                "R14: it takes its log anew: what it had acknowledged, if anything, is lost",
            );
        }
        let promise = promise_of(&meta);
        // It was told to lead: nothing more is promised or acknowledged to the leader of before (R15).
        if leads && self.orders.abstains() && stamp.epoch <= promise.epoch {
            return;
        }
        let left_us = following.grant.left_us(now.mono_us);
        let heard = match leads {
            true => promise.meets(stamp.epoch, leader, left_us),
            false => promise.fenced_by(stamp.epoch, left_us),
        };
        match heard {
            Heard::Known => self.meet_again(from, frame, Wish(0)),
            Heard::Adopt(promise) => {
                let stood = following.standing.take().is_some();
                if let Some(membership) = self.membership.as_mut().filter(|_| stood && !leads) {
                    membership.is_outbid(now, stamp.epoch, from);
                }
                self.adopt(from, frame, promise);
            }
            Heard::Fenced { promised } if leads => {
                let text = "R11: a higher epoch was promised";
                self.refuse_member(from, stamp, session, Why::FencedEpoch { promise: promised }, text);
            }
            Heard::Fenced { .. } => self.say_fenced(from, stamp, Verdict::Promised),
            Heard::Granted { left_us } if leads => {
                let why = Why::LeasePromise { remaining_us: left_us };
                self.refuse_member(from, stamp, session, why, "R11: a lease promise runs");
            }
            Heard::Granted { left_us } => {
                self.say_fenced(from, stamp, Verdict::LeaseRuns { remaining_us: left_us });
            }
            Heard::TwoLeaders { bound } => {
                let expected =
                    format!("epoch {} led by member {}, start {}", stamp.epoch.0, bound.member, bound.start);
                let observed = format!("member {from}, start {}", stamp.start.0);
                following.latch("R10", FileId::Meta, (0, Index(0)), &expected, &observed);
            }
        }
    }

    fn adopt(&mut self, from: MemberId, frame: &[u8], promise: Promise) {
        let Life::Following(following) = &mut self.life else { return };
        following.hang_up();
        let wish = following.log.wish(|meta| {
            meta.epoch = seawall_wal::Epoch(promise.epoch.0);
            meta.bound =
                promise.leader.map(|leader| Bound { leader: leader.member.0.into(), start: leader.start });
        });
        self.meet_again(from, frame, wish);
    }

    fn meet_again(&mut self, from: MemberId, frame: &[u8], wish: Wish) {
        let Life::Following(following) = &mut self.life else { return };
        following.pending = Some(Pending::Message { from, frame: frame.to_vec(), wish });
    }

    /// Whatever waited for a write goes on.
    pub(super) fn remembered(&mut self) {
        let Life::Following(following) = &mut self.life else { return };
        let longest_us = following.log.meta().lease_us;
        following.grant.remembered(longest_us);
        if following.halted.is_some() {
            return;
        }
        match &following.pending {
            Some(Pending::Message { wish, .. })
                if granted(&following.log, *wish) && following.log.is_quiet() =>
            {
                let Some(Pending::Message { from, frame, .. }) = following.pending.take() else { return };
                match decode(&frame).message {
                    Message::Hello(hello) => self.open_session(from, &hello),
                    Message::Fence(fence) if following.log.meta().uncertain => {
                        self.say_fenced(from, fence.stamp, Verdict::Uncertain);
                    }
                    Message::Fence(fence) => self.say_fenced(from, fence.stamp, Verdict::Fenced),
                    _ => unreachable!("only these two wait"),
                }
            }
            Some(Pending::Cut { wish }) if granted(&following.log, *wish) => {
                following.pending = None;
                following.leaving = Some(Start::Follow);
            }
            _ => {} // a candidate goes on with the next tick
        }
    }

    /// R12: both tables say how far the logs are one; what is behind that here is cut, unless that would lose what is
    /// committed.
    fn open_session(&mut self, from: MemberId, hello: &Hello<'_>) {
        let applied = self.applied_epochs();
        let Life::Following(following) = &mut self.life else { return };
        let epochs = epochs_of(applied, &following.log);
        let last = to_net(following.log.validated());
        let agree_until = match epochs.table().agreement(last, &hello.epochs, hello.last) {
            Agreement::Until(index) => index,
            Agreement::Unknown if covering(hello, Index(0), &epochs).is_some() => Index(0),
            Agreement::Unknown => {
                let why =
                    Why::Divergence { agree_until: Index(0), committed: to_net(following.log.committed()) };
                following
                    .troubled("R12: the epoch tables share no epoch: `seawall replica reseed` it".to_owned());
                return self.refuse_member(from, hello.stamp, hello.session, why, "R12: no epoch is shared");
            }
            Agreement::Impossible { epoch, ours, theirs } => {
                let expected = format!("epoch {} to begin at {}", epoch.0, ours.0);
                let observed = format!("{} in the leader's log", theirs.0);
                return following.latch("R12", FileId::Meta, (0, ours), &expected, &observed);
            }
        };
        if agree_until < last {
            return self.part_from(hello, agree_until, &epochs);
        }
        following.trouble = None;
        self.reseed.iter_mut().for_each(Reseed::greeted);
        following.session = Some(Stream {
            leader: Incarnation { member: from, start: hello.stamp.start.0 },
            epoch: hello.stamp.epoch,
            number: hello.session,
            sent_us: hello.sent_us,
            promised: None,
            seat: hello.standing,
            last: hello.last,
            loss: covering(hello, last, &epochs).map(|loss| loss.epoch),
        });
        let meta = *following.log.meta();
        let welcome = Welcome {
            stamp: Stamp { start: seawall::replication::Start(meta.start), ..hello.stamp },
            session: hello.session,
            echo_sent_us: hello.sent_us,
            promise: Epoch(meta.epoch.0),
            positions: following.positions(),
            state: following.state(),
            reseeding: meta.reseeding,
            lease_us: 0,
            epochs: epochs.table(),
        };
        if let Some(membership) = &mut self.membership {
            membership.say(from, Message::Welcome(welcome));
        }
    }

    /// A suffix that the leader does not have.
    fn part_from(&mut self, hello: &Hello<'_>, agree_until: Index, epochs: &Epochs) {
        let Life::Following(following) = &mut self.life else { return };
        let committed = following.log.committed().max(following.log.meta().committed);
        let lost = covering(hello, agree_until, epochs);
        if agree_until.0 < committed.0 && lost.is_none() {
            let expected = format!("a leader with everything up to {}, which is committed here", committed.0);
            let observed = format!("one whose log is the same up to {} only", agree_until.0);
            return following.latch("R12", FileId::Meta, (0, agree_until), &expected, &observed);
        }
        match following.log.cut_to(to_wal(agree_until)) {
            Ok(wish) => {
                following.pending = Some(Pending::Cut { wish });
                if let Some(loss) = lost {
                    let (from, last) = (agree_until.0 + 1, following.log.validated().0);
                    following.troubled(lost_here(from..=last, committed.0, loss));
                }
            }
            Err(NoCut::InCheckpoint(_)) if let Some(loss) = lost => {
                let (from, last) = (agree_until.0 + 1, following.log.validated().0);
                let lost = lost_here(from..=last, committed.0, loss);
                following.given_up = Some(format!("{lost}; the checkpoint here holds some of them"));
            }
            Err(why) => following.troubled(format!("R12: it cannot be cut: {why:?}")),
        }
    }

    fn say_fenced(&mut self, to: MemberId, stamp: Stamp, verdict: Verdict) {
        let applied = self.applied_epochs();
        let Life::Following(following) = &self.life else { return };
        let epochs = epochs_of(applied, &following.log);
        let meta = following.log.meta();
        let fenced = Fenced {
            stamp: Stamp { start: seawall::replication::Start(meta.start), ..stamp },
            verdict,
            promise: Epoch(meta.epoch.0),
            positions: following.positions(),
            epochs: epochs.table(),
        };
        if let Some(membership) = &mut self.membership {
            membership.say(to, Message::Fenced(fenced));
        }
    }

    /// R25: a leader is told why nothing comes, and greets it again all the same: a halt may be cleared.
    pub(super) fn says_that_it_is_halted(&mut self, from: MemberId, envelope: &Envelope<'_>) {
        let (Message::Hello(hello), Some(why)) = (&envelope.message, self.halt()) else { return };
        let stamp = self.stamp_of(hello.stamp.epoch, 0);
        if let Some(membership) = &mut self.membership {
            let (session, text) = (hello.session, why.as_str());
            membership.say(from, Message::Refused(Refused { stamp, session, why: Why::Halted, text }));
        }
    }

    fn refuse_member(&mut self, to: MemberId, stamp: Stamp, session: Session, why: Why, text: &str) {
        let Life::Following(following) = &self.life else { return };
        let start = seawall::replication::Start(following.log.meta().start);
        let stamp = Stamp { lineage: self.lineage, start, ..stamp };
        if let Some(membership) = &mut self.membership {
            membership.say(to, Message::Refused(Refused { stamp, session, why, text }));
        }
    }
}

/// What an accepted loss takes from this log, for whoever asks what became of it.
fn lost_here(indices: std::ops::RangeInclusive<u64>, committed: u64, loss: EpochBegin) -> String {
    let (from, last) = (*indices.start(), *indices.end());
    format!(
        "R12: indices {from} to {last} are lost, {} of them known to be committed: epoch {} began with a loss that was \
         accepted from index {} on; a copy goes to quarantine/",
        (committed + 1).saturating_sub(from),
        loss.epoch.0,
        loss.first.0
    )
}

/// A loss that was accepted in an epoch above all of this log, and takes whatever is behind this index.
fn covering(hello: &Hello<'_>, agree_until: Index, epochs: &Epochs) -> Option<EpochBegin> {
    let newest = epochs.table().iter().last().map_or(Epoch(0), |newest| newest.epoch);
    hello.losses.iter().find(|loss| loss.epoch > newest && loss.first.0 <= agree_until.0 + 1)
}

pub(super) fn promise_of(meta: &seawall_wal::meta::Meta) -> Promise {
    let leader = meta.bound.map(|bound| Incarnation {
        member: MemberId(u32::try_from(bound.leader).unwrap_or(u32::MAX)),
        start: bound.start,
    });
    Promise { epoch: Epoch(meta.epoch.0), leader }
}
