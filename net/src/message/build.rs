//! A COMMIT as a caller builds it.

use std::collections::BTreeSet;

use super::commit::{CommitRequest, NAMES_ANOTHER, RETURN_ROWS};
use super::condition::{Condition, Edge, Edges, with_literal};
use super::op::Op;
use super::request_key::{KeyName, RequestKey};
use super::term::{RowAt, Ttl};
use crate::address::RowRef;
use crate::key::Key;
use crate::position::Position;
use crate::refusal::Refusal;
use crate::row::Row;
use crate::value::{Members, Value, encode_members};
use crate::wire::{Reader, put_sized, put_varint};

/// Checks and operations of one partition, and the key that makes them happen once.
///
/// ```
/// use seawall::{Commit, row};
///
/// let (cabin, total) = (row("cabin", "C14"), row("total", "held"));
/// let commit = Commit::new("HP-2026-07-14")
///     .key("hold-BK-88421")
///     .check(cabin.field("state").eq("free"))
///     .merge(&cabin, [("state", "held"), ("by", "BK-88421")])
///     .add(&total, "count", 1, ..=total.field("limit"))
///     .event("cabin-held", "C14");
/// assert!(commit.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    partition: Key,
    /// Of rows that are named by their whole address, if it is not `partition`.
    other: Option<Key>,
    key: Option<OwnedKey>,
    min_durability: u8,
    return_rows: bool,
    checks: Vec<u8>,
    check_count: usize,
    ops: Vec<u8>,
    op_count: usize,
}

/// A request key that belongs to its commit. A session's key has its first time; a caller's may get it when it is
/// sent for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnedKey {
    Caller { name: Vec<u8>, first_sent_us: Option<i64> },
    Session { session: [u8; 16], sequence: u64, first_sent_us: i64 },
}

impl Commit {
    /// Nothing yet, in `partition`: the scope of what must hold together.
    pub fn new(partition: impl Into<Key>) -> Commit {
        Commit {
            partition: partition.into(),
            other: None,
            key: None,
            min_durability: 0,
            return_rows: false,
            checks: Vec::new(),
            check_count: 0,
            ops: Vec::new(),
            op_count: 0,
        }
    }

    /// Gives the commit a name within its partition: it happens once, however often it is sent under it, as long as
    /// outcomes are remembered. 1 to 64 bytes. A rejection is remembered, too: another attempt takes another key.
    ///
    /// A commit that is sent by another process again must say when it was [first sent](Self::first_sent).
    pub fn key(mut self, name: impl AsRef<[u8]>) -> Commit {
        self.key = Some(OwnedKey::Caller { name: name.as_ref().to_owned(), first_sent_us: None });
        self
    }

    /// When the caller's key was first sent, on the node's clock. The client says it where the caller does not.
    pub fn first_sent(mut self, us: i64) -> Commit {
        if let Some(OwnedKey::Caller { first_sent_us, .. }) = &mut self.key {
            *first_sent_us = Some(us);
        }
        self
    }

    /// A key of a client's session: for clients that number their commits.
    pub fn session_key(mut self, session: [u8; 16], sequence: u64, first_sent_us: i64) -> Commit {
        self.key = Some(OwnedKey::Session { session, sequence, first_sent_us });
        self
    }

    /// Asks for the record on this many members, if the shard's policy asks for fewer.
    pub fn durable_on(mut self, members: u8) -> Commit {
        self.min_durability = members;
        self
    }

    /// Asks to see the row that a check or an operation fails on.
    pub fn returning_rows(mut self) -> Commit {
        self.return_rows = true;
        self
    }

    /// The partition that rows of this commit are said to be of, for callers who name rows by their whole address. A
    /// commit has one: another one is refused as CROSS_PARTITION, wherever the two lie.
    pub fn within(mut self, partition: impl Into<Key>) -> Commit {
        let partition = partition.into();
        self.other = self.other.or(Some(partition).filter(|other| *other != self.partition));
        self
    }

