//! One worker's thread and its turn. Everything that the worker hears passes through here, in this order:
//!
//! ```text
//! reap completions, letters, control -> sample the clock -> step each event -> EndOfTurn -> start the effects -> sleep
//! ```
//!
//! The clock is read after the events are in hand, so none is stepped with a time before its arrival (R17). What a
//! turn started goes to the kernel with the call that sleeps.

use std::mem;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use core_affinity::CoreId;
use seawall::map::{Map, ShardId};
use seawall_wal::LogLimits;
use seawall_wal::recover::Report;
use tokio::sync::oneshot;

use super::beside::{Order, Orders, Scrub};
use super::clock;
use super::directory::ShardDirectory;
use super::either::{Driver, DriverConfig};
use super::incidents::Incident;
use super::linking::{self, Linking};
use super::mailbox::{Control, Inbox, PeerFrame, Post};
use super::probe::Durable;
use super::probe::watch::Clustered;
use crate::authority::watch::{Proposals, Question};
use crate::driver::console;
use crate::params::TURN_US;
use crate::seam::order::Obeyed;
use crate::seam::{Effect, Effects, Event, LinkEffect, LinkEvent, Now, WorkerId, WorkerStatus};
use crate::worker::{Worker, WorkerConfig, home_of};

/// What a worker tells the thread that started it.
#[derive(Debug)]
pub(super) enum Notice {
    Recovered {
        shard: ShardId,
        report: Box<Report>,
    },
    NoSpace {
        shard: ShardId,
        why: String,
    },
    /// Something else of a shard that is no good.
    Trouble {
        what: Incident,
        shard: ShardId,
        why: String,
    },
    /// R22: it serves reads again.
    Proven {
        shard: ShardId,
    },
    /// Writes with RWF_DSYNC ended at scheduler ticks: this worker links them to fdatasync from now on.
    GaveUpDsync {
        worker: WorkerId,
        why: Clustered,
    },
    /// What became of a link to another member.
    Link {
        said: String,
        lost: bool,
    },
    /// Every shard of the node has recovered or given up.
    Serving(Vec<WorkerStatus>),
    Signal,
    /// The worker's thread is about to end, as it was told; this is how its shards are.
    Stopped(WorkerStatus),
    /// The worker's thread could not start.
    Failed {
        worker: WorkerId,
        why: String,
    },
}

/// Everything that a worker's thread needs; what is built from it is built on that thread.
pub(super) struct Seat {
    pub worker: WorkerConfig,
    pub driver: DriverConfig,
    pub logs: Vec<ShardDirectory>,
    pub map: Arc<Map>,
    pub listener: TcpListener,
    pub cpu: Option<CoreId>,
    pub post: Arc<Post>,
    pub notices: Sender<Notice>,
    pub orders: Orders,
    /// Of a member.
    pub proposals: Option<Proposals>,
    /// Of the worker that has the links.
    pub linking: Option<Linking>,
}

/// The body of a worker's thread.
pub(super) fn run(seat: Seat) {
    let _aborts = AbortOnPanic;
    let notices = seat.notices.clone();
    let worker = seat.worker.id;
    let notice = match Reactor::new(seat) {
        Ok((mut reactor, listener)) => {
            reactor.turn();
            reactor.driver.listen(listener);
            while !reactor.stopped {
                reactor.sleep();
                reactor.gather();
                reactor.turn();
            }
            if !reactor.driver.finish() {
                console::complain(format_args!(
                    "worker {}: the kernel keeps some operations; leaving without them",
                    worker.0
                ));
            }
            Notice::Stopped(reactor.last_status())
        }
        Err(e) => Notice::Failed { worker, why: e.to_string() },
    };
    // Nobody listens any more only when the node ends anyway.
    let _node_ends = notices.send(notice);
}

/// A dead thread of the data plane must not leave a half-living node, also where panics unwind.
pub(super) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

