//! What the workers of a node say to each other.

use seawall::map::ShardId;

use super::ConnId;

/// One message between two workers of a node. A worker never has more requests under way at another than the
/// mailbox back has room for, so a reply always finds its place.
#[derive(Debug)]
pub enum Letter {
    /// A whole request frame, already checked, for `shard`, which the receiver has; `conn` is the sender's.
    Request { conn: ConnId, shard: ShardId, frame: Vec<u8> },
    /// A whole reply frame for the receiver's connection.
    Reply { conn: ConnId, frame: Vec<u8> },
    /// The sender stops: no request comes from it any more, and none of its own is under way.
    Leaving,
}
