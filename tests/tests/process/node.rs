//! One real node in a folder of its own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use seawall_tests::skip::skip;

pub const BINARY: &str = env!("CARGO_BIN_EXE_seawall-under-test");

pub const ANY_PORT: &str = "127.0.0.1:0";

/// A folder that is empty at first and stays after a failure.
pub fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("removing what an earlier run left");
    }
    std::fs::create_dir_all(&folder).expect("making a folder");
    folder
}

pub fn dev(data: &Path, listen: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("dev").arg("--data").arg(data);
    command.args(["--listen", listen, "--admin", "127.0.0.1:0"]);
    command
}

pub struct Node {
    child: Child,
    /// Kept open: the node may go on printing.
    stdout: BufReader<ChildStdout>,
    pub address: String,
    /// What it said before it listened.
    said: String,
}

impl Node {
    /// Starts a node and waits until it serves. Where io_uring is blocked it is said loudly that the ring is not
    /// tested.
    pub fn start(test: &str, folder: &Path) -> Node {
        let node = Node::start_with(folder, &[]);
        if node.said.contains("driver      syscall") {
            skip(test, "io_uring is blocked here, so this ran on the syscall driver");
        }
        node
    }

    pub fn start_with(folder: &Path, options: &[&str]) -> Node {
        Node::run(folder, &folder.join("data"), ANY_PORT, options)
    }

    /// Where its clients look for it.
    pub fn start_at(folder: &Path, listen: &str, options: &[&str]) -> Node {
        Node::run(folder, &folder.join("data"), listen, options)
    }

    /// As a member of a cluster, whose options name its other addresses.
    pub fn start_member(folder: &Path, listen: &str, options: &[&str]) -> Node {
        let mut command = Command::new(BINARY);
        command.arg("dev").arg("--data").arg(folder.join("data")).args(["--listen", listen]).args(options);
        Node::run_as(folder, command)
    }

    /// With its data elsewhere; its messages are in the folder.
    pub fn start_on(folder: &Path, data: &Path, options: &[&str]) -> Node {
        Node::run(folder, data, ANY_PORT, options)
    }

    fn run(folder: &Path, data: &Path, listen: &str, options: &[&str]) -> Node {
        let mut command = dev(data, listen);
        command.args(options);
        Node::run_as(folder, command)
    }

    fn run_as(folder: &Path, mut command: Command) -> Node {
        let log = folder.join("stderr.txt");
        let stderr = File::options().create(true).append(true).open(&log).expect("a file for its messages");
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("starting the node");
        let stdout = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut node = Node { child, stdout, address: String::new(), said: String::new() };
        loop {
            let mut line = String::new();
            if node.stdout.read_line(&mut line).expect("reading what it says") == 0 {
                let status = node.child.wait().expect("it ended");
                let complaints = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("the node ended with {status} before it served:\n{}{complaints}", node.said);
            }
            if let Some(address) = line.strip_prefix("listening on ") {
                node.address = address.trim().to_owned();
                return node;
            }
            node.said += &line;
        }
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("reading what it says");
        line
    }

    /// Memory of the node that is resident.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of its memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn said(&self) -> &str {
        &self.said
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.expect("sending a signal").success());
    }

    /// After SIGSTOP: a thread that runs on another CPU goes on until it is told.
    pub fn wait_until_still(&self) {
        let tasks = format!("/proc/{}/task", self.pid());
        let still = |task: &Path| {
            let stat = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        };
        let all_still = || {
            let tasks = std::fs::read_dir(&tasks).expect("the node's threads");
            tasks.flatten().all(|task| still(&task.path()))
        };
        let patience = Instant::now() + Duration::from_secs(10);
        while !all_still() {
            assert!(Instant::now() < patience, "the process does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("killing the node");
        self.child.wait().expect("it ended");
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("asking after the node") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the node still runs 20 s after SIGTERM");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that failed must not leave its node behind; one that ended is gone already.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
