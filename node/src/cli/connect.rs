//! What every verb that talks to a node shares: where it is, how to answer, and how failures end the program.

use std::time::Duration;

use clap::Args;
use seawall::client::{Error, Options};
use seawall::{Client, Refusal};
use serde_json::Value as Json;

use super::{Exit, args, columns};
use crate::driver::console;
use crate::json::answer;

#[derive(Args)]
pub(super) struct Connect {
    /// The node; several, with commas between, if it may be any of them.
    #[arg(long = "connect", value_name = "ADDR", default_value = "127.0.0.1:7411", value_parser = args::addresses)]
    address: String,
    /// How long to wait for an answer, all attempts together.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = args::duration)]
    timeout: Duration,
    /// Answer with one JSON object on one line.
    #[arg(long)]
    pub json: bool,
}

impl Connect {
    pub(super) fn with(&self, verb: impl FnOnce(&mut Client) -> seawall::Result<Exit>) -> Exit {
        self.with_options(|options| options, verb)
    }

    pub(super) fn with_options(
        &self,
        change: impl FnOnce(Options) -> Options,
        verb: impl FnOnce(&mut Client) -> seawall::Result<Exit>,
    ) -> Exit {
        // A numbered commit can be sent again when its answer is lost, and be resolved when it stays so.
        let options = Options { deadline: self.timeout, session_keys: true, ..Options::default() };
        let ended = Client::connect_with(self.address.clone(), change(options));
        match ended.and_then(|mut client| verb(&mut client)) {
            Ok(exit) => exit,
            Err(Error::Refused(why)) => self.refused(&why),
            Err(Error::Protocol(why)) if why.reason.rule == "frame.magic" => Exit::Unreachable(format!(
                "{} is no port for clients; is it the admin port? A node says the other one at its start: listening on …",
                self.address
            )),
            Err(Error::Protocol(why)) => {
                Exit::Unreachable(format!("{} gave no answer that can be understood: {why}", self.address))
            }
            Err(lost @ Error::Unreachable { .. }) => {
                Exit::Unreachable(format!("{lost}; `seawall dev` starts one, and --connect names another"))
            }
            Err(lost @ (Error::NoAnswer { .. } | Error::Broken { .. })) => {
                Exit::Unreachable(lost.to_string())
            }
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// For people or for programs, as asked.
    pub(super) fn say(&self, people: impl FnOnce() -> String, program: impl FnOnce() -> Json) {
        match self.json {
            true => console::say(format_args!("{}", program())),
            false => console::say(columns::plain_lines(&people())),
        }
    }

    /// For programs on standard output; people read what the program ends with.
    pub(super) fn say_json(&self, program: impl FnOnce() -> Json) {
        if self.json {
            console::say(program());
        }
    }

    /// A request that was not done.
    fn refused(&self, why: &Refusal) -> Exit {
        self.say_json(|| answer::refused(why));
        Exit::Refused(explained(why))
    }
}

/// A refusal over several lines, everything that is known of it.
pub(super) fn explained(why: &Refusal) -> String {
    let reason = &why.reason;
    let mut about = vec![
        ("  rule", reason.rule.to_string()),
        ("  expected", reason.expected.to_string()),
        ("  observed", reason.observed.to_string()),
    ];
    about.extend(why.position.map(|position| ("  position", position.to_string())));
    about.push(("  outcome", why.outcome.to_string()));
    about.push(("  hint", reason.hint.to_string()));
    format!("{} ({}): {}\n{}", why.code, why.code as u16, why.code.meaning(), columns::pairs(about))
}
