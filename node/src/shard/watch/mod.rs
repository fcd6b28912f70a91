//! Subscriptions: rows and events as they are committed, out of the log's memory tail.
//!
//! A subscription is a place in the log and a filter; nothing is kept for it but that. It is told something only while
//! it has credit and its connection has room, at most one frame a turn, so a slow one holds up neither the shard nor
//! another one: it stays where it is, and goes on from the tail when credit comes. What left the tail meanwhile ends it
//! with COMPACTED. Only committed records are read, so nothing speculative is told (R20).

mod changes;
mod cursors;

use seawall::message::watch::{Begin, CreditRequest, Scope, SubscribeRequest};
use seawall::position::{Epoch, Index as At, Position};
use seawall::refusal::Refusal;
use seawall::reply::{self, ReplyMeta};
use seawall::token::Token;
use seawall_wal::Index;

use super::freshness::{Verdict, epoch_of};
use super::members::Membership;
use super::release::Answer;
use super::{Asked, Life, ReplyTo, Shard};
use crate::params::{PROGRESS_US, RETRY_QUEUE_MS, SUBSCRIPTIONS_PER_SHARD};
use crate::seam::{ConnId, Now, WorkerId};
use changes::Read;

pub(super) use changes::told;

#[derive(Debug, Default)]
pub(super) struct Watchers {
    list: Vec<Watcher>,
    /// Who is asked first in the next turn.
    first: usize,
}

#[derive(Debug)]
struct Watcher {
    to: ReplyTo,
    filter: Filter,
    credit: u64,
    /// Everything up to here was told; a record that there is, whatever epoch goes on behind it.
    told: Position,
    /// Whose records it is among, and the next one that it has to look at.
    epoch: Epoch,
    next: Index,
    /// A frame of it has not found its place at another worker yet.
    under_way: bool,
    told_us: u64,
    /// It begins behind what this record says, so nothing is told before that is committed (R20).
    rests_on: Index,
    ended: bool,
}

/// What of a record a subscription wants.
#[derive(Debug)]
struct Filter {
    namespace: Box<str>,
    /// `None`: all partitions.
    partition: Option<Box<[u8]>>,
    rows: bool,
    events: bool,
    table: Option<Box<str>>,
    topic: Option<Box<str>>,
}

/// A stream frame that leaves.
#[derive(Debug)]
pub struct Told {
    pub worker: WorkerId,
    pub conn: ConnId,
    pub subscription: u64,
    pub frame: Vec<u8>,
    /// The subscription ends with it.
    pub last: bool,
}

/// Those who are told something, here or at another worker.
pub trait Listeners {
    /// Whether there is a place for one more frame to this connection now.
    fn has_room(&mut self, worker: WorkerId, conn: ConnId) -> bool;

    /// Takes a frame for which there was room.
    fn tell(&mut self, told: Told);
}

impl Watchers {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    fn find(&mut self, worker: WorkerId, conn: ConnId, subscription: u64) -> Option<&mut Watcher> {
        let is = |w: &&mut Watcher| {
            (w.to.worker, w.to.conn, w.to.request.correlation) == (worker, conn, subscription)
        };
        self.list.iter_mut().find(is)
    }
}

impl Shard {
    pub(super) fn subscribe(&mut self, now: Now, asked: &Asked<'_>, subscribe: &SubscribeRequest<'_>) {
        let committed = self.committed();
        match self.begin(asked.namespace, subscribe) {
            Err((refusal, seen)) => self.refuse(asked.to, refusal, Some(seen.max(committed))),
            Ok((behind, rests_on)) => {
                let partition = match subscribe.scope {
                    Scope::Shard(_) => None,
                    Scope::Partition(partition) => Some(partition.into()),
                };
                let filter = Filter {
                    namespace: asked.namespace.into(),
                    partition,
                    rows: subscribe.rows,
                    events: subscribe.events,
                    table: subscribe.table.map(Box::from),
                    topic: subscribe.topic.map(Box::from),
                };
                self.watchers.list.push(Watcher {
                    to: asked.to,
                    filter,
                    credit: subscribe.credit,
                    told: behind,
                    epoch: behind.epoch,
                    next: Index(behind.index.0 + 1),
                    under_way: false,
                    told_us: now.mono_us,
                    rests_on,
                    ended: false,
                });
                self.release.answer(asked.to, rests_on, Answer::Subscribed { position: behind });
            }
        }
    }

