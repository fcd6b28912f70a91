//! A follower: takes a leader's blocks verbatim, applies what is committed, and acknowledges.
//!
//! received >= persisted >= validated >= applied. Only the third counts for a commit (R13), and only the fourth is read.

use std::collections::VecDeque;

use seawall::map::MemberId;
use seawall::position::{Epoch, Index};
use seawall::replication::{
    Ack, Envelope, FollowerState, Heartbeat, Message, Positions, Refused, Session, Standing as Seat, Why,
};
use seawall_wal::meta::Latch;
use seawall_wal::{Cause, Done, FileId, Follower, Start, Wish};

use super::Held;
use super::greet::Pending;
use super::proof::Proof;
use super::rate::Rate;
use super::stand::Standing;
use crate::params::{DISK_PATIENCE_US, FOLD_RETRY_US, PREPARE_RETRY_US, REPLICA_WINDOW};
use crate::replica::{self, Grant};
use crate::seam::Now;
use crate::shard::{Life, Shard, to_net, to_wal};

#[derive(Debug)]
pub(in crate::shard) struct Following {
    pub log: Follower,
    pub held: Held,
    pub proof: Proof,
    pub(super) grant: Grant,
    pub(super) session: Option<Stream>,
    /// A message that waits until what it changed is durable.
    pub(super) pending: Option<Pending>,
    pub(super) standing: Option<Standing>,
    /// Blocks that the log has no buffers for now.
    pub(super) blocks: VecDeque<(Vec<u8>, usize)>,
    pub(super) bytes: usize,
    /// The role to begin anew with, once nothing is under way.
    pub leaving: Option<Start>,
    /// What an accepted loss took, and this log cannot give up by itself (R12).
    pub(super) given_up: Option<String>,
    /// Why nothing goes on until somebody acts (R4, R25).
    pub halted: Option<String>,
    pub(super) halt_said: bool,
    /// While it reseeds: the epoch of a session in which the leader said that it is not recorded.
    seen_out: Option<Epoch>,
    /// What went wrong last, for `status`.
    pub(super) trouble: Option<String>,
    /// Why it begins anew, if it was required and has nothing.
    pub(super) lost_disk: Option<String>,
    /// What is to be said loudly, and what was, with where the log ended.
    pub(super) alarm: Option<String>,
    alarmed: Option<(String, seawall_wal::Index)>,
    /// How fast it gets on.
    pub(super) rate: Rate,
    /// Why no read is served (R22), as of the last tick.
    pub unproven: Option<String>,
    pub(in crate::shard) unproven_since_us: Option<u64>,
    pub(in crate::shard) unproven_said: bool,
    /// Since when the disk owes an answer.
    owes_since_us: Option<u64>,
    retry_prepare_us: u64,
    retry_fold_us: u64,
    /// An R_ACK is due.
    news: bool,
    /// Bytes that came and were not acknowledged. What the disk says of them soon says that they came, too: a message of
    /// its own would only wake the leader, unless so many are under way that its window fills.
    unsaid: usize,
}

/// What this follower knows of its leader; positions belong to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub leader: replica::Incarnation,
    pub epoch: Epoch,
    pub number: Session,
    /// The send time of the newest message, by the leader's clock.
    pub sent_us: u64,
    /// For which of them this member has promised what: the leader counts from when it asked.
    pub promised: Option<(u64, u64)>,
    pub seat: Seat,
    /// The leader's last index, as far as it said so.
    pub last: Index,
    /// The epoch in which a loss was accepted that takes whatever is behind this log.
    pub loss: Option<Epoch>,
}

impl Following {
    pub fn new(log: Follower, held: Held, now: Now) -> Self {
        let grant = Grant::after_start(now.mono_us, log.meta().lease_us);
        Self {
            log,
            held,
            proof: Proof::default(),
            grant,
            session: None,
            pending: None,
            standing: None,
            blocks: VecDeque::new(),
            bytes: 0,
            leaving: None,
            given_up: None,
            halted: None,
            halt_said: false,
            seen_out: None,
            trouble: None,
            lost_disk: None,
            alarm: None,
            alarmed: None,
            rate: Rate::default(),
            unproven: None,
            unproven_since_us: None,
            unproven_said: false,
            owes_since_us: None,
            retry_prepare_us: 0,
            retry_fold_us: 0,
            news: false,
            unsaid: 0,
        }
    }

