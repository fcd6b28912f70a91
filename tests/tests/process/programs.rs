//! What programs hear: each command with `--json`, where it is done, refused, wrong, and where nobody answers, writes JSON
//! on standard output and nothing else.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::members::{Cluster, at, leads};
use crate::node::{BINARY, folder};

/// Scripts for a shell, and nodes, which say what people read.
const FOR_PEOPLE: [&str; 3] = ["dev", "server", "completions"];

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).stdin(Stdio::null()).output().expect("it runs")
}

/// All that it says, as JSON.
fn heard(arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let ended = run(arguments);
    let said = String::from_utf8(ended.stdout).expect("text");
    let complaints = String::from_utf8_lossy(&ended.stderr);
    let values = serde_json::Deserializer::from_str(&said)
        .into_iter()
        .map(|value| value.unwrap_or_else(|e| panic!("{arguments:?}: {e}: {said:?}; {complaints}")));
    (ended.status.code(), values.collect())
}

/// The commands below `above` that have none below them.
fn commands(above: &[&str]) -> Vec<String> {
    let help = String::from_utf8(run(&[above, &["--help"]].concat()).stdout).expect("text");
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return vec![above.join(" ")] };
    let listed = listed.lines().take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names.flat_map(|name| commands(&[above, &[name]].concat())).collect()
}

/// What a command that says `--json` and does not succeed says at its end.
fn judge(arguments: &[&str], code: i32) {
    let arguments = [arguments, &["--json"]].concat();
    let (ended, said) = heard(&arguments);
    assert_eq!(ended, Some(code), "{arguments:?}: {said:?}");
    let last = said.last().unwrap_or_else(|| panic!("{arguments:?}: standard output is empty"));
    match code {
        // A refusal has a shape of its own where the node says one, or where a document is judged.
        1 => assert!(last.is_object(), "{arguments:?}: {last}"),
        _ => {
            assert_eq!(last["exit"], code, "{arguments:?}: {last}");
            assert_eq!(last["done"], false, "{arguments:?}: {last}");
            let why = last["error"].as_str().unwrap_or_default();
            assert!(!why.is_empty() && !why.contains('\u{1b}'), "{arguments:?}: {last}");
        }
    }
}

fn done(arguments: &[&str]) -> Vec<Value> {
    let arguments = [arguments, &["--json"]].concat();
    let (ended, said) = heard(&arguments);
    assert_eq!(ended, Some(0), "{arguments:?}: {said:?} {}", {
        String::from_utf8_lossy(&run(&arguments).stderr).into_owned()
    });
    assert!(!said.is_empty() && said.iter().all(Value::is_object), "{arguments:?}: {said:?}");
    said
}

/// A command with what makes it succeed, or be refused, or neither.
type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

