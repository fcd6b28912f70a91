//! A million rows of 100 bytes, and what is asked of them.

use seawall::address::{Address, DEFAULT_NAMESPACE};
use seawall::session::ClientSession;
use seawall::{Commit, Key, Row, RowRef, row};

/// Requests that arrive together.
pub const PIPELINE: usize = 64;

/// How rows are spread: all in one partition, so that their stored keys share a long front, or in many.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    pub rows: u64,
    pub partitions: u64,
}

impl Rows {
    pub fn partition(&self, n: u64) -> String {
        format!("issuer-{:05}", n % self.partitions)
    }

    pub fn row(&self, n: u64) -> RowRef {
        row("accounts", format!("r{n:08}"))
    }

    /// 100 bytes as they are stored.
    pub fn fields(&self) -> Row {
        Row::new().with("n", 1).with("v", vec![7u8; 90])
    }

    pub fn stored_key(&self, n: u64, out: &mut Vec<u8>) {
        let (partition, row) = (Key::from(self.partition(n)), self.row(n));
        let (table, row) = (row.table.as_str(), row.key.as_bytes());
        Address { namespace: DEFAULT_NAMESPACE, partition: partition.as_bytes(), table, row }.stored_key(out);
    }

    pub fn put(&self, n: u64) -> Commit {
        Commit::new(self.partition(n)).put(&self.row(n), self.fields())
    }

    /// A conditional commit that writes 128 bytes into a row, if it is as expected.
    pub fn merge(&self, n: u64) -> Commit {
        let row = self.row(n);
        Commit::new(self.partition(n)).check(row.field("n").ge(0)).merge(&row, [("v", vec![8u8; 128])])
    }

    /// A conditional commit that counts.
    pub fn add(&self, n: u64) -> Commit {
        let row = self.row(n);
        Commit::new(self.partition(n)).check(row.field("n").ge(0)).add(&row, "n", 1, ..)
    }

    /// Neighbours in time are no neighbours in the key space; every row is met once in `rows` draws.
    pub fn scattered(&self, n: u64) -> u64 {
        n * 305_419_897 % self.rows
    }
}

/// Frames of [`PIPELINE`] requests each.
pub fn pipelines(
    requests: u64,
    mut write: impl FnMut(&mut ClientSession, &mut Vec<u8>, u64),
) -> Vec<Vec<u8>> {
    let mut client = ClientSession::new();
    let first = (0..requests).step_by(PIPELINE);
    let pipeline = |first: u64| {
        let mut bytes = Vec::new();
        for n in first..(first + PIPELINE as u64).min(requests) {
            write(&mut client, &mut bytes, n);
        }
        bytes
    };
    first.map(pipeline).collect()
}

/// Chance that is the same in every run (splitmix64).
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Draws that prefer few: the rank `k` comes with a weight of `1 / k^0.99`.
#[derive(Clone, Debug)]
pub struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    pub fn new(rows: u64) -> Zipf {
        let mut sum = 0.0;
        let weight = |rank: u64| {
            sum += (rank as f64).powf(-0.99);
            sum
        };
        Zipf { sums: (1..=rows).map(weight).collect() }
    }

    /// A rank, from 0 on.
    pub fn draw(&self, random: &mut Random) -> u64 {
        let all = self.sums.last().copied().unwrap_or_default();
        let at = (random.next() >> 11) as f64 / (1u64 << 53) as f64 * all;
        self.sums.partition_point(|sum| *sum <= at) as u64
    }
}
