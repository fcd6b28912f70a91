//! Rounds of SIGKILL and SIGSTOP of each role of a cluster under load, with writers that remember every answer.
//! `scripts/cluster-rounds` runs more of them.

use std::thread;
use std::time::Duration;

use crate::members::{Cluster, LEASE_MS, Writers, leads};

/// Rounds here; `SEAWALL_CLUSTER_ROUNDS` sets another number.
const ROUNDS: usize = 1;
/// How long a member stands still, in percent of its lease: far within it, at its edge, and far beyond it.
const STILL_PERCENT: [u64; 6] = [200, 10, 100, 500, 50, 90];
const SHARDS: u32 = 2;

fn rounds() -> usize {
    std::env::var("SEAWALL_CLUSTER_ROUNDS").ok().map_or(ROUNDS, |n| n.parse().expect("a number of rounds"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Kill,
    /// For so many milliseconds.
    Still(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Leader,
    /// Every commit waits for it.
    Sync,
    Async,
}

/// Who is what, in both shards.
#[derive(Clone, Copy, Debug)]
struct Cast {
    leader: usize,
    sync: usize,
    other: usize,
}

impl Cast {
    fn of(self, role: Role) -> usize {
        match role {
            Role::Leader => self.leader,
            Role::Sync => self.sync,
            Role::Async => self.other,
        }
    }
}

/// All are level, and commits wait for one of the two followers alone.
fn settle(cluster: &Cluster, cast: Cast) {
    cluster.wait(cast.leader, "leading", leads);
    cluster.wait_until_level(cast.leader, cast.sync);
    cluster.require(cast.leader, cast.sync);
    cluster.wait_until_level(cast.leader, cast.other);
    let other = (cast.other + 1).to_string();
    for shard in 1..=SHARDS {
        let order = ["sync-set", "release", &shard.to_string(), &other];
        cluster.order(cast.leader, &order).expect("another one is in the set");
    }
}

/// Whether writes can go on only if another member leads.
fn needs_another_leader(role: Role, blow: Blow) -> bool {
    role == Role::Leader && !matches!(blow, Blow::Still(ms) if ms < LEASE_MS)
}

fn strike(cluster: &mut Cluster, cast: Cast, role: Role, blow: Blow) -> Cast {
    let struck = cast.of(role);
    let writers = Writers::begin(&cluster.addresses());
    thread::sleep(Duration::from_millis(300));
    match blow {
        Blow::Kill => cluster.kill(struck),
        Blow::Still(ms) => {
            cluster.pause(struck);
            thread::sleep(Duration::from_millis(ms));
        }
    }
    let mut next = cast;
    if needs_another_leader(role, blow) {
        cluster.promote(cast.sync);
        next = Cast { leader: cast.sync, sync: cast.other, other: cast.leader };
    }
    match blow {
        Blow::Kill => cluster.revive(struck),
        Blow::Still(_) => cluster.resume(struck),
    }
    thread::sleep(Duration::from_millis(300));
    let acknowledged = writers.verify(&mut cluster.client());
    settle(cluster, next);
    println!("{role:?} (member {}), {blow:?}: {acknowledged} acknowledged, all there", struck + 1);
    assert!(acknowledged > 0, "nobody was told anything");
    next
}

#[test]
fn what_was_acknowledged_is_there_whoever_was_killed_or_stood_still() {
    let mut cluster = Cluster::start_with("rounds", SHARDS, &[]);
    let mut cast = Cast { leader: 0, sync: 1, other: 2 };
    settle(&cluster, cast);
    let mut still = STILL_PERCENT.iter().cycle();
    for round in 0..rounds() {
        println!("round {}", round + 1);
        for role in [Role::Leader, Role::Sync, Role::Async] {
            cast = strike(&mut cluster, cast, role, Blow::Kill);
            let percent = still.next().expect("it goes round and round");
            cast = strike(&mut cluster, cast, role, Blow::Still(LEASE_MS * percent / 100));
        }
    }
    for nth in 0..3 {
        cluster.terminate(nth);
    }
}
