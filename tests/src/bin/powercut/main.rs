//! `powercut`: the real node on a real file system on a disk whose power goes under load.
//!
//! A cut freezes the disk, kills the node, takes the file system and the loop device away, decides what of the disk's
//! cache survives, and brings all of it back. Then everything that was acknowledged must be there. `scripts/powercut`
//! builds and runs it, and clears away what an interrupted run left.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool at the edge: it runs processes, waits and prints what it found"
)]

mod load;
mod node;
mod round;
mod stack;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use node::Durable;
use round::{Kind, Life, Round};
use seawall_tests::powercut::cache::{Mood, Tally};
use seawall_tests::random::Random;
use serde_json::json;
use stack::FileSystem;

/// Cuts until a new disk is made, so that the first start is cut too, again and again.
const CUTS_PER_DISK: u64 = 10;
/// One cut in so many comes before the node serves; but none of the first, so that a short run has something to lose.
const EARLY: u64 = 4;
const LOADED_FIRST: u64 = 2;
const VIOLATIONS_SAID: usize = 4;

#[derive(Parser)]
#[command(name = "powercut", about = "Cuts the power under a node and looks whether it keeps its promises.")]
struct Args {
    /// Cuts on each file system.
    #[arg(long, value_name = "N", default_value_t = 20)]
    cuts: u64,
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', default_value = "xfs,ext4")]
    fs: Vec<FileSystem>,
    /// Equal seeds draw equal plans; what is under way at a cut is up to the machine.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[arg(long, value_name = "N", default_value_t = 16)]
    connections: usize,
    /// Where disks, messages and recovery reports are kept.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// One object on standard output; progress goes to standard error.
    #[arg(long)]
    json: bool,
    /// Shows that the rig finds what it is made for: disks that lie, and an injector that does nothing.
    #[arg(long)]
    prove: bool,
}

/// A line of progress.
pub fn say(line: &str) {
    eprintln!("{line}");
}

/// A binary that was built with this one.
pub fn beside_us(name: &str) -> Result<PathBuf, String> {
    let us = std::env::current_exe().map_err(|e| format!("this binary cannot be found: {e}"))?;
    let path = us.with_file_name(name);
    match path.exists() {
        true => Ok(path),
        false => Err(format!("{} is not built; run scripts/powercut, which builds it", path.display())),
    }
}

/// All rounds of a run.
#[derive(Default)]
struct Run {
    rounds: Vec<Round>,
}

impl Run {
    fn add(&mut self, round: Round) {
        say(&round.line());
        let more = round.violations.len().saturating_sub(VIOLATIONS_SAID);
        let said = round.violations.iter().take(VIOLATIONS_SAID);
        said.for_each(|violation| say(&format!("  VIOLATION {violation}")));
        if more > 0 {
            say(&format!("  and {more} more; --json lists them"));
        }
        self.rounds.push(round);
    }

    fn cuts(&self) -> impl Iterator<Item = &Round> {
        self.rounds.iter().filter(|round| round.kind.is_cut())
    }

    fn tally(&self) -> Tally {
        let mut all = Tally::default();
        self.cuts().for_each(|round| all.add(&round.tally));
        all
    }

    /// Cuts that had nothing to drop: they show no more than a kill would.
    fn idle(&self) -> usize {
        self.cuts().filter(|round| round.tally.volatile == 0).count()
    }

    fn violated(&self) -> bool {
        self.rounds.iter().any(|round| !round.violations.is_empty())
    }

    /// Why the run proves nothing, if so.
    fn vain(&self) -> Option<&'static str> {
        let acknowledged: usize = self.cuts().map(|round| round.acknowledged).sum();
        if self.cuts().next().is_none() {
            None
        } else if acknowledged == 0 {
            Some("nothing was ever acknowledged, so nothing could be lost")
        } else if self.tally().lost() == 0 {
            Some("no cut ever dropped or tore a sector: the injector did not fire")
        } else {
            None
        }
    }
}

/// A violation ends the life of its disk, which is kept.
fn live(args: &Args, binary: &Path, file_system: FileSystem, run: &mut Run) -> Result<(), String> {
    let name = file_system.name();
    let mut random = Random::new(args.seed ^ u64::from(name == "ext4") << 63);
    let mut life = None;
    let cuts = (0..args.cuts).map(|nth| (nth, Durable::BOTH[usize::from(nth % 2 == 1)], None));
    let fails = [Kind::FailedFlushes, Kind::FailedWrites]
        .into_iter()
        .flat_map(|kind| Durable::BOTH.into_iter().map(move |durable| (args.cuts, durable, Some(kind))));
    for (step, (nth, durable, fail)) in cuts.chain(fails).enumerate() {
        let folder = args.folder.join(format!("{name}-{}", nth / CUTS_PER_DISK));
        if life.is_none() || (fail.is_none() && nth % CUTS_PER_DISK == 0) {
            life.take().into_iter().for_each(Life::end);
            life = Some(Life::new(&folder, binary, file_system, args.connections)?);
        }
        let mood = Mood::draw(&mut random);
        let early = nth >= LOADED_FIRST && random.below(EARLY) == 0;
        let kind = fail.unwrap_or(if early { Kind::EarlyCut(mood) } else { Kind::Cut(mood) });
        let name = format!("{name} {}/{}", step + 1, args.cuts + 4);
        let living = life.as_mut().expect("it was made");
        let round = living.round(name.clone(), kind, durable, &mut random);
        let round = round.map_err(|why| format!("{name}: {why}; kept in {}", folder.display()))?;
        let violated = !round.violations.is_empty();
        run.add(round);
        if violated {
            say(&format!(
                "  the disk, the node's messages and the recovery reports are kept in {}",
                args.folder.display()
            ));
            return Ok(());
        }
    }
    life.into_iter().for_each(Life::end);
    Ok(())
}

