//! The `seawall` binary: one file a verb.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this room is made for talking to people"
)]

mod dev;

use crate::driver::console;
use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "seawall", version, about = "A storage node that never says more than it can prove.")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Dev(dev::Dev),
}

/// How a verb ended, for scripts. Usage errors are clap's: 2.
#[derive(Debug)]
enum Exit {
    Done,
    /// The node said no, or did not start, and why.
    Refused(String),
}

pub fn main() -> ExitCode {
    let ended = match Cli::parse().verb {
        Verb::Dev(dev) => dev.run(),
    };
    match ended {
        Exit::Done => ExitCode::SUCCESS,
        Exit::Refused(why) => complain(1, &why),
    }
}

fn complain(code: u8, why: &dyn fmt::Display) -> ExitCode {
    console::complain(format_args!("seawall: {why}"));
    ExitCode::from(code)
}
