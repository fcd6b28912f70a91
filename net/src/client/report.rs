//! What a node knows of itself, of its shards, and of a request.

use super::answer::{Failure, Result, unexpected};
use super::settle::SentKey;
use super::{Client, Error};
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

impl Client {
    /// How the node or a shard is.
    pub fn status(&mut self, about: About) -> Result<Report> {
        self.report(Opcode::Status, about.subject())
    }

    /// The same, with what it rests on and why.
    pub fn explain(&mut self, about: About) -> Result<Report> {
        self.report(Opcode::Explain, about.subject())
    }

    /// What is known of a commit, and of the shard that decides it. Nothing becomes final by asking.
    pub fn trace(&mut self, partition: impl Into<Key>, key: &SentKey) -> Result<Report> {
        let partition = partition.into();
        let request_key = RequestKey { name: key.name(), first_sent_us: key.first_sent_us().unwrap_or(0) };
        self.report(Opcode::Trace, Subject::Request { partition: partition.as_bytes(), request_key })
    }

    /// The shards of the partition map, in the order of their hashes.
    pub fn shards(&mut self) -> Result<Vec<ShardId>> {
        Ok(self.parts()?.into_iter().map(|(_, shard)| shard).collect())
    }

    /// The shard that owns a partition.
    pub fn shard_of(&mut self, partition: impl Into<Key>) -> Result<ShardId> {
        let hash = partition_hash(DEFAULT_NAMESPACE, partition.into().as_bytes());
        let parts = self.parts()?;
        let owner = parts.iter().rev().find(|(first, _)| *first <= hash).map(|(_, shard)| *shard);
        owner.ok_or_else(|| {
            let refusal = Refusal::bad_frame("map", "a map of the whole hash space", "a map without parts");
            Error::Protocol(Box::new(refusal))
        })
    }

    fn parts(&mut self) -> Result<Vec<(u64, ShardId)>> {
        let get = MapRequest { known: Generation::ANY };
        self.ask(
            Opcode::GetMap,
            |payload| get.encode(payload),
            |reply| match &reply.body {
                Body::Map(parts) => Ok(parts.iter().map(|part| (part.first_hash, part.shard)).collect()),
                _ => Err(unexpected(reply)),
            },
        )
    }

    fn report(&mut self, opcode: Opcode, subject: Subject<'_>) -> Result<Report> {
        self.ask(opcode, |payload| subject.encode(payload), report)
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
