//! One member of the cluster: it starts, works in turns, and dies.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use seawall::frame::{Decoder, Step};
use seawall::limits::PEER_BODY_MAX;
use seawall::map::{Map, MemberId};
use seawall::position::Lineage;
use seawall_node::seam::order::{Errand, Order};
use seawall_node::seam::{Effect, Event, LogFound, WorkerId};
use seawall_node::worker::{Capabilities, Worker, WorkerConfig};
use seawall_wal::{FileId, Io, IoId, LogId};

use super::{Cluster, SHARD, What};
use crate::check::{Violation, violation};
use crate::clock::Clock;
use crate::disk::{self, Disk};
use crate::fault::Fault;
use crate::history::At;
use crate::net::Net;
use crate::plan::{ClusterShape, Crash};
use crate::random::Random;
use crate::world::{LINEAGE, describe};

/// An older map comes at most so long behind a newer one.
const OLDER_MAP_US: u64 = 30_000;

pub struct Member {
    pub id: MemberId,
    pub disk: Disk,
    pub net: Net,
    pub clock: Clock,
    /// Its process takes no turn before this time.
    pub paused_until: u64,
    /// It hears nothing of the authority before this time, nor does that of it.
    pub unmapped_until: u64,
    /// Since when its log is what it is: it was opened then.
    pub steady_since: u64,
    process: Option<Process>,
}

struct Process {
    life: u32,
    /// How many errors its disk had reported before it.
    errors: u64,
    worker: Worker,
    inbox: VecDeque<Event>,
    turn_is_due: bool,
    /// Writes under way: whose operations they carry, and their length.
    writes: BTreeMap<IoId, (Vec<u64>, usize)>,
}

impl Member {
    pub fn new(nth: usize, shape: &ClusterShape, random: &mut Random) -> Self {
        let mut of_disk = shape.node.disk.clone();
        if shape.slow == Some(nth) {
            of_disk.write_us = (50_000, 700_000);
        }
        if shape.flaky == Some(nth) {
            (of_disk.write_error, of_disk.flush_error, of_disk.short_write, of_disk.read_error) =
                (3, 6, 3, 6);
        }
        let mut disk = Disk::new(of_disk, random.fork());
        format(&mut disk);
        let net = Net::new(shape.node.net.clone(), random.fork());
        let clock = Clock::drifting(random.below(1 << 40), shape.drift_ppm[nth]);
        Self {
            id: MemberId(nth as u32 + 1),
            disk,
            net,
            clock,
            paused_until: 0,
            unmapped_until: 0,
            steady_since: 0,
            process: None,
        }
    }

    pub fn new_disk(&mut self) {
        self.disk.lose_all(SHARD);
        format(&mut self.disk);
    }

    /// Whether its disk has reported an error to this process.
    pub fn met_error(&self) -> bool {
        self.process.as_ref().is_some_and(|process| self.disk.errors() > process.errors)
    }

    pub fn life(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.life)
    }
}

fn format(disk: &mut Disk) {
    let id = LogId { lineage: LINEAGE, shard: SHARD.0 };
    disk.install(SHARD, FileId::Meta, seawall_wal::meta::format(&id));
}

impl Cluster {
    pub(super) fn start(&mut self, nth: usize) {
        if self.members[nth].process.is_some() {
            return;
        }
        self.lives += 1;
        let life = self.lives;
        self.counts.add("starts", 1);
        self.harm_of_start(nth);
        self.trace.note(self.now, format_args!("member {nth} starts as process {life}"));
        let worker = Worker::new(WorkerConfig {
            id: WorkerId(0),
            workers: 1,
            member: Some(self.members[nth].id),
            lineage: Lineage(LINEAGE),
            limits: self.shape.node.limits,
            budget: self.shape.node.budget,
            read_proof: self.shape.read_proof,
            capabilities: Capabilities::default(),
        });
        let (inbox, writes) = (VecDeque::new(), BTreeMap::new());
        let errors = self.members[nth].disk.errors();
        self.members[nth].process = Some(Process { life, errors, worker, inbox, turn_is_due: false, writes });
        self.boot(nth);
        let map = self.map.clone();
        self.tell(nth, Event::MapChanged(map));
        let first = self.random.below(self.shape.node.tick_us);
        self.at(self.now + first, What::Tick(nth, life));
    }

