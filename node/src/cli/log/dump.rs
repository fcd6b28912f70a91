//! `seawall log dump`: the records, in order.

use std::io::{BufWriter, Stdout, Write};

use clap::Args;
use seawall_wal::{Kind, Replayed};
use serde_json::{Value as Json, json};

use super::look::{self, Progress, Visitor};
use super::target::Target;
use super::{Exit, Failed, Place, columns, entry};
use crate::driver::console;

#[derive(Args)]
pub(super) struct Dump {
    #[command(flatten)]
    place: Place,
    /// The first index to show.
    #[arg(long, value_name = "INDEX", default_value_t = 1)]
    from: u64,
    /// The most records to show of each shard.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl Dump {
    pub fn run(self) -> Result<Exit, Failed> {
        let target = Target::find(&self.place.path)?;
        let mut exit = Exit::Done;
        for shard in &target.shards {
            let mut printer = Printer {
                out: BufWriter::new(std::io::stdout()),
                shard: shard.id.shard,
                json: self.place.json,
                next: self.from,
                left: self.limit.unwrap_or(u64::MAX),
                closed: false,
            };
            let looked = look::look(shard, &mut Progress::new(0), &mut printer)?;
            printer.closed |= !console::written(printer.out.flush());
            if let (Exit::Done, Some(halt)) = (&exit, looked.report.halt) {
                exit = Exit::Refused(format!("{}: {halt}", shard.path.display()));
            }
        }
        Ok(exit)
    }
}

struct Printer {
    out: BufWriter<Stdout>,
    shard: u32,
    json: bool,
    /// What was shown in an earlier look is not shown again.
    next: u64,
    left: u64,
    /// Nobody reads any more.
    closed: bool,
}

impl Visitor for Printer {
    fn record(&mut self, replayed: &Replayed<'_>) {
        if replayed.index.0 < self.next || self.enough() {
            return;
        }
        (self.next, self.left) = (replayed.index.0 + 1, self.left - 1);
        let kind = match replayed.record.kind {
            Kind::Data => "data",
            Kind::EpochStart => "epoch_start",
            Kind::Fence => "fence",
        };
        let (epoch, index, time) = (replayed.epoch.0, replayed.index.0, replayed.record.time_us);
        let entries: Vec<Json> = replayed.record.entries().map(|e| entry::json(&e)).collect();
        let line = match self.json {
            true => json!({
                "shard": self.shard,
                "index": index,
                "epoch": epoch,
                "kind": kind,
                "time_us": time,
                "entries": entries,
            })
            .to_string(),
            false => {
                let time = seawall::Value::Time(time);
                let lines: String = entries.iter().map(|e| format!("\n    {}", line(e))).collect();
                format!("{}/{epoch}:{index}  {kind}  {time}{lines}", self.shard)
            }
        };
        self.closed |= !console::written(writeln!(self.out, "{line}"));
    }

    fn enough(&self) -> bool {
        self.left == 0 || self.closed
    }
}

/// An entry for people: `main/cabin/HP-2026/C14 = {…}`.
fn line(entry: &Json) -> String {
    let key = &entry["key"];
    let text = |name: &str| key[name].as_str().map(str::to_owned);
    let row = || Some([text("namespace")?, text("table")?, text("partition")?, text("row")?].join("/"));
    let key = row().unwrap_or_else(|| key.to_string());
    columns::plain(&match &entry["value"] {
        Json::Null => format!("{key} deleted"),
        value => format!("{key} = {value}"),
    })
}