fn checked(rows: &[Row<'_>], seen: &mut BTreeSet<String>) {
    for (command, succeeds, refused) in rows {
        let command_words: Vec<&str> = command.split(' ').collect();
        if !succeeds.is_empty() {
            let asks = succeeds.iter().any(|word| ["--connect", "--admin"].contains(word));
            let patience = if asks { &["--timeout", "30s"][..] } else { &[] };
            done(&[&command_words[..], succeeds, patience].concat());
        }
        if !refused.is_empty() {
            judge(&[&command_words[..], refused].concat(), 1);
        }
        judge(&[&command_words[..], &["--no-such-flag"]].concat(), 2);
        let reaches = ["--connect", "--admin"]
            .into_iter()
            .find(|flag| refused.contains(flag) || succeeds.contains(flag));
        if let Some(flag) = reaches {
            let given = if succeeds.is_empty() { refused } else { succeeds };
            let mut given: Vec<&str> = given.to_vec();
            let place = given.iter().position(|word| *word == flag).expect("it is there") + 1;
            given[place] = NOBODY;
            judge(&[&command_words[..], &given, &["--timeout", "1s"]].concat(), 3);
        }
        seen.insert((*command).to_owned());
    }
}

/// What is proposed stands behind what says who proposes it.
fn proposals(map: &str, seen: &mut BTreeSet<String>) {
    let propose = ["--dir", map, "--actor", "ada", "--reason", "a test"];
    for (change, given, no) in [
        ("policy", &["1", "--min-in-sync", "2"][..], &["9", "--min-in-sync", "2"][..]),
        ("add-member", &["4=127.0.0.1:9,peer=127.0.0.1:10"], &["4=127.0.0.1:9,peer=127.0.0.1:10"]),
        ("add-replica", &["1", "4"], &["1", "4"]),
        ("remove-replica", &["1", "4"], &["1", "4"]),
    ] {
        let words = |given| [&["map", "propose"], &propose[..], &[change], given].concat();
        done(&words(given));
        judge(&words(no), 1);
        judge(&["map", "propose", change, "--no-such-flag"], 2);
        seen.insert(format!("map propose {change}"));
    }
}

/// What a client asks of the node at `at`.
fn requests(at: &str, file: &dyn Fn(&str, &str) -> String, seen: &mut BTreeSet<String>) {
    let table = file("guest.json", r#"{"table": "guest", "fields": {"state": {"kind": "text"}}}"#);
    let narrower = file("t.json", r#"{"table": "t", "fields": {"v": {"kind": "int", "required": true}}}"#);
    let commit = ["p", "--set", "t/r.n=1", "--connect", at];
    let rejected = ["p", "--exists", "t/none", "--event", "e=x", "--connect", at];
    let watch = ["p", "--from", "oldest", "--limit", "1", "--for", "60s", "--connect", at];
    let rows: &[Row<'_>] = &[
        ("put", &["t/p/r", "v=x", "--connect", at], &[]),
        ("get", &["t/p/r", "--connect", at], &[]),
        ("commit", &commit, &rejected),
        ("scan", &["p", "t", "--connect", at], &["p", "t", "--index", "none", "--connect", at]),
        ("watch", &watch, &[]),
        ("resolve", &["p", "k", "--connect", at], &[]),
        ("declare", &["-f", &table, "--connect", at], &["-f", &narrower, "--connect", at]),
        ("describe", &["guest", "--connect", at], &[]),
        ("status", &["--connect", at], &[]),
        ("explain", &["--connect", at], &["--shard", "99", "--connect", at]),
        ("trace", &["p", "k", "--connect", at], &[]),
    ];
    checked(rows, seen);
}

/// What operators tell members, at these admin addresses.
fn orders(cluster: &Cluster, [first, second, third]: [&str; 3], nowhere: &str, seen: &mut BTreeSet<String>) {
    let reseed = ["1", "--reason", "r", "--admin", third];
    let no_reseed = ["9", "--reason", "r", "--admin", first];
    let rows: &[Row<'_>] = &[
        ("map show", &["--admin", first], &["--dir", nowhere]),
        ("sync-set require", &["1", "3", "--admin", first], &["9", "3", "--admin", first]),
        ("sync-set release", &["1", "3", "--admin", first], &["9", "3", "--admin", first]),
        ("hand-over", &["1", "--to", "2", "--admin", first], &["1", "--to", "9", "--admin", second]),
    ];
    checked(rows, seen);
    // Who is promoted must have heard who leads.
    cluster.wait(1, "leading", leads);
    cluster.wait(0, "following", |shard| shard["state"] == "streaming");
    let rows: &[Row<'_>] = &[
        ("promote", &["1", "--admin", first], &["9", "--admin", first]),
        ("replica clear", &[], &["1", "--reason", "r", "--admin", first]),
        ("replica reseed", &reseed, &no_reseed),
        ("replica audit", &["--admin", third], &[]),
    ];
    checked(rows, seen);
}

#[test]
fn each_command_with_json_says_json_however_it_ends() {
    let cluster = Cluster::start_with("programs", 1, &[]);
    cluster.wait(0, "leading", leads);
    let folder = folder("programs-files");
    let file = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("a file");
        folder.join(name).display().to_string()
    };
    let named = |name: &str| folder.join(name).display().to_string();
    let (fresh, copy, nowhere) = (named("map"), named("copy"), named("none"));
    let (right, wrong) = (file("right.toml", "workers = 2\n"), file("wrong.toml", "worker = 2\n"));
    let data = cluster.data(0).display().to_string();
    let mut seen = BTreeSet::new();
    cluster.require(0, 1);
    proposals(&cluster.folder.join("map").display().to_string(), &mut seen);
    requests(&at(cluster.ports[0][0]), &file, &mut seen);
    cluster.wait_until_level(0, 2);
    let admin = [0, 1, 2].map(|nth| at(cluster.ports[nth][1]));
    orders(&cluster, admin.each_ref().map(String::as_str), &nowhere, &mut seen);
    let first = ["--dir", &fresh, "--member", "1=127.0.0.1:7411,peer=127.0.0.1:7413"];
    let rows: &[Row<'_>] = &[
        ("map init", &first, &first),
        ("log inspect", &[&data], &[]),
        ("log verify", &[&data], &[]),
        ("log dump", &[&data], &[]),
        ("log stats", &[&data], &[]),
        ("backup", &[&copy, "--data", &data], &[&copy, "--data", &data]),
        ("probe", &[&data], &["/proc/none"]),
        ("config check", &[&right], &[&wrong]),
        ("config show", &[], &["--config", &wrong]),
    ];
    checked(rows, &mut seen);
    done(&["config", "show"]);
    let all: BTreeSet<String> = commands(&[]).into_iter().collect();
    seen.extend(FOR_PEOPLE.map(str::to_owned));
    assert_eq!(seen, all, "each command is looked at");
    for wrong in [&["log", "verify", &nowhere][..], &["no-such-command"], &[], &["dev", "--no-such-flag"]] {
        judge(wrong, 2);
    }
}