struct Reactor {
    worker: Worker,
    id: WorkerId,
    driver: Driver,
    inbox: Inbox,
    post: Arc<Post>,
    notices: Sender<Notice>,
    orders: Orders,
    proposals: Option<Proposals>,
    linking: Option<Linking>,
    limits: LogLimits,
    /// Reused from turn to turn.
    frames: Vec<PeerFrame>,
    events: Vec<Event>,
    effects: Effects,
    turn_us: u64,
    /// Workers that got a letter in this turn, by id.
    mailed: Vec<bool>,
    asked: Vec<(u64, oneshot::Sender<WorkerStatus>)>,
    ordered: Vec<(u64, oneshot::Sender<Obeyed>)>,
    next_ticket: u64,
    stopped: bool,
}

impl Reactor {
    /// The first turn's events are in place: each log as it was found, then the map.
    fn new(seat: Seat) -> std::io::Result<(Self, TcpListener)> {
        let id = seat.worker.id;
        if let Some(cpu) = seat.cpu
            && !core_affinity::set_for_current(cpu)
        {
            console::complain(format_args!("worker {}: cannot be pinned to CPU {}", id.0, cpu.id));
        }
        let mut driver = Driver::new(seat.driver)?;
        let limits = seat.worker.limits;
        let found = driver.open_logs(seat.logs.into_iter().map(|log| (log, limits.buffers())).collect())?;
        let inbox = seat.post.inbox(id);
        driver.listen_to_bell(inbox.bell());
        driver.start_ticking();
        let mut events: Vec<Event> =
            found.into_iter().map(|(shard, found)| Event::Boot { shard, found }).collect();
        let mut linking = seat.linking;
        if let Some(linking) = &mut linking {
            linking.events.push(LinkEvent::MapChanged(seat.map.clone()));
        }
        events.push(Event::MapChanged(seat.map));
        let reactor = Self {
            worker: Worker::new(seat.worker),
            id,
            driver,
            inbox,
            mailed: vec![false; seat.post.workers()],
            post: seat.post,
            notices: seat.notices,
            orders: seat.orders,
            proposals: seat.proposals,
            linking,
            limits,
            frames: Vec::new(),
            events,
            effects: Effects::new(),
            turn_us: TURN_US,
            asked: Vec::new(),
            ordered: Vec::new(),
            next_ticket: 0,
            stopped: false,
        };
        Ok((reactor, seat.listener))
    }

    /// Sleeps in the driver until something happens; see `mailbox.rs` for why nothing is missed.
    fn sleep(&mut self) {
        if self.events.is_empty() && self.inbox.may_sleep() {
            self.driver.wait();
            self.inbox.awake();
        } else {
            self.driver.submit();
        }
    }

    fn gather(&mut self) {
        self.driver.reap(&mut self.events);
        if let Some(why) = self.driver.take_switch() {
            self.events.push(Event::DurableBy(Durable::Link.name()));
            self.tell(Notice::GaveUpDsync { worker: self.id, why });
        }
        self.inbox.letters(&mut self.events);
        while let Some(control) = self.inbox.control() {
            if let Some(event) = self.understand(control) {
                self.events.push(event);
            }
        }
        self.inbox.frames(&mut self.frames);
        for frame in self.frames.drain(..) {
            match (frame, &mut self.linking) {
                (PeerFrame::Heard { from, shard, frame }, _) => {
                    self.events.push(Event::Heard { from, shard, frame });
                }
                (PeerFrame::Say { to, frame }, Some(linking)) => {
                    linking.events.push(LinkEvent::Say { to, frame });
                }
                (PeerFrame::Say { .. }, None) => unreachable!("the worker that has the links is asked"),
            }
        }
        if let Some(linking) = &mut self.linking {
            linking.sort(&mut self.events);
        }
    }

    fn understand(&mut self, control: Control) -> Option<Event> {
        Some(match control {
            Control::Stop => Event::Stop,
            Control::Told(event) => *event,
            Control::ClockAccepted { shard } => Event::ClockAccepted { shard },
            Control::Ordered { shard, order, answer } => {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                self.ordered.push((ticket, answer));
                Event::Ordered { shard, ticket, order }
            }
            Control::StatusAsked { answer } => {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                self.asked.push((ticket, answer));
                Event::StatusAsked { ticket }
            }
            Control::PeerAccepted(stream) => {
                // One that cannot be taken is closed, and whoever made it tries again.
                let conn = self.driver.adopt(stream).ok()?;
                self.linking.as_mut()?.events.push(LinkEvent::Accepted { conn });
                return None;
            }
            Control::Dialled { to, result } => {
                let adopted = result.and_then(|stream| self.driver.adopt(stream).map_err(|e| e.to_string()));
                self.linking.as_mut()?.dialled(to, adopted);
                return None;
            }
        })
    }