    pub(super) fn positions(&self) -> Positions {
        let applied = self.held.applied();
        let [received, persisted, validated, applied] =
            [self.log.received(), self.log.persisted(), self.log.validated(), applied].map(to_net);
        Positions { received, persisted, validated, applied }
    }

    pub fn state(&self) -> FollowerState {
        let behind = |stream: &Stream| self.log.validated().0 < stream.last.0;
        match &self.session {
            _ if self.halted.is_some() => FollowerState::Halted,
            None if self.log.validated().0 == 0 => FollowerState::Uninitialised,
            None => FollowerState::Fenced,
            Some(_) if self.log.is_adopting() => FollowerState::Bootstrapping,
            Some(stream) if behind(stream) => FollowerState::CatchingUp,
            Some(_) => FollowerState::Streaming,
        }
    }

    /// R14: nothing was ever promised here, and the shard has been led: whatever this member had acknowledged is lost, if
    /// it ever had anything. It counts for nothing until a leader has recorded it again.
    pub(super) fn knows_a_lost_disk(&mut self, of_the_map: Epoch, recorded: bool) {
        let meta = self.log.wanted();
        let blank = meta.epoch.0 == 0 && self.log.received().0 == 0;
        if blank && !meta.reseeding && of_the_map > Epoch(0) {
            self.log.wish(|meta| meta.reseeding = true);
            self.lost_disk = recorded.then(|| {
                format!(
                    "R14: commits wait for this member in epoch {}, and its disk is empty: what it had acknowledged is lost",
                    of_the_map.0
                )
            });
        }
        // A leader that has recorded it since may die before it says so: the map says it, too. That of an epoch whose
        // leader knew it to be out: a map alone may be older than the loss.
        if recorded && self.log.wanted().reseeding && self.seen_out == Some(of_the_map) {
            self.log.wish(|meta| meta.reseeding = false);
        }
    }

    /// Whether a leader's lease rests on this member. Then its disk is asked now and then, whether there is something to
    /// write or not.
    pub(super) fn promises(&self) -> bool {
        self.session.is_some_and(|stream| stream.seat.required)
    }

    pub fn is_streaming(&self) -> bool {
        self.state() == FollowerState::Streaming
    }

    pub fn reason(&self) -> Option<String> {
        let grow = || self.log.prepare_error().map(|error| format!("the log cannot grow: {error}"));
        let fold = || self.log.fold_error().map(|error| format!("no newer checkpoint can be made: {error}"));
        let told = || self.trouble.clone().or_else(|| self.unproven.clone());
        self.halted.clone().or_else(grow).or_else(told).or_else(fold)
    }

    /// What failed, for lack of room say, is tried again, as whoever leads does.
    pub fn retry(&mut self, now: Now) {
        if now.mono_us >= self.retry_prepare_us {
            self.retry_prepare_us = now.mono_us + PREPARE_RETRY_US;
            self.log.retry_prepare();
        }
        if now.mono_us >= self.retry_fold_us {
            self.retry_fold_us = now.mono_us + FOLD_RETRY_US;
            self.log.retry_fold();
        }
    }

    /// Nothing more of the leader of before counts.
    pub(super) fn hang_up(&mut self) {
        self.session = None;
        self.proof.hang_up();
        self.log.drop_offer();
        self.blocks.clear();
        (self.bytes, self.news, self.unsaid) = (0, false, 0);
    }

    /// Whether a message is of the session that is open.
    fn is_of_session(&self, from: MemberId, stamp: &seawall::replication::Stamp, number: Session) -> bool {
        let leader = replica::Incarnation { member: from, start: stamp.start.0 };
        self.session.is_some_and(|s| (s.leader, s.epoch, s.number) == (leader, stamp.epoch, number))
    }

