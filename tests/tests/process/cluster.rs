//! Three real processes that are one cluster: what was acknowledged survives its leader, whatever became of that.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use seawall::client::Options;
use seawall::{Client, Commit, Outcome, Value, row};

use crate::node::{BINARY, Node, folder};

const MEMBERS: usize = 3;
/// Of each node, one for each of its workers: so frames of members pass from worker to worker, too.
const SHARDS: u32 = 2;
const LEASE_MS: u64 = 700;
const PATIENCE: Duration = Duration::from_secs(30);

struct Cluster {
    folder: PathBuf,
    ports: Vec<[u16; 3]>,
    nodes: Vec<Option<Node>>,
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

fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

impl Cluster {
    fn start(test: &str, options: &[&str]) -> Self {
        let folder = folder(test);
        let ports = free_ports();
        let mut init = Command::new(BINARY);
        init.args(["map", "init", "--shards", &SHARDS.to_string(), "--lease-ms", &LEASE_MS.to_string()]);
        init.args(["--member-timeout-ms", "1500", "--dir"]).arg(folder.join("map"));
        for (nth, [clients, _, peers]) in ports.iter().enumerate() {
            init.arg("--member").arg(format!("{}={},peer={}", nth + 1, at(*clients), at(*peers)));
        }
        let made = init.output().expect("the first map");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut cluster = Self { folder, ports, nodes: Vec::new() };
        cluster.nodes = (0..MEMBERS).map(|nth| Some(cluster.node(nth, options))).collect();
        cluster
    }

    fn node(&self, nth: usize, options: &[&str]) -> Node {
        let [clients, admin, peers] = self.ports[nth].map(at);
        let (own, map) = (self.folder.join(format!("member-{}", nth + 1)), self.folder.join("map"));
        std::fs::create_dir_all(&own).expect("a folder for the member");
        let member = (nth + 1).to_string();
        let map = map.display().to_string();
        let mut all = vec!["--member", &member, "--map", &map, "--peer-listen", &peers, "--admin", &admin];
        all.extend(options);
        Node::start_member(&own, &clients, &all)
    }

    fn addresses(&self) -> String {
        self.ports.iter().map(|[clients, ..]| at(*clients)).collect::<Vec<_>>().join(",")
    }

    fn client(&self) -> Client {
        let options = Options { deadline: PATIENCE, attempts: 500, ..Options::default() };
        Client::connect_with(self.addresses(), options).expect("somebody is there")
    }

    /// `/v1/status` of a member.
    fn status(&self, nth: usize) -> serde_json::Value {
        serde_json::from_str(&get(self.ports[nth][1], "/v1/status")).expect("JSON")
    }

    fn shards(&self, nth: usize) -> Vec<serde_json::Value> {
        self.status(nth)["shards"].as_array().expect("a list").clone()
    }