/// Each plant must be found: by the comparison, or by the count of what was dropped.
fn prove(args: &Args, binary: &Path) -> Result<(), String> {
    let plants = [
        ("a disk that lies, and loses all", Kind::LyingCut(Mood::Dropped), "promised was"),
        ("a disk that lies, and loses some", Kind::LyingCut(Mood::Blocks), ""),
        ("a node that is not told of an error", Kind::UntoldError, "acknowledged after the log had failed"),
        ("an injector that drops nothing", Kind::Cut(Mood::Kept), "the injector did not fire"),
    ];
    for file_system in &args.fs {
        for (nth, (what, kind, words)) in plants.into_iter().enumerate() {
            let folder = args.folder.join(format!("prove-{}-{nth}", file_system.name()));
            let mut random = Random::new(args.seed);
            let mut life = Life::new(&folder, binary, *file_system, args.connections)?;
            let mut run = Run::default();
            // The first round is whole: something old is there when the disk begins to lie.
            for (round, kind) in [Kind::Cut(Mood::Kept), kind].into_iter().enumerate() {
                let durable = Durable::BOTH[nth % 2];
                let name = format!("{} {what} {}", file_system.name(), round + 1);
                run.add(life.round(name, kind, durable, &mut random)?);
            }
            let whole = run.rounds[0].violations.is_empty();
            let mut found = run.rounds[1].violations.clone();
            found.extend(run.vain().filter(|_| matches!(kind, Kind::Cut(_))).map(str::to_owned));
            life.end();
            match found.iter().find(|violation| violation.contains(words)) {
                Some(violation) if whole => say(&format!("{what}: FOUND: {violation}")),
                _ => return Err(format!("{}: {what}: NOT FOUND, but: {found:?}", file_system.name())),
            }
        }
    }
    Ok(())
}

fn cut(args: &Args, binary: &Path) -> Result<(), String> {
    let mut run = Run::default();
    let failed = args.fs.iter().try_for_each(|file_system| live(args, binary, *file_system, &mut run));
    let (tally, idle, cuts) = (run.tally(), run.idle(), run.cuts().count());
    let acknowledged: usize = run.rounds.iter().map(|round| round.acknowledged).sum();
    let rows: usize = run.rounds.iter().map(|round| round.kept.rows).sum();
    let errors: u64 = run.rounds.iter().map(|round| round.errors).sum();
    let violated = run.violated();
    let verdict = match (failed, violated, run.vain()) {
        (Err(why), _, _) => Err(why),
        (Ok(()), true, _) => Err(format!("a promise was broken; see {}", args.folder.display())),
        (Ok(()), false, Some(why)) => Err(why.to_owned()),
        (Ok(()), false, None) => Ok(()),
    };
    say(&format!(
        "{cuts} cuts, {idle} of them with nothing to drop; {tally}; {} rounds with errors, {errors} operations failed; \
         {acknowledged} commits acknowledged, {rows} rows compared",
        run.rounds.len() - cuts,
    ));
    if args.json {
        let Tally { volatile, mine, dropped, older, torn, kept } = tally;
        let object = json!({
            "seed": args.seed, "cuts": cuts, "cuts_with_nothing_to_drop": idle, "acknowledged": acknowledged,
            "rows_compared": rows, "errors": errors,
            "sectors": {"volatile": volatile, "of_the_log": mine, "dropped": dropped, "older": older, "torn": torn,
                        "kept": kept},
            "held": verdict.is_ok(), "rounds": run.rounds.iter().map(Round::json).collect::<Vec<_>>(),
        });
        println!("{object}");
    }
    verdict
}

fn main() -> ExitCode {
    let args = Args::parse();
    say(&format!("seed {}", args.seed));
    let done = std::fs::create_dir_all(&args.folder)
        .map_err(|e| format!("{}: {e}", args.folder.display()))
        .and_then(|()| beside_us("seawall"))
        .and_then(|binary| if args.prove { prove(&args, &binary) } else { cut(&args, &binary) });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("FAILED: {why}"));
            ExitCode::from(1)
        }
    }
}
