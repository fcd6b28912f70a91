//! Three real processes that are one cluster, for tests: started, told what to do, and looked at.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use seawall::Client;
use seawall::client::Options;

use crate::node::{BINARY, Node, folder};

const MEMBERS: usize = 3;
pub const LEASE_MS: u64 = 700;
/// After so long without a word from a required member writes are refused.
pub const MEMBER_TIMEOUT_MS: u64 = 1500;
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Cluster {
    pub folder: PathBuf,
    /// Of each member: for clients, for operators, for members.
    pub ports: Vec<[u16; 3]>,
    pub nodes: Vec<Option<Node>>,
    pub shards: u32,
    options: Vec<String>,
}

pub struct Segment {
    pub path: PathBuf,
    pub first: u64,
    pub used: u64,
}

#[derive(Clone, Copy)]
pub struct Shape<'a> {
    pub shards: u32,
    pub lease_ms: u64,
    /// Of every node.
    pub options: &'a [&'a str],
}

impl Default for Shape<'_> {
    fn default() -> Self {
        Self { shards: 2, lease_ms: LEASE_MS, options: &[] }
    }
}

/// Ports that nobody has at the moment, below those that the kernel gives to whoever connects: a member that is started
/// again finds its own.
fn free_ports() -> Vec<[u16; 3]> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id() % 700 * 30;
    let bind = |at: &dyn Fn(u16) -> String| loop {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 21_000;
        if let Ok(held) = TcpListener::bind(at(u16::try_from(port).expect("below 31,000"))) {
            return held;
        }
    };
    let held: Vec<[TcpListener; 3]> =
        (0..MEMBERS).map(|nth| [bind(&at), bind(&at), bind(&|port| peer_at(nth, port))]).collect();
    held.iter().map(|three| three.each_ref().map(|one| one.local_addr().expect("a port").port())).collect()
}

pub fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// A member speaks to the others from an address of its own, so that a rule about two addresses is one about two
/// members, and none about clients.
pub fn peer_host(nth: usize) -> String {
    format!("127.0.0.1{}", nth + 1)
}

fn peer_at(nth: usize, port: u16) -> String {
    format!("{}:{port}", peer_host(nth))
}

impl Cluster {
    /// Of two shards, one for each worker of a node: so frames of members pass from worker to worker, too.
    pub fn start(test: &str, options: &[&str]) -> Self {
        Self::start_with(test, 2, options)
    }

    pub fn start_with(test: &str, shards: u32, options: &[&str]) -> Self {
        Self::begin(test, Shape { shards, options, ..Shape::default() }, |_| {})
    }

    /// `prepare` makes the folders of the members what they shall be before the first start.
    pub fn begin(test: &str, shape: Shape<'_>, prepare: impl FnOnce(&Self)) -> Self {
        let Shape { shards, lease_ms, options } = shape;
        let folder = folder(test);
        let ports = free_ports();
        let mut init = Command::new(BINARY);
        init.args(["map", "init", "--shards", &shards.to_string(), "--lease-ms", &lease_ms.to_string()]);
        init.args(["--member-timeout-ms", &MEMBER_TIMEOUT_MS.to_string(), "--dir"]).arg(folder.join("map"));
        for (nth, [clients, _, peers]) in ports.iter().enumerate() {
            let (clients, peers) = (at(*clients), peer_at(nth, *peers));
            init.arg("--member").arg(format!("{}={clients},peer={peers}", nth + 1));
        }
        let made = init.output().expect("the first map");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut cluster = Self { folder, ports, nodes: Vec::new(), shards, options };
        cluster.nodes.resize_with(MEMBERS, || None);
        prepare(&cluster);
        (0..MEMBERS).for_each(|nth| cluster.revive(nth));
        cluster
    }

    /// A member that was ended begins again.
    pub fn revive(&mut self, nth: usize) {
        assert!(self.nodes[nth].is_none(), "member {} runs", nth + 1);
        self.nodes[nth] = Some(self.node(nth));
    }

