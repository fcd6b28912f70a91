//! What the next requests will look at, brought near before the first of them is taken.
//!
//! A look waits for far memory several times, one after the other, and a commit looks at its row and at the outcomes of
//! its session. Before many of them are taken, what each step of theirs will read is read for all of them, so a processor
//! waits for all of it at the same time. Nothing is done with what is read: a wrong guess costs time, and nothing else.

use seawall::address::{partition_prefix, row_suffix};
use seawall::glance::Glance;
use seawall::message::KeyName;
use seawall_wal::Entry;

use super::points::sum;
use super::{State, outcomes};
use crate::shard::spaces;

/// So many together. More would push out of the nearest memory what was read for the first.
pub const TOGETHER: usize = 64;

/// What one request or one entry of a record will look at, by the sums of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coming {
    row: Option<u32>,
    holder: Option<u32>,
}

impl Coming {
    /// Also the hash of the partition, which says whose it is. `key` is memory that is used again.
    pub fn of(namespace: &str, glance: &Glance<'_>, key: &mut Vec<u8>) -> (u64, Self) {
        key.clear();
        partition_prefix(namespace, glance.partition, key);
        let hash = key.first_chunk().copied().map_or(0, u64::from_be_bytes);
        let begins = key.len();
        let row = glance.row.map(|at| {
            row_suffix(at.table, at.key, key);
            sum(key)
        });
        key.truncate(begins);
        let holder = glance.name.map(|name| {
            name.stored_suffix(key);
            sum(match name {
                KeyName::Caller(_) => key,
                KeyName::Session { .. } => &key[..key.len() - size_of::<u64>()],
            })
        });
        (hash, Self { row, holder })
    }

    pub fn of_entry(entry: &Entry<'_>) -> Self {
        match entry.space {
            spaces::ROWS => Self { row: Some(sum(entry.key)), holder: None },
            spaces::OUTCOMES => Self { row: None, holder: Some(outcomes::sum_of(entry.key)) },
            _ => Self { row: None, holder: None },
        }
    }
}

impl State {
    /// Of what will come soon.
    pub fn bring_near<'a>(&self, coming: impl Iterator<Item = &'a Coming> + Clone) {
        self.rows.bring_near(coming.clone().filter_map(|coming| coming.row));
        self.outcomes.bring_near(coming.filter_map(|coming| coming.holder));
    }
}

#[cfg(test)]
mod tests {
    use seawall::Key;
    use seawall::address::Address;
    use seawall::message::request_key::StoredName;
    use seawall::message::term::RowAt;

    use super::*;

    #[test]
    fn it_is_what_will_be_looked_at() {
        let (partition, row) = (Key::from("HP-2026"), Key::from("C14"));
        let at = RowAt { table: "cabin", key: row.as_bytes() };
        let address =
            Address { namespace: "main", partition: partition.as_bytes(), table: at.table, row: at.key };
        let mut stored = Vec::new();
        address.stored_key(&mut stored);
        let hash = seawall::address::partition_hash("main", partition.as_bytes());
        for name in [KeyName::Caller(b"hold-1"), KeyName::Session { session: [7; 16], sequence: 300 }] {
            let glance = Glance { partition: partition.as_bytes(), name: Some(name), row: Some(at) };
            let mut outcome = Vec::new();
            name.stored_key("main", partition.as_bytes(), &mut outcome);
            let holder = StoredName::of(&outcome).expect("a stored name").holder;
            let coming = Coming { row: Some(sum(&stored)), holder: Some(sum(holder)) };
            assert_eq!(Coming::of("main", &glance, &mut b"used before".to_vec()), (hash, coming));
            let outcome = Entry { space: spaces::OUTCOMES, key: &outcome, value: None };
            assert_eq!(Coming::of_entry(&outcome), Coming { row: None, holder: coming.holder });
            let row = Entry { space: spaces::ROWS, key: &stored, value: None };
            assert_eq!(Coming::of_entry(&row), Coming { row: coming.row, holder: None });
        }
        let glance = Glance { partition: partition.as_bytes(), name: None, row: None };
        assert_eq!(Coming::of("main", &glance, &mut Vec::new()), (hash, Coming { row: None, holder: None }));
    }
}
