//! One node from its first look at the machine to its last thread.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::{fmt, io};

use seawall::map::{Generation, Map, MemberId, ShardId};
use seawall_wal::{LogId, LogLimits};

use super::beside::{Beside, Surroundings};
use super::choice::{self, Choice, Kind, Receive};
use super::directory::{AUDIT, Directory, DirectoryError, Owner, ShardDirectory};
use super::either::DriverConfig;
use super::mailbox::{Control, Post};
use super::mark::LastEnd;
use super::membership::{self, Membership};
use super::pace::Traffic;
use super::probe::watch::{Clustered, Switches};
use super::probe::{self, Durable, Obstacle, Placement, Probe};
use super::reactor::{self, Notice, Seat};
use super::{huge_pages, linking, listener, signals};
use crate::authority::watch::Proposals;
use crate::driver::console;
use crate::driver::incidents::{Incident, Incidents};
use crate::params::{CONNECTIONS_PER_WORKER, SLOTS_PER_SHARD};
use crate::seam::{WorkerId, WorkerStatus};
use crate::service::{Facts, Limits, Service};
use crate::shard::{Budget, ReadProof};
use crate::worker::{Capabilities, WorkerConfig};

#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub data: PathBuf,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    /// `None`: it is alone.
    pub member: Option<MemberId>,
    /// Where the authority of its cluster is.
    pub map: Option<PathBuf>,
    pub peer_listen: SocketAddr,
    /// Also the number of shards of a new data directory.
    pub workers: Option<u16>,
    /// `None` takes the ring unless it is blocked.
    pub driver: Option<Kind>,
    /// `None` follows what the probe finds.
    pub durable: Option<Durable>,
    pub log: LogLimits,
    pub budget: Budget,
    pub read_proof: ReadProof,
    /// Of one worker.
    pub connections: u32,
    /// `None` follows what works here.
    pub receive: Option<Receive>,
    pub service: Limits,
    /// How it was configured, for the status.
    pub shown: serde_json::Value,
    /// Started for development: clients are told.
    pub dev: bool,
}

/// Why a node did not start, or did not end well.
#[derive(Debug)]
pub enum NodeError {
    Directory(DirectoryError),
    Driver(Obstacle),
    Address(&'static str, io::Error),
    Start(io::Error),
    Member(MemberId, String),
    Worker(WorkerId, String),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Directory(e) => write!(f, "{e}"),
            NodeError::Driver(obstacle) => write!(f, "{obstacle}"),
            NodeError::Address(option, e) => write!(f, "{e}; name another address with {option}"),
            NodeError::Start(e) => write!(f, "the node cannot start: {e}"),
            NodeError::Member(member, why) => write!(f, "member {member} cannot start: {why}"),
            NodeError::Worker(worker, why) => write!(f, "worker {} cannot start: {why}", worker.0),
        }
    }
}

impl std::error::Error for NodeError {}

impl From<DirectoryError> for NodeError {
    fn from(e: DirectoryError) -> Self {
        NodeError::Directory(e)
    }
}

/// A node that has everything it needs and has started nothing yet.
pub struct Node {
    directory: Directory,
    /// `None`: it is alone.
    membership: Option<Membership>,
    driver: Choice,
    receive: Receive,
    probe: Probe,
    placement: Placement,
    listeners: Vec<TcpListener>,
    admin: TcpListener,
    listen: SocketAddr,
    admin_address: SocketAddr,
    config: NodeConfig,
    switches: Arc<Switches>,
    stopping: Arc<AtomicBool>,
    incidents: Incidents,
    /// How the log of each shard was left, by shard.
    ends: Vec<LastEnd>,
}

/// What a node says when every shard has recovered or given up.
pub struct Serving<'a> {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub workers: &'a [WorkerStatus],
}

