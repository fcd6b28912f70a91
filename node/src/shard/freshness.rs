//! How fresh a read must be, and reads that wait to be fresh enough.
//!
//! A follower serves what it has applied while its proof is young (R22), and says how old that is at most. With one replica everything durable is committed, and nobody else can have committed anything since: whoever
//! serves at all serves the newest state, so staleness is proven to be 0. What a token names may still lie ahead, or in
//! a history that was lost.

use std::collections::BTreeMap;

use seawall::message::{Consistency, Request};
use seawall::position::{Epoch, Index as At, Position};
use seawall::refusal::Refusal;
use seawall::replication::FollowerState;
use seawall::token::Token;
use seawall_wal::Index;

use super::members::Membership;
use super::release::{Answer, OnlyIf, Released};
use super::{Asked, Life, ReplyTo, Sent, Shard, admit, position, to_wal};
use crate::params::{MAX_UNPROVEN_US, RETRY_QUEUE_MS, RETRY_RECOVERY_MS, WAITING_READS, WAITING_READS_BYTES};
use crate::seam::{Effect, Effects, Now};

/// What the epoch table says of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is part of this history, and applied.
    Applied,
    /// Nothing speaks against it, but it is not here.
    Ahead,
    /// Proven: this history agrees with it up to the fork only.
    Lost { fork: Position },
}

/// R21. `epochs` maps each epoch of this history to its first index. What is not proven to be lost is not called so.
pub fn judge(epochs: &BTreeMap<u64, u64>, committed: Position, at: Position) -> Verdict {
    let later = epochs.range(at.epoch.0.saturating_add(1)..).next();
    match later {
        _ if at == Position::default() => Verdict::Applied,
        // A later epoch begins at or below it.
        Some((_, first)) if *first <= at.index.0 => {
            let fork = Index(first - 1);
            Verdict::Lost { fork: epoch_of(epochs, fork) }
        }
        // Its epoch was skipped: a later one began, and this one never did.
        Some((_, first)) if !epochs.contains_key(&at.epoch.0) => {
            Verdict::Lost { fork: epoch_of(epochs, Index(first - 1)) }
        }
        Some(_) => Verdict::Applied,
        None if at <= committed => Verdict::Applied,
        None => Verdict::Ahead,
    }
}

/// The position of a record by its index.
pub(super) fn epoch_of(epochs: &BTreeMap<u64, u64>, index: Index) -> Position {
    let began = epochs.iter().rev().find(|(_, first)| **first <= index.0);
    Position { epoch: Epoch(began.map_or(0, |(epoch, _)| *epoch)), index: At(index.0) }
}

/// What becomes of a read.
enum Fresh {
    Now,
    /// Once this is committed.
    Later(Index, u32),
    Never(Refusal),
}

impl Shard {
    /// A read of any kind: served, refused, or kept until it can be served.
    pub(super) fn read(&mut self, now: Now, asked: &Asked<'_>) {
        match self.fresh(now, &consistency_of(asked)) {
            Fresh::Now => self.serve(asked),
            Fresh::Never(refusal) => self.refuse_read(asked.to, refusal),
            Fresh::Later(need, max_wait_ms) => {
                let refused = match self.waiting.push(now, asked, need, max_wait_ms) {
                    Ok(()) => return,
                    Err(refusal) => refusal,
                };
                self.refuse_read(asked.to, refused);
            }
        }
    }

    fn serve(&mut self, asked: &Asked<'_>) {
        match asked.request {
            Request::Get(get) => self.get(asked, &get),
            Request::MultiGet(get) => self.multi_get(asked, &get),
            Request::Scan(scan) => self.scan(asked, &scan),
            _ => unreachable!("only reads come here"),
        }
    }

    /// A linearizable one leaves only if it is still proven then (R16, R17).
    pub(super) fn answer_read(&mut self, asked: &Asked<'_>, until: Index, answer: Answer) {
        let role = self.role;
        let only_if = match consistency_of(asked) {
            Consistency::Linearizable => self.linearizable(),
            Consistency::MaxStaleness { .. } if self.is_alone() => self.linearizable(),
            _ if self.is_alone() => OnlyIf::Always,
            Consistency::MaxStaleness { ms } => OnlyIf::Young { role, ms: ms.min(MAX_UNPROVEN_MS) },
            Consistency::Session { .. } => OnlyIf::Young { role, ms: MAX_UNPROVEN_MS },
        };
        self.release.answer_if(only_if, asked.to, until, answer);
    }

