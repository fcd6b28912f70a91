//! What is said about the node, as JSON.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::seam::{ShardStatus, WorkerStatus};

/// What does not change while the process runs.
#[derive(Clone, Debug)]
pub struct Facts {
    pub version: &'static str,
    pub driver: &'static str,
    pub durable: &'static str,
    pub why_durable: String,
    pub direct_io: bool,
    pub lineage: String,
    pub listen: SocketAddr,
    /// How many shards there are, whether their workers answer or not.
    pub shards: usize,
}

/// Every shard answers and serves.
pub(super) fn ready(facts: &Facts, workers: &[Option<WorkerStatus>]) -> bool {
    let serving = workers.iter().flatten().flat_map(|w| &w.shards).filter(|s| s.state == "serving").count();
    serving == facts.shards
}

pub(super) fn full(facts: &Facts, workers: &[Option<WorkerStatus>]) -> Value {
    json!({
        "version": facts.version,
        "ready": ready(facts, workers),
        "lineage": facts.lineage,
        "listen": facts.listen.to_string(),
        "driver": facts.driver,
        "durable": { "primitive": facts.durable, "why": facts.why_durable },
        "direct_io": facts.direct_io,
        "workers": workers.iter().enumerate().map(|(id, w)| worker(id, w.as_ref())).collect::<Vec<_>>(),
        "shards": workers.iter().flatten().flat_map(|w| &w.shards).map(shard).collect::<Vec<_>>(),
    })
}

/// The shards that keep the node from being ready, and why.
pub(super) fn readiness(facts: &Facts, workers: &[Option<WorkerStatus>]) -> Value {
    let shards = workers.iter().flatten().flat_map(|w| &w.shards).filter(|s| s.state != "serving");
    let silent = workers.iter().enumerate().filter(|(_, w)| w.is_none()).map(|(id, _)| id);
    json!({
        "ready": ready(facts, workers),
        "not_serving": shards.map(shard).collect::<Vec<_>>(),
        "silent_workers": silent.collect::<Vec<_>>(),
    })
}

fn worker(id: usize, status: Option<&WorkerStatus>) -> Value {
    match status {
        Some(status) => json!({ "worker": id, "state": "answers", "connections": status.connections }),
        None => json!({ "worker": id, "state": "silent" }),
    }
}

fn shard(status: &ShardStatus) -> Value {
    json!({
        "shard": status.shard.0,
        "state": status.state,
        "reason": status.reason,
        "epoch": status.epoch,
        "durable": status.durable,
        "appended": status.appended,
        "rows": status.rows,
        "log_writes": status.log_writes,
        "log_bytes": status.log_bytes,
        "checkpoint": { "index": status.checkpoint, "bytes": status.checkpoint_bytes },
    })
}
