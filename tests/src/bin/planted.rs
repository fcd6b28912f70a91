//! `planted`: the simulator must find every bug of `seawall_tests::plants`, and nothing where none is switched on.
//!
//! The sources are copied to `target/planted/tree`, all bugs are put into the copy, and its `sim` is built once.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool at the edge: it copies files, runs processes and prints what it found"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use seawall_tests::plan::Plan;
use seawall_tests::plants::{self, Plant};

/// Plants bugs in a copy of the sources; the simulator must find them.
#[derive(Debug, Parser)]
struct Arguments {
    /// Of this plan alone
    #[arg(long)]
    plan: Option<String>,
    /// Bugs with this in their name alone
    #[arg(long, default_value = "")]
    bug: String,
    /// Instead of as many seeds as each change runs
    #[arg(long)]
    seeds: Option<u64>,
}

/// A bug that survives so many seeds is not found: as many as run with each change.
fn seeds(plan: Plan) -> u64 {
    match plan {
        Plan::Slice => 2_000,
        Plan::Cluster => 700,
        Plan::Shard | Plan::Log => 5_000,
    }
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match plant_and_hunt(&root, &Arguments::parse()) {
        Ok(bugs) => {
            println!("all {bugs} planted bugs were found");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("FAILED: {why}");
            ExitCode::from(1)
        }
    }
}

fn plant_and_hunt(root: &Path, wanted: &Arguments) -> Result<usize, String> {
    let tree = root.join("target/planted/tree");
    copy_sources(root, &tree).map_err(|e| format!("copying the sources: {e}"))?;
    for plant in plants::all() {
        put(plant, &tree)?;
    }
    let sim = build(root, &tree)?;
    let is_wanted = |plan: Plan| wanted.plan.as_ref().is_none_or(|name| name == plan.name());
    let seeds = |plan| wanted.seeds.unwrap_or(seeds(plan));
    for plan in Plan::ALL.iter().filter(|plan| is_wanted(**plan)) {
        let (held, said) = hunt(&sim, *plan, "", seeds(*plan))?;
        if !held {
            return Err(format!("without any bug switched on, the copy does not hold:\n{said}"));
        }
        println!("without a bug: {} seeds of plan {} hold", seeds(*plan), plan.name());
    }
    let mut survivors = Vec::new();
    let hunts = plants::all().flat_map(|plant| plant.plans.iter().map(move |plan| (plant, *plan)));
    let hunts: Vec<_> =
        hunts.filter(|(bug, plan)| is_wanted(*plan) && bug.name.contains(&wanted.bug)).collect();
    for (Plant { name: bug, verdict, .. }, plan) in hunts.iter().copied() {
        let (held, said) = hunt(&sim, plan, bug, seeds(plan))?;
        if held {
            survivors.push(format!("{bug} by plan {}", plan.name()));
            println!("{bug}, plan {}: NOT FOUND in {} seeds", plan.name(), seeds(plan));
        } else if finding(&said).contains(verdict) {
            println!("{bug}, plan {}: {}", plan.name(), finding(&said));
        } else {
            survivors.push(format!("{bug} by plan {}, as \"{verdict}\"", plan.name()));
            println!("{bug}, plan {}: NOT \"{verdict}\", but {}", plan.name(), finding(&said));
        }
    }
    if survivors.is_empty() { Ok(hunts.len()) } else { Err(format!("not found: {}", survivors.join(", "))) }
}

fn copy_sources(root: &Path, tree: &Path) -> std::io::Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree)?;
    }
    fs::create_dir_all(tree)?;
    for file in ["Cargo.toml", "Cargo.lock"] {
        fs::copy(root.join(file), tree.join(file))?;
    }
    for package in ["wal", "net", "node", "bench", "tests", "model"] {
        copy_folder(&root.join(package), &tree.join(package))?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&source, &copy)?;
        } else {
            fs::copy(&source, &copy)?;
        }
    }
    Ok(())
}

fn put(plant: &Plant, tree: &Path) -> Result<(), String> {
    let path = tree.join(plant.file);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", plant.file))?;
    match text.matches(plant.find).count() {
        1 => {}
        count => {
            let Plant { name, file, find, .. } = plant;
            return Err(format!(
                "{name} has rotted: {file} has its text {count} times, expected once:\n{find}"
            ));
        }
    }
    let switch = format!(
        "({{ static ON: std::sync::OnceLock<bool> = std::sync::OnceLock::new(); \
         *ON.get_or_init(|| std::env::var(\"SEAWALL_PLANT\").is_ok_and(|on| on == \"{}\")) }})",
        plant.name
    );
    let text = text.replace(plant.find, &plant.replace.replace("PLANTED", &switch));
    fs::write(&path, text).map_err(|e| format!("{}: {e}", plant.file))
}

fn build(root: &Path, tree: &Path) -> Result<PathBuf, String> {
    let target = root.join("target/planted/target");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "-p", "seawall-tests", "--bin", "sim"])
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", "-Awarnings")
        .status()
        .map_err(|e| format!("starting cargo: {e}"))?;
    if !built.success() {
        return Err("the copy with the planted bugs does not build".to_owned());
    }
    Ok(target.join("release/sim"))
}

/// Whether all seeds held with this bug switched on, and what was said.
fn hunt(sim: &Path, plan: Plan, bug: &str, seeds: u64) -> Result<(bool, String), String> {
    let output = Command::new(sim)
        .args(["--plan", plan.name(), "--seed", "1", "--runs", &seeds.to_string(), "--doublecheck", "false"])
        .env("SEAWALL_PLANT", bug)
        .output()
        .map_err(|e| format!("starting sim: {e}"))?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// The seed that found it and the promise that it broke, in one line.
fn finding(said: &str) -> String {
    let mut lines = said.lines().skip_while(|line| !line.starts_with("seed ") && !line.contains("panicked"));
    let first = lines.next().unwrap_or("ended without a word");
    format!("{first}:{}", lines.next().unwrap_or_default())
}
