//! What a call of the client can end with.

use std::fmt;
use std::time::Duration;

use super::settle::SentKey;
use crate::key::Key;
use crate::message::assigned::Results;
use crate::message::read::Found;
use crate::position::Position;
use crate::refusal::{self, Code, Detail, Refusal, Retry};
use crate::reply::{Body, Flags, Reply};
use crate::row::Row;
use crate::token::Token;

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a commit may be rejected, or unknown"]
pub enum Outcome {
    /// It happened, and will not be undone.
    Committed(Committed),
    /// It was decided, and the decision is no.
    Rejected(Refusal),
    /// It may have happened: the answer did not arrive, or the node does not know it either.
    Unknown(Unknown),
}

/// A commit that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Where it stands in history.
    pub token: Token,
    /// The version that the rows it put have now.
    pub version: Position,
    /// Whether an earlier request with the same key had been decided, and this is its outcome.
    pub replayed: bool,
    /// What its operations came to: sums, sequences, leases.
    pub results: Results,
}

/// A commit that may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Where to look.
    pub partition: Key,
    /// What it was sent under: [`Client::resolve`](crate::Client::resolve) settles it. `None`: it had no key.
    pub key: Option<SentKey>,
    /// Why it is not known.
    pub why: Doubt,
}

/// Why the end of a commit is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The node said so.
    Refusal(Refusal),
    /// The request was sent, and no answer came.
    Connection(String),
}

impl Unknown {
    /// Whether the key is older than the memory of outcomes: nothing settles it any more, and only the rows tell.
    pub fn is_beyond_settling(&self) -> bool {
        matches!(&self.why, Doubt::Refusal(why) if why.code == Code::KeyExpired)
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Doubt::Refusal(refusal) => write!(f, "{refusal}")?,
            Doubt::Connection(why) => write!(f, "the commit was sent, and no answer came: {why}")?,
        }
        if self.is_beyond_settling() {
            return Ok(()); // the refusal says what to do
        }
        match &self.key {
            Some(key) => write!(f, "; RESOLVE key {key} of partition {} settles it", self.partition),
            None => write!(f, "; read the rows of partition {} before you send it again", self.partition),
        }
    }
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// The row, if there is one.
    pub row: Option<Row>,
    /// The position of its last writer.
    pub version: Option<Position>,
    /// What the answer, also "there is none", rests on.
    pub token: Token,
    /// How old the state may be at most; `None`: not proven.
    pub staleness: Option<Duration>,
}

/// Nothing was done, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The request could not be sent.
    Unreachable {
        /// Where to.
        address: String,
        /// What the operating system said.
        why: String,
    },
    /// A read was sent, and no answer came in time.
    NoAnswer {
        /// Where to.
        address: String,
        /// What the operating system said.
        why: String,
    },
    /// A pipeline broke: what was sent and not answered is unknown.
    Broken {
        /// Where to.
        address: String,
        /// What the operating system said.
        why: String,
    },
    /// The node, or the client in its place, refused the request.
    Refused(Box<Refusal>),
    /// The node's answer cannot be understood.
    Protocol(Box<Refusal>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreachable { address, why } => {
                write!(
                    f,
                    "{address} cannot be reached ({why}); nothing was done; check that a node listens there"
                )
            }
            Error::NoAnswer { address, why } => {
                write!(
                    f,
                    "{address} did not answer ({why}); this may be repeated without harm: do so, or allow more time"
                )
            }
            Error::Broken { address, why } => {
                write!(
                    f,
                    "the pipeline to {address} broke ({why}); what was sent and not answered is unknown; read it"
                )
            }
            Error::Refused(refusal) => refusal.fmt(f),
            Error::Protocol(refusal) => write!(f, "the answer cannot be understood: {refusal}"),
        }
    }
}

impl std::error::Error for Error {}

/// How one attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No whole request was handed to the operating system, so no node can have acted on it.
    NotSent(String),
    /// The request was sent, and no answer came.
    Lost(String),
    /// The node answered, and the answer is no.
    Refused(Box<Refusal>),
    /// The node answered something that cannot be understood.
    Protocol(Box<Refusal>),
}

impl Failure {
    /// Whether the connection is as good as before. It is not when the map must be learned again: HELLO does that.
    pub(crate) fn leaves_connection(&self) -> bool {
        match self {
            Failure::Refused(refusal) => {
                let poisoned =
                    matches!(refusal.code, Code::BadFrame | Code::TooLarge | Code::UnsupportedVersion);
                refusal.retry() != Retry::RefreshMap && !poisoned
            }
            Failure::NotSent(_) | Failure::Lost(_) | Failure::Protocol(_) => false,
        }
    }