impl Node {
    /// Looks at the machine, takes the data directory and the ports. What can be refused is refused here.
    pub fn prepare(config: NodeConfig) -> Result<Self, NodeError> {
        let driver = choice::choose(config.driver, probe::driver()).map_err(NodeError::Driver)?;
        let (receive, not_followed) = choice::receive(config.receive, driver.kind, probe::multishot);
        if let Some(why) = not_followed {
            console::complain(format_args!("{why}"));
        }
        let free = Placement::new(None);
        let membership = Membership::prepare(&config)?;
        let alone = || Owner::Alone {
            wanted: config.workers.map(u32::from),
            default: u32::from(free.default_workers()),
        };
        let owner = membership.as_ref().map_or_else(alone, Membership::owner);
        let directory = Directory::open_for(&config.data, &owner)?;
        let ends = last_ends(&directory)?;
        let probe = probe::probe(&config.data, config.durable)?;
        directory.put_probe(&format!("{:#}\n", probe.json()));
        let placement = Placement::new(probe.disk_cpu).of_member(config.member.map_or(0, |member| member.0));
        let listen = |e| NodeError::Address("--listen", e);
        let listeners = listener::bind(config.listen, directory.shards() as usize).map_err(listen)?;
        let admin = |e| NodeError::Address("--admin", e);
        let admin_listener =
            listener::patiently(config.admin, || TcpListener::bind(config.admin)).map_err(admin)?;
        Ok(Self {
            listen: listeners[0].local_addr().map_err(listen)?,
            admin_address: admin_listener.local_addr().map_err(admin)?,
            switches: Arc::new(Switches::new(workers(&directory))),
            directory,
            membership,
            driver,
            receive,
            probe,
            placement,
            listeners,
            admin: admin_listener,
            config,
            stopping: Arc::default(),
            incidents: Incidents::default(),
            ends,
        })
    }

    fn workers(&self) -> u16 {
        workers(&self.directory)
    }

