//! A cluster in virtual time: several members, each with its own disk, clock and clients' network, the messages between
//! them, and an authority that compares and swaps.
//!
//! ```text
//! mod.rs      the queue: what happens next, whatever happens
//! member.rs   one member: it starts, works in turns, dies
//! wire.rs     messages between members: lost, twice, late, overtaking, one way only
//! harm.rs     disks that report errors or damage their data, and members that halt
//! scrub.rs    what is kept is read again, and bits that turn there
//! story.rs    faults that belong together: contests for the leadership, deaths in the worst moment
//! written.rs  every record that was ever written, for those that folds take away
//! judge.rs    the end: every log is read back and held against every answer
//! ```
//! Like the world of one node it executes what the workers ask for, and never decides what comes next for them.

mod harm;
pub use harm::Bent;
mod judge;
pub use judge::Loss;
mod member;
mod scrub;
mod story;
mod wire;
mod written;

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall::map::{Generation, Map, MemberId, ShardId};
use seawall_wal::{Flaw, FoldDone, ScrubJob};

use crate::check::{Violation, violation};
use crate::disk;
use crate::fault::{Fault, Fired};
use crate::history::At;
use crate::net::{self, LinkId, News};
use crate::plan::{self, ClusterShape, Crash};
use crate::random::Random;
use crate::run::{Counts, Run};
use crate::trace::{Bytes, Sink, Trace};
use crate::world::{Crowd, Slice, When};
use member::Member;
use seawall_node::replica::Kind;
use seawall_node::seam::Event;
pub use story::Told;
pub use wire::Cut;
use wire::Wire;

const SHARD: ShardId = ShardId(1);
/// After the faults end, every client must be done within this virtual time.
const PATIENCE_US: u64 = 60_000_000;
/// Then everybody has so long to be level: a lease promise to a leader of before, a silence, and what is to be caught up.
const LEVEL_US: u64 = 12_000_000;
const EVENTS_MAX: u64 = 400_000;
/// Between two looks for the leader.
const LOOK_US: u64 = 5_000;
/// How late a healed authority's word is at most.
const QUICK_US: u64 = 1_000;
const OLDER_MAPS: usize = 3;
const COUNTS: [&str; 30] = [
    "lines of trace",
    "starts",
    "commits answered",
    "reads answered",
    "records",
    "epochs",
    "orders given",
    "orders done",
    "losses accepted",
    "answers within them",
    "contests",
    "takeovers",
    "blinks",
    "changes of the map",
    "logs opened again",
    "members in sync at the end",
    "reads of segments for members",
    "reads of checkpoints for members",
    "checkpoints adopted",
    "logs put aside",
    "members that reseed by themselves",
    "members that do not go on, loudly",
    "folds of members",
    "logs that failed",
    "members halted for good",
    "halted members started again",
    "states compared",
    "files read again",
    "files found rotten",
    "turned bits found",
];

/// Something in the queue. `life` tells processes apart, over all members.
#[derive(Debug)]
enum What {
    Disk(usize, disk::Ticket, disk::Step),
    Net(usize, net::Step),
    Turn(usize, u32),
    Tick(usize, u32),
    Arrives {
        to: usize,
        from: MemberId,
        frame: Vec<u8>,
    },
    /// The authority hears of a proposal.
    Proposed(Box<Map>),
    /// A member hears of a map.
    MapTold(usize, u32, Arc<Map>),
    /// The authority is asked for the newest map; and its answer is heard.
    MapAsked(usize, u32, u64),
    NewestMap(usize, u32, u64, Generation),
    Reopened(usize, u32),
    Think(usize),
    Crash(usize, Crash),
    Start(usize),
    /// An operator tells whoever leads something.
    Tell(Told),
    Contest,
    /// A member's disk is replaced by an empty one.
    DiskLost(usize),
    /// What one of the disks holds turns into something else.
    Rot(usize),
    /// What this member hears of its leader's state is not so from now on.
    Bend(usize, harm::Bent),
    /// The same while it runs: one bit.
    Flip(usize),
    /// A file is read again; and its member hears what was found.
    ScrubReads(usize, u32, u64, ScrubJob),
    ScrubEnds(usize, u32, u64, Result<(), Flaw>),
    /// A member hears of the end of a fold.
    Folded(usize, u32, FoldDone),
    /// An operator starts a process again whose log failed.
    Mend(usize, u32),
    /// After the faults: whoever leads by the map may be unable to.
    Care,
    /// An operator tells a member to lead, again and again until this time.
    Urge(usize, u64, Kind),
    /// Until this time.
    Cut(Cut, u64),
    Jump(usize, i64),
    Heal,
    GiveUp,
}