    /// What happened to the links since, and what they want. `Heard` is stepped in the same turn.
    fn turn_links(&mut self, now: Now, last: Option<LinkEvent>) {
        let Some(mut linking) = self.linking.take() else { return };
        let mut effects = Vec::new();
        for event in linking.events.drain(..).chain(last) {
            linking.links.step(now, event, &mut effects);
        }
        for effect in effects {
            match effect {
                LinkEffect::Receive { conn, buf, from } => self.drive(Effect::Receive { conn, buf, from }),
                LinkEffect::Send { conn, buf, from } => self.drive(Effect::Send { conn, buf, from }),
                LinkEffect::Close { conn } => self.drive(Effect::Close { conn }),
                LinkEffect::Dial { to, address } => linking.dial(to, address),
                LinkEffect::Told { said, lost } => self.tell(Notice::Link { said, lost }),
                LinkEffect::Heard { from, shard, frame } => {
                    match home_of(shard, u16::try_from(self.mailed.len()).expect("workers are few")) {
                        home if home == self.id => self.events.push(Event::Heard { from, shard, frame }),
                        home => self.pass(home, PeerFrame::Heard { from, shard, frame }),
                    }
                }
            }
        }
        self.linking = Some(linking);
    }

    fn drive(&mut self, effect: Effect) {
        let left = self.driver.execute(effect);
        assert!(left.is_none(), "connections are the driver's business");
    }

    fn pass(&mut self, to: WorkerId, frame: PeerFrame) {
        self.post.pass(self.id, to, frame);
        self.mailed[usize::from(to.0)] = true;
    }

    fn reopen(&mut self, shard: ShardId) {
        match self.driver.reopen_log(shard, self.limits.buffers()) {
            Ok(found) => self.events.push(Event::Boot { shard, found }),
            Err(e) => {
                let why = format!("the log of shard {shard} cannot be opened again: {e}");
                self.tell(Notice::Failed { worker: self.id, why });
                self.stopped = true;
            }
        }
    }

