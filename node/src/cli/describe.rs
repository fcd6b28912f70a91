//! `seawall describe`: what a table promises.

use clap::Args;
use seawall::Value;
use seawall::map::ShardId;
use seawall::message::declare::{Declaration, Index, Transitions};
use serde_json::json;

use super::connect::Connect;
use super::{Exit, columns};
use crate::json::table::{self, Declared};

/// Show what a table promises. With --json, as a document that `declare -f` reads.
#[derive(Args)]
pub(super) struct Describe {
    /// Which one.
    #[arg(value_name = "TABLE")]
    table: String,
    #[command(flatten)]
    connect: Connect,
}

impl Describe {
    pub(super) fn run(self) -> Exit {
        self.connect.with(|client| {
            let mut found: Vec<(ShardId, Option<Declared>)> = Vec::new();
            for shard in client.shards()? {
                let declared = client.describe(shard, &self.table)?.map(|(version, declaration)| Declared {
                    table: self.table.clone(),
                    version: Some(version),
                    declaration,
                });
                found.push((shard, declared));
            }
            let Some((first, declared)) = found.first() else { return Ok(Exit::Done) };
            if let Some((other, _)) = found.iter().find(|(_, other)| other != declared) {
                return Ok(Exit::Refused(format!(
                    "shards {first} and {other} have different declarations of {}: run the declare that changed it \
                     again; it stopped half-way",
                    self.table
                )));
            }
            self.connect.say(
                || declared.as_ref().map_or_else(|| self.nothing(), text),
                || declared.as_ref().map_or_else(|| json!({ "table": self.table, "version": null }), table::write),
            );
            Ok(Exit::Done)
        })
    }

    fn nothing(&self) -> String {
        format!(
            "{}\n(nothing is declared: any row fits; `seawall declare -f FILE` declares a table)",
            self.table
        )
    }
}

fn text(declared: &Declared) -> String {
    let Declaration { strict, append_only, default_ttl, fields, indexes, transitions, sums } =
        &declared.declaration;
    let mut lines = vec![("version", declared.version.unwrap_or(0).to_string())];
    let mut say = |name: &'static str, what: String| lines.push((name, what));
    if *strict {
        say("strict", "rows have declared fields only".to_owned());
    }
    if *append_only {
        say("append-only", "rows are neither changed nor deleted".to_owned());
    }
    if let Some(ttl) = default_ttl {
        say("ttl", format!("{} ms, unless a row has its own", ttl.ms()));
    }
    for (name, field) in fields {
        say(
            "field",
            format!("{name}: {}{}", field.kind.name(), if field.required { ", required" } else { "" }),
        );
    }
    for (name, index) in indexes {
        say("index", format!("{name}: {}", index_text(index)));
    }
    for (name, Transitions { initial, allowed }) in transitions {
        let allowed: Vec<String> = allowed.iter().map(|(from, to)| format!("{from} -> {to}")).collect();
        say("states", format!("{name}: begins {}; {}", list(initial), allowed.join(", ")));
    }
    for sum in sums {
        let per = sum.per.as_ref().map(|per| format!(" for each {per}")).unwrap_or_default();
        say("sum", format!("{} of each commit is zero{per}", sum.field));
    }
    format!("{}\n{}", declared.table, columns::pairs(lines))
}

fn index_text(index: &Index) -> String {
    let mut text = index.fields.join(", ");
    if index.unique {
        text += "; unique";
    }
    if let Some((field, values)) = &index.only {
        text += &format!("; only rows whose {field} is {}", list(values));
    }
    text
}

fn list(values: &[Value]) -> String {
    values.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ")
}
