//! Members that are behind their leader, or damaged, or asked by clients: as processes.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use seawall::client::Error;
use seawall::message::Consistency;
use seawall::refusal::{Code, Detail};
use seawall::{Client, Commit, Outcome, Token, row};

use crate::members::{Cluster, MEMBER_TIMEOUT_MS, PATIENCE, at, get, leads};

/// A record of about this size: some dozens fill a segment.
const LARGE: usize = 60_000;
const ROWS: i64 = 40;

fn text(n: i64, size: usize) -> String {
    format!("{n:07} ").repeat(size / 8)
}

fn put(client: &mut Client, n: i64, size: usize) -> Token {
    let commit = Commit::new("p").key(format!("k{n}"));
    let commit = commit.put(&row("t", n % ROWS), [("text", text(n, size).as_str())]);
    let outcome = client.commit(&commit);
    let Ok(Outcome::Committed(committed)) = outcome else { panic!("{n}: {outcome:?}") };
    committed.token
}

/// The segments of a member's log by their first index, the open one last: where they are, and how long.
fn segments(cluster: &Cluster, nth: usize) -> BTreeMap<u64, (PathBuf, u64)> {
    cluster.log_chain(nth).into_iter().map(|one| (one.first, (one.path, one.used))).collect()
}

/// All that the two have in common is the same, byte for byte; of what ends each log, as far as both go. Returns how many
/// segments that are.
fn same_segments(cluster: &Cluster, one: usize, other: usize) -> usize {
    let read = |path: &Path, used: u64| {
        let mut bytes = vec![0; usize::try_from(used).expect("a segment fits into memory")];
        File::open(path).expect("a segment").read_exact_at(&mut bytes, 0).expect("all of it");
        bytes
    };
    let (ours, theirs) = (segments(cluster, one), segments(cluster, other));
    let newest = [&ours, &theirs].map(|log| *log.keys().next_back().expect("an open segment"));
    let mut common = 0;
    for (first, (our, our_bytes)) in &ours {
        let Some((their, their_bytes)) = theirs.get(first) else { continue };
        assert!(our_bytes == their_bytes || newest.contains(first), "{our:?}, {their:?}");
        let both = *our_bytes.min(their_bytes);
        assert!(read(our, both) == read(their, both), "from index {first} on: {our:?}, {their:?}");
        common += 1;
    }
    common
}

/// Of the leader's view of a member: `what` is seen before it is level.
fn see_on_the_way(cluster: &Cluster, member: usize, what: &str) -> bool {
    let (until, mut seen) = (Instant::now() + PATIENCE, false);
    loop {
        let shards = cluster.shards(0);
        let members = shards[0]["replication"]["members"].as_array().expect("a list").clone();
        let sent = members.iter().find(|sent| sent["member"] == member + 1).expect("it is there");
        seen |= sent["state"] == what || sent["reason"].to_string().contains(what);
        if sent["state"] == "streaming" && sent["acknowledged"] == sent["target"] {
            return seen;
        }
        assert!(Instant::now() < until, "member {} does not become level: {sent}", member + 1);
        thread::sleep(Duration::from_millis(1));
    }
}

fn leads_with_a_follower_away(test: &str, options: &[&str], commits: i64) -> (Cluster, Client) {
    let mut cluster = Cluster::start_with(test, 1, options);
    cluster.wait(0, "leading", leads);
    let mut client = cluster.client();
    cluster.require(0, 1);
    put(&mut client, 0, 10);
    cluster.wait_until_level(0, 2);
    if cluster.map().contains("in sync 2, 3") {
        cluster.order(0, &["sync-set", "release", "1", "3"]).expect("another one is in the set");
    }
    cluster.terminate(2);
    for n in 1..=commits {
        put(&mut client, n, LARGE);
    }
    (cluster, client)
}

#[test]
fn a_follower_that_missed_more_than_is_in_memory_gets_it_from_segments() {
    let options = ["--set", "log.tail_bytes=2097152"];
    let (mut cluster, mut client) = leads_with_a_follower_away("behind-segments", &options, 230);
    cluster.revive(2);
    assert!(see_on_the_way(&cluster, 2, "catching up"), "nobody saw it catch up");
    put(&mut client, 231, 10);
    cluster.wait_until_level(0, 2);
    (0..3).for_each(|nth| cluster.terminate(nth));
    for nth in 0..3 {
        let (clean, said) = cluster.log("verify", nth);
        assert!(clean, "member {}: {said}", nth + 1);
    }
    let same = [same_segments(&cluster, 0, 1), same_segments(&cluster, 0, 2)];
    assert!(same.iter().all(|same| *same >= 4), "{same:?} segments can be compared");
}

