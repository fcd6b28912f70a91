//! The node's side of the world: processes that start, work in turns, crash, and are started again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use seawall::map::ShardId;
use seawall::position::Lineage;
use seawall_node::seam::{Effect, Event, Letter, LogFound, WorkerId};
use seawall_node::shard::ReadProof;
use seawall_node::worker::{Capabilities, Worker, WorkerConfig};
use seawall_wal::{Io, IoId};

use super::{LINEAGE, What, World, describe};
use crate::check::{Violation, violation};
use crate::disk;
use crate::fault::Fault;
use crate::plan::Crash;

/// An orderly stop takes no longer.
const STOP_US: u64 = 5_000_000;

#[derive(Debug)]
pub struct Process {
    life: u32,
    seats: Vec<Seat>,
    pub stopping: bool,
    recovered: BTreeSet<ShardId>,
    /// Writes under way: whose operations they carry, and their length.
    writes: BTreeMap<(ShardId, IoId), (Vec<u64>, usize)>,
    /// Between two workers, mail keeps its order.
    mail: BTreeMap<(WorkerId, WorkerId), u64>,
}

/// One worker and what it has not heard yet.
#[derive(Debug)]
struct Seat {
    worker: Worker,
    inbox: VecDeque<Event>,
    turn_is_due: bool,
    stopped: bool,
}

