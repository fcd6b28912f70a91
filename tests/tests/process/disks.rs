//! A member whose disk is full, and one whose disk stands still: commits wait for it or go on without it, as it is
//! required or not, and nothing that was acknowledged is lost.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use seawall::client::{Error, Options};
use seawall::refusal::Code;
use seawall::{Client, Commit, Outcome, row};
use seawall_tests::skip::skip;

use crate::cast::{Cast, Role};
use crate::full::{self, Disk};
use crate::isolated::missing;
use crate::members::{Cluster, LEASE_MS, MEMBER_TIMEOUT_MS, PATIENCE, Shape, at, get, leads};
use crate::node::folder;
use crate::witness::Writers;

const LARGE: usize = 60_000;
const SLOW_DISK_BYTES: u64 = 1 << 30;

/// What became of a commit; `None`: nobody knows. It was appended when its member had not been away for long enough.
fn put(client: &mut Client, n: i64, size: usize) -> Option<Result<(), Code>> {
    let commit = Commit::new("p").key(format!("k{n}"));
    let commit = commit.put(&row("t", n % 20), [("text", "x".repeat(size).as_str())]);
    match client.commit(&commit) {
        Ok(Outcome::Committed(_)) => Some(Ok(())),
        Ok(Outcome::Unknown(_)) => None,
        Err(Error::Refused(why)) => Some(Err(why.code)),
        other => panic!("{n}: {other:?}"),
    }
}

/// Asks once, and not for long.
fn impatient(cluster: &Cluster) -> Client {
    let options = Options { deadline: Duration::from_secs(2), attempts: 1, ..Options::default() };
    Client::connect_with(at(cluster.ports[0][0]), options).expect("it is there")
}

/// The data of a member are elsewhere.
fn on(cluster: &Cluster, nth: usize, disk: &Path) {
    let data = cluster.data(nth);
    let own = data.parent().expect("the member's folder");
    std::fs::create_dir_all(own).expect("a folder for the member");
    std::fs::create_dir_all(disk.join("data")).expect("a folder on the disk");
    symlink(disk.join("data"), data).expect("a link to the disk");
}

fn without_room(test: &str, name: &str, fill: impl FnOnce(&mut Cluster, &Disk)) {
    let disk = match Disk::new(&folder(&format!("{name}-disk"))) {
        Ok(disk) => disk,
        Err(why) => return skip(test, &why),
    };
    let shape = Shape { shards: 1, ..Shape::default() };
    let mut cluster = Cluster::begin(name, shape, |cluster| on(cluster, 2, &disk.mount));
    fill(&mut cluster, &disk);
    drop(cluster);
}

/// Until the disk of member 3 has no room for another segment, which it says.
fn fill_up(cluster: &Cluster, client: &mut Client, disk: &Disk) -> i64 {
    let until = Instant::now() + PATIENCE;
    // A slot that is being filled may take room meanwhile.
    loop {
        let free = full::free_bytes(&disk.mount).saturating_sub(1 << 20);
        match std::fs::write(disk.ballast(), vec![7; usize::try_from(free).expect("a small disk")]) {
            Ok(()) => break,
            Err(e) if e.kind() == std::io::ErrorKind::StorageFull && Instant::now() < until => {
                std::fs::remove_file(disk.ballast()).expect("another attempt");
            }
            Err(e) => panic!("no room for the ballast: {e}"),
        }
    }
    for n in 0.. {
        if put(client, n, LARGE) != Some(Ok(())) || cluster.complaints(2).contains("CANNOT GROW") {
            return n;
        }
        assert!(Instant::now() < until, "{n} commits fit on a full disk");
    }
    unreachable!("one of them is the last")
}

