//! `seawall backup` beside a node and without one, and nodes that start on what it made.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use seawall::client::Settled;
use seawall::message::Consistency;
use seawall::position::Position;
use seawall::{Client, Code, Commit, Error, Outcome, Token, row};
use serde_json::Value as Json;

use crate::cast::Cast;
use crate::clerk::{Booking, Clerk, SAILING, audit, come_back, impatient, place, put_to_work};
use crate::members::{Cluster, at};
use crate::node::{BINARY, Node, folder};
use crate::once::driver;

/// A checkpoint every MiB and bookings that fill it: slots are used again all the time.
const FOLD_OFTEN: [&str; 2] = ["--checkpoint-after", "1"];
const NOTE_BYTES: usize = 20_000;
/// Without it a slow machine would have ever more to copy: the next copy takes as long as there was work before it.
const PAUSE: Duration = Duration::from_millis(10);

fn backup(data: &Path, to: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("backup").arg(to).arg("--data").arg(data).args(more).output().expect("it starts")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// What it says of its one shard, for programs.
fn made(data: &Path, to: &Path) -> Json {
    let output = backup(data, to, &["--json"]);
    assert!(output.status.success(), "{}", text(&output));
    let said: Json = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(said["verified"], true, "{said}");
    said["shards"][0].clone()
}

fn covered(shard: &Json) -> Position {
    shard["covered"].as_str().expect("a text").parse().expect("a position")
}

fn work(clerks: Vec<Clerk>, node: &Node, during: impl FnOnce()) -> Vec<Clerk> {
    let stop = Arc::default();
    let threads = put_to_work(clerks, &node.address, &impatient(Duration::from_secs(10)), &stop);
    during();
    stop.store(true, Ordering::Relaxed);
    come_back(threads).into_iter().map(|(clerk, _)| clerk).collect()
}

#[test]
fn a_backup_beside_a_loaded_node_is_served_and_claims_no_more_than_it_has() {
    let folder = folder("backup-live");
    let data = folder.join("data");
    let options = [driver(0).as_slice(), &FOLD_OFTEN].concat();
    let node = Node::start_with(&folder, &options);
    let clerks = (0..4).map(|number| Clerk::with_padding(number, NOTE_BYTES, PAUSE)).collect();
    let clerks = work(clerks, &node, || std::thread::sleep(Duration::from_millis(400)));
    let early: Vec<Position> = clerks.iter().filter_map(|clerk| Some(clerk.booked.last()?.version)).collect();
    let mut shard = Json::Null;
    let mut clerks = work(clerks, &node, || {
        for n in 0..4 {
            shard = made(&data, &folder.join(format!("copy-{n}")));
        }
        std::thread::sleep(Duration::from_millis(300)); // what comes now is in none of them
    });
    let covered = covered(&shard);
    assert!(early.iter().all(|at| *at <= covered), "{early:?} were acknowledged before {covered}");
    assert!(shard["checkpoint"].as_u64() > Some(0), "nothing was folded: {shard}");
    node.kill();

    // The history that was copied goes on, under its next epoch.
    let node = Node::start_with(&folder, &options);
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    audit(&mut clerks, &mut client);
    let mut clerks = work(clerks, &node, || std::thread::sleep(Duration::from_millis(200)));
    audit(&mut clerks, &mut client);
    node.kill();

    let lost: Vec<Booking> = clerks.iter_mut().flat_map(|clerk| clerk.keep_until(covered)).collect();
    for epoch in [1, 2] {
        assert!(
            lost.iter().any(|booking| booking.version.epoch.0 == epoch),
            "nothing was lost of epoch {epoch}"
        );
    }
    let copy = folder.join("copy-3");
    let restored = Node::start_on(&folder, &copy, &options);
    let says = format!("last end    shard 1: a backup that ends at {covered};");
    assert!(restored.said().contains(&says), "no {says:?} in {}", restored.said());
    let mut client = Client::connect(restored.address.as_str()).expect("the copy is served");
    let kept = audit(&mut clerks, &mut client);
    println!("{kept} bookings in the copy, {} behind it, covered {covered}", lost.len());
    let new = put(&mut client);
    assert!(
        new.position > covered && new.position.epoch.0 > 1000,
        "{new:?} may stand for a record that was lost"
    );
    judges(&mut client, &clerks, &lost, new);
    assert!(restored.terminate().success());

    // It is a data directory like any other one from then on.
    let restored = Node::start_on(&folder, &copy, &options);
    assert!(restored.said().contains("closed cleanly"), "{}", restored.said());
    let mut client = Client::connect(restored.address.as_str()).expect("the copy is served");
    judges(&mut client, &clerks, &lost, new);
    audit(&mut clerks, &mut client);
    assert!(restored.terminate().success());
    // And the original does not take the copy's history for its own.
    let original = Node::start_with(&folder, &options);
    let mut client = Client::connect(original.address.as_str()).expect("the node serves");
    let answer = client.get_with(SAILING, &place("any"), session(new));
    assert!(matches!(&answer, Err(Error::Refused(why)) if why.code == Code::NotCaughtUp), "{answer:?}");
    assert!(original.terminate().success());
}

fn session(token: Token) -> Consistency {
    Consistency::Session { token, max_wait_ms: 0 }
}

fn put(client: &mut Client) -> Token {
    match client.commit(&Commit::new(SAILING).put(&row("port", 1), [("state", "open")])).expect("it serves") {
        Outcome::Committed(committed) => committed.token,
        other => panic!("{other:?}"),
    }
}

/// Tokens at or below the end of the copy hold; those above it are refused as lost, and their rows are not there.
fn judges(client: &mut Client, clerks: &[Clerk], lost: &[Booking], ours: Token) {
    for booking in lost {
        let token = Token { position: booking.version, ..ours };
        let answer = client.get_with(SAILING, &place(&booking.key), session(token));
        let refused = matches!(&answer, Err(Error::Refused(why)) if why.code == Code::TokenLostHistory);
        assert!(refused, "{booking:?} is not in the copy, and {answer:?}");
    }
    for booking in lost.iter().rev().take(50) {
        assert!(client.get(SAILING, &place(&booking.key)).expect("it serves").row.is_none(), "{booking:?}");
        let key =
            seawall::client::SentKey::caller(&booking.key, client.node().expect("a node").server_time_us);
        let token = Token { position: booking.version, ..ours };
        let status = client.status_of(SAILING, key, Some(token)).expect("it serves");
        assert_eq!(status, Settled::Lost, "{booking:?}");
    }
    for booking in clerks.iter().flat_map(|clerk| clerk.booked.iter().rev().take(50)) {
        let token = Token { position: booking.version, ..ours };
        let got = client.get_with(SAILING, &place(&booking.key), session(token)).expect("it is in the copy");
        assert_eq!(got.version, Some(booking.version));
    }
    assert!(client.get_with(SAILING, &row("port", 1), session(ours)).is_ok_and(|got| got.row.is_some()));
}

#[test]
fn a_backup_of_a_stopped_node_holds_everything() {
    let folder = folder("backup-stopped");
    for round in 0..2 {
        let node = Node::start_with(&folder, &driver(round));
        let clerks =
            work((0..2).map(Clerk::new).collect(), &node, || std::thread::sleep(Duration::from_millis(200)));
        match round {
            0 => node.kill(),
            _ => assert!(node.terminate().success()),
        }
        let (data, copy) = (folder.join("data"), folder.join(format!("copy-{round}")));
        let said = text(&backup(&data, &copy, &[]));
        assert!(said.contains("and that is all") && said.contains("served by nobody"), "{said}");
        std::fs::remove_dir_all(&data).expect("the original is lost");
        let node = Node::start_on(&folder, &copy, &driver(round));
        let mut client = Client::connect(node.address.as_str()).expect("the copy is served");
        assert!(audit(&mut { clerks }, &mut client) > 0, "nobody booked anything");
        assert!(node.terminate().success());
    }
}

/// What the others may yet agree to abandon is in no copy, though it is durable where the copy is made.
#[test]
fn a_backup_of_a_member_holds_what_is_committed_and_no_more() {
    let mut cluster = Cluster::start_with("backup-member", 1, &[]);
    let cast = Cast::FIRST;
    cast.settle(&cluster);
    let is_committed = |client: &mut Client, number| {
        let answer = client.commit(&Commit::new("p").put(&row("t", number), [("n", 1)]));
        matches!(answer, Ok(Outcome::Committed(_)))
    };
    assert!(is_committed(&mut cluster.client_of(cast.leader), 1), "all are there");
    let appended = |nth: usize| cluster.shards(nth)[0]["appended"].as_u64().expect("an index");

    // The member that is not waited for gets the second one, which is answered to nobody.
    let before = appended(cast.leader);
    cluster.pause(cast.sync);
    let mut client =
        Client::connect_with(at(cluster.ports[cast.leader][0]), impatient(Duration::from_millis(300)))
            .expect("the leader listens");
    assert!(!is_committed(&mut client, 2), "without the member that is required");
    cluster.wait(cast.other, "what was appended", |shard| shard["appended"].as_u64() > Some(before));

    for (nth, stopped) in [(cast.leader, false), (cast.other, false), (cast.other, true)] {
        if stopped {
            cluster.kill(nth);
        }
        let copy = cluster.folder.join(format!("copy-{nth}-{stopped}"));
        let shard = made(&cluster.data(nth), &copy);
        assert_eq!(shard["everything"], false, "{shard}");
        assert!(shard["left_out_records"].as_u64() > Some(0), "{shard}");
        let restored = Node::start_on(&cluster.folder, &copy, &[]);
        let mut client = Client::connect(restored.address.as_str()).expect("the copy is served");
        let mut held = |row_key| client.get("p", &row("t", row_key)).expect("a read").row.is_some();
        assert!(held(1), "what was acknowledged is there");
        assert!(!held(2), "{nth}: nobody committed that");
        assert!(restored.terminate().success());
    }

    cluster.revive(cast.other);
    cluster.resume(cast.sync);
    assert!(is_committed(&mut cluster.client(), 3), "all are there again");
    let shard = made(&cluster.data(cast.leader), &cluster.folder.join("copy-whole"));
    assert!(covered(&shard).index.0 > before + 1, "what was doubtful is committed by now: {shard}");
}

fn some_data(folder: &Path) -> PathBuf {
    let node = Node::start_with(folder, &[]);
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    for _ in 0..20 {
        put(&mut client);
    }
    assert!(node.terminate().success());
    folder.join("data")
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).expect("a file");
    bytes[at] ^= 1;
    std::fs::write(file, bytes).expect("damaging it");
}

