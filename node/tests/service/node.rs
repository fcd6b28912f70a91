//! One real node with a configuration file, and plain HTTP to it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Runs the binary to its end.
pub fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_seawall")).args(words).output().expect("it starts")
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// A folder of its own, removed when the test ends well.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("service-{name}-{}", std::process::id()));
        let _left_by_a_killed_run = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A configuration file with these lines behind what every test needs.
    pub fn file(&self, more: &str) -> PathBuf {
        let file = self.0.join("seawall.toml");
        let data = self.0.join("data");
        let text = format!(
            "data = '{}'\nlisten = '127.0.0.1:0'\nadmin.listen = '127.0.0.1:0'\n{more}\n",
            data.display()
        );
        fs::write(&file, text).expect("a file");
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _best_effort = fs::remove_dir_all(&self.0);
        }
    }
}

pub struct Node {
    pub process: Child,
    pub address: String,
    pub admin: String,
    /// What it said until it listened, complaints included.
    pub said: String,
}

impl Node {
    /// Waits until it serves.
    pub fn start(folder: &Folder, more: &str) -> Self {
        let file = folder.file(more);
        let errors = folder.path().join("stderr.txt");
        let mut process = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args(["server", "--config"])
            .arg(file)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&errors).expect("a file"))
            .spawn()
            .expect("it starts");
        let mut said = String::new();
        let (mut address, mut admin) = (None, None);
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        while address.is_none()
            && let Some(Ok(line)) = lines.next()
        {
            said += &format!("{line}\n");
            address = line.strip_prefix("listening on ").map(str::to_owned);
            if let Some(url) = line.strip_prefix("admin on http://") {
                admin = url.strip_suffix("/v1/status").map(str::to_owned);
            }
        }
        said += &fs::read_to_string(&errors).expect("its complaints");
        let (Some(address), Some(admin)) = (address, admin) else { panic!("it did not start: {said}") };
        Self { process, address, admin, said }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.admin).expect("the admin port listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream
    }

    /// Sends bytes and reads until the node hangs up.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("it takes them");
        let mut answer = Vec::new();
        let _reset_after_the_answer = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The code and the body of an answer.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let answer = self.raw(
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
                .as_bytes(),
        );
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        code.zip(body).unwrap_or_else(|| panic!("{method} {path}: no answer in {answer:?}"))
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "")
    }

    /// An answer that must be JSON.
    pub fn json(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (code, body) = self.ask(method, path, body);
        (code, serde_json::from_str(&body).unwrap_or_else(|e| panic!("{method} {path}: {e} in {body}")))
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }

    /// Its exit code; `None` when a signal ended it.
    pub fn wait(&mut self, within: Duration) -> Option<i32> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if let Some(status) = self.process.try_wait().expect("it is ours") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it still runs after {within:?}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}
