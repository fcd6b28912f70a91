//! Rounds of SIGKILL, SIGSTOP and partitions of each role of a cluster under load, with a witness that remembers every
//! answer. `scripts/cluster-rounds` runs more of them.

use std::thread;
use std::time::Duration;

use seawall_tests::random::Random;

use crate::cast::{Cast, Role};
use crate::isolated::{Way, heal, is_inside, isolated, missing, part};
use crate::members::{Cluster, Shape};
use crate::witness::Writers;

/// Rounds here; `SEAWALL_CLUSTER_ROUNDS` sets another number.
const ROUNDS: usize = 3;
/// Short: a round lasts some of them.
const ROUND_LEASE_MS: u64 = 300;
/// How long a member stands still or is parted, in percent of its lease.
const SHORTEST_PERCENT: u64 = 10;
const LONGEST_PERCENT: u64 = 500;
const TEST: &str = "rounds::what_was_acknowledged_is_there_whatever_struck_whom";

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |n| n.parse().expect("a number"))
}

/// For so many milliseconds, but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Kill,
    Still(u64),
    Parted(Way, u64),
}

/// The first ones are one of each kind for each role; then chance has its way.
fn draw(random: &mut Random, round: usize) -> (Role, Blow) {
    let roles = [Role::Leader, Role::Sync, Role::Async];
    let kinds = if is_inside() { 5 } else { 2 };
    let (role, kind) = match round < roles.len() * kinds {
        true => (roles[round % roles.len()], round / roles.len()),
        false => (*random.pick(&roles), random.index(kinds)),
    };
    let ms = ROUND_LEASE_MS * random.between(SHORTEST_PERCENT, LONGEST_PERCENT) / 100;
    let blow = match kind {
        0 => Blow::Kill,
        1 => Blow::Still(ms),
        2 => Blow::Parted(Way::Both, ms),
        3 => Blow::Parted(Way::Out, ms),
        _ => Blow::Parted(Way::In, ms),
    };
    (role, blow)
}

/// Whether writes can go on only if another member leads.
fn needs_another_leader(role: Role, blow: Blow) -> bool {
    let is_short = matches!(blow, Blow::Still(ms) | Blow::Parted(_, ms) if ms < ROUND_LEASE_MS);
    role == Role::Leader && !is_short
}

fn strike(cluster: &mut Cluster, cast: Cast, role: Role, blow: Blow) -> Cast {
    let struck = cast.of(role);
    let writers = Writers::begin(&cluster.addresses());
    thread::sleep(Duration::from_millis(200));
    match blow {
        Blow::Kill => cluster.kill(struck),
        Blow::Still(ms) => {
            cluster.pause(struck);
            thread::sleep(Duration::from_millis(ms));
        }
        Blow::Parted(way, ms) => {
            part(struck, way);
            thread::sleep(Duration::from_millis(ms));
        }
    }
    let mut next = cast;
    if needs_another_leader(role, blow) {
        cluster.promote(cast.sync);
        next = cast.next();
    }
    match blow {
        Blow::Kill => cluster.revive(struck),
        Blow::Still(_) => cluster.resume(struck),
        Blow::Parted(..) => drop(heal()),
    }
    thread::sleep(Duration::from_millis(200));
    let acknowledged = writers.verify(&mut cluster.client());
    next.settle(cluster);
    println!("{role:?} (member {}), {blow:?}: {acknowledged} acknowledged, all there", struck + 1);
    assert!(acknowledged > 0, "nobody was told anything");
    next
}

fn rounds() {
    let seed = number("SEAWALL_CLUSTER_SEED", 1);
    let count = usize::try_from(number("SEAWALL_CLUSTER_ROUNDS", ROUNDS as u64)).expect("some rounds");
    println!("seed {seed}, {count} rounds");
    let mut random = Random::new(seed);
    let mut cluster =
        Cluster::begin("rounds", Shape { lease_ms: ROUND_LEASE_MS, ..Shape::default() }, |_| {});
    let mut cast = Cast::FIRST;
    cast.settle(&cluster);
    for round in 0..count {
        print!("round {}: ", round + 1);
        let (role, blow) = draw(&mut random, round);
        cast = strike(&mut cluster, cast, role, blow);
    }
    for nth in 0..3 {
        cluster.terminate(nth);
    }
}

#[test]
fn what_was_acknowledged_is_there_whatever_struck_whom() {
    match missing() {
        // Without partitions, which is said; the rest of it needs nothing.
        Some(_) if !is_inside() => {
            isolated(TEST, || unreachable!("there is no namespace"));
            rounds();
        }
        _ => isolated(TEST, rounds),
    }
}
