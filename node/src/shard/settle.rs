//! STATUS_OF and RESOLVE: what became of a commit that was sent under a request key.

use seawall::message::Request;
use seawall::message::outcome::{Decision, StoredOutcome};
use seawall::message::request_key::RequestKey;
use seawall::message::settle::SettleRequest;
use seawall::position::Position;
use seawall::refusal::Refusal;
use seawall::token::Token;

use super::admit::{Busy, decode, doubt};
use super::keys::{Known, Scoped};
use super::release::{Answer, Status};
use super::state::Bytes;
use super::{Asked, Shard};
use crate::seam::Now;

impl Shard {
    /// What is known, as of the record that it rests on. A commit that is on its way to the disk is waited for: its
    /// status is then final. One that waits for room in the log is not decided yet.
    pub(super) fn status_of(&mut self, asked: &Asked<'_>, settle: &SettleRequest<'_>) {
        if let Some(refusal) = settle.token.and_then(|token| self.foreign(&token)) {
            return self.refuse(asked.to, refusal, None);
        }
        let scratch = &mut self.scratch;
        let scoped = Scoped::new(asked.namespace, settle.partition, settle.request_key, scratch);
        let known = scoped.look_up(&self.state, scratch);
        let (status, seen) = match known {
            Known::Decided { at, stored } => (Status::Stored { at, stored }, Some(at)),
            Known::Expired { rests_on, .. } => (Status::Expired, Some(rests_on)),
            Known::Unseen { changed } => {
                let lost = settle.token.is_some_and(|token| self.proves_a_loss(token.position));
                let status = match lost {
                    true => Status::Lost,
                    false if self.waits_for_room(settle.partition, &settle.request_key) => Status::InFlight,
                    false => Status::Unseen,
                };
                (status, changed)
            }
        };
        let (until, position) = self.rests_on(seen);
        self.release.answer(asked.to, until, Answer::Status { position, status, doubt: None });
    }

    /// Final, always: what was never seen is aborted by a tombstone under its key, and whoever comes later with it
    /// meets the tombstone.
    pub(super) fn resolve(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        settle: &SettleRequest<'_>,
    ) -> Result<(), Busy> {
        let (key, scratch) = (settle.request_key, &mut self.scratch);
        let scoped = Scoped::new(asked.namespace, settle.partition, key, scratch);
        let (status, seen) = match scoped.look_up(&self.state, &mut self.scratch) {
            Known::Decided { at, stored } => (Status::Stored { at, stored }, at),
            Known::Expired { rests_on, .. } => (Status::Expired, rests_on),
            Known::Unseen { changed } => {
                let stamp = match self.stamp(now, Some(&scoped)) {
                    Ok(stamp) => stamp,
                    Err(refusal) => {
                        self.refuse(asked.to, refusal, changed);
                        return Ok(());
                    }
                };
                let first_sent_us = settle.request_key.first_sent_us;
                let outcome = StoredOutcome { first_sent_us, decision: Decision::Aborted };
                let mut stored = Vec::new();
                outcome.encode(&mut stored);
                self.draft.clear();
                scoped.store(&outcome, &self.state, &mut self.draft, &mut self.scratch);
                let status = Status::Stored { at: stamp.at, stored: Bytes::from(stored) };
                let doubt = Some(doubt(&scoped));
                let answer = Answer::Status { position: stamp.at, status, doubt };
                return self.append_draft(now, asked, stamp, changed, answer, 0);
            }
        };
        let (until, position) = self.rests_on(Some(seen));
        let doubt = Some(doubt(&scoped));
        self.release.answer(asked.to, until, Answer::Status { position, status, doubt });
        Ok(())
    }

    /// A token of another history or of another shard proves nothing here.
    fn foreign(&self, token: &Token) -> Option<Refusal> {
        let ours = (self.lineage.tag(), self.id);
        ((token.lineage_tag, token.shard) != ours).then(|| {
            let expected = format!("a token of shard {} and lineage tag {:08x}", ours.1.0, ours.0);
            let observed = format!("shard {}, lineage tag {:08x}", token.shard.0, token.lineage_tag);
            Refusal::bad_frame("status_of.token", expected, observed)
        })
    }

    /// R21: only the epoch table proves that a position was lost. Its epoch never began here, or a later one begins
    /// at or below its index.
    fn proves_a_loss(&self, position: Position) -> bool {
        let epochs = self.state.epochs();
        let epoch = position.epoch.0;
        let next = epochs.range(epoch.saturating_add(1)..).next();
        next.is_some_and(|(_, first)| !epochs.contains_key(&epoch) || *first <= position.index.0)
    }

    fn waits_for_room(&self, partition: &[u8], key: &RequestKey<'_>) -> bool {
        self.parked.iter().any(|waiting| match decode(&waiting.frame).1 {
            Request::Commit(commit) => {
                commit.partition == partition
                    && commit.request_key.is_some_and(|other| other.name == key.name)
            }
            _ => false,
        })
    }
}