    /// Its name.
    pub fn driver(&self) -> &'static str {
        self.driver.kind.name()
    }

    /// Serves until a signal, then stops in order. `serving` is called once.
    pub fn run(mut self, serving: impl FnOnce(&Serving<'_>)) -> Result<(), NodeError> {
        let (sender, notices) = mpsc::channel();
        let on_signal = sender.clone();
        // The receiver lives as long as the node.
        signals::listen(move || drop(on_signal.send(Notice::Signal))).map_err(NodeError::Start)?;
        let post = Post::new(self.workers()).map_err(NodeError::Start)?;
        let surroundings = Surroundings {
            direct: self.probe.direct.works,
            traffic: Arc::default(),
            cpus: self.placement.beside(self.workers()),
        };
        let beside = Beside::start(&self.directory, &post, &surroundings)?;
        let member = self
            .membership
            .as_mut()
            .map(|membership| membership.start(&post, &self.incidents))
            .transpose()?;
        let proposals = member.as_ref().map(membership::Running::proposals);
        let threads =
            self.start_workers(&post, &sender, &beside, &surroundings.traffic, proposals.as_ref())?;
        let settled = move |workers| drop(sender.send(Notice::Serving(workers)));
        let admin = self.admin.try_clone().map_err(NodeError::Start)?;
        let service = Service::start(admin, post.clone(), self.facts(), self.config.service, settled)
            .map_err(NodeError::Start)?;
        self.note_kills();
        self.attend(&notices, &post, serving)?;
        for thread in threads {
            thread.join().expect("a worker that panics takes the process with it");
        }
        drop((beside, proposals, member));
        service.stop();
        Ok(())
    }

    fn start_workers(
        &mut self,
        post: &Arc<Post>,
        notices: &Sender<Notice>,
        beside: &Beside,
        traffic: &Arc<Traffic>,
        proposals: Option<&Proposals>,
    ) -> Result<Vec<JoinHandle<()>>, NodeError> {
        let workers = self.workers();
        let alone = || Arc::new(Map::even(Generation(1), u32::from(workers)));
        let map = self.membership.as_ref().map_or_else(alone, Membership::map);
        let slots = raise_file_limit().min(SLOTS_PER_SHARD);
        let mut threads = Vec::new();
        for (worker, listener) in (0..workers).zip(std::mem::take(&mut self.listeners)) {
            let shard = ShardId(u32::from(worker) + 1);
            let (durable, direct) = (self.probe.durable, self.probe.direct.works);
            let mut driver = DriverConfig::new(self.driver.kind, 1, durable, direct);
            driver.slots_per_shard = slots;
            driver.connections = self.config.connections;
            driver.receive = self.receive;
            driver.traffic = traffic.clone();
            let seat = Seat {
                worker: self.worker_config(WorkerId(worker)),
                driver,
                logs: vec![self.directory.shard(shard)?],
                map: map.clone(),
                listener,
                cpu: self.placement.cpu(worker),
                post: post.clone(),
                notices: notices.clone(),
                orders: beside.orders(),
                proposals: proposals.cloned(),
                linking: self
                    .membership
                    .as_ref()
                    .filter(|_| WorkerId(worker) == linking::HOME)
                    .map(|membership| membership.linking(post)),
            };
            let thread = thread::Builder::new().name(format!("seawall-w{worker}"));
            threads.push(thread.spawn(move || reactor::run(seat)).map_err(NodeError::Start)?);
        }
        Ok(threads)
    }

    fn worker_config(&self, id: WorkerId) -> WorkerConfig {
        WorkerConfig {
            id,
            workers: self.workers(),
            member: self.membership.as_ref().map(|membership| membership.member),
            lineage: self.directory.lineage(),
            limits: self.config.log,
            budget: self.config.budget,
            read_proof: self.config.read_proof,
            capabilities: Capabilities {
                driver: self.driver.kind.name().into(),
                durable_primitive: self.probe.durable.name().into(),
                direct_io: self.probe.direct.works,
                dev: self.config.dev,
                connections: self.config.connections,
            },
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            version: env!("CARGO_PKG_VERSION"),
            driver: self.driver.kind.name(),
            why_driver: self.driver.why.clone(),
            durable: self.probe.durable.name(),
            why_durable: self.probe.why_durable.clone(),
            switches: self.switches.clone(),
            warnings: self.probe.file_system.warnings().iter().map(ToString::to_string).collect(),
            direct_io: self.probe.direct.works,
            lineage: self.directory.lineage().to_string(),
            listen: self.listen,
            admin: self.admin_address,
            shards: self.directory.shards() as usize,
            parameters: self.config.shown.clone(),
            stopping: self.stopping.clone(),
            incidents: self.incidents.clone(),
            member: self.membership.as_ref().map(|member| (member.member, member.known.clone())),
            audit: self.directory.path().join(AUDIT),
            last_ends: self.ends.iter().map(|end| end.json()).collect(),
        }
    }

    /// What the process before this one came to, where it left no mark.
    fn note_kills(&self) {
        for (shard, end) in (1..=self.directory.shards()).map(ShardId).zip(&self.ends) {
            if *end == LastEnd::Killed {
                self.incidents.note(Incident::Killed, Some(shard), &format!("shard {shard}: {end}"));
            }
        }
    }

    /// The starting thread's own work: to say what happened, and to end the node when it is told to.
    fn attend(
        &self,
        notices: &Receiver<Notice>,
        post: &Post,
        serving: impl FnOnce(&Serving<'_>),
    ) -> Result<(), NodeError> {
        let mut serving = Some(serving);
        let mut running = self.workers();
        let mut stopping = false;
        // What the start before this one left is compared with the first look at each log.
        let mut looked = vec![false; self.ends.len()];
        while running > 0 {
            match notices.recv().expect("workers hold the other end while they run") {
                Notice::Recovered { shard, report } => {
                    let again = std::mem::replace(&mut looked[shard.0 as usize - 1], true);
                    self.show_recovery(shard, &report, again);
                }
                Notice::Link { said, lost: false } => console::complain(said),
                Notice::Link { said, lost: true } => self.incidents.note(Incident::LinkLost, None, &said),
                Notice::NoSpace { shard, why } => {
                    let path = self.directory.shard_path(shard);
                    let why = format!("{}: {why}", path.display());
                    let said = Incident::NoSpace.said_of(shard, &why);
                    self.incidents.note(Incident::NoSpace, Some(shard), &said);
                }
                Notice::Trouble { what, shard, why } => {
                    self.incidents.note(what, Some(shard), &what.said_of(shard, &why));
                }
                Notice::Proven { shard } => {
                    let again = "is proven again, and serves reads";
                    console::complain(format_args!("the replica of shard {shard} {again}"));
                }
                Notice::GaveUpDsync { worker, why } => self.note_switch(worker, why),
                Notice::Serving(workers) => {
                    let (listen, admin) = (self.listen, self.admin_address);
                    if let Some(serving) = serving.take() {
                        serving(&Serving { listen, admin, workers: &workers });
                    }
                }
                Notice::Signal if stopping => {
                    console::complain("told twice: leaving at once; the next start recovers the log");
                    std::process::exit(130);
                }
                Notice::Signal => {
                    stopping = true;
                    self.stopping.store(true, Ordering::Relaxed);
                    console::complain("stopping; once more to leave at once");
                    tell_to_stop(post, self.workers());
                }
                Notice::Stopped(status) => {
                    running -= 1;
                    self.mark(&status);
                }
                Notice::Failed { worker, why } => return Err(NodeError::Worker(worker, why)),
            }
        }
        Ok(())
    }

    /// For the next start, which says otherwise that the node was killed.
    fn mark(&self, worker: &WorkerStatus) {
        for shard in &worker.shards {
            let id = shard.shard;
            match LastEnd::leave(&self.directory.shard_path(id), shard) {
                Ok(()) if shard.state == "serving" => {
                    console::complain(format_args!(
                        "shard {id}: closed at {}:{}",
                        shard.epoch, shard.durable
                    ));
                }
                Ok(()) if shard.replication.as_ref().is_some_and(|replica| replica.following.is_some()) => {
                    console::complain(format_args!(
                        "shard {id}: closed at index {}, {}",
                        shard.durable, shard.state
                    ));
                }
                Ok(()) => console::complain(format_args!("shard {id}: left as it is, {}", shard.state)),
                Err(e) => console::complain(format_args!("shard {id}: closed, and cannot be marked so: {e}")),
            }
        }
    }

    fn note_switch(&self, worker: WorkerId, why: Clustered) {
        let (from, to) = (Durable::Dsync.name(), Durable::Link.name());
        console::complain(format_args!(
            "worker {}: from now on durable by {to} instead of {from}: {why}, so a busy CPU held them up and not the \
             disk; nothing was lost",
            worker.0
        ));
        self.switches.note(worker, why);
    }

    /// `again`: the log was opened for another role.
    fn show_recovery(&self, shard: ShardId, report: &seawall_wal::recover::Report, again: bool) {
        let (said, shard_of) = (report.to_string(), Some(shard));
        match &report.halt {
            Some(_) => self.incidents.note(Incident::LogHalted, shard_of, &said),
            None if report.bad_copy.is_some() => {
                self.incidents.note(Incident::MetadataCorrupt, shard_of, &said);
            }
            None if !report.is_clean() => self.incidents.note(Incident::CheckpointCorrupt, shard_of, &said),
            None => console::complain(report),
        }
        let end = self.ends[shard.0 as usize - 1];
        if let Some(why) = end.contradicts(report).filter(|_| !again) {
            let said = format!("INTEGRITY FAILURE: THE LOG OF SHARD {shard}: {why}");
            self.incidents.note(Incident::LogContradicted, Some(shard), &said);
        }
        if let Err(e) = ShardDirectory::put_report(self.directory.path(), shard, &report.json()) {
            console::complain(format_args!("the recovery report of shard {} cannot be stored: {e}", shard.0));
        }
    }
}

/// Shown at the start: what the node runs on, and why.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "driver      {}; receive {}", self.driver, self.receive)?;
        writeln!(f, "{}", self.probe)?;
        let cpus: Vec<String> = (0..self.workers())
            .map(|worker| self.placement.cpu(worker).map_or("any".into(), |cpu| cpu.id.to_string()))
            .collect();
        let disk = self.probe.disk_cpu.map_or("unknown".into(), |cpu| cpu.to_string());
        writeln!(f, "workers     {} on CPU {} (disk interrupts: {disk})", self.workers(), cpus.join(", "))?;
        let pages =
            if huge_pages::heard() { "of 2 MiB are asked for" } else { "as the kernel gives them unasked" };
        writeln!(f, "memory      pages {pages}")?;
        let made = if self.directory.made { "new" } else { "opened" };
        let (path, lineage) = (self.directory.path().display(), self.directory.lineage());
        if let Some(membership) = &self.membership {
            writeln!(f, "{membership}")?;
        }
        write!(f, "data        {path} ({made}), lineage {lineage}")?;
        let logs = (1..=self.directory.shards()).zip(&self.ends).filter(|(_, end)| **end != LastEnd::New);
        logs.into_iter().try_for_each(|(shard, end)| write!(f, "\nlast end    shard {shard}: {end}"))
    }
}

