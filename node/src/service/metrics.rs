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

use seawall::map::ShardId;

use super::status::{Facts, ready};
use crate::seam::{MemberStatus, Replication, ShardStatus, WorkerStatus};
use crate::shard::latency::{EDGES_US, Histogram};

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn text(facts: &Facts, workers: Vec<Option<WorkerStatus>>) -> String {
    let mut registry = Registry::with_prefix("seawall");
    let versions = vec![("version", facts.version), ("driver", facts.driver), ("durable", facts.durable)];
    registry.register("node", "What the node is", Info::new(versions));
    registry.register_collector(Box::new(Snapshot {
        ready: ready(facts, &workers),
        incidents: facts.incidents.counts(),
        workers,
    }));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes everything");
    text
}

/// The workers as they answered just now.
#[derive(Debug)]
struct Snapshot {
    ready: bool,
    incidents: Vec<(&'static str, Option<ShardId>, u64)>,
    workers: Vec<Option<WorkerStatus>>,
}

/// A number of each worker that answers.
type OfWorker = (&'static str, &'static str, MetricType, fn(&WorkerStatus) -> u64);

const OF_WORKERS: &[OfWorker] = &[
    ("worker_connections", "Connections of clients", MetricType::Gauge, |w| w.connections as u64),
    (
        "worker_output_bytes",
        "Memory of replies that wait for clients, beyond a small share of each",
        MetricType::Gauge,
        |w| w.output_bytes as u64,
    ),
    (
        "worker_deaf_clients",
        "Clients that were hung up on because they took nothing of what they were owed",
        MetricType::Counter,
        |w| w.deaf,
    ),
];

/// A number of each shard. A counter's name ends with `_total` where it is shown.
struct OfShard {
    name: &'static str,
    help: &'static str,
    counts: bool,
    /// Left out while the log is not open: nobody knows it then.
    of_log: bool,
    value: fn(&ShardStatus) -> u64,
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&ShardStatus) -> u64) -> OfShard {
    OfShard { name, help, counts: false, of_log: false, value }
}

const fn of_log(name: &'static str, help: &'static str, value: fn(&ShardStatus) -> u64) -> OfShard {
    OfShard { name, help, counts: false, of_log: true, value }
}

const fn counter(name: &'static str, help: &'static str, value: fn(&ShardStatus) -> u64) -> OfShard {
    OfShard { name, help, counts: true, of_log: false, value }
}

const OF_SHARDS: &[OfShard] = &[
    gauge("shard_serving", "1 if the shard serves", |s| u64::from(s.state == "serving")),
    gauge("shard_troubled", "1 if the shard says what it suffers from, see /v1/status", |s| {
        u64::from(s.reason.is_some())
    }),
    of_log("shard_epoch", "Epoch of the shard's leader", |s| s.epoch),
    of_log("shard_durable_index", "Highest index that is durable here", |s| s.durable),
    of_log("shard_appended_index", "Highest index given out", |s| s.appended),
    of_log("shard_rows", "Rows", |s| s.rows as u64),
    of_log("shard_outcomes", "Outcomes kept under request keys", |s| s.outcomes as u64),
    gauge("shard_memory_bytes", "Memory of the state", |s| s.memory.total() as u64),
    gauge("shard_memory_limit_bytes", "Memory that the state may take", |s| s.memory_limit),
    of_log("shard_checkpoint_index", "Highest index in the newest checkpoint, 0 without one", |s| {
        s.checkpoint
    }),
    of_log("shard_checkpoint_bytes", "Size of the newest checkpoint", |s| s.checkpoint_bytes),
    counter("shard_log_writes", "Batches written to the log", |s| s.log_writes),
    counter("shard_log_bytes", "Bytes written to the log", |s| s.log_bytes),
];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let ready = ConstGauge::new(u64::from(self.ready));
        let help = "1 if every shard answers and serves";
        ready.encode(encoder.encode_descriptor("ready", help, None, MetricType::Gauge)?)?;
        let help = "What went wrong since the start, by its event; see events at /v1/status";
        let mut events = encoder.encode_descriptor("events", help, None, MetricType::Counter)?;
        for (event, shard, count) in &self.incidents {
            let shard = shard.map_or_else(String::new, |shard| shard.0.to_string());
            let labels = [("event", (*event).to_owned()), ("shard", shard)];
            ConstCounter::new(*count).encode(events.encode_family(&labels)?)?;
        }
        let help = "1 if the worker answers";
        let mut up = encoder.encode_descriptor("worker_up", help, None, MetricType::Gauge)?;
        for (id, worker) in self.workers.iter().enumerate() {
            let value = ConstGauge::new(u64::from(worker.is_some()));
            value.encode(up.encode_family(&[("worker", id.to_string())])?)?;
        }
        for (name, help, kind, value) in OF_WORKERS {
            let mut metric = encoder.encode_descriptor(name, help, None, *kind)?;
            for worker in self.workers.iter().flatten() {
                let label = [("worker", worker.worker.0.to_string())];
                let metric = metric.encode_family(&label)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(value(worker)).encode(metric)?,
                    _ => ConstGauge::new(value(worker)).encode(metric)?,
                }
            }
        }
        for OfShard { name, help, counts, of_log, value } in OF_SHARDS {
            let kind = if *counts { MetricType::Counter } else { MetricType::Gauge };
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for shard in self.shards().filter(|shard| shard.open || !of_log) {
                let labels = label(shard);
                let metric = metric.encode_family(&labels)?;
                match counts {
                    true => ConstCounter::new(value(shard)).encode(metric)?,
                    false => ConstGauge::new(value(shard)).encode(metric)?,
                }
            }
        }
        self.replication(&mut encoder)?;
        let help = "Time from the append of a commit until it was committed, as its worker saw it";
        let mut latency =
            encoder.encode_descriptor("commit_latency", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        self.shards().try_for_each(|shard| histogram(latency.encode_family(&label(shard))?, &shard.commits))
    }
}

