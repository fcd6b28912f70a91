//! COMMIT: operations on rows of one partition, all of them or none.

use crate::address::RowRef;
use crate::key::Key;
use crate::limits::{COMMIT_MAX, COMMIT_OPS_MAX, KEY_MAX, ROW_MAX};
use crate::refusal::Refusal;
use crate::row::{self, Row};
use crate::value::Value;
use crate::wire::{Malformed, Reader, put_sized, put_varint};

/// The number of each operation in a payload.
mod kind {
    pub(super) const PUT: u8 = 1;
    pub(super) const DELETE: u8 = 2;
}

/// One operation on one row. The only list of operations: whoever handles them matches all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// The row is this from now on.
    Put {
        /// Its table.
        table: &'a str,
        /// The bytes of its key.
        row_key: &'a [u8],
        /// The bytes of the row, checked by [`row::check`].
        row: &'a [u8],
    },
    /// There is no such row from now on, whether there was one or not.
    Delete {
        /// Its table.
        table: &'a str,
        /// The bytes of its key.
        row_key: &'a [u8],
    },
}

impl<'a> Op<'a> {
    /// The table of the row.
    pub fn table(&self) -> &'a str {
        match *self {
            Op::Put { table, .. } | Op::Delete { table, .. } => table,
        }
    }

    /// The bytes of the row's key.
    pub fn row_key(&self) -> &'a [u8] {
        match *self {
            Op::Put { row_key, .. } | Op::Delete { row_key, .. } => row_key,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self {
            Op::Put { .. } => kind::PUT,
            Op::Delete { .. } => kind::DELETE,
        };
        out.push(kind);
        put_sized(out, self.table().as_bytes());
        put_sized(out, self.row_key());
        match self {
            Op::Put { row, .. } => put_sized(out, row),
            Op::Delete { .. } => {}
        }
    }

    /// Reads one operation, delimited but with its key and row still unchecked.
    fn read(reader: &mut Reader<'a>) -> Result<Op<'a>, Malformed> {
        let kind = reader.u8()?;
        let table = reader.name()?;
        let row_key = reader.sized("row key", KEY_MAX)?;
        match kind {
            kind::PUT => Ok(Op::Put { table, row_key, row: reader.sized("row", ROW_MAX)? }),
            kind::DELETE => Ok(Op::Delete { table, row_key }),
            got => Err(Malformed::Unknown { what: "operation", got: u64::from(got) }),
        }
    }

    fn check(&self) -> Result<(), Malformed> {
        Key::check(self.row_key())?;
        match self {
            Op::Put { row, .. } => row::check(row),
            Op::Delete { .. } => Ok(()),
        }
    }
}

/// The operations of a commit, in their order. They were checked whole, so reading them cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ops<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Ops<'a> {
    /// How many there are; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a commit without operations is refused")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Reads them one by one.
    pub fn iter(&self) -> OpsIter<'a> {
        OpsIter { left: self.count, reader: Reader::new(self.bytes) }
    }

    fn check(count: usize, bytes: &'a [u8]) -> Result<Ops<'a>, Refusal> {
        let mut reader = Reader::new(bytes);
        for ordinal in 0..count {
            let op = Op::read(&mut reader).and_then(|op| op.check());
            op.map_err(|malformed| in_operation(ordinal, malformed))?;
        }
        reader.end().map_err(|malformed| Refusal::malformed("commit", malformed))?;
        let ops = Ops { count, bytes };
        if count > 1 && ops.touch_a_row_twice() {
            return Err(Refusal::bad_frame(
                "commit.rows",
                "each row at most once",
                "a row stands there twice",
            ));
        }
        Ok(ops)
    }

    fn touch_a_row_twice(&self) -> bool {
        let mut rows = [("", &[][..]); COMMIT_OPS_MAX];
        let touched = &mut rows[..self.count];
        touched.iter_mut().zip(self.iter()).for_each(|(row, op)| *row = (op.table(), op.row_key()));
        touched.sort_unstable();
        !touched.is_sorted_by(|a, b| a < b)
    }
}