/// From here on the logs count as open.
fn last_ends(directory: &Directory) -> Result<Vec<LastEnd>, NodeError> {
    let take = |shard| {
        let log = LogId { lineage: directory.lineage().0, shard };
        LastEnd::take(&directory.shard_path(ShardId(shard)), &log, directory.made)
    };
    (1..=directory.shards()).map(take).collect::<io::Result<_>>().map_err(NodeError::Start)
}

/// One for each shard; shard 1 is worker 0's.
fn workers(directory: &Directory) -> u16 {
    u16::try_from(directory.shards()).expect("made from a number of workers")
}

fn tell_to_stop(post: &Post, workers: u16) {
    for worker in (0..workers).map(WorkerId) {
        let mut order = Control::Stop;
        while let Err(back) = post.control(worker, order) {
            order = back;
            thread::yield_now(); // its queue is full of questions, which it answers in its next turn
        }
    }
}

/// Log files of either driver count against what the process may open. Raises the soft limit and says how many
/// slots fit beside the connections.
fn raise_file_limit() -> u32 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writes, then for reads.
    let limit = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur
    };
    if limit < u64::from(CONNECTIONS_PER_WORKER) {
        console::complain(format_args!(
            "only {limit} files may be open at once: raise RLIMIT_NOFILE (`ulimit -n`, LimitNOFILE=)"
        ));
    }
    u32::try_from(limit / 2).unwrap_or(u32::MAX).max(16)
}
