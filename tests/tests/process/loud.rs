//! Nothing is silent: each row of the failure matrix that can be provoked with real processes is a line at error level, an
//! event along the four axes, one more in a counter, and a change of readiness, at whoever has to say it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::cast::Cast;
use crate::members::{Cluster, PATIENCE, at, get, leads};
use crate::witness::Writers;

/// What real processes cannot be brought to at a moment of choice; `tests/tests/failure_matrix/` has each.
const ELSEWHERE: [(&str, &str); 6] = [
    ("F-V1", "a frame on its way has a checksum of its own: what is bent inside of one does not arrive"),
    ("F-V2", "no member sends a batch that does not continue what it sent"),
    ("F-S1", "a checkpoint is sent within milliseconds"),
    ("F-S2", "it is judged within milliseconds"),
    ("F-S3", "no member sends a segment that contradicts its own checkpoint"),
    ("F-RS2", "a read waits for milliseconds"),
];

/// What one member has said so far: what is asked for later has to be more.
struct Before {
    nth: usize,
    complaints: usize,
    events: u64,
}

impl Before {
    fn at(cluster: &Cluster, nth: usize) -> Self {
        let complaints = cluster.complaints(nth).len();
        let newest = events(cluster, nth).last().and_then(|event| event["number"].as_u64());
        Self { nth, complaints, events: newest.unwrap_or(0) }
    }

    /// Of a process that is about to end: the next one counts from the beginning.
    fn of_the_next(cluster: &Cluster, nth: usize) -> Self {
        Self { nth, complaints: cluster.complaints(nth).len(), events: 0 }
    }

    /// The event, the line and the counter, all of the same failure.
    fn says(&self, cluster: &Cluster, event: &str, words: &str) {
        let until = Instant::now() + PATIENCE;
        let is_it = |found: &&Json| {
            found["event"] == event
                && found["number"].as_u64() > Some(self.events)
                && found["said"].as_str().is_some_and(|said| said.contains(words))
        };
        let found = loop {
            let all = events(cluster, self.nth);
            if let Some(found) = all.iter().find(is_it) {
                break found.clone();
            }
            assert!(Instant::now() < until, "member {}: no {event} of {words:?} in {all:#?}", self.nth + 1);
            thread::sleep(Duration::from_millis(50));
        };
        for axis in ["phase", "persistence", "visibility", "advice"] {
            assert!(found[axis].as_str().is_some_and(|said| !said.is_empty()), "no {axis}: {found}");
        }
        let said = cluster.complaints(self.nth).split_off(self.complaints);
        let line = said.lines().find(|line| line.starts_with(&format!("ERROR {event}: ")));
        assert!(line.is_some_and(|line| line.contains(words)), "no line of {event} and {words:?} in {said}");
        let shard = found["shard"].as_u64().map_or_else(String::new, |shard| shard.to_string());
        let series = format!("seawall_events_total{{event=\"{event}\",shard=\"{shard}\"}} ");
        let counted = metric(cluster, self.nth, &series).unwrap_or(0.0);
        assert!(counted >= 1.0, "{series}{counted}");
    }
}

fn events(cluster: &Cluster, nth: usize) -> Vec<Json> {
    cluster.status(nth)["events"].as_array().expect("a list").clone()
}