    /// Something that this member cannot mend by itself, or that would come again. It is in `status` until a leader
    /// greets, and said once for as long as the log ends where it does.
    pub(super) fn troubled(&mut self, why: String) {
        let said = (why.clone(), self.log.validated());
        if self.alarmed.as_ref() != Some(&said) {
            self.alarm = Some(why.clone());
            self.alarmed = Some(said);
        }
        self.trouble = Some(why);
    }

    /// R25: an integrity failure stays one over restarts, until somebody clears it.
    pub(in crate::shard) fn latch(
        &mut self,
        rule: &'static str,
        file: FileId,
        at: (u64, Index),
        expected: &str,
        observed: &str,
    ) {
        let (offset, index) = at;
        let latch = Latch::new(rule, file, offset, to_wal(index), expected, observed);
        self.log.wish(|meta| meta.latch = Some(latch));
        self.halted = Some(format!(
            "{rule}: {file}, offset {offset}, index {}: expected {expected}, observed {observed}",
            index.0
        ));
        self.standing = None;
        self.pending = None;
        self.hang_up();
    }
}

impl Shard {
    pub(super) fn follower_hears(&mut self, now: Now, from: MemberId, frame: &[u8], envelope: &Envelope<'_>) {
        let Life::Following(following) = &mut self.life else { return };
        if following.leaving.is_some() {
            return;
        }
        if following.halted.is_some() {
            return self.says_that_it_is_halted(from, envelope);
        }
        match &envelope.message {
            Message::Hello(_) | Message::Fence(_) => self.meet(now, from, frame, envelope),
            Message::Append(append) => {
                if !following.is_of_session(from, &append.stamp, append.session) {
                    return self.no_session(from, &append.stamp, append.session);
                }
                following.hears(append.sent_us, None, append.committed);
                following.unsaid += append.blocks.len();
                self.reseed.iter_mut().for_each(|reseed| reseed.got(now, append.blocks.len()));
                following.take_next_blocks(append.blocks);
                if following.session.is_none() {
                    self.no_session(from, &append.stamp, append.session);
                }
            }
            Message::Checkpoint(piece) => {
                if !following.is_of_session(from, &piece.stamp, piece.session) {
                    return self.no_session(from, &piece.stamp, piece.session);
                }
                following.hears(piece.sent_us, None, Index(0));
                following.unsaid += piece.blocks.len();
                self.reseed.iter_mut().for_each(|reseed| reseed.got(now, piece.blocks.len()));
                following.take_piece(piece, self.lineage.0, self.id.0);
                if following.session.is_none() {
                    self.no_session(from, &piece.stamp, piece.session);
                }
            }
            Message::Heartbeat(beat) => {
                if !following.is_of_session(from, &beat.stamp, beat.session) {
                    return self.no_session(from, &beat.stamp, beat.session);
                }
                following.hears(beat.sent_us, Some(beat), beat.committed);
                following.compare(beat.closed, beat.state);
            }
            Message::Fenced(fenced) => self.candidate_hears(from, fenced),
            Message::Refused(refused) => self.candidate_refused(refused),
            _ => {}
        }
    }

    fn no_session(&mut self, to: MemberId, stamp: &seawall::replication::Stamp, session: Session) {
        let Life::Following(following) = &self.life else { return };
        let text = following.trouble.clone().unwrap_or_default();
        let stamp = self.stamp_of(stamp.epoch, following.log.meta().start);
        if let Some(membership) = &mut self.membership {
            membership
                .say(to, Message::Refused(Refused { stamp, session, why: Why::NoSession, text: &text }));
        }
    }

    /// One operation on the log ended.
    pub(in crate::shard) fn follower_done(&mut self, done: Done) {
        let Life::Following(following) = &mut self.life else { return };
        following.owes_since_us = None;
        following.news = true;
        let Err(failure) = following.log.done(done) else { return self.apply_committed() };
        if following.halted.is_some() {
            return;
        }
        match failure.cause {
            Cause::Invalid(invalid) => {
                let at = (invalid.offset, to_net(invalid.index));
                following.latch(
                    "R1",
                    failure.file,
                    at,
                    "a whole batch that continues the log",
                    &invalid.why.to_string(),
                );
            }
            // R4: only recovery brings it back.
            Cause::Error(_) | Cause::Short { .. } => {
                following.halted = Some(format!("R4: {failure}"));
                following.hang_up();
            }
        }
    }

