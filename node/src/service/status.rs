//! What is said about the node, as JSON.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use seawall::map::MemberId;
use serde_json::{Value, json};

use crate::authority::watch::Known;
use crate::driver::incidents::Incidents;
use crate::driver::probe::Durable;
use crate::driver::probe::watch::Switches;
use crate::seam::{FollowerStatus, ScrubRound, ScrubStatus, ShardStatus, WorkerId, WorkerStatus};

/// What does not change while the process runs.
#[derive(Clone, Debug)]
pub struct Facts {
    pub version: &'static str,
    pub driver: &'static str,
    pub why_driver: String,
    pub durable: &'static str,
    pub why_durable: String,
    /// The workers that gave up RWF_DSYNC since.
    pub switches: Arc<Switches>,
    /// What the file system under the data is to be warned of.
    pub warnings: Vec<String>,
    pub direct_io: bool,
    pub lineage: String,
    pub listen: SocketAddr,
    /// Where the admin port is.
    pub admin: SocketAddr,
    /// How many shards there are, whether their workers answer or not.
    pub shards: usize,
    /// Each parameter with its value and where it comes from.
    pub parameters: Value,
    /// How the log of each shard was left by the process before this one.
    pub last_ends: Vec<Value>,
    /// Where it is written down who ended a halt.
    pub audit: PathBuf,
    /// Of a member: its number, and the newest map that it has seen.
    pub member: Option<(MemberId, Known)>,
    /// What went wrong since the start.
    pub incidents: Incidents,
    /// Set when the node was told to end.
    pub stopping: Arc<AtomicBool>,
}

fn stopping(facts: &Facts) -> bool {
    facts.stopping.load(Ordering::Relaxed)
}

/// It serves, or follows somebody who does: what a follower is there for. Who can take no commit, for want of members or of
/// room, is no leader to go to, and who can prove nothing no follower to read from.
fn is_ready(shard: &ShardStatus) -> bool {
    let unproven = |following: &FollowerStatus| following.unproven;
    let refuses = shard.replication.as_ref().is_some_and(|replication| {
        replication.refuses_commits || replication.following.as_ref().is_some_and(unproven)
    });
    matches!(shard.state, "serving" | "streaming" | "catching up") && !refuses && !shard.full
}

/// Every shard answers and is ready, and nobody told the node to end.
pub(super) fn ready(facts: &Facts, workers: &[Option<WorkerStatus>]) -> bool {
    let serving = workers.iter().flatten().flat_map(|w| &w.shards).filter(|s| is_ready(s)).count();
    serving == facts.shards && !stopping(facts)
}

pub(super) fn full(facts: &Facts, workers: &[Option<WorkerStatus>]) -> Value {
    json!({
        "version": facts.version,
        "ready": ready(facts, workers),
        "stopping": stopping(facts),
        "lineage": facts.lineage,
        "listen": facts.listen.to_string(),
        "driver": facts.driver,
        "why_driver": facts.why_driver,
        "durable": { "primitive": facts.durable, "why": facts.why_durable, "switched": switched(facts, workers.len()) },
        "warnings": facts.warnings,
        "direct_io": facts.direct_io,
        "workers": workers.iter().enumerate().map(|(id, w)| worker(id, w.as_ref())).collect::<Vec<_>>(),
        "shards": workers.iter().flatten().flat_map(|w| &w.shards).map(shard).collect::<Vec<_>>(),
        "member": facts.member.as_ref().map(|(member, _)| member.0),
        "links": workers.iter().flatten().flat_map(|w| &w.links).map(super::member::link).collect::<Vec<_>>(),
        "last_ends": facts.last_ends,
        "events": facts.incidents.json(),
        "parameters": facts.parameters,
    })
}

/// The shards that keep the node from being ready, and why.
pub(super) fn readiness(facts: &Facts, workers: &[Option<WorkerStatus>]) -> Value {
    let shards = workers.iter().flatten().flat_map(|w| &w.shards).filter(|s| !is_ready(s));
    let silent = workers.iter().enumerate().filter(|(_, w)| w.is_none()).map(|(id, _)| id);
    json!({
        "ready": ready(facts, workers),
        "stopping": stopping(facts),
        "not_serving": shards.map(shard).collect::<Vec<_>>(),
        "silent_workers": silent.collect::<Vec<_>>(),
    })
}

/// `primitive` is what the start chose; these workers use another one by now.
fn switched(facts: &Facts, workers: usize) -> Vec<Value> {
    let workers = (0u16..).map(WorkerId).take(workers);
    let switches = workers.filter_map(|worker| Some((worker, facts.switches.of(worker)?)));
    switches
        .map(|(worker, why)| {
            json!({ "worker": worker.0, "primitive": Durable::Link.name(), "why": why.to_string() })
        })
        .collect()
}

fn worker(id: usize, status: Option<&WorkerStatus>) -> Value {
    match status {
        Some(status) => json!({ "worker": id, "state": "answers", "connections": status.connections }),
        None => json!({ "worker": id, "state": "silent" }),
    }
}

