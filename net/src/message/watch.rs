//! SUBSCRIBE, CREDIT, CANCEL and ACK_CURSOR, and what comes out of a subscription: the change stream.
//!
//! A SUBSCRIBE is answered by a reply. Then come frames of the kind *stream* with its correlation id, each with the
//! head of a reply: what is a reply's position there is what has been told, and where to go on after a lost
//! connection. A refusal in the stream (COMPACTED, LEADERSHIP_LOST, ...) is its end.

use super::read::read_partition;
use super::term::RowAt;
use crate::limits::{EVENT_MAX, KEY_MAX, ROW_MAX};
use crate::list::{List, Piece};
use crate::map::ShardId;
use crate::position::{Epoch, Index, Position};
use crate::refusal::Refusal;
use crate::row;
use crate::token::Token;
use crate::wire::{Malformed, Reader, put_sized, put_varint};

/// Whose changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Of all partitions of a shard.
    Shard(ShardId),
    /// Of one: the bytes of its key.
    Partition(&'a [u8]),
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin<'a> {
    /// With what is committed after it arrives.
    Now,
    /// With the oldest change that is kept.
    Oldest,
    /// Behind what this token names.
    Token(Token),
    /// Behind what was acknowledged last under this name.
    Cursor(&'a str),
}

/// The number of each scope and of each beginning.
mod number {
    pub(super) const SHARD: u8 = 1;
    pub(super) const PARTITION: u8 = 2;
    pub(super) const NOW: u8 = 0;
    pub(super) const TOKEN: u8 = 1;
    pub(super) const CURSOR: u8 = 2;
    pub(super) const OLDEST: u8 = 3;
}

/// Bits of what is wanted.
mod want {
    pub(super) const ROWS: u8 = 1;
    pub(super) const EVENTS: u8 = 2;
}

/// A SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeRequest<'a> {
    /// Whose changes.
    pub scope: Scope<'a>,
    /// Where it begins.
    pub from: Begin<'a>,
    /// Whether changes of rows are wanted.
    pub rows: bool,
    /// Whether events are wanted.
    pub events: bool,
    /// Only changes of this table's rows.
    pub table: Option<&'a str>,
    /// Only events of this topic.
    pub topic: Option<&'a str>,
    /// How many bytes of stream frames, headers included, the node may send before a CREDIT. The last frame may go
    /// beyond; progress costs as well.
    pub credit: u64,
}

impl<'a> Scope<'a> {
    /// The bytes of the partition, if it is one.
    pub fn partition(&self) -> Option<&'a [u8]> {
        match self {
            Scope::Shard(_) => None,
            Scope::Partition(partition) => Some(partition),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Scope::Shard(shard) => {
                out.push(number::SHARD);
                out.extend_from_slice(&shard.0.to_le_bytes());
            }
            Scope::Partition(partition) => {
                out.push(number::PARTITION);
                put_sized(out, partition);
            }
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Scope<'a>, Malformed> {
        match reader.u8()? {
            number::SHARD => Ok(Scope::Shard(ShardId(reader.u32()?))),
            number::PARTITION => read_partition(reader).map(Scope::Partition),
            got => Err(Malformed::Unknown { what: "scope", got: u64::from(got) }),
        }
    }
}

/// A name, or an empty text for none.
fn read_option<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, Malformed> {
    if reader.rest().first() == Some(&0) {
        reader.u8()?;
        return Ok(None);
    }
    reader.name().map(Some)
}

