//! `seawall-bench`, the command.
//!
//! Exit codes: 0 done, 1 errors happened, 2 usage, 3 unreachable.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a command prints")]

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use seawall_bench::about::About;
use seawall_bench::load::{self, Unreachable};
use seawall_bench::log::{self, Stopped};
use seawall_bench::{copy, echo};

/// Makes load on a Seawall node, or on a log alone, and says what came of it.
#[derive(Parser)]
#[command(name = "seawall-bench", version)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// A closed loop, or an open one at a rate, over many connections.
    Load(load::Options),
    /// The log alone, without sockets and rows: full batches, one after the other, made durable in a directory.
    Log(log::Options),
    /// A round trip over loopback, without a node: what every answer over TCP takes at least.
    Echo(echo::Options),
    /// Bytes over loopback, without a node: what every stream over TCP reaches at most.
    Copy(copy::Options),
}

fn main() -> ExitCode {
    let code = match Args::parse().verb {
        Verb::Load(options) => make_load(&options),
        Verb::Log(options) => write_log(&options),
        Verb::Echo(options) => {
            let say = |latencies: &_| match options.json {
                true => echo::json(&options, latencies, &About::this_machine()).to_string(),
                false => echo::line(&options, latencies),
            };
            over_loopback(echo::run(&options).map(|latencies| say(&latencies)))
        }
        Verb::Copy(options) => {
            let say = |copied: &_| match options.json {
                true => copy::json(&options, copied, &About::this_machine()).to_string(),
                false => copy::line(&options, copied),
            };
            over_loopback(copy::run(&options).map(|copied| say(&copied)))
        }
    };
    ExitCode::from(code)
}

fn make_load(options: &load::Options) -> u8 {
    if let Err(why) = options.check() {
        say(&mut std::io::stderr(), &why);
        return 2;
    }
    let run = load::run(options);
    match &run {
        Ok(result) => {
            for line in &result.tally.failures {
                say(&mut std::io::stderr(), &format!("error: {line}"));
            }
            if result.tally.done_ever == 0 && result.tally.error_count() > 0 {
                say(&mut std::io::stderr(), "error: every request failed; see the errors by their code");
            }
            let about = About::this_machine();
            let text = if options.json {
                load::report::json(options, result, &about).to_string()
            } else {
                load::report::table(options, result, &about)
            };
            say(&mut std::io::stdout(), &text);
            let page = options.report.as_ref().map(|path| load::page::write(path, options, result, &about));
            if let Some(Err(why)) = page {
                say(&mut std::io::stderr(), &why);
                return 1;
            }
        }
        Err(Unreachable(why)) => {
            say(
                &mut std::io::stderr(),
                &format!("{why}\nIs a node listening there? `seawall dev` starts one."),
            );
        }
    }
    load::exit_code(&run)
}

fn write_log(options: &log::Options) -> u8 {
    let about = About::this_machine();
    let mut head = (!options.json).then(|| log::report::head(options, &about));
    let run = log::run(options, |outcome| {
        for line in log::report::caveats(outcome) {
            say(&mut std::io::stderr(), &line);
        }
        let mut stdout = std::io::stdout();
        match options.json {
            true => say(&mut stdout, &log::report::json(options, outcome, &about).to_string()),
            false => {
                if let Some(head) = head.take() {
                    say(&mut stdout, &head);
                }
                say(&mut stdout, &log::report::row(outcome));
            }
        }
    });
    match run {
        Ok(()) => 0,
        Err(Stopped(why)) => {
            say(&mut std::io::stderr(), &why);
            1
        }
    }
}

fn over_loopback(said: std::io::Result<String>) -> u8 {
    match said {
        Ok(text) => {
            say(&mut std::io::stdout(), &text);
            0
        }
        Err(error) => {
            say(&mut std::io::stderr(), &format!("loopback failed: {error}"));
            1
        }
    }
}

/// Whoever closed the pipe does not want to read it.
fn say(to: &mut dyn Write, text: &str) {
    let _ = writeln!(to, "{text}");
}
