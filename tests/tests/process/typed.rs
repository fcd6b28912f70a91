//! What the commands do with what they are told and with what they have to say.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use seawall::{Client, Commit, Outcome, row};

use crate::node::{BINARY, Node, folder};

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).stdin(Stdio::null()).output().expect("it runs")
}

fn said(ended: &Output) -> String {
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

/// A node that runs, with a row in it.
fn with_a_row(test: &str, value: &str) -> (Node, PathBuf) {
    let folder = folder(test);
    let node = Node::start_with(&folder, &[]);
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    let put = Commit::new("p").put(&row("t", "r"), [("v", value)]).event("told", value);
    assert!(matches!(client.commit(&put), Ok(Outcome::Committed(_))));
    (node, folder.join("data"))
}

#[test]
fn an_answer_that_could_not_be_written_is_no_success() {
    let (node, data) = with_a_row("unwritten", "x");
    let (at, data) = (node.address.as_str(), data.to_str().expect("text"));
    let copy = format!("{data}-copy");
    let commands: &[&[&str]] = &[
        &["get", "t/p/r", "--connect", at],
        &["scan", "p", "t", "--json", "--connect", at],
        &["watch", "p", "--from", "oldest", "--limit", "1", "--for", "60s", "--connect", at],
        &["put", "t/p/other", "v=1", "--connect", at],
        &["log", "dump", data],
        &["config", "show", "--json"],
        &["backup", &copy, "--data", data, "--json"],
    ];
    for command in commands {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("there is such a device");
        let ended = Command::new(BINARY).args(*command).stdout(full).stderr(Stdio::piped()).output();
        let ended = ended.expect("it runs");
        assert_eq!(ended.status.code(), Some(1), "{command:?}: {}", said(&ended));
        assert!(said(&ended).contains("could not be written"), "{command:?}: {}", said(&ended));
        // Who has read enough and closed the pipe is not told about it.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        if command[0] == "backup" {
            std::fs::remove_dir_all(&copy).expect("the copy is there");
        }
        let ended = Command::new(BINARY).args(*command).stdout(writer).stderr(Stdio::piped()).output();
        let ended = ended.expect("it runs");
        assert_eq!(ended.status.code(), Some(0), "{command:?}: {}", said(&ended));
        assert!(!said(&ended).contains("written"), "{command:?}: {}", said(&ended));
    }
    assert!(node.terminate().success());
}

/// What was stored may hold orders to a terminal: clear the screen, go back over the line, name the window.
#[test]
fn what_was_stored_is_shown_and_not_obeyed() {
    let orders = "\x1b[2Jfine\r\nversion  9:9\u{9b}2J\u{202e}";
    let shown = r"\x1b[2Jfine\r\nversion  9:9\u{9b}2J\u{202e}";
    let (node, data) = with_a_row("orders-in-rows", orders);
    let at = node.address.as_str();
    let watch = ["watch", "p", "--from", "oldest", "--limit", "2", "--for", "60s", "--connect", at];
    let check = ["commit", "p", "--check", "t/r.v", "=", "other", "--event", "e=x", "--connect", at];
    let dump = ["log", "dump", data.to_str().expect("text")];
    let commands: &[&[&str]] =
        &[&["get", "t/p/r", "--connect", at], &["scan", "p", "t", "--connect", at], &watch, &check];
    for command in commands.iter().copied().chain([&dump[..]]) {
        let ended = run(command);
        let all = format!("{}{}", String::from_utf8_lossy(&ended.stdout), said(&ended));
        let obeyed = all.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
        assert!(!obeyed && !all.contains("\nversion  9:9"), "{command:?}: {all:?}");
        assert!(command[0] == "log" || all.contains(shown), "{command:?}: {all:?}");
    }
    assert!(node.terminate().success());
}

#[test]
fn wrong_usage_is_told_from_a_refusal_and_from_silence() {
    let data = folder("wrong-usage").join("data");
    let data = data.to_str().expect("text");
    let commands: &[&[&str]] = &[
        &["get", "t/p/r", "--connect", "nonsense"],
        &["get", "t/p/r", "--connect", "127.0.0.1"],
        &["get", "t/p/r", "--connect", "127.0.0.1:99999"],
        &["map", "show", "--admin", "nonsense"],
        &["dev", "--data", data, "--driver", "foo"],
        &["dev", "--data", data, "--set", "log.spares"],
        &["dev", "--data", data, "--set", "log.spares=9999"],
        &["dev", "--data", data, "--listen", "127.0.0.1:80000"],
        &["config", "show", "--set", "log.spares=9999"],
    ];
    for command in commands {
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(2), "{command:?}: {}", said(&ended));
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{command:?}");
    }
    assert_eq!(run(&["get", "t/p/r", "--connect", "127.0.0.1:1", "--timeout", "1s"]).status.code(), Some(3));
}

#[test]
fn a_switchover_is_a_hand_over() {
    let help = |arguments: &[&str]| String::from_utf8(run(arguments).stdout).expect("text");
    assert!(help(&["--help"]).contains("[alias: switchover]"));
    let of = |verb| help(&[verb, "--help"]);
    assert!(of("hand-over").contains("--to <N>") && of("hand-over") == of("switchover"));
}
