//! Plans: what a seed makes of its world. Each seed switches on a random part of the faults (swarm testing), so that
//! one fault cannot hide what another would show.

mod cluster;

use seawall_node::shard::Budget;
use seawall_wal::LogLimits;
use seawall_wal::checkpoint::FoldPolicy;

use crate::client::Workload;
use crate::disk::DiskShape;
use crate::fault::Fault;
use crate::net::NetShape;
use crate::random::Random;
pub use cluster::{ClusterShape, Mood, cluster, first_map};

/// Everything that is drawn for a world before it begins.
#[derive(Clone, Debug)]
pub struct Shape {
    pub workers: u16,
    pub limits: LogLimits,
    pub workload: Workload,
    pub disk: DiskShape,
    pub net: NetShape,
    /// Faults end at this virtual time; what comes before them is drawn below it.
    pub heal_us: u64,
    pub crashes: Vec<(u64, Crash)>,
    /// After a crash, another follows soon: in thousandths.
    pub crash_again: u64,
    pub restart_us: u64,
    pub breaks: Vec<u64>,
    pub half_closes: Vec<u64>,
    pub jumps: Vec<(u64, i64)>,
    /// When nothing happens for how long; a node that is asked something then finds itself so much later.
    pub passes: Vec<(u64, u64)>,
    /// When an operator accepts the wall clock as it is.
    pub accepts: Vec<u64>,
    pub budget: Budget,
    /// Of the map.
    pub generation: u64,
    pub pauses: u64,
    pub pause_us: u64,
    pub turn_us: (u64, u64),
    /// A turn takes only some of what there is, in thousandths.
    pub short_turns: u64,
    pub tick_us: u64,
    pub mail_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    Kill,
    PowerCut,
    Stop,
}

/// A way to draw worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// One node, one or two workers, the log, commits and reads.
    Slice,
    /// The same node, all that a shard decides, and logs that fold.
    Shard,
    /// One log by itself, on a disk that also damages its data.
    Log,
    /// Several members that keep one shard, and what is said between them.
    Cluster,
}

impl Plan {
    pub const ALL: &[Plan] = &[Plan::Slice, Plan::Shard, Plan::Log, Plan::Cluster];

    pub fn name(self) -> &'static str {
        match self {
            Plan::Slice => "slice",
            Plan::Shard => "shard",
            Plan::Log => "log",
            Plan::Cluster => "cluster",
        }
    }

    pub fn named(name: &str) -> Option<Plan> {
        Plan::ALL.iter().copied().find(|plan| plan.name() == name)
    }

    /// Whether a run of many seeds must see this fault.
    pub fn injects(self, fault: Fault) -> bool {
        match self {
            Plan::Slice | Plan::Shard => !fault.of_the_log_alone() && !fault.of_members_alone(),
            Plan::Log => !fault.of_the_node_alone() && !fault.of_members_alone(),
            Plan::Cluster if fault.of_members_rarely() => false,
            Plan::Cluster => fault.of_members_alone() || fault.of_members_too(),
        }
    }
}

/// The world of one node.
pub fn slice(random: &mut Random) -> Shape {
    let heal_us = *random.pick(&[20_000, 60_000, 150_000, 400_000]);
    let crash_kinds = random.below(8);
    let crashes = times(random, heal_us, 5)
        .into_iter()
        .filter_map(|at| match random.below(3) {
            0 if crash_kinds & 1 != 0 => Some((at, Crash::Kill)),
            1 if crash_kinds & 2 != 0 => Some((at, Crash::PowerCut)),
            2 if crash_kinds & 4 != 0 => Some((at, Crash::Stop)),
            _ => None,
        })
        .collect();
    let jumps = times(random, heal_us, 2).into_iter().map(|at| (at, jump(random))).collect();
    Shape {
        workers: if random.chance(350) { 2 } else { 1 },
        // What a run is judged by are all its records, from the first one on.
        limits: LogLimits { fold: FoldPolicy::NEVER, ..LogLimits::test_min() },
        workload: workload(random, heal_us),
        disk: disk(random),
        net: net(random),
        heal_us,
        crashes,
        crash_again: *random.pick(&[0, 300, 700]),
        restart_us: *random.pick(&[100, 3_000, 20_000]),
        breaks: times(random, heal_us, 3),
        half_closes: times(random, heal_us, 1),
        jumps,
        passes: Vec::new(),
        accepts: Vec::new(),
        budget: Budget { scrub_bytes_per_second: 0, ..Budget::default() },
        generation: 1,
        pauses: swarm(random, &[5, 20]),
        pause_us: 30_000,
        turn_us: *random.pick(&[(1, 3), (1, 50), (10, 400)]),
        short_turns: swarm(random, &[100, 500, 900]),
        tick_us: *random.pick(&[10_000, 100_000]),
        mail_us: *random.pick(&[2, 50, 2_000]),
    }
}

