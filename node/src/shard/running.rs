//! A shard that leads: its log, what it is to its members, and its time.

use seawall_wal::{Done, Entry, Failure, Index, Kind, Log};

use super::members::{Lead, Membership};
use super::state::State;
use super::time::LeaderTime;
use super::{position, spaces, to_net, to_wal};
use crate::seam::Now;

#[derive(Debug)]
pub(super) struct Running {
    pub(super) log: Log,
    /// `None`: alone.
    pub(super) lead: Option<Box<Lead>>,
    pub(super) time: LeaderTime,
    /// The first record of this epoch; nothing is served before it is committed (R10).
    pub(super) epoch_start: Option<Index>,
    pub(super) retry_prepare_us: u64,
    pub(super) retry_fold_us: u64,
    /// When the last commit was appended.
    pub(super) appended_us: u64,
    /// Why nothing is decided by the clock, as of the last tick.
    pub(super) clock_doubt: Option<String>,
}

impl Running {
    /// Everything up to here is committed, as far as this member knows.
    pub(super) fn committed(&mut self) -> Index {
        let durable = self.log.durable();
        match &mut self.lead {
            None => durable,
            Some(lead) => to_wal(lead.leadership.advance(to_net(durable))),
        }
    }

    /// Bytes that were sealed and are not committed.
    pub(super) fn uncommitted_bytes(&self, committed: Index) -> u64 {
        let next = Index(committed.0 + 1);
        self.log.recent(next).map_or(u64::MAX, |batches| batches.map(|(_, bytes)| bytes.len() as u64).sum())
    }

    pub(super) fn serves(&self, committed: Index) -> bool {
        self.epoch_start.is_some_and(|start| start <= committed)
    }

    /// Takes back one operation; says why if the log cannot grow from now on.
    pub(super) fn done(&mut self, done: Done) -> Result<Option<String>, Failure> {
        let could_grow = self.log.prepare_error().is_none();
        self.log.done(done)?;
        Ok(self.log.prepare_error().filter(|_| could_grow).map(|error| error.to_string()))
    }

    /// What the log suffers from while it serves.
    pub(super) fn trouble(&self) -> Option<String> {
        let grow = self.log.prepare_error().map(|error| format!("the log cannot grow: {error}"));
        let fold = || self.log.fold_error().map(|error| format!("no newer checkpoint can be made: {error}"));
        let clock = || self.clock_doubt.as_ref().map(|why| format!("commits are refused: {why}"));
        let members = || self.lead.as_ref().and_then(|lead| lead.refuses.clone());
        grow.or_else(clock).or_else(members).or_else(fold)
    }

    /// The first record of the epoch. A pool without a prepared slot has no room yet; then the next turn tries.
    pub(super) fn start_epoch(&mut self, now: Now, state: &mut State, membership: Option<&Membership>) {
        let (epoch, first) = (self.log.epoch(), self.log.appended().0 + 1);
        let (key, value) = (epoch.0.to_be_bytes(), first.to_le_bytes());
        let told = membership.map(Membership::told).unwrap_or_default();
        let begins = Entry { space: spaces::EPOCHS, key: &key, value: Some(&value) };
        let tells = Entry { space: spaces::PROMOTIONS, key: &key, value: Some(&told) };
        let entries = || std::iter::once(begins).chain((!told.is_empty()).then_some(tells));
        let time_us = self.time.at(now);
        self.epoch_start = self.log.append(Kind::EpochStart, time_us, entries()).ok();
        if let Some(first) = self.epoch_start {
            for Entry { space, key, value } in entries() {
                state.apply(space, key, value, position(epoch, first));
            }
        }
    }
}