pub struct Cluster {
    shape: ClusterShape,
    random: Random,
    trace: Trace,
    now: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), What>,
    moment: u64,
    members: Vec<Member>,
    /// What the authority holds.
    map: Arc<Map>,
    /// The last ones that it held: somebody may yet hear of them.
    maps: Vec<Arc<Map>>,
    wire: Wire,
    crowd: Box<dyn Crowd>,
    written: written::Written,
    /// Where each client is connected.
    at: Vec<Option<(usize, LinkId)>>,
    lives: u32,
    healed: bool,
    healed_at: u64,
    /// Until then clients ask as fast as they can.
    hurry_until: u64,
    left: story::Left,
    losses: Vec<judge::Loss>,
    /// Its disk was lost.
    blank: Option<usize>,
    harm: harm::Harm,
    scrubs: scrub::Scrubs,
    /// An operator looks after the cluster.
    cares: bool,
    /// Where clients that only read go.
    readers_at: Option<usize>,
    /// What was held where, and by whom: by the record at which a state stood.
    states: BTreeMap<At, (usize, u64)>,
    fired: Fired,
    counts: Counts,
}

/// Runs the cluster of a seed to its end, and checks it.
pub fn run(seed: u64, sink: Option<Sink>) -> Run {
    let mut cluster = Cluster::new(seed, sink);
    let failure = cluster.live().and_then(|()| cluster.judge()).err();
    for member in &cluster.members {
        cluster.fired.merge(&member.disk.fired);
        cluster.fired.merge(&member.net.fired);
    }
    let Cluster { trace, mut counts, fired, .. } = cluster;
    counts.add("lines of trace", trace.lines());
    Run { seed, hash: trace.hash(), counts, fired, failure }
}

impl Cluster {
    fn new(seed: u64, sink: Option<Sink>) -> Self {
        let mut random = Random::new(seed);
        let shape = plan::cluster(&mut random.fork());
        let map = Arc::new(plan::first_map(&shape, SHARD));
        let members = (0..shape.members).map(|nth| Member::new(nth, &shape, &mut random)).collect();
        let crowd = Box::new(Slice::new(shape.node.workload.clone(), &map, &mut random));
        let mut cluster = Self {
            trace: Trace::new(sink),
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            moment: 0,
            members,
            maps: vec![map.clone()],
            map,
            wire: Wire::default(),
            crowd,
            written: written::Written::default(),
            at: vec![None; shape.node.workload.clients],
            lives: 0,
            healed: false,
            healed_at: 0,
            hurry_until: 0,
            left: story::Left::default(),
            losses: Vec::new(),
            blank: None,
            harm: harm::Harm::default(),
            scrubs: scrub::Scrubs::default(),
            cares: false,
            readers_at: shape.slow,
            states: BTreeMap::new(),
            fired: Fired::default(),
            counts: Counts::new(&COUNTS),
            random,
            shape,
        };
        cluster.schedule();
        cluster
    }

    fn schedule(&mut self) {
        let shape = self.shape.clone();
        self.trace.note(0, format_args!("{:?}: {} members", shape.mood, shape.members));
        (0..shape.members).for_each(|nth| self.at(0, What::Start(nth)));
        self.at(shape.node.heal_us, What::Heal);
        self.at(shape.node.heal_us + PATIENCE_US, What::GiveUp);
        shape.crashes.iter().for_each(|(at, nth, crash)| self.at(*at, What::Crash(*nth, *crash)));
        shape.told.iter().for_each(|(at, told)| self.at(*at, What::Tell(*told)));
        shape.jumps.iter().for_each(|(at, nth, by)| self.at(*at, What::Jump(*nth, *by)));
        shape.contests.iter().for_each(|at| self.at(*at, What::Contest));
        shape.disk_lost.iter().for_each(|(at, nth)| self.at(*at, What::DiskLost(*nth)));
        shape.rot.iter().for_each(|(at, nth)| self.at(*at, What::Rot(*nth)));
        shape.flip.iter().for_each(|(at, nth)| self.at(*at, What::Flip(*nth)));
        shape.bend.iter().for_each(|(at, nth, bent)| self.at(*at, What::Bend(*nth, *bent)));
        shape.cuts.iter().for_each(|(at, until, cut)| self.at(*at, What::Cut(cut.clone(), *until)));
        (0..shape.node.workload.clients).for_each(|client| self.at(client as u64, What::Think(client)));
    }

