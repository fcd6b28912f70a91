//! A node in a folder of its own, and commands that are run against it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value as Json;

pub struct Node {
    process: Child,
    pub address: String,
    folder: PathBuf,
}

/// How a command ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Node {
    pub fn start(name: &str) -> Node {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}-{}", std::process::id()));
        let _left_by_a_killed_run = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut process = seawall()
            .args(["dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "2", "--data"])
            .arg(folder.join("data"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned));
        let address = address.expect("a node that starts says where it listens");
        Node { process, address, folder }
    }

    /// A file for a command to read.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn run(&self, words: &[&str]) -> Ended {
        Ended::of(seawall().args(words).args(["--connect", &self.address]).output().unwrap())
    }

    /// What a command that succeeds says to people.
    pub fn says(&self, words: &[&str]) -> String {
        let ended = self.run(words);
        assert_eq!(ended.code, Some(0), "{words:?}: {}{}", ended.out, ended.err);
        ended.out
    }

    /// What a command that succeeds says to programs: one line.
    pub fn json(&self, words: &[&str]) -> Json {
        let ended = self.run(&[words, &["--json"]].concat());
        assert_eq!(ended.code, Some(0), "{words:?}: {}{}", ended.out, ended.err);
        assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
        serde_json::from_str(&ended.out).unwrap()
    }

    /// What a command that is refused says to programs, and to people.
    pub fn refused(&self, words: &[&str]) -> (Json, String) {
        let ended = self.run(&[words, &["--json"]].concat());
        assert_eq!(ended.code, Some(1), "{words:?}: {}{}", ended.out, ended.err);
        (serde_json::from_str(&ended.out).unwrap(), ended.err)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
        let _best_effort = std::fs::remove_dir_all(&self.folder);
    }
}

impl Ended {
    pub fn of(output: Output) -> Ended {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

pub fn seawall() -> Command {
    Command::new(env!("CARGO_BIN_EXE_seawall"))
}

/// A command that needs no node.
pub fn alone(words: &[&str]) -> Ended {
    Ended::of(seawall().args(words).output().unwrap())
}

/// All of these are in the text.
#[track_caller]
pub fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
}