    /// Whether another node may know better: this one is not there, or cannot do what a leader can.
    pub(crate) fn asks_another(&self) -> bool {
        match self {
            Failure::NotSent(_) | Failure::Lost(_) => true,
            Failure::Refused(refusal) => {
                let elsewhere = matches!(
                    refusal.code,
                    Code::LeadershipLost | Code::LeaseUnproven | Code::DurabilityUnavailable | Code::NotReady
                );
                elsewhere || refusal.retry() == Retry::OtherReplica
            }
            Failure::Protocol(_) => false,
        }
    }

    /// Who leads, if the node that was asked does not and knows it.
    pub(crate) fn leader(&self) -> Option<&str> {
        match self {
            Failure::Refused(refusal) if refusal.code == Code::NotLeader => match &refusal.reason.detail {
                Detail::Leader(address) => Some(address),
                _ => None,
            },
            _ => None,
        }
    }

    /// Why an attempt that failed so may have done something all the same.
    pub(crate) fn doubt(&self) -> Option<Doubt> {
        match self {
            Failure::Lost(why) => Some(Doubt::Connection(why.clone())),
            Failure::Refused(refused) => match refused.outcome {
                refusal::Outcome::Unknown | refusal::Outcome::Committed => {
                    Some(Doubt::Refusal((**refused).clone()))
                }
                refusal::Outcome::None | refusal::Outcome::Rejected => None,
            },
            Failure::NotSent(_) | Failure::Protocol(_) => None,
        }
    }

    /// An answer to a commit that cannot be understood is as good as none.
    pub(crate) fn after_sending(self) -> Failure {
        match self {
            Failure::Protocol(refusal) => Failure::Lost(refusal.to_string()),
            other => other,
        }
    }

    /// What it means for a call that changed nothing.
    pub(crate) fn into_error(self, address: &str) -> Error {
        let address = address.to_owned();
        match self {
            Failure::NotSent(why) => Error::Unreachable { address, why },
            Failure::Lost(why) => Error::NoAnswer { address, why },
            Failure::Refused(refusal) => Error::Refused(refusal),
            Failure::Protocol(refusal) => Error::Protocol(refusal),
        }
    }
}

pub(crate) fn committed(reply: &Reply<'_>) -> std::result::Result<Committed, Failure> {
    match (&reply.body, reply.meta.position) {
        (Body::Committed { lineage_tag, results }, Some(version)) => Ok(Committed {
            token: Token { lineage_tag: *lineage_tag, shard: reply.meta.shard, position: version },
            version,
            replayed: reply.meta.flags.has(Flags::REPLAYED),
            results: Results::of(results),
        }),
        _ => Err(unexpected(reply)),
    }
}

pub(crate) fn got(reply: &Reply<'_>) -> std::result::Result<Got, Failure> {
    match &reply.body {
        Body::Row { lineage_tag, found } => one(reply, *lineage_tag, *found),
        _ => Err(unexpected(reply)),
    }
}

/// The rows of a MULTI_GET, in the order of the request.
pub(crate) fn got_many(reply: &Reply<'_>) -> std::result::Result<Vec<Got>, Failure> {
    match &reply.body {
        Body::Rows { lineage_tag, rows } => {
            rows.iter().map(|found| one(reply, *lineage_tag, found)).collect()
        }
        _ => Err(unexpected(reply)),
    }
}

fn one(reply: &Reply<'_>, lineage_tag: u32, found: Option<Found<'_>>) -> std::result::Result<Got, Failure> {
    Ok(Got {
        row: found.map(|found| decode_row(found.row)).transpose()?,
        version: found.map(|found| found.version),
        token: token(reply, lineage_tag),
        staleness: reply.meta.staleness_ms.map(|ms| Duration::from_millis(ms.into())),
    })
}

/// That it was done.
pub(crate) fn done(reply: &Reply<'_>) -> std::result::Result<(), Failure> {
    match &reply.body {
        Body::Done => Ok(()),
        _ => Err(unexpected(reply)),
    }
}

/// Where a reply stands in history.
pub(crate) fn token(reply: &Reply<'_>, lineage_tag: u32) -> Token {
    let position = reply.meta.position.unwrap_or_default();
    Token { lineage_tag, shard: reply.meta.shard, position }
}

pub(crate) fn decode_row(bytes: &[u8]) -> std::result::Result<Row, Failure> {
    Row::decode(bytes)
        .map_err(|malformed| Failure::Protocol(Box::new(Refusal::malformed("reply.row", malformed))))
}

/// A reply that is none to what was asked; a refusal is one to everything.
pub(crate) fn unexpected(reply: &Reply<'_>) -> Failure {
    match &reply.body {
        Body::Refused(refusal) => Failure::Refused(Box::new(refusal.clone())),
        _ => Failure::Protocol(Box::new(Refusal::bad_frame(
            "reply.opcode",
            "the answer to what was asked",
            "another answer",
        ))),
    }
}