    /// Until it is so of each shard of a member.
    fn wait(&self, nth: usize, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let shards = self.shards(nth);
            if shards.len() == SHARDS as usize && shards.iter().all(&is_so) {
                return;
            }
            assert!(Instant::now() < until, "member {} is not {what}: {shards:#?}", nth + 1);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// As an operator does it.
    fn promote(&self, nth: usize) {
        for shard in 1..=SHARDS {
            let mut command = Command::new(BINARY);
            command.args([
                "promote",
                &shard.to_string(),
                "--timeout",
                "20s",
                "--admin",
                &at(self.ports[nth][1]),
            ]);
            let done = command.output().expect("the command runs");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        self.wait(nth, "leading", leads);
    }

    /// Everything that its leader has is here as well.
    fn wait_until_level(&self, leader: usize, follower: usize) {
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

fn leads(shard: &serde_json::Value) -> bool {
    shard["replication"]["role"] == "leader" && shard["state"] == "serving"
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(at(port)).expect("the admin port");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("asking");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

/// Commits under request keys, in partitions of both shards, and remembers what was acknowledged.
struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<BTreeMap<i64, bool>>>,
}

const WRITERS: usize = 3;

impl Writers {
    fn begin(addresses: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let one = |nth: usize| {
            let (addresses, stop) = (addresses.to_owned(), stop.clone());
            thread::spawn(move || write_until(nth, addresses, &stop))
        };
        let threads = (0..WRITERS).map(one).collect();
        Self { stop, threads }
    }

    /// Each acknowledged row is there, once; returns how many there are.
    fn verify(self, client: &mut Client) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = 0;
        for (nth, thread) in self.threads.into_iter().enumerate() {
            for (n, told) in thread.join().expect("a writer does not panic") {
                let got = client.get(partition(nth, n), &row("booking", n)).expect("somebody leads");
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

fn partition(nth: usize, n: i64) -> String {
    format!("writer-{nth}-{}", n % 5)
}

fn write_until(nth: usize, addresses: String, stop: &AtomicBool) -> BTreeMap<i64, bool> {
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
        let commit = Commit::new(partition(nth, n)).key(format!("{nth}-{n}"));
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

/// A leader is killed under load, the next one is promoted, and the first one comes back as its follower.
fn works_as_a_cluster(test: &str, options: &[&str]) {
    let mut cluster = Cluster::start(test, options);
    cluster.wait(0, "leading", leads);
    let writers = Writers::begin(&cluster.addresses());
    thread::sleep(Duration::from_millis(1500));

    cluster.nodes[0].take().expect("it runs").kill();
    cluster.promote(1);
    thread::sleep(Duration::from_millis(700));
    let mut client = cluster.client();
    let first = writers.verify(&mut client);
    assert!(first > 20, "only {first} were acknowledged");

    // The old leader comes back, follows, and may lead again once it was let in.
    let writers = Writers::begin(&cluster.addresses());
    cluster.nodes[0] = Some(cluster.node(0, options));
    cluster.wait(0, "following", |shard| shard["state"] == "streaming");
    thread::sleep(Duration::from_millis(500));
    // Under load, and while every commit waits for it.
    assert!(cluster.nodes[2].take().expect("it runs").terminate().success());
    cluster.nodes[2] = Some(cluster.node(2, options));
    cluster.wait(2, "following", |shard| shard["state"] == "streaming");
    thread::sleep(Duration::from_millis(500));
    let second = writers.verify(&mut client);
    assert!(second > 20, "only {second} were acknowledged");
    cluster.wait_until_level(1, 0);
    assert!(get(cluster.ports[0][1], "/readyz").contains("\"ready\": true"), "a follower is ready as one");
    let followed = get(cluster.ports[1][1], "/metrics");
    assert!(followed.contains("seawall_member_acknowledged_index{shard=\"1\",member=\"1\"}"), "{followed}");
    for node in cluster.nodes.into_iter().flatten() {
        assert!(node.terminate().success());
    }
}

#[test]
fn what_was_acknowledged_survives_the_leader_and_that_one_follows() {
    works_as_a_cluster("cluster-kill", &[]);
}

#[test]
fn what_was_acknowledged_survives_the_leader_on_the_syscall_driver() {
    works_as_a_cluster("cluster-kill-syscall", &["--driver", "syscall"]);
}

/// It stands still for longer than its lease, another one leads meanwhile, and it wakes up believing that it does.
#[test]
fn a_leader_that_stood_still_steps_down_and_answers_nothing_stale() {
    let cluster = Cluster::start("cluster-stop", &[]);
    cluster.wait(0, "leading", leads);
    let mut client = cluster.client();
    let set = |client: &mut Client, n: i64| {
        let commit = Commit::new("p").key(format!("k{n}")).put(&row("t", 1), [("n", Value::from(n))]);
        assert!(matches!(client.commit(&commit), Ok(Outcome::Committed(_))), "{n}");
    };
    set(&mut client, 1);
    let writers = Writers::begin(&cluster.addresses());
    thread::sleep(Duration::from_millis(300));
    let stopped = cluster.nodes[0].as_ref().expect("it runs");
    stopped.signal("STOP");
    stopped.wait_until_still();
    thread::sleep(Duration::from_millis(2 * LEASE_MS));
    cluster.promote(1);
    set(&mut cluster.client(), 2);

    // Asked before it can have heard of anybody else: it must refuse, or ask elsewhere.
    let own = at(cluster.ports[0][0]);
    let asked = thread::spawn(move || {
        let options = Options { deadline: Duration::from_secs(10), attempts: 1, ..Options::default() };
        let mut client = Client::connect_with(own, options)?;
        client.get("p", &row("t", 1))
    });
    thread::sleep(Duration::from_millis(200));
    stopped.signal("CONT");
    if let Ok(got) = asked.join().expect("no panic") {
        let value = got.row.as_ref().and_then(|row| row.get("n")).cloned();
        assert_eq!(value, Some(Value::from(2)), "a stale answer");
    }
    cluster.wait(0, "following", |shard| shard["state"] == "streaming");
    let acknowledged = writers.verify(&mut cluster.client());
    assert!(acknowledged > 20, "only {acknowledged} were acknowledged");
    cluster.wait_until_level(1, 0);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let mut cluster = Cluster::start("cluster-refused", &[]);
    cluster.nodes.clear();
    let map = cluster.folder.join("map");
    let data = |nth: usize| cluster.folder.join(format!("member-{nth}/data"));
    let refused = |data: &Path, options: &[&str]| {
        let mut command = crate::node::dev(data, "127.0.0.1:0");
        let ended = command.args(options).output().expect("it ends");
        assert!(!ended.status.success());
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    let [_, _, peers] = cluster.ports[1].map(at);
    let (map, elsewhere) = (map.display().to_string(), cluster.folder.join("other").display().to_string());
    let as_second = |map: &str| -> Vec<String> {
        ["--member", "2", "--map", map, "--peer-listen", &peers].map(str::to_owned).to_vec()
    };
    let words = |options: &[String], data: &Path| {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        refused(data, &options)
    };
    let said = words(&as_second(&map), &data(1));
    assert!(said.contains("that of member 1") && said.contains("cannot be that of member 2"), "{said}");
    let said = words(&[], &data(1));
    assert!(said.contains("that of member 1 of cluster"), "{said}");
    let said = words(&as_second(&elsewhere), &data(2));
    assert!(said.contains("seawall map init"), "{said}");
    let mut init = Command::new(BINARY);
    init.args(["map", "init", "--shards", "2", "--dir", &elsewhere, "--member"]);
    let made = init.arg(format!("2=127.0.0.1:1,peer={peers}")).output().expect("another cluster");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let said = words(&as_second(&elsewhere), &data(2));
    assert!(said.contains("belongs to cluster"), "{said}");
    let said = words(&["--member".to_owned(), "9".to_owned(), "--map".to_owned(), map], &data(9));
    assert!(said.contains("has no such member"), "{said}");
}

#[test]
fn operators_change_the_map_and_it_says_who_and_why() {
    let map = folder("cluster-map").join("map").display().to_string();
    let run = |arguments: &[&str]| {
        let output = Command::new(BINARY).arg("map").args(arguments).output().expect("it ends");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let one =
        ["--member", "1=127.0.0.1:1,peer=127.0.0.1:2,zone=a", "--member", "2=127.0.0.1:3,peer=127.0.0.1:4"];
    let (code, said) = run(&[&["init", "--dir", &map][..], &one].concat());
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&[&["init", "--dir", &map][..], &one].concat());
    assert!(code == Some(1) && said.contains("generation 1 already"), "{said}");
    let (code, said) = run(&["init", "--dir", &map, "--member", "1=127.0.0.1:1"]);
    assert!(code == Some(2) && said.contains("NUMBER=HOST:PORT,peer=HOST:PORT"), "{said}");

    let propose = |change: &[&str]| {
        let by = ["propose", "--dir", &map, "--actor", "ada", "--reason", "a disk is slow"];
        run(&[&by[..], change].concat())
    };
    let (code, said) = propose(&["policy", "1", "--min-in-sync", "1", "--lease-ms", "500"]);
    assert!(code == Some(0) && said.starts_with("generation 2: shard 1, epoch 0: min_in_sync 1, "), "{said}");
    let (code, said) = propose(&["policy", "1", "--min-in-sync", "3"]);
    assert!(code == Some(1) && said.contains("write 1 to 2"), "{said}");
    assert_eq!(propose(&["remove-replica", "1", "2"]).0, Some(0));
    let (code, said) = propose(&["remove-replica", "1", "2"]);
    assert!(code == Some(1) && said.contains("no replica of the shard"), "{said}");
    assert_eq!(propose(&["add-member", "3=127.0.0.1:5,peer=127.0.0.1:6"]).0, Some(0));
    assert_eq!(propose(&["add-replica", "1", "3"]).0, Some(0));
    let (_, shown) = run(&["show", "--dir", &map]);
    for words in [
        "generation 5",
        "member 1  clients 127.0.0.1:1, members 127.0.0.1:2, zone=a",
        "async 1, 3; min_in_sync 1",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(
        shown.ends_with("last change: shard 1, epoch 0: member 3 begins to follow; by ada: a disk is slow\n"),
        "{shown}"
    );
    let (_, document) = run(&["show", "--dir", &map, "--json"]);
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!((&document["generation"], &document["shards"][0]["lease_ms"]), (&5.into(), &500.into()));
}
