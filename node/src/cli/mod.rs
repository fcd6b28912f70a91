//! The `seawall` binary: one file a verb.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this room is made for talking to people"
)]

mod admin;
mod args;
mod backup;
mod columns;
mod commit;
mod completions;
mod config;
mod connect;
mod cursor;
mod declare;
mod describe;
mod dev;
mod ended;
mod file;
pub(crate) mod fuzz;
mod get;
mod log;
mod map;
mod offline;
mod order;
mod probe;
mod put;
mod replica;
mod report;
mod resolve;
mod scan;
mod server;
mod watch;

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::json;

use crate::driver::console;

#[derive(Parser)]
#[command(
    name = "seawall",
    version,
    about = "A storage node that never says more than it can prove.",
    after_help = "Rows are TABLE/PARTITION/ROW, and TABLE/ROW where the partition is said apart; a '/' inside of a part \
                  is written %2F.\n\
                  Exit codes: 0 done, 1 refused, rejected or unknown, 2 wrong usage, 3 no node answers."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Dev(dev::Dev),
    Server(server::Server),
    Put(put::Put),
    Get(get::Get),
    Commit(commit::CommitVerb),
    Scan(scan::ScanVerb),
    Watch(watch::WatchVerb),
    Resolve(resolve::Resolve),
    Declare(declare::Declare),
    Describe(describe::Describe),
    Status(report::Status),
    Explain(report::Explain),
    Trace(report::Trace),
    Map(map::MapVerb),
    Promote(order::Promote),
    #[command(visible_alias = "switchover")]
    HandOver(order::HandOver),
    SyncSet(order::SyncSet),
    Replica(replica::Replica),
    Log(log::Log),
    Backup(backup::Backup),
    Probe(probe::ProbeDir),
    Completions(completions::Completions),
    Config(config::Config),
}

/// How a verb ended, for scripts. Most usage errors are clap's, which exits with 2 as well.
#[derive(Debug)]
enum Exit {
    Done,
    /// The node said no, or did not start, and why.
    Refused(String),
    /// What was asked contradicts itself.
    Usage(String),
    /// No node answered.
    Unreachable(String),
}

pub fn main() -> ExitCode {
    let verb = match Cli::try_parse() {
        Ok(cli) => cli.verb,
        Err(help) if !help.use_stderr() => help.exit(),
        Err(wrong) => {
            let said = wrong.render().to_string();
            tell_programs(2, said.strip_prefix("error: ").unwrap_or(&said).trim_end());
            wrong.exit()
        }
    };
    // What a node says is for whoever watches it; what the others say is what they were asked for.
    let is_node = matches!(verb, Verb::Dev(_) | Verb::Server(_));
    let ended = match verb {
        Verb::Dev(dev) => dev.run(),
        Verb::Server(server) => server.run(),
        Verb::Put(put) => put.run(),
        Verb::Get(get) => get.run(),
        Verb::Commit(commit) => commit.run(),
        Verb::Scan(scan) => scan.run(),
        Verb::Watch(watch) => watch.run(),
        Verb::Resolve(resolve) => resolve.run(),
        Verb::Declare(declare) => declare.run(),
        Verb::Describe(describe) => describe.run(),
        Verb::Status(status) => status.run(),
        Verb::Explain(explain) => explain.run(),
        Verb::Trace(trace) => trace.run(),
        Verb::Map(map) => map.run(),
        Verb::Promote(promote) => promote.run(),
        Verb::HandOver(order) => order.run(),
        Verb::SyncSet(order) => order.run(),
        Verb::Replica(replica) => replica.run(),
        Verb::Log(log) => log.run(),
        Verb::Backup(backup) => backup.run(),
        Verb::Probe(probe) => probe.run(),
        Verb::Completions(completions) => completions.run(),
        Verb::Config(config) => config.run(),
    };
    match ended {
        Exit::Done => match console::unwritten().filter(|_| !is_node) {
            None => ExitCode::SUCCESS,
            Some(why) => {
                complain(1, &format_args!("the answer could not be written to standard output: {why}"))
            }
        },
        Exit::Refused(why) => ended_with(1, &why),
        Exit::Usage(why) => ended_with(2, &why),
        Exit::Unreachable(why) => ended_with(3, &why),
    }
}

fn ended_with(code: u8, why: &str) -> ExitCode {
    // What was refused is often told in a form of its own.
    if code != 1 || !console::has_said() {
        tell_programs(code, why);
    }
    complain(code, &why)
}

/// Who asked for JSON finds it on standard output however a command ends.
fn tell_programs(code: u8, why: &str) {
    // What cannot be parsed may still say so.
    let mut words = std::env::args_os().skip(1).take_while(|word| word != "--");
    if words.any(|word| word == "--json") {
        console::say(json!({ "done": false, "error": why, "exit": code }));
    }
}

fn complain(code: u8, why: &dyn fmt::Display) -> ExitCode {
    console::complain(columns::plain_lines(&format!("seawall: {why}")));
    ExitCode::from(code)
}
