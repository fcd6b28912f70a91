//! A bit that turns in what a follower has on its disk: in its segments, its checkpoints, its metadata. It is told from a
//! torn end, it halts the follower by name and stays so, and the leader does what its policy says.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use seawall::client::Error;
use seawall::message::Consistency;
use seawall::refusal::Code;
use seawall::{Client, Commit, Outcome, row};

use crate::cast::Cast;
use crate::members::{Cluster, get};
use crate::node::BINARY;

const LARGE: usize = 60_000;
const FOLDS: usize = 6;
/// Whose disk it is; nobody waits for it.
const ROTTEN: usize = 2;

fn put(client: &mut Client, n: i64) {
    let text = format!("{n:07} ").repeat(LARGE / 8);
    let commit = Commit::new("p").key(format!("k{n}")).put(&row("t", n % 40), [("text", text.as_str())]);
    assert!(matches!(client.commit(&commit), Ok(Outcome::Committed(_))), "{n}");
}

fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).expect("a file of the follower");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x10], offset).expect("another one");
}

fn name(path: &Path) -> String {
    path.file_name().expect("it has a name").to_string_lossy().into_owned()
}

/// The files of the follower's shard that end so, by name, and how long they are. One that a fold removes meanwhile is
/// none of them.
fn files(cluster: &Cluster, end: &str) -> Vec<(PathBuf, u64)> {
    let shard = std::fs::read_dir(cluster.data(ROTTEN).join("shard-0001")).expect("the shard's directory");
    let mut files: Vec<(PathBuf, u64)> = shard
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(end))
        .filter_map(|entry| match entry.metadata() {
            Err(gone) if gone.kind() == ErrorKind::NotFound => None,
            file => Some((entry.path(), file.expect("a file").len())),
        })
        .collect();
    files.sort();
    files
}

/// The directory as it was when the follower ended in order.
struct Kept(PathBuf);

impl Kept {
    fn of(cluster: &Cluster) -> Self {
        let kept = cluster.folder.join("kept");
        copy(&cluster.data(ROTTEN), &kept);
        Self(kept)
    }

