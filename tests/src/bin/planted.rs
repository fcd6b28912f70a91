//! `planted`: the simulator must find every bug of `seawall_tests::plants`, and nothing where none is switched on. What
//! its worlds do not come to a test plays by hand: it must fail with the bug, and pass without.
//!
//! The sources are copied to `target/planted/tree`, all bugs are put into the copy, and its `sim` and these tests are built
//! once.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool at the edge: it copies files, runs processes and prints what it found"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use seawall_tests::plan::Plan;
use seawall_tests::plants::{self, Plant, Scripted, Test};

/// Plants bugs in a copy of the sources; the simulator must find them.
#[derive(Debug, Parser)]
struct Arguments {
    /// Of this plan alone; what tests find belongs to the clusters
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
        Plan::Cluster => 1500,
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
    let mut sources = read_sources(root).map_err(|e| format!("reading the sources: {e}"))?;
    for plant in plants::all() {
        put(plant, &mut sources)?;
    }
    write_tree(&tree, &sources).map_err(|e| format!("writing the copy: {e}"))?;
    let copy = Copy { tree, target: root.join("target/planted/target") };
    match (hunt_with_plans(&copy, wanted), hunt_with_tests(&copy, wanted)) {
        (Ok(found), Ok(played)) => Ok(found + played),
        (found, played) => {
            let failed: Vec<String> = [found.err(), played.err()].into_iter().flatten().collect();
            Err(failed.join("; "))
        }
    }
}

