//! The world: one node on a simulated disk, network and clock, and its clients, in virtual time.
//!
//! Everything that happens is in one queue, ordered by (time, sequence). The world executes what the workers ask
//! for and reports what became of it; like a driver, it never decides what comes next for them.

mod crowd;
pub mod describe;
pub mod finish;
mod node;

use std::collections::{BTreeMap, BTreeSet};

use seawall::map::{Generation, Map, ShardId};
use seawall_node::seam::{Letter, WorkerId};
use seawall_wal::{FileId, LogId};

use crate::check::{Violation, violation};
use crate::clock::Clock;
use crate::disk::{self, Disk};
use crate::fault::{Fault, Fired};
use crate::net::{self, LinkId, Net, News};
use crate::plan::{self, Crash, Plan, Shape};
use crate::random::Random;
use crate::run::{Counts, Run};
use crate::store::Shoppers;
use crate::trace::{Bytes, Sink, Trace};
pub use crowd::{Crowd, Left, Slice, When};
use node::Process;

pub const LINEAGE: [u8; 16] = *b"simulated world.";
/// After the faults end, every client must be done within this virtual time.
const PATIENCE_US: u64 = 30_000_000;
/// A run of more events than this goes in circles.
const EVENTS_MAX: u64 = 200_000;
/// What every plan of a node counts.
const COUNTS: [&str; 5] = ["lines of trace", "starts", "commits answered", "reads answered", "records"];

/// Something in the queue.
#[derive(Debug)]
enum What {
    Disk(disk::Ticket, disk::Step),
    Net(net::Step),
    Turn {
        life: u32,
        worker: WorkerId,
    },
    Tick {
        life: u32,
        worker: WorkerId,
    },
    Mail {
        life: u32,
        to: WorkerId,
        from: WorkerId,
        letter: Letter,
    },
    Think(usize),
    Break,
    HalfClose,
    /// A client that half-closed has read for long enough.
    Leave(usize, LinkId),
    Jump(i64),
    /// So much time goes by while nothing else happens.
    Pass(u64),
    AcceptClocks,
    Crash(Crash),
    /// The process starts, unless another one is there.
    Start,
    /// Somebody restarts a process whose log failed.
    Operator {
        life: u32,
    },
    StopDue {
        life: u32,
    },
    Heal,
    GiveUp,
}

pub struct World {
    shape: Shape,
    random: Random,
    trace: Trace,
    now: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), What>,
    /// Counts what happens; see [`crate::history`].
    moment: u64,
    clock: Clock,
    disk: Disk,
    net: Net,
    map: std::sync::Arc<Map>,
    crowd: Box<dyn Crowd>,
    life: u32,
    process: Option<Process>,
    /// The process that a connection belongs to.
    links: BTreeMap<LinkId, (u32, usize)>,
    healed: bool,
    /// Shards whose log met an injected error, by process.
    hurt: BTreeSet<(u32, ShardId)>,
    fired: Fired,
    counts: Counts,
}

/// Runs the world of a seed to its end, and checks it.
pub fn run(plan: Plan, seed: u64, sink: Option<Sink>) -> Run {
    let mut world = World::new(plan, seed, sink);
    let failure = world.live().and_then(|()| world.finish()).err();
    world.fired.merge(&world.disk.fired);
    world.fired.merge(&world.net.fired);
    let World { trace, mut counts, fired, .. } = world;
    counts.add("lines of trace", trace.lines());
    Run { seed, hash: trace.hash(), counts, fired, failure }
}

