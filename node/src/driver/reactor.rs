//! One worker's thread and its turn. Everything that the worker hears passes through here, in this order:
//!
//! ```text
//! reap completions, letters, control -> sample the clock -> step each event -> EndOfTurn -> start the effects -> sleep
//! ```
//!
//! The clock is read after the events are in hand, so none is stepped with a time before its arrival (R17). What a
//! turn started goes to the kernel with the call that sleeps.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use core_affinity::CoreId;
use seawall::map::{Map, ShardId};
use seawall_wal::recover::Report;
use tokio::sync::oneshot;

use super::clock;
use super::directory::ShardDirectory;
use super::either::{Driver, DriverConfig};
use super::keeper::{Order, Orders};
use super::mailbox::{Control, Inbox, Post};
use super::probe::Durable;
use super::probe::watch::Clustered;
use crate::driver::console;
use crate::seam::{Effect, Effects, Event, WorkerId, WorkerStatus};
use crate::worker::{Worker, WorkerConfig};

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
    LogFailed {
        shard: ShardId,
        why: String,
    },
    FoldFailed {
        shard: ShardId,
        why: String,
    },
    /// Writes with RWF_DSYNC ended at scheduler ticks: this worker links them to fdatasync from now on.
    GaveUpDsync {
        worker: WorkerId,
        why: Clustered,
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
    /// Reused from turn to turn.
    events: Vec<Event>,
    effects: Effects,
    /// Workers that got a letter in this turn, by id.
    mailed: Vec<bool>,
    asked: Vec<(u64, oneshot::Sender<WorkerStatus>)>,
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
            events,
            effects: Effects::new(),
            asked: Vec::new(),
            next_ticket: 0,
            stopped: false,
        };
        Ok((reactor, seat.listener))
    }

    /// Sleeps in the driver until something happens; see `mailbox.rs` for why nothing is missed.
    fn sleep(&mut self) {
        if self.inbox.may_sleep() {
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
            self.events.push(match control {
                Control::Stop => Event::Stop,
                Control::Kept(event) => *event,
                Control::ClockAccepted { shard } => Event::ClockAccepted { shard },
                Control::StatusAsked { answer } => {
                    let ticket = self.next_ticket;
                    self.next_ticket += 1;
                    self.asked.push((ticket, answer));
                    Event::StatusAsked { ticket }
                }
            });
        }
    }

    fn turn(&mut self) {
        let now = clock::now();
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            self.worker.step(now, event, &mut self.effects);
        }
        self.events = events;
        self.worker.step(now, Event::EndOfTurn, &mut self.effects);
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            if let Some(effect) = self.driver.execute(effect) {
                self.execute(effect);
            }
        }
        self.effects = effects;
        self.wake_receivers();
    }

    /// What is not the driver's business.
    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Mail { to, letter } => {
                self.post.send(self.id, to, letter);
                self.mailed[usize::from(to.0)] = true;
            }
            Effect::Status { ticket, status } => {
                if let Some(at) = self.asked.iter().position(|(asked, _)| *asked == ticket) {
                    // Whoever asked may have stopped waiting.
                    let _gone = self.asked.swap_remove(at).1.send(status);
                }
            }
            Effect::Recovered { shard, report } => self.tell(Notice::Recovered { shard, report }),
            Effect::NoSpace { shard, why } => self.tell(Notice::NoSpace { shard, why }),
            Effect::LogFailed { shard, why } => self.tell(Notice::LogFailed { shard, why }),
            Effect::Stopped => self.stopped = true,
            Effect::FoldFailed { shard, why } => self.tell(Notice::FoldFailed { shard, why }),
            Effect::Disk { shard, io } if io.may_take_long() => {
                self.orders.give(Order { worker: self.id, shard, io });
            }
            Effect::Say { .. } | Effect::Propose { .. } | Effect::Reopen { .. } => {
                unreachable!("a node that is alone has no members")
            }
            Effect::Receive { .. } | Effect::Send { .. } | Effect::Close { .. } | Effect::Disk { .. } => {
                unreachable!("the driver executes {effect:?}")
            }
        }
    }

    /// Nothing is under way any more.
    fn last_status(&mut self) -> WorkerStatus {
        let asked = Event::StatusAsked { ticket: self.next_ticket };
        self.worker.step(clock::now(), asked, &mut self.effects);
        let mut effects = std::mem::take(&mut self.effects).into_iter();
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

    /// Once a turn for each receiver, however many letters it got.
    fn wake_receivers(&mut self) {
        for (to, mailed) in (0u16..).map(WorkerId).zip(&mut self.mailed) {
            if std::mem::take(mailed) {
                self.post.wake(to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use seawall::map::{Generation, ShardId};
    use seawall::{Client, Commit};
    use seawall_wal::LogLimits;

    use super::*;
    use crate::driver::choice::Kind;
    use crate::driver::directory::Directory;
    use crate::driver::keeper::Keeper;
    use crate::shard::Budget;
    use crate::worker::Capabilities;

    /// With a tick of a microsecond every write takes whole ticks, so the ring gives RWF_DSYNC up.
    fn seat(directory: &Directory, post: &Arc<Post>, keeper: &Keeper, notices: Sender<Notice>) -> Seat {
        let durable = Durable::Dsync;
        let mut driver = DriverConfig::new(Kind::Ring, 1, durable, true);
        driver.tick_us = 1;
        let capabilities =
            Capabilities { durable_primitive: durable.name().into(), ..Capabilities::default() };
        let worker = WorkerConfig {
            id: WorkerId(0),
            workers: 1,
            member: None,
            lineage: directory.lineage(),
            limits: LogLimits::default(),
            budget: Budget::default(),
            capabilities,
        };
        Seat {
            worker,
            driver,
            logs: vec![directory.shard(ShardId(1)).unwrap()],
            map: Arc::new(Map::even(Generation(1), 1)),
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            cpu: None,
            post: post.clone(),
            notices,
            orders: keeper.orders(),
        }
    }

    #[test]
    fn clients_are_told_how_writes_become_durable_after_a_switch() {
        let beside_the_test = std::env::current_exe().unwrap();
        let path = beside_the_test.with_file_name(format!("seawall-reactor-{}", std::process::id()));
        let _left_by_a_killed_run = std::fs::remove_dir_all(&path);
        let directory = Directory::open(&path, Some(1), 1).unwrap();
        let post = Post::new(1).unwrap();
        let keeper = Keeper::start(vec![directory.shard(ShardId(1)).unwrap()], true, post.clone()).unwrap();
        let (sender, notices) = mpsc::channel();
        let seat = seat(&directory, &post, &keeper, sender);
        let address = seat.listener.local_addr().unwrap().to_string();
        let worker = thread::spawn(move || run(seat));
        let told = || Client::connect(address.clone()).unwrap().node().unwrap().durable_primitive.clone();

        let before = told();
        let mut client = Client::connect(address.clone()).unwrap();
        let commit = Commit::new("p").event("t", "x");
        let gave_up = |notice| matches!(notice, Notice::GaveUpDsync { worker: WorkerId(0), .. });
        let mut commits = 0..1000;
        let switched = commits.any(|_| {
            drop(client.commit(&commit).unwrap());
            notices.try_iter().any(gave_up)
        });
        let after = told();

        post.control(WorkerId(0), Control::Stop).unwrap();
        worker.join().unwrap();
        drop((keeper, directory));
        std::fs::remove_dir_all(&path).unwrap();
        assert!(switched, "a thousand writes that took whole ticks");
        assert_eq!(before, Durable::Dsync.name(), "what the start chose");
        assert_eq!(after, Durable::Link.name(), "what is so from then on");
    }
}
