//! `seawall server`: one node, as its configuration file says.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Exit;
use crate::config::{self, Given, Origin, Settings};
use crate::driver::node::{Node, Serving};
use crate::driver::{console, huge_pages};

/// Start a node as a configuration file says.
#[derive(Args)]
pub(super) struct Server {
    /// The configuration, in TOML. `seawall config show` lists what may stand in it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

/// What is said on the command line goes before the file.
#[derive(Args)]
pub(super) struct Flags {
    /// Where the data is kept; made when it does not exist. Without it: ./seawall-data, or as configured.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Where clients connect; port 0 takes any free one. Without it: 127.0.0.1:7411, or as configured.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where health, status, metrics and commits are served by HTTP. Without it: 127.0.0.1:7412, or as configured.
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// The number of this node in the map of a cluster. Without it: alone, or as configured.
    #[arg(long, value_name = "N")]
    member: Option<u32>,
    /// Where the members keep their map; `seawall map init` makes it.
    #[arg(long, value_name = "DIR")]
    map: Option<String>,
    /// Where other members connect. Without it: 127.0.0.1:7413, or as configured.
    #[arg(long, value_name = "ADDR")]
    peer_listen: Option<String>,
    /// Workers, and shards of a new data directory; 0, the default: one less than there are CPUs.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=256))]
    workers: Option<u16>,
    /// How the node talks to the kernel: auto, ring or syscall.
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// How a write is made durable: auto, link or dsync.
    #[arg(long, value_name = "NAME")]
    durable: Option<String>,
    /// Any parameter by its key, such as log.spares=5; `seawall config show` lists them.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Flags {
    pub fn apply(&self, settings: &mut Settings) -> Result<(), String> {
        let words = [
            ("data", &self.data),
            ("listen", &self.listen),
            ("admin.listen", &self.admin),
            ("map", &self.map),
            ("peer_listen", &self.peer_listen),
            ("driver", &self.driver),
            ("durable", &self.durable),
        ];
        for (key, text) in words {
            if let Some(text) = text {
                settings.set(key, &Given::Text(text.clone()), Origin::Flag)?;
            }
        }
        for (key, number) in [("workers", self.workers.map(u32::from)), ("member", self.member)] {
            if let Some(number) = number {
                settings.set(key, &Given::Number(number.into()), Origin::Flag)?;
            }
        }
        for pair in &self.set {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("--set {pair}: write KEY=VALUE, such as log.spares=5"))?;
            let number = value.parse().map(Given::Number);
            settings.set(key, &number.unwrap_or_else(|_| Given::Text(value.to_owned())), Origin::Flag)?;
        }
        settings.clash().map_or(Ok(()), |(_, what)| Err(what))
    }
}

impl Server {
    pub fn run(self) -> Exit {
        let settings = load(Some(&self.config)).and_then(|mut settings| {
            self.flags.apply(&mut settings).map_err(Exit::Usage)?;
            Ok(settings)
        });
        match settings {
            Ok(settings) => serve(&settings, false),
            Err(exit) => exit,
        }
    }
}

/// The defaults, and what the file says.
pub(super) fn load(file: Option<&Path>) -> Result<Settings, Exit> {
    let mut settings = Settings::default();
    let Some(file) = file else { return Ok(settings) };
    let text = fs::read_to_string(file).map_err(|e| {
        Exit::Refused(format!("{}: cannot be read: {e}; name a file of TOML", file.display()))
    })?;
    config::read(&mut settings, file, &text).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Exit::Refused(format!("the configuration is refused\n{}", lines.join("\n")))
    })?;
    Ok(settings)
}

/// Runs a node until it is told to stop.
pub(super) fn serve(settings: &Settings, dev: bool) -> Exit {
    if settings.word("huge_pages") == "on" {
        huge_pages::ask();
    }
    let node = match Node::prepare(settings.node(dev)) {
        Ok(node) => node,
        Err(e) => return Exit::Refused(e.to_string()),
    };
    let purpose = if dev { ", for development" } else { "" };
    console::say(format_args!(
        "seawall {} with the {} driver{purpose}: no credentials, loopback alone",
        env!("CARGO_PKG_VERSION"),
        node.driver()
    ));
    console::say(&node);
    match node.run(|serving| announce(serving, dev)) {
        Ok(()) => Exit::Done,
        Err(e) => Exit::Refused(e.to_string()),
    }
}

/// `listening on` is what scripts wait for: it comes when the shards have recovered.
fn announce(serving: &Serving<'_>, dev: bool) {
    for shard in serving.workers.iter().flat_map(|worker| &worker.shards) {
        if shard.state != "serving" {
            let reason = shard.reason.as_deref().unwrap_or("no reason given");
            console::say(format_args!("SHARD {} IS {}: {reason}", shard.shard.0, shard.state.to_uppercase()));
        }
    }
    console::say(format_args!("admin on http://{}/v1/status", serving.admin));
    console::say(format_args!("listening on {}", serving.listen));
    if dev {
        console::say(format_args!(
            "try: seawall put cabin/sailing-42/C14 state=held --connect {}",
            serving.listen
        ));
    }
}