#[test]
fn a_follower_that_no_segment_reaches_gets_a_checkpoint() {
    let options = ["--set", "log.tail_bytes=2097152", "--checkpoint-after", "1"];
    let (mut cluster, mut client) = leads_with_a_follower_away("behind-checkpoint", &options, 300);
    let until = Instant::now() + PATIENCE;
    while segments(&cluster, 0).contains_key(&1) {
        assert!(Instant::now() < until, "nothing was folded");
        put(&mut client, 301, LARGE);
        thread::sleep(Duration::from_millis(50));
    }
    cluster.revive(2);
    assert!(see_on_the_way(&cluster, 2, "bootstrapping"), "nobody saw it get a checkpoint");
    let token = (302..400).map(|n| put(&mut client, n, LARGE)).last().expect("the newest");
    cluster.wait_until_level(0, 2);

    wait_until_proven(&cluster, 2);
    // It has the rows of the checkpoint and those behind it.
    let mut own = cluster.client_of(2);
    for n in 360..400 {
        let got = own.get_with("p", &row("t", n % ROWS), Consistency::Session { token, max_wait_ms: 5_000 });
        let got = got.expect("a follower that is level answers").row.expect("it was committed");
        assert_eq!(got.get("text"), Some(&text(n, LARGE).as_str().into()), "{n}");
    }
    (0..3).for_each(|nth| cluster.terminate(nth));
    for nth in 0..3 {
        let (clean, said) = cluster.log("verify", nth);
        assert!(clean, "member {}: {said}", nth + 1);
    }
    assert!(same_segments(&cluster, 0, 2) > 0, "no segment is at both");
}

/// It does not go on with a log that changed under it, and does not serve from it either.
#[test]
fn a_flipped_bit_halts_a_follower_and_its_leader_keeps_to_the_policy() {
    let mut cluster = Cluster::start_with("behind-flipped", 1, &[]);
    cluster.wait(0, "leading", leads);
    let mut client = cluster.client();
    for nth in [1, 2] {
        cluster.wait_until_level(0, nth);
        cluster.require(0, nth);
    }
    for n in 0..100 {
        put(&mut client, n, LARGE);
    }
    cluster.wait_until_level(0, 2);
    cluster.terminate(2);
    let (path, used) = segments(&cluster, 2).into_values().next().expect("a closed segment");
    let segment = File::options().read(true).write(true).open(&path).expect("a segment");
    let mut byte = [0];
    segment.read_exact_at(&mut byte, used / 2).expect("a byte");
    segment.write_all_at(&[byte[0] ^ 1], used / 2).expect("another one");

    let file = path.file_name().expect("it has a name").to_string_lossy().into_owned();
    let mut first = None;
    for latched in [false, true] {
        cluster.revive(2);
        cluster.wait(2, "halted", |shard| shard["state"] == "halted");
        let reason = cluster.shards(2)[0]["reason"].as_str().unwrap_or_default().to_owned();
        for word in ["breaks R2", &format!("{file} at offset "), "checksum does not match"] {
            assert!(reason.contains(word), "{word}: {reason}");
        }
        assert_eq!(
            reason.contains("kept until an operator clears it"),
            latched,
            "over restarts (R25): {reason}"
        );
        first.get_or_insert(reason);
        assert!(
            get(cluster.ports[2][1], "/readyz").contains("\"ready\": false"),
            "a halted one is not ready"
        );
        for consistency in [Consistency::MaxStaleness { ms: 60_000 }, Consistency::Linearizable] {
            let answer = cluster.client_of(2).get_with("p", &row("t", 1), consistency);
            let Err(Error::Refused(refused)) = answer else { panic!("it answers {answer:?}") };
            assert!(refused.code == Code::ReplicaUnsafe && refused.to_string().contains(&file), "{refused}");
        }
        cluster.kill(2);
    }
    cluster.revive(2);
    // It is required, and so nothing is committed without it, until somebody decides otherwise.
    thread::sleep(Duration::from_millis(MEMBER_TIMEOUT_MS + 500));
    let refused = cluster.client_of(0).commit(&Commit::new("p").put(&row("t", 0), [("n", 1)]));
    let Err(Error::Refused(refused)) = refused else { panic!("member 3 does not answer: {refused:?}") };
    assert_eq!(refused.code, Code::DurabilityUnavailable, "{refused}");

    cleared_in_vain(&mut cluster, &first.expect("it was halted"));
    begins_anew(&mut cluster, &mut client, &file);
    (0..3).for_each(|nth| cluster.terminate(nth));
    for nth in 0..3 {
        let (clean, said) = cluster.log("verify", nth);
        assert!(clean, "member {}: {said}", nth + 1);
    }
    let same = [same_segments(&cluster, 0, 1), same_segments(&cluster, 0, 2)];
    assert!(same.iter().all(|same| *same > 0), "{same:?} segments can be compared");
    let aside = std::fs::read_dir(cluster.data(2).join("shard-0001/quarantine")).expect("it is there");
    let aside = aside.map(|entry| entry.expect("a name").path()).next().expect("one log");
    let kept = std::fs::read(aside.join(&file)).expect("the segment that was damaged");
    assert_eq!(kept[usize::try_from(used / 2).expect("a place")], byte[0] ^ 1, "as it was");
}

