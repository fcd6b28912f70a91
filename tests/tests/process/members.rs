//! Three real processes that are one cluster, for tests: started, told what to do, looked at, and loaded.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use seawall::client::Options;
use seawall::{Client, Commit, Outcome, Value, row};

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
    shards: u32,
    options: Vec<String>,
}

/// Ports that nobody has at the moment, below those that the kernel gives to whoever connects: a member that is started
/// again finds its own.
fn free_ports() -> Vec<[u16; 3]> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id() % 700 * 30;
    let bind = || loop {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 21_000;
        if let Ok(held) = TcpListener::bind(at(u16::try_from(port).expect("below 31,000"))) {
            return held;
        }
    };
    let held: Vec<[TcpListener; 3]> = (0..MEMBERS).map(|_| [bind(), bind(), bind()]).collect();
    held.iter().map(|three| three.each_ref().map(|one| one.local_addr().expect("a port").port())).collect()
}

pub fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

impl Cluster {
    /// Of two shards, one for each worker of a node: so frames of members pass from worker to worker, too.
    pub fn start(test: &str, options: &[&str]) -> Self {
        Self::start_with(test, 2, options)
    }

    pub fn start_with(test: &str, shards: u32, options: &[&str]) -> Self {
        let folder = folder(test);
        let ports = free_ports();
        let mut init = Command::new(BINARY);
        init.args(["map", "init", "--shards", &shards.to_string(), "--lease-ms", &LEASE_MS.to_string()]);
        init.args(["--member-timeout-ms", &MEMBER_TIMEOUT_MS.to_string(), "--dir"]).arg(folder.join("map"));
        for (nth, [clients, _, peers]) in ports.iter().enumerate() {
            init.arg("--member").arg(format!("{}={},peer={}", nth + 1, at(*clients), at(*peers)));
        }
        let made = init.output().expect("the first map");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut cluster = Self { folder, ports, nodes: Vec::new(), shards, options };
        cluster.nodes = (0..MEMBERS).map(|nth| Some(cluster.node(nth))).collect();
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
        let [clients, admin, peers] = self.ports[nth].map(at);
        let (own, map) = (self.folder.join(format!("member-{}", nth + 1)), self.folder.join("map"));
        std::fs::create_dir_all(&own).expect("a folder for the member");
        let member = (nth + 1).to_string();
        let map = map.display().to_string();
        let mut all = vec!["--member", &member, "--map", &map, "--peer-listen", &peers, "--admin", &admin];
        all.extend(self.options.iter().map(String::as_str));
        Node::start_member(&own, &clients, &all)
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

    pub fn shards(&self, nth: usize) -> Vec<serde_json::Value> {
        self.status(nth)["shards"].as_array().expect("a list").clone()
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
        let mut command = Command::new(BINARY);
        command.args(order).args(["--timeout", "20s", "--admin", &at(self.ports[nth][1])]);
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

    /// Everything that its leader has is here as well.
    pub fn wait_until_level(&self, leader: usize, follower: usize) {
        let member = follower + 1;
        self.wait(leader, &format!("followed by a level member {member}"), |shard| {
            let members = shard["replication"]["members"].as_array().expect("a list");
            let sent = members.iter().find(|sent| sent["member"] == member).expect("it is there");
            sent["state"] == "streaming" && sent["acknowledged"] == sent["target"]
        });
        self.wait(follower, "level", |shard| {
            shard["state"] == "streaming"
                && shard["replication"]["following"]["applied"] == shard["replication"]["committed"]
        });
    }
}

pub fn leads(shard: &serde_json::Value) -> bool {
    shard["replication"]["role"] == "leader" && shard["state"] == "serving"
}

pub fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(at(port)).expect("the admin port");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("asking");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

/// Commits under request keys, in partitions of both shards, and remembers what was acknowledged.
pub struct Writers {
    /// Of all writers in this process: a key that was used before would be answered from memory, and load nothing.
    run: u32,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<BTreeMap<i64, bool>>>,
}

const WRITERS: usize = 3;

impl Writers {
    pub fn begin(addresses: &str) -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let (run, stop) = (RUNS.fetch_add(1, Ordering::Relaxed), Arc::new(AtomicBool::new(false)));
        let one = |nth: usize| {
            let (addresses, stop) = (addresses.to_owned(), stop.clone());
            thread::spawn(move || write_until(run, nth, addresses, &stop))
        };
        let threads = (0..WRITERS).map(one).collect();
        Self { run, stop, threads }
    }

    /// Each acknowledged row is there, once; returns how many there are.
    pub fn verify(self, client: &mut Client) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = 0;
        for (nth, thread) in self.threads.into_iter().enumerate() {
            for (n, told) in thread.join().expect("a writer does not panic") {
                let got =
                    client.get(partition(self.run, nth, n), &row("booking", n)).expect("somebody leads");
                let value = got.row.as_ref().and_then(|row| row.get("n")).cloned();
                match value {
                    Some(value) => assert_eq!(value, Value::from(n), "writer {nth}"),
                    None => assert!(!told, "booking {n} of writer {nth} was acknowledged, and is gone"),
                }
                acknowledged += usize::from(told);
            }
        }
        acknowledged
    }
}

fn partition(run: u32, nth: usize, n: i64) -> String {
    format!("writer-{run}-{nth}-{}", n % 5)
}

fn write_until(run: u32, nth: usize, addresses: String, stop: &AtomicBool) -> BTreeMap<i64, bool> {
    let options = Options { deadline: Duration::from_secs(2), attempts: 100, ..Options::default() };
    let mut client = None;
    let mut sent = BTreeMap::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let Some(connected) = &mut client else {
            client = Client::connect_with(addresses.clone(), options.clone()).ok();
            continue;
        };
        let commit = Commit::new(partition(run, nth, n)).key(format!("{run}-{nth}-{n}"));
        let commit = commit.put(&row("booking", n), [("n", Value::from(n))]);
        let told = match connected.commit(&commit) {
            Ok(Outcome::Committed(_)) => true,
            Ok(Outcome::Rejected(why)) => panic!("a commit without checks was rejected: {why}"),
            Ok(Outcome::Unknown(_)) | Err(_) => false,
        };
        sent.insert(n, told);
    }
    sent
}