#[test]
fn commits_wait_for_a_sync_follower_whose_disk_is_full() {
    let test = "commits_wait_for_a_sync_follower_whose_disk_is_full";
    without_room(test, "disks-full-sync", |cluster, disk| {
        cluster.wait(0, "leading", leads);
        cluster.wait_until_level(0, 2);
        cluster.require(0, 2);
        let mut client = impatient(cluster);
        let last = fill_up(cluster, &mut client, disk);
        // What it has prepared is used up first.
        let until = Instant::now() + PATIENCE;
        let mut refused = |n: &i64| put(&mut client, *n, LARGE) == Some(Err(Code::DurabilityUnavailable));
        let last = (last + 1..).find(|n| Instant::now() >= until || refused(n)).expect("one of them");
        assert!(Instant::now() < until, "nothing is refused without member 3");
        cluster.wait(0, "refusing by R24", |shard| {
            shard["reason"].to_string().contains("R24: member 3 answers, and has taken nothing")
        });
        println!("{last} fitted");
        let said = cluster.complaints(2);
        assert!(said.contains("THE LOG OF SHARD 1 CANNOT GROW") && said.contains("free space"), "{said}");
        cluster.wait(2, "without space", |shard| shard["reason"].to_string().contains("space"));

        // There is room: it goes on by itself, and has everything.
        std::fs::remove_file(disk.ballast()).expect("making room");
        cluster.wait_until_level(0, 2);
        let mut client = cluster.client();
        assert_eq!(put(&mut client, last + 2000, 10), Some(Ok(())), "member 3 takes it");
    });
}

#[test]
fn commits_go_on_without_an_async_follower_whose_disk_is_full() {
    let test = "commits_go_on_without_an_async_follower_whose_disk_is_full";
    without_room(test, "disks-full-async", |cluster, disk| {
        Cast::FIRST.settle(cluster);
        let mut client = impatient(cluster);
        let last = fill_up(cluster, &mut client, disk);
        for n in 0..600 {
            // A busy machine may be late; whoever waits for member 3 waits for as long as its disk is full.
            let until = Instant::now() + PATIENCE;
            let mut told = put(&mut client, last + n, LARGE);
            while told.is_none() && Instant::now() < until {
                told = put(&mut client, last + n, LARGE);
            }
            assert_eq!(told, Some(Ok(())), "nobody waits for member 3");
        }
        let shards = cluster.shards(0);
        let behind = &shards[0]["replication"]["members"].as_array().expect("a list")[1];
        assert!(behind["acknowledged"].as_u64() < behind["target"].as_u64(), "it took all of it: {behind}");
        std::fs::remove_file(disk.ballast()).expect("making room");
        cluster.wait_until_level(0, 2);
    });
}

/// A disk that can be made to stand still: a process serves it.
struct SlowDisk {
    server: Child,
    /// When these end, it does.
    orders: Option<ChildStdin>,
    device: String,
    mount: PathBuf,
}

impl SlowDisk {
    /// `Err` says what is missing here.
    fn new(folder: &Path) -> Result<Self, String> {
        if !Path::new("/dev/fuse").exists() {
            return Err("missing: kernel: /dev/fuse".to_owned());
        }
        let (disk, mount) = (folder.join("disk"), folder.join("mount"));
        for part in [&disk, &mount] {
            std::fs::create_dir_all(part).expect("making a folder");
        }
        let mut server = Command::new(env!("CARGO_BIN_EXE_fault-disk"));
        server.arg("--mount").arg(&disk).arg("--image").arg(folder.join("image"));
        server.args(["--bytes", &SLOW_DISK_BYTES.to_string()]);
        let server = server.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut slow = Self { server, orders: None, device: String::new(), mount };
        slow.orders = slow.server.stdin.take();
        let (mut said, answers) = (String::new(), slow.server.stdout.take().expect("it was asked for"));
        BufReader::new(answers).read_line(&mut said).expect("text");
        if said.trim() != "serving" {
            return Err("missing: root, or kernel: the right to mount through FUSE".to_owned());
        }
        let file = disk.join("disk");
        let attached =
            Command::new("losetup").args(["--find", "--show", "--direct-io=on"]).arg(&file).output();
        let attached = attached.map_err(|e| format!("missing: losetup (apt-get install util-linux): {e}"))?;
        slow.device = String::from_utf8_lossy(&attached.stdout).trim().to_owned();
        if slow.device.is_empty() {
            return Err("missing: kernel: a free loop device".to_owned());
        }
        full::run("mkfs.ext4", &["-q", "-F", "-E", "nodiscard", &slow.device])?;
        full::run("mount", &[&slow.device, slow.mount.to_str().expect("a plain path")])?;
        Ok(slow)
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.server.id().to_string()).status();
        assert!(sent.expect("sending a signal").success());
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        self.signal("CONT");
        // Whoever was just killed holds its files for a moment.
        let gone = |command: &str, words: &[&str]| {
            let gone = (0..50).any(|_| {
                let gone = full::run(command, words).is_ok();
                thread::sleep(Duration::from_millis(if gone { 0 } else { 100 }));
                gone
            });
            if !gone {
                println!("LEFT BEHIND: {command} {words:?}");
            }
        };
        if !self.device.is_empty() {
            gone("umount", &[self.mount.to_str().expect("a plain path")]);
            gone("losetup", &["--detach", &self.device]);
        }
        self.orders = None;
        let _it_ended = self.server.wait();
    }
}