    fn boot(&mut self, nth: usize) {
        let files = self.members[nth].disk.found(SHARD);
        let found = LogFound { files, buffers: self.shape.node.limits.buffers() };
        self.members[nth].steady_since = self.now;
        self.tell(nth, Event::Boot { shard: SHARD, found });
    }

    pub(super) fn reopened(&mut self, nth: usize, life: u32) {
        if self.members[nth].life() == Some(life) {
            self.counts.add("logs opened again", 1);
            self.boot(nth);
        }
    }

    pub(super) fn tell(&mut self, nth: usize, event: Event) {
        let Some(process) = &mut self.members[nth].process else { return };
        process.inbox.push_back(event);
        if !process.turn_is_due {
            self.plan_turn(nth);
        }
    }

    fn plan_turn(&mut self, nth: usize) {
        let mut wait = self.random.between(self.shape.node.turn_us.0, self.shape.node.turn_us.1);
        if !self.healed && self.random.chance(self.shape.node.pauses) {
            self.fired.add(Fault::WorkerPause);
            wait += self.random.below(self.shape.pause_us);
        }
        let paused_until = self.members[nth].paused_until;
        let process = self.members[nth].process.as_mut().expect("only a living process has turns");
        process.turn_is_due = true;
        let life = process.life;
        self.at((self.now + wait).max(paused_until), What::Turn(nth, life));
    }

    pub(super) fn turn(&mut self, nth: usize, life: u32) -> Result<(), Violation> {
        let now = self.members[nth].clock.read(self.now);
        let Some(process) = self.members[nth].process.as_mut().filter(|process| process.life == life) else {
            return Ok(());
        };
        process.turn_is_due = false;
        let inbox = std::mem::take(&mut process.inbox);
        let mut effects = Vec::new();
        for event in inbox.into_iter().chain([Event::EndOfTurn]) {
            self.moment += 1;
            self.trace.note(self.now, format_args!("m{nth} {}", describe::Heard(&event)));
            self.witness(nth, &event);
            let process = self.members[nth].process.as_mut().expect("it took this turn");
            process.worker.step(now, event, &mut effects);
        }
        for effect in effects {
            self.trace.note(self.now, format_args!("m{nth}   {}", describe::Asked(&effect)));
            self.execute(nth, life, effect)?;
        }
        Ok(())
    }

    fn witness(&mut self, nth: usize, event: &Event) {
        let Event::Disk { done, .. } = event else { return };
        let process = self.members[nth].process.as_mut().expect("it took this turn");
        let Some((marks, len)) = process.writes.remove(&done.id) else { return };
        let life = process.life;
        if done.result == Ok(len) {
            marks.into_iter().for_each(|mark| self.crowd.durable(mark, self.moment, life));
        } else {
            self.crowd.failed(SHARD, self.moment, life);
        }
    }

    fn execute(&mut self, nth: usize, life: u32, effect: Effect) -> Result<(), Violation> {
        let worker = WorkerId(0);
        match effect {
            Effect::Receive { conn, buf, from } => self.members[nth].net.receive(worker, conn, buf, from),
            Effect::Send { conn, buf, from } => self.members[nth].net.send(self.now, worker, conn, buf, from),
            Effect::Close { conn } => self.members[nth].net.close(self.now, worker, conn),
            Effect::Disk { io, .. } => self.submit(nth, io)?,
            Effect::Say { to, frame } => {
                self.ships_nothing_rotten(nth, &frame)?;
                self.say(nth, to.0 as usize - 1, &frame);
                self.blink(nth);
            }
            Effect::Propose { map } => {
                let late = self.random.between(1, self.shape.map_us);
                if !self.healed && self.random.chance(self.shape.lost) {
                    self.fired.add(Fault::MessageLost);
                } else if self.is_mapped(nth) {
                    self.at(self.now + late, What::Proposed(map));
                }
            }
            Effect::AskMap { round, .. } => {
                let late = self.map_takes();
                if !self.healed && self.random.chance(self.shape.lost) {
                    self.fired.add(Fault::MessageLost);
                } else if self.is_mapped(nth) {
                    self.at(self.now + late, What::MapAsked(nth, life, round));
                }
            }
            Effect::Reopen { .. } => {
                let late = self.random.between(1, 500);
                self.at(self.now + late, What::Reopened(nth, life));
            }
            Effect::Recovered { report, .. } => {
                self.members[nth].steady_since = self.now;
                self.recovered(nth, life, &report)?;
                if self.healed {
                    self.accept_clock(nth);
                }
            }
            Effect::LogFailed { why, .. } => self.log_failed(nth, life, &why)?,
            Effect::Status { .. }
            | Effect::NoSpace { .. }
            | Effect::FoldFailed { .. }
            | Effect::Unproven { .. }
            | Effect::CommitsRefused { .. } => {}
            Effect::Obeyed { obeyed, .. } => {
                self.trace.note(self.now, format_args!("m{nth} obeys: {obeyed:?}"));
                self.obeyed(&obeyed);
            }
            Effect::ReplicaHalted { why, .. } => self.replica_halted(nth, life, &why)?,
            Effect::ReplicaTroubled { why, .. } => {
                self.counts.add("members that do not go on, loudly", 1);
                self.trace.note(self.now, format_args!("m{nth} does not go on: {why}"));
            }
            Effect::ReplicaReseeds { why, .. } => {
                self.counts.add("members that reseed by themselves", 1);
                self.trace.note(self.now, format_args!("m{nth} reseeds: {why}"));
            }
            Effect::Scrub { round, job, bytes_per_second, .. } => {
                self.scrub(nth, life, round, job, bytes_per_second);
            }
            Effect::Rotten { why, .. } => self.said_rotten(nth, &why)?,
            Effect::Mail { .. } | Effect::Stopped => {
                return violation("nobody asked for it", format!("member {nth}: {effect:?}"));
            }
        }
        Ok(())
    }

