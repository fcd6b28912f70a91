//! COMMIT: checks and operations on one partition, all of them or none; and COMMIT_MANY.

use super::build::Commit;
use super::check::{Check, Checks};
use super::op::{self, Op, Ops};
use super::request_key::{Fingerprint, RequestKey};
use crate::glance::Glance;
use crate::key::{self, Key};
use crate::limits::{COMMIT_CHECKS_MAX, COMMIT_MAX, COMMIT_OPS_MAX, COMMITS_MAX, KEY_MAX};
use crate::list::{BadPiece, List, Piece};
use crate::refusal::Refusal;
use crate::wire::{Malformed, Reader, put_sized, put_varint};

/// Bits of a commit's options.
pub(super) const RETURN_ROWS: u8 = 1;
pub(super) const NAMES_ANOTHER: u8 = 2;

/// A COMMIT as a node sees it. It was checked whole, and nothing was allocated for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitRequest<'a> {
    /// What makes it happen once; without one it is done as often as it arrives.
    pub request_key: Option<RequestKey<'a>>,
    /// How many members must have the record durable, the leader included, if the shard's policy asks for fewer; 0
    /// leaves it to the policy.
    pub min_durability: u8,
    /// The bytes of the partition's key.
    pub partition: &'a [u8],
    /// Whether a rejection should show the row that a check or an operation failed on.
    pub return_rows: bool,
    /// What must hold.
    pub checks: Checks<'a>,
    /// What to do; never empty.
    pub ops: Ops<'a>,
    content: &'a [u8],
}

impl<'a> CommitRequest<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Result<CommitRequest<'a>, Refusal> {
        if payload.len() > COMMIT_MAX {
            return Err(Refusal::too_large("commit", COMMIT_MAX, payload.len() as u64));
        }
        let malformed = |malformed| Refusal::malformed("commit", malformed);
        let mut reader = Reader::new(payload);
        let (min_durability, request_key) = read_envelope(&mut reader).map_err(malformed)?;
        let content = reader.rest();
        let head = ContentHead::read(&mut reader).map_err(malformed)?;
        if let Some(other) = head.other {
            let [one, other] = [head.partition, other].map(|bytes| key::display(bytes).to_string());
            return Err(Refusal::cross_partition(one, other));
        }
        let checks: Checks<'a> =
            List::read(&mut reader, head.checks).map_err(|bad| refuse("commit.check", "check", bad))?;
        let ops: Ops<'a> =
            List::read(&mut reader, head.ops).map_err(|bad| refuse("commit.operation", "operation", bad))?;
        reader.end().map_err(malformed)?;
        if head.ops > 1 && !op::agree(&ops) {
            let (ordinal, row) = op::clash(&ops).unwrap_or_default();
            return Err(Refusal::row_twice(ordinal, row));
        }
        let ContentHead { partition, return_rows, .. } = head;
        Ok(CommitRequest { request_key, min_durability, partition, return_rows, checks, ops, content })
    }

    /// The same of a payload that was decoded before: nothing is judged again.
    fn reopen(payload: &'a [u8]) -> Result<CommitRequest<'a>, Malformed> {
        let mut reader = Reader::new(payload);
        let (min_durability, request_key) = read_envelope(&mut reader)?;
        let content = reader.rest();
        let ContentHead { partition, return_rows, checks, ops, .. } = ContentHead::read(&mut reader)?;
        let checks = List::reread(&mut reader, checks)?;
        let ops = List::trusted(ops, reader.rest());
        Ok(CommitRequest { request_key, min_durability, partition, return_rows, checks, ops, content })
    }

    /// What the request key stands for; see [`Fingerprint`].
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.content)
    }
}

/// What may differ between two attempts at the same commit: it stands in front of the content.
fn read_envelope<'a>(reader: &mut Reader<'a>) -> Result<(u8, Option<RequestKey<'a>>), Malformed> {
    Ok((reader.u8()?, RequestKey::read(reader)?))
}

/// The front of the content: everything but checks and operations.
struct ContentHead<'a> {
    partition: &'a [u8],
    /// Another partition that rows are said to be of.
    other: Option<&'a [u8]>,
    return_rows: bool,
    checks: usize,
    ops: usize,
}