impl<'a> SubscribeRequest<'a> {
    /// Appends the payload, unchecked.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.scope.encode(out);
        match self.from {
            Begin::Now => out.push(number::NOW),
            Begin::Oldest => out.push(number::OLDEST),
            Begin::Token(token) => {
                out.push(number::TOKEN);
                token.encode(out);
            }
            Begin::Cursor(name) => {
                out.push(number::CURSOR);
                put_sized(out, name.as_bytes());
            }
        }
        out.push((u8::from(self.rows) * want::ROWS) | (u8::from(self.events) * want::EVENTS));
        put_sized(out, self.table.unwrap_or_default().as_bytes());
        put_sized(out, self.topic.unwrap_or_default().as_bytes());
        put_varint(out, self.credit);
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<SubscribeRequest<'a>, Refusal> {
        let read = || {
            let mut reader = Reader::new(payload);
            let scope = Scope::read(&mut reader)?;
            let from = match reader.u8()? {
                number::NOW => Begin::Now,
                number::OLDEST => Begin::Oldest,
                number::TOKEN => Begin::Token(Token::read(&mut reader)?),
                number::CURSOR => Begin::Cursor(reader.name()?),
                got => return Err(Malformed::Unknown { what: "beginning", got: u64::from(got) }),
            };
            let wanted = reader.u8()?;
            if wanted == 0 || wanted & !(want::ROWS | want::EVENTS) != 0 {
                return Err(Malformed::Unknown { what: "what is wanted", got: u64::from(wanted) });
            }
            let (rows, events) = (wanted & want::ROWS != 0, wanted & want::EVENTS != 0);
            let (table, topic) = (read_option(&mut reader)?, read_option(&mut reader)?);
            let credit = reader.varint()?;
            reader.end()?;
            Ok(SubscribeRequest { scope, from, rows, events, table, topic, credit })
        };
        read().map_err(|malformed| Refusal::malformed("subscribe", malformed))
    }
}

/// A CREDIT: the node may send this many bytes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditRequest {
    /// The correlation id of the SUBSCRIBE, on the same connection.
    pub subscription: u64,
    /// How many bytes more.
    pub bytes: u64,
}

impl CreditRequest {
    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.subscription.to_le_bytes());
        put_varint(out, self.bytes);
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<CreditRequest, Refusal> {
        let read = || {
            let mut reader = Reader::new(payload);
            let credit = CreditRequest { subscription: reader.u64()?, bytes: reader.varint()? };
            reader.end()?;
            Ok(credit)
        };
        read().map_err(|malformed| Refusal::malformed("credit", malformed))
    }
}

/// A CANCEL: nothing more is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelRequest {
    /// The correlation id of the SUBSCRIBE, on the same connection.
    pub subscription: u64,
}

impl CancelRequest {
    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.subscription.to_le_bytes());
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<CancelRequest, Refusal> {
        let read = || {
            let mut reader = Reader::new(payload);
            let cancel = CancelRequest { subscription: reader.u64()? };
            reader.end()?;
            Ok(cancel)
        };
        read().map_err(|malformed| Refusal::malformed("cancel", malformed))
    }
}

/// An ACK_CURSOR: everything up to the token was dealt with. The shard remembers it, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckRequest<'a> {
    /// Whose changes; as in the SUBSCRIBE.
    pub scope: Scope<'a>,
    /// The cursor's name, within its scope.
    pub cursor: &'a str,
    /// Of a stream frame.
    pub token: Token,
}

impl<'a> AckRequest<'a> {
    /// Appends the payload, unchecked.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.scope.encode(out);
        put_sized(out, self.cursor.as_bytes());
        self.token.encode(out);
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<AckRequest<'a>, Refusal> {
        let read = || {
            let mut reader = Reader::new(payload);
            let scope = Scope::read(&mut reader)?;
            let ack = AckRequest { scope, cursor: reader.name()?, token: Token::read(&mut reader)? };
            reader.end()?;
            Ok(ack)
        };
        read().map_err(|malformed| Refusal::malformed("ack_cursor", malformed))
    }
}

/// The number of each change; 0 ends them.
mod kind {
    pub(super) const PUT: u8 = 1;
    pub(super) const DELETED: u8 = 2;
    pub(super) const EXPIRED: u8 = 3;
    pub(super) const EVENT: u8 = 4;
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// The row is this now.
    Put {
        /// Which.
        at: RowAt<'a>,
        /// The bytes of the row, all of it.
        row: &'a [u8],
    },
    /// There is no such row any more.
    Deleted {
        /// Which.
        at: RowAt<'a>,
    },
    /// There is no such row any more: its ttl ran out.
    Expired {
        /// Which.
        at: RowAt<'a>,
    },
    /// Somebody said so.
    Event {
        /// A name.
        topic: &'a str,
        /// Anything.
        payload: &'a [u8],
    },
}

