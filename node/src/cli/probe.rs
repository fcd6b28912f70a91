//! `seawall probe`: what a node would find under its data directory, without starting one.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};

use super::Exit;
use super::log::writer;
use crate::driver::choice::choose;
use crate::driver::console;
use crate::driver::directory::{Directory, DirectoryError};
use crate::driver::probe::{self, Probe};

/// Look at a disk and at this machine the way a node does at its start. Nothing is left behind.
#[derive(Args)]
pub(super) struct ProbeDir {
    /// A data directory; one that does not exist yet is probed where it would be made.
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Answer with one JSON object on one line.
    #[arg(long)]
    json: bool,
}

/// A probe, and what it says about the directory that was asked for.
struct Answer {
    probe: Probe,
    /// Whether the directory itself was probed, or the nearest one above it.
    exists: bool,
    /// The process that serves it.
    in_use_by: Option<u32>,
}

impl ProbeDir {
    pub(super) fn run(self) -> Exit {
        let answer = look(&self.path).map_err(|e| e.to_string());
        let obstacle = match &answer {
            Ok(answer) => choose(None, answer.probe.io_uring.clone()).err().map(|why| why.to_string()),
            Err(why) => Some(why.clone()),
        };
        match (&answer, self.json) {
            (_, true) => console::say(document(&self.path, answer.as_ref().ok(), obstacle.as_deref())),
            (Ok(answer), false) => console::say(table(&self.path, answer)),
            (Err(_), false) => {}
        }
        obstacle.map_or(Exit::Done, Exit::Refused)
    }
}

/// A directory that a node would refuse is refused here, and nothing is written to it.
fn look(path: &Path) -> Result<Answer, DirectoryError> {
    let nearest = probe::nearest(path)?;
    let exists = nearest == path;
    if exists {
        Directory::check(path)?;
    }
    let in_use_by = writer(&path.join("lock"));
    Ok(Answer { probe: probe::probe(&nearest, None)?, exists, in_use_by })
}

fn table(path: &Path, answer: &Answer) -> String {
    let Answer { probe, exists, in_use_by } = answer;
    let mut text = format!("data        {}", path.display());
    if !exists {
        text += &format!(" (does not exist; {} was probed)", probe.path.display());
    }
    if let Some(process) = in_use_by {
        text += &format!(" (in use by process {process}, whose load is in the figures)");
    }
    let cpu = probe.disk_cpu.map_or("unknown".into(), |cpu| format!("CPU {cpu}"));
    let driver = match choose(None, probe.io_uring.clone()) {
        Ok(choice) => choice.to_string(),
        Err(obstacle) => format!("none: {obstacle}"),
    };
    text + &format!("\ndriver      {driver}\n{probe}\ninterrupts  {cpu}")
}

fn document(path: &Path, answer: Option<&Answer>, obstacle: Option<&str>) -> Json {
    json!({
        "path": path.display().to_string(),
        "usable": obstacle.is_none(),
        "why_not": obstacle,
        "exists": answer.map(|answer| answer.exists),
        "in_use_by": answer.and_then(|answer| answer.in_use_by),
        "probe": answer.map(|answer| answer.probe.json()),
    })
}
