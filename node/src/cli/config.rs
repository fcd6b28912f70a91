//! `seawall config`: every parameter, and whether a file is right.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Exit;
use super::server::{Flags, load};
use crate::config;
use crate::driver::console;

/// Look at the parameters of a node, or check a configuration file.
#[derive(Args)]
pub(super) struct Config {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Say whether a file is right; name each mistake by its line.
    Check {
        file: PathBuf,
        /// Answer with one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show every parameter: value, default, what is allowed, what it does, and where the value comes from.
    Show(Box<Show>),
}

#[derive(Args)]
struct Show {
    /// As this file says; without it, the defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    /// Answer with one JSON object.
    #[arg(long)]
    json: bool,
    /// Print the section of docs/operations.md.
    #[arg(long, hide = true)]
    markdown: bool,
}

impl Config {
    pub fn run(self) -> Exit {
        let shown = match self.verb {
            Verb::Check { file, json } => load(Some(&file)).map(|_| match json {
                true => {
                    json!({ "done": true, "file": file.display().to_string(), "right": true }).to_string()
                }
                false => format!("{}: right", file.display()),
            }),
            Verb::Show(show) => show.text(),
        };
        match shown {
            Ok(text) => {
                console::say(text.trim_end());
                Exit::Done
            }
            Err(exit) => exit,
        }
    }
}

impl Show {
    fn text(self) -> Result<String, Exit> {
        let mut settings = load(self.config.as_deref())?;
        self.flags.apply(&mut settings).map_err(Exit::Usage)?;
        Ok(match (self.markdown, self.json) {
            (true, _) => config::markdown(),
            (false, true) => config::document(&settings).to_string(),
            (false, false) => config::table(&settings),
        })
    }
}
