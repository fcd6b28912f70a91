//! What a seed makes of its cluster, and what some clusters are about.

use seawall::map::{Generation, Map, MemberId, Parts, Policy, Replicas, ShardId};
use seawall::position::Epoch;
use seawall_node::shard::{Budget, ReadProof};
use seawall_wal::BLOCK;
use seawall_wal::checkpoint::FoldPolicy;

use super::{Crash, Shape, jump, slice, swarm, times, workload};
use crate::cluster::{Bent, Cut, Told};
use crate::random::Random;

/// What a cluster is about. What a rule prevents may need several things in an order that seldom comes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Whatever comes.
    Any,
    /// The leader keeps some of its sync set, and another one of it leads on the other side.
    Divided,
    /// Who is not recorded leads, with less than was acknowledged, and while promises run.
    Usurped,
    /// One member's disk is slow, and clients read there.
    Behind,
    /// The only member that is required leads the next moment: it starts anew just before, or what it says comes late.
    Reborn,
}

/// What is drawn for a cluster beside what each of its nodes has.
#[derive(Clone, Debug)]
pub struct ClusterShape {
    pub mood: Mood,
    /// Of each member; its crashes, breaks and jumps are drawn here instead.
    pub node: Shape,
    pub members: usize,
    pub min_in_sync: u8,
    pub lease_ms: u32,
    /// What linearizable reads rest on.
    pub read_proof: ReadProof,
    pub crashes: Vec<(u64, usize, Crash)>,
    /// When an operator tells whoever leads what.
    pub told: Vec<(u64, Told)>,
    /// Whose disk is lost, and when: at most one.
    pub disk_lost: Option<(u64, usize)>,
    /// Whose disk damages what it holds, and when: one copy of several, and never beside a lost disk.
    pub rot: Option<(u64, usize)>,
    /// Whose disk turns a bit of what it keeps while it runs, and when. Only reading everything again finds that.
    pub flip: Option<(u64, usize)>,
    /// Who hears, from when on, that its leader's state differs from its own, or is sent what is not whole.
    pub bend: Option<(u64, usize, Bent)>,
    /// Whose disk reports errors.
    pub flaky: Option<usize>,
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
    /// Between two requests of a client while the leadership is contested, at most.
    pub hurry_us: u64,
    /// A change of the map is followed by worse at once, in thousandths.
    pub stirs: u64,
    /// Whoever has said something dies, in thousandths.
    pub blinks: u64,
    /// A client leaves a member that leads no more, each time that it thinks, in thousandths.
    pub leaves: u64,
    pub restart_us: u64,
    /// How late the authority's word is, each way.
    pub map_us: u64,
    /// After a map an older one is told, in thousandths.
    pub late_maps: u64,
    pub pause_us: u64,
    /// By how much the clock of each is fast, in millionths.
    pub drift_ppm: Vec<i64>,
    /// Whose disk is slow.
    pub slow: Option<usize>,
    /// How late a member hears of the end of a fold, at most.
    pub folds_late_us: u64,
}

/// Any two differ by no more than a leader takes off a promise.
const DRIFT_PPM: u64 = 250;

/// What a follower is fed from: in memory all of a run fits, or less and less of it; the rest is read back.
const TAILS: [usize; 4] = [8 << 20, 64 << 10, 16 << 10, 16 << 10];

/// When a member's segments become a checkpoint: never, or the sooner the less may be away without needing one.
const FOLDS: [FoldPolicy; 4] = [
    FoldPolicy::NEVER,
    FoldPolicy { least_bytes: 24 * BLOCK as u64, most_segments: 6 },
    FoldPolicy { least_bytes: 4 * BLOCK as u64, most_segments: 1 },
    FoldPolicy { least_bytes: 4 * BLOCK as u64, most_segments: 1 },
];

