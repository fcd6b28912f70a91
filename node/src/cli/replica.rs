//! `seawall replica`: a member's replica of a shard that halted, or that is to begin anew, at the member's admin address,
//! or in the data directory of one that is stopped.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use seawall::map::ShardId;
use seawall_wal::Act;
use serde_json::{Value as Json, json};

use super::admin::Admin;
use super::offline::Stopped;
use super::{Exit, columns, order};
use crate::driver::console;

/// End the halt of a member's replica, or let its log begin anew. Each order is written to audit.log first.
#[derive(Args)]
pub(super) struct Replica {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Take the latch of a halted replica away and open its log again. Nothing is mended: it halts again if the cause is
    /// still there.
    Clear(Of),
    /// Put the replica's log aside, whole, into quarantine/ of the shard's directory, and take all of it from the leader.
    /// Commits do not wait for the member, and nobody can promote it, until it is recorded in the sync set again.
    Reseed(Of),
    /// Show who cleared and reseeded what, when and why.
    Audit(Audit),
}

#[derive(Args)]
struct Of {
    #[arg(value_name = "SHARD")]
    shard: u32,
    /// Why; kept in audit.log.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// Who gives the order; kept in audit.log.
    #[arg(long, value_name = "NAME", default_value = "an operator")]
    actor: String,
    /// The data directory of a member that is stopped: it is done with its next start.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["address", "timeout"])]
    data: Option<PathBuf>,
    /// With --data: where the members keep the map. It says that another member leads.
    #[arg(long, value_name = "DIR", requires = "data")]
    map: Option<PathBuf>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Args)]
struct Audit {
    #[command(flatten)]
    asked: Asked,
}

#[derive(Args)]
struct Asked {
    #[command(flatten)]
    admin: Admin,
    /// Answer with one JSON object on one line.
    #[arg(long)]
    json: bool,
}

impl Replica {
    pub(super) fn run(self) -> Exit {
        match self.verb {
            Verb::Clear(of) => of.run(Act::Clear),
            Verb::Reseed(of) => of.run(Act::Reseed),
            Verb::Audit(audit) => audit.run(),
        }
    }
}

impl Of {
    fn run(&self, act: Act) -> Exit {
        let json = &self.asked.json;
        match self.order(act) {
            Ok(said) => order::told(&said, *json),
            Err(exit) => exit,
        }
    }

    fn order(&self, act: Act) -> Result<Json, Exit> {
        let Self { shard, actor, reason, .. } = self;
        if let Some(data) = &self.data {
            let (shard, map) = (ShardId(*shard), self.map.as_deref());
            let recorded = Stopped { data, map, shard, act, actor, reason }.order()?;
            return Ok(json!({ "done": true, "member": recorded.member, "what": recorded.what }));
        }
        let errand = match act {
            Act::Clear => "clear",
            Act::Reseed => "reseed",
        };
        order::give(&self.asked.admin, &format!("shard={shard}&errand={errand}"), actor, reason)
    }
}

impl Audit {
    fn run(&self) -> Exit {
        let Asked { admin, json } = &self.asked;
        let said = match admin.get("/v1/audit") {
            Ok(text) => text,
            Err(exit) => return exit,
        };
        let said: Json = serde_json::from_str(&said).unwrap_or_default();
        if *json {
            console::say(said);
            return Exit::Done;
        }
        let lines = said["lines"].as_array().cloned().unwrap_or_default();
        if lines.is_empty() {
            console::say("nothing was cleared or reseeded here");
        }
        for line in lines {
            let text = |name: &str| line[name].as_str().unwrap_or("unknown").to_owned();
            let (time, act, actor, reason) = (text("time"), text("act"), text("actor"), text("reason"));
            let halt = line["halt"].as_str().map(|halt| format!("; it was halted: {halt}"));
            let halt = halt.unwrap_or_default();
            let line = format!("{time} shard {}: {act} by {actor} ({reason}){halt}", line["shard"]);
            console::say(columns::plain(&line));
        }
        Exit::Done
    }
}
