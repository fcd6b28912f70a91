//! What the node says of itself in the text form of Prometheus (OpenMetrics 1.0). Every scrape asks the workers.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::status::{Facts, ready};
use crate::seam::{ShardStatus, WorkerStatus};
use crate::shard::latency::{EDGES_US, Histogram};

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn text(facts: &Facts, workers: Vec<Option<WorkerStatus>>) -> String {
    let mut registry = Registry::with_prefix("seawall");
    let versions = vec![("version", facts.version), ("driver", facts.driver), ("durable", facts.durable)];
    registry.register("node", "What the node is", Info::new(versions));
    registry.register_collector(Box::new(Snapshot { ready: ready(facts, &workers), workers }));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes everything");
    text
}

/// The workers as they answered just now.
#[derive(Debug)]
struct Snapshot {
    ready: bool,
    workers: Vec<Option<WorkerStatus>>,
}

/// A number of each shard. A counter's name ends with `_total` where it is shown.
struct OfShard {
    name: &'static str,
    help: &'static str,
    counts: bool,
    value: fn(&ShardStatus) -> u64,
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&ShardStatus) -> u64) -> OfShard {
    OfShard { name, help, counts: false, value }
}

const fn counter(name: &'static str, help: &'static str, value: fn(&ShardStatus) -> u64) -> OfShard {
    OfShard { name, help, counts: true, value }
}

const OF_SHARDS: &[OfShard] = &[
    gauge("shard_serving", "1 if the shard serves", |s| u64::from(s.state == "serving")),
    gauge("shard_troubled", "1 if the shard says what it suffers from, see /v1/status", |s| {
        u64::from(s.reason.is_some())
    }),
    gauge("shard_epoch", "Epoch of the shard's leader", |s| s.epoch),
    gauge("shard_durable_index", "Highest index that is durable here", |s| s.durable),
    gauge("shard_appended_index", "Highest index given out", |s| s.appended),
    gauge("shard_rows", "Rows", |s| s.rows as u64),
    gauge("shard_outcomes", "Outcomes kept under request keys", |s| s.outcomes as u64),
    gauge("shard_memory_bytes", "Memory of the state", |s| s.memory.total() as u64),
    gauge("shard_memory_limit_bytes", "Memory that the state may take", |s| s.memory_limit),
    gauge("shard_checkpoint_index", "Highest index in the newest checkpoint, 0 without one", |s| {
        s.checkpoint
    }),
    gauge("shard_checkpoint_bytes", "Size of the newest checkpoint", |s| s.checkpoint_bytes),
    counter("shard_log_writes", "Batches written to the log", |s| s.log_writes),
    counter("shard_log_bytes", "Bytes written to the log", |s| s.log_bytes),
];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let ready = ConstGauge::new(u64::from(self.ready));
        let help = "1 if every shard answers and serves";
        ready.encode(encoder.encode_descriptor("ready", help, None, MetricType::Gauge)?)?;
        let help = "1 if the worker answers";
        let mut up = encoder.encode_descriptor("worker_up", help, None, MetricType::Gauge)?;
        for (id, worker) in self.workers.iter().enumerate() {
            let value = ConstGauge::new(u64::from(worker.is_some()));
            value.encode(up.encode_family(&[("worker", id.to_string())])?)?;
        }
        let help = "Connections of clients";
        let mut open = encoder.encode_descriptor("worker_connections", help, None, MetricType::Gauge)?;
        for worker in self.workers.iter().flatten() {
            let value = ConstGauge::new(worker.connections as u64);
            value.encode(open.encode_family(&[("worker", worker.worker.0.to_string())])?)?;
        }
        for OfShard { name, help, counts, value } in OF_SHARDS {
            let kind = if *counts { MetricType::Counter } else { MetricType::Gauge };
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for shard in self.shards() {
                let labels = label(shard);
                let metric = metric.encode_family(&labels)?;
                match counts {
                    true => ConstCounter::new(value(shard)).encode(metric)?,
                    false => ConstGauge::new(value(shard)).encode(metric)?,
                }
            }
        }
        let help = "Time from the append of a commit until it was committed, as its worker saw it";
        let mut latency =
            encoder.encode_descriptor("commit_latency", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        self.shards().try_for_each(|shard| histogram(latency.encode_family(&label(shard))?, &shard.commits))
    }
}

impl Snapshot {
    fn shards(&self) -> impl Iterator<Item = &ShardStatus> {
        self.workers.iter().flatten().flat_map(|worker| &worker.shards)
    }
}

fn label(shard: &ShardStatus) -> [(&'static str, String); 1] {
    [("shard", shard.shard.0.to_string())]
}

fn histogram(mut metric: MetricEncoder<'_>, seen: &Histogram) -> fmt::Result {
    const SECOND_US: f64 = 1e6;
    // The encoder sums the buckets up, and calls the highest one +Inf.
    let edges = EDGES_US.iter().map(|us| *us as f64 / SECOND_US).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = edges.zip(seen.buckets).collect();
    metric.encode_histogram::<NoLabelSet>(seen.sum_us as f64 / SECOND_US, seen.count(), &buckets, None)
}
