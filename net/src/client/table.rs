//! What tables promise. Each shard keeps the declarations of its own rows, so each is asked by itself.

use super::Client;
use super::answer::{Failure, Result, unexpected};
use crate::map::ShardId;
use crate::message::Opcode;
use crate::message::declare::{Declaration, DeclareRequest};
use crate::refusal::Refusal;
use crate::reply::Body;
use crate::wire::put_sized;

impl Client {
    /// Declares a table on one shard. The first version is 1, each later one the successor of the last; the same
    /// version with the same content is accepted again.
    pub fn declare(
        &mut self,
        shard: ShardId,
        table: &str,
        version: u64,
        declaration: &Declaration,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        declaration.encode(&mut bytes);
        let declare = DeclareRequest { table, version, declaration: &bytes };
        self.ask_shard(
            shard,
            Opcode::Declare,
            |payload| declare.encode(payload),
            |reply| match &reply.body {
                Body::Done => Ok(()),
                _ => Err(unexpected(reply)),
            },
        )
    }

    /// The declaration of a table that a shard has, and its version.
    pub fn describe(&mut self, shard: ShardId, table: &str) -> Result<Option<(u64, Declaration)>> {
        self.ask_shard(
            shard,
            Opcode::Describe,
            |payload| put_sized(payload, table.as_bytes()),
            |reply| {
                let Body::Declared { declared } = &reply.body else {
                    return Err(unexpected(reply));
                };
                let Some(found) = declared else { return Ok(None) };
                let declaration = Declaration::decode(found.declaration).map_err(|malformed| {
                    Failure::Protocol(Box::new(Refusal::malformed("reply.declaration", malformed)))
                })?;
                Ok(Some((found.version, declaration)))
            },
        )
    }
}