    fn at(&mut self, at: u64, what: What) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), what);
    }

    fn live(&mut self) -> Result<(), Violation> {
        while !self.crowd.done() {
            self.next()?;
        }
        let until = self.now + LEVEL_US;
        while self.now < until {
            self.next()?;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(), Violation> {
        let ((at, _), what) = self.queue.pop_first().expect("ticks go on for ever");
        self.now = at;
        self.moment += 1;
        if self.trace.lines() > EVENTS_MAX {
            return violation("a run ends", format!("more than {EVENTS_MAX} events"));
        }
        self.happen(what)?;
        self.settle_nets()
    }

    fn happen(&mut self, what: What) -> Result<(), Violation> {
        match what {
            What::Disk(nth, ticket, step) => return self.disk_step(nth, ticket, step),
            What::Net(nth, step) => self.members[nth].net.step(self.now, step),
            What::Turn(nth, life) => return self.turn(nth, life),
            What::Tick(nth, life) => return self.tick(nth, life),
            What::Arrives { to, from, frame } => self.arrives(to, from, frame),
            What::Proposed(map) => self.proposed(*map),
            What::MapTold(nth, life, map) => self.map_told(nth, life, &map),
            What::MapAsked(nth, life, round) => {
                let (late, generation) = (self.map_takes(), self.map.generation());
                self.at(self.now + late, What::NewestMap(nth, life, round, generation));
            }
            What::NewestMap(nth, life, round, generation) => {
                if self.members[nth].life() == Some(life) {
                    self.tell(nth, Event::NewestMap { shard: SHARD, round, generation });
                }
            }
            What::Reopened(nth, life) => self.reopened(nth, life),
            What::Think(client) => self.think(client),
            What::Crash(nth, crash) => self.crash(nth, crash),
            What::Start(nth) => self.start(nth),
            What::Tell(told) => self.tell_leader(told),
            What::Contest => self.contest(),
            What::DiskLost(nth) => self.disk_lost(nth),
            What::Rot(nth) => self.rot(nth),
            What::Bend(nth, bent) => self.bend(nth, bent),
            What::Flip(nth) => self.flip(nth),
            What::ScrubReads(nth, life, round, job) => return self.scrub_reads(nth, life, round, &job),
            What::ScrubEnds(nth, life, round, result) => self.scrub_ends(nth, life, round, result),
            What::Folded(nth, life, done) => {
                if self.members[nth].life() == Some(life) {
                    self.tell(nth, Event::Folded { shard: SHARD, done });
                }
            }
            What::Mend(nth, life) => self.mend(nth, life),
            What::Care => self.care(),
            What::Urge(nth, until, kind) => self.urge(nth, until, kind),
            What::Cut(_, until) if until <= self.now || self.healed => {}
            What::Cut(cut, until) => {
                self.trace.note(self.now, format_args!("the network: {cut:?}"));
                self.fired.add(Fault::Partition);
                self.wire.cut(cut, until);
            }
            What::Jump(nth, by) => {
                self.fired.add(Fault::WallJump);
                self.members[nth].clock.jump(by);
            }
            What::Heal => self.heal(),
            What::GiveUp if self.crowd.done() => {}
            What::GiveUp => {
                let text = format!(
                    "{PATIENCE_US} us after the faults ended: {}; {:?}",
                    self.crowd.waiting(),
                    self.map
                );
                return violation("I8, a healed cluster makes progress", text);
            }
        }
        Ok(())
    }

    fn heal(&mut self) {
        self.trace.note(self.now, format_args!("the faults end"));
        (self.healed, self.healed_at) = (true, self.now);
        self.begin_care();
        self.wire.heal();
        for nth in 0..self.members.len() {
            (self.members[nth].paused_until, self.members[nth].unmapped_until) = (0, 0);
            self.members[nth].disk.heal();
            self.members[nth].disk.pace(self.shape.node.disk.write_us);
            self.members[nth].net.heal();
            self.at(self.now, What::Start(nth));
            self.accept_clock(nth);
            if let Some(life) = self.members[nth].life() {
                // Whoever is paused goes on now, and not at the end of its pause.
                self.at(self.now, What::Turn(nth, life));
            }
        }
    }

    /// The authority: one change after the other, each on the generation before it.
    fn proposed(&mut self, map: Map) {
        let follows = map.generation().0 == self.map.generation().0 + 1;
        self.trace.note(self.now, format_args!("authority: generation {} {follows}", map.generation()));
        if follows {
            self.counts.add("changes of the map", 1);
            let before = self.leader();
            self.note_loss(&map);
            self.map = Arc::new(map);
            self.maps.push(self.map.clone());
            let older = self.maps.len().saturating_sub(OLDER_MAPS);
            self.maps.drain(..older);
            let taken = before.is_some() && before != self.leader();
            self.counts.add("takeovers", u64::from(taken));
            if taken {
                let (now, after) = (self.now, self.leader());
                self.trace.note(now, format_args!("takeover: {before:?} -> {after:?}"));
            }
            self.stir();
        }
        for nth in 0..self.members.len() {
            if let Some(life) = self.members[nth].life() {
                let late = self.random.between(1, self.shape.map_us);
                self.at(self.now + late, What::MapTold(nth, life, self.map.clone()));
            }
        }
    }

    /// A question that reads wait for; a healed cluster is to be done before long.
    fn map_takes(&mut self) -> u64 {
        let most = if self.healed { self.shape.map_us.min(QUICK_US) } else { self.shape.map_us };
        self.random.between(1, most)
    }

    fn leader(&self) -> Option<usize> {
        let leader = self.map.replicas(SHARD)?.leader?;
        Some(leader.0 as usize - 1)
    }

    fn think(&mut self, client: usize) {
        let (low, high) = self.shape.node.workload.think_us;
        let next = match () {
            () if self.healed => 4_000,
            () if self.now < self.hurry_until => self.random.between(500, self.shape.hurry_us),
            () => self.random.between(low, high),
        };
        let leader = self.leader();
        // Whoever is not where the leader is looks for it now and then, not all the time.
        let at_leader = self.at[client].is_some_and(|(nth, _)| leader == Some(nth));
        let next = if at_leader || self.now < self.hurry_until { next } else { next.max(LOOK_US) };
        let next = (self.now + next.max(1)).max(self.crowd.patient_until(client));
        self.at(next, What::Think(client));
        if self.now < self.crowd.patient_until(client) {
            return;
        }
        let Some((nth, link)) = self.at[client] else { return self.connect(client, leader) };
        let leaves = match () {
            () if self.healed => 100,
            () if self.shape.node.workload.only_reads(client) => 5,
            () => self.shape.leaves,
        };
        let elsewhere = leader != Some(nth) && self.random.chance(leaves);
        if elsewhere || self.crowd.is_stale(client) {
            self.members[nth].net.client_closes(self.now, link);
            return self.disconnected(client);
        }
        let wall_us = self.members[nth].clock.read(self.now).wall_us;
        let when = When { now: self.now, wall_us, moment: self.moment, healed: self.healed };
        if let Some((number, out)) = self.crowd.think(client, when) {
            self.trace
                .note(self.now, format_args!("client {client} asks member {nth}: {number} {}", Bytes(&out)));
            self.members[nth].net.client_sends(self.now, link, out);
        }
    }

    fn connect(&mut self, client: usize, leader: Option<usize>) {
        let other = self.random.index(self.members.len());
        let slow = self.readers_at.filter(|_| self.shape.node.workload.only_reads(client));
        let nth = leader.filter(|_| self.healed || self.random.chance(800)).unwrap_or(other);
        let nth = slow.filter(|_| !self.healed && self.random.chance(800)).unwrap_or(nth);
        let Some(life) = self.members[nth].life() else { return };
        let link = self.members[nth].net.connect(self.now, seawall_node::seam::WorkerId(0));
        self.at[client] = Some((nth, link));
        let hello = self.crowd.connected(client, link, life);
        self.members[nth].net.client_sends(self.now, link, hello);
    }

    fn disconnected(&mut self, client: usize) {
        self.at[client] = None;
        self.crowd.disconnected(client);
    }

    fn settle_nets(&mut self) -> Result<(), Violation> {
        for nth in 0..self.members.len() {
            for (at, step) in std::mem::take(&mut self.members[nth].net.plan) {
                self.at(at, What::Net(nth, step));
            }
            for news in std::mem::take(&mut self.members[nth].net.news) {
                match news {
                    News::Node(_, event) => self.tell(nth, event),
                    News::Bytes(link, bytes) => {
                        if let Some(client) = self.client_of(nth, link) {
                            self.crowd.read(client, self.now, &bytes, &mut self.moment)?;
                        }
                    }
                    News::Ended(link) => {
                        if let Some(client) = self.client_of(nth, link) {
                            self.disconnected(client);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn client_of(&self, nth: usize, link: LinkId) -> Option<usize> {
        self.at.iter().position(|at| *at == Some((nth, link)))
    }
}
