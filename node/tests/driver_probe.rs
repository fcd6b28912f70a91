//! The probe on a real disk, its verb, and the watch in a real ring. Figures differ from machine to machine: nothing
//! here depends on one.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the I/O")]

mod driver_support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use driver_support::{Bench, Scratch};
use seawall::map::ShardId;
use seawall_node::driver::choice::Kind;
use seawall_node::driver::directory::Directory;
use seawall_node::driver::either::{Driver, DriverConfig};
use seawall_node::driver::probe::{self, Durable, Probe};
use seawall_node::seam::{Effect, Event};
use seawall_wal::{BLOCK, Buffer, FileId, Io, IoId, LogLimits, SlotId};
use serde_json::Value;

const SHARD: ShardId = ShardId(1);

/// The names of everything below `path`.
fn names(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let below = |path: &Path| if path.is_dir() { names(path) } else { BTreeSet::new() };
    entries
        .flat_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let inside = below(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}"));
            inside.chain([name.clone()]).collect::<Vec<_>>()
        })
        .collect()
}

fn run(arguments: &[&str], directory: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    let output = command.arg("probe").args(arguments).current_dir(directory).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn check(probe: &Probe) {
    let measured = probe.measured.as_ref().expect("there is room for a scratch file");
    assert!(measured.link.writes >= 2);
    if let Some(dsync) = measured.dsync {
        assert_eq!(dsync.writes, measured.link.writes, "both ways took their turns");
        assert!(dsync.p50 <= dsync.p99);
    }
    let told = probe.to_string();
    for line in ["kernel ", "file system ", "device ", "direct I/O ", "measured ", "durable by "] {
        assert!(told.lines().any(|l| l.starts_with(line)), "{line:?} is missing in\n{told}");
    }
}

#[test]
fn a_probe_measures_decides_and_leaves_nothing() {
    let scratch = Scratch::new("probe");
    let free = probe::probe(scratch.path(), None).unwrap();
    check(&free);
    assert_eq!(names(scratch.path()), BTreeSet::new());
    let measured = free.measured.as_ref().map_err(String::as_str);
    assert_eq!((free.durable, free.why_durable.clone()), probe::choose(None, free.cache, measured));
    for order in [Durable::Link, Durable::Dsync] {
        let ordered = probe::probe(scratch.path(), Some(order)).unwrap();
        assert_eq!(ordered.durable, order);
        assert!(ordered.why_durable.contains("--durable"), "{}", ordered.why_durable);
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_with_its_name() {
    let error = probe::probe(Path::new("/proc/self"), None).unwrap_err().to_string();
    assert!(error.contains("/proc/self") && error.contains("writable"), "{error}");
}

#[test]
fn the_nearest_directory_is_the_one_that_something_would_be_made_in() {
    let scratch = Scratch::new("nearest");
    let nearest = |path: &Path| probe::nearest(path).map_err(|e| e.to_string());
    assert_eq!(nearest(scratch.path()).as_deref(), Ok(scratch.path()));
    assert_eq!(nearest(&scratch.path().join("a/b/c")).as_deref(), Ok(scratch.path()));
    assert_eq!(nearest(Path::new("no-such-directory/x")).as_deref(), Ok(Path::new(".")));
    let file = scratch.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(nearest(&file.join("below")).unwrap_err().contains("not a directory"));
}

#[test]
fn the_verb_probes_what_is_not_there_yet_and_does_not_make_it() {
    let scratch = Scratch::new("verb");
    let (code, table, _) = run(&["new/data"], scratch.path());
    assert_eq!(code, Some(0), "{table}");
    assert!(table.contains("new/data (does not exist; . was probed)"), "{table}");
    assert!(table.contains("durable by "), "{table}");
    let (code, line, _) = run(&["new/data", "--json"], scratch.path());
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((code, line.lines().count()), (Some(0), 1));
    assert_eq!((&answer["usable"], &answer["exists"]), (&Value::Bool(true), &Value::Bool(false)));
    for key in ["kernel", "io_uring", "file_system", "direct_io", "write_cache", "measured", "durable"] {
        assert!(!answer["probe"][key].is_null(), "{key} is missing in {line}");
    }
    assert_eq!(names(scratch.path()), BTreeSet::new());
}

#[test]
fn what_the_verb_refuses_and_how_it_ends() {
    let scratch = Scratch::new("refuses");
    fs::create_dir(scratch.path().join("foreign")).unwrap();
    fs::write(scratch.path().join("foreign/letters.txt"), "dear").unwrap();
    let before = names(scratch.path());
    for (path, word) in [("foreign", "letters.txt"), ("foreign/letters.txt/x", "not a directory")] {
        let (code, table, why) = run(&[path], scratch.path());
        assert_eq!((code, table.as_str()), (Some(1), ""), "{path}");
        assert!(why.contains(word), "{word:?} is missing in {why:?}");
        let (code, line, _) = run(&[path, "--json"], scratch.path());
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((code, &answer["usable"]), (Some(1), &Value::Bool(false)));
        assert!(answer["why_not"].as_str().unwrap().contains(word), "{line}");
    }
    assert_eq!(run(&[], scratch.path()).0, Some(2));
    assert_eq!(names(scratch.path()), before, "what is refused is not touched");
}

struct Node {
    process: Child,
    admin: String,
}

impl Node {
    fn start(data: &Path, durable: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
        command.args(["dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"]);
        command.args(["--durable", durable, "--data"]).arg(data).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut admin = String::new();
        for line in lines.map(Result::unwrap) {
            if let Some(address) = line.strip_prefix("admin on http://") {
                admin = address.trim_end_matches("/v1/status").to_owned();
            }
            if line.starts_with("listening on ") {
                break;
            }
        }
        assert!(!admin.is_empty(), "a node that starts says where its admin port is");
        Self { process, admin }
    }

    fn status(&self) -> Value {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        write!(stream, "GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

#[test]
fn a_node_stores_what_it_found_and_can_be_probed_while_it_runs() {
    let scratch = Scratch::new("live");
    let data = scratch.path().join("data");
    let node = Node::start(&data, "auto");
    let stored: Value = serde_json::from_slice(&fs::read(data.join("probe.json")).unwrap()).unwrap();
    let status = node.status();
    assert_eq!(status["durable"]["primitive"], stored["durable"]["primitive"]);
    assert_eq!(status["durable"]["switched"], Value::Array(Vec::new()));
    assert_eq!(status["warnings"].as_array().unwrap().len(), stored["warnings"].as_array().unwrap().len());
    let outside_of_shards = || names(&data).into_iter().filter(|n| !n.contains('/')).collect::<Vec<_>>();
    let before = outside_of_shards();
    let (code, line, why) = run(&[data.to_str().unwrap(), "--json"], scratch.path());
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(code, Some(0), "{why}");
    assert_eq!(answer["in_use_by"], Value::from(node.process.id()));
    assert_eq!(outside_of_shards(), before, "nothing was left in a directory in use");
    drop(node);
    drop(Node::start(&data, "auto")); // and the stored probe is no foreign file to the next start
}

#[test]
fn what_a_killed_probe_left_is_removed_at_the_next_start() {
    let scratch = Scratch::new("left");
    drop(Directory::open(scratch.path(), None, 1).unwrap());
    let left = scratch.path().join("probe-17-0.tmp");
    fs::write(&left, [0; 4096]).unwrap();
    assert!(Directory::check(scratch.path()).unwrap(), "it is still a data directory");
    assert!(left.exists(), "checking changes nothing");
    drop(Directory::open(scratch.path(), None, 1).unwrap());
    assert!(!left.exists());
}

/// Two writes at a time into one slot, as a busy log does.
struct Log {
    bench: Bench,
    buffers: Vec<Buffer>,
    writes: u64,
}

impl Log {
    fn new(scratch: &Scratch, config: DriverConfig) -> Self {
        let directory = Directory::open(&scratch.path().join("data"), None, 1).unwrap();
        let mut bench = Bench::new(config);
        let files = directory.shard(SHARD).unwrap();
        let logs = vec![(files, LogLimits::test_min().buffers())];
        let mut buffers = bench.driver.open_logs(logs).unwrap().remove(0).1.buffers;
        buffers.truncate(2);
        assert_eq!(buffers.len(), 2);
        let io = Io::Prepare { id: IoId(0), slot: SlotId(0), bytes: 1 << 20 };
        bench.execute(Effect::Disk { shard: SHARD, io });
        assert!(matches!(bench.next(), Event::Disk { done, .. } if done.result == Ok(1 << 20)));
        Self { bench, buffers, writes: 0 }
    }

    fn write_two(&mut self) {
        for buf in std::mem::take(&mut self.buffers) {
            self.writes += 1;
            let (id, offset) = (IoId(self.writes), self.writes % 256 * BLOCK as u64);
            let file = FileId::Slot(SlotId(0));
            let io = Io::Write { id, file, offset, buf, at: 0, len: BLOCK };
            self.bench.execute(Effect::Disk { shard: SHARD, io });
        }
        for _ in 0..2 {
            let Event::Disk { done, .. } = self.bench.next() else { panic!("not the end of a write") };
            assert_eq!(done.result, Ok(BLOCK));
            self.buffers.extend(done.buf);
        }
    }

    fn durable(&self) -> Durable {
        let Driver::Ring(ring) = &self.bench.driver else { panic!("a ring was asked for") };
        ring.durable()
    }
}

fn config(durable: Durable, tick_us: u64) -> DriverConfig {
    let mut config = DriverConfig::new(Kind::Ring, 1, durable, true);
    config.tick_us = tick_us;
    config
}

/// With a tick of a microsecond, every write takes whole ticks.
const ALWAYS_AT_TICKS: u64 = 1;

#[test]
fn writes_that_end_at_ticks_make_a_ring_link_them_once_and_for_all() {
    let scratch = Scratch::new("switch");
    let mut log = Log::new(&scratch, config(Durable::Dsync, ALWAYS_AT_TICKS));
    let mut switched = None;
    while switched.is_none() && log.writes < 128 {
        log.write_two();
        switched = log.bench.driver.take_switch();
    }
    let why = switched.expect("it is noticed within two windows");
    assert_eq!(why.at_tick, why.writes);
    for _ in 0..100 {
        log.write_two();
        assert_eq!(log.durable(), Durable::Link);
        assert_eq!(log.bench.driver.take_switch(), None, "there is no second switch");
    }
    assert!(log.bench.driver.finish());
}

#[test]
fn a_ring_stays_with_what_was_chosen_while_writes_do_not_end_at_ticks() {
    let never = 1 << 50;
    for (durable, tick_us) in [(Durable::Dsync, never), (Durable::Link, ALWAYS_AT_TICKS)] {
        let scratch = Scratch::new(&format!("stays-{durable:?}"));
        let mut log = Log::new(&scratch, config(durable, tick_us));
        while log.writes < 200 {
            log.write_two();
            assert_eq!(log.bench.driver.take_switch(), None, "{durable:?}");
        }
        assert!(log.bench.driver.finish());
    }
}
