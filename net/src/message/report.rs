//! STATUS, EXPLAIN and TRACE: what a node knows, each fact by its name, and what it does not know.

use super::read::read_partition;
use super::request_key::RequestKey;
use crate::limits::FACT_MAX;
use crate::list::{List, Piece};
use crate::map::ShardId;
use crate::refusal::Refusal;
use crate::wire::{Malformed, Reader, put_sized};

/// The number of each subject.
mod subject {
    pub(super) const NODE: u8 = 0;
    pub(super) const SHARD: u8 = 1;
    pub(super) const REQUEST: u8 = 2;
}

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The node.
    Node,
    /// One of its shards.
    Shard(ShardId),
    /// A commit that was sent under a request key.
    Request {
        /// The bytes of the partition's key.
        partition: &'a [u8],
        /// As it was sent.
        request_key: RequestKey<'a>,
    },
}

impl<'a> Subject<'a> {
    /// Appends the payload, unchecked.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Subject::Node => out.push(subject::NODE),
            Subject::Shard(shard) => {
                out.push(subject::SHARD);
                out.extend_from_slice(&shard.0.to_le_bytes());
            }
            Subject::Request { partition, request_key } => {
                out.push(subject::REQUEST);
                put_sized(out, partition);
                RequestKey::encode(Some(request_key), out);
            }
        }
    }

    pub(crate) fn decode(payload: &'a [u8], rule: &'static str) -> Result<Subject<'a>, Refusal> {
        let read = || {
            let mut reader = Reader::new(payload);
            let subject = match reader.u8()? {
                subject::NODE => Subject::Node,
                subject::SHARD => Subject::Shard(ShardId(reader.u32()?)),
                subject::REQUEST => Subject::Request {
                    partition: read_partition(&mut reader)?,
                    request_key: RequestKey::read_some(&mut reader)?,
                },
                got => return Err(Malformed::Unknown { what: "subject", got: u64::from(got) }),
            };
            reader.end()?;
            Ok(subject)
        };
        read().map_err(|malformed| Refusal::malformed(rule, malformed))
    }
}

/// What stands in front of each fact; 0 ends them.
mod kind {
    pub(super) const KNOWN: u8 = 1;
    pub(super) const UNKNOWN: u8 = 2;
}

/// One thing that is known, or is known to be unknown: nothing is guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact<'a> {
    /// What it is about, with dots between its levels: `log.durable_index`.
    pub name: &'a str,
    /// What is known, or why nothing is.
    pub value: Result<&'a str, &'a str>,
}

impl<'a> Piece<'a> for Fact<'a> {
    const WHAT: &'static str = "facts";

    fn read(reader: &mut Reader<'a>) -> Result<Fact<'a>, Malformed> {
        let kind = reader.u8()?;
        let name = reader.name()?;
        let text = reader.text("value of a fact", FACT_MAX)?;
        let value = match kind {
            kind::KNOWN => Ok(text),
            kind::UNKNOWN => Err(text),
            got => return Err(Malformed::Unknown { what: "kind of fact", got: u64::from(got) }),
        };
        Ok(Fact { name, value })
    }
}

/// The answer to STATUS, EXPLAIN and TRACE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    /// Whether every fact is known.
    pub complete: bool,
    /// In the order of the node.
    pub facts: List<'a, Fact<'a>>,
}

impl<'a> Report<'a> {
    /// Appends facts as they come; a value that is too long is cut. The report is complete if all of them are known.
    ///
    /// # Panics
    /// When a name is no name: names are the node's own.
    pub(crate) fn encode<'f>(out: &mut Vec<u8>, facts: impl IntoIterator<Item = Fact<'f>>) {
        let complete_at = out.len();
        out.push(1);
        for Fact { name, value } in facts {
            assert!(crate::check_name(name).is_ok(), "{name:?} is no name of a fact");
            let (kind, text) = match value {
                Ok(text) => (kind::KNOWN, text),
                Err(why) => (kind::UNKNOWN, why),
            };
            out[complete_at] &= u8::from(kind == kind::KNOWN);
            out.push(kind);
            put_sized(out, name.as_bytes());
            let cut = text.get(..text.floor_char_boundary(FACT_MAX)).unwrap_or_default();
            put_sized(out, cut.as_bytes());
        }
        out.push(0);
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Report<'a>, Malformed> {
        let complete = match reader.u8()? {
            0 => false,
            1 => true,
            got => return Err(Malformed::Unknown { what: "completeness", got: u64::from(got) }),
        };
        let facts: List<'a, Fact<'a>> = List::read_ended(reader)?;
        if facts.iter().all(|fact| fact.value.is_ok()) != complete {
            return Err(Malformed::Unknown { what: "completeness", got: u64::from(complete) });
        }
        Ok(Report { complete, facts })
    }
}