impl World {
    fn new(plan: Plan, seed: u64, sink: Option<Sink>) -> Self {
        let mut random = Random::new(seed);
        let shape = match plan {
            Plan::Shard => plan::shard(&mut random.fork()),
            Plan::Slice | Plan::Log | Plan::Cluster => plan::slice(&mut random.fork()),
        };
        let map = Map::even(Generation(shape.generation), u32::from(shape.workers));
        let mut disk = Disk::new(shape.disk.clone(), random.fork());
        for range in map.ranges() {
            let id = LogId { lineage: LINEAGE, shard: range.shard.0 };
            disk.install(range.shard, FileId::Meta, seawall_wal::meta::format(&id));
        }
        let mut counts = Counts::new(&COUNTS);
        let crowd: Box<dyn Crowd> = match plan {
            Plan::Shard => {
                counts.merge(&Shoppers::counts());
                Box::new(Shoppers::new(&shape.workload, &map, &mut random))
            }
            Plan::Slice | Plan::Log | Plan::Cluster => {
                Box::new(crowd::Slice::new(shape.workload.clone(), &map, &mut random))
            }
        };
        let mut world = Self {
            net: Net::new(shape.net.clone(), random.fork()),
            trace: Trace::new(sink),
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            moment: 0,
            clock: Clock::new(random.below(1 << 40)),
            disk,
            map: map.into(),
            crowd,
            life: 0,
            process: None,
            links: BTreeMap::new(),
            healed: false,
            hurt: BTreeSet::new(),
            fired: Fired::default(),
            counts,
            random,
            shape,
        };
        world.schedule();
        world
    }

    fn schedule(&mut self) {
        let shape = self.shape.clone();
        self.at(0, What::Start);
        self.at(shape.heal_us, What::Heal);
        self.at(shape.heal_us + PATIENCE_US, What::GiveUp);
        shape.crashes.iter().for_each(|(at, crash)| self.at(*at, What::Crash(*crash)));
        shape.breaks.iter().for_each(|at| self.at(*at, What::Break));
        shape.half_closes.iter().for_each(|at| self.at(*at, What::HalfClose));
        shape.jumps.iter().for_each(|(at, by)| self.at(*at, What::Jump(*by)));
        shape.passes.iter().for_each(|(at, by)| self.at(*at, What::Pass(*by)));
        shape.accepts.iter().for_each(|at| self.at(*at, What::AcceptClocks));
        (0..shape.workload.clients).for_each(|client| self.at(client as u64, What::Think(client)));
    }

