//! `seawall dev`: one node on this machine, without credentials, for loopback alone.

use clap::Args;

use super::Exit;
use super::server::{Flags, serve};
use crate::config::Settings;

/// Start a node on this machine, for loopback alone.
#[derive(Args)]
pub(super) struct Dev {
    #[command(flatten)]
    flags: Flags,
    /// Closed log in MiB after which the next checkpoint is made, if the last one is not larger. Less: a faster
    /// start and a shorter log, and more is written for each commit.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    checkpoint_after: Option<u64>,
}

impl Dev {
    /// The defaults, and what the flags say.
    pub fn run(mut self) -> Exit {
        if let Some(mib) = self.checkpoint_after {
            self.flags.set.push(format!("checkpoint.after_bytes={}", mib << 20));
        }
        let mut settings = Settings::default();
        match self.flags.apply(&mut settings) {
            Ok(()) => serve(&settings, true),
            Err(why) => Exit::Usage(why),
        }
    }
}