/// Member 1 leads, and member 2, whose disk it is, is required: R24, and what was acknowledged is there.
#[test]
fn a_disk_that_stands_still_is_waited_for_and_loses_nothing() {
    let test = "a_disk_that_stands_still_is_waited_for_and_loses_nothing";
    if let Some(lacks) = missing().filter(|lacks| lacks.contains("root")) {
        return skip(test, &lacks);
    }
    let disk = match SlowDisk::new(&folder("disks-slow-disk")) {
        Ok(disk) => disk,
        Err(why) => return skip(test, &why),
    };
    let cluster = Cluster::begin("disks-slow", Shape::default(), |cluster| on(cluster, 1, &disk.mount));
    let mut cast = Cast::FIRST;
    cast.settle(&cluster);
    for ms in [1000, 3000, 5000] {
        let writers = Writers::begin(&cluster.addresses());
        thread::sleep(Duration::from_millis(300));
        disk.signal("STOP");
        let stands_until = Instant::now() + Duration::from_millis(ms);
        if ms > MEMBER_TIMEOUT_MS + 1000 {
            cluster.wait(0, "refusing commits", |shard| shard["replication"]["refuses_commits"] == true);
            let refused = cluster.client_of(0).commit(&Commit::new("p").put(&row("t", 1), [("n", 1)]));
            let Err(Error::Refused(refused)) = refused else { panic!("{ms} ms: committed: {refused:?}") };
            assert_eq!(refused.code, Code::DurabilityUnavailable, "{refused}");
        }
        thread::sleep(stands_until.saturating_duration_since(Instant::now()));
        disk.signal("CONT");
        thread::sleep(Duration::from_millis(500));
        let acknowledged = writers.verify(&mut cluster.client());
        println!("{:?}, its disk stood still for {ms} ms: {acknowledged} acknowledged", Role::Sync);
        cast.settle(&cluster);
    }

    // The leader's: its lease is not proven by its disk, but by the others; what it cannot write it does not say.
    cluster.promote(1);
    cast = Cast { leader: 1, sync: 0, other: 2 };
    cast.settle(&cluster);
    for ms in [1000, 4000] {
        let writers = Writers::begin(&cluster.addresses());
        thread::sleep(Duration::from_millis(300));
        disk.signal("STOP");
        thread::sleep(Duration::from_millis(ms));
        if ms > 2 * LEASE_MS {
            cluster.promote(0);
            cast = Cast { leader: 0, sync: 2, other: 1 };
        }
        disk.signal("CONT");
        thread::sleep(Duration::from_millis(500));
        let acknowledged = writers.verify(&mut cluster.client());
        println!("{:?}, its disk stood still for {ms} ms: {acknowledged} acknowledged", Role::Leader);
        cast.settle(&cluster);
    }
    // It follows now, and is ready as soon as its leader has proven something to it.
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let ready = get(cluster.ports[1][1], "/readyz");
        if ready.contains("\"ready\": true") {
            break;
        }
        assert!(Instant::now() < until, "{ready}");
        thread::sleep(Duration::from_millis(50));
    }
    drop(cluster);
}
