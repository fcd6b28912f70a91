//! `seawall backup`: a data directory that holds what another one holds now, beside a running node or without one.
//!
//! [`plan`] looks at a log with recovery's own eyes and says what of it is proven durable; [`copy`] writes exactly that
//! and looks at the copy in the same way. What a running node takes away in the meantime shows there, and the shard is
//! begun again. The superblock comes last: without it nothing in the directory is served.

mod copy;
mod plan;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Args;
use seawall::Value;
use seawall::position::Position;
use serde_json::{Value as Json, json};

use super::Exit;
use super::log::{Progress, Shard, Target};
use crate::driver::directory::{SUPERBLOCK, put_file, shard_path};
use crate::driver::superblock::Superblock;
use crate::driver::{clock, console};
use crate::params::FENCE_IDLE_US;
use copy::Copied;
use plan::Plan;

/// How often a shard is begun again when the node takes away what is being copied.
const ATTEMPTS: usize = 5;

/// Copy a data directory, verified, while a node serves it or not. The copy is a data directory.
#[derive(Args)]
pub(super) struct Backup {
    /// Where to; a directory that is empty or does not exist yet.
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// The data directory to copy.
    #[arg(long, value_name = "DIR", default_value = "./seawall-data")]
    data: PathBuf,
    /// Answer with JSON on one line.
    #[arg(long)]
    json: bool,
}

/// What became of one shard.
struct Done {
    /// The copy's last record.
    covered: Position,
    plan: Plan,
    copied: Copied,
}

impl Backup {
    pub(super) fn run(self) -> Exit {
        match self.make() {
            Ok((target, superblock, done)) => {
                match self.json {
                    true => console::say(self.document(&target, &superblock, &done)),
                    false => console::say(self.text(&target, &done)),
                }
                Exit::Done
            }
            Err(exit) => exit,
        }
    }

    fn make(&self) -> Result<(Target, Superblock, Vec<Done>), Exit> {
        let target = Target::find(&self.data)?;
        let Some(superblock) = target.superblock else {
            let path = self.data.display();
            return Err(Exit::Usage(format!("{path}: not a data directory; name one with --data")));
        };
        let to = self.empty_place()?;
        if target.writer.is_some() {
            // An idle log proves its last batch durable by a fence. After that, whatever had been acknowledged when
            // this command began is proven.
            thread::sleep(Duration::from_micros(5 * FENCE_IDLE_US / 2));
        }
        let all = || -> Result<Vec<Done>, Exit> {
            let mut progress = Progress::new(3 * target.bytes());
            let each = target.shards.iter().map(|shard| one(shard, &superblock, &to, &mut progress));
            let done: Result<Vec<Done>, Exit> = each.collect();
            progress.end();
            let done = done?;
            // Whoever starts on it begins a history of its own.
            let alone = Superblock { member: 0, ..superblock };
            put_file(&to, SUPERBLOCK, &alone.encode()).map_err(|e| cannot(&to, &e))?;
            Ok(done)
        };
        let done = all().inspect_err(|_| clear(&to))?;
        Ok((target, superblock, done))
    }

