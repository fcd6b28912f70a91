//! Who there is: nodes with a number that they keep for ever.

use std::fmt;

use super::MapError;
use crate::limits::{ADDRESS_MAX, LABEL_MAX, LABELS_MAX, MEMBERS_MAX};
use crate::wire::{Malformed, Reader};

/// The durable number of a node, never used again for another one. 0 is nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u32);

impl MemberId {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<MemberId, Malformed> {
        match reader.u32()? {
            0 => Err(Malformed::Unknown { what: "member", got: 0 }),
            number => Ok(MemberId(number)),
        }
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: MemberId,
    /// `host:port` at which clients find it.
    pub address: String,
    /// `host:port` at which other members find it.
    pub peer: String,
    /// What is said about it: `zone=a` for example.
    pub labels: Vec<String>,
}

/// Numbers that ascend, addresses that differ, and nothing that is too long for the wire.
pub(super) fn check(members: &[Member]) -> Result<(), MapError> {
    if members.len() > MEMBERS_MAX {
        return Err(MapError::Members(members.len()));
    }
    let (mut last, mut addresses) = (MemberId(0), std::collections::BTreeSet::new());
    for Member { id, address, peer, labels } in members {
        if *id <= last {
            return Err(MapError::Member(*id));
        }
        last = *id;
        if !is_address(address) || !is_address(peer) {
            return Err(MapError::Address(*id));
        }
        if !addresses.insert(address) || !addresses.insert(peer) {
            return Err(MapError::AddressTwice(*id));
        }
        if labels.len() > LABELS_MAX || labels.iter().any(|label| !(1..=LABEL_MAX).contains(&label.len())) {
            return Err(MapError::Labels(*id));
        }
    }
    Ok(())
}

fn is_address(address: &str) -> bool {
    let plain = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    address.len() <= ADDRESS_MAX
        && address.rsplit_once(':').is_some_and(|(host, port)| plain(host) && is_port(port))
}