    fn fresh(&self, now: Now, consistency: &Consistency) -> Fresh {
        if let Some(refusal) = self.unsafe_to_read(now, consistency) {
            return Fresh::Never(refusal);
        }
        match *consistency {
            Consistency::Linearizable => match self.linearizable() {
                OnlyIf::Leased => self.unproven(now).map_or(Fresh::Now, Fresh::Never),
                _ => Fresh::Now, // and leaves once it is proven
            },
            Consistency::MaxStaleness { ms } => match self.staleness_ms(now) {
                Some(have) if have <= ms => Fresh::Now,
                None if self.is_alone() => Fresh::Now, // the same
                have => Fresh::Never(Refusal::stale_bound(have, ms)),
            },
            Consistency::Session { token, max_wait_ms } => match self.known(&token) {
                Err(refusal) => Fresh::Never(refusal),
                Ok(Verdict::Applied) => Fresh::Now,
                Ok(Verdict::Lost { fork }) => Fresh::Never(Refusal::token_lost_history(token.position, fork)),
                // Of an epoch that has not begun here nothing can arrive as long as this one lasts.
                Ok(Verdict::Ahead) if max_wait_ms > 0 && token.position.epoch == self.committed().epoch => {
                    Fresh::Later(to_wal(token.position.index), max_wait_ms)
                }
                Ok(Verdict::Ahead) => {
                    Fresh::Never(Refusal::not_caught_up(self.committed(), token.position, None))
                }
            },
        }
    }

    /// Nobody else keeps this shard: what is durable here is all that there is.
    fn is_alone(&self) -> bool {
        match &self.life {
            Life::Running(running) => match &running.lead {
                Some(lead) => lead.leadership.is_alone(),
                None => self.has_no_members(),
            },
            _ => false,
        }
    }

    /// Why no read of this kind is served now (R22, F-RS1): whoever cannot prove for long how old its state is may be on a
    /// fork, and would serve it for ever.
    fn unsafe_to_read(&self, now: Now, consistency: &Consistency) -> Option<Refusal> {
        let state = match &self.life {
            Life::Following(following) => match &following.halted {
                Some(why) => return Some(Refusal::replica_unsafe("R25", why.clone())),
                None => following.state().name(),
            },
            _ => "leading",
        };
        match consistency {
            Consistency::Linearizable if matches!(self.life, Life::Following(_)) => {
                return Some(Refusal::not_leader(
                    self.membership.as_ref().and_then(Membership::leader_address),
                ));
            }
            Consistency::Linearizable => return None, // the lease alone decides
            _ if self.is_alone() => return None,
            _ => {}
        }
        let age = self.unproven_age(now)?;
        Some(Refusal::replica_unsafe("R22", format!("{state}; last proven {age}")))
    }

    /// How long nothing has been proven, where that is too long for any read.
    fn unproven_age(&self, now: Now) -> Option<String> {
        match self.staleness_ms(now) {
            None => Some("never since the start".to_owned()),
            Some(ms) => (ms > MAX_UNPROVEN_MS).then(|| format!("{ms} ms ago")),
        }
    }

    /// Of a follower: why it serves no read, for whoever asks how it is.
    pub(super) fn unproven_for_long(&self, now: Now) -> Option<String> {
        let Life::Following(following) = &self.life else { return None };
        let follows = matches!(following.state(), FollowerState::Streaming | FollowerState::CatchingUp);
        let age = self.unproven_age(now).filter(|_| follows)?;
        Some(format!("R22: it serves no read: how old its state is was last proven {age}"))
    }

