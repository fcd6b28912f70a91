//! The real node on the disk.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A start reads the log and writes its last window again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Two logs that are cut at different moments of their batches.
const WORKERS: &str = "2";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    Link,
    Dsync,
}

impl Durable {
    pub const BOTH: [Durable; 2] = [Durable::Link, Durable::Dsync];

    pub fn name(self) -> &'static str {
        match self {
            Durable::Link => "link",
            Durable::Dsync => "dsync",
        }
    }
}

pub struct Node {
    child: Child,
    /// What it prints; its thread ends with it.
    lines: Receiver<String>,
}

impl Node {
    /// `messages` gets what it complains about.
    pub fn spawn(binary: &Path, data: &Path, durable: Durable, messages: &Path) -> Result<Node, String> {
        let file = File::options().create(true).append(true).open(messages);
        let file = file.map_err(|e| format!("{}: {e}", messages.display()))?;
        // A rig that is killed takes its node along, or the node would hold the disk for ever.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(binary);
        command.arg("dev").arg("--data").arg(data).args(["--durable", durable.name()]);
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", WORKERS]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", binary.display()))?;
        let stdout = BufReader::new(child.stdout.take().expect("it was asked for"));
        let (say, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| say.send(line)));
        Ok(Node { child, lines })
    }

    /// Waits until it listens, and returns its address. A shard that does not serve is an error.
    pub fn serves(&mut self) -> Result<String, String> {
        let until = Instant::now() + PATIENCE;
        let mut halted = Vec::new();
        loop {
            let line = match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("the node does not serve {} s after its start", PATIENCE.as_secs()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status =
                        self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
                    return Err(format!("the node ended before it served: {status}"));
                }
            };
            if line.starts_with("SHARD ") {
                halted.push(line);
            } else if let Some(address) = line.strip_prefix("listening on ") {
                return if halted.is_empty() {
                    Ok(address.trim().to_owned())
                } else {
                    Err(halted.join("; "))
                };
            }
        }
    }

    /// SIGKILL; it is gone afterwards.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

/// Keeps the recovery reports of the last start under `name`, and tells how the logs ended.
pub fn keep_reports(data: &Path, folder: &Path, name: &str) -> Result<Vec<String>, String> {
    let reports = folder.join("reports");
    fs::create_dir_all(&reports).map_err(|e| format!("{}: {e}", reports.display()))?;
    let mut tails = Vec::new();
    let shards = fs::read_dir(data).map_err(|e| format!("{}: {e}", data.display()))?;
    let mut shards: Vec<PathBuf> = shards.filter_map(|entry| Some(entry.ok()?.path())).collect();
    shards.sort();
    for shard in shards {
        let Ok(json) = fs::read_to_string(shard.join("recovery-report.json")) else { continue };
        let shard = shard.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kept = reports.join(format!("{name}-{shard}.json"));
        fs::write(&kept, &json).map_err(|e| format!("{}: {e}", kept.display()))?;
        let report: serde_json::Value =
            serde_json::from_str(&json).map_err(|e| format!("{}: {e}", kept.display()))?;
        tails.push(match (&report["end"], &report["end"]["tail"]) {
            (serde_json::Value::Null, _) => "empty".to_owned(),
            (_, tail) => tail.as_str().unwrap_or("unnamed").to_owned(),
        });
    }
    Ok(tails)
}
