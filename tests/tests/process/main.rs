//! The real binary: started, used, killed under load, stopped, and started twice on one directory.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "this room runs real processes and threads that load them, and says what they felt"
)]

mod backup;
mod behind;
mod cast;
mod clerk;
mod cluster;
mod crowd;
mod cursors;
mod deaf;
mod disks;
mod door;
mod end;
mod examples;
mod flipped;
mod full;
mod hostile;
mod isolated;
mod large_pages;
mod load;
mod loud;
mod members;
mod node;
mod once;
mod orders;
mod parted;
mod pause;
mod programs;
mod rounds;
mod silence;
mod stopped;
mod told;
mod typed;
mod watched;
mod witness;
mod workloads;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use load::Writer;
use node::{BINARY, Node, dev, folder};
use seawall::{Client, Commit, Outcome, Value, row};

/// Rounds of SIGKILL here; `once` has the long campaign.
const ROUNDS: usize = 3;
const WRITERS: usize = 4;

#[test]
fn what_was_acknowledged_is_there_after_each_sigkill_under_load() {
    let test = "what_was_acknowledged_is_there_after_each_sigkill_under_load";
    let folder = folder("sigkill");
    kill_under_load(ROUNDS, || Node::start(test, &folder));
}

#[test]
fn what_was_acknowledged_by_the_syscall_driver_is_there_after_a_sigkill_under_load() {
    let folder = folder("sigkill-syscall");
    kill_under_load(1, || Node::start_with(&folder, &["--driver", "syscall"]));
}

#[test]
fn what_was_acknowledged_over_one_shot_receives_is_there_after_a_sigkill_under_load() {
    let folder = folder("sigkill-one-shot");
    kill_under_load(1, || Node::start_with(&folder, &["--driver", "ring", "--set", "receive=one-shot"]));
}

