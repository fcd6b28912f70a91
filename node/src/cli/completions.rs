//! `seawall completions`: a shell's words for all of this.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit};

/// Write what a shell needs to complete commands: `seawall completions bash > /etc/bash_completion.d/seawall`.
#[derive(Args)]
pub(super) struct Completions {
    /// Whose.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "seawall", &mut script);
        crate::driver::console::say(String::from_utf8_lossy(&script));
        Exit::Done
    }
}