    /// R22: that a follower serves no read any more is said once, and once that it does again. One that has just begun to
    /// follow has had no time for a proof.
    pub(super) fn unproven_tick(&mut self, now: Now, effects: &mut Effects) {
        let unproven = self.unproven_for_long(now);
        let proven_once = self.staleness_ms(now).is_some();
        let Life::Following(following) = &mut self.life else { return };
        let follows = matches!(following.state(), FollowerState::Streaming | FollowerState::CatchingUp);
        following.unproven.clone_from(&unproven);
        match unproven {
            Some(why) => {
                let since_us = *following.unproven_since_us.get_or_insert(now.mono_us);
                let late = proven_once || now.mono_us >= since_us + MAX_UNPROVEN_US;
                if late && !std::mem::replace(&mut following.unproven_said, true) {
                    effects.push(Effect::Unproven { shard: self.id, why: Some(why) });
                }
            }
            None if follows => {
                following.unproven_since_us = None;
                if std::mem::take(&mut following.unproven_said) {
                    effects.push(Effect::Unproven { shard: self.id, why: None });
                }
            }
            None => {}
        }
    }

    /// What answers are held against when they leave.
    pub(super) fn gate(&self, now: Now) -> Gate {
        Gate { unleased: self.unproven(now), role: self.role, staleness_ms: self.staleness_ms(now) }
    }

    /// What the history of this shard says of a token.
    pub(super) fn known(&self, token: &Token) -> Result<Verdict, Refusal> {
        let ours = self.lineage.tag();
        if token.lineage_tag != ours {
            return Err(Refusal::foreign_token(ours, token.lineage_tag));
        }
        if token.shard != self.id {
            let expected = format!("a token of shard {}, which owns the partition", self.id);
            return Err(Refusal::bad_frame("read.token", expected, format!("one of shard {}", token.shard)));
        }
        Ok(judge(self.state.epochs(), self.committed(), token.position))
    }

    /// How old the state of this shard may be at most; `None`: not proven.
    pub fn staleness_ms(&self, now: Now) -> Option<u32> {
        match &self.life {
            Life::Running(running) if running.serves(self.release.committed()) => running
                .lead
                .as_ref()
                .map_or(Some(0), |lead| lead.leadership.unproven_us(now.mono_us).map(to_ms)),
            Life::Following(following) if following.halted.is_none() => {
                following.proof.age_us(now.mono_us).map(to_ms)
            }
            _ => None,
        }
    }

    /// The committed position.
    pub(super) fn committed(&self) -> Position {
        match &self.life {
            Life::Running(running) => position(running.log.epoch(), self.release.committed()),
            Life::Following(_) => epoch_of(self.state.epochs(), self.release.committed()),
            _ => Position::default(),
        }
    }

    fn refuse_read(&mut self, to: ReplyTo, refusal: Refusal) {
        let at = self.committed();
        self.release.answer(to, Index(0), Answer::refused(refusal.at(at)));
    }

    /// More is committed: reads that waited for it are served, if it is what they waited for (F-RS2): the history may be
    /// another one than when they came.
    pub(super) fn serve_waiting(&mut self) {
        for waiting in self.waiting.reached(self.release.committed()) {
            let (_, request) = admit::decode(&waiting.frame);
            let sent = Sent::Frame(&waiting.frame);
            let asked = Asked { to: waiting.to, namespace: &waiting.namespace, request, sent };
            match self.not_in_history(&consistency_of(&asked)) {
                Some(refusal) => self.refuse_read(asked.to, refusal),
                None => self.serve(&asked),
            }
        }
    }

    fn not_in_history(&self, consistency: &Consistency) -> Option<Refusal> {
        let Consistency::Session { token, .. } = consistency else { return None };
        match self.known(token) {
            Err(refusal) => Some(refusal),
            Ok(Verdict::Applied) => None,
            Ok(Verdict::Lost { fork }) => Some(Refusal::token_lost_history(token.position, fork)),
            Ok(Verdict::Ahead) => Some(Refusal::not_caught_up(self.committed(), token.position, None)),
        }
    }

    /// Reads that waited as long as they may are refused.
    pub(super) fn expire_waiting(&mut self, now: Now) {
        for waiting in self.waiting.expired(now) {
            let applied = self.committed();
            let need = Position { epoch: applied.epoch, index: At(waiting.need.0) };
            self.refuse_read(waiting.to, Refusal::not_caught_up(applied, need, None));
        }
    }

