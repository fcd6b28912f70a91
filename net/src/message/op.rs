//! The operations of a commit: what is done, in this order, if every check holds. The only list of operations:
//! whoever handles them matches all of them.

use super::term::{Bound, RowAt, Ttl, number};
use crate::key::Key;
use crate::limits::{COMMIT_OPS_MAX, EVENT_MAX, ROW_MAX, STREAM_KEY_MAX};
use crate::list::{List, Piece};
use crate::position::Position;
use crate::row;
use crate::value::{Members, ValueRef};
use crate::wire::{Malformed, Reader, put_sized};

/// The number of each operation in a payload.
mod kind {
    pub(super) const PUT: u8 = 1;
    pub(super) const DELETE: u8 = 2;
    pub(super) const MERGE: u8 = 3;
    pub(super) const ADD: u8 = 4;
    pub(super) const MAX: u8 = 5;
    pub(super) const MIN: u8 = 6;
    pub(super) const SET_ADD: u8 = 7;
    pub(super) const SET_REMOVE: u8 = 8;
    pub(super) const APPEND: u8 = 9;
    pub(super) const LEASE_ACQUIRE: u8 = 10;
    pub(super) const LEASE_RENEW: u8 = 11;
    pub(super) const LEASE_RELEASE: u8 = 12;
    pub(super) const EVENT: u8 = 13;
}

/// One operation. Those that change a field of a row that is not there make the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// The row is this from now on.
    Put {
        /// Which.
        at: RowAt<'a>,
        /// The bytes of the row, checked by [`row::check`].
        row: &'a [u8],
        /// How long it lives; `None`: as long as its table says, or for ever.
        ttl: Option<Ttl>,
    },
    /// There is no such row from now on, whether there was one or not.
    Delete {
        /// Which.
        at: RowAt<'a>,
    },
    /// Sets the fields that stand in `fields`; others stay as they are.
    Merge {
        /// Which row.
        at: RowAt<'a>,
        /// The bytes of a row that holds them, checked by [`row::check`]; at least one.
        fields: &'a [u8],
    },
    /// Adds to a number; an absent field counts as 0. The sum is the operation's result.
    Add {
        /// Which row.
        at: RowAt<'a>,
        /// Which field.
        field: &'a str,
        /// An int or a decimal.
        delta: ValueRef<'a>,
        /// The sum may not be below it.
        floor: Option<Bound<'a>>,
        /// The sum may not be above it.
        ceiling: Option<Bound<'a>>,
    },
    /// Sets a field that is absent or below this value. What the field holds then is the operation's result.
    Max {
        /// Which row.
        at: RowAt<'a>,
        /// Which field.
        field: &'a str,
        /// No set.
        value: ValueRef<'a>,
    },
    /// Sets a field that is absent or above this value. What the field holds then is the operation's result.
    Min {
        /// Which row.
        at: RowAt<'a>,
        /// Which field.
        field: &'a str,
        /// No set.
        value: ValueRef<'a>,
    },
    /// Adds members to a set; an absent field counts as an empty one.
    SetAdd {
        /// Which row.
        at: RowAt<'a>,
        /// Which field.
        field: &'a str,
        /// At least one.
        members: Members<'a>,
    },
    /// Removes members from a set; those that are not in it are no error.
    SetRemove {
        /// Which row.
        at: RowAt<'a>,
        /// Which field.
        field: &'a str,
        /// At least one.
        members: Members<'a>,
    },
    /// Puts a row behind the last one of a stream: its key is the stream's key with the next sequence as one part
    /// more (see [`sequence_key`](crate::key::sequence_key)). The first sequence is 1; it is the operation's result.
    Append {
        /// The table, and the key of the stream.
        stream: RowAt<'a>,
        /// The bytes of the row, checked by [`row::check`].
        row: &'a [u8],
    },
    /// Takes the lease of a row, which need not be there; nobody may hold it. The fencing token is the commit's
    /// position.
    LeaseAcquire {
        /// Whose lease.
        at: RowAt<'a>,
        /// From the commit's time on.
        ttl: Ttl,
    },
    /// Prolongs a lease that is held; its token stays.
    LeaseRenew {
        /// Whose lease.
        at: RowAt<'a>,
        /// The position of the commit that acquired it.
        token: Position,
        /// From the commit's time on.
        ttl: Ttl,
    },
    /// Gives a lease that is held back.
    LeaseRelease {
        /// Whose lease.
        at: RowAt<'a>,
        /// The position of the commit that acquired it.
        token: Position,
    },
    /// Tells whoever watches.
    Event {
        /// A name.
        topic: &'a str,
        /// Anything.
        payload: &'a [u8],
    },
}

/// How an operation uses its row; a row may be used in one way, and its lease beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touch {
    /// The row as a whole: nothing else in the commit may change it.
    Whole,
    /// One of its fields: others may follow, and each sees what those before it did.
    Field,
    /// Its lease, which is no part of the row.
    Lease,
}