fn metric(cluster: &Cluster, nth: usize, series: &str) -> Option<f64> {
    let all = get(cluster.ports[nth][1], "/metrics");
    all.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

/// What `/readyz` says; `None`: nobody is there to say anything.
fn ready(cluster: &Cluster, nth: usize) -> Option<bool> {
    let mut stream = TcpStream::connect(at(cluster.ports[nth][1])).ok()?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let is_ready = answer.contains("\"ready\": true");
    assert_eq!(is_ready, answer.starts_with("HTTP/1.1 200 "), "{answer}");
    if cluster.nodes[nth].is_some() {
        let gauge = metric(cluster, nth, "seawall_ready ");
        assert!(gauge.is_some(), "no gauge says so");
    }
    Some(is_ready)
}

fn becomes(cluster: &Cluster, nth: usize, is_ready: Option<bool>, what: &str) {
    let until = Instant::now() + PATIENCE;
    while ready(cluster, nth) != is_ready {
        assert!(Instant::now() < until, "{what}: member {} is not {is_ready:?}", nth + 1);
        thread::sleep(Duration::from_millis(20));
    }
}

/// F-P1, F-P2: which of both it was depends on where its writes were; it says that it was killed, and the others that it
/// is not there.
fn a_leader_dies(cluster: &mut Cluster, cast: Cast) -> Cast {
    let writers = Writers::begin(&cluster.addresses());
    thread::sleep(Duration::from_millis(300));
    let (next, own) = (Before::at(cluster, cast.sync), Before::of_the_next(cluster, cast.leader));
    cluster.kill(cast.leader);
    becomes(cluster, cast.leader, None, "it is dead");
    next.says(cluster, "link.lost", &format!("no link to member {}", cast.leader + 1));
    cluster.promote(cast.sync);
    cluster.revive(cast.leader);
    own.says(cluster, "process.killed", "was killed");
    becomes(cluster, cast.leader, Some(true), "it follows");
    writers.verify(&mut cluster.client());
    let cast = cast.next();
    cast.settle(cluster);
    cast
}

/// F-R1, F-R2, F-A1, F-A2, and F-RC1 as it is killed again when it has hardly begun.
fn a_sync_follower_dies(cluster: &mut Cluster, cast: Cast) {
    let writers = Writers::begin(&cluster.addresses());
    thread::sleep(Duration::from_millis(300));
    let (leader, own) = (Before::at(cluster, cast.leader), Before::of_the_next(cluster, cast.sync));
    becomes(cluster, cast.leader, Some(true), "it serves");
    cluster.kill(cast.sync);
    becomes(cluster, cast.sync, None, "it is dead");
    leader.says(cluster, "link.lost", &format!("no link to member {}", cast.sync + 1));
    leader.says(cluster, "commits.refused", &format!("member {} ", cast.sync + 1));
    becomes(cluster, cast.leader, Some(false), "it can take no commit");
    let troubled = metric(cluster, cast.leader, "seawall_shard_troubled{shard=\"1\"} ");
    assert_eq!(troubled, Some(1.0), "a leader that refuses commits is troubled");
    for _ in 0..2 {
        cluster.revive(cast.sync);
        own.says(cluster, "process.killed", "was killed");
        cluster.kill(cast.sync);
    }
    cluster.revive(cast.sync);
    becomes(cluster, cast.sync, Some(true), "it follows");
    becomes(cluster, cast.leader, Some(true), "commits are taken again");
    writers.verify(&mut cluster.client());
    cast.settle(cluster);
}

/// F-RC2, F-RS1, F-O1: it is halted, says so to everybody who asks, and answers nothing else.
fn metadata_rot(cluster: &mut Cluster, cast: Cast) {
    let own = Before::of_the_next(cluster, cast.other);
    cluster.terminate(cast.other);
    let path = cluster.data(cast.other).join("shard-0001/meta");
    let whole = std::fs::read(&path).expect("metadata");
    let meta = File::options().write(true).open(&path).expect("metadata");
    for copy in [0, whole.len() as u64 / 2] {
        meta.write_all_at(&[!whole[usize::try_from(copy).expect("small") + 40]], copy + 40).expect("a byte");
    }
    cluster.revive(cast.other);
    own.says(cluster, "log.halted", "meta at offset 0 breaks R6");
    becomes(cluster, cast.other, Some(false), "it is halted");
    assert_eq!(metric(cluster, cast.other, "seawall_shard_serving{shard=\"1\"} "), Some(0.0));
    let refused = cluster.client_of(cast.other).get("p", &seawall::row("t", 1)).expect_err("it is halted");
    assert!(refused.to_string().contains("REPLICA_UNSAFE"), "{refused}");
    let explained = get(cluster.ports[cast.other][1], "/v1/explain?shard=1");
    assert!(explained.contains("R6"), "{explained}");
    cluster.kill(cast.other);
    std::fs::write(&path, whole).expect("as it was");
    cluster.revive(cast.other);
    becomes(cluster, cast.other, Some(true), "it is as it was");
    cast.settle(cluster);
}

/// No row of the matrix, and not to be silent either.
fn the_map_is_gone(cluster: &Cluster, cast: Cast) {
    let before = Before::at(cluster, cast.leader);
    let (map, aside) = (cluster.folder.join("map"), cluster.folder.join("map-aside"));
    // A change is what has to read it.
    std::fs::rename(&map, &aside).expect("it is moved");
    let released = cluster.order_within(
        cast.leader,
        &["sync-set", "require", "1", &(cast.other + 1).to_string(), "--timeout", "2s"],
    );
    assert!(released.is_err(), "nobody can record it: {released:?}");
    before.says(cluster, "map.unreachable", "THE MAP CANNOT BE READ OR CHANGED");
    std::fs::rename(&aside, &map).expect("it is moved back");
    cluster.wait_until_level(cast.leader, cast.other);
}

#[test]
fn nothing_of_the_failure_matrix_is_silent() {
    let mut cluster = Cluster::start_with("loud", 1, &[]);
    let cast = Cast::FIRST;
    cast.settle(&cluster);
    let cast = a_leader_dies(&mut cluster, cast);
    a_sync_follower_dies(&mut cluster, cast);
    metadata_rot(&mut cluster, cast);
    the_map_is_gone(&cluster, cast);

    let matrix = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/failure-matrix.md");
    let matrix = std::fs::read_to_string(matrix).expect("the failure matrix");
    let rows: BTreeSet<&str> =
        matrix.lines().filter_map(|line| line.strip_prefix("| [")?.split(']').next()).collect();
    let here = ["F-P1", "F-P2", "F-R1", "F-R2", "F-A1", "F-A2", "F-RC1", "F-RC2", "F-RS1", "F-O1"];
    let known: BTreeSet<&str> = here.into_iter().chain(ELSEWHERE.iter().map(|(row, _)| *row)).collect();
    assert_eq!(rows, known, "a row is neither provoked here nor said to be elsewhere");
}

/// R22: a follower that nothing is proven to for ten seconds serves no read. That is a failure of its own, with an end.
#[test]
fn a_follower_to_which_nothing_is_proven_says_so_and_that_it_ended() {
    let cluster = Cluster::start_with("loud-unproven", 1, &[]);
    cluster.wait(0, "leading", leads);
    cluster.wait_until_level(0, 2);
    let before = Before::at(&cluster, 2);
    cluster.pause(0);
    before.says(&cluster, "replica.unproven", "R22");
    assert!(get(cluster.ports[2][1], "/readyz").contains("\"ready\": false"));
    cluster.resume(0);
    let until = Instant::now() + PATIENCE;
    while !cluster.complaints(2).contains("the replica of shard 1 is proven again") {
        assert!(Instant::now() < until, "{}", cluster.complaints(2));
        thread::sleep(Duration::from_millis(50));
    }
    let times = events(&cluster, 2).iter().filter(|event| event["event"] == "replica.unproven").count();
    assert_eq!(times, 1, "it is said once: {}", cluster.complaints(2));
}
