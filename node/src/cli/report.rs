//! `seawall status`, `explain` and `trace`: what a node knows, and what it knows that it does not know.

use clap::Args;
use seawall::client::{About, Report};
use seawall::map::ShardId;
use seawall::{Client, Key};
use serde_json::{Value as Json, json};

use super::args::{self, RequestName};
use super::connect::Connect;
use super::{Exit, columns};

/// Show how the node and its shards are.
#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    connect: Connect,
}

/// Show how shards are, and why: what their state rests on.
#[derive(Args)]
pub(super) struct Explain {
    /// Only the shard that owns this partition.
    #[arg(value_name = "PARTITION", value_parser = args::key)]
    partition: Option<Key>,
    /// Only this shard.
    #[arg(long, value_name = "N", conflicts_with = "partition")]
    shard: Option<u32>,
    #[command(flatten)]
    connect: Connect,
}

/// Show what became of a commit so far. Nothing becomes final by looking: `resolve` does that.
#[derive(Args)]
pub(super) struct Trace {
    /// The commit's partition.
    #[arg(value_name = "PARTITION", value_parser = args::key)]
    partition: Key,
    /// The key that it was sent under.
    #[arg(value_name = "KEY")]
    key: RequestName,
    /// When it was first sent; now, if it is left out.
    #[arg(long, value_name = "TIME", value_parser = args::time)]
    first_sent: Option<i64>,
    #[command(flatten)]
    connect: Connect,
}

impl Status {
    pub(super) fn run(self) -> Exit {
        self.connect.with(|client| {
            let mut node = client.status(About::Node)?;
            // Each shard is asked itself: a worker of the node does not speak for another one's.
            node.facts.retain(|fact| fact.name != "node.shard");
            node.complete = node.facts.iter().all(|fact| fact.value.is_ok());
            let mut reports = vec![node];
            for shard in client.shards()? {
                reports.push(client.status(About::Shard(shard))?);
            }
            self.connect.say(
                || table(&reports),
                || {
                    json!({
                        "complete": reports.iter().all(|report| report.complete),
                        "node": reports.first().map(facts),
                        "shards": reports.iter().skip(1).map(facts).collect::<Vec<_>>(),
                    })
                },
            );
            Ok(Exit::Done)
        })
    }
}

impl Explain {
    pub(super) fn run(self) -> Exit {
        self.connect.with(|client| {
            let shards = self.shards(client)?;
            let reports: Vec<Report> = shards
                .into_iter()
                .map(|shard| client.explain(About::Shard(shard)))
                .collect::<seawall::Result<_>>()?;
            self.connect.say(
                || table(&reports),
                || {
                    json!({
                        "complete": reports.iter().all(|report| report.complete),
                        "shards": reports.iter().map(facts).collect::<Vec<_>>(),
                    })
                },
            );
            Ok(Exit::Done)
        })
    }

    fn shards(&self, client: &mut Client) -> seawall::Result<Vec<ShardId>> {
        match (&self.partition, self.shard) {
            (Some(partition), _) => Ok(vec![client.shard_of(partition)?]),
            (None, Some(shard)) => Ok(vec![ShardId(shard)]),
            (None, None) => client.shards(),
        }
    }
}

impl Trace {
    pub(super) fn run(self) -> Exit {
        let Self { partition, key, first_sent, connect } = self;
        connect.with(|client| {
            let now = client.node().map_or(0, |node| node.server_time_us);
            let report = client.trace(&partition, &key.sent(first_sent.unwrap_or(now)))?;
            connect.say(
                || table(std::slice::from_ref(&report)),
                || json!({ "complete": report.complete, "facts": facts(&report) }),
            );
            Ok(Exit::Done)
        })
    }
}

/// One block of lines a report, all in the same columns.
fn table(reports: &[Report]) -> String {
    let width =
        reports.iter().flat_map(|report| &report.facts).map(|fact| fact.name.len()).max().unwrap_or(0);
    let block = |report: &Report| {
        columns::pairs(report.facts.iter().map(|fact| {
            let text = match &fact.value {
                Ok(text) => text.clone(),
                Err(why) => format!("unknown: {why}"),
            };
            (format!("{:width$}", fact.name), text)
        }))
    };
    reports.iter().map(block).collect::<Vec<_>>().join("\n\n")
}

fn facts(report: &Report) -> Json {
    let fact = |fact: &seawall::client::Fact| {
        let value = match &fact.value {
            Ok(text) => json!(text),
            Err(why) => json!({ "unknown": why }),
        };
        (fact.name.clone(), value)
    };
    report.facts.iter().map(fact).collect()
}