    /// The node stops: nobody waits any more.
    pub fn stop_waiting(&mut self) {
        self.waiting.closed = true;
        for waiting in std::mem::take(&mut self.waiting.reads) {
            self.refuse_read(waiting.to, Refusal::not_ready("stopping", RETRY_RECOVERY_MS));
        }
    }

    /// The log failed: what they wait for never comes.
    pub(super) fn fail_waiting(&mut self, why: &str) {
        self.lose_waiting(&Refusal::log_failed(why.to_owned()));
    }

    pub(super) fn lose_waiting(&mut self, why: &Refusal) {
        for waiting in std::mem::take(&mut self.waiting.reads) {
            self.release.answer(waiting.to, Index(0), Answer::refused(why.clone()));
        }
    }
}

/// How a shard is when answers leave it.
pub(super) struct Gate {
    /// Why nothing linearizable leaves.
    unleased: Option<Refusal>,
    role: u64,
    staleness_ms: Option<u32>,
}

impl Gate {
    /// What was true when it was evaluated may be so no more: R16, and of a follower F-RS2.
    pub(super) fn look_again(&self, released: Released) -> Released {
        let refused = match released.only_if {
            OnlyIf::Always | OnlyIf::Proven(_) => None,
            OnlyIf::Led { .. } => unreachable!("it is held until it is proven"),
            OnlyIf::Leased => self.unleased.clone(),
            OnlyIf::Young { role, .. } if role != self.role => {
                Some(Refusal::replica_unsafe("F-RS2", "its role has changed since the read began"))
            }
            OnlyIf::Young { ms, .. } if self.staleness_ms.is_none_or(|have| have > ms) => {
                Some(Refusal::stale_bound(self.staleness_ms, ms))
            }
            OnlyIf::Young { .. } => None,
        };
        match refused {
            Some(why) => Released { answer: Answer::refused(why), ..released },
            None => released,
        }
    }
}

/// Rounded up.
fn to_ms(us: u64) -> u32 {
    u32::try_from(us.div_ceil(1000)).unwrap_or(u32::MAX)
}

const MAX_UNPROVEN_MS: u32 = (MAX_UNPROVEN_US / 1000) as u32;

fn consistency_of(asked: &Asked<'_>) -> Consistency {
    match asked.request {
        Request::Get(get) => get.consistency,
        Request::MultiGet(get) => get.consistency,
        Request::Scan(scan) => scan.consistency,
        _ => unreachable!("only reads come here"),
    }
}

/// Reads that wait for a position: bounded.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    reads: Vec<Read>,
    closed: bool,
}

#[derive(Debug)]
struct Read {
    to: ReplyTo,
    namespace: Box<str>,
    frame: Vec<u8>,
    need: Index,
    until_us: u64,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.reads.len()
    }

    fn push(&mut self, now: Now, asked: &Asked<'_>, need: Index, max_wait_ms: u32) -> Result<(), Refusal> {
        if self.closed {
            return Err(Refusal::not_ready("stopping", RETRY_RECOVERY_MS));
        }
        let bytes: usize = self.reads.iter().map(|read| read.frame.len()).sum();
        if self.reads.len() >= WAITING_READS || bytes + asked.sent.len() > WAITING_READS_BYTES {
            return Err(Refusal::throttled("the queue of waiting reads", WAITING_READS, RETRY_QUEUE_MS));
        }
        self.reads.push(Read {
            to: asked.to,
            namespace: asked.namespace.into(),
            frame: asked.sent.to_frame(&asked.to.request),
            need,
            until_us: now.mono_us + u64::from(max_wait_ms) * 1000,
        });
        Ok(())
    }

    fn reached(&mut self, committed: Index) -> Vec<Read> {
        self.reads.extract_if(.., |read| read.need <= committed).collect()
    }

    fn expired(&mut self, now: Now) -> Vec<Read> {
        self.reads.extract_if(.., |read| read.until_us <= now.mono_us).collect()
    }
}