impl<'a> ContentHead<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<ContentHead<'a>, Malformed> {
        let head = ContentHead::read_unchecked(reader)?;
        Key::check(head.partition)?;
        if let Some(other) = head.other {
            Key::check(other)?;
            if other == head.partition {
                return Err(Malformed::Unknown { what: "options", got: u64::from(NAMES_ANOTHER) });
            }
        }
        if head.ops == 0 { Err(Malformed::Empty) } else { Ok(head) }
    }

    fn read_unchecked(reader: &mut Reader<'a>) -> Result<ContentHead<'a>, Malformed> {
        let partition = reader.sized("partition", KEY_MAX)?;
        let options = reader.u8()?;
        if options & !(RETURN_ROWS | NAMES_ANOTHER) != 0 {
            return Err(Malformed::Unknown { what: "options", got: u64::from(options) });
        }
        let other = match options & NAMES_ANOTHER {
            0 => None,
            _ => Some(reader.sized("partition", KEY_MAX)?),
        };
        let checks = reader.count("checks", COMMIT_CHECKS_MAX)?;
        let ops = reader.count("operations", COMMIT_OPS_MAX)?;
        Ok(ContentHead { partition, other, return_rows: options & RETURN_ROWS != 0, checks, ops })
    }
}

/// What a payload is about that nobody has checked.
pub(crate) fn glance(payload: &[u8]) -> Result<Glance<'_>, Malformed> {
    let mut reader = Reader::new(payload);
    let (_, key) = read_envelope(&mut reader)?;
    let head = ContentHead::read_unchecked(&mut reader)?;
    let row = match head.checks {
        0 => Op::read(&mut reader)?.touches().map(|(row, _)| row),
        _ => Check::read(&mut reader)?.row(),
    };
    Ok(Glance { partition: head.partition, name: key.map(|key| key.name), row })
}

fn refuse(rule: &'static str, what: &str, bad: BadPiece) -> Refusal {
    let mut refusal = Refusal::malformed(rule, bad.malformed);
    refusal.reason.observed = format!("{what} {}: {}", bad.ordinal, refusal.reason.observed).into();
    refusal
}

/// One commit of a COMMIT_MANY: the payload of a COMMIT, delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Payload<'a>(&'a [u8]);

impl<'a> Piece<'a> for Payload<'a> {
    const WHAT: &'static str = "commits";

    fn read(reader: &mut Reader<'a>) -> Result<Payload<'a>, Malformed> {
        reader.sized("commit", COMMIT_MAX).map(Payload)
    }
}

/// A COMMIT_MANY as a node sees it: commits of any partitions, each decided and answered by itself, as if it had come
/// in a frame of its own whose correlation id is that of this frame plus its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitManyRequest<'a> {
    commits: List<'a, Payload<'a>>,
}

impl<'a> CommitManyRequest<'a> {
    /// How many there are; never 0.
    #[expect(clippy::len_without_is_empty, reason = "one without commits is refused")]
    pub fn len(&self) -> usize {
        self.commits.len()
    }

    /// The payload of each.
    pub fn payloads(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        self.commits.iter().map(|Payload(payload)| payload)
    }

    /// The payload of each, and what it says.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a [u8], CommitRequest<'a>)> + use<'a> {
        self.payloads()
            .map(|payload| (payload, CommitRequest::reopen(payload).expect("it was decoded when it arrived")))
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<CommitManyRequest<'a>, Refusal> {
        if payload.len() > COMMIT_MAX {
            return Err(Refusal::too_large("commit_many", COMMIT_MAX, payload.len() as u64));
        }
        let malformed = |malformed| Refusal::malformed("commit_many", malformed);
        let mut reader = Reader::new(payload);
        let commits: List<'a, Payload<'a>> =
            List::read_counted(&mut reader, COMMITS_MAX).map_err(malformed)?;
        reader.end().map_err(malformed)?;
        if commits.is_empty() {
            return Err(malformed(Malformed::Empty));
        }
        for (nth, Payload(payload)) in commits.iter().enumerate() {
            CommitRequest::decode(payload).map_err(|mut refusal| {
                refusal.reason.observed = format!("commit {nth}: {}", refusal.reason.observed).into();
                refusal
            })?;
        }
        Ok(CommitManyRequest { commits })
    }

    /// Appends the payload, unchecked.
    pub(crate) fn encode(out: &mut Vec<u8>, commits: &[Commit]) {
        put_varint(out, commits.len() as u64);
        let mut payload = Vec::new();
        for commit in commits {
            payload.clear();
            commit.encode(&mut payload);
            put_sized(out, &payload);
        }
    }
}

/// What a commit without a frame of its own asks for: for whoever kept its payload.
pub fn decode_commit(payload: &[u8]) -> Result<CommitRequest<'_>, Refusal> {
    CommitRequest::decode(payload)
}
