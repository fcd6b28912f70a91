//! Where and by what a figure was made.

use std::process::Command;

const UNKNOWN: &str = "unknown";

#[derive(Clone, Debug)]
pub struct About {
    pub kernel: String,
    /// The sources of this tool, as git names them when it runs.
    pub commit: String,
}

impl About {
    pub fn this_machine() -> About {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        let sources = env!("CARGO_MANIFEST_DIR");
        let describe =
            Command::new("git").args(["-C", sources, "describe", "--always", "--dirty", "--tags"]).output();
        let commit = describe.ok().filter(|run| run.status.success());
        let commit = commit.and_then(|run| String::from_utf8(run.stdout).ok());
        let or_unknown = |text: Option<String>| {
            text.map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| UNKNOWN.to_owned())
        };
        About { kernel: or_unknown(kernel), commit: or_unknown(commit) }
    }
}