impl World {
    pub(super) fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.life += 1;
        self.counts.add("starts", 1);
        self.trace.note(self.now, format_args!("process {} starts", self.life));
        let seats = (0..self.shape.workers).map(|number| self.seat(WorkerId(number))).collect();
        self.process = Some(Process {
            life: self.life,
            seats,
            stopping: false,
            recovered: BTreeSet::new(),
            writes: BTreeMap::new(),
            mail: BTreeMap::new(),
        });
        let map = self.map.clone();
        for range in map.ranges() {
            let found =
                LogFound { files: self.disk.found(range.shard), buffers: self.shape.limits.buffers() };
            self.tell(self.owner(range.shard), Event::Boot { shard: range.shard, found });
        }
        for number in 0..self.shape.workers {
            self.tell(WorkerId(number), Event::MapChanged(Arc::clone(&map)));
            let first = self.random.below(self.shape.tick_us);
            self.at(self.now + first, What::Tick { life: self.life, worker: WorkerId(number) });
        }
    }

    fn seat(&self, id: WorkerId) -> Seat {
        let worker = Worker::new(WorkerConfig {
            id,
            workers: self.shape.workers,
            member: None,
            lineage: Lineage(LINEAGE),
            limits: self.shape.limits,
            budget: self.shape.budget,
            read_proof: ReadProof::default(),
            capabilities: Capabilities::default(),
        });
        Seat { worker, inbox: VecDeque::new(), turn_is_due: false, stopped: false }
    }

    fn owner(&self, shard: ShardId) -> WorkerId {
        WorkerId(u16::try_from(shard.0 - 1).expect("one shard a worker"))
    }

    /// An event for a worker; its turn comes after a while, with what else has come until then.
    pub(super) fn tell(&mut self, worker: WorkerId, event: Event) {
        let Some(process) = &mut self.process else { return };
        let seat = &mut process.seats[usize::from(worker.0)];
        seat.inbox.push_back(event);
        if !seat.turn_is_due {
            self.plan_turn(worker);
        }
    }

    fn plan_turn(&mut self, worker: WorkerId) {
        let mut wait = self.random.between(self.shape.turn_us.0, self.shape.turn_us.1);
        if self.random.chance(self.shape.pauses) {
            self.fired.add(Fault::WorkerPause);
            wait += self.random.below(self.shape.pause_us);
        }
        let process = self.process.as_mut().expect("only a living process has turns");
        process.seats[usize::from(worker.0)].turn_is_due = true;
        self.at(self.now + wait, What::Turn { life: self.life, worker });
    }

    pub(super) fn turn(&mut self, life: u32, worker: WorkerId) -> Result<(), Violation> {
        let Some(process) = self.process.as_mut().filter(|process| process.life == life) else {
            return Ok(());
        };
        let seat = &mut process.seats[usize::from(worker.0)];
        seat.turn_is_due = false;
        let mut inbox = std::mem::take(&mut seat.inbox);
        let mut later = VecDeque::new();
        if self.random.chance(self.shape.short_turns) && inbox.len() > 1 {
            later = inbox.split_off(1 + self.random.index(inbox.len() - 1));
        }
        let now = self.clock.read(self.now);
        let mut effects = Vec::new();
        inbox.push_back(Event::EndOfTurn);
        let mut coming = Vec::from(inbox).into_iter();
        while let [event, ..] = coming.as_slice() {
            self.moment += 1;
            self.trace.note(self.now, format_args!("w{} {}", worker.0, describe::Heard(event)));
            self.witness(event);
            let process = self.process.as_mut().expect("it took this turn");
            let worker = &mut process.seats[usize::from(worker.0)].worker;
            worker.foresee(coming.as_slice());
            coming.next().into_iter().for_each(|event| worker.step(now, event, &mut effects));
        }
        let process = self.process.as_mut().expect("it took this turn");
        let seat = &mut process.seats[usize::from(worker.0)];
        seat.inbox = later;
        if !seat.inbox.is_empty() {
            self.plan_turn(worker);
        }
        for effect in effects {
            self.trace.note(self.now, format_args!("w{}   {}", worker.0, describe::Asked(&effect)));
            self.execute(worker, effect)?;
        }
        Ok(())
    }

    /// What a worker is about to hear about its writes is what it may act upon.
    fn witness(&mut self, event: &Event) {
        let Event::Disk { shard, done } = event else { return };
        let process = self.process.as_mut().expect("it took this turn");
        let Some((marks, len)) = process.writes.remove(&(*shard, done.id)) else { return };
        if done.result == Ok(len) {
            for mark in marks {
                self.crowd.durable(mark, self.moment, self.life);
            }
            return;
        }
        self.crowd.failed(*shard, self.moment, self.life);
        if self.hurt.insert((self.life, *shard)) {
            let notices = self.now + self.random.between(2_000, 60_000);
            self.at(notices, What::Operator { life: self.life });
        }
    }

    fn execute(&mut self, worker: WorkerId, effect: Effect) -> Result<(), Violation> {
        // Another worker may still be finishing: it is answered, until all have stopped.
        let answers = matches!(effect, Effect::Mail { .. } | Effect::Status { .. });
        if !answers && self.process.as_ref().is_some_and(|p| p.seats[usize::from(worker.0)].stopped) {
            let text = format!("worker {} asks for: {}", worker.0, describe::Asked(&effect));
            return violation("a worker that stopped asks for nothing", text);
        }
        match effect {
            Effect::Receive { conn, buf, from } => self.net.receive(worker, conn, buf, from),
            Effect::Send { conn, buf, from } => self.net.send(self.now, worker, conn, buf, from),
            Effect::Close { conn } => self.net.close(self.now, worker, conn),
            Effect::Disk { shard, io } => self.submit(shard, io),
            Effect::Mail { to, letter } => self.post(worker, to, letter),
            Effect::Status { .. } => {}
            Effect::Recovered { shard, report } => match report.halt {
                None => {
                    self.crowd.recovered(shard, &report, self.moment);
                    self.process.as_mut().map(|process| process.recovered.insert(shard));
                    if self.healed {
                        self.accept_clocks();
                    }
                }
                Some(_) if self.hurt.contains(&(self.life, shard)) => {}
                Some(_) => return violation("I4, a log without damage is recovered", format!("{report:?}")),
            },
            Effect::LogFailed { shard, why } => {
                if !self.hurt.contains(&(self.life, shard)) {
                    let text = format!("shard {shard} of process {}: {why}", self.life);
                    return violation("a log fails only after an I/O error", text);
                }
            }
            Effect::NoSpace { .. } => {}
            // Without a newer checkpoint a log is only longer.
            Effect::FoldFailed { .. } => {}
            Effect::Say { .. }
            | Effect::Propose { .. }
            | Effect::AskMap { .. }
            | Effect::Reopen { .. }
            | Effect::Obeyed { .. }
            | Effect::ReplicaHalted { .. }
            | Effect::CommitsRefused { .. }
            | Effect::Unproven { .. }
            | Effect::Scrub { .. }
            | Effect::Rotten { .. }
            | Effect::ReplicaTroubled { .. }
            | Effect::ReplicaReseeds { .. } => {
                return violation(
                    "a node that is alone has no members",
                    describe::Asked(&effect).to_string(),
                );
            }
            Effect::Stopped => return self.stopped(worker),
        }
        Ok(())
    }

    fn submit(&mut self, shard: ShardId, io: Io) {
        if let Io::Write { id, buf, at, len, .. } = &io {
            let process = self.process.as_mut().expect("it asked for this write");
            let marks = self.crowd.written(shard, &buf.bytes()[*at..at + len]);
            process.writes.insert((shard, *id), (marks, *len));
        }
        let mut plan = Vec::new();
        self.disk.submit(self.now, shard, io, |at, ticket, step| plan.push((at, What::Disk(ticket, step))));
        for (at, what) in plan {
            self.at(at, what);
        }
    }

    pub(super) fn disk_step(&mut self, ticket: disk::Ticket, step: disk::Step) {
        match self.disk.step(ticket, step) {
            Some((shard, disk::Ended::Io(done))) => self.tell(self.owner(shard), Event::Disk { shard, done }),
            Some((shard, disk::Ended::Fold(done))) => {
                self.tell(self.owner(shard), Event::Folded { shard, done })
            }
            None => {}
        }
    }

    fn post(&mut self, from: WorkerId, to: WorkerId, letter: Letter) {
        let delay = self.random.between(1, self.shape.mail_us);
        let process = self.process.as_mut().expect("it wrote this letter");
        let last = process.mail.entry((from, to)).or_default();
        *last = (*last).max(self.now + delay);
        let (at, life) = (*last, self.life);
        self.at(at, What::Mail { life, to, from, letter });
    }

    pub(super) fn deliver(&mut self, life: u32, to: WorkerId, from: WorkerId, letter: Letter) {
        if self.process.as_ref().is_some_and(|process| process.life == life) {
            self.tell(to, Event::Mail { from, letter });
        }
    }

    pub(super) fn tick(&mut self, life: u32, worker: WorkerId) {
        if self.process.as_ref().is_none_or(|process| process.life != life) {
            return;
        }
        if self.random.chance(100) {
            self.tell(worker, Event::StatusAsked { ticket: self.moment });
        }
        self.tell(worker, Event::Tick);
        let jitter = self.random.below(1 + self.shape.tick_us / 8);
        self.at(self.now + self.shape.tick_us + jitter, What::Tick { life, worker });
    }

    pub(super) fn crash(&mut self, crash: Crash) {
        if self.healed {
            return;
        }
        match (crash, &mut self.process) {
            (Crash::PowerCut, _) => self.die(Some(Fault::PowerCut)),
            (Crash::Kill, Some(_)) => self.die(Some(Fault::Kill)),
            (Crash::Stop, Some(process)) if !process.stopping => self.ask_to_stop(),
            (Crash::Kill | Crash::Stop, _) => {}
        }
    }

    fn ask_to_stop(&mut self) {
        self.trace.note(self.now, format_args!("process {} is asked to stop", self.life));
        let process = self.process.as_mut().expect("somebody is asked");
        process.stopping = true;
        for number in 0..self.shape.workers {
            self.tell(WorkerId(number), Event::Stop);
        }
        self.at(self.now + STOP_US, What::StopDue { life: self.life });
    }

    fn stopped(&mut self, worker: WorkerId) -> Result<(), Violation> {
        let process = self.process.as_mut().expect("it said so");
        let seat = &mut process.seats[usize::from(worker.0)];
        if !process.stopping || std::mem::replace(&mut seat.stopped, true) {
            return violation("a worker stops once, when asked", format!("worker {}", worker.0));
        }
        if !process.seats.iter().all(|seat| seat.stopped) {
            return Ok(());
        }
        if !self.disk.idle() {
            return violation("a stopped process has nothing under way", format!("process {}", self.life));
        }
        self.fired.add(Fault::Stop);
        self.die(None);
        Ok(())
    }

    pub(super) fn stop_due(&mut self, life: u32) -> Result<(), Violation> {
        match &self.process {
            Some(process) if process.life == life => {
                violation("an orderly stop ends", format!("process {life} still runs after {STOP_US} us"))
            }
            _ => Ok(()),
        }
    }

    /// Somebody has seen that a log failed, and starts the process again.
    pub(super) fn operator(&mut self, life: u32) {
        if self.process.as_ref().is_none_or(|process| process.life != life || process.stopping) {
            return;
        }
        if self.random.chance(500) { self.ask_to_stop() } else { self.die(None) }
    }

    /// Once the faults are over, the operator accepts the wall clock as it is.
    pub(super) fn accept_clocks(&mut self) {
        let shards = self.process.as_ref().map(|process| process.recovered.clone()).unwrap_or_default();
        for shard in shards {
            self.tell(self.owner(shard), Event::ClockAccepted { shard });
        }
    }

    /// The process ends, and with it what it had under way; another one starts later.
    fn die(&mut self, fault: Option<Fault>) {
        self.trace.note(self.now, format_args!("process {} ends: {fault:?}", self.life));
        fault.iter().for_each(|fault| self.fired.add(*fault));
        let process = self.process.take();
        if process.is_some_and(|p| fault.is_some() && p.recovered.len() < p.seats.len()) {
            self.fired.add(Fault::CrashInRecovery);
        }
        self.net.node_dies(self.now);
        if fault == Some(Fault::PowerCut) {
            self.disk.power_cut();
            self.clock.reboot(self.now);
        } else {
            self.disk.kill();
        }
        let restart = self.now + 1 + self.random.below(self.shape.restart_us);
        self.at(restart, What::Start);
        if self.random.chance(self.shape.crash_again) {
            let again = if self.random.chance(500) { Crash::Kill } else { Crash::PowerCut };
            let soon = self.now + self.random.below(2 * self.shape.restart_us + 3_000);
            self.at(soon, What::Crash(again));
        }
    }
}
