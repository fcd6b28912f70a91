//! Rows with a ttl and leases in the order in which they end. Derived from the entries that say when, so it is never
//! logged itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use seawall_wal::Space;

use super::super::lease::Lease;
use super::super::spaces;
use super::number;
use crate::params::EXPIRY_SPREAD_US;

#[derive(Debug, Default)]
pub struct Due {
    /// By the time from which they may be removed.
    ends: BTreeSet<(i64, Space, Arc<[u8]>)>,
    key_bytes: usize,
}

/// What may be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    pub space: Space,
    pub key: Arc<[u8]>,
}

impl Due {
    /// An entry that says when it ends was written, or removed.
    pub fn change(&mut self, space: Space, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        if let Some(old) = old {
            self.key_bytes -= key.len();
            self.ends.remove(&(end(space, key, old), space, Arc::from(key)));
        }
        if let Some(new) = new {
            self.key_bytes += key.len();
            self.ends.insert((end(space, key, new), space, Arc::from(key)));
        }
    }

    /// Rows and leases that have ended at `time_us`, the oldest first.
    pub fn ended(&self, time_us: i64) -> impl Iterator<Item = Ends> + '_ {
        let ended = self.ends.iter().take_while(move |(end, ..)| *end <= time_us);
        ended.map(|(_, space, key)| Ends { space: *space, key: Arc::clone(key) })
    }

    pub fn memory(&self) -> usize {
        self.key_bytes + 80 * self.ends.len()
    }
}

/// Rows that were put together would end together. Each lives a bit longer than asked for, by a time that follows
/// from its key, so the same on every replica. A lease is judged by its own end and not by its removal.
fn end(space: Space, key: &[u8], value: &[u8]) -> i64 {
    let end = match space {
        spaces::LEASES => Lease::decode(value).expires_us,
        _ => number(value).expect("a time of eight bytes"),
    };
    end.saturating_add_unsigned(u64::from(crc32c::crc32c(key)) % EXPIRY_SPREAD_US)
}
