//! `sim`: runs the worlds of many seeds, each twice, and stops at the first that breaks a promise.
//!
//! `cargo run --release -p seawall-tests --bin sim -- --plan slice --seed 1 --runs 2000`
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "the door of the simulator: it prints, reads the clock for its own speed, and spreads seeds over threads"
)]
#![allow(clippy::disallowed_types, reason = "it measures its own speed")]

use std::cell::Cell;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use clap::Parser;
use seawall_tests::check::Violation;
use seawall_tests::fault::{Fault, Fired};
use seawall_tests::plan::Plan;
use seawall_tests::run::{Counts, Run, run};
use seawall_tests::trace::Sink;

/// Runs simulated worlds and checks what they promised.
#[derive(Debug, Parser)]
struct Arguments {
    /// How worlds are drawn: slice (a node and its clients), shard (the same, and all that a shard decides), or log
    /// (one log, and a disk that damages its data)
    #[arg(long, default_value = "slice")]
    plan: String,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Print what happens
    #[arg(long)]
    trace: bool,
    /// Run each seed twice and compare
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    doublecheck: bool,
    /// Do not stop at a failure: one line for each, and the exit code at the end
    #[arg(long)]
    keep_going: bool,
    /// Threads over the seeds
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

/// So many seeds must make every fault fire.
const ALL_FAULTS_FIRE: u64 = 200;

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(plan) = Plan::named(&arguments.plan) else {
        let names: Vec<_> = Plan::ALL.iter().map(|plan| plan.name()).collect();
        eprintln!("no plan is named {}; there are: {}", arguments.plan, names.join(", "));
        return ExitCode::from(2);
    };
    println!("plan {} from seed {}, {} runs", plan.name(), arguments.seed, arguments.runs);
    say_the_seed_of_a_panic(plan);
    let began = Instant::now();
    match run_all(plan, &arguments) {
        Ok(totals) => totals.print(plan, began.elapsed().as_secs_f64(), arguments.runs),
        Err(code) => code,
    }
}

/// A panic of the core ends the process: say first which seed it was.
fn say_the_seed_of_a_panic(plan: Plan) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        if let Some(seed) = SEED.get() {
            eprintln!("the world of seed {seed} panicked; to reproduce:\n{}", reproduce(plan, seed));
        }
        let _ = std::io::stdout().flush();
    }));
}

fn reproduce(plan: Plan, seed: u64) -> String {
    format!("cargo run --release -p seawall-tests --bin sim -- --plan {} --seed {seed} --trace", plan.name())
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    failed: u64,
    counts: Counts,
    fired: Fired,
}

/// The runs of all seeds, in their order, whatever thread they ran on.
fn run_all(plan: Plan, arguments: &Arguments) -> Result<Totals, ExitCode> {
    let sink: Option<Sink> = arguments.trace.then_some(|at, what| println!("{at:>9} {what}"));
    let threads = if arguments.trace { 1 } else { arguments.threads.clamp(1, arguments.runs.max(1)) };
    let (first, runs, twice) = (arguments.seed, arguments.runs, arguments.doublecheck);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (results, arrived) = mpsc::sync_channel(1024);
        for _ in 0..threads {
            let (results, next) = (results.clone(), &next);
            scope.spawn(move || {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= runs || results.send((nth, run_twice(plan, first + nth, twice, sink))).is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(results);
        let mut totals = Totals::default();
        let mut waiting = std::collections::BTreeMap::new();
        for (nth, run) in arrived {
            waiting.insert(nth, run);
            while let Some(run) = waiting.remove(&totals.seeds) {
                totals.add(&run);
                if let (Some(failure), true) = (&run.failure, arguments.keep_going) {
                    println!("seed {} FAILED {failure}", run.seed);
                    totals.failed += 1;
                } else if let Some(failure) = run.failure {
                    println!(
                        "\nseed {} FAILED\n  {failure}\n\nto reproduce:\n{}",
                        run.seed,
                        reproduce(plan, run.seed)
                    );
                    return Err(ExitCode::from(1));
                }
                if totals.seeds.is_multiple_of(500) && totals.seeds < runs {
                    eprintln!("{} of {runs} seeds", totals.seeds);
                }
            }
        }
        Ok(totals)
    })
}

fn run_twice(plan: Plan, seed: u64, twice: bool, sink: Option<Sink>) -> Run {
    SEED.set(Some(seed));
    let mut once = run(plan, seed, sink);
    if twice && once.failure.is_none() {
        let again = run(plan, seed, None);
        if again.hash != once.hash {
            let text = format!("trace hashes {:016x} and {:016x}", once.hash, again.hash);
            once.failure = Some(Violation { rule: "equal seeds give equal traces", text });
        }
    }
    SEED.set(None);
    once
}

impl Totals {
    fn add(&mut self, run: &Run) {
        self.seeds += 1;
        self.fired.merge(&run.fired);
        self.counts.merge(&run.counts);
    }

    /// A fault that never fires, and a place that is never reached, test nothing.
    fn print(&self, plan: Plan, seconds: f64, runs: u64) -> ExitCode {
        println!(
            "{} of {} seeds held in {seconds:.1} s ({:.0} a second)",
            self.seeds - self.failed,
            self.seeds,
            self.seeds as f64 / seconds.max(0.001)
        );
        let faults = Fault::ALL.iter().filter(|fault| plan.injects(**fault));
        let faults = faults.map(|fault| (fault.name(), self.fired.count(*fault)));
        let mut silent = Vec::new();
        for (name, count) in self.counts.iter().chain(faults) {
            println!("  {count:>10}  {name}");
            if count == 0 {
                silent.push(name);
            }
        }
        if !silent.is_empty() && runs >= ALL_FAULTS_FIRE {
            println!("FAILED: never seen, so nothing was tested there: {}", silent.join(", "));
            return ExitCode::from(1);
        }
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
    }
}
