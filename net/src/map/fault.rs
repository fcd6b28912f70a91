//! What makes no map, in a person's words.

use std::fmt;

use super::{Generation, MemberId, ShardId};
use crate::limits::{
    ADDRESS_MAX, AUDIT_TEXT_MAX, LABEL_MAX, LABELS_MAX, LEASE_MAX_MS, MEMBER_TIMEOUT_MAX_MS, MEMBERS_MAX,
    REPLICAS_MAX,
};

/// What is wrong with the parts of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// Generation 0 is no map's, and the last number is left out.
    Generation,
    /// The first range must begin at hash 0.
    NotFromZero,
    /// Each range must begin above the one before it.
    Order,
    /// Shard 0 owns nothing, and no shard may stand there twice.
    Shard(ShardId),
    /// Each range has the replicas of its shard, in the same order.
    Entries,
    /// More members than a cluster may have.
    Members(usize),
    /// Its number is 0, stands there twice, or behind a higher one.
    Member(MemberId),
    /// One of its addresses is no `host:port`.
    Address(MemberId),
    /// One of its addresses stands there twice.
    AddressTwice(MemberId),
    /// Too many labels, or one that is empty or too long.
    Labels(MemberId),
    /// A replica is no member.
    NoMember {
        /// The shard.
        shard: ShardId,
        /// Who is unknown.
        member: MemberId,
    },
    /// A member has two places.
    Twice {
        /// The shard.
        shard: ShardId,
        /// Who.
        member: MemberId,
    },
    /// More replicas than a shard may have.
    Replicas {
        /// The shard.
        shard: ShardId,
        /// How many.
        there: usize,
    },
    /// A commit could never be committed, or needs nobody.
    MinInSync {
        /// The shard.
        shard: ShardId,
        /// What the policy asks for.
        min_in_sync: u8,
        /// How many members there are.
        there: usize,
    },
    /// A time that is 0 or too long.
    MemberTimeout {
        /// The shard.
        shard: ShardId,
        /// The time.
        ms: u32,
    },
    /// The same of a lease.
    Lease {
        /// The shard.
        shard: ShardId,
        /// The time.
        ms: u32,
    },
    /// Somebody leads, and no epoch was ever won.
    LeaderWithoutEpoch(ShardId),
    /// The open loss is of no epoch, of one that is to come, or of no index.
    OpenLoss(ShardId),
    /// The entry was changed never, or by a generation that is to come.
    Changed {
        /// The shard.
        shard: ShardId,
        /// The generation that is named.
        changed: Generation,
    },
    /// An audited change says who, why and what, each in a text that is not empty and not too long.
    Audit,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MapError::Generation => write!(f, "a map's generation is 1 to {}", u64::MAX - 1),
            MapError::NotFromZero => write!(f, "the first range must begin at hash 0"),
            MapError::Order => write!(f, "each range must begin above the one before it"),
            MapError::Shard(shard) => write!(f, "shard {shard} is 0 or stands there twice"),
            MapError::Entries => write!(f, "each range needs the replicas of its shard, in the same order"),
            MapError::Members(there) => write!(f, "{there} members; a cluster has at most {MEMBERS_MAX}"),
            MapError::Member(id) => {
                write!(f, "member {id}: numbers begin with 1, ascend, and stand there once")
            }
            MapError::Address(id) => write!(
                f,
                "member {id}: an address of it is no host:port of at most {ADDRESS_MAX} bytes, 10.0.0.1:7411 for example"
            ),
            MapError::AddressTwice(id) => {
                write!(
                    f,
                    "member {id}: an address of it stands there twice; each member needs one for clients and one for members"
                )
            }
            MapError::Labels(id) => {
                write!(f, "member {id}: at most {LABELS_MAX} labels, each of 1 to {LABEL_MAX} bytes")
            }
            MapError::NoMember { shard, member } => {
                write!(f, "shard {shard}: {member} is no member of the cluster; add it to the members first")
            }
            MapError::Twice { shard, member } => write!(
                f,
                "shard {shard}: member {member} has two places; it leads, or is in sync, or is async"
            ),
            MapError::Replicas { shard, there } => {
                write!(f, "shard {shard}: {there} replicas; a shard has at most {REPLICAS_MAX}")
            }
            MapError::MinInSync { shard, min_in_sync, there } => write!(
                f,
                "shard {shard}: min_in_sync is {min_in_sync}, and {there} members keep the shard; write 1 to {there}"
            ),
            MapError::MemberTimeout { shard, ms } => {
                write!(f, "shard {shard}: member_timeout_ms is {ms}; write 1 to {MEMBER_TIMEOUT_MAX_MS}")
            }
            MapError::Lease { shard, ms } => {
                write!(f, "shard {shard}: lease_ms is {ms}; write 1 to {LEASE_MAX_MS}")
            }
            MapError::LeaderWithoutEpoch(shard) => {
                write!(
                    f,
                    "shard {shard}: somebody leads, and the epoch is 0; a leader has won an epoch from 1 on"
                )
            }
            MapError::OpenLoss(shard) => write!(
                f,
                "shard {shard}: an open loss names an epoch from 1 up to the shard's, and an index from 1 on"
            ),
            MapError::Changed { shard, changed } => write!(
                f,
                "shard {shard}: changed by generation {changed}, which is neither the map's nor one before it"
            ),
            MapError::Audit => write!(
                f,
                "a change names who makes it, why, and what it is, each in 1 to {AUDIT_TEXT_MAX} bytes"
            ),
        }
    }
}

impl std::error::Error for MapError {}