impl<'a> Op<'a> {
    /// The name, as documents and people write it.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Put { .. } => "PUT",
            Op::Delete { .. } => "DELETE",
            Op::Merge { .. } => "MERGE",
            Op::Add { .. } => "ADD",
            Op::Max { .. } => "MAX",
            Op::Min { .. } => "MIN",
            Op::SetAdd { .. } => "SET_ADD",
            Op::SetRemove { .. } => "SET_REMOVE",
            Op::Append { .. } => "APPEND",
            Op::LeaseAcquire { .. } => "LEASE_ACQUIRE",
            Op::LeaseRenew { .. } => "LEASE_RENEW",
            Op::LeaseRelease { .. } => "LEASE_RELEASE",
            Op::Event { .. } => "EVENT",
        }
    }

    /// The row that it names and how it uses it; `None` for those whose row nobody else can name: APPEND and EVENT.
    pub fn touches(&self) -> Option<(RowAt<'a>, Touch)> {
        match *self {
            Op::Put { at, .. } | Op::Delete { at } => Some((at, Touch::Whole)),
            Op::Merge { at, .. }
            | Op::Add { at, .. }
            | Op::Max { at, .. }
            | Op::Min { at, .. }
            | Op::SetAdd { at, .. }
            | Op::SetRemove { at, .. } => Some((at, Touch::Field)),
            Op::LeaseAcquire { at, .. } | Op::LeaseRenew { at, .. } | Op::LeaseRelease { at, .. } => {
                Some((at, Touch::Lease))
            }
            Op::Append { .. } | Op::Event { .. } => None,
        }
    }

    fn number(&self) -> u8 {
        match self {
            Op::Put { .. } => kind::PUT,
            Op::Delete { .. } => kind::DELETE,
            Op::Merge { .. } => kind::MERGE,
            Op::Add { .. } => kind::ADD,
            Op::Max { .. } => kind::MAX,
            Op::Min { .. } => kind::MIN,
            Op::SetAdd { .. } => kind::SET_ADD,
            Op::SetRemove { .. } => kind::SET_REMOVE,
            Op::Append { .. } => kind::APPEND,
            Op::LeaseAcquire { .. } => kind::LEASE_ACQUIRE,
            Op::LeaseRenew { .. } => kind::LEASE_RENEW,
            Op::LeaseRelease { .. } => kind::LEASE_RELEASE,
            Op::Event { .. } => kind::EVENT,
        }
    }

    /// Appends the bytes, unchecked.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.number());
        match self {
            Op::Event { topic, .. } => put_sized(out, topic.as_bytes()),
            Op::Append { stream, .. } => stream.encode(out),
            _ => self.touches().iter().for_each(|(row, _)| row.encode(out)),
        }
        match self {
            Op::Put { row, ttl, .. } => {
                Ttl::encode(*ttl, out);
                put_sized(out, row);
            }
            Op::Delete { .. } => {}
            Op::Merge { fields: row, .. } | Op::Append { row, .. } => put_sized(out, row),
            Op::Add { field, delta, floor, ceiling, .. } => {
                put_sized(out, field.as_bytes());
                delta.encode(out);
                Bound::encode(floor.as_ref(), out);
                Bound::encode(ceiling.as_ref(), out);
            }
            Op::Max { field, value, .. } | Op::Min { field, value, .. } => {
                put_sized(out, field.as_bytes());
                value.encode(out);
            }
            Op::SetAdd { field, members, .. } | Op::SetRemove { field, members, .. } => {
                put_sized(out, field.as_bytes());
                members.encode(out);
            }
            Op::LeaseAcquire { ttl, .. } => Ttl::encode(Some(*ttl), out),
            Op::LeaseRenew { token, ttl, .. } => {
                token.encode(out);
                Ttl::encode(Some(*ttl), out);
            }
            Op::LeaseRelease { token, .. } => token.encode(out),
            Op::Event { payload, .. } => put_sized(out, payload),
        }
    }

    fn read_of(kind: u8, reader: &mut Reader<'a>) -> Result<Op<'a>, Malformed> {
        if kind == kind::EVENT {
            return Ok(Op::Event { topic: reader.name()?, payload: reader.sized("event", EVENT_MAX)? });
        }
        if !(kind::PUT..=kind::EVENT).contains(&kind) {
            return Err(Malformed::Unknown { what: "operation", got: u64::from(kind) });
        }
        let at = RowAt::read(reader)?;
        let row = |reader: &mut Reader<'a>| reader.sized("row", ROW_MAX);
        let held = |reader: &mut Reader<'a>| Ttl::read(reader)?.ok_or(Malformed::Empty);
        Ok(match kind {
            kind::PUT => {
                let ttl = Ttl::read(reader)?;
                Op::Put { at, row: row(reader)?, ttl }
            }
            kind::DELETE => Op::Delete { at },
            kind::MERGE => Op::Merge { at, fields: row(reader)? },
            kind::ADD => Op::Add {
                at,
                field: reader.name()?,
                delta: ValueRef::read(reader)?,
                floor: Bound::read(reader)?,
                ceiling: Bound::read(reader)?,
            },
            kind::MAX => Op::Max { at, field: reader.name()?, value: ValueRef::read(reader)? },
            kind::MIN => Op::Min { at, field: reader.name()?, value: ValueRef::read(reader)? },
            kind::SET_ADD => Op::SetAdd { at, field: reader.name()?, members: Members::read(reader)? },
            kind::SET_REMOVE => Op::SetRemove { at, field: reader.name()?, members: Members::read(reader)? },
            kind::APPEND => Op::Append { stream: at, row: row(reader)? },
            kind::LEASE_ACQUIRE => Op::LeaseAcquire { at, ttl: held(reader)? },
            kind::LEASE_RENEW => Op::LeaseRenew { at, token: Position::read(reader)?, ttl: held(reader)? },
            _ => Op::LeaseRelease { at, token: Position::read(reader)? },
        })
    }
}

