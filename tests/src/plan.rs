//! Plans: what a seed makes of its world. Each seed switches on a random part of the faults (swarm testing), so that
//! one fault cannot hide what another would show.

use seawall_node::shard::Budget;
use seawall_wal::checkpoint::FoldPolicy;
use seawall_wal::{BLOCK, LogLimits};

use crate::client::Workload;
use crate::cluster::{Cut, Told};
use crate::disk::DiskShape;
use crate::fault::Fault;
use crate::net::NetShape;
use crate::random::Random;

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
        budget: Budget::default(),
        generation: 1,
        pauses: swarm(random, &[5, 20]),
        pause_us: 30_000,
        turn_us: *random.pick(&[(1, 3), (1, 50), (10, 400)]),
        short_turns: swarm(random, &[100, 500, 900]),
        tick_us: *random.pick(&[10_000, 100_000]),
        mail_us: *random.pick(&[2, 50, 2_000]),
    }
}

/// What is drawn for a cluster beside what each of its nodes has.
#[derive(Clone, Debug)]
pub struct ClusterShape {
    /// Of each member; its crashes, breaks and jumps are drawn here instead.
    pub node: Shape,
    pub members: usize,
    pub min_in_sync: u8,
    pub lease_ms: u32,
    pub crashes: Vec<(u64, usize, Crash)>,
    /// When an operator tells whoever leads what.
    pub told: Vec<(u64, Told)>,
    /// Whose disk is lost, and when: at most one.
    pub disk_lost: Option<(u64, usize)>,
    /// How often a promotion accepts a loss, in thousandths.
    pub accept_loss: u64,
    pub jumps: Vec<(u64, usize, i64)>,
    /// From when until when which ways are closed.
    pub cuts: Vec<(u64, u64, Cut)>,
    pub wire_us: (u64, u64),
    pub lost: u64,
    pub twice: u64,
    pub overtakes: u64,
    /// When the leader is cut off, and another member is told to lead.
    pub contests: Vec<u64>,
    /// A change of the map is followed by worse at once, in thousandths.
    pub stirs: u64,
    /// Whoever has said something dies, in thousandths.
    pub blinks: u64,
    /// A client leaves a member that leads no more, each time that it thinks, in thousandths.
    pub leaves: u64,
    pub restart_us: u64,
    /// How late the authority's word is, each way.
    pub map_us: u64,
    pub pause_us: u64,
}

/// What a follower is fed from: in memory all of a run fits, or less and less of it; the rest is read back.
const TAILS: [usize; 4] = [8 << 20, 64 << 10, 16 << 10, 16 << 10];

/// When a member's segments become a checkpoint: never, or the sooner the less may be away without needing one.
const FOLDS: [FoldPolicy; 4] = [
    FoldPolicy::NEVER,
    FoldPolicy { least_bytes: 24 * BLOCK as u64, most_segments: 6 },
    FoldPolicy { least_bytes: 4 * BLOCK as u64, most_segments: 1 },
    FoldPolicy { least_bytes: 4 * BLOCK as u64, most_segments: 1 },
];

/// Three or five members. Their disks stall and lose what was not flushed, and report no errors.
pub fn cluster(random: &mut Random) -> ClusterShape {
    let mut node = slice(random);
    node.workers = 1;
    node.heal_us = *random.pick(&[2_000_000, 8_000_000, 16_000_000]);
    node.workload = workload(random, node.heal_us);
    let most = *random.pick(&[40, 300]);
    node.workload.operations = random.between(10, most);
    node.workload.relaxed = *random.pick(&[0, 300, 700]);
    node.tick_us = *random.pick(&[50_000, 100_000]);
    node.short_turns = 0;
    node.limits.tail_bytes = *random.pick(&TAILS);
    node.limits.fold = *random.pick(&FOLDS);
    node.limits.checkpoints = *random.pick(&[1, 1, 2]);
    node.net.notice_us = node.net.notice_us.max(10);
    let disk = &mut node.disk;
    disk.offered_damage = swarm(random, &[500]);
    (disk.write_error, disk.flush_error, disk.short_write, disk.prepare_error) = (0, 0, 0, 0);
    let (heal_us, members) = (node.heal_us, *random.pick(&[3, 3, 3, 5]));
    let crashes = times(random, heal_us, 6);
    let kinds = [Crash::Kill, Crash::PowerCut];
    let crashes = crashes.into_iter().map(|at| (at, random.index(members), *random.pick(&kinds))).collect();
    let tells = [Told::HandOver, Told::HandOver, Told::Require, Told::Release];
    let told = times(random, heal_us, 4).into_iter().map(|at| (at, *random.pick(&tells))).collect();
    let jumps =
        times(random, heal_us, 2).into_iter().map(|at| (at, random.index(members), jump(random))).collect();
    let cut = |random: &mut Random| {
        let one = random.index(members);
        match random.below(4) {
            0 => Cut::Alone(one),
            1 => Cut::Mute(one),
            2 => Cut::Deaf(one),
            _ => Cut::Way(one, (one + 1) % members),
        }
    };
    let cuts = times(random, heal_us, 4);
    let mut cuts: Vec<_> =
        cuts.into_iter().map(|at| (at, at + random.below(heal_us / 2), cut(random))).collect();
    cuts.extend(absence(random, heal_us, members));
    ClusterShape {
        members,
        // With 1 nobody may be required, and then no read is proven.
        min_in_sync: *random.pick(&[2, 2, 2, 3]),
        lease_ms: *random.pick(&[100, 300, 500, 2_000]),
        crashes,
        told,
        disk_lost: random.chance(150).then(|| (random.below(heal_us), random.index(members))),
        // What a follower has in its checkpoint it cannot give up by itself: it would have to be reseeded.
        accept_loss: if node.limits.fold == FoldPolicy::NEVER { *random.pick(&[0, 300]) } else { 0 },
        jumps,
        cuts,
        wire_us: *random.pick(&[(10, 100), (100, 2_000), (500, 40_000)]),
        lost: swarm(random, &[20, 150]),
        twice: swarm(random, &[50, 300]),
        overtakes: swarm(random, &[100, 900]),
        contests: times(random, heal_us, 8),
        stirs: *random.pick(&[0, 100, 500]),
        blinks: *random.pick(&[0, 2, 20]),
        leaves: *random.pick(&[2, 100]),
        restart_us: *random.pick(&[100, 20_000, 3_000_000]),
        map_us: *random.pick(&[100, 10_000, 300_000]),
        pause_us: *random.pick(&[30_000, 300_000, 2_500_000]),
        node,
    }
}

/// In half of the worlds nobody hears one of the members for long: what it misses is in no memory any more.
fn absence(random: &mut Random, heal_us: u64, members: usize) -> Option<(u64, u64, Cut)> {
    let from = random.below(heal_us / 4);
    let until = from + random.between(heal_us / 4, heal_us / 2);
    let cut = Cut::Alone(random.index(members));
    random.chance(500).then_some((from, until, cut))
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
    let mut budget = Budget::default();
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
