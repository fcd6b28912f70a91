//! What the clients asked and what they were told, in the order of the whole world.
//!
//! A *moment* counts everything that happens in a run; "before" between two operations is a matter of moments, not
//! of virtual time, so that two things of one microsecond are still ordered.

use std::collections::BTreeMap;

use seawall::map::ShardId;

/// (epoch, index), in the order of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub epoch: u64,
    pub index: u64,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}, {})", self.epoch, self.index)
    }
}

/// One row that a commit writes; `None` deletes it. The key is the stored one, the value the row's bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub enum Ask {
    Commit(Vec<Change>),
    Get { key: Vec<u8> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No reply came, or one that says `unknown`: it may have happened or may still happen.
    Unknown,
    /// Refused with the outcome `none`: it never happens.
    Refused,
    Committed(At),
    /// What a read saw, as of a position: the row's version and bytes, or its absence.
    Read {
        as_of: At,
        row: Option<(At, Vec<u8>)>,
    },
}

#[derive(Clone, Debug)]
pub struct Operation {
    pub client: usize,
    pub shard: ShardId,
    pub ask: Ask,
    pub invoked: u64,
    /// The moment of the reply, or of the loss of the connection.
    pub answered: Option<u64>,
    /// Counts the processes; the one that answered.
    pub life: u32,
    pub answer: Answer,
    pub must: Must,
}

/// How new what an operation sees must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Must {
    /// As new as anything that was answered before.
    Newest,
    /// A session's: not before this position.
    NotBefore(At),
    /// Everything that was answered up to this moment.
    SeeAllUntil(u64),
    /// A session's whose record was lost: in this history it has no answer.
    NotBeAnswered,
}

impl Operation {
    /// The position that the reply named.
    pub fn position(&self) -> Option<At> {
        match &self.answer {
            Answer::Committed(at) | Answer::Read { as_of: at, .. } => Some(*at),
            Answer::Unknown | Answer::Refused => None,
        }
    }
}

#[derive(Debug, Default)]
pub struct History {
    pub operations: Vec<Operation>,
    /// When the write that holds an operation's mark was first reported durable, and to which process.
    pub durable: BTreeMap<u64, (u64, u32)>,
    /// When a process first heard of an error of a log.
    pub failed: BTreeMap<(ShardId, u32), u64>,
    /// Tokens that were called lost, and as of which position.
    pub called_lost: Vec<(ShardId, At, At)>,
    /// The newest moment at each virtual time at which something was answered.
    pub moments: BTreeMap<u64, u64>,
}

/// Stands in every value, before the number of its operation, so that a write on its way to the disk shows which
/// commits it carries without anybody decoding it.
const MARK: [u8; 8] = *b"\xf7mark\xc1op";

/// The bytes that name operation `number` wherever they pass.
pub fn mark(number: u64) -> Vec<u8> {
    [MARK, number.to_le_bytes()].concat()
}

/// The operations whose marks stand in `bytes`.
pub fn marks(bytes: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == MARK[0]) {
        rest = &rest[at..];
        let number = rest.get(MARK.len()..MARK.len() + 8).and_then(|number| number.try_into().ok());
        if let Some(number) = number.filter(|_| rest.starts_with(&MARK)) {
            found.push(u64::from_le_bytes(number));
        }
        rest = &rest[1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{mark, marks};

    #[test]
    fn marks_are_found_wherever_they_stand() {
        let bytes = [vec![0xf7; 9], mark(3), vec![1, 2], mark(0xf7f7), mark(9)[..12].to_vec()].concat();
        assert_eq!(marks(&bytes), [3, 0xf7f7]);
    }
}
