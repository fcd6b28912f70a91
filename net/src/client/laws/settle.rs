//! Request keys on the client's side, and what became of the commits that were sent under them.

use std::fmt;

use super::answer::{Committed, Error, Failure, Result, Unknown, token, unexpected};
use super::ask::Ask;
use crate::key::Key;
use crate::message::assigned::Results;
use crate::message::settle::{KeyStatus, SettleRequest};
use crate::message::{Commit, KeyName, Opcode, RequestKey};
use crate::refusal::Refusal;
use crate::reply::{Body, Reply};
use crate::token::Token;

/// The key that a commit was sent under: all that is needed to send it again, or to settle it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentKey {
    name: Name,
    first_sent_us: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Caller(Vec<u8>),
    Session([u8; 16], u64),
}

impl SentKey {
    /// A key of the caller's that was first sent at this time of the node: for a program that was started again.
    pub fn caller(name: impl AsRef<[u8]>, first_sent_us: i64) -> SentKey {
        SentKey { name: Name::Caller(name.as_ref().to_owned()), first_sent_us: Some(first_sent_us) }
    }

    /// A key of a client's session, as [`Unknown`] shows it, that was first sent at this time of the node.
    pub fn session(session: [u8; 16], sequence: u64, first_sent_us: i64) -> SentKey {
        SentKey { name: Name::Session(session, sequence), first_sent_us: Some(first_sent_us) }
    }

    /// The key that a commit brings along. A caller's key that has no first time gets one when it is sent.
    pub(crate) fn of(commit: &Commit) -> Option<SentKey> {
        let RequestKey { name, first_sent_us } = commit.request_key()?;
        let first_sent_us = (!commit.lacks_first_sent()).then_some(first_sent_us);
        let name = match name {
            KeyName::Caller(name) => Name::Caller(name.to_owned()),
            KeyName::Session { session, sequence } => Name::Session(session, sequence),
        };
        Some(SentKey { name, first_sent_us })
    }

    /// When it was first sent, on the node's clock; keep it where the key is kept.
    pub fn first_sent_us(&self) -> Option<i64> {
        self.first_sent_us
    }

    /// The key as it is sent, with this first time unless it has one.
    pub(crate) fn first_sent_at(&mut self, now_us: i64) -> RequestKey<'_> {
        let first_sent_us = *self.first_sent_us.get_or_insert(now_us);
        RequestKey { name: self.name(), first_sent_us }
    }

    pub(crate) fn name(&self) -> KeyName<'_> {
        match &self.name {
            Name::Caller(name) => KeyName::Caller(name),
            Name::Session(session, sequence) => KeyName::Session { session: *session, sequence: *sequence },
        }
    }
}

impl fmt::Display for SentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

/// A doubt carries the key that ends it, if the commit had one.
impl From<Unknown> for Option<SentKey> {
    fn from(unknown: Unknown) -> Option<SentKey> {
        unknown.key
    }
}

/// Numbers commits that have no key of the caller's.
#[derive(Debug)]
pub(crate) struct Numbers {
    session: [u8; 16],
    next: u64,
}

impl Numbers {
    pub(crate) fn of(session: [u8; 16]) -> Numbers {
        Numbers { session, next: 1 }
    }

    pub(crate) fn next(&mut self) -> SentKey {
        let name = Name::Session(self.session, self.next);
        self.next += 1;
        SentKey { name, first_sent_us: None }
    }
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It happened.
    Committed(Committed),
    /// It was decided, and the decision was no.
    Rejected(Refusal),
    /// It can never happen.
    Aborted,
    /// It is being decided. STATUS_OF alone.
    InFlight,
    /// It has not arrived as of this token, and may yet. STATUS_OF alone.
    Unseen(Token),
    /// It is older than the memory of outcomes: nobody knows any more.
    Expired,
    /// It happened in a history that was lost since.
    Lost,
}

/// STATUS_OF, or RESOLVE. What was sent under no key, or never, cannot be asked for.
pub(crate) fn settle(
    opcode: Opcode,
    partition: Key,
    key: Option<SentKey>,
    token: Option<Token>,
) -> Result<Ask<impl Fn(&mut Vec<u8>), Settled>> {
    let sent = key.and_then(|key| Some((key.first_sent_us?, key)));
    let (first_sent_us, key) = sent.ok_or_else(|| {
        let expected = "a request key that was sent";
        let refusal = Refusal::bad_frame("request_key", expected, "a commit without one");
        Error::Refused(Box::new(refusal))
    })?;
    let write = move |payload: &mut Vec<u8>| {
        let request_key = RequestKey { name: key.name(), first_sent_us };
        SettleRequest { partition: partition.as_bytes(), request_key, token }.encode(payload);
    };
    Ok(Ask::new(opcode, write, settled))
}

fn settled(reply: &Reply<'_>) -> std::result::Result<Settled, Failure> {
    let Body::KeyStatus { lineage_tag, status } = &reply.body else {
        return Err(unexpected(reply));
    };
    let as_of = token(reply, *lineage_tag);
    Ok(match status {
        KeyStatus::Committed { at, results } => Settled::Committed(Committed {
            token: Token { position: *at, ..as_of },
            version: *at,
            replayed: true,
            results: Results::of(results),
        }),
        KeyStatus::Rejected { at, why } => Settled::Rejected(why.clone().at(*at)),
        KeyStatus::Aborted { .. } => Settled::Aborted,
        KeyStatus::InFlight => Settled::InFlight,
        KeyStatus::Unseen => Settled::Unseen(as_of),
        KeyStatus::Expired => Settled::Expired,
        KeyStatus::Lost => Settled::Lost,
    })
}