/// One thing that happened. (Lineage tag, shard, position, ordinal) is its id, for ever: a consumer that meets it
/// twice knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The record that it stands in.
    pub position: Position,
    /// Its place among all changes of the record, also those that the filter left out.
    pub ordinal: usize,
    /// The leader's time of the record: microseconds since 1970, UTC.
    pub time_us: i64,
    /// The bytes of the partition's key.
    pub partition: &'a [u8],
    /// What happened.
    pub what: What<'a>,
}

impl Change<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self.what {
            What::Put { .. } => kind::PUT,
            What::Deleted { .. } => kind::DELETED,
            What::Expired { .. } => kind::EXPIRED,
            What::Event { .. } => kind::EVENT,
        });
        self.position.encode(out);
        put_varint(out, self.ordinal as u64);
        out.extend_from_slice(&self.time_us.to_le_bytes());
        put_sized(out, self.partition);
        match self.what {
            What::Put { at, row } => {
                at.encode(out);
                put_sized(out, row);
            }
            What::Deleted { at } | What::Expired { at } => at.encode(out),
            What::Event { topic, payload } => {
                put_sized(out, topic.as_bytes());
                put_sized(out, payload);
            }
        }
    }
}

impl<'a> Piece<'a> for Change<'a> {
    const WHAT: &'static str = "changes";

    fn read(reader: &mut Reader<'a>) -> Result<Change<'a>, Malformed> {
        let kind = reader.u8()?;
        let position = Position::read(reader)?;
        let ordinal = reader.count("ordinal of a change", u32::MAX as usize)?;
        let time_us = reader.i64()?;
        let partition = reader.sized("partition", KEY_MAX)?;
        let what = match kind {
            kind::PUT => What::Put { at: RowAt::read(reader)?, row: reader.sized("row", ROW_MAX)? },
            kind::DELETED => What::Deleted { at: RowAt::read(reader)? },
            kind::EXPIRED => What::Expired { at: RowAt::read(reader)? },
            kind::EVENT => What::Event { topic: reader.name()?, payload: reader.sized("event", EVENT_MAX)? },
            got => return Err(Malformed::Unknown { what: "kind of change", got: u64::from(got) }),
        };
        Ok(Change { position, ordinal, time_us, partition, what })
    }

    fn check(&self) -> Result<(), Malformed> {
        crate::key::Key::check(self.partition)?;
        match self.what {
            What::Put { at, row } => at.check().and_then(|()| row::check(row)),
            What::Deleted { at } | What::Expired { at } => at.check(),
            What::Event { .. } => Ok(()),
        }
    }
}

/// The number of each content of a stream frame.
mod content {
    pub(super) const CHANGES: u8 = 1;
    pub(super) const PROGRESS: u8 = 2;
    pub(super) const EPOCH_CHANGED: u8 = 3;
}

/// What a stream frame says, behind its head and lineage tag. Everything up to the head's position has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// This happened. The changes of a record are never cut in two.
    Changes(List<'a, Change<'a>>),
    /// Nothing that was asked for.
    Progress,
    /// Another leader went on, from here.
    EpochChanged {
        /// Whose records end.
        old: Epoch,
        /// Its last record that counts.
        prefix_end: Index,
    },
}

/// Appends changes as they come.
pub(crate) fn encode_changes<'c>(out: &mut Vec<u8>, changes: impl IntoIterator<Item = Change<'c>>) {
    out.push(content::CHANGES);
    changes.into_iter().for_each(|change| change.encode(out));
    out.push(0);
}

pub(crate) fn encode_progress(out: &mut Vec<u8>) {
    out.push(content::PROGRESS);
}

pub(crate) fn encode_epoch_changed(out: &mut Vec<u8>, old: Epoch, prefix_end: Index) {
    out.push(content::EPOCH_CHANGED);
    Position { epoch: old, index: prefix_end }.encode(out);
}

impl<'a> Told<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Told<'a>, Malformed> {
        Ok(match reader.u8()? {
            content::CHANGES => Told::Changes(List::read_ended(reader)?),
            content::PROGRESS => Told::Progress,
            content::EPOCH_CHANGED => {
                let Position { epoch, index } = Position::read(reader)?;
                Told::EpochChanged { old: epoch, prefix_end: index }
            }
            got => return Err(Malformed::Unknown { what: "content of a stream", got: u64::from(got) }),
        })
    }
}
