//! `seawall declare`: what a table promises about its rows.

use std::path::PathBuf;

use clap::Args;
use seawall::Client;
use seawall::map::ShardId;
use serde_json::json;

use super::connect::Connect;
use super::{Exit, file};
use crate::json::table::{self, Declared};

/// Declare a table: fields, indexes, transitions, sums. Rows that are there must fit, or it is refused.
#[derive(Args)]
pub(super) struct Declare {
    /// The declaration, as TOML if its name ends so, else as JSON (docs/json.md); - reads JSON from standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    connect: Connect,
}

impl Declare {
    pub(super) fn run(self) -> Exit {
        let read = file::json_or_toml(&self.file)
            .and_then(|json| table::read(&json).map_err(|why| format!("{}: {why}", self.file.display())));
        let declared = match read {
            Ok(declared) => declared,
            Err(why) => return Exit::Usage(why),
        };
        self.connect.with(|client| {
            let mut done = Vec::new();
            for shard in client.shards()? {
                done.push((shard, declare(client, shard, &declared)?));
            }
            self.connect.say(
                || {
                    let one = |(shard, version): &(ShardId, u64)| format!("shard {shard}  version {version}");
                    let shards: Vec<String> = done.iter().map(one).collect();
                    format!("declared {}\n{}", declared.table, shards.join("\n"))
                },
                || {
                    let one =
                        |(shard, version): &(ShardId, u64)| json!({ "shard": shard.0, "version": version });
                    json!({ "table": declared.table, "shards": done.iter().map(one).collect::<Vec<_>>() })
                },
            );
            Ok(Exit::Done)
        })
    }
}

/// Declares on one shard and returns the version. Each keeps its own declarations, so after a refusal by one of them
/// the same command goes on where it stopped.
fn declare(client: &mut Client, shard: ShardId, declared: &Declared) -> seawall::Result<u64> {
    let Declared { table, version, declaration } = declared;
    let version = match version {
        Some(version) => *version,
        None => match client.describe(shard, table)? {
            Some((version, there)) if there == *declaration => return Ok(version),
            Some((version, _)) => version + 1,
            None => 1,
        },
    };
    client.declare(shard, table, version, declaration)?;
    Ok(version)
}
