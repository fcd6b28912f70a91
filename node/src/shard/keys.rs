//! Request keys (R19): what is known of one, and what is stored under it.
//!
//! A key is looked up before anything else of its commit. Its outcome is an entry of the record that has the
//! effects, a rejection is a record of its own, and both are kept until the horizon passes the key's birth, or until
//! the session has gone [`SESSION_OUTCOMES`] further. What is deleted by then is refused, never done again.

use seawall::address;
use seawall::message::outcome::StoredOutcome;
use seawall::message::request_key::{KeyName, RequestKey};
use seawall::position::Position;
use seawall::refusal::Refusal;

use super::draft::Draft;
use super::spaces;
use super::state::{Bytes, State};
use crate::params::{KEY_AHEAD_US, SESSION_OUTCOMES, SESSION_SWEEP};

/// A request key in its scope.
#[derive(Clone, Copy, Debug)]
pub struct Scoped<'a> {
    pub partition: &'a [u8],
    /// How many bytes of the scratch every stored key of the partition begins with; they stay there.
    pub begins: usize,
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

impl<'a> Scoped<'a> {
    pub fn new(namespace: &str, partition: &'a [u8], key: RequestKey<'a>, scratch: &mut Vec<u8>) -> Self {
        Self { partition, begins: address::begin_stored_key(namespace, partition, scratch), key }
    }

    pub fn look_up(&self, state: &State, scratch: &mut Vec<u8>) -> Known {
        if let Some((rests_on, horizon)) = state.horizon()
            && self.key.first_sent_us <= horizon
        {
            return self.expired(Refusal::key_expired(horizon, self.key.first_sent_us), rests_on);
        }
        self.stored_key(scratch);
        let (holder, sequence) = self.split(scratch);
        let outcomes = state.outcomes().of(holder);
        if let Some((newest, rests_on)) = outcomes.newest()
            && sequence < oldest_kept(newest)
        {
            return self.expired(Refusal::sequence_expired(oldest_kept(newest), sequence), rests_on);
        }
        let look = outcomes.look(sequence);
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

    /// Puts the outcome into the record; what its session has left behind goes, a few at a time. It is refused as long
    /// as one stands here that far ahead, and afterwards because the horizon has passed its birth: what was born after
    /// this one stays, or it might be taken again when the horizon has passed this one alone.
    pub fn store(
        &self,
        outcome: &StoredOutcome<'_>,
        state: &State,
        draft: &mut Draft,
        scratch: &mut Vec<u8>,
    ) {
        self.stored_key(scratch);
        if let KeyName::Session { sequence, .. } = self.key.name {
            let (holder, _) = self.split(scratch);
            let outcomes = state.outcomes().of(holder);
            for stale in outcomes.behind(oldest_kept(sequence), self.key.first_sent_us).take(SESSION_SWEEP) {
                set_sequence(scratch, stale);
                draft.push(spaces::OUTCOMES, scratch, None);
            }
            set_sequence(scratch, sequence);
        }
        draft.push_made(spaces::OUTCOMES, scratch, |value| outcome.encode(value));
    }

    fn expired(&self, why: Refusal, rests_on: Position) -> Known {
        Known::Expired { why: why.naming(self.partition, Some(&self.key)), rests_on }
    }

    fn stored_key(&self, scratch: &mut Vec<u8>) {
        scratch.truncate(self.begins);
        self.key.name.stored_suffix(scratch);
    }

    /// Its stored key as outcomes are found: see [`Outcomes::of`].
    ///
    /// [`Outcomes::of`]: super::state::Outcomes::of
    fn split<'k>(&self, stored: &'k [u8]) -> (&'k [u8], u64) {
        match self.key.name {
            KeyName::Caller(_) => (stored, 0),
            KeyName::Session { sequence, .. } => (&stored[..stored.len() - size_of::<u64>()], sequence),
        }
    }
}

/// Makes the stored key of a session's outcome that of another one.
fn set_sequence(stored: &mut [u8], sequence: u64) {
    let last = stored.last_chunk_mut().expect("it ends with a sequence");
    *last = sequence.to_be_bytes();
}

/// The first sequence of a session whose outcome is kept when `newest` is.
fn oldest_kept(newest: u64) -> u64 {
    newest.saturating_sub(SESSION_OUTCOMES - 1)
}
