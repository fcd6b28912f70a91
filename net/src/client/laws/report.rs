//! What a node knows of itself, of its shards, and of a request.

use super::answer::{Error, Failure, Result, unexpected};
use super::ask::Ask;
use super::settle::SentKey;
use crate::address::{DEFAULT_NAMESPACE, partition_hash};
use crate::key::Key;
use crate::map::{Generation, ShardId};
use crate::message::report::{Report as WireReport, Subject};
use crate::message::route::MapRequest;
use crate::message::{Opcode, RequestKey};
use crate::refusal::Refusal;
use crate::reply::{Body, Reply};

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The node.
    Node,
    /// One of its shards.
    Shard(ShardId),
}

/// Facts, each known or known to be unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether every fact is known.
    pub complete: bool,
    /// In the order of the node; a name may stand there more than once.
    pub facts: Vec<Fact>,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is about: `log.durable_index`.
    pub name: String,
    /// What is known, or why nothing is.
    pub value: std::result::Result<String, String>,
}

impl About {
    fn subject(self) -> Subject<'static> {
        match self {
            About::Node => Subject::Node,
            About::Shard(shard) => Subject::Shard(shard),
        }
    }
}

/// STATUS, or EXPLAIN.
pub(crate) fn about(opcode: Opcode, about: About) -> Ask<impl Fn(&mut Vec<u8>), Report> {
    let subject = about.subject();
    Ask::new(opcode, move |payload| subject.encode(payload), report)
}

pub(crate) fn trace<'a>(partition: &'a Key, key: &'a SentKey) -> Ask<impl Fn(&mut Vec<u8>), Report> {
    let request_key = RequestKey { name: key.name(), first_sent_us: key.first_sent_us().unwrap_or(0) };
    let subject = Subject::Request { partition: partition.as_bytes(), request_key };
    Ask::new(Opcode::Trace, move |payload| subject.encode(payload), report)
}

/// The parts of the partition map: the first hash of each, and its shard, in the order of the hashes.
pub(crate) type Parts = Vec<(u64, ShardId)>;

pub(crate) fn map() -> Ask<impl Fn(&mut Vec<u8>), Parts> {
    let get = MapRequest { known: Generation::ANY };
    Ask::new(Opcode::GetMap, move |payload| get.encode(payload), parts)
}

/// Who owns a partition.
pub(crate) fn owner(parts: &Parts, partition: &Key) -> Result<ShardId> {
    let hash = partition_hash(DEFAULT_NAMESPACE, partition.as_bytes());
    let owner = parts.iter().rev().find(|(first, _)| *first <= hash).map(|(_, shard)| *shard);
    owner.ok_or_else(|| {
        let refusal = Refusal::bad_frame("map", "a map of the whole hash space", "a map without parts");
        Error::Protocol(Box::new(refusal))
    })
}

fn parts(reply: &Reply<'_>) -> std::result::Result<Parts, Failure> {
    match &reply.body {
        Body::Map(parts) => Ok(parts.iter().map(|part| (part.first_hash, part.shard)).collect()),
        _ => Err(unexpected(reply)),
    }
}

fn report(reply: &Reply<'_>) -> std::result::Result<Report, Failure> {
    let Body::Report(WireReport { complete, facts }) = &reply.body else {
        return Err(unexpected(reply));
    };
    let facts = facts.iter().map(|fact| Fact {
        name: fact.name.to_owned(),
        value: fact.value.map(str::to_owned).map_err(str::to_owned),
    });
    Ok(Report { complete: *complete, facts: facts.collect() })
}
