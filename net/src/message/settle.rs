//! STATUS_OF and RESOLVE: what became of a commit that was sent under a request key.

use super::assigned::{self, AssignedList};
use super::read::read_partition;
use super::request_key::RequestKey;
use crate::position::Position;
use crate::refusal::Refusal;
use crate::token::Token;
use crate::wire::{Malformed, Reader, put_sized};

/// A STATUS_OF or a RESOLVE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettleRequest<'a> {
    /// The bytes of the partition's key.
    pub partition: &'a [u8],
    /// As it was sent with the commit.
    pub request_key: RequestKey<'a>,
    /// STATUS_OF alone: the token that a commit was answered with, to learn whether that history was lost.
    pub token: Option<Token>,
}

impl<'a> SettleRequest<'a> {
    /// Appends the payload, unchecked; RESOLVE takes no token.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_sized(out, self.partition);
        RequestKey::encode(Some(&self.request_key), out);
        out.push(u8::from(self.token.is_some()));
        if let Some(token) = &self.token {
            token.encode(out);
        }
    }

    pub(crate) fn decode(payload: &'a [u8], rule: &'static str) -> Result<SettleRequest<'a>, Refusal> {
        let read = || {
            let mut reader = Reader::new(payload);
            let partition = read_partition(&mut reader)?;
            let request_key = RequestKey::read_some(&mut reader)?;
            let token = match reader.u8()? {
                0 => None,
                1 => Some(Token::read(&mut reader)?),
                got => return Err(Malformed::Unknown { what: "presence of a token", got: u64::from(got) }),
            };
            reader.end()?;
            Ok(SettleRequest { partition, request_key, token })
        };
        read().map_err(|malformed| Refusal::malformed(rule, malformed))
    }
}

/// The number of each status.
mod number {
    pub(super) const COMMITTED: u8 = 1;
    pub(super) const REJECTED: u8 = 2;
    pub(super) const ABORTED: u8 = 3;
    pub(super) const IN_FLIGHT: u8 = 4;
    pub(super) const UNSEEN: u8 = 5;
    pub(super) const EXPIRED: u8 = 6;
    pub(super) const LOST: u8 = 7;
}

/// What is known of a request key. The reply's position is what the answer rests on, and its flag FINAL says whether
/// it can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStatus<'a> {
    /// It happened.
    Committed {
        /// The commit's own position.
        at: Position,
        /// What its operations came to.
        results: AssignedList<'a>,
    },
    /// It was decided, and the decision was no.
    Rejected {
        /// The position of the decision.
        at: Position,
        /// Why.
        why: Refusal,
    },
    /// It was resolved before it arrived, and can never happen.
    Aborted {
        /// The position of the tombstone.
        at: Position,
    },
    /// It is being decided right now.
    InFlight,
    /// It has not arrived here as of the reply's position, and may yet.
    Unseen,
    /// It is older than the memory of outcomes: nobody knows any more.
    Expired,
    /// It happened, as the token proves, in a history that was lost since.
    Lost,
}

impl<'a> KeyStatus<'a> {
    /// The name, as documents and people write it.
    pub fn name(&self) -> &'static str {
        match self {
            KeyStatus::Committed { .. } => "COMMITTED",
            KeyStatus::Rejected { .. } => "REJECTED",
            KeyStatus::Aborted { .. } => "ABORTED",
            KeyStatus::InFlight => "IN_FLIGHT",
            KeyStatus::Unseen => "UNSEEN",
            KeyStatus::Expired => "EXPIRED",
            KeyStatus::Lost => "LOST",
        }
    }

    /// Whether the answer can never change.
    pub fn is_final(&self) -> bool {
        !matches!(self, KeyStatus::InFlight | KeyStatus::Unseen)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            KeyStatus::Committed { at, results } => {
                out.push(number::COMMITTED);
                at.encode(out);
                assigned::encode(results, out);
            }
            KeyStatus::Rejected { at, why } => {
                out.push(number::REJECTED);
                at.encode(out);
                why.encode_decision(out);
            }
            KeyStatus::Aborted { at } => {
                out.push(number::ABORTED);
                at.encode(out);
            }
            KeyStatus::InFlight => out.push(number::IN_FLIGHT),
            KeyStatus::Unseen => out.push(number::UNSEEN),
            KeyStatus::Expired => out.push(number::EXPIRED),
            KeyStatus::Lost => out.push(number::LOST),
        }
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<KeyStatus<'a>, Malformed> {
        Ok(match reader.u8()? {
            number::COMMITTED => {
                KeyStatus::Committed { at: Position::read(reader)?, results: assigned::read(reader)? }
            }
            number::REJECTED => {
                KeyStatus::Rejected { at: Position::read(reader)?, why: Refusal::read_decision(reader)? }
            }
            number::ABORTED => KeyStatus::Aborted { at: Position::read(reader)? },
            number::IN_FLIGHT => KeyStatus::InFlight,
            number::UNSEEN => KeyStatus::Unseen,
            number::EXPIRED => KeyStatus::Expired,
            number::LOST => KeyStatus::Lost,
            got => return Err(Malformed::Unknown { what: "status of a key", got: u64::from(got) }),
        })
    }
}