/// Three or five members. Their disks stall and lose what was not flushed; one of them may report errors.
pub fn cluster(random: &mut Random) -> ClusterShape {
    let node = of_member(random);
    let (heal_us, members) = (node.heal_us, *random.pick(&[3, 3, 3, 5]));
    let crashes = times(random, heal_us, 6);
    let kinds = [Crash::Kill, Crash::PowerCut];
    let crashes = crashes.into_iter().map(|at| (at, random.index(members), *random.pick(&kinds))).collect();
    let tells = [Told::HandOver, Told::HandOver, Told::Require, Told::Release];
    let told = times(random, heal_us, 4).into_iter().map(|at| (at, *random.pick(&tells))).collect();
    let jumps =
        times(random, heal_us, 2).into_iter().map(|at| (at, random.index(members), jump(random))).collect();
    let cuts = cuts(random, heal_us, members);
    let mut shape = ClusterShape {
        mood: Mood::Any,
        members,
        // With 1 nobody may be required, and then the authority proves reads.
        min_in_sync: *random.pick(&[1, 2, 2, 3]),
        lease_ms: *random.pick(&[100, 300, 500, 2_000]),
        crashes,
        told,
        disk_lost: random.chance(150).then(|| (random.below(heal_us), random.index(members))),
        accept_loss: *random.pick(&[0, 300]),
        jumps,
        cuts,
        wire_us: *random.pick(&[(10, 100), (100, 2_000), (500, 40_000)]),
        lost: swarm(random, &[20, 150]),
        twice: swarm(random, &[50, 300]),
        overtakes: swarm(random, &[100, 900]),
        contests: times(random, heal_us, 8),
        hurry_us: 30_000,
        stirs: *random.pick(&[0, 100, 500]),
        blinks: *random.pick(&[0, 2, 20]),
        leaves: *random.pick(&[2, 100]),
        restart_us: *random.pick(&[100, 20_000, 3_000_000]),
        map_us: *random.pick(&[100, 10_000, 300_000]),
        late_maps: swarm(random, &[300]),
        pause_us: *random.pick(&[30_000, 300_000, 2_500_000]),
        drift_ppm: drifts(random, members),
        slow: None,
        folds_late_us: *random.pick(&[0, 200, 20_000]),
        rot: None,
        flip: None,
        bend: None,
        flaky: random.chance(200).then(|| random.index(members)),
        read_proof: *random.pick(&[ReadProof::Lease, ReadProof::Lease, ReadProof::RoundTrip]),
        node,
    };
    harm(&mut shape, random);
    match random.below(100) {
        0..12 => divided(&mut shape, random),
        12..24 => usurped(&mut shape, random),
        24..30 => behind(&mut shape, random),
        30..36 => reborn(&mut shape, random),
        _ => {}
    }
    if shape.min_in_sync == 1 {
        // What is lost may have been the only copy.
        (shape.disk_lost, shape.rot, shape.flip, shape.bend) = (None, None, None, None);
    }
    shape
}

/// Each of them.
fn of_member(random: &mut Random) -> Shape {
    let mut node = slice(random);
    node.workers = 1;
    node.heal_us = *random.pick(&[2_000_000, 8_000_000, 16_000_000]);
    node.workload = workload(random, node.heal_us);
    let most = *random.pick(&[40, 300]);
    node.workload.operations = random.between(10, most);
    node.workload.relaxed = *random.pick(&[0, 300, 700]);
    node.tick_us = *random.pick(&[50_000, 100_000]);
    node.short_turns = 0;
    node.budget = Budget {
        scrub_bytes_per_second: *random.pick(&[0, 4 << 20, 64 << 20]),
        scrub_after_us: *random.pick(&[50_000, 500_000]),
        scrub_again_us: *random.pick(&[50_000, 1_000_000]),
        ..node.budget
    };
    node.limits.tail_bytes = *random.pick(&TAILS);
    node.limits.fold = *random.pick(&FOLDS);
    node.limits.checkpoints = *random.pick(&[1, 1, 2]);
    node.net.notice_us = node.net.notice_us.max(10);
    let disk = &mut node.disk;
    disk.offered_damage = swarm(random, &[500]);
    (disk.write_error, disk.flush_error, disk.short_write, disk.prepare_error) = (0, 0, 0, 0);
    node
}

fn cuts(random: &mut Random, heal_us: u64, members: usize) -> Vec<(u64, u64, Cut)> {
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
    cuts
}

fn harm(shape: &mut ClusterShape, random: &mut Random) {
    // Whoever halts counts no more, and without it there must be enough.
    if shape.disk_lost.is_none() && shape.members > usize::from(shape.min_in_sync) {
        let harmed = (random.below(shape.node.heal_us), random.index(shape.members));
        match random.below(10) {
            0 => shape.rot = Some(harmed),
            1 => shape.bend = Some((harmed.0, harmed.1, Bent::Digests)),
            2..4 => shape.bend = Some((harmed.0, harmed.1, Bent::Blocks)),
            4..9 if shape.node.budget.scrub_bytes_per_second > 0 => shape.flip = Some(harmed),
            _ => {}
        }
    }
}

fn drifts(random: &mut Random, members: usize) -> Vec<i64> {
    let drifts = random.chance(600);
    let drift = |random: &mut Random| random.below(2 * DRIFT_PPM + 1).cast_signed() - DRIFT_PPM.cast_signed();
    (0..members).map(|_| if drifts { drift(random) } else { 0 }).collect()
}