impl<'a> Piece<'a> for Op<'a> {
    const WHAT: &'static str = "operations";

    fn read(reader: &mut Reader<'a>) -> Result<Op<'a>, Malformed> {
        let kind = reader.u8()?;
        Op::read_of(kind, reader)
    }

    fn check(&self) -> Result<(), Malformed> {
        if let Some((at, _)) = self.touches() {
            at.check()?;
        }
        match self {
            Op::Put { row, .. } => row::check(row),
            Op::Merge { fields, .. } => match row::Fields::open(fields)?.len() {
                0 => Err(Malformed::Empty),
                _ => row::check(fields),
            },
            Op::Add { delta, floor, ceiling, .. } => {
                number(delta)?;
                [floor, ceiling].into_iter().flatten().try_for_each(Bound::check)
            }
            Op::Max { value, .. } | Op::Min { value, .. } => match value {
                ValueRef::Set(_) => {
                    Err(Malformed::Unknown { what: "kind that is ordered", got: u64::from(value.kind()) })
                }
                _ => Ok(()),
            },
            Op::SetAdd { members, .. } | Op::SetRemove { members, .. } if members.is_empty() => {
                Err(Malformed::Empty)
            }
            Op::Append { stream, row } => {
                Key::check(stream.key)?;
                if stream.key.len() > STREAM_KEY_MAX {
                    let len = stream.key.len() as u64;
                    return Err(Malformed::TooLong { what: "key of a stream", limit: STREAM_KEY_MAX, len });
                }
                row::check(row)
            }
            Op::Delete { .. }
            | Op::SetAdd { .. }
            | Op::SetRemove { .. }
            | Op::LeaseAcquire { .. }
            | Op::LeaseRenew { .. }
            | Op::LeaseRelease { .. }
            | Op::Event { .. } => Ok(()),
        }
    }
}

/// The operations of a commit, in their order; there is at least one.
pub type Ops<'a> = List<'a, Op<'a>>;

/// The operation that uses a row in another way than one before it, and the row: where they do not [`agree`].
pub(crate) fn clash(ops: &Ops<'_>) -> Option<(usize, String)> {
    let touched = ops.iter().enumerate().filter_map(|(nth, op)| op.touches().map(|at| (at, nth)));
    let mut touched: Vec<((RowAt<'_>, Touch), usize)> = touched.collect();
    touched.sort_unstable();
    let mut pairs = touched.iter().zip(touched.iter().skip(1));
    let clash =
        pairs.find(|(((row, touch), _), ((next, next_touch), _))| !together(row, *touch, next, *next_touch));
    clash.map(|(((row, _), one), (_, other))| {
        (*one.max(other), format!("{}/{}", row.table, crate::key::display(row.key)))
    })
}

fn together(row: &RowAt<'_>, touch: Touch, next: &RowAt<'_>, next_touch: Touch) -> bool {
    row != next
        || matches!((touch, next_touch), (Touch::Field, Touch::Field))
        || (touch != Touch::Lease && next_touch == Touch::Lease)
}

/// Whether no row is used in two ways: as a whole and otherwise, or its lease twice.
pub(crate) fn agree(ops: &Ops<'_>) -> bool {
    let mut rows = [(RowAt { table: "", key: &[] }, Touch::Whole); COMMIT_OPS_MAX];
    let mut count = 0;
    for (slot, touched) in rows.iter_mut().zip(ops.iter().filter_map(|op| op.touches())) {
        *slot = touched;
        count += 1;
    }
    let touched = rows.get_mut(..count).unwrap_or_default();
    touched.sort_unstable();
    touched.is_sorted_by(|(row, touch), (next, next_touch)| together(row, *touch, next, *next_touch))
}
