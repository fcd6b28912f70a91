//! `model`: walks through a scope, or shows what a rule prevents.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a command: it prints, tells how long it took, and writes the document"
)]

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use seawall_model::cases::CASES;
use seawall_model::check::{Execution, counterexample, walk};
use seawall_model::document;
use seawall_model::protocol::Protocol;
use seawall_model::scope::Scope;
use seawall_model::state::Set;

/// The model of the replication protocol: A, B and C, of which A leads in the beginning.
#[derive(Parser)]
#[command(name = "model")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Walks through every state of a scope, with all rules.
    Walk(Bounds),
    /// Shows the shortest execution that each clause of R10 to R16 prevents, or those whose name contains TEXT.
    Without { text: Option<String> },
    /// Writes the executions into docs/replication.md.
    Document { path: std::path::PathBuf },
}

#[derive(clap::Args)]
struct Bounds {
    /// The recorded sync set in the beginning, such as B or BC.
    #[arg(long, default_value = "B")]
    sync: String,
    #[arg(long, default_value_t = 2)]
    min_in_sync: u8,
    #[arg(long, default_value_t = 1)]
    writes: u8,
    #[arg(long, default_value_t = 2)]
    epochs: u8,
    #[arg(long, default_value_t = 2)]
    generations: u8,
    /// How many disks may be lost.
    #[arg(long, default_value_t = 0)]
    damages: u8,
    /// Promotions with --accept-loss and --accept-split.
    #[arg(long)]
    accept_loss: bool,
    /// Lease promises and linearizable reads.
    #[arg(long)]
    leases: bool,
    /// Requests may be late too, and outlive their sender.
    #[arg(long)]
    late_requests: bool,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Walk(bounds) => walk_through(&bounds),
        Command::Without { text } => without(&text.unwrap_or_default()),
        Command::Document { path } => rewrite(&path),
    }
}

fn walk_through(bounds: &Bounds) -> ExitCode {
    let member = |letter: char| "ABC".find(letter).expect("--sync takes the letters B and C");
    let scope = Scope {
        sync: bounds.sync.chars().fold(Set::default(), |set, letter| set.with(member(letter))),
        min_in_sync: bounds.min_in_sync,
        writes: bounds.writes,
        epochs: bounds.epochs,
        generations: bounds.generations,
        damages: bounds.damages,
        accept_loss: bounds.accept_loss,
        leases: bounds.leases,
        false_declarations: false,
        late_requests: bounds.late_requests,
    };
    let begin = Instant::now();
    let walk = walk(Protocol::new(scope));
    let seconds = begin.elapsed().as_secs_f32();
    println!("{} states, at most {} steps away, in {seconds:.1} s", walk.states, walk.depth);
    for unmet in &walk.unmet {
        println!("not {unmet}");
    }
    let Some(execution) = walk.broken else { return ExitCode::SUCCESS };
    show(&execution);
    ExitCode::FAILURE
}

fn without(text: &str) -> ExitCode {
    let wanted = CASES.iter().filter(|case| format!("{:?}", case.clause).contains(text));
    let mut all = ExitCode::SUCCESS;
    for case in wanted {
        let begin = Instant::now();
        let found = counterexample(case);
        println!("\n{} without {:?}: {}", case.rule, case.clause, case.law);
        match found {
            Some(execution) => show(&execution),
            None => {
                println!("NOTHING found that breaks {}", case.breaks);
                all = ExitCode::FAILURE;
            }
        }
        println!("{:.1} s", begin.elapsed().as_secs_f32());
    }
    all
}

fn show(execution: &Execution) {
    for (nth, step) in execution.steps.iter().enumerate() {
        println!("{:3}. {step}", nth + 1);
    }
    println!("{} ({} states seen)", execution.verdict.join("; "), execution.states);
}

fn rewrite(path: &std::path::Path) -> ExitCode {
    let text = std::fs::read_to_string(path).expect("the document is there to be read");
    let text = document::filled(&text, |case| counterexample(case).expect("every case has its execution"));
    std::fs::write(path, text).expect("the document can be written");
    ExitCode::SUCCESS
}