    /// The directory, made if it is not there; nothing is in it.
    fn empty_place(&self) -> Result<PathBuf, Exit> {
        let to = &self.to;
        let data = fs::canonicalize(&self.data).map_err(|e| cannot(&self.data, &e))?;
        let above = to.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
        if fs::canonicalize(above).map_err(|e| cannot(above, &e))?.starts_with(&data) {
            let (to, data) = (to.display(), data.display());
            return Err(Exit::Usage(format!(
                "{to}: it would be inside of {data}; name a directory elsewhere"
            )));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(|e| cannot(to, &e))?;
        if fs::read_dir(to).map_err(|e| cannot(to, &e))?.next().is_some() {
            let to = to.display();
            return Err(Exit::Refused(format!(
                "{to}: it is not empty; a backup is made in a directory of its own"
            )));
        }
        let to = fs::canonicalize(to).map_err(|e| cannot(to, &e))?;
        // Its own name may be new.
        let parent = to.parent().unwrap_or(&to);
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(|e| cannot(parent, &e))?;
        Ok(to)
    }

    fn text(&self, target: &Target, done: &[Done]) -> String {
        let mut text = String::new();
        for done in done {
            let shard = done.plan.shard;
            text += &format!("shard {shard}: every commit up to {} is in it", done.covered);
            text += &match (target.writer, done.plan.left_out) {
                (Some(_), _) => "; later ones are not, the node goes on\n".into(),
                (None, 0) => ", and that is all\n".into(),
                (None, more) => format!(
                    "; {more} records behind it are not, since this member does not know that they are committed\n"
                ),
            };
        }
        let (from, to) = (self.data.display(), self.to.display());
        let bytes: u64 = done.iter().map(|done| done.copied.bytes).sum();
        let served =
            target.writer.map_or("served by nobody".into(), |pid| format!("served by process {pid}"));
        text += &format!("copied {from} ({served}): {} MiB, verified\n", bytes.div_ceil(1 << 20));
        text + &format!("to go on from here: seawall dev --data {to}")
    }

    fn document(&self, target: &Target, superblock: &Superblock, done: &[Done]) -> Json {
        let shard = |done: &Done| {
            json!({
                "shard": done.plan.shard,
                "covered": done.covered.to_string(),
                "everything": target.writer.is_none() && done.plan.left_out == 0,
                "checkpoint": done.plan.checkpoint().map(|checkpoint| checkpoint.0),
                "segments": done.plan.segments.len(),
                "records": done.plan.records,
                "left_out_records": done.plan.left_out,
                "bytes": done.copied.bytes,
            })
        };
        json!({
            "backup": self.to.display().to_string(),
            "of": self.data.display().to_string(),
            "lineage": superblock.lineage.to_string(),
            "made": Value::Time(clock::now().wall_us).to_string(),
            "served_by": target.writer,
            "verified": true,
            "shards": done.iter().map(shard).collect::<Vec<_>>(),
        })
    }
}

/// Copies one shard, and begins again when what it copies is taken away.
fn one(shard: &Shard, of: &Superblock, to: &Path, progress: &mut Progress) -> Result<Done, Exit> {
    let mut changed = String::new();
    for _ in 0..ATTEMPTS {
        let _until_it_is_copied = shard.hold();
        let plan = Plan::of(shard, of.member != 0, progress)?;
        let into = shard_path(to, seawall::map::ShardId(plan.shard));
        let made = DirBuilder::new().mode(0o700).create(&into);
        made.map_err(|e| cannot(&into, &e))?;
        match copy::copy(shard, &plan, &into, progress)? {
            Ok(copied) => {
                let report = &copied.report;
                let covered = Position::new(report.found_epoch.0, report.last.0);
                return Ok(Done { covered, plan, copied });
            }
            Err(why) => changed = why,
        }
        fs::remove_dir_all(&into).map_err(|e| cannot(&into, &e))?;
    }
    Err(Exit::Refused(format!(
        "{}: it changed during each of {ATTEMPTS} copies ({changed}); the log is used again faster than it can be \
         copied: try when less is written, or raise checkpoint.after_bytes",
        shard.path.display()
    )))
}

fn cannot(path: &Path, e: &io::Error) -> Exit {
    let hint = match e.kind() {
        io::ErrorKind::StorageFull => "; free space there, or name another directory",
        _ => "",
    };
    Exit::Refused(format!("{}: {e}{hint}", path.display()))
}

/// A backup that was not finished is of no use. All that is here was made by this command.
fn clear(to: &Path) {
    for entry in fs::read_dir(to).into_iter().flatten().flatten() {
        let path = entry.path();
        if let Err(e) = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) } {
            console::complain(format_args!("{}: cannot be removed: {e}; it is no backup", path.display()));
        }
    }
}