    fn turn(&mut self) {
        let now = clock::now();
        self.turn_links(now, None);
        self.step_events(now);
        self.worker.step(now, Event::EndOfTurn, &mut self.effects);
        let mut effects = mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            if let Some(effect) = self.driver.execute(effect) {
                self.execute(effect);
            }
        }
        self.effects = effects;
        self.turn_links(now, Some(LinkEvent::EndOfTurn));
        self.wake_receivers();
    }

    /// What the disk and other members said comes first. What clients sent goes on for [`TURN_US`], and the rest of it is
    /// the next turn's: the disk and the followers have work meanwhile.
    fn step_events(&mut self, now: Now) {
        let mut events = mem::take(&mut self.events);
        let urgent = |event: &mut Event| match event {
            Event::Disk { .. } | Event::Heard { .. } => true,
            Event::Boot { .. } | Event::MapChanged(_) => true, // what the others rest on
            _ => false,
        };
        for event in events.extract_if(.., urgent) {
            self.worker.step(now, event, &mut self.effects);
        }
        let (until, mut began) = (now.mono_us + self.turn_us, false);
        let mut coming = events.drain(..);
        while !coming.as_slice().is_empty()
            && (!mem::replace(&mut began, true) || clock::now().mono_us < until)
        {
            self.worker.foresee(coming.as_slice());
            coming.next().into_iter().for_each(|event| self.worker.step(now, event, &mut self.effects));
        }
        let later: Vec<Event> = coming.collect();
        events.extend(later);
        self.events = events;
    }

    /// What is not the driver's business.
    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Mail { to, letter } => {
                self.post.send(self.id, to, letter);
                self.mailed[usize::from(to.0)] = true;
            }
            Effect::Status { ticket, mut status } => {
                if let Some(linking) = &self.linking {
                    status.links = linking.links.status();
                }
                if let Some(at) = self.asked.iter().position(|(asked, _)| *asked == ticket) {
                    // Whoever asked may have stopped waiting.
                    let _gone = self.asked.swap_remove(at).1.send(status);
                }
            }
            Effect::Recovered { shard, report } => self.tell(Notice::Recovered { shard, report }),
            Effect::NoSpace { shard, why } => self.tell(Notice::NoSpace { shard, why }),
            Effect::LogFailed { shard, why } => self.trouble(Incident::LogFailed, shard, why),
            Effect::Obeyed { ticket, obeyed } => {
                if let Some(at) = self.ordered.iter().position(|(told, _)| *told == ticket) {
                    // Whoever told it may have stopped waiting.
                    let _gone = self.ordered.swap_remove(at).1.send(obeyed);
                }
            }
            Effect::ReplicaHalted { shard, why } => self.trouble(Incident::ReplicaHalted, shard, why),
            Effect::ReplicaTroubled { shard, why } => self.trouble(Incident::ReplicaTroubled, shard, why),
            Effect::CommitsRefused { shard, why } => self.trouble(Incident::CommitsRefused, shard, why),
            Effect::Unproven { shard, why: Some(why) } => self.trouble(Incident::Unproven, shard, why),
            Effect::Unproven { shard, why: None } => self.tell(Notice::Proven { shard }),
            Effect::ReplicaReseeds { shard, why } => self.trouble(Incident::ReplicaReseeds, shard, why),
            Effect::Rotten { shard, why } => self.trouble(Incident::Rotten, shard, why),
            Effect::Scrub { shard, round, job, bytes_per_second } => {
                self.orders.scrub(Scrub { worker: self.id, shard, round, job, bytes_per_second });
            }
            Effect::Stopped => self.stopped = true,
            Effect::FoldFailed { shard, why } => self.trouble(Incident::NoCheckpoint, shard, why),
            Effect::Disk { shard, io } if io.may_take_long() => {
                self.orders.give(Order { worker: self.id, shard, io });
            }
            Effect::Say { to, frame } => match &mut self.linking {
                Some(linking) => linking.events.push(LinkEvent::Say { to, frame }),
                None => self.pass(linking::HOME, PeerFrame::Say { to, frame }),
            },
            Effect::Propose { map } => {
                self.proposals.as_ref().expect("a node that is alone proposes nothing").give(map);
            }
            Effect::AskMap { shard, round } => {
                let proposals = self.proposals.as_ref().expect("a node that is alone asks for no map");
                proposals.ask(Question { worker: self.id, shard, round });
            }
            Effect::Reopen { shard } => self.reopen(shard),
            Effect::Receive { .. } | Effect::Send { .. } | Effect::Close { .. } | Effect::Disk { .. } => {
                unreachable!("the driver executes {effect:?}")
            }
        }
    }

    /// Nothing is under way any more.
    fn last_status(&mut self) -> WorkerStatus {
        let asked = Event::StatusAsked { ticket: self.next_ticket };
        self.worker.step(clock::now(), asked, &mut self.effects);
        let mut effects = mem::take(&mut self.effects).into_iter();
        let status = effects.find_map(|effect| match effect {
            Effect::Status { status, .. } => Some(status),
            _ => None,
        });
        status.expect("a worker that has stopped says how it is")
    }

    fn tell(&self, notice: Notice) {
        // Nobody listens any more only when the node ends anyway.
        let _node_ends = self.notices.send(notice);
    }

    fn trouble(&self, what: Incident, shard: ShardId, why: String) {
        self.tell(Notice::Trouble { what, shard, why });
    }

    /// Once a turn for each receiver, however many letters it got.
    fn wake_receivers(&mut self) {
        for (to, mailed) in (0u16..).map(WorkerId).zip(&mut self.mailed) {
            if mem::take(mailed) {
                self.post.wake(to);
            }
        }
    }
}

#[cfg(test)]
mod tests;