    fn put_back(&self, cluster: &Cluster) {
        std::fs::remove_dir_all(cluster.data(ROTTEN)).expect("the rotten one goes");
        copy(&self.0, &cluster.data(ROTTEN));
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("it starts");
    assert!(copied.success(), "{}", from.display());
}

/// Folded so often that slots were used again, and what its log began with is gone. The follower has ended in order.
fn folded(test: &str) -> Cluster {
    let mut cluster = Cluster::start_with(test, 1, &["--checkpoint-after", "1"]);
    Cast::FIRST.settle(&cluster);
    let mut client = cluster.client();
    let mut folds = BTreeSet::new();
    for n in 0.. {
        put(&mut client, n);
        if n % 20 == 0 && folds.len() >= FOLDS {
            break;
        }
        folds.extend(files(&cluster, ".ckp").into_iter().map(|(path, _)| path));
        assert!(n < 4000, "it folds nothing");
    }
    (5000..5020).for_each(|n| put(&mut client, n));
    cluster.wait_until_level(0, ROTTEN);
    wait_until_folded(&cluster);
    cluster.terminate(ROTTEN);
    cluster
}

/// A fold that is under way would go on after the next start, and take away what is flipped meanwhile.
fn wait_until_folded(cluster: &Cluster) {
    let checkpoints = || files(cluster, ".ckp").into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    let (mut before, mut since) = (checkpoints(), Instant::now());
    while since.elapsed() < Duration::from_secs(1) {
        thread::sleep(Duration::from_millis(20));
        let now = checkpoints();
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}

/// What a follower says that halted at its start; and at the next one, where a latch says it in fewer words.
fn halts(cluster: &mut Cluster, what: &str) -> String {
    let place = |reason: &str| reason.split(": expected").next().unwrap_or_default().to_owned();
    let mut first: Option<String> = None;
    for nth in 0..2 {
        cluster.revive(ROTTEN);
        cluster.wait(ROTTEN, &format!("halted by {what}"), |shard| shard["state"] == "halted");
        let reason = cluster.shards(ROTTEN)[0]["reason"].as_str().unwrap_or_default().to_owned();
        let first = first.get_or_insert_with(|| reason.clone());
        assert_eq!(place(first), place(&reason), "{what}: not the same after a restart");
        let latched = reason.contains("kept until an operator clears it");
        assert!(latched == (nth == 1) || *first == reason, "{what}: {reason}");
        let ready = get(cluster.ports[ROTTEN][1], "/readyz");
        assert!(ready.contains("\"ready\": false"), "{what}: {ready}");
        for consistency in [Consistency::MaxStaleness { ms: 60_000 }, Consistency::Linearizable] {
            let answer = cluster.client_of(ROTTEN).get_with("p", &row("t", 1), consistency);
            let Err(Error::Refused(refused)) = answer else { panic!("{what}: it answers {answer:?}") };
            assert_eq!(refused.code, Code::ReplicaUnsafe, "{what}: {refused}");
        }
        cluster.kill(ROTTEN);
    }
    first.expect("it was started")
}

fn clear(cluster: &Cluster) {
    let mut command = Command::new(BINARY);
    command.args(["replica", "clear", "1", "--reason", "the disk was looked at", "--data"]);
    let done = command.arg(cluster.data(ROTTEN)).output().expect("it runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn names(reason: &str, words: &[&str], what: &str) {
    for word in words {
        assert!(reason.contains(word), "{what}: no {word:?} in {reason}");
    }
}

#[test]
fn a_bit_anywhere_in_a_segment_halts_a_follower() {
    let mut cluster = folded("flipped-segment");
    let kept = Kept::of(&cluster);
    let mut client = cluster.client();
    let chain = cluster.log_chain(ROTTEN);
    let (first, last) = (&chain[0], &chain[chain.len() - 1]);
    // Its header, the header of a batch, what is in it, the last batch: a clean end says that it was there.
    let places = [(first, 9), (first, 4096 + 17), (first, first.used / 2), (last, last.used - 4096 + 70)];
    for (n, (segment, offset)) in places.into_iter().enumerate() {
        flip(&segment.path, offset);
        let what = format!("{} at {offset} of {}", name(&segment.path), segment.used);
        let reason = halts(&mut cluster, &what);
        names(&reason, &[" breaks R", " at offset ", "expected ", "observed "], &what);
        assert!(reason.contains(&name(&segment.path)), "{what}: {reason}");
        println!("{what}: {reason}");
        put(&mut client, 6000 + i64::try_from(n).expect("few"));
        kept.put_back(&cluster);
    }
    comes_back(&mut cluster, client);
}

/// R8: the newest checkpoint may be missed, loudly, while an older one and all of the log behind it are there; by a member,
/// once somebody has cleared its halt (R25).
#[test]
fn a_bit_in_a_checkpoint_halts_a_follower_and_a_clear_lets_it_use_an_older_one() {
    let mut cluster = folded("flipped-checkpoint");
    let kept = Kept::of(&cluster);
    let mut client = cluster.client();
    let checkpoints = files(&cluster, ".ckp");
    let (newest, bytes) = checkpoints.last().expect("one of them").clone();
    for offset in [9, bytes / 2, bytes - 40] {
        let what = format!("{} at {offset} of {bytes}", name(&newest));
        flip(&newest, offset);
        let reason = halts(&mut cluster, &what);
        names(&reason, &[" breaks R8", &name(&newest), " at offset ", "expected ", "observed "], &what);
        clear(&cluster);
        cluster.revive(ROTTEN);
        cluster.wait_until_level(0, ROTTEN);
        let said = cluster.complaints(ROTTEN);
        names(&said, &["ERROR checkpoint.corrupt: ", &name(&newest), "offset"], &what);
        cluster.kill(ROTTEN);
        kept.put_back(&cluster);

        for (path, bytes) in &checkpoints {
            flip(path, offset.min(bytes / 2));
        }
        let reason = halts(&mut cluster, &what);
        names(&reason, &[" breaks R8", ".ckp at offset ", "expected ", "observed "], &what);
        println!("{what}: {reason}");
        put(&mut client, 6000 + i64::try_from(offset).expect("a small file"));
        kept.put_back(&cluster);
    }
    comes_back(&mut cluster, client);
}

/// R6: of one copy, the other one has all that counts, and a clear is enough; of both, only a reseed helps (F-RC2).
#[test]
fn a_bit_in_either_copy_of_the_metadata_halts_a_follower_and_in_both_for_good() {
    let mut cluster = folded("flipped-metadata");
    let kept = Kept::of(&cluster);
    let mut client = cluster.client();
    let (meta, bytes) = files(&cluster, "meta").remove(0);
    let copy = bytes / 2;
    for offset in [1, 40, 200] {
        let what = format!("metadata at {offset}");
        for one in [0, copy] {
            flip(&meta, one + offset);
            let reason = halts(&mut cluster, &what);
            names(&reason, &[&format!("meta at offset {one} breaks R6"), "expected ", "observed "], &what);
            clear(&cluster);
            cluster.revive(ROTTEN);
            cluster.wait_until_level(0, ROTTEN);
            cluster.kill(ROTTEN);
            kept.put_back(&cluster);
        }
        flip(&meta, offset);
        flip(&meta, copy + offset);
        let reason = halts(&mut cluster, &what);
        names(
            &reason,
            &["meta at offset 0 breaks R6", "expected ", "observed first copy", "second copy"],
            &what,
        );
        println!("{what}: {reason}");
        put(&mut client, 6000 + i64::try_from(offset).expect("small"));
        kept.put_back(&cluster);
    }
    comes_back(&mut cluster, client);
}

/// Segments that a checkpoint covers are kept for who is behind, and no start looks into them.
#[test]
fn a_bit_behind_the_checkpoint_is_found_while_the_follower_runs() {
    let mut cluster = folded("flipped-kept");
    let needed: BTreeSet<PathBuf> = cluster.log_chain(ROTTEN).into_iter().map(|one| one.path).collect();
    let others = files(&cluster, ".seg").into_iter().filter(|(path, _)| !needed.contains(path));
    others.for_each(|(path, _)| flip(&path, 4096 + 300));
    cluster.revive(ROTTEN);
    cluster.wait_until_level(0, ROTTEN);
    cluster.wait(ROTTEN, "halted by what it read again", |shard| shard["state"] == "halted");
    let reason = cluster.shards(ROTTEN)[0]["reason"].as_str().unwrap_or_default().to_owned();
    names(&reason, &["R2: slot-", ", offset 4096, ", "expected a whole batch", "observed "], "read again");
    assert!(cluster.complaints(ROTTEN).contains("ERROR replica.halted: "), "it is said");
    cluster.kill(ROTTEN);
    let reason = halts(&mut cluster, "a latch");
    names(&reason, &[" breaks R2", "slot-", "kept until an operator clears it"], "after a start");
}

/// The disk as it was is good for everything.
fn comes_back(cluster: &mut Cluster, mut client: Client) {
    cluster.revive(ROTTEN);
    cluster.wait_until_level(0, ROTTEN);
    cluster.require(0, ROTTEN);
    put(&mut client, 9000);
}
