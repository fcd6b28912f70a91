//! The partitions and rows of a world.

use seawall::Key;
use seawall::RowRef;
use seawall::address::{Address, DEFAULT_NAMESPACE, partition_hash};
use seawall::map::{Map, ShardId};
use seawall::row;

use super::draw::in_stream;
use super::tables;
use crate::client::Workload;

#[derive(Clone, Debug)]
pub struct Place {
    pub partition: usize,
    pub row: RowRef,
    pub stored: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Places {
    partitions: Vec<(Key, ShardId)>,
    all: Vec<Place>,
}

impl Places {
    /// Of each partition the rows and the first ones of its stream; then of each the rows of declared tables.
    pub fn new(of: &Workload, map: &Map) -> Self {
        let partition = |n: usize| {
            let key = Key::from(format!("p{n}").as_str());
            let shard = map.shard_of(partition_hash(DEFAULT_NAMESPACE, key.as_bytes()));
            (key, shard)
        };
        let partitions: Vec<_> = (0..of.partitions).map(partition).collect();
        let rows = (0..of.rows).map(|n| row("t", i64::try_from(n).expect("few rows")));
        let rows: Vec<RowRef> = rows.chain((1..4).map(|n| row("s", in_stream(n)))).collect();
        let place = |partition: usize, row: &RowRef| {
            let mut stored = Vec::new();
            let (of, table, key) =
                (partitions[partition].0.as_bytes(), row.table.as_str(), row.key.as_bytes());
            Address { namespace: DEFAULT_NAMESPACE, partition: of, table, row: key }.stored_key(&mut stored);
            Place { partition, row: row.clone(), stored }
        };
        let all = (0..of.partitions).flat_map(|n| rows.iter().map(move |row| (n, row)));
        let declared: Vec<RowRef> = tables::TABLES.iter().flat_map(|table| tables::rows(table)).collect();
        let declared = (0..of.partitions).flat_map(|n| declared.iter().map(move |row| (n, row)));
        let all = all.chain(declared).map(|(n, row)| place(n, row)).collect();
        Self { partitions, all }
    }

    pub fn partition(&self, n: usize) -> Key {
        self.partitions[n].0.clone()
    }

    pub fn shard(&self, n: usize) -> ShardId {
        self.partitions[n].1
    }

    pub fn all(&self) -> &[Place] {
        &self.all
    }
}
