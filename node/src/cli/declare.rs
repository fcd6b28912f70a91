//! `seawall declare`: what a table promises about its rows.

use std::path::PathBuf;

use clap::Args;
use seawall::map::ShardId;
use seawall::{Client, Error};
use serde_json::json;

use super::connect::Connect;
use super::{Exit, file};
use crate::driver::console;
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
            let shards = client.shards()?;
            for &shard in &shards {
                let version = declare(client, shard, &declared)
                    .inspect_err(|why| console::complain(format_args!("{}", in_part(&done, &shards, why))))?;
                done.push((shard, version));
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

/// Shards declare one after the other, each for itself: which of them did when one did not.
fn in_part(done: &[(ShardId, u64)], shards: &[ShardId], why: &Error) -> String {
    let (took, rest) = shards.split_at(done.len());
    let (failed, not_asked) = rest.split_first().expect("one of them failed");
    let failed = match why {
        Error::Refused(_) => format!("shard {failed} refused it", failed = failed.0),
        _ => format!("of shard {} it is not known", failed.0),
    };
    let more = match not_asked {
        [] => String::new(),
        shards => format!(", {} asked", numbered(shards, "was not", "were not")),
    };
    let took = match took {
        [] => "no shard has the declaration".to_owned(),
        shards => format!("{} the declaration", numbered(shards, "has", "have")),
    };
    format!(
        "{took}; {failed}{more}. Mend what is said below, and repeat the command: a shard that has this declaration \
         keeps it as it is."
    )
}

/// `shard 1 has`, `shards 1, 2 have`.
fn numbered(shards: &[ShardId], one: &str, many: &str) -> String {
    let numbers: Vec<String> = shards.iter().map(|shard| shard.0.to_string()).collect();
    let (noun, verb) = if shards.len() == 1 { ("shard", one) } else { ("shards", many) };
    format!("{noun} {} {verb}", numbers.join(", "))
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