/// The world of plan slice, on logs that fold, with time that goes by and with little room in some of them.
pub fn shard(random: &mut Random) -> Shape {
    let shape = slice(random);
    let heal_us = shape.heal_us;
    let hour = 3_600_000_000;
    let passes = times(random, heal_us, 4).into_iter();
    let passes =
        passes.map(|at| (at, *random.pick(&[40_000, 700_000, 3_000_000, hour, 25 * hour, 25 * hour])));
    let passes = passes.collect();
    let jumps =
        shape.jumps.iter().map(|(at, by)| (*at, if random.chance(700) { by % 9_000_000 } else { *by }));
    let jumps: Vec<_> = jumps.collect();
    let accept = |(at, _): &(u64, i64)| random.chance(500).then(|| at + random.below(30_000));
    let accepts = jumps.iter().filter_map(accept).collect();
    let mut budget = shape.budget;
    if random.chance(60) {
        budget.request_keys = random.between(3, 30);
    }
    if random.chance(60) {
        budget.memory_bytes = random.between(3_000, 40_000);
    }
    let limits = LogLimits::test_min();
    Shape { limits, jumps, passes, accepts, budget, generation: 2, ..shape }
}

fn workload(random: &mut Random, heal_us: u64) -> Workload {
    let clients = random.between(2, 5);
    let most = *random.pick(&[60, 240]) / clients;
    let operations = random.between(4, most);
    let pace = heal_us / operations;
    Workload {
        clients: usize::try_from(clients).expect("a handful"),
        operations,
        window: random.between(1, 6),
        partitions: usize::try_from(random.between(1, 3)).expect("a handful"),
        rows: usize::try_from(random.between(1, 4)).expect("a handful"),
        think_us: *random.pick(&[(1, 200), (1, pace + 1), (pace / 2, pace + pace / 2)]),
        commits: *random.pick(&[300, 500, 700, 900]),
        padding: *random.pick(&[20, 900, 3_000]),
        relaxed: 0,
        readers: false,
    }
}

fn disk(random: &mut Random) -> DiskShape {
    DiskShape {
        write_us: *random.pick(&[(5, 30), (20, 400), (100, 3_000)]),
        flush_us: *random.pick(&[(5, 50), (50, 1_000), (500, 8_000)]),
        read_us: *random.pick(&[(5, 50), (50, 500)]),
        prepare_us: *random.pick(&[(20, 200), (500, 5_000), (5_000, 40_000)]),
        dsync: random.chance(500),
        stall: swarm(random, &[10, 60]),
        stall_us: 60_000,
        write_error: error(random),
        flush_error: error(random),
        short_write: error(random),
        prepare_error: swarm(random, &[100, 400]),
        // A node on one disk detects these and then stands still: they belong to the log alone.
        read_error: 0,
        short_read: 0,
        offered_damage: 0,
        misdirected_write: 0,
        misdirected_read: 0,
        stale_read: 0,
        capacity: u64::MAX,
    }
}

fn net(random: &mut Random) -> NetShape {
    NetShape {
        delay_us: *random.pick(&[(1, 5), (5, 100), (20, 2_000)]),
        notice_us: *random.pick(&[10, 1_000, 20_000]),
        room: *random.pick(&[(60_000, 60_000), (64, 600), (300, 4_000)]),
        single_bytes: swarm(random, &[50, 300]),
        partial_send: swarm(random, &[100, 500]),
    }
}

/// Off in most worlds, else one of these.
fn swarm(random: &mut Random, rates: &[u64]) -> u64 {
    if random.chance(400) { *random.pick(rates) } else { 0 }
}

fn error(random: &mut Random) -> u64 {
    if random.chance(120) { *random.pick(&[10, 60]) } else { 0 }
}

fn times(random: &mut Random, until: u64, most: u64) -> Vec<u64> {
    (0..random.below(most + 1)).map(|_| random.below(until)).collect()
}

/// Half of them are within what a node bears.
fn jump(random: &mut Random) -> i64 {
    let by = i64::try_from(random.between(1_000, 7_200_000_000)).expect("two hours");
    let by = if by % 2 == 0 { by } else { by / 1_000 };
    if random.chance(500) { by } else { -by }
}