    fn submit(&mut self, nth: usize, io: Io) -> Result<(), Violation> {
        let Member { disk, process, .. } = &mut self.members[nth];
        if let Io::Write { id, buf, at, len, .. } = &io {
            let bytes = &buf.bytes()[*at..at + len];
            let whole = self.written.saw(bytes)?;
            let marks = if whole { self.crowd.written(SHARD, bytes) } else { Vec::new() };
            process.as_mut().expect("it asked for this write").writes.insert(*id, (marks, *len));
        }
        match &io {
            Io::ReadBack { file: FileId::Slot(_), .. } => self.counts.add("reads of segments for members", 1),
            Io::ReadBack { .. } => self.counts.add("reads of checkpoints for members", 1),
            Io::Adopt(_) => self.counts.add("checkpoints adopted", 1),
            Io::PutAside { .. } => self.counts.add("logs put aside", 1),
            Io::Fold(_) => self.counts.add("folds of members", 1),
            _ => {}
        }
        let mut plan = Vec::new();
        disk.submit(self.now, SHARD, io, |at, ticket, step| plan.push((at, What::Disk(nth, ticket, step))));
        for (at, what) in plan {
            self.at(at, what);
        }
        Ok(())
    }

    pub(super) fn disk_step(
        &mut self,
        nth: usize,
        ticket: disk::Ticket,
        step: disk::Step,
    ) -> Result<(), Violation> {
        match self.members[nth].disk.step(ticket, step) {
            Some((shard, disk::Ended::Io(done))) => self.tell(nth, Event::Disk { shard, done }),
            Some((_, disk::Ended::Fold(done))) => {
                if let Ok(folded) = &done.result {
                    self.written.folded(folded)?;
                }
                // The thread that folds names the file first, and is heard later.
                let life = self.members[nth].life().unwrap_or_default();
                let late = self.random.below(self.shape.folds_late_us + 1);
                self.at(self.now + late, What::Folded(nth, life, done));
            }
            None => {}
        }
        Ok(())
    }

    fn say(&mut self, from: usize, to: usize, frame: &[u8]) {
        let frame = &self.bent(to, frame)[..];
        let times = match () {
            () if self.wire.healed => 1,
            () if self.random.chance(self.shape.lost) => 0,
            () if self.random.chance(self.shape.twice) => 2,
            () => 1,
        };
        match times {
            0 => self.fired.add(Fault::MessageLost),
            2 => self.fired.add(Fault::MessageTwice),
            _ => {}
        }
        for _ in 0..times {
            let (low, high) = self.shape.wire_us;
            let late_us = self.wire.late_us(self.now, from, to);
            let mut at = self.now + late_us + self.random.between(low, high);
            let last = self.wire.last.entry((from, to)).or_default();
            let overtakes = !self.wire.healed && self.random.chance(self.shape.overtakes);
            if overtakes && at < *last {
                self.fired.add(Fault::MessageOvertook);
            } else {
                at = at.max(*last);
            }
            *last = at.max(*last);
            let from = self.members[from].id;
            self.at(at, What::Arrives { to, from, frame: frame.to_vec() });
        }
    }