    /// SIGKILL.
    pub fn kill(&mut self, nth: usize) {
        self.nodes[nth].take().expect("it runs").kill();
    }

    /// SIGTERM, and it ends in order.
    pub fn terminate(&mut self, nth: usize) {
        assert!(self.nodes[nth].take().expect("it runs").terminate().success(), "member {}", nth + 1);
    }

    /// SIGSTOP, and no thread of it runs any more.
    pub fn pause(&self, nth: usize) {
        let node = self.nodes[nth].as_ref().expect("it runs");
        node.signal("STOP");
        node.wait_until_still();
    }

    pub fn resume(&self, nth: usize) {
        self.nodes[nth].as_ref().expect("it runs").signal("CONT");
    }

    pub fn data(&self, nth: usize) -> PathBuf {
        self.folder.join(format!("member-{}/data", nth + 1))
    }

    fn node(&self, nth: usize) -> Node {
        let [clients, admin, _] = self.ports[nth].map(at);
        let peers = self.peers(nth);
        let (own, map) = (self.folder.join(format!("member-{}", nth + 1)), self.folder.join("map"));
        std::fs::create_dir_all(&own).expect("a folder for the member");
        let member = (nth + 1).to_string();
        let map = map.display().to_string();
        let mut all = vec!["--member", &member, "--map", &map, "--peer-listen", &peers, "--admin", &admin];
        all.extend(self.options.iter().map(String::as_str));
        Node::start_member(&own, &clients, &all)
    }

    /// Where other members find it.
    pub fn peers(&self, nth: usize) -> String {
        peer_at(nth, self.ports[nth][2])
    }

    /// What it has said on standard error since the cluster began.
    pub fn complaints(&self, nth: usize) -> String {
        let file = self.folder.join(format!("member-{}/stderr.txt", nth + 1));
        std::fs::read_to_string(file).expect("its messages")
    }

    /// What `seawall log` says of its log, and whether it is clean.
    pub fn log(&self, verb: &str, nth: usize) -> (bool, serde_json::Value) {
        let done = Command::new(BINARY).args(["log", verb, "--json"]).arg(self.data(nth)).output();
        let done = done.expect("the command runs");
        let said = String::from_utf8_lossy(&done.stdout);
        (done.status.success(), serde_json::from_str(&said).expect("one JSON object"))
    }

    /// The segments of the log of its first shard, the open one last.
    pub fn log_chain(&self, nth: usize) -> Vec<Segment> {
        let (_, inspected) = self.log("inspect", nth);
        let chain = inspected["logs"][0]["chain"].as_array().expect("segments").iter();
        let segment = |segment: &serde_json::Value| {
            let number = |key: &str| segment[key].as_u64().expect("a number");
            let path = self.data(nth).join(format!("shard-0001/slot-{:06}.seg", number("slot")));
            Segment { path, first: number("first_index"), used: number("used_bytes") }
        };
        chain.map(segment).collect()
    }

    pub fn addresses(&self) -> String {
        self.ports.iter().map(|[clients, ..]| at(*clients)).collect::<Vec<_>>().join(",")
    }

    pub fn client(&self) -> Client {
        let options = Options { deadline: PATIENCE, attempts: 500, ..Options::default() };
        Client::connect_with(self.addresses(), options).expect("somebody is there")
    }

    /// Of one member alone, which is asked once: what it refuses is seen.
    pub fn client_of(&self, nth: usize) -> Client {
        let options = Options { deadline: PATIENCE, attempts: 1, ..Options::default() };
        Client::connect_with(at(self.ports[nth][0]), options).expect("it is there")
    }

    /// `/v1/status` of a member.
    pub fn status(&self, nth: usize) -> serde_json::Value {
        serde_json::from_str(&get(self.ports[nth][1], "/v1/status")).expect("JSON")
    }

