//! What tables promise. Each shard keeps the declarations of its own rows, so each is asked by itself.

use super::answer::{Failure, done, unexpected};
use super::ask::Ask;
use crate::map::ShardId;
use crate::message::Opcode;
use crate::message::declare::{Declaration, DeclareRequest};
use crate::refusal::Refusal;
use crate::reply::{Body, Reply};
use crate::wire::put_sized;

/// A version, and what it promises.
pub(crate) type Kept = (u64, Declaration);

pub(crate) fn declare(
    shard: ShardId,
    table: &str,
    version: u64,
    declaration: &Declaration,
) -> Ask<impl Fn(&mut Vec<u8>), ()> {
    let mut bytes = Vec::new();
    declaration.encode(&mut bytes);
    let write = move |payload: &mut Vec<u8>| {
        DeclareRequest { table, version, declaration: &bytes }.encode(payload);
    };
    Ask::new(Opcode::Declare, write, done).of(shard)
}

pub(crate) fn describe(shard: ShardId, table: &str) -> Ask<impl Fn(&mut Vec<u8>), Option<Kept>> {
    Ask::new(Opcode::Describe, |payload| put_sized(payload, table.as_bytes()), declared).of(shard)
}

fn declared(reply: &Reply<'_>) -> Result<Option<Kept>, Failure> {
    let Body::Declared { declared } = &reply.body else {
        return Err(unexpected(reply));
    };
    let Some(found) = declared else { return Ok(None) };
    let declaration = Declaration::decode(found.declaration).map_err(|malformed| {
        Failure::Protocol(Box::new(Refusal::malformed("reply.declaration", malformed)))
    })?;
    Ok(Some((found.version, declaration)))
}
