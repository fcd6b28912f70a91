//! `seawall dev`: one node on this machine, without credentials, for loopback alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Exit;
use crate::driver::choice::Kind;
use crate::driver::console;
use crate::driver::node::{Node, NodeConfig, Serving};
use crate::driver::probe;

/// Start a node on this machine, for loopback alone.
#[derive(Args)]
pub(super) struct Dev {
    /// Where the data is kept; made when it does not exist.
    #[arg(long, value_name = "DIR", default_value = "./seawall-data")]
    data: PathBuf,
    /// Where clients connect; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7411")]
    listen: SocketAddr,
    /// Where health, readiness and status are served by HTTP.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7412")]
    admin: SocketAddr,
    /// Workers, and shards of a new data directory; by default one less than there are CPUs.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// How the node talks to the kernel.
    #[arg(long, value_enum, default_value_t = Driver::Auto)]
    driver: Driver,
    /// How a write is made durable.
    #[arg(long, value_enum, default_value_t = Durable::Auto)]
    durable: Durable,
    /// Closed log in MiB after which the next checkpoint is made, if the last one is not larger. Less: a faster
    /// start and a shorter log, and more is written for each commit.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    checkpoint_after: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Driver {
    /// The ring, unless io_uring is blocked here.
    Auto,
    /// io_uring for sockets and logs.
    Ring,
    /// epoll for sockets, threads for logs.
    Syscall,
}

#[derive(Clone, Copy, ValueEnum)]
enum Durable {
    /// By what the disk's cache is, and by measuring.
    Auto,
    /// A write, then fdatasync.
    Link,
    /// A write with RWF_DSYNC, until such writes end at scheduler ticks.
    Dsync,
}

impl Dev {
    pub fn run(self) -> Exit {
        for (option, address) in [("--listen", self.listen), ("--admin", self.admin)] {
            if !address.ip().is_loopback() {
                return Exit::Refused(format!(
                    "{option} {address} can be reached from outside, and `dev` asks nobody for credentials; \
                     use a loopback address such as 127.0.0.1:{}",
                    address.port()
                ));
            }
        }
        let config = NodeConfig {
            data: self.data,
            listen: self.listen,
            admin: self.admin,
            workers: self.workers,
            driver: match self.driver {
                Driver::Auto => None,
                Driver::Ring => Some(Kind::Ring),
                Driver::Syscall => Some(Kind::Syscall),
            },
            durable: match self.durable {
                Durable::Auto => None,
                Durable::Link => Some(probe::Durable::Link),
                Durable::Dsync => Some(probe::Durable::Dsync),
            },
            checkpoint_after: self.checkpoint_after << 20,
            dev: true,
        };
        let node = match Node::prepare(&config) {
            Ok(node) => node,
            Err(e) => return Exit::Refused(e.to_string()),
        };
        console::say(format_args!(
            "seawall {}, for development: no credentials, loopback alone",
            env!("CARGO_PKG_VERSION")
        ));
        console::say(&node);
        match node.run(announce) {
            Ok(()) => Exit::Done,
            Err(e) => Exit::Refused(e.to_string()),
        }
    }
}

/// `listening on` is what scripts wait for: it comes when the shards have recovered.
fn announce(serving: &Serving<'_>) {
    for shard in serving.workers.iter().flat_map(|worker| &worker.shards) {
        if shard.state != "serving" {
            let reason = shard.reason.as_deref().unwrap_or("no reason given");
            console::say(format_args!("SHARD {} IS {}: {reason}", shard.shard.0, shard.state.to_uppercase()));
        }
    }
    console::say(format_args!("admin on http://{}/v1/status", serving.admin));
    console::say(format_args!("listening on {}", serving.listen));
    console::say(format_args!(
        "try: seawall put cabin/sailing-42/C14 state=held --connect {}",
        serving.listen
    ));
}