    /// As soon as a worker says something of them: a busy one is left out.
    pub fn shards(&self, nth: usize) -> Vec<serde_json::Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let shards = self.status(nth)["shards"].as_array().expect("a list").clone();
            if !shards.is_empty() || Instant::now() >= until {
                return shards;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Until it is so of each shard of a member.
    pub fn wait(&self, nth: usize, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let shards = self.shards(nth);
            if shards.len() == self.shards as usize && shards.iter().all(&is_so) {
                return;
            }
            assert!(Instant::now() < until, "member {} is not {what}: {shards:#?}", nth + 1);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What an operator tells a member, and how that ended.
    pub fn order(&self, nth: usize, order: &[&str]) -> Result<String, String> {
        self.order_within(nth, &[order, &["--timeout", "20s"]].concat())
    }

    /// The order names its timeout.
    pub fn order_within(&self, nth: usize, order: &[&str]) -> Result<String, String> {
        let mut command = Command::new(BINARY);
        command.args(order).args(["--admin", &at(self.ports[nth][1])]);
        let done = command.output().expect("the command runs");
        match done.status.success() {
            true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        }
    }

    /// As an operator does it.
    pub fn promote(&self, nth: usize) {
        for shard in 1..=self.shards {
            self.order(nth, &["promote", &shard.to_string()]).unwrap_or_else(|why| {
                let stands: Vec<_> = (0..MEMBERS).filter(|nth| self.nodes[*nth].is_some()).collect();
                panic!("member {}, shard {shard}: {why}{}; {stands:?} run", nth + 1, self.map())
            });
        }
        self.wait(nth, "leading", leads);
    }

    /// Commits wait for this member, in every shard: whoever became one of the sync set first.
    pub fn require(&self, leader: usize, nth: usize) {
        self.wait(leader, &format!("followed by member {}", nth + 1), |shard| {
            sent_to(shard, nth + 1).is_some_and(|sent| sent["state"] == "streaming")
        });
        for shard in 1..=self.shards {
            let (shard, member) = (shard.to_string(), (nth + 1).to_string());
            self.order(leader, &["sync-set", "require", &shard, &member]).expect("it is level");
        }
    }

    /// The newest map, for people.
    pub fn map(&self) -> String {
        let show = Command::new(BINARY).args(["map", "show", "--dir"]).arg(self.folder.join("map")).output();
        String::from_utf8_lossy(&show.expect("the command runs").stdout).into_owned()
    }

    pub fn wait_for_map(&self, words: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.map().contains(words) {
            assert!(Instant::now() < until, "no {words:?} in {}", self.map());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// An operator changes the map.
    pub fn propose(&self, change: &[&str], reason: &str) {
        let mut command = Command::new(BINARY);
        command.args(["map", "propose", "--actor", "ada", "--reason", reason, "--dir"]);
        let done = command.arg(self.folder.join("map")).args(change).output().expect("the command runs");
        assert!(done.status.success(), "{change:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Everything that its leader has is here as well.
    pub fn wait_until_level(&self, leader: usize, follower: usize) {
        let member = follower + 1;
        self.wait(leader, &format!("followed by a level member {member}"), |shard| {
            sent_to(shard, member)
                .is_some_and(|sent| sent["state"] == "streaming" && sent["acknowledged"] == sent["target"])
        });
        self.wait(follower, "level", |shard| {
            shard["state"] == "streaming"
                && shard["replication"]["following"]["applied"] == shard["replication"]["committed"]
        });
    }
}

/// What a leader says of one that follows it.
fn sent_to(shard: &serde_json::Value, member: usize) -> Option<&serde_json::Value> {
    shard["replication"]["members"].as_array()?.iter().find(|sent| sent["member"] == member)
}

pub fn leads(shard: &serde_json::Value) -> bool {
    shard["replication"]["role"] == "leader" && shard["state"] == "serving"
}

pub fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(at(port)).expect("the admin port");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("asking");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}