/// To clear it mends nothing, and says so, also after another start.
fn cleared_in_vain(cluster: &mut Cluster, reason: &str) {
    for _ in 0..2 {
        let again = cluster.order(2, &["replica", "clear", "1", "--reason", "the disk was looked at"]);
        let again = again.expect_err("the bit is still another one");
        let words = reason.split("HALTED. ").last().expect("some words");
        assert!(again.contains("halted again") && again.contains(words), "{again}");
        assert_eq!(cluster.shards(2)[0]["state"], "halted");
        cluster.kill(2);
        cluster.revive(2);
        cluster.wait(2, "halted", |shard| shard["state"] == "halted");
    }
    let refused =
        cluster.order(0, &["replica", "reseed", "1", "--reason", "it leads"]).expect_err("it leads");
    assert!(refused.contains("R14") && refused.contains("seawall hand-over"), "{refused}");
    let refused = cluster.order(1, &["replica", "clear", "1", "--reason", "none"]).expect_err("it is well");
    assert!(refused.contains("R25") && refused.contains("not halted"), "{refused}");
}

/// It is not required any more before it takes data. A healthy one may begin anew, too.
fn begins_anew(cluster: &mut Cluster, client: &mut Client, file: &str) {
    let said = cluster.order(2, &["replica", "reseed", "1", "--reason", "a bit flipped", "--actor", "ada"]);
    let said = said.expect("a halted one may begin anew");
    assert!(said.contains("quarantine/reseed-"), "{said}");
    cluster.kill(2);
    cluster.revive(2);
    put(client, 1000, 10);
    cluster.wait_until_level(0, 2);
    cluster.require(0, 2);
    put(client, 1001, 10);
    cluster.wait_until_level(0, 2);
    let audit = cluster.order(2, &["replica", "audit"]).expect("it is kept");
    let lines: Vec<&str> = audit.lines().collect();
    let [one, other, last] = lines[..] else { panic!("{audit}") };
    assert!([one, other].iter().all(|line| line.contains("clear by an operator (the disk was looked at)")));
    assert!(last.contains("reseed by ada (a bit flipped)") && last.contains(file), "{last}");

    cluster.order(1, &["replica", "reseed", "1", "--reason", "to try it"]).expect("it follows");
    cluster.wait_until_level(0, 1);
    put(client, 1002, 10);
    cluster.wait_until_level(0, 1);
    cluster.wait_until_level(0, 2);
}

/// After a start a follower knows nothing of its age before its leader has answered it.
fn wait_until_proven(cluster: &Cluster, nth: usize) {
    let (until, mut own) = (Instant::now() + PATIENCE, cluster.client_of(nth));
    while let Err(why) = own.get_with("p", &row("t", 0), Consistency::MaxStaleness { ms: 5_000 }) {
        assert!(Instant::now() < until, "member {}: {why}", nth + 1);
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_follower_answers_clients_that_know_a_token_or_bear_an_age_and_names_its_leader_to_others() {
    let cluster = Cluster::start_with("behind-reads", 1, &[]);
    cluster.wait(0, "leading", leads);
    let mut client = cluster.client();
    for nth in [1, 2] {
        cluster.wait_until_level(0, nth);
        wait_until_proven(&cluster, nth);
        for n in 0..5 {
            let commit = Commit::new("p").put(&row("t", 0), [("n", n)]);
            let Ok(Outcome::Committed(committed)) = client.commit(&commit) else { panic!("{n}") };
            let session = Consistency::Session { token: committed.token, max_wait_ms: 5_000 };
            let mut own = cluster.client_of(nth);
            let got = own.get_with("p", &row("t", 0), session).expect("it waits for what the token names");
            assert_eq!(got.row.and_then(|row| row.get("n").cloned()), Some(n.into()), "read your writes");
            assert!(got.token.position >= committed.token.position, "{:?}", got.token);
        }
        let mut own = cluster.client_of(nth);
        let got = own.get_with("p", &row("t", 0), Consistency::MaxStaleness { ms: 5_000 });
        let got = got.expect("a level follower proves its age");
        assert!(got.staleness.is_some_and(|age| age <= Duration::from_millis(5_000)), "{:?}", got.staleness);
        let refused = own.get("p", &row("t", 0));
        let Err(Error::Refused(refused)) = refused else { panic!("it does not lead: {refused:?}") };
        assert_eq!(refused.code, Code::NotLeader, "{refused}");
        assert_eq!(refused.reason.detail, Detail::Leader(at(cluster.ports[0][0])), "{refused}");
    }
    // Nobody proves to it how old its state is any more.
    cluster.pause(0);
    thread::sleep(Duration::from_millis(1500));
    let refused = cluster.client_of(1).get_with("p", &row("t", 0), Consistency::MaxStaleness { ms: 1_000 });
    let Err(Error::Refused(refused)) = refused else { panic!("its age is not proven: {refused:?}") };
    assert_eq!(refused.code, Code::StaleBound, "{refused}");
    cluster.resume(0);
}