/// What is not known is null, and `complete` says that something is not (F-O1).
fn shard(status: &ShardStatus) -> Value {
    let of_log = |number: u64| status.open.then_some(number);
    json!({
        "shard": status.shard.0,
        "state": status.state,
        "reason": status.reason,
        "complete": status.open,
        "epoch": of_log(status.epoch),
        "durable": of_log(status.durable),
        "appended": of_log(status.appended),
        "rows": of_log(status.rows as u64),
        "outcomes": of_log(status.outcomes as u64),
        "commits": status.commits.count(),
        "memory": {
            "rows": status.memory.rows,
            "ttls": status.memory.ttls,
            "leases": status.memory.leases,
            "streams": status.memory.streams,
            "cursors": status.memory.cursors,
            "outcomes": status.memory.outcomes,
            "total": status.memory.total(),
            "limit": status.memory_limit,
        },
        "log_writes": status.log_writes,
        "log_bytes": status.log_bytes,
        "checkpoint": { "index": of_log(status.checkpoint), "bytes": of_log(status.checkpoint_bytes) },
        "scrub": scrub(&status.scrub),
        "replication": status.replication.as_ref().map(super::member::replication),
    })
}

fn scrub(status: &ScrubStatus) -> Value {
    let round = |round: &ScrubRound| {
        json!({
            "began_us": round.began_us,
            "ended_us": (round.ended_us > 0).then_some(round.ended_us),
            "files": round.files,
            "bytes": round.bytes,
            "rotten": round.rotten,
            "unread": round.unread,
        })
    };
    json!({
        "bytes_per_second": status.bytes_per_second,
        "reading": status.reading,
        "round": status.round.as_ref().map(round),
        "rounds": status.rounds,
        "last": status.last.as_ref().map(round),
        "found": status.found,
    })
}

/// For tests: a shard whose log is not open.
#[cfg(test)]
pub(super) fn a_shard() -> ShardStatus {
    ShardStatus {
        shard: seawall::map::ShardId(3),
        state: "halted",
        reason: Some("why".into()),
        open: false,
        full: false,
        epoch: 7,
        durable: 0,
        appended: 0,
        rows: 0,
        outcomes: 0,
        commits: Default::default(),
        memory: Default::default(),
        memory_limit: 1,
        log_writes: 0,
        log_bytes: 0,
        checkpoint: 0,
        checkpoint_bytes: 0,
        scrub: Default::default(),
        replication: None,
    }
}

/// For tests.
#[cfg(test)]
pub(super) fn some_facts() -> Facts {
    Facts {
        version: "0",
        driver: "ring",
        why_driver: "it works".into(),
        durable: Durable::Dsync.name(),
        why_durable: "measured".into(),
        switches: Arc::new(Switches::new(2)),
        warnings: vec!["slow: so it is".into()],
        direct_io: true,
        lineage: String::new(),
        listen: "127.0.0.1:1".parse().expect("an address"),
        admin: "127.0.0.1:2".parse().expect("an address"),
        shards: 0,
        parameters: Value::Null,
        last_ends: Vec::new(),
        audit: PathBuf::new(),
        member: None,
        stopping: Arc::default(),
        incidents: Incidents::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::probe::watch::clustered;

    /// F-O1: a number that nobody knows would be taken for one.
    #[test]
    fn what_is_not_known_of_a_shard_is_null_and_said_to_be() {
        let closed = a_shard();
        for open in [false, true] {
            let said = shard(&ShardStatus { open, ..closed.clone() });
            assert_eq!((&said["complete"], &said["reason"]), (&open.into(), &"why".into()));
            let checkpoint = &said["checkpoint"];
            let numbers = ["epoch", "durable", "appended", "rows", "outcomes"].map(|name| &said[name]);
            let numbers = numbers.into_iter().chain([&checkpoint["index"], &checkpoint["bytes"]]);
            assert!(numbers.map(Value::is_null).all(|null| null != open), "{said}");
        }
    }

    #[test]
    fn a_worker_that_gave_up_what_the_start_chose_is_named() {
        let facts = some_facts();
        assert_eq!(full(&facts, &[None, None])["durable"]["switched"], json!([]));
        facts.switches.note(WorkerId(1), clustered(4_000, [4_000; 64]).expect("they cluster"));
        let status = full(&facts, &[None, None]);
        assert_eq!(status["durable"]["primitive"], "write with RWF_DSYNC");
        let switched = &status["durable"]["switched"];
        assert_eq!(switched.as_array().map(Vec::len), Some(1));
        assert_eq!(switched[0]["worker"], 1);
        assert_eq!(switched[0]["primitive"], "write linked to fdatasync");
        assert!(switched[0]["why"].as_str().is_some_and(|why| why.contains("4.00 ms")), "{switched}");
        assert_eq!(status["warnings"], json!(["slow: so it is"]));
    }
}
