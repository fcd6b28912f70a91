//! Configuration files: what is refused, with its place, and what a node makes of one.

use std::fs;

use serde_json::{Value, json};

use crate::node::{Folder, Node, run, said};

#[test]
fn each_kind_of_mistake_is_refused_with_file_line_and_what_is_allowed() {
    let folder = Folder::new("mistakes");
    for (text, line, words) in [
        ("listen = ", 4, &[][..]),
        ("\nadmin.conections = 3", 5, &["no parameter admin.conections", "did you mean admin.connections?"]),
        ("[log]\nspares = 1", 5, &["log.spares = 1", "allowed: 2 to 64"]),
        ("[log]\nspares = 65", 5, &["2 to 64"]),
        ("[log]\nspares = \"3\"", 5, &["is no number", "2 to 64"]),
        ("driver = \"kernel\"", 4, &["auto, ring or syscall"]),
        ("parked_commits = 1", 4, &["cannot be set", "1024"]),
        ("[admin]\nlisten = '127.0.0.1:7412'", 4, &["duplicate"]),
    ] {
        let file = folder.file(text);
        let place = format!("{}:{line}: ", file.display());
        let file = file.to_str().expect("a plain path");
        for command in [&["config", "check", file][..], &["server", "--config", file]] {
            let output = run(command);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "{text:?}: {said}");
            assert!(said.contains(&place), "{text:?} names {place}: {said}");
            assert!(words.iter().all(|word| said.contains(word)), "{text:?}: {said}");
        }
    }
    assert!(!folder.path().join("data").exists(), "nothing was made");
}

#[test]
fn an_address_of_the_outside_is_refused_by_name() {
    let folder = Folder::new("outside");
    let file = folder.path().join("n.toml");
    fs::write(&file, "listen = '0.0.0.0:7411'\n").expect("a file");
    let output = run(&["config", "check", file.to_str().expect("a plain path")]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("n.toml:1: listen = \"0.0.0.0:7411\"") && said.contains("credentials"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = run(&["server", "--config", "/nowhere/n.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("/nowhere/n.toml: cannot be read"));
}

#[test]
fn what_is_shown_is_what_the_node_runs_with() {
    let folder = Folder::new("shown");
    let more = "workers = 1\nlog.spares = 4\nadmin.ask_ms = 900";
    let file = folder.file(more);
    let file = file.to_str().expect("a plain path");
    assert_eq!(run(&["config", "check", file]).status.code(), Some(0));
    let output = run(&["config", "show", "--config", file, "--set", "admin.calls=2", "--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let of = |key: &str| {
        let all = shown["parameters"].as_array().expect("a list");
        all.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("{key} is not shown")).clone()
    };
    assert_eq!((&of("log.spares")["value"], &of("log.spares")["origin"]), (&json!(4), &json!("file")));
    assert_eq!((&of("admin.calls")["value"], &of("admin.calls")["origin"]), (&json!(2), &json!("flag")));
    assert_eq!((&of("driver")["value"], &of("driver")["origin"]), (&json!("auto"), &json!("default")));
    let node = Node::start(&folder, more);
    let (_, status) = node.json("GET", "/v1/status", "");
    assert_eq!(status["parameters"]["log.spares"], json!({ "value": 4, "origin": "file" }));
    assert_eq!(status["parameters"]["admin.ask_ms"]["value"], json!(900));
    assert_eq!(status["workers"].as_array().map(Vec::len), Some(1));
}