#[test]
fn what_would_be_no_backup_is_refused() {
    let folder = folder("backup-refused");
    let data = some_data(&folder);
    let refused = |to: &Path, code: i32, words: &str| {
        let output = backup(&data, to, &[]);
        let said = text(&output);
        assert!(output.status.code() == Some(code) && said.contains(words), "{to:?}: {said}");
    };
    let taken = folder.join("taken");
    std::fs::create_dir_all(taken.join("holiday")).expect("a folder");
    refused(&taken, 1, "it is not empty");
    refused(&data.join("copy"), 2, "inside of");
    let nothing = backup(&folder.join("nothing"), &folder.join("copy"), &[]);
    assert_eq!(nothing.status.code(), Some(2), "{}", text(&nothing));

    // A copy that was cut short later, or rots, is not served as if it were whole.
    let (copy, rotten) = (folder.join("copy"), folder.join("rotten"));
    for to in [&copy, &rotten] {
        made(&data, to);
    }
    std::fs::remove_file(copy.join("superblock")).expect("it is written last");
    let start = crate::node::dev(&copy, crate::node::ANY_PORT).output().expect("it starts");
    assert!(!start.status.success() && text(&start).contains("no superblock"), "{}", text(&start));
    let end = last_batch(&rotten);
    flip(&rotten.join("shard-0001/slot-000000.seg"), end + 200);
    let node = Node::start_on(&folder, &rotten, &[]);
    assert!(node.terminate().success());
    let said = std::fs::read_to_string(folder.join("stderr.txt")).expect("its messages");
    assert!(said.contains("INTEGRITY FAILURE"), "{said}");

    flip(&data.join("shard-0001/slot-000000.seg"), 4096 + 200);
    let other = folder.join("other");
    refused(&other, 1, "DAMAGED");
    assert!(std::fs::read_dir(&other).expect("it was made").next().is_none(), "something was left there");
}