    /// Something that must hold.
    pub fn check(mut self, condition: Condition) -> Commit {
        self.checks.extend_from_slice(&condition.0);
        self.check_count += 1;
        self
    }

    /// Replaces the row, all of it.
    pub fn put<N: Into<String>, V: Into<Value>>(
        self,
        row: &RowRef,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Commit {
        self.push(&Op::Put { at: row.into(), row: &encoded(fields), ttl: None })
    }

    /// Replaces the row, all of it, for as long as `ttl`.
    pub fn put_for<N: Into<String>, V: Into<Value>>(
        self,
        row: &RowRef,
        fields: impl IntoIterator<Item = (N, V)>,
        ttl: Ttl,
    ) -> Commit {
        self.push(&Op::Put { at: row.into(), row: &encoded(fields), ttl: Some(ttl) })
    }

    /// Removes the row.
    pub fn delete(self, row: &RowRef) -> Commit {
        self.push(&Op::Delete { at: row.into() })
    }

    /// Sets these fields of the row; others stay.
    pub fn merge<N: Into<String>, V: Into<Value>>(
        self,
        row: &RowRef,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Commit {
        self.push(&Op::Merge { at: row.into(), fields: &encoded(fields) })
    }

    /// Adds to a number, which must stay `within`: `..` for no bounds, `0..`, `..=total.field("limit")`.
    pub fn add(self, row: &RowRef, field: &str, delta: impl Into<Value>, within: impl Into<Edges>) -> Commit {
        let (at, Edges { floor, ceiling }) = (RowAt::from(row), within.into());
        with_literal(&delta.into(), |delta| {
            Edge::with_bound(floor.as_ref(), |floor| {
                Edge::with_bound(ceiling.as_ref(), |ceiling| {
                    self.push(&Op::Add { at, field, delta, floor, ceiling })
                })
            })
        })
    }

    /// Sets a field that is absent or below `value`.
    pub fn max(self, row: &RowRef, field: &str, value: impl Into<Value>) -> Commit {
        with_literal(&value.into(), |value| self.push(&Op::Max { at: row.into(), field, value }))
    }

    /// Sets a field that is absent or above `value`.
    pub fn min(self, row: &RowRef, field: &str, value: impl Into<Value>) -> Commit {
        with_literal(&value.into(), |value| self.push(&Op::Min { at: row.into(), field, value }))
    }

    /// Adds members to a set.
    pub fn set_add<M: AsRef<[u8]>>(
        self,
        row: &RowRef,
        field: &str,
        members: impl IntoIterator<Item = M>,
    ) -> Commit {
        let at = row.into();
        with_members(members, |members| self.push(&Op::SetAdd { at, field, members }))
    }

    /// Removes members from a set.
    pub fn set_remove<M: AsRef<[u8]>>(
        self,
        row: &RowRef,
        field: &str,
        members: impl IntoIterator<Item = M>,
    ) -> Commit {
        let at = row.into();
        with_members(members, |members| self.push(&Op::SetRemove { at, field, members }))
    }

    /// Puts a row behind the last one of a stream; its sequence is in the answer.
    pub fn append<N: Into<String>, V: Into<Value>>(
        self,
        stream: &RowRef,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Commit {
        self.push(&Op::Append { stream: stream.into(), row: &encoded(fields) })
    }

    /// Takes the lease of a row; its token is the position of the commit.
    pub fn lease_acquire(self, row: &RowRef, ttl: Ttl) -> Commit {
        self.push(&Op::LeaseAcquire { at: row.into(), ttl })
    }

    /// Prolongs the lease that was acquired at `token`.
    pub fn lease_renew(self, row: &RowRef, token: Position, ttl: Ttl) -> Commit {
        self.push(&Op::LeaseRenew { at: row.into(), token, ttl })
    }

    /// Gives the lease back that was acquired at `token`.
    pub fn lease_release(self, row: &RowRef, token: Position) -> Commit {
        self.push(&Op::LeaseRelease { at: row.into(), token })
    }

    /// Tells whoever watches.
    pub fn event(self, topic: &str, payload: impl AsRef<[u8]>) -> Commit {
        self.push(&Op::Event { topic, payload: payload.as_ref() })
    }

    /// The scope of the commit.
    pub fn partition(&self) -> &Key {
        &self.partition
    }

    /// The key that it will be sent under; one without a first time was never sent.
    pub fn request_key(&self) -> Option<RequestKey<'_>> {
        self.key.as_ref().map(|key| match key {
            OwnedKey::Caller { name, first_sent_us } => {
                RequestKey { name: KeyName::Caller(name), first_sent_us: first_sent_us.unwrap_or(0) }
            }
            OwnedKey::Session { session, sequence, first_sent_us } => RequestKey {
                name: KeyName::Session { session: *session, sequence: *sequence },
                first_sent_us: *first_sent_us,
            },
        })
    }

    /// Whether it has a key of the caller's that was never sent.
    pub fn lacks_first_sent(&self) -> bool {
        matches!(self.key, Some(OwnedKey::Caller { first_sent_us: None, .. }))
    }

    /// The same as attempt `n`, from 1 on: later ones have the attempt behind the caller's key, `KEY/2`.
    pub(crate) fn attempt(mut self, n: u32) -> Commit {
        if let (Some(OwnedKey::Caller { name, .. }), 2..) = (&mut self.key, n) {
            name.extend_from_slice(format!("/{n}").as_bytes());
        }
        self
    }

    /// Whether its key, if it has one, says when it was first sent.
    pub(crate) fn check_first_sent(&self) -> Result<(), Refusal> {
        if !self.lacks_first_sent() {
            return Ok(());
        }
        let observed = "a key without one";
        Err(Refusal::bad_frame("request_key.first_sent", "the time it was first sent", observed))
    }

    /// Whether a node would read it. The very code that a node runs decides, so the refusals are the same.
    pub fn validate(&self) -> Result<(), Refusal> {
        let mut payload = Vec::new();
        self.encode(&mut payload);
        CommitRequest::decode(&payload).map(drop)
    }

    /// Appends the payload, unchecked.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_under(self.request_key().as_ref(), out);
    }

    /// The same under another key, or under none.
    pub(crate) fn encode_under(&self, key: Option<&RequestKey<'_>>, out: &mut Vec<u8>) {
        out.push(self.min_durability);
        RequestKey::encode(key, out);
        put_sized(out, self.partition.as_bytes());
        let names_another = u8::from(self.other.is_some()) * NAMES_ANOTHER;
        let options = u8::from(self.return_rows) * RETURN_ROWS;
        out.push(options | names_another);
        if let Some(other) = &self.other {
            put_sized(out, other.as_bytes());
        }
        put_varint(out, self.check_count as u64);
        put_varint(out, self.op_count as u64);
        out.extend_from_slice(&self.checks);
        out.extend_from_slice(&self.ops);
    }

    fn push(mut self, op: &Op<'_>) -> Commit {
        op.encode(&mut self.ops);
        self.op_count += 1;
        self
    }
}

fn encoded<N: Into<String>, V: Into<Value>>(fields: impl IntoIterator<Item = (N, V)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    fields.into_iter().collect::<Row>().encode(&mut bytes);
    bytes
}

/// Shows members in their borrowed form. Too many of them are refused where the commit is checked: as none.
fn with_members<T, M: AsRef<[u8]>>(
    members: impl IntoIterator<Item = M>,
    take: impl FnOnce(Members<'_>) -> T,
) -> T {
    let members: BTreeSet<Vec<u8>> = members.into_iter().map(|member| member.as_ref().to_owned()).collect();
    let mut bytes = Vec::new();
    encode_members(&members, &mut bytes);
    take(Members::read(&mut Reader::new(&bytes)).unwrap_or(Members::NONE))
}
