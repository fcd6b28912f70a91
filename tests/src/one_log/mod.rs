//! The world of one log: no worker, no network, no clients. A script appends records; the disk crashes, fails and
//! damages its data; recovery brings the log back; and a [`model`] knows what was appended and what was
//! acknowledged.
//!
//! What is held against it after every recovery stands in [`judge`], and while the log runs in [`life`].

mod judge;
mod life;
mod met;
mod model;
mod script;
mod shape;
mod writes;

use std::collections::BTreeMap;

use seawall::map::ShardId;
use seawall_wal::{FileId, Index, LogId};

use crate::check::{Violation, violation};
use crate::disk::{Disk, Ended, Step, Ticket};
use crate::fault::{Fault, Fired};
use crate::random::Random;
use crate::run::{Counts, Run};
use crate::trace::{Sink, Trace};
use life::Life;
use model::Model;
use shape::Shape;
use writes::Writes;

const LOG: LogId = LogId { lineage: *b"world of one log", shard: 1 };
const SHARD: ShardId = ShardId(LOG.shard);
/// A run of more events than this goes in circles.
const EVENTS_MAX: u64 = 2_000;

/// What a run of many seeds must come past.
const COUNTS: [&str; 19] = [
    "events",
    "records",
    "acknowledged",
    "segments begun",
    "slots used again",
    "checkpoints made",
    "folds failed for an error",
    "folds refused for damage",
    "recoveries from a checkpoint",
    "recoveries from an older checkpoint",
    "recoveries",
    "tails certain",
    "tails uncertain",
    "cuts finished",
    "halts for a read or write error",
    "halts for damage",
    "repairs",
    "acknowledged, then lost to damage and reported",
    "logs lost to damage",
];

/// Something in the queue.
#[derive(Debug)]
enum What {
    Disk(Ticket, Step),
    Turn { life: u32 },
    Start,
    Crash,
}

pub(crate) struct World {
    shape: Shape,
    random: Random,
    trace: Trace,
    now: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), What>,
    disk: Disk,
    model: Model,
    writes: Writes,
    life: Life,
    /// Starts so far; what belongs to an earlier one is not heard any more.
    lives: u32,
    /// Faults have ended, and what remains must come to life.
    healed: bool,
    /// The record that was appended then.
    last: Option<Index>,
    /// A recovery that did not live to report it may have recorded a cut that damage explains: the next one
    /// finishes it, whatever it sees itself.
    cut_for_damage: bool,
    /// Wrong bytes made a recovery overlook records, and nothing on the disk shows it.
    misled: bool,
    /// And no recorded cut keeps them from coming back.
    overlooked: bool,
    /// Nobody can bring this log back: damage became its content.
    lost: bool,
    fired: Fired,
    counts: Counts,
}

/// Runs the world of a seed to its end.
pub fn run(seed: u64, sink: Option<Sink>) -> Run {
    let mut world = World::new(seed, sink);
    let failure = world.live().and_then(|()| world.finish()).err();
    world.fired.merge(&world.disk.fired);
    let World { trace, counts, fired, .. } = world;
    Run { seed, hash: trace.hash(), counts, fired, failure }
}

impl World {
    fn new(seed: u64, sink: Option<Sink>) -> Self {
        let mut random = Random::new(seed);
        let shape = shape::draw(&mut random.fork());
        let mut disk = Disk::new(shape.disk.clone(), random.fork());
        disk.install(SHARD, FileId::Meta, seawall_wal::meta::format(&LOG));
        let mut world = Self {
            shape,
            random,
            trace: Trace::new(sink),
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            disk,
            model: Model::default(),
            writes: Writes::default(),
            life: Life::down(),
            lives: 0,
            healed: false,
            last: None,
            cut_for_damage: false,
            misled: false,
            overlooked: false,
            lost: false,
            fired: Fired::default(),
            counts: Counts::new(&COUNTS),
        };
        world.at(0, What::Start);
        world
    }

    fn at(&mut self, at: u64, what: What) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), what);
    }

    fn live(&mut self) -> Result<(), Violation> {
        for _ in 0..self.shape.events {
            if self.lost {
                return Ok(());
            }
            self.next()?;
            self.draw_rot();
            let every = match self.life.recovering() {
                true => self.shape.crash_in_recovery_every,
                false => self.shape.crash_every,
            };
            if every > 0 && self.random.below(every) == 0 {
                self.at(self.now, What::Crash);
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(), Violation> {
        let Some(((at, _), what)) = self.queue.pop_first() else {
            return violation("a log goes on", format!("nothing is under way: {:?}", self.life));
        };
        self.now = at;
        self.counts.add("events", 1);
        match what {
            What::Disk(ticket, step) => match self.disk.step(ticket, step) {
                Some((_, Ended::Io(done))) => self.done(done),
                Some((_, Ended::Fold(done))) => self.folded(done),
                None => Ok(()),
            },
            What::Turn { life } if life == self.lives => self.turn(),
            What::Turn { .. } => Ok(()),
            What::Start => self.start(),
            What::Crash => {
                self.crash();
                Ok(())
            }
        }
    }

    /// One last crash, and then no more faults: the log comes back and takes a record.
    fn finish(&mut self) -> Result<(), Violation> {
        if self.lost {
            return Ok(());
        }
        self.trace.note(self.now, format_args!("the faults end"));
        self.healed = true;
        self.disk.heal();
        self.crash();
        for _ in 0..EVENTS_MAX {
            if self.lost || self.last.is_some_and(|last| last <= self.model.acknowledged) {
                self.trace.note(self.now, format_args!("{} records", self.model.records.len()));
                return Ok(());
            }
            self.next()?;
        }
        violation("a healed log takes a record", format!("{:?}", self.life))
    }

    /// The process ends, or the power goes; another process starts later.
    fn crash(&mut self) {
        let power = self.random.chance(self.shape.power);
        let fault = if power { Fault::PowerCut } else { Fault::Kill };
        self.trace.note(self.now, format_args!("{fault:?} in {:?}", self.life));
        self.fired.add(fault);
        if self.life.recovering() {
            self.fired.add(Fault::CrashInRecovery);
            self.remember_the_cut();
        }
        if power {
            self.disk.power_cut()
        } else {
            self.disk.kill()
        }
        self.go_down();
    }

    /// A recovery ends without a report.
    fn remember_the_cut(&mut self) {
        let damage = self.life.troubles.wrong > 0 || !self.disk.damage().is_empty();
        self.cut_for_damage |= self.life.settling && damage;
    }

    /// Nothing of this process is heard any more, and the next one starts later.
    fn go_down(&mut self) {
        self.life = Life::down();
        self.lives += 1;
        self.queue.retain(|_, what| matches!(what, What::Crash));
        let later = self.now + self.random.between(1, 500);
        self.at(later, What::Start);
    }
}