fn kill_under_load(rounds: usize, start: impl Fn() -> Node) {
    let mut writers: Vec<Writer> = (0..WRITERS).map(Writer::new).collect();
    let mut node = start();
    for round in 0..rounds {
        let address = node.address.clone();
        let running: Vec<_> = writers
            .into_iter()
            .map(|mut writer| {
                let address = address.clone();
                std::thread::spawn(move || {
                    let done = writer.run(&address);
                    (writer, done)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(150 + 83 * (round as u64 % 4)));
        node.kill();
        let ended: Vec<_> = running.into_iter().map(|thread| thread.join().expect("a writer held")).collect();
        let done: usize = ended.iter().map(|(_, done)| done).sum();
        assert!(done > 0, "round {round}: nothing was acknowledged before the kill");
        writers = ended.into_iter().map(|(writer, _)| writer).collect();
        node = start();
        let mut client = Client::connect(node.address.as_str()).expect("the node serves");
        for writer in &mut writers {
            assert!(writer.acknowledged() > 0, "a writer without an acknowledgement loads nothing");
            writer.verify(&mut client);
        }
    }
    assert!(node.terminate().success());
}

#[test]
fn sigterm_ends_with_zero_and_loses_nothing() {
    let test = "sigterm_ends_with_zero_and_loses_nothing";
    let folder = folder("sigterm");
    let node = Node::start(test, &folder);
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    let cabin = row("cabin", "C14");
    let commit = Commit::new("sailing").put(&cabin, [("state", "held")]);
    let Outcome::Committed(committed) = client.commit(&commit).expect("it serves") else {
        panic!("not committed")
    };
    assert_eq!(node.terminate().code(), Some(0));
    let node = Node::start(test, &folder);
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    let got = client.get("sailing", &cabin).expect("it serves");
    assert_eq!(got.version, Some(committed.version));
    assert_eq!(got.row.as_ref().and_then(|row| row.get("state")), Some(&Value::from("held")));
    assert_eq!(node.terminate().code(), Some(0));
}

#[test]
fn a_second_process_on_the_same_directory_is_refused_by_name() {
    let test = "a_second_process_on_the_same_directory_is_refused_by_name";
    let folder = folder("second");
    let node = Node::start(test, &folder);
    let second = dev(&folder.join("data"), node::ANY_PORT)
        .stdin(Stdio::null())
        .output()
        .expect("starting a second process");
    let said = String::from_utf8_lossy(&[second.stdout, second.stderr].concat()).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    let names = |text: &str| assert!(said.contains(text), "the refusal does not name {text}: {said}");
    names(folder.join("data").to_str().expect("a plain path"));
    names(&format!("process {}", node.pid()));
    names("--data");
    assert!(!said.contains("listening on"), "{said}");
    Client::connect(node.address.as_str()).expect("the first one still serves");
    assert!(node.terminate().success());
}

#[test]
fn the_command_that_dev_suggests_works_and_get_shows_its_row() {
    let test = "the_command_that_dev_suggests_works_and_get_shows_its_row";
    let folder = folder("command-line");
    let mut node = Node::start(test, &folder);
    let suggested = node.line();
    let words = suggested.strip_prefix("try: seawall ").expect("dev suggests a first command");
    let run = |words: &[&str]| {
        let output = Command::new(BINARY).args(words).output().expect("it starts");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        said
    };
    let put: Vec<&str> = words.split_whitespace().collect();
    assert_eq!(put[0], "put", "{suggested}");
    run(&put);
    let said = run(&["get", put[1], "--connect", &node.address]);
    assert!(said.contains("held"), "{said}");
    assert!(node.terminate().success());
}

/// Commits that a checkpoint may be late by: on a busy machine folds are slower than commits, and the log is as long.
const FOLDED_LATE: u64 = 300;

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("data/shard-0001")).expect("the shard's directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn wait_for_a_fold(folder: &Path, index: u64) {
    let until = Instant::now() + Duration::from_secs(30);
    let of = |name: &String| name.strip_prefix("checkpoint-")?.strip_suffix(".ckp")?.parse::<u64>().ok();
    while names(folder).iter().filter_map(of).max().unwrap_or(0) < index {
        assert!(Instant::now() < until, "no checkpoint up to {index}: {:?}", names(folder));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Checkpoints are made beside the load, slots come back, and each kill finds a log that begins behind one of them.
#[test]
fn a_log_that_is_folded_under_load_survives_sigkill_and_stays_short() {
    let folder = folder("folded");
    let options = ["--checkpoint-after", "1"];
    let mut node = Node::start_with(&folder, &options);
    let mut written = Vec::new();
    for round in 0..3 {
        let mut client = Client::connect(node.address.as_str()).expect("the node serves");
        for n in 0..400 {
            let (place, text) = (row("cabin", n % 50), format!("{round} {n} ").repeat(7000));
            let commit = Commit::new("sailing").put(&place, [("state", text.as_str())]);
            let Ok(Outcome::Committed(committed)) = client.commit(&commit) else { panic!("commit {n}") };
            written.truncate(49);
            written.insert(0, (place, text));
            if n % 50 == 49 {
                wait_for_a_fold(&folder, committed.version.index.0.saturating_sub(FOLDED_LATE));
            }
        }
        node.kill();
        node = Node::start_with(&folder, &options);
    }
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    for (place, text) in &written {
        let got = client.get("sailing", place).expect("it serves");
        assert_eq!(got.row.as_ref().and_then(|row| row.get("state")), Some(&Value::from(text.as_str())));
    }
    let count = |end| names(&folder).iter().filter(|name| name.ends_with(end)).count();
    // What is outdated goes one by one, beside the folds: on a busy machine that takes its time.
    let patience = Instant::now() + Duration::from_secs(30);
    while count(".ckp") > 2 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(node.terminate().success());
    // A fold that ended as the node stopped leaves its checkpoint, and the next start lets the oldest one go.
    assert!(count(".seg") < 16 && (2..=3).contains(&count(".ckp")), "{:?}", names(&folder));
    let verify =
        Command::new(BINARY).args(["log", "verify"]).arg(folder.join("data")).output().expect("it starts");
    let said = String::from_utf8_lossy(&verify.stdout);
    assert!(verify.status.success() && said.contains("clean: checkpoint at index"), "{said}");
}