/// Where the last batch of a small log begins.
fn last_batch(data: &Path) -> usize {
    let bytes = std::fs::read(data.join("shard-0001/slot-000000.seg")).expect("the first slot");
    let blocks = bytes.chunks(4096).collect::<Vec<_>>();
    4096 * blocks.iter().rposition(|block| block.starts_with(b"SWBA")).expect("a batch")
}

/// The highest index in a checkpoint of the log.
fn checkpointed(shard: &Path) -> Option<String> {
    let files =
        std::fs::read_dir(shard).expect("it is there").map(|entry| entry.expect("an entry").file_name());
    files.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".ckp")).max()
}

#[test]
fn no_checkpoint_is_made_of_a_log_while_it_is_copied() {
    let folder = folder("backup-held");
    let node = Node::start_with(&folder, &[driver(0).as_slice(), &FOLD_OFTEN].concat());
    let shard = folder.join("data/shard-0001");
    let clerks = (0..4).map(|number| Clerk::with_padding(number, NOTE_BYTES, PAUSE)).collect();
    let goes_on_from = |made: &Option<String>| {
        let end = Instant::now() + Duration::from_secs(30);
        while checkpointed(&shard) == *made {
            assert!(Instant::now() < end, "no checkpoint after {made:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    work(clerks, &node, || {
        goes_on_from(&None);
        let directory = std::fs::File::open(&shard).expect("it is there");
        directory.lock_shared().expect("it can be locked");
        let made = checkpointed(&shard);
        std::thread::sleep(Duration::from_secs(2)); // MiB after MiB
        assert_eq!(checkpointed(&shard), made, "it was made of what is being copied");
        drop(directory);
        goes_on_from(&made);
    });
    assert!(node.terminate().success());
}
