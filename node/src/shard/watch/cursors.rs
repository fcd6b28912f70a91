//! Named cursors: how far somebody has dealt with what was told, remembered by the shard.
//!
//! An ACK_CURSOR is a record of its own and is answered when that is committed, so it survives what a commit survives.
//! It never goes back. It holds nothing in the log: who comes for what is not kept any more is told CURSOR_LOST.

use seawall::message::watch::{AckRequest, Scope};
use seawall::position::Position;
use seawall::refusal::Refusal;
use seawall::{address, key};
use seawall_wal::Index;

use crate::params::{CURSORS_PER_SHARD, RETRY_QUOTA_MS};
use crate::seam::Now;
use crate::shard::freshness::epoch_of;
use crate::shard::release::Answer;
use crate::shard::state::At;
use crate::shard::{Asked, Life, Shard, spaces, to_wal};

/// What the stored key of a cursor begins with.
const OF_SHARD: u8 = 1;
const OF_PARTITION: u8 = 2;

/// How many of them a report names.
const NAMED: usize = 32;

/// Up to where everything was dealt with, and the record that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub up_to: Position,
    pub by: Position,
}

impl Shard {
    pub(in crate::shard) fn ack_cursor(&mut self, now: Now, asked: &Asked<'_>, ack: &AckRequest<'_>) {
        match self.try_ack(now, asked.namespace, ack) {
            Ok(at) => self.release.answer(asked.to, to_wal(at.index), Answer::Acknowledged { position: at }),
            Err((refusal, seen)) => self.refuse(asked.to, refusal, seen),
        }
    }

    /// The record that remembers it, or why there is none, and what that rests on.
    fn try_ack(
        &mut self,
        now: Now,
        namespace: &str,
        ack: &AckRequest<'_>,
    ) -> Result<Position, (Refusal, Option<Position>)> {
        let at = self.in_this_history(&ack.token).map_err(|refusal| (refusal, None))?;
        // Of the record with this index, whatever epoch the token makes of it: what comes behind it counts.
        let up_to = match at.index.0 {
            0 => Position::default(),
            index => epoch_of(self.state.epochs(), Index(index)),
        };
        let stored = stored_key(namespace, &ack.scope, ack.cursor);
        let known = self.cursor_at(&stored);
        if let Some(known) = known.filter(|known| known.up_to.index >= up_to.index) {
            return Ok(known.by);
        }
        if known.is_none() && self.state.cursors().live() >= CURSORS_PER_SHARD {
            let (limit, used) = (CURSORS_PER_SHARD as u64, self.state.cursors().live() as u64);
            // It rests on all of them.
            let seen = self.all_cursors().map(|at| at.version).max();
            return Err((Refusal::quota("cursors of the shard", limit, used, RETRY_QUOTA_MS), seen));
        }
        let value = value(self.lineage.tag(), up_to);
        self.append_one(now, spaces::CURSORS, &stored, &value).map_err(|refusal| (refusal, None))
    }

    /// What was acknowledged last under a name, committed or not.
    pub(super) fn cursor_of(
        &self,
        namespace: &str,
        scope: &Scope<'_>,
        name: &str,
    ) -> Result<Acknowledged, Refusal> {
        self.cursor_at(&stored_key(namespace, scope, name)).ok_or_else(|| Refusal::cursor_unknown(name))
    }

    fn cursor_at(&self, stored: &[u8]) -> Option<Acknowledged> {
        let at = self.state.cursors().at(stored)?;
        Some(Acknowledged { up_to: up_to(at.bytes?)?, by: at.version })
    }

    fn all_cursors(&self) -> impl Iterator<Item = At<'_>> {
        self.state.cursors().range(&[OF_SHARD], &[OF_PARTITION + 1])
    }

    /// The cursors of the shard with how far behind they are, in words; what is not committed is not told (R20).
    pub(in crate::shard) fn cursors_told(&self) -> Result<String, String> {
        let log = match &self.life {
            Life::Running(running) => Some(&running.log),
            Life::Following(_) => None,
            _ => return Err("the log is not open".to_owned()),
        };
        let committed = self.committed();
        let told = |at: &At<'_>| {
            let (owner, name) = owner_and_name(at.key)?;
            let Some(up_to) = at.bytes.and_then(up_to).filter(|_| at.version.index <= committed.index) else {
                return Some(format!("{name} of {owner}: being acknowledged"));
            };
            let behind = committed.index.0.saturating_sub(up_to.index.0);
            let kept = log.is_none_or(|log| behind == 0 || log.recent(Index(up_to.index.0 + 1)).is_some());
            let lost = if kept { "" } else { ", and that is not kept any more" };
            Some(format!("{name} of {owner}: at {up_to}, {behind} records behind{lost}"))
        };
        let mut list: Vec<String> = self.all_cursors().take(NAMED).filter_map(|at| told(&at)).collect();
        match self.state.cursors().live().saturating_sub(NAMED) {
            0 if list.is_empty() => list.push("none".to_owned()),
            0 => {}
            more => list.push(format!("and {more} more")),
        }
        Ok(list.join("; "))
    }
}

/// Where a cursor stands in the log: a partition's lies with its rows' hash, so that it goes where they go.
fn stored_key(namespace: &str, scope: &Scope<'_>, name: &str) -> Vec<u8> {
    let mut stored = Vec::new();
    match scope {
        Scope::Shard(_) => {
            stored.push(OF_SHARD);
            address::row_suffix(namespace, name.as_bytes(), &mut stored);
        }
        Scope::Partition(partition) => {
            stored.push(OF_PARTITION);
            address::partition_prefix(namespace, partition, &mut stored);
            stored.extend_from_slice(name.as_bytes());
        }
    }
    stored
}

fn owner_and_name(stored: &[u8]) -> Option<(String, &str)> {
    let (kind, rest) = stored.split_first()?;
    let (owner, name) = match *kind {
        OF_SHARD => ("the shard".to_owned(), key::split_name(rest)?.1),
        _ => {
            let (_, rest) = key::split_name(rest.get(8..)?)?;
            let (partition, name) = key::split(rest)?;
            (key::display(partition).to_string(), name)
        }
    };
    Some((owner, std::str::from_utf8(name).ok()?))
}

/// Lineage tag, epoch, index.
fn value(lineage_tag: u32, up_to: Position) -> Vec<u8> {
    [&lineage_tag.to_le_bytes()[..], &up_to.epoch.0.to_le_bytes(), &up_to.index.0.to_le_bytes()].concat()
}

fn up_to(value: &[u8]) -> Option<Position> {
    let (epoch, index) = value.get(4..)?.split_first_chunk::<8>()?;
    Some(Position::new(u64::from_le_bytes(*epoch), u64::from_le_bytes(index.try_into().ok()?)))
}