    pub(super) fn arrives(&mut self, to: usize, from: MemberId, frame: Vec<u8>) {
        if !self.wire.passes(self.now, from.0 as usize - 1, to) {
            return;
        }
        match Decoder::new(PEER_BODY_MAX).next(&frame) {
            Ok(Step::Frame(read, _)) => {
                seawall::replication::Envelope::decode(&read).expect("members speak the protocol");
            }
            other => panic!("members send whole frames: {other:?}"),
        }
        self.tell(to, Event::Heard { from, shard: SHARD, frame });
    }

    fn is_mapped(&self, nth: usize) -> bool {
        self.now >= self.members[nth].unmapped_until
    }

    pub(super) fn map_told(&mut self, nth: usize, life: u32, map: &Arc<Map>) {
        if self.members[nth].life() == Some(life) && self.is_mapped(nth) {
            self.tell(nth, Event::MapChanged(map.clone()));
            if !self.healed && self.random.chance(self.shape.late_maps) {
                let older = self.random.pick(&self.maps).clone();
                let late = self.random.between(1, OLDER_MAP_US);
                self.at(self.now + late, What::MapTold(nth, life, older));
            }
        }
    }

    pub(super) fn order(&mut self, nth: usize, errand: Errand) {
        if self.members[nth].process.is_some() {
            self.counts.add("orders given", 1);
            let order = Order { errand, actor: "an operator".into(), reason: "a story".into(), again: false };
            self.tell(nth, Event::Ordered { shard: SHARD, ticket: self.moment, order: Box::new(order) });
        }
    }

    pub(super) fn tick(&mut self, nth: usize, life: u32) -> Result<(), Violation> {
        if self.members[nth].life() != Some(life) {
            return Ok(());
        }
        if self.healed || self.moment.is_multiple_of(4) {
            self.compare_state(nth)?;
        }
        self.flip_is_found_in_time(nth)?;
        if self.random.chance(50) {
            self.tell(nth, Event::StatusAsked { ticket: self.moment });
        }
        self.tell(nth, Event::Tick);
        // The authority is looked at now and then.
        if self.random.chance(100) && self.is_mapped(nth) {
            let map = self.map.clone();
            self.tell(nth, Event::MapChanged(map));
        }
        let jitter = self.random.below(1 + self.shape.node.tick_us / 8);
        self.at(self.now + self.shape.node.tick_us + jitter, What::Tick(nth, life));
        Ok(())
    }

    /// I7: whoever stands at the same record holds the same state, whatever way it came there.
    fn compare_state(&mut self, nth: usize) -> Result<(), Violation> {
        let process = self.members[nth].process.as_ref();
        let Some((at, digest)) = process.and_then(|process| process.worker.held(SHARD)) else {
            return Ok(());
        };
        let at = At { epoch: at.epoch.0, index: at.index.0 };
        if let Some((first, known)) = self.states.insert(at, (nth, digest)) {
            self.counts.add("states compared", u64::from(first != nth));
            if known != digest {
                let text = format!("member {nth} and, before it, member {first} at {at}");
                return violation("I7, states at one record are one", text);
            }
        }
        Ok(())
    }

    pub(super) fn accept_clock(&mut self, nth: usize) {
        if self.members[nth].process.is_some() {
            self.tell(nth, Event::ClockAccepted { shard: SHARD });
        }
    }

    pub(super) fn crash(&mut self, nth: usize, crash: Crash) {
        if !self.healed {
            self.end(nth, crash);
        }
    }

    /// Its process ends, and another one starts before long.
    pub(super) fn end(&mut self, nth: usize, crash: Crash) {
        if self.members[nth].process.is_none() {
            return;
        }
        self.trace.note(self.now, format_args!("member {nth} ends: {crash:?}"));
        let (now, member) = (self.now, &mut self.members[nth]);
        member.process = None;
        member.net.node_dies(now);
        if crash == Crash::PowerCut {
            self.fired.add(Fault::PowerCut);
            member.disk.power_cut();
            member.clock.reboot(now);
        } else {
            self.fired.add(Fault::Kill);
            member.disk.kill();
        }
        let restart =
            self.now.max(self.members[nth].paused_until) + 1 + self.random.below(self.shape.restart_us);
        self.at(restart, What::Start(nth));
    }
}
