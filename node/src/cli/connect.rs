//! What every verb that talks to a node shares: where it is, how to answer, and how failures end the program.

use clap::Args;
use seawall::Client;
use seawall::client::Error;

use super::Exit;

#[derive(Args)]
pub(super) struct Connect {
    /// The node.
    #[arg(long = "connect", value_name = "ADDR", default_value = "127.0.0.1:7411")]
    address: String,
    /// Answer with one JSON object on one line.
    #[arg(long)]
    json: bool,
}

impl Connect {
    pub(super) fn with(&self, verb: impl FnOnce(&mut Client) -> seawall::Result<Exit>) -> Exit {
        match Client::connect(self.address.clone()).and_then(|mut client| verb(&mut client)) {
            Ok(exit) => exit,
            Err(refused @ Error::Refused(_)) => Exit::Refused(refused.to_string()),
            Err(lost) => Exit::Unreachable(lost.to_string()),
        }
    }

    /// For people or for programs, as asked.
    pub(super) fn say(&self, people: impl FnOnce() -> String, program: impl FnOnce() -> serde_json::Value) {
        match self.json {
            true => println!("{}", program()),
            false => println!("{}", people()),
        }
    }
}
