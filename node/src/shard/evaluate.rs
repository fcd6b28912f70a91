//! Deciding on a commit: every check on the state before it, then its operations, each on what those before it left.
//!
//! Nothing here changes the state. What comes out is a draft of the record, or why not; and in either case the last
//! record that changed anything that was looked at, for the answer to wait for (R20).

use std::borrow::Cow;

use seawall::message::CommitRequest;
use seawall::message::read::Found;
use seawall::message::term::RowAt;
use seawall::position::Position;
use seawall::refusal::Refusal;
use seawall::value::ValueRef;
use seawall::{Value, address, key};
use seawall_wal::Space;

use super::draft::Draft;
use super::lease::Lease;
use super::spaces;
use super::state::{At, State};

/// What stands somewhere in the state, and its version.
pub(super) type Stands<'a> = Option<(Position, &'a [u8])>;

#[derive(Debug)]
pub struct Evaluation<'a> {
    pub state: &'a State,
    pub namespace: &'a str,
    pub commit: &'a CommitRequest<'a>,
    /// Leader time of the record.
    pub time_us: i64,
    /// The record's, if it is appended.
    pub at: Position,
    pub draft: &'a mut Draft,
    /// Memory for a stored key, used again.
    pub key: &'a mut Vec<u8>,
    /// How many bytes of it every key of the partition begins with; they are there from the start on.
    pub partition: usize,
    /// What the last look found at the key: a commit checks and changes the same row.
    pub last: Option<(Space, Option<At<'a>>)>,
    pub seen: Option<Position>,
}

impl<'a> Evaluation<'a> {
    /// The draft is good only if this is.
    pub fn run(&mut self) -> Result<(), Refusal> {
        self.draft.clear();
        let commit = self.commit;
        commit.checks.iter().enumerate().try_for_each(|(nth, check)| self.check(nth, &check))?;
        commit.ops.iter().enumerate().try_for_each(|(nth, op)| self.operate(nth, &op))?;
        self.keep_promises()
    }

    /// Makes [`Evaluation::key`] the stored key of a row of the partition.
    pub(super) fn address(&mut self, at: RowAt<'_>) {
        if address::is_row_suffix(&self.key[self.partition..], at.table, at.key) {
            return;
        }
        self.last = None;
        self.key.truncate(self.partition);
        address::row_suffix(at.table, at.key, self.key);
    }

    /// What stood at a row, or at its lease, before the commit.
    pub(super) fn before(&mut self, space: Space, at: RowAt<'_>) -> Stands<'a> {
        self.address(at);
        let stands = match self.last {
            Some((same, stands)) if same == space => stands,
            _ => self.state.at(space, self.key),
        };
        self.last = Some((space, stands));
        let stands = stands?;
        self.seen = self.seen.max(Some(stands.version));
        stands.bytes.map(|bytes| (stands.version, bytes))
    }

    /// What the operations so far left there. [`Evaluation::key`] is its stored key afterwards.
    pub(super) fn current(&mut self, space: Space, at: RowAt<'_>) -> Option<Cow<'a, [u8]>> {
        let before = self.before(space, at);
        match self.draft.find(space, self.key) {
            Some(drafted) => drafted.map(|bytes| Cow::Owned(bytes.to_vec())),
            None => before.map(|(_, bytes)| Cow::Borrowed(bytes)),
        }
    }

    pub(super) fn lease(&mut self, at: RowAt<'_>) -> Option<Lease> {
        self.before(spaces::LEASES, at).map(|(_, bytes)| Lease::decode(bytes))
    }

    /// The refusal with the row that it is about, if the commit wants to see it.
    pub(super) fn showing(&mut self, refusal: Refusal, at: RowAt<'_>) -> Refusal {
        if !self.commit.return_rows {
            return refusal;
        }
        let row = self.before(spaces::ROWS, at);
        refusal.showing(row.map(|(version, row)| Found { version, row }))
    }
}

pub(super) fn name(at: RowAt<'_>) -> String {
    format!("{}/{}", at.table, key::display(at.key))
}

pub(super) fn text(value: &ValueRef<'_>) -> String {
    value.to_value().to_string()
}

/// The borrowed form of what an operation on one value came to.
pub(super) fn borrowed(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Bool(yes) => ValueRef::Bool(*yes),
        Value::Int(number) => ValueRef::Int(*number),
        Value::Decimal { mantissa, scale } => ValueRef::Decimal { mantissa: *mantissa, scale: *scale },
        Value::Time(us) => ValueRef::Time(*us),
        Value::Text(text) => ValueRef::Text(text),
        Value::Bytes(bytes) => ValueRef::Bytes(bytes),
        Value::Set(_) => unreachable!("no operation on a set has a result"),
    }
}
