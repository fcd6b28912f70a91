//! What the workers of a node say to each other.

use seawall::map::ShardId;

use super::ConnId;

/// One message between two workers of a node. A worker never has more requests under way at another than the
/// mailbox back has room for, so a reply always finds its place.
#[derive(Debug)]
pub enum Letter {
    /// A whole request frame, already checked, for `shard`, which the receiver has; `conn` is the sender's.
    Request { conn: ConnId, shard: ShardId, frame: Vec<u8> },
    /// A whole reply frame for the receiver's connection. It may say that a subscription of it has ended, or never
    /// began.
    Reply { conn: ConnId, frame: Vec<u8>, ended: Option<u64> },
    /// A whole frame of a subscription for the receiver's connection, perhaps its last one.
    Stream { conn: ConnId, subscription: u64, frame: Vec<u8>, last: bool },
    /// The receiver's stream frame found its place: the subscription may go on.
    StreamTaken { conn: ConnId, subscription: u64 },
    /// The sender stops: no request comes from it any more, and none of its own is under way.
    Leaving,
}