impl<'a> IntoIterator for Ops<'a> {
    type Item = Op<'a>;
    type IntoIter = OpsIter<'a>;

    fn into_iter(self) -> OpsIter<'a> {
        self.iter()
    }
}

/// See [`Ops::iter`].
#[derive(Clone, Debug)]
pub struct OpsIter<'a> {
    left: usize,
    reader: Reader<'a>,
}

impl<'a> Iterator for OpsIter<'a> {
    type Item = Op<'a>;

    fn next(&mut self) -> Option<Op<'a>> {
        self.left = self.left.checked_sub(1)?;
        let op = Op::read(&mut self.reader);
        debug_assert!(op.is_ok(), "the operations were checked");
        op.ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for OpsIter<'_> {}

fn in_operation(ordinal: usize, malformed: Malformed) -> Refusal {
    let mut refusal = Refusal::malformed("commit.operation", malformed);
    refusal.reason.observed = format!("operation {ordinal}: {}", refusal.reason.observed).into();
    refusal
}

/// A COMMIT as a node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitRequest<'a> {
    /// The bytes of the partition's key.
    pub partition: &'a [u8],
    /// What to do.
    pub ops: Ops<'a>,
}

impl<'a> CommitRequest<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Result<CommitRequest<'a>, Refusal> {
        if payload.len() > COMMIT_MAX {
            return Err(Refusal::too_large("commit", COMMIT_MAX, payload.len() as u64));
        }
        let mut reader = Reader::new(payload);
        let (partition, count) =
            read_head(&mut reader).map_err(|malformed| Refusal::malformed("commit", malformed))?;
        Ok(CommitRequest { partition, ops: Ops::check(count, reader.rest())? })
    }
}

/// The partition, the number of checks (none can be read yet) and the number of operations.
fn read_head<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], usize), Malformed> {
    let partition = reader.sized("partition", KEY_MAX)?;
    Key::check(partition)?;
    match reader.varint()? {
        0 => {}
        got => return Err(Malformed::Unknown { what: "number of checks", got }),
    }
    match reader.count("operations", COMMIT_OPS_MAX)? {
        0 => Err(Malformed::Empty),
        count => Ok((partition, count)),
    }
}

/// A COMMIT as a caller builds it.
///
/// ```
/// use seawall::{Commit, row};
///
/// let commit = Commit::new("HP-2026-07-14")
///     .put(&row("cabin", "C14"), [("state", "held")])
///     .delete(&row("waitlist", 7));
/// assert!(commit.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    partition: Key,
    count: usize,
    ops: Vec<u8>,
}

impl Commit {
    /// Nothing yet, in `partition`: the scope of what must hold together.
    pub fn new(partition: impl Into<Key>) -> Commit {
        Commit { partition: partition.into(), count: 0, ops: Vec::new() }
    }

    /// Replaces the row, all of it.
    pub fn put<N: Into<String>, V: Into<Value>>(
        self,
        row: &RowRef,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Commit {
        let mut bytes = Vec::new();
        fields.into_iter().collect::<Row>().encode(&mut bytes);
        self.push(&Op::Put { table: &row.table, row_key: row.key.as_bytes(), row: &bytes })
    }

    /// Removes the row.
    pub fn delete(self, row: &RowRef) -> Commit {
        self.push(&Op::Delete { table: &row.table, row_key: row.key.as_bytes() })
    }

    /// The scope of the commit.
    pub fn partition(&self) -> &Key {
        &self.partition
    }

    /// Whether a node would read it. The very code that a node runs decides, so the refusals are the same.
    pub fn check(&self) -> Result<(), Refusal> {
        let mut payload = Vec::new();
        self.encode(&mut payload);
        CommitRequest::decode(&payload).map(drop)
    }

    /// Appends the payload, unchecked.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_sized(out, self.partition.as_bytes());
        put_varint(out, 0);
        put_varint(out, self.count as u64);
        out.extend_from_slice(&self.ops);
    }

    fn push(mut self, op: &Op<'_>) -> Commit {
        op.encode(&mut self.ops);
        self.count += 1;
        self
    }
}
