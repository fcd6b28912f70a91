//! Who is what among the three members of a cluster.

use crate::members::{Cluster, leads};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Leader,
    /// Every commit waits for it.
    Sync,
    Async,
}

/// The same in all shards.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    pub leader: usize,
    pub sync: usize,
    pub other: usize,
}

impl Cast {
    pub const FIRST: Self = Self { leader: 0, sync: 1, other: 2 };

    pub fn of(self, role: Role) -> usize {
        match role {
            Role::Leader => self.leader,
            Role::Sync => self.sync,
            Role::Async => self.other,
        }
    }

    /// After the member that commits wait for was promoted.
    pub fn next(self) -> Self {
        Self { leader: self.sync, sync: self.other, other: self.leader }
    }

    /// All are level, and commits wait for one of the two followers alone.
    pub fn settle(self, cluster: &Cluster) {
        cluster.wait(self.leader, "leading", leads);
        cluster.wait_until_level(self.leader, self.sync);
        cluster.require(self.leader, self.sync);
        cluster.wait_until_level(self.leader, self.other);
        let other = (self.other + 1).to_string();
        for shard in 1..=cluster.shards {
            let order = ["sync-set", "release", &shard.to_string(), &other];
            cluster.order(self.leader, &order).expect("another one is in the set");
        }
    }
}
