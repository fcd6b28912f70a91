//! The load generator as a process against a node as a process: each workload is answered, and every answer holds.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::node::{Node, folder};

const LOAD: &str = env!("CARGO_BIN_EXE_bench-under-test");

/// Small: what is asked is whether it works, not how fast. The rows fill two groups of each partition and begin a third.
const SMALL: [&str; 8] = ["--connections", "4", "--pipeline", "4", "--keys", "60000", "--warmup", "0.1"];

fn load(node: &Node, arguments: &[&str]) -> Output {
    let mut command = Command::new(LOAD);
    command.args(["load", "--connect", &node.address]).args(SMALL).args(arguments);
    command.output().expect("running the load")
}

/// What a load that must go well says of itself.
fn done(node: &Node, arguments: &[&str]) -> Value {
    let output = load(node, &[arguments, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert_eq!(said, "", "whoever reads it through a pipe sees no progress");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(report["errors"], json!({}), "{report}");
    assert!(report["ops"].as_u64().expect("a number") > 0, "{report}");
    assert!(report["p50_us"].as_u64() <= report["p999_us"].as_u64(), "{report}");
    report
}

fn workload(name: &str, arguments: &[&str]) -> Value {
    let test = format!("workload-{name}");
    let node = Node::start(&test, &folder(&test));
    let report = done(&node, &[&["--workload", name, "--seconds", "1"], arguments].concat());
    assert_eq!((&report["workload"], &report["not_found"]), (&json!(name), &json!(0)));
    assert!(node.terminate().success());
    report
}

#[test]
fn put() {
    workload("put", &["--dist", "zipf"]);
}

#[test]
fn conditional() {
    let report = workload("conditional", &["--dist", "hot"]);
    assert_eq!(report["config"]["filled"], true);
}

#[test]
fn hot_add() {
    // That the sums are 1, 2, 3 and so on is checked by the load.
    workload("hot-add", &[]);
}

#[test]
fn get() {
    workload("get", &[]);
}

#[test]
fn scan() {
    workload("scan", &["--value-bytes", "16"]);
}

#[test]
fn mixed() {
    workload("mixed", &["--threads", "2"]);
}

#[test]
fn an_open_loop_and_commits_in_bundles_with_a_page() {
    let folder = folder("workload-open-loop");
    let node = Node::start("an_open_loop_and_commits_in_bundles_with_a_page", &folder);
    let page = folder.join("page.html");
    let page_argument = page.to_str().expect("a path of letters");
    for workload in ["put", "conditional", "hot-add"] {
        let arguments = ["--workload", workload, "--seconds", "1", "--rate", "2000", "--many", "20"];
        let report = done(&node, &[&arguments[..], &["--report", page_argument]].concat());
        let (ops, behind) = (report["ops"].as_u64(), report["behind"].as_u64());
        // What was due, whatever the machine made of it.
        assert_eq!(ops.zip(behind).map(|(ops, behind)| ops + behind), Some(2000), "{report}");
        assert!(std::fs::read_to_string(&page).expect("a page").contains("<svg"));
    }
    assert!(node.terminate().success());
}

#[test]
fn what_a_load_cannot_do_it_says() {
    let node = Node::start("what_a_load_cannot_do_it_says", &folder("workload-refused"));
    let bad = load(&node, &["--workload", "scan", "--seconds", "1", "--many", "3"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("--many is for commits"));
    let still = load(&node, &["--workload", "put", "--seconds", "0"]);
    assert_eq!(still.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&still.stderr).contains("above 0"));
    // Nothing was put: rows that are not there are said, and are an error only where they must be there.
    let empty = done(&node, &["--workload", "get", "--seconds", "0.2", "--no-fill"]);
    assert_eq!(empty["not_found"], empty["ops"]);
    let rejected = load(&node, &["--workload", "conditional", "--seconds", "0.2", "--no-fill", "--json"]);
    assert_eq!(rejected.status.code(), Some(1), "a rejection is an answer, but nothing was done");
    let report: Value = serde_json::from_slice(&rejected.stdout).expect("one object");
    assert_eq!(
        (&report["ops"], &report["ops_ever"]),
        (&json!(0), &json!(0)),
        "and never something done: {report}"
    );
    assert!(report["errors"]["CONDITION_FAILED"].as_u64() > Some(0), "{report}");
    let address = node.address.clone();
    assert!(node.terminate().success());
    let arguments = ["load", "--connect", &address, "--workload", "put", "--seconds", "0.2"];
    let nobody = Command::new(LOAD).args(arguments).output().expect("running the load");
    assert_eq!(nobody.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("seawall dev"));
}
