//! Request keys (R19): what is known of one, and what is stored under it.
//!
//! A key is looked up before anything else of its commit. Its outcome is an entry of the record that has the
//! effects, a rejection is a record of its own, and both are kept until the horizon passes the key's birth, or until
//! the session has gone [`SESSION_OUTCOMES`] further. What is deleted by then is refused, never done again.

use seawall::message::outcome::StoredOutcome;
use seawall::message::request_key::{KeyName, RequestKey};
use seawall::position::Position;
use seawall::refusal::Refusal;

use super::draft::Draft;
use super::spaces;
use super::state::{Bytes, State};
use crate::params::{KEY_AHEAD_US, SESSION_OUTCOMES, SESSION_SWEEP};

/// Most outcomes are shorter.
const OUTCOME: usize = 64;

/// A request key in its scope.
#[derive(Clone, Copy, Debug)]
pub struct Scoped<'a> {
    pub namespace: &'a str,
    pub partition: &'a [u8],
    pub key: RequestKey<'a>,
}

/// What the state says of a key, and the record that it rests on.
#[derive(Clone, Debug)]
pub enum Known {
    /// Nothing was ever stored under it; `changed` is what may still be on its way to be forgotten.
    Unseen {
        changed: Option<Position>,
    },
    Decided {
        at: Position,
        stored: Bytes,
    },
    /// It may have been, and was forgotten.
    Expired {
        why: Refusal,
        rests_on: Position,
    },
}

impl Scoped<'_> {
    pub fn look_up(&self, state: &State, scratch: &mut Vec<u8>) -> Known {
        if let Some((rests_on, horizon)) = state.horizon()
            && self.key.first_sent_us <= horizon
        {
            return self.expired(Refusal::key_expired(horizon, self.key.first_sent_us), rests_on);
        }
        if let KeyName::Session { session, sequence } = self.key.name
            && let Some((newest, rests_on)) = self.newest(state, session, scratch)
            && sequence < oldest_kept(newest)
        {
            return self.expired(Refusal::sequence_expired(oldest_kept(newest), sequence), rests_on);
        }
        self.stored_key(scratch);
        let look = state.look(spaces::OUTCOMES, scratch);
        match look.row {
            Some((at, stored)) => Known::Decided { at, stored },
            None => Known::Unseen { changed: look.changed },
        }
    }

    /// Whether a key that nobody saw may be used now.
    pub fn may_begin(&self, time_us: i64) -> Result<(), Refusal> {
        let latest = time_us.saturating_add_unsigned(KEY_AHEAD_US);
        match self.key.first_sent_us {
            born if born > latest => Err(Refusal::first_sent_ahead(latest, born)),
            _ => Ok(()),
        }
    }

    /// Puts the outcome into the record; what its session has left behind goes, a few at a time: it is refused
    /// anyway.
    pub fn store(
        &self,
        outcome: &StoredOutcome<'_>,
        state: &State,
        draft: &mut Draft,
        scratch: &mut Vec<u8>,
    ) {
        if let KeyName::Session { session, sequence } = self.key.name {
            let (mut first, mut last) = (Vec::new(), Vec::new());
            self.name_key(KeyName::Session { session, sequence: 0 }, &mut first);
            let before = oldest_kept(sequence).saturating_sub(1);
            self.name_key(KeyName::Session { session, sequence: before }, &mut last);
            for stale in state.outcomes().between(&first, &last).take(SESSION_SWEEP) {
                draft.push(spaces::OUTCOMES, stale, None);
            }
        }
        self.stored_key(scratch);
        let mut value = Vec::with_capacity(OUTCOME);
        outcome.encode(&mut value);
        draft.push(spaces::OUTCOMES, scratch, Some(&value));
    }

    fn expired(&self, why: Refusal, rests_on: Position) -> Known {
        Known::Expired { why: why.naming(self.partition, Some(&self.key)), rests_on }
    }

    /// The highest sequence of a session that is stored.
    fn newest(&self, state: &State, session: [u8; 16], scratch: &mut Vec<u8>) -> Option<(u64, Position)> {
        let mut last = Vec::new();
        self.name_key(KeyName::Session { session, sequence: u64::MAX }, &mut last);
        scratch.clear();
        KeyName::Session { session, sequence: 0 }.stored_key(self.namespace, self.partition, scratch);
        let (key, at) = state.outcomes().last_between(scratch, &last)?;
        let sequence = key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))?;
        Some((sequence, at))
    }

    fn stored_key(&self, scratch: &mut Vec<u8>) {
        scratch.clear();
        self.name_key(self.key.name, scratch);
    }

    fn name_key(&self, name: KeyName<'_>, out: &mut Vec<u8>) {
        name.stored_key(self.namespace, self.partition, out);
    }
}

/// The first sequence of a session whose outcome is kept when `newest` is.
fn oldest_kept(newest: u64) -> u64 {
    newest.saturating_sub(SESSION_OUTCOMES - 1)
}