    /// The position behind which the subscription begins, and the record that says so; or why it does not, and what that
    /// rests on.
    fn begin(
        &self,
        namespace: &str,
        subscribe: &SubscribeRequest<'_>,
    ) -> Result<(Position, Index), (Refusal, Position)> {
        let none = |refusal| (refusal, Position::default());
        let Life::Running(running) = &self.life else {
            return Err(none(Refusal::log_failed("the log failed")));
        };
        if self.watchers.len() >= SUBSCRIPTIONS_PER_SHARD {
            let limit = SUBSCRIPTIONS_PER_SHARD;
            let what = "the list of the shard's subscriptions";
            return Err(none(Refusal::throttled(what, limit, RETRY_QUEUE_MS)));
        }
        let committed = self.committed();
        let kept = |behind: Position| {
            let next = Index(behind.index.0 + 1);
            next.0 > committed.index.0 || running.log.recent(next).is_some()
        };
        let behind = match subscribe.from {
            Begin::Now => committed,
            Begin::Oldest => {
                let before = running.log.oldest_recent().map_or(committed.index.0, |oldest| oldest.0 - 1);
                match before {
                    0 => Position { index: At(0), ..epoch_of(self.state.epochs(), Index(1)) },
                    // The record before it may be of an earlier epoch: a token must name one that there is.
                    before => epoch_of(self.state.epochs(), Index(before)),
                }
            }
            Begin::Token(token) => self.in_this_history(&token).map_err(none)?,
            Begin::Cursor(name) => {
                let known = self.cursor_of(namespace, &subscribe.scope, name).map_err(none)?;
                return match kept(known.up_to) {
                    true => Ok((known.up_to, Index(known.by.index.0))),
                    false => Err((Refusal::cursor_lost(name, known.up_to, self.oldest_kept()), known.by)),
                };
            }
        };
        match kept(behind) {
            true => Ok((behind, Index(0))),
            false => Err(none(self.compacted(Index(behind.index.0 + 1)))),
        }
    }

    fn in_this_history(&self, token: &Token) -> Result<Position, Refusal> {
        match self.known(token)? {
            Verdict::Applied => Ok(token.position),
            Verdict::Lost { fork } => Err(Refusal::token_lost_history(token.position, fork)),
            Verdict::Ahead => Err(Refusal::not_caught_up(self.committed(), token.position, None)),
        }
    }

    fn compacted(&self, next: Index) -> Refusal {
        Refusal::compacted(format!("record {}", next.0), self.oldest_kept())
    }

    /// The oldest record that can be told.
    fn oldest_kept(&self) -> Position {
        let oldest = match &self.life {
            Life::Running(running) => running.log.oldest_recent(),
            _ => None,
        };
        oldest.map_or_else(|| self.committed(), |oldest| epoch_of(self.state.epochs(), oldest))
    }

    pub(super) fn credit(&mut self, asked: &Asked<'_>, credit: &CreditRequest) {
        match self.watchers.find(asked.to.worker, asked.to.conn, credit.subscription) {
            Some(watcher) => {
                watcher.credit = watcher.credit.saturating_add(credit.bytes);
                self.release.answer(asked.to, Index(0), Answer::Done);
            }
            None => self.refuse(asked.to, unknown_subscription(credit.subscription), None),
        }
    }

    /// Answered as done also if it has just ended by itself.
    pub(super) fn cancel(&mut self, asked: &Asked<'_>, subscription: u64) {
        if let Some(watcher) = self.watchers.find(asked.to.worker, asked.to.conn, subscription) {
            watcher.ended = true;
        }
        self.watchers.list.retain(|watcher| !watcher.ended);
        self.release.answer(asked.to, Index(0), Answer::Done);
    }

    /// A frame of a subscription found its place at another worker.
    pub fn taken(&mut self, worker: WorkerId, conn: ConnId, subscription: u64) {
        if let Some(watcher) = self.watchers.find(worker, conn, subscription) {
            watcher.under_way = false;
        }
    }