    fn at(&mut self, at: u64, what: What) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), what);
    }

    fn live(&mut self) -> Result<(), Violation> {
        while !self.crowd.done() {
            let ((at, _), what) = self.queue.pop_first().expect("the clients think for ever");
            self.now = at;
            self.moment += 1;
            if self.trace.lines() > EVENTS_MAX {
                return violation("a run ends", format!("more than {EVENTS_MAX} events"));
            }
            self.happen(what)?;
            self.settle_net()?;
        }
        Ok(())
    }

    fn happen(&mut self, what: What) -> Result<(), Violation> {
        match what {
            What::Disk(ticket, step) => self.disk_step(ticket, step),
            What::Net(step) => {
                self.trace.note(self.now, format_args!("net {}", describe::NetStep(&step)));
                self.net.step(self.now, step);
            }
            What::Turn { life, worker } => return self.turn(life, worker),
            What::Tick { life, worker } => self.tick(life, worker),
            What::Mail { life, to, from, letter } => self.deliver(life, to, from, letter),
            What::Think(client) => self.think(client),
            What::Break => self.break_link(),
            What::HalfClose => self.half_close(),
            What::Leave(client, link) => self.leave(client, link),
            What::Jump(by) => {
                self.trace.note(self.now, format_args!("the wall clock jumps by {by} us"));
                self.fired.add(Fault::WallJump);
                self.clock.jump(by);
            }
            What::Pass(by) => {
                self.trace.note(self.now, format_args!("{by} us go by"));
                self.clock.pass(by);
            }
            What::AcceptClocks => self.accept_clocks(),
            What::Crash(crash) => self.crash(crash),
            What::Start => self.start(),
            What::Operator { life } => self.operator(life),
            What::StopDue { life } => return self.stop_due(life),
            What::Heal => self.heal(),
            What::GiveUp => return self.stuck(),
        }
        Ok(())
    }

    fn think(&mut self, client: usize) {
        let (low, high) = self.shape.workload.think_us;
        let next = if self.healed { 200 } else { self.random.between(low, high) };
        let next = (self.now + next.max(1)).max(self.crowd.patient_until(client));
        self.at(next, What::Think(client));
        if self.now < self.crowd.patient_until(client) {
            return;
        }
        let up = self.process.as_ref().filter(|process| !process.stopping);
        let Some(link) = self.crowd.link(client) else {
            if up.is_some() && self.random.chance(500) {
                let worker =
                    WorkerId(u16::try_from(self.random.below(u64::from(self.shape.workers))).expect("small"));
                let link = self.net.connect(self.now, worker);
                self.trace.note(self.now, format_args!("client {client} connects to {worker:?} as {link:?}"));
                self.links.insert(link, (self.life, client));
                let hello = self.crowd.connected(client, link, self.life);
                self.net.client_sends(self.now, link, hello);
            }
            return;
        };
        let wall_us = self.clock.read(self.now).wall_us;
        let when = When { now: self.now, wall_us, moment: self.moment, healed: self.healed };
        if let Some((number, out)) = self.crowd.think(client, when) {
            self.trace
                .note(self.now, format_args!("client {client} asks operation {number} {}", Bytes(&out)));
            self.net.client_sends(self.now, link, out);
        }
    }

    fn break_link(&mut self) {
        let whole = self.net.whole();
        if !whole.is_empty() {
            let link = *self.random.pick(&whole);
            self.trace.note(self.now, format_args!("{link:?} breaks"));
            self.net.break_link(self.now, link);
        }
    }

    fn half_close(&mut self) {
        let whole = self.net.whole();
        if whole.is_empty() {
            return;
        }
        let link = *self.random.pick(&whole);
        let (_, client) = self.links[&link];
        self.trace.note(self.now, format_args!("client {client} ends its direction of {link:?}"));
        self.crowd.half_closed(client);
        self.net.client_ends(self.now, link);
        self.at(self.now + 20_000, What::Leave(client, link));
    }

    fn leave(&mut self, client: usize, link: LinkId) {
        if self.crowd.link(client) == Some(link) {
            self.trace.note(self.now, format_args!("client {client} leaves {link:?}"));
            self.net.client_closes(self.now, link);
            self.crowd.disconnected(client);
        }
    }

    /// What the network did is put into the queue and told to those whom it concerns.
    fn settle_net(&mut self) -> Result<(), Violation> {
        for (at, step) in std::mem::take(&mut self.net.plan) {
            self.at(at, What::Net(step));
        }
        for news in std::mem::take(&mut self.net.news) {
            match news {
                News::Node(worker, event) => self.tell(worker, event),
                News::Bytes(link, bytes) => {
                    let (_, client) = self.links[&link];
                    if self.crowd.link(client) == Some(link) {
                        self.crowd.read(client, self.now, &bytes, &mut self.moment)?;
                    }
                }
                News::Ended(link) => {
                    let (_, client) = self.links[&link];
                    if self.crowd.link(client) == Some(link) {
                        self.trace.note(self.now, format_args!("client {client} loses {link:?}"));
                        self.crowd.disconnected(client);
                    }
                }
            }
        }
        Ok(())
    }

    fn heal(&mut self) {
        self.trace.note(self.now, format_args!("the faults end"));
        self.healed = true;
        self.disk.heal();
        self.net.heal();
        (self.shape.pauses, self.shape.crash_again) = (0, 0);
        if self.process.is_none() {
            self.at(self.now, What::Start);
        }
        self.accept_clocks();
    }

    fn stuck(&mut self) -> Result<(), Violation> {
        let text = format!("{PATIENCE_US} us after the faults ended: {}", self.crowd.waiting());
        violation("a healed world makes progress", text)
    }
}