/// A number of each follower, as its leader sees it.
type OfMember = (&'static str, &'static str, fn(&MemberStatus) -> u64);

const OF_MEMBERS: &[OfMember] = &[
    ("member_acknowledged_index", "Highest index that a member has validated, as its leader knows", |m| {
        m.acknowledged
    }),
    ("member_required", "1 if every commit waits for the member", |m| u64::from(m.required)),
    ("member_streaming", "1 if the member takes what is shipped", |m| u64::from(m.state == "streaming")),
    ("member_halted", "1 if the member says that its replica is halted", |m| u64::from(m.state == "halted")),
    ("member_records_per_second", "Records that the member validated of late, in a second", |m| {
        m.records_per_second
    }),
    ("member_under_way_bytes", "Bytes that are shipped to the member and not acknowledged", |m| {
        m.under_way_bytes
    }),
    ("member_attempts", "How often the member was greeted since it was last there", |m| m.attempts),
];

/// A number of each shard of a member of a cluster.
type OfReplica = (&'static str, &'static str, fn(&Replication) -> Option<u64>);

const OF_REPLICAS: &[OfReplica] = &[
    ("shard_leads", "1 if this member leads the shard", |r| Some(u64::from(r.role == "leader"))),
    ("shard_map_generation", "Generation of the map that the shard acts on", |r| Some(r.generation)),
    ("shard_committed_index", "Highest index that is known to be committed", |r| r.committed),
    ("shard_applied_index", "Highest index in the state of a follower", |r| {
        r.following.as_ref().map(|following| following.applied).or(r.committed)
    }),
];

impl Snapshot {
    /// Of a member of a cluster; a node that is alone has none of it.
    fn replication(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let replicas = || self.shards().filter_map(|shard| Some((shard, shard.replication.as_ref()?)));
        if replicas().next().is_none() {
            return Ok(());
        }
        for (name, help, value) in OF_REPLICAS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (shard, replication) in replicas() {
                let Some(value) = value(replication) else { continue };
                ConstGauge::new(value).encode(metric.encode_family(&label(shard))?)?;
            }
        }
        for (name, help, value) in OF_MEMBERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (shard, replication) in replicas() {
                for member in &replication.members {
                    let labels =
                        [("shard", shard.shard.0.to_string()), ("member", member.member.0.to_string())];
                    ConstGauge::new(value(member)).encode(metric.encode_family(&labels)?)?;
                }
            }
        }
        let help = "1 if there is a link to the member";
        let mut metric = encoder.encode_descriptor("link_up", help, None, MetricType::Gauge)?;
        for link in self.workers.iter().flatten().flat_map(|worker| &worker.links) {
            let up = ConstGauge::new(u64::from(link.state == "up"));
            up.encode(metric.encode_family(&[("member", link.member.0.to_string())])?)?;
        }
        Ok(())
    }

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use seawall::map::MemberId;

    use super::*;
    use crate::seam::{LinkStatus, WorkerId};

    /// A leader with a member, a link and everything else that there is a series for.
    fn cluster() -> Vec<Option<WorkerStatus>> {
        let member = MemberStatus {
            member: MemberId(2),
            required: true,
            recorded: true,
            state: "streaming",
            since_us: 0,
            target: 1,
            acknowledged: 1,
            under_way_bytes: 0,
            attempts: 0,
            records_per_second: 0,
            reason: None,
        };
        let replication = Replication {
            role: "leader",
            generation: 1,
            epoch: 1,
            leader: Some(MemberId(1)),
            committed: Some(1),
            refuses_commits: false,
            members: vec![member],
            following: None,
        };
        let link = LinkStatus {
            member: MemberId(2),
            state: "up",
            reason: None,
            times: 1,
            said: 0,
            lost: 0,
            heard: 0,
            waiting: 0,
        };
        let shard =
            ShardStatus { replication: Some(replication), open: true, ..crate::service::status::a_shard() };
        vec![Some(WorkerStatus {
            worker: WorkerId(0),
            connections: 0,
            output_bytes: 0,
            deaf: 0,
            shards: vec![shard],
            links: vec![link],
        })]
    }

    #[test]
    fn the_manual_lists_every_series() {
        let text = text(&crate::service::status::some_facts(), cluster());
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let names = samples.filter_map(|line| line.split(['{', ' ']).next());
        let of_histogram = |name: &str| {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
            base.unwrap_or(name).to_owned()
        };
        let said: BTreeSet<String> = names.map(of_histogram).collect();
        let manual = include_str!("../../../docs/http.md");
        let (_, section) = manual.split_once("\n## Metrics\n").expect("a section");
        let (section, _) = section.split_once("\n## ").expect("and the next one");
        let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let listed: BTreeSet<String> =
            cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`').to_owned()).collect();
        assert_eq!(listed, said);
    }
}