    /// Tells each subscription at most one frame.
    pub fn tell(&mut self, now: Now, meta: ReplyMeta, listeners: &mut dyn Listeners) {
        let mut list = std::mem::take(&mut self.watchers.list);
        let count = list.len();
        for n in 0..count {
            let watcher = &mut list[(self.watchers.first + n) % count];
            let (ReplyTo { worker, conn, .. }, subscription) = (watcher.to, watcher.to.request.correlation);
            if watcher.under_way || !self.has_news(now, watcher) || !listeners.has_room(worker, conn) {
                continue;
            }
            let meta = ReplyMeta { correlation: watcher.to.request.correlation, ..meta };
            let Some(frame) = self.frame(now, meta, watcher) else { continue };
            watcher.credit = watcher.credit.saturating_sub(frame.len() as u64);
            (watcher.under_way, watcher.told_us) = (true, now.mono_us);
            listeners.tell(Told { worker, conn, subscription, frame, last: watcher.ended });
        }
        // What never began needs no end: its SUBSCRIBE is refused.
        let runs = matches!(self.life, Life::Running(_));
        let committed = self.release.committed();
        list.retain(|watcher| !watcher.ended && (runs || watcher.rests_on <= committed));
        self.watchers.first = if list.is_empty() { 0 } else { (self.watchers.first + 1) % list.len() };
        self.watchers.list = list;
    }

    /// Whether there is something to look at, or silence to break. Who has no credit is told the end only.
    fn has_news(&self, now: Now, watcher: &Watcher) -> bool {
        let begun = watcher.rests_on <= self.release.committed();
        let Life::Running(_) = &self.life else { return begun };
        let silent = now.mono_us >= watcher.told_us + PROGRESS_US;
        begun && watcher.credit > 0 && (silent || watcher.next <= self.release.committed())
    }

    /// The next frame; `None`: nothing that it wants has happened.
    fn frame(&self, now: Now, meta: ReplyMeta, watcher: &mut Watcher) -> Option<Vec<u8>> {
        let mut frame = Vec::new();
        let tag = self.lineage.tag();
        let running = match &self.life {
            Life::Running(running) => running,
            Life::Failed { why, .. } => {
                return Some(end(meta, watcher, &Refusal::log_failed(why.clone())));
            }
            Life::Halted(_) => unreachable!("nobody subscribes before it runs"),
            Life::Following(_) | Life::Deposed { .. } | Life::Reopening { .. } | Life::Recovering { .. } => {
                let leader = self.membership.as_ref().and_then(Membership::leader_address);
                return Some(end(meta, watcher, &Refusal::not_leader(leader)));
            }
        };
        let told = |watcher: &Watcher| ReplyMeta { position: Some(watcher.told), ..meta };
        if let Some((epoch, _)) = self.begins(watcher).filter(|(_, first)| *first == watcher.next) {
            let prefix_end = At(watcher.next.0 - 1);
            reply::encode_epoch_changed(&mut frame, &told(watcher), tag, watcher.epoch, prefix_end);
            watcher.epoch = epoch;
            return Some(frame);
        }
        let committed = self.release.committed();
        if watcher.next <= committed {
            let Some(batches) = running.log.recent(watcher.next) else {
                return Some(end(meta, watcher, &self.compacted(watcher.next)));
            };
            let limit =
                self.begins(watcher).map_or(committed, |(_, first)| committed.min(Index(first.0 - 1)));
            let Read { changes, next } = changes::read(batches, &watcher.filter, watcher.next, limit);
            if next > watcher.next {
                watcher.next = next;
                watcher.told = Position { epoch: watcher.epoch, index: At(next.0 - 1) };
            }
            if !changes.is_empty() {
                reply::encode_changes(&mut frame, &told(watcher), tag, changes);
                return Some(frame);
            }
        }
        (now.mono_us >= watcher.told_us + PROGRESS_US).then(|| {
            reply::encode_progress(&mut frame, &told(watcher), tag);
            frame
        })
    }

    /// The epoch behind that of the watcher, and its first record.
    fn begins(&self, watcher: &Watcher) -> Option<(Epoch, Index)> {
        let next = self.state.epochs().range(watcher.epoch.0 + 1..).next();
        next.map(|(epoch, first)| (Epoch(*epoch), Index(*first)))
    }
}

/// The last frame of a subscription, whatever credit it has.
fn end(meta: ReplyMeta, watcher: &mut Watcher, refusal: &Refusal) -> Vec<u8> {
    watcher.ended = true;
    let mut frame = Vec::new();
    reply::encode_stream_end(&mut frame, &ReplyMeta { position: Some(watcher.told), ..meta }, refusal);
    frame
}

/// Nobody subscribed under this number, or it has ended.
pub fn unknown_subscription(subscription: u64) -> Refusal {
    let expected = "the correlation id of a SUBSCRIBE of this connection that has not ended";
    Refusal::bad_frame("watch.subscription", expected, subscription.to_string())
}
