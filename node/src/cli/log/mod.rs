//! `seawall log`: looks at a log without a node, and at the log of a running one. Files are opened read-only, no
//! lock is taken, nothing is changed.
//!
//! [`target`] finds what a path is; [`mod@look`] lets recovery's own judgement run over it, ended before its first write;
//! [`tally`] counts what it meets. Each verb says its part of that.

mod dump;
mod entry;
mod inspect;
mod look;
mod stats;
mod tally;
mod target;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::{Exit, columns};
use crate::driver::console;
use tally::Tally;

pub(super) use look::{Looked, Progress, Visitor, ending, look};
pub(super) use target::{Shard, Target, writer};

/// Look at a log on disk, of a stopped or of a running node, without changing anything.
#[derive(Args)]
pub(super) struct Log {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// What is there: segments, batches, where the log ends and why, spares.
    Inspect(Place),
    /// Checks every checksum. Ends with 0 if the log is clean, 1 if it is damaged, 2 if it cannot be read.
    Verify(Place),
    /// The records, in order.
    Dump(dump::Dump),
    /// Totals.
    Stats(Place),
}

#[derive(Args)]
struct Place {
    /// A data directory, a shard's directory, or a segment's file.
    path: PathBuf,
    /// Answer with JSON on one line.
    #[arg(long)]
    json: bool,
}

/// Why there is no answer about a log.
pub(super) enum Failed {
    /// No such path, no permission, not a log, another version.
    Unreadable(String),
    /// Damage that leaves nothing to walk.
    Damaged(String),
}

/// One shard or segment, looked at.
struct Part {
    shard: Shard,
    looked: Looked,
    tally: Tally,
}

impl Log {
    pub(super) fn run(self) -> Exit {
        let ended = match self.verb {
            Verb::Inspect(place) => inspect::run(&place),
            Verb::Verify(place) => verify::run(&place),
            Verb::Dump(dump) => dump.run(),
            Verb::Stats(place) => stats::run(&place),
        };
        ended.unwrap_or_else(Exit::from)
    }
}

impl From<Failed> for Exit {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Unreadable(why) => Exit::Usage(why),
            Failed::Damaged(why) => Exit::Refused(why),
        }
    }
}

impl Place {
    /// Walks everything under the path.
    fn look(&self) -> Result<(Target, Vec<Part>), Failed> {
        let mut target = Target::find(&self.path)?;
        let mut progress = Progress::new(target.bytes());
        let mut parts = Vec::new();
        for shard in std::mem::take(&mut target.shards) {
            let mut tally = Tally::default();
            let looked = look(&shard, &mut progress, &mut tally)?;
            parts.push(Part { shard, looked, tally });
        }
        progress.end();
        Ok((target, parts))
    }

    fn say(&self, people: impl FnOnce() -> String, program: impl FnOnce() -> Json) {
        match self.json {
            true => console::say(format_args!("{}", program())),
            false => console::say(columns::plain_lines(&people())),
        }
    }
}

/// What all verbs say of the whole, around what each says of its parts.
fn document(place: &Place, target: &Target, parts: &[Part], of: impl Fn(&Part) -> Json) -> Json {
    json!({
        "path": place.path.display().to_string(),
        "lineage": target.superblock.map(|s| s.lineage.to_string()),
        "shards": target.superblock.map(|s| s.shards),
        "written_by": target.writer,
        "clean": parts.iter().all(|part| part.looked.report.halt.is_none()),
        "logs": parts.iter().map(of).collect::<Vec<_>>(),
    })
}

/// 1 if anything is damaged; the first damage is named.
fn judged(parts: &[Part]) -> Exit {
    let damaged = |part: &Part| {
        let damaged = !part.looked.report.is_clean();
        damaged.then(|| format!("{}: {}", part.shard.path.display(), ending(&part.looked)))
    };
    match parts.iter().find_map(damaged) {
        Some(why) => Exit::Refused(why),
        None => Exit::Done,
    }
}