fn hunt_with_plans(copy: &Copy, wanted: &Arguments) -> Result<usize, String> {
    let sim = copy.sim()?;
    let is_wanted = |plan: Plan| wanted.plan.as_ref().is_none_or(|name| name == plan.name());
    let seeds = |plan| wanted.seeds.unwrap_or(seeds(plan));
    for plan in Plan::ALL.iter().filter(|plan| is_wanted(**plan)) {
        let (held, said) = hunt(&sim, *plan, "", 1, seeds(*plan))?;
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
        let (held, said) = hunt_for(&sim, plan, bug, verdict, seeds(plan))?;
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

/// Bugs that tests find: each test passes without its bug, and fails with it.
fn hunt_with_tests(copy: &Copy, wanted: &Arguments) -> Result<usize, String> {
    let of_clusters = wanted.plan.as_ref().is_none_or(|name| name == Plan::Cluster.name());
    let all = plants::SCRIPTED.iter().filter(|scripted| scripted.plant.name.contains(&wanted.bug));
    let all: Vec<&Scripted> = all.filter(|_| of_clusters).collect();
    let mut survivors = Vec::new();
    for Scripted { plant: Plant { name: bug, .. }, test } in &all {
        if copy.test(test, "")? != Ended::Passed {
            return Err(format!("without any bug switched on, the test does not pass: {test:?}"));
        }
        let found = copy.test(test, bug)? == Ended::Failed;
        println!("{bug}, test {}: {}", test.name, if found { "it fails" } else { "NOT FOUND" });
        if !found {
            survivors.push(format!("{bug} by {test:?}"));
        }
    }
    if survivors.is_empty() { Ok(all.len()) } else { Err(format!("not found: {}", survivors.join(", "))) }
}

/// Every file of the packages by its path.
type Sources = BTreeMap<PathBuf, Vec<u8>>;

fn read_sources(root: &Path) -> std::io::Result<Sources> {
    let mut sources = Sources::new();
    for name in ["Cargo.toml", "Cargo.lock", "wal", "net", "node", "bench", "tests", "model"] {
        read(root, Path::new(name), &mut sources)?;
    }
    Ok(sources)
}

fn read(root: &Path, path: &Path, sources: &mut Sources) -> std::io::Result<()> {
    let file = root.join(path);
    if !file.is_dir() {
        sources.insert(path.to_owned(), fs::read(file)?);
        return Ok(());
    }
    for entry in fs::read_dir(file)? {
        read(root, &path.join(entry?.file_name()), sources)?;
    }
    Ok(())
}

/// What is there already stays as it is, so that only what changed is built again.
fn write_tree(tree: &Path, sources: &Sources) -> std::io::Result<()> {
    fs::create_dir_all(tree)?;
    let mut there = Sources::new();
    read(tree, Path::new(""), &mut there)?;
    for path in there.keys().filter(|path| !sources.contains_key(*path)) {
        fs::remove_file(tree.join(path))?;
    }
    for (path, bytes) in sources.iter().filter(|(path, bytes)| there.get(*path) != Some(*bytes)) {
        let copy = tree.join(path);
        fs::create_dir_all(copy.parent().expect("it is below the tree"))?;
        fs::write(copy, bytes)?;
    }
    Ok(())
}

fn put(plant: &Plant, sources: &mut Sources) -> Result<(), String> {
    let file =
        sources.get_mut(Path::new(plant.file)).ok_or_else(|| format!("{}: no such file", plant.file))?;
    let text = String::from_utf8_lossy(file).into_owned();
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
    *file = text.replace(plant.find, &plant.replace.replace("PLANTED", &switch)).into_bytes();
    Ok(())
}

/// The sources with all bugs in them, and what is built of them.
struct Copy {
    tree: PathBuf,
    target: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Passed,
    Failed,
}

impl Copy {
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(arguments)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("RUSTFLAGS", "-Awarnings")
            .env_remove("SEAWALL_PLANT");
        cargo
    }

    fn sim(&self) -> Result<PathBuf, String> {
        let built = self
            .cargo(&["build", "--quiet", "--release", "-p", "seawall-tests", "--bin", "sim"])
            .status()
            .map_err(|e| format!("starting cargo: {e}"))?;
        if !built.success() {
            return Err("the copy with the planted bugs does not build".to_owned());
        }
        Ok(self.target.join("release/sim"))
    }

    /// Runs exactly this test. One that is not there neither passes nor fails. Not optimized: it is short.
    fn test(&self, test: &Test, bug: &str) -> Result<Ended, String> {
        let Test { package, target, name } = test;
        let output = self
            .cargo(&["test", "-p", package, "--test", target, "--", "--exact", name])
            .env("SEAWALL_PLANT", bug)
            .output()
            .map_err(|e| format!("starting cargo: {e}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match () {
            () if said.contains("test result: ok. 1 passed; 0 failed") => Ok(Ended::Passed),
            () if said.contains("test result: FAILED. 0 passed; 1 failed") => Ok(Ended::Failed),
            () => Err(format!("{test:?} was not run:\n{said}{}", String::from_utf8_lossy(&output.stderr))),
        }
    }
}

/// The same, until the verdict is the wanted one: a bug breaks many promises, and which of them a seed meets first is luck.
/// What was said last, if it never is.
fn hunt_for(sim: &Path, plan: Plan, bug: &str, verdict: &str, last: u64) -> Result<(bool, String), String> {
    let mut first = 1;
    let mut before = None;
    loop {
        let (held, said) = hunt(sim, plan, bug, first, last + 1 - first)?;
        match before.take().filter(|_| held) {
            Some(other) => return Ok((false, other)),
            None if held || finding(&said).contains(verdict) => return Ok((held, said)),
            None => {}
        }
        let failed = failed_seed(&said).ok_or_else(|| format!("no seed is named: {said}"))?;
        if failed >= last {
            return Ok((false, said));
        }
        (first, before) = (failed + 1, Some(said));
    }
}

/// `seed 7 FAILED`, or `the world of seed 7 panicked`.
fn failed_seed(said: &str) -> Option<u64> {
    let ends = |line: &&str| line.contains(" FAILED") || line.contains(" panicked");
    let mut numbers = said.lines().filter(ends).filter_map(|line| {
        let (_, rest) = line.split_once("seed ")?;
        rest.split(' ').next()?.parse().ok()
    });
    numbers.next_back()
}

/// Whether all these seeds held with this bug switched on, and what was said.
fn hunt(sim: &Path, plan: Plan, bug: &str, first: u64, seeds: u64) -> Result<(bool, String), String> {
    let (first, seeds) = (first.to_string(), seeds.to_string());
    let output = Command::new(sim)
        .args(["--plan", plan.name(), "--seed", &first, "--runs", &seeds, "--doublecheck", "false"])
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