/// What every mood begins with: time enough for one thing after the other, and little besides.
fn calm(shape: &mut ClusterShape, random: &mut Random, members: usize) {
    let node = &mut shape.node;
    node.heal_us = 8_000_000;
    node.workload.clients = 4;
    node.workload.operations = 260;
    node.workload.window = 6;
    node.workload.readers = true;
    node.workload.think_us = (20_000, 60_000);
    node.workload.padding = 60;
    node.pauses = 0;
    (node.disk.stall, node.disk.offered_damage) = (0, 0);
    node.disk.write_us = (5, 30);
    node.disk.flush_us = (50, 1_000);
    node.disk.prepare_us = (500, 5_000);
    shape.members = members;
    shape.drift_ppm = drifts(random, members);
    shape.min_in_sync = 2;
    (shape.crashes, shape.told, shape.cuts, shape.contests) = Default::default();
    (shape.jumps, shape.disk_lost, shape.rot, shape.bend, shape.flaky) = Default::default();
    shape.flip = None;
    (shape.stirs, shape.blinks, shape.lost, shape.accept_loss) = (0, 0, 0, 0);
    (shape.leaves, shape.hurry_us) = (100, 40_000);
    shape.wire_us = *random.pick(&[(10, 100), (100, 2_000)]);
    shape.map_us = *random.pick(&[100, 10_000]);
}

fn divided(shape: &mut ClusterShape, random: &mut Random) {
    calm(shape, random, 5);
    shape.mood = Mood::Divided;
    shape.min_in_sync = 3;
    shape.lease_ms = *random.pick(&[300, 500]);
    shape.contests = vec![random.between(1_500_000, 3_500_000)];
}

fn usurped(shape: &mut ClusterShape, random: &mut Random) {
    let members = *random.pick(&[3, 5]);
    calm(shape, random, members);
    shape.mood = Mood::Usurped;
    shape.node.limits.fold = FoldPolicy::NEVER;
    shape.lease_ms = 2_000;
    shape.node.workload.think_us = (40_000, 90_000);
    shape.node.workload.relaxed = *random.pick(&[0, 500]);
    // In the beginning everybody is in the sync set.
    let released = (0..members as u64 - 2).map(|nth| (300_000 + 150_000 * nth, Told::Release));
    shape.told = released.collect();
    // Their promises are over by then.
    shape.contests = vec![random.between(2_800_000, 3_500_000)];
}

fn reborn(shape: &mut ClusterShape, random: &mut Random) {
    calm(shape, random, 3);
    shape.mood = Mood::Reborn;
    shape.node.limits.fold = FoldPolicy::NEVER;
    shape.read_proof = *random.pick(&[ReadProof::Lease, ReadProof::RoundTrip]);
    // The next leader is there while the lease of this one runs, or while an answer to it is on its way.
    shape.lease_ms = if shape.read_proof == ReadProof::Lease { 2_000 } else { 300 };
    shape.restart_us = 100;
    // A read of a row that an append waits for waits with it: of many rows, few are written where nothing is committed.
    let workload = &mut shape.node.workload;
    (workload.partitions, workload.rows) = (3, 10);
    (workload.clients, workload.window, workload.commits) = (6, 20, 400);
    (shape.leaves, shape.hurry_us) = (300, 10_000);
    // Who is released has promised something until then, and that is to be over.
    shape.told = vec![(300_000, Told::Release)];
    shape.contests = vec![random.between(2_800_000, 3_500_000)];
}

fn behind(shape: &mut ClusterShape, random: &mut Random) {
    calm(shape, random, 3);
    shape.mood = Mood::Behind;
    shape.lease_ms = 500;
    shape.node.heal_us = 5_000_000;
    shape.node.workload.relaxed = 900;
    shape.slow = Some(random.between(1, 2) as usize);
}

/// In half of the worlds nobody hears one of the members for long: what it misses is in no memory any more.
fn absence(random: &mut Random, heal_us: u64, members: usize) -> Option<(u64, u64, Cut)> {
    let from = random.below(heal_us / 4);
    let until = from + random.between(heal_us / 4, heal_us / 2);
    let cut = Cut::Alone(random.index(members));
    random.chance(500).then_some((from, until, cut))
}

/// Everybody keeps the one shard; nobody has led it.
pub fn first_map(shape: &ClusterShape, shard: ShardId) -> Map {
    let ids = || (1..=u32::try_from(shape.members).expect("a handful")).map(MemberId);
    let members = ids()
        .map(|id| seawall::map::Member {
            id,
            address: format!("member-{id}:7411"),
            peer: format!("member-{id}:7413"),
            labels: Vec::new(),
        })
        .collect();
    let policy = Policy { min_in_sync: shape.min_in_sync, member_timeout_ms: 500, lease_ms: shape.lease_ms };
    let replicas = Replicas {
        shard,
        epoch: Epoch(0),
        leader: None,
        sync: Default::default(),
        asyncs: ids().collect(),
        policy,
        open_loss: None,
        changed: Generation(1),
    };
    let ranges = vec![seawall::map::Range { first_hash: 0, shard }];
    Map::of(Parts { generation: Generation(1), members, ranges, replicas: vec![replicas], audit: None })
        .expect("a map")
}
