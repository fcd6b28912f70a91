//! `seawall-bench`, the command.
//!
//! Exit codes: 0 done, 1 errors happened, 2 usage, 3 unreachable.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a command prints")]

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use seawall_bench::load::{self, Options, Unreachable, report};

/// Makes load on a Seawall node and says what came of it.
#[derive(Parser)]
#[command(name = "seawall-bench", version)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// A closed loop: each connection keeps a number of requests under way.
    Load(Options),
}

fn main() -> ExitCode {
    let Verb::Load(options) = Args::parse().verb;
    let run = load::run(&options);
    match &run {
        Ok(result) => {
            for line in &result.tally.failures {
                say(&mut std::io::stderr(), &format!("error: {line}"));
            }
            let about = report::About::this_machine();
            let text = if options.json {
                report::json(&options, result, &about).to_string()
            } else {
                report::table(&options, result, &about)
            };
            say(&mut std::io::stdout(), &text);
        }
        Err(Unreachable(why)) => {
            say(
                &mut std::io::stderr(),
                &format!("{why}\nIs a node listening there? `seawall dev` starts one."),
            );
        }
    }
    ExitCode::from(load::exit_code(&run))
}

/// Whoever closed the pipe does not want to read it.
fn say(to: &mut dyn Write, text: &str) {
    let _ = writeln!(to, "{text}");
}
