//! R_LINK: the first message of a link, in each direction, and the only one that is of no shard.
//!
//! Its layout is the same in every version, so that two versions can tell each other that they do not fit.

use super::Start;
use crate::map::MemberId;
use crate::position::Lineage;
use crate::wire::{Malformed, Reader, put_u64};

/// The version of what members say to each other that this library speaks.
pub const VERSION: u8 = 1;

/// An R_LINK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The newest version that the sender speaks.
    pub version: u8,
    /// The cluster that it belongs to.
    pub cluster: Lineage,
    /// Its number in the map.
    pub member: MemberId,
    /// Which start of the node.
    pub start: Start,
    /// What it can do beyond the version, a bit each. None is defined yet.
    pub features: u64,
}

impl Link {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.version);
        out.extend_from_slice(&self.cluster.0);
        out.extend_from_slice(&self.member.0.to_le_bytes());
        put_u64(out, self.start.0);
        put_u64(out, self.features);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Link, Malformed> {
        Ok(Link {
            version: reader.u8()?,
            cluster: Lineage(reader.array()?),
            member: MemberId::read(reader)?,
            start: Start(reader.u64()?),
            features: reader.u64()?,
        })
    }
}
