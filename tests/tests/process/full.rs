//! A disk that is full: the node says so, goes on reading, and goes on writing once there is space.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall::{Client, Code, Commit, Error, Outcome, row};
use seawall_tests::skip::skip;

use crate::clerk::{Clerk, Ended, audit, come_back, impatient, put_to_work};
use crate::node::{Node, folder};
use crate::once::driver;
use crate::told;

const DISK_BYTES: u64 = 80 << 20;
const BALLAST_BYTES: usize = 28 << 20;
const NOTE_BYTES: usize = 30_000;

/// A small file system in a file of its own, gone when this is dropped.
pub struct Disk {
    pub mount: PathBuf,
}

pub fn run(command: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(command).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{command}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
    output.status.success().then_some(()).ok_or_else(|| format!("{command} {arguments:?}: {said}"))
}

impl Disk {
    /// `Err` says what is missing here.
    pub fn new(folder: &Path) -> Result<Self, String> {
        let (image, mount) = (folder.join("image"), folder.join("mount"));
        std::fs::create_dir_all(&mount).expect("making a folder");
        let made = std::fs::File::create(&image).and_then(|file| file.set_len(DISK_BYTES));
        made.expect("a sparse file");
        let text = |path: &Path| path.to_str().expect("a plain path").to_owned();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &text(&image)])
            .map_err(|why| format!("missing: mkfs.ext4 (apt-get install e2fsprogs): {why}"))?;
        run("mount", &["-o", "loop", &text(&image), &text(&mount)])
            .map_err(|why| format!("missing: root, or kernel: the right to mount a loop device: {why}"))?;
        Ok(Self { mount })
    }

    pub fn ballast(&self) -> PathBuf {
        self.mount.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mount = self.mount.to_str().expect("a plain path");
        // A node that was just killed holds its files for a moment.
        for _ in 0..50 {
            if run("umount", &[mount]).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _named_by_the_next_line = run("umount", &["--lazy", mount]);
        println!("LEFT BEHIND: {mount} was unmounted lazily");
    }
}

#[test]
fn a_full_disk_is_refused_by_name_and_loses_nothing() {
    let test = "a_full_disk_is_refused_by_name_and_loses_nothing";
    for (round, more) in [["--checkpoint-after", "1024"], ["--checkpoint-after", "8"]].iter().enumerate() {
        let folder = folder(&format!("full-{round}"));
        let disk = match Disk::new(&folder) {
            Ok(disk) => disk,
            Err(why) => return skip(test, &why),
        };
        let options = [driver(round).as_slice(), more].concat();
        fill_up(&disk, &folder, &options);
    }
}

fn fill_up(disk: &Disk, folder: &Path, options: &[&str]) {
    std::fs::write(disk.ballast(), vec![7; BALLAST_BYTES]).expect("room for the ballast");
    let start = || Node::start_on(folder, &disk.mount.join("data"), options);
    let node = start();
    let clerks = (0..4).map(|number| Clerk::with_padding(number, NOTE_BYTES, Duration::ZERO)).collect();
    let threads = put_to_work(clerks, &node.address, &impatient(Duration::from_secs(10)), &Arc::default());
    let mut clerks = Vec::new();
    for (clerk, ended) in come_back(threads) {
        let Ended::Error(Error::Refused(refusal)) = &ended else {
            panic!("a full disk was met with {ended:?}")
        };
        assert_eq!(refusal.code, Code::DiskFull, "{refusal}");
        let said = refusal.to_string();
        assert!(said.contains("log.space") && said.contains("free space"), "{said}");
        clerks.push(clerk);
    }
    // It serves what it has, and refuses quickly, and stands so for a while without a change.
    let mut client = Client::connect_with(node.address.as_str(), impatient(Duration::from_secs(2)));
    let client = client.as_mut().expect("a full node takes connections");
    let booked = audit(&mut clerks, client);
    assert!(booked > 100, "only {booked} fitted");
    use_up(client);
    let begin = Instant::now();
    assert!(!commits(client), "there is no room");
    assert!(begin.elapsed() < Duration::from_secs(1), "a refusal took {:?}", begin.elapsed());
    // What a node does about it is said in its own messages, too.
    let said = || std::fs::read_to_string(folder.join("stderr.txt")).expect("its messages");
    let shard = disk.mount.join("data/shard-0001");
    for words in ["THE LOG OF SHARD 1 CANNOT GROW", shard.to_str().expect("a plain path"), "free space"] {
        assert!(said().contains(words), "no {words:?} in:\n{}", said());
    }

    let (is_ready, says) = ready(&node);
    assert!(!is_ready && says.contains("the log cannot grow"), "{says}");

    // As it is met by people: killed and started while the disk is full.
    node.kill();
    let node = start();
    let mut client = Client::connect(node.address.as_str()).expect("it starts on a full disk");
    assert_eq!(audit(&mut clerks, &mut client), booked);
    use_up(&mut client);
    std::fs::remove_file(disk.ballast()).expect("making room");
    let until = Instant::now() + Duration::from_secs(15);
    while !commits(&mut client) {
        assert!(Instant::now() < until, "there is room, and it does not go on:\n{}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
    while !ready(&node).0 {
        assert!(Instant::now() < until, "there is room: {}", ready(&node).1);
        std::thread::sleep(Duration::from_millis(50));
    }
    node.kill();
    let node = start();
    clerks.iter_mut().for_each(Clerk::forget_audits);
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    assert_eq!(audit(&mut clerks, &mut client), booked);
    println!("{booked} bookings on a disk of {} MiB", DISK_BYTES >> 20);
    assert!(node.terminate().success());
}

/// What `/readyz` says.
fn ready(node: &Node) -> (bool, String) {
    let (status, _, says) = told::ask(&told::admin(node), "GET /readyz", "");
    assert_eq!(status == 200, says.contains("\"ready\": true"), "{says}");
    (status == 200, says)
}

/// The last segment has room for some more.
fn use_up(client: &mut Client) {
    let fitted = (0..1000).take_while(|_| commits(client)).count();
    assert!(fitted < 1000, "the disk is not full");
}

fn commits(client: &mut Client) -> bool {
    let commit = Commit::new("port").put(&row("probe", 1), [("is", "x".repeat(NOTE_BYTES))]);
    match client.commit(&commit) {
        Ok(Outcome::Committed(_)) => true,
        Err(Error::Refused(refusal)) if refusal.code == Code::DiskFull => false,
        other => panic!("{other:?}"),
    }
}

/// What `df` says.
pub fn free_bytes(mount: &Path) -> u64 {
    let df = Command::new("df").args(["--output=avail", "-B1"]).arg(mount).output().expect("it starts");
    let said = String::from_utf8_lossy(&df.stdout).into_owned();
    said.lines().nth(1).and_then(|free| free.trim().parse().ok()).expect("a number of bytes")
}