    /// R8: up to the committed index, and not beyond.
    fn apply_committed(&mut self) {
        let Life::Following(following) = &mut self.life else { return };
        following.take_fresh();
        following.take_blocks();
        let committed = following.log.committed();
        following.held.apply(committed, &mut self.state);
        following.proof.applied(to_net(following.held.applied()));
        if committed > self.release.committed() {
            self.release.advance(committed);
            self.state.bury(to_net(committed));
            self.serve_waiting();
        }
    }

    pub(in crate::shard) fn follower_turn(&mut self, now: Now) {
        self.apply_committed();
        let Life::Following(following) = &mut self.life else { return };
        following.log.pump(&mut self.ios);
        if following.log.outstanding() {
            following.owes_since_us.get_or_insert(now.mono_us);
        } else {
            following.news |= following.unsaid > 0;
        }
        if following.news || following.unsaid >= REPLICA_WINDOW / 4 {
            self.acknowledge(now);
        }
    }

    fn acknowledge(&mut self, now: Now) {
        let lineage = self.lineage;
        let (Life::Following(following), Some(membership)) = (&mut self.life, &mut self.membership) else {
            return;
        };
        let Some(stream) = &mut following.session else { return };
        (following.news, following.unsaid) = (false, 0);
        // R24: what cannot write can promise nothing.
        let owes_us = following.owes_since_us.map_or(0, |since| now.mono_us.saturating_sub(since));
        let disk_answered = owes_us < DISK_PATIENCE_US;
        let wanted_us = u64::from(membership.entry().policy.lease_ms) * 1000;
        let promises = stream.seat.required && disk_answered;
        let lease_us = match following.grant.covers(wanted_us) {
            true if promises => wanted_us,
            false if promises => {
                following.log.wish(|meta| meta.lease_us = meta.lease_us.max(wanted_us));
                0
            }
            _ => 0,
        };
        // What its own disk gives it to say is nothing that the leader asked: that one may be gone, and another one waits.
        let promise = Some((stream.sent_us, lease_us));
        if lease_us > 0 && stream.promised != promise {
            stream.promised = promise;
            following.grant.grant(now.mono_us, lease_us);
        }
        let stream = *stream;
        let stamp = seawall::replication::Stamp {
            lineage,
            epoch: stream.epoch,
            start: seawall::replication::Start(following.log.meta().start),
        };
        membership.say(
            stream.leader.member,
            Message::Ack(Ack {
                stamp,
                session: stream.number,
                echo_sent_us: stream.sent_us,
                positions: following.positions(),
                promise: Epoch(following.log.meta().epoch.0),
                lease_us,
                probe_us: now.mono_us,
                checkpoint: following.log.offered(),
                disk_answered,
            }),
        );
    }
}

impl Following {
    fn hears(&mut self, sent_us: u64, beat: Option<&Heartbeat>, committed: Index) {
        let Some(stream) = &mut self.session else { return };
        stream.sent_us = stream.sent_us.max(sent_us);
        if let Some(beat) = beat {
            (stream.seat, stream.last) = (beat.standing, beat.last);
            match beat.standing.recorded {
                _ if !self.log.wanted().reseeding => {}
                false => self.seen_out = Some(stream.epoch),
                true => drop(self.log.wish(|meta| meta.reseeding = false)), // R14: it is whole again
            }
            beat.echo.iter().for_each(|echo| self.proof.echoed(echo));
            // R2: whoever leads has what was behind an uncertain end here, if it was anything, and so has this log now.
            if self.log.wanted().uncertain && to_net(self.log.validated()) >= beat.last {
                self.log.wish(|meta| meta.uncertain = false);
            }
        }
        self.log.commit(to_wal(committed));
        self.news |= beat.is_some();
    }
}

/// What a wish was for is durable.
pub(super) fn granted(log: &Follower, wish: Wish) -> bool {
    log.remembered() >= wish
}
