//! `seawall log` on directories that the real binary made, damaged and live.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of a real process")]

mod driver_support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{fs, os::unix::fs::FileExt};

use driver_support::Scratch;
use seawall::{Client, Commit, Outcome, Row, Value, row};
use serde_json::Value as Json;

const BLOCK: u64 = 4096;

struct Node {
    process: Child,
    listen: String,
}

impl Node {
    fn start(data: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args(["dev", "--listen", "127.0.0.1:0", "--workers", "1", "--admin", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listen = lines.find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned));
        // The rest of what it says is read by nobody, and it does not mind.
        Self { process, listen: listen.expect("a node that starts says where it listens") }
    }

    fn put(&self, from: i64, to: i64) {
        let mut client = Client::connect(self.listen.clone()).unwrap();
        for n in from..to {
            let fields = Row::new().with("state", "held").with("n", Value::Int(n.into()));
            let outcome = client.commit(&Commit::new("HP-2026").put(&row("cabin", n), fields)).unwrap();
            assert!(matches!(outcome, Outcome::Committed(_)));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// A stopped node's directory: two epochs, twenty rows.
fn made(scratch: &Scratch) -> PathBuf {
    let data = scratch.path().join("data");
    for start in 0..2 {
        let node = Node::start(&data);
        node.put(start * 10, start * 10 + 10);
    }
    data
}

fn log(verb: &str, path: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    let output = command.args(["log", verb]).arg(path).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn object(verb: &str, path: &Path) -> (Option<i32>, Json) {
    let (code, out, err) = log(verb, path, &["--json"]);
    (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}")))
}

fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// Every file with its bytes and the time of its last change.
fn picture(data: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut files = Vec::new();
    for folder in [data.to_owned(), data.join("shard-0001")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let changed = path.metadata().unwrap().modified().unwrap();
                files.push((path.clone(), fs::read(&path).unwrap(), changed));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_clean_log_is_shown_whole_and_not_touched() {
    let scratch = Scratch::new("log-clean");
    let data = made(&scratch);
    let before = picture(&data);
    let (code, verified) = object("verify", &data);
    assert_eq!((code, &verified["clean"]), (Some(0), &Json::Bool(true)), "{verified}");
    assert_eq!(verified["written_by"], Json::Null);
    let (code, stats) = object("stats", &data.join("shard-0001"));
    assert_eq!(code, Some(0));
    assert_eq!(stats["logs"][0]["epochs"].as_array().unwrap().len(), 2, "{stats}");
    assert!(stats["logs"][0]["padding_bytes"].as_u64() > Some(0));
    assert!(stats["logs"][0]["records_per_batch"]["max"].as_u64() >= Some(1));
    let (code, seen) = object("inspect", &data);
    assert_eq!(code, Some(0));
    assert_eq!(seen["logs"][0]["chain"].as_array().unwrap().len(), 2, "{seen}");
    assert_eq!(seen["logs"][0]["metadata"].as_array().unwrap().len(), 2);
    assert!(seen["logs"][0]["free"][0]["spare"] == Json::Bool(true), "{seen}");
    for verb in ["inspect", "verify", "stats"] {
        let (code, out, err) = log(verb, &data, &[]);
        assert!(code == Some(0) && out.contains("shard-0001") && err.is_empty(), "{out}{err}");
    }
    let alone = scratch.path().join("alone.seg");
    fs::copy(data.join("shard-0001/slot-000000.seg"), &alone).unwrap();
    let (code, verified) = object("verify", &alone);
    assert_eq!((code, &verified["logs"][0]["records"]), (Some(0), &11.into()), "{verified}");
    assert!(picture(&data) == before, "looking changes nothing");
}

#[test]
fn a_dump_has_every_record_in_order_with_its_rows() {
    let scratch = Scratch::new("log-dump");
    let data = made(&scratch);
    let (code, out, _) = log("dump", &data, &["--json"]);
    assert_eq!(code, Some(0));
    let records: Vec<Json> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let indices: Vec<u64> = records.iter().map(|r| r["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, (1..=records.len() as u64).collect::<Vec<_>>());
    assert_eq!(records[0]["kind"], "epoch_start");
    assert_eq!(records[0]["entries"][0]["key"]["epoch"], 1);
    let rows: Vec<&Json> = records.iter().filter(|r| r["kind"] == "data").map(|r| &r["entries"][0]).collect();
    assert_eq!(rows.len(), 20);
    for (n, entry) in rows.iter().enumerate() {
        let key = &entry["key"];
        assert_eq!((&key["namespace"], &key["table"]), (&"main".into(), &"cabin".into()));
        assert_eq!((&key["partition"], &key["row"]), (&"HP-2026".into(), &format!("int:{n}").into()));
        assert_eq!((&entry["value"]["n"], &entry["value"]["state"]), (&n.into(), &"held".into()));
    }
    let (_, out, _) = log("dump", &data, &["--from", "5", "--limit", "3", "--json"]);
    let some: Vec<Json> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(some.iter().map(|r| r["index"].as_u64().unwrap()).collect::<Vec<_>>(), [5, 6, 7]);
    let (_, text, _) = log("dump", &data, &["--from", "3", "--limit", "1"]);
    assert!(text.contains("main/cabin/HP-2026/int:"), "{text}");
}

#[test]
fn damage_is_named_with_its_place_and_the_node_agrees() {
    let scratch = Scratch::new("log-damage");
    let data = made(&scratch);
    let shard = data.join("shard-0001");
    let (_, seen) = object("inspect", &data);
    let slot = seen["logs"][0]["chain"][0]["slot"].as_u64().unwrap();
    let segment = shard.join(format!("slot-{slot:06}.seg"));
    flip(&segment, 2 * BLOCK + 140);
    for path in [&data, &shard, &segment] {
        let (code, verified) = object("verify", path);
        assert_eq!((code, &verified["clean"]), (Some(1), &Json::Bool(false)), "{verified}");
        let damage = &verified["logs"][0]["damage"];
        assert_eq!((&damage["offset"], &damage["rule"]), (&(2 * BLOCK).into(), &"R2".into()), "{damage}");
    }
    let (code, out, err) = log("dump", &data, &[]);
    assert!(code == Some(1) && err.contains("R2") && out.lines().count() >= 1, "{out}{err}");
    let node = Node::start(&data);
    let (code, verified) = object("verify", &data);
    assert_eq!((code, &verified["written_by"]), (Some(1), &node.process.id().into()), "damage stays");
    drop(node);
    let report = fs::read_to_string(shard.join("recovery-report.json")).unwrap();
    let report: Json = serde_json::from_str(&report).unwrap();
    let (_, verified) = object("verify", &data);
    assert_eq!(report["halt"], verified["logs"][0]["damage"], "the next start says the same");
}

#[test]
fn a_damaged_last_batch_is_a_named_tail_and_both_bad_copies_of_the_metadata_are_damage() {
    let scratch = Scratch::new("log-tail");
    let data = made(&scratch);
    let shard = data.join("shard-0001");
    let end = object("verify", &data).1["logs"][0]["end"].clone();
    let segment = shard.join(format!("slot-{:06}.seg", end["slot"].as_u64().unwrap()));
    let last = end["offset"].as_u64().unwrap() - BLOCK;
    flip(&segment, last + 130);
    for path in [&data, &segment] {
        let (code, verified) = object("verify", path);
        let end = &verified["logs"][0]["end"];
        assert_eq!((code, &end["tail"]), (Some(0), &"uncertain".into()), "{verified}");
        assert_eq!((&end["offset"], &end["leftover_at"]), (&last.into(), &last.into()));
    }
    flip(&shard.join("meta"), 8);
    let (code, verified) = object("verify", &data);
    let verdict = &verified["logs"][0];
    assert_eq!(
        (code, &verdict["damage"]),
        (Some(1), &Json::Null),
        "one copy is enough, and no disk to trust: {verdict}"
    );
    assert_eq!(verdict["bad_copy_of_metadata"]["offset"], 0, "{verdict}");
    let (_, said, _) = log("verify", &data, &[]);
    assert!(said.contains("meta at offset 0"), "{said}");
    flip(&shard.join("meta"), BLOCK + 8);
    let (code, verified) = object("verify", &data);
    assert_eq!((code, &verified["logs"][0]["damage"]["rule"]), (Some(1), &"R6".into()));
}

#[test]
fn what_is_no_log_is_said_to_be_none() {
    let scratch = Scratch::new("log-none");
    let path = scratch.path().to_owned();
    fs::write(path.join("stranger"), [7; 9000]).unwrap();
    for (path, word) in [
        (path.join("nowhere"), "No such file"),
        (path.clone(), "holds no log"),
        (path.join("stranger"), "not a segment"),
    ] {
        for verb in ["inspect", "verify", "dump", "stats"] {
            let (code, _, err) = log(verb, &path, &[]);
            assert!(code == Some(2) && err.contains(word), "{verb}: {err}");
        }
    }
    let data = made(&scratch);
    flip(&data.join("superblock"), 20);
    let (code, _, err) = log("verify", &data, &[]);
    assert!(code == Some(1) && err.contains("checksum"), "rot is damage, not another program's: {err}");
    flip(&data.join("superblock"), 20);
    let segment = data.join("shard-0001/slot-000000.seg");
    let mut header = fs::read(&segment).unwrap();
    header[4] = 9;
    let crc = crc32c::crc32c(&header[..124]).to_le_bytes();
    header[124..128].copy_from_slice(&crc);
    fs::write(&segment, header).unwrap();
    for path in [&data, &segment] {
        let (code, _, err) = log("verify", path, &[]);
        assert!(code == Some(2) && err.contains("format version 9"), "{err}");
    }
}

#[test]
fn a_live_log_is_never_called_damaged() {
    let scratch = Scratch::new("log-live");
    let data = scratch.path().join("data");
    let node = Node::start(&data);
    node.put(0, 1);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| node.put(1, 1500));
        let mut looks = 0;
        while !writer.is_finished() || looks < 3 {
            let (code, verified) = object("verify", &data);
            assert_eq!(code, Some(0), "{verified}");
            assert_eq!(verified["written_by"], node.process.id(), "{verified}");
            looks += 1;
        }
    });
    let (code, out, _) = log("inspect", &data, &[]);
    assert!(code == Some(0) && out.contains("is writing it"), "{out}");
    node.put(1500, 1501);
}

/// Batches that reach over the ends of the windows that are read at once.
#[test]
fn large_batches_are_read_whole() {
    let scratch = Scratch::new("log-large");
    let data = scratch.path().join("data");
    let node = Node::start(&data);
    let mut client = Client::connect(node.listen.clone()).unwrap();
    for _ in 0..3 {
        let mut commit = Commit::new("HP-2026");
        for n in 0..16i64 {
            commit = commit.put(&row("cabin", n), Row::new().with("bytes", vec![7u8; 60_000]));
        }
        assert!(matches!(client.commit(&commit).unwrap(), Outcome::Committed(_)));
    }
    drop(node);
    let (code, stats) = object("stats", &data);
    assert!(code == Some(0) && stats["logs"][0]["payload_bytes"].as_u64() > Some(2_800_000), "{stats}");
    let (_, out, _) = log("dump", &data, &["--json"]);
    let entries = |line| serde_json::from_str::<Json>(line).unwrap()["entries"].as_array().unwrap().len();
    assert_eq!(
        out.lines().filter(|line| line.contains("\"data\"")).map(entries).collect::<Vec<_>>(),
        [16; 3]
    );
}
