//! The stored outcome: what stands under a request key in the log, in checkpoints and in memory.
//!
//! Where it was decided is the position of the record that holds it, and is not written again.

use super::assigned::{self, AssignedList};
use super::request_key::Fingerprint;
use crate::refusal::Refusal;
use crate::wire::{Malformed, Reader};

/// The first byte; another layout takes another number.
const LAYOUT: u8 = 1;

/// The number of each decision.
mod decision {
    pub(super) const COMMITTED: u8 = 1;
    pub(super) const REJECTED: u8 = 2;
    pub(super) const ABORTED: u8 = 3;
}

/// How a request under a key was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// It was done.
    Committed {
        /// What was asked.
        fingerprint: Fingerprint,
        /// What its operations came to.
        results: AssignedList<'a>,
    },
    /// It was not done.
    Rejected {
        /// What was asked.
        fingerprint: Fingerprint,
        /// Why.
        why: Refusal,
    },
    /// A RESOLVE came first: nothing may be done under this key, whatever is asked.
    Aborted,
}

/// A decision, and how long it must be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOutcome<'a> {
    /// The birth of the key; see [`RequestKey::first_sent_us`](super::request_key::RequestKey::first_sent_us).
    pub first_sent_us: i64,
    /// What was decided.
    pub decision: Decision<'a>,
}

impl<'a> StoredOutcome<'a> {
    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let number = match self.decision {
            Decision::Committed { .. } => decision::COMMITTED,
            Decision::Rejected { .. } => decision::REJECTED,
            Decision::Aborted => decision::ABORTED,
        };
        out.extend_from_slice(&[LAYOUT, number]);
        out.extend_from_slice(&self.first_sent_us.to_le_bytes());
        match &self.decision {
            Decision::Committed { fingerprint, results } => {
                out.extend_from_slice(&fingerprint.0);
                assigned::encode(results, out);
            }
            Decision::Rejected { fingerprint, why } => {
                out.extend_from_slice(&fingerprint.0);
                why.encode_decision(out);
            }
            Decision::Aborted => {}
        }
    }

    /// The birth of the key that this outcome is stored under, without a look at the rest.
    pub fn birth(bytes: &[u8]) -> Result<i64, Malformed> {
        let mut reader = Reader::new(bytes);
        let (_layout, _number) = (reader.u8()?, reader.u8()?);
        reader.i64()
    }

    /// The inverse of [`encode`](Self::encode). Only a rejection allocates.
    pub fn decode(bytes: &'a [u8]) -> Result<StoredOutcome<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        let unknown = |what, got: u8| Malformed::Unknown { what, got: u64::from(got) };
        let layout = reader.u8()?;
        if layout != LAYOUT {
            return Err(unknown("layout of an outcome", layout));
        }
        let number = reader.u8()?;
        let first_sent_us = reader.i64()?;
        let decision = match number {
            decision::COMMITTED => Decision::Committed {
                fingerprint: Fingerprint(reader.array()?),
                results: assigned::read(&mut reader)?,
            },
            decision::REJECTED => Decision::Rejected {
                fingerprint: Fingerprint(reader.array()?),
                why: Refusal::read_decision(&mut reader)?,
            },
            decision::ABORTED => Decision::Aborted,
            got => return Err(unknown("decision", got)),
        };
        reader.end()?;
        Ok(StoredOutcome { first_sent_us, decision })
    }
}
