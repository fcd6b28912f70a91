//! `commit`, `resolve` and `trace`.

use super::node::{Node, alone, has};

const HOLD: [&str; 14] = [
    "commit",
    "HP-2026",
    "--key",
    "hold-BK-88421",
    "--check",
    "cabin/C14.state",
    "=",
    "free",
    "--set",
    "cabin/C14.state=held",
    "--add",
    "total/held.count=1,max=@total/held.limit",
    "--event",
    "cabin-held=C14",
];

#[test]
fn a_commit_checks_and_changes_all_or_nothing() {
    let node = Node::start("commit");
    node.says(&["commit", "HP-2026", "--set", "cabin/C14.state=free", "--set", "total/held.limit=1"]);
    let held = node.says(&HOLD);
    has(&held, &["committed in partition HP-2026\nversion  ", "\ntoken    ", "\noperation 1  now 1"]);
    has(&node.says(&HOLD), &["replayed"]);
    assert_eq!(node.json(&HOLD)["results"][0]["value"], 1);
    let mut other = HOLD;
    other[3] = "hold-BK-2";
    let rejected = node.run(&other);
    assert_eq!((rejected.code, rejected.out.as_str()), (Some(1), ""));
    has(
        &rejected.err,
        &[
            "seawall: CONDITION_FAILED (201): A check of the commit does not hold.",
            "\n  rule      check.compare",
            "\n  expected  ",
            "\n  observed  ",
            "\n  position  ",
            "\n  outcome   rejected",
            "\n  hint      ",
        ],
    );
    let (json, people) = node.refused(&other);
    assert_eq!(
        (&json["outcome"], &json["refusal"]["code"]),
        (&"rejected".into(), &"CONDITION_FAILED".into())
    );
    assert_eq!(json["refusal"]["detail"]["check"], 0);
    has(&people, &["CONDITION_FAILED"]);
    let over = node.refused(&["commit", "HP-2026", "--add", "total/held.count=1,max=@total/held.limit"]).0;
    assert_eq!(over["refusal"]["code"], "CONSTRAINT");
    assert_eq!(node.json(&["get", "total/HP-2026/held"])["row"]["count"], 1);
}

#[test]
fn rows_are_required_absent_unchanged_and_deleted() {
    let node = Node::start("rows");
    let version = node.json(&["put", "cabin/P/C14", "state=free"])["version"].as_str().unwrap().to_owned();
    let unchanged = format!("cabin/C14={version}");
    let code = |words: &[&str]| node.run(&[&["commit", "P"], words].concat()).code;
    assert_eq!(code(&["--absent", "cabin/C14", "--event", "t=x"]), Some(1));
    assert_eq!(code(&["--exists", "cabin/C15", "--event", "t=x"]), Some(1));
    assert_eq!(code(&["--exists", "cabin/C14", "--absent", "cabin/C15", "--event", "t=x"]), Some(0));
    assert_eq!(code(&["--unchanged", &unchanged, "--set", "cabin/C14.state=held"]), Some(0));
    assert_eq!(code(&["--unchanged", &unchanged, "--set", "cabin/C14.state=sold"]), Some(1));
    assert_eq!(code(&["--check", "cabin/C14.state", "in", "held,sold", "--delete", "cabin/C14"]), Some(0));
    assert_eq!(node.json(&["get", "cabin/P/C14"])["found"], false);
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["--set", "C14.state=held"]), Some(2));
}

#[test]
fn a_document_is_committed_and_arguments_are_shown_as_one() {
    let node = Node::start("document");
    let shown = alone(&[&HOLD[..], &["--show"]].concat());
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    let file = node.file("hold.json", &shown.out);
    assert_eq!(node.run(&["commit", "-f", &file]).code, Some(1), "the cabin is not there");
    let twice = node.file("twice.json", &shown.out.replace("\"checks\"", "\"checks\": [], \"checks\""));
    let twice = node.run(&["commit", "-f", &twice]);
    assert_eq!(twice.code, Some(2), "of two lists of checks neither is the one that is meant");
    has(&twice.err, &["twice.json is no JSON document: the member \"checks\" stands twice"]);
    let document = r#"{"partition": "HP-2026", "operations": [
        {"op": "put", "row": "cabin/C14", "fields": {"price": {"decimal": "4.50"}}},
        {"op": "append", "stream": "history/C14", "fields": {"what": "made"}},
        {"op": "lease_acquire", "row": "cabin/C14", "ttl_ms": 60000}]}"#;
    let said = node.says(&["commit", "-f", &node.file("make.json", document)]);
    has(&said, &["operation 1  sequence 1", "operation 2  lease token "]);
    let wrong =
        node.run(&["commit", "-f", &node.file("wrong.json", "{\"partition\": \"p\", \"operation\": []}")]);
    assert_eq!(wrong.code, Some(2));
    has(&wrong.err, &["wrong.json: commit: 'operation' is unknown here; known are partition"]);
    let wrong = node.run(&["commit", "-f", &node.file("none.json", "{")]);
    assert_eq!(wrong.code, Some(2));
    has(&wrong.err, &["none.json is no JSON document", "line 1"]);
    let missing = node.run(&["commit", "-f", "/nonexistent/x.json"]);
    assert_eq!(missing.code, Some(2));
    has(&missing.err, &["/nonexistent/x.json cannot be read"]);
}

#[test]
fn resolve_makes_final_and_trace_only_looks() {
    let node = Node::start("resolve");
    node.says(&["commit", "HP-2026", "--set", "cabin/C14.state=free", "--set", "total/held.limit=1"]);
    let token = node.json(&HOLD)["token"].clone();
    let resolve = |key: &str| node.json(&["resolve", "HP-2026", key]);
    let committed = resolve("hold-BK-88421");
    assert_eq!((&committed["status"], &committed["commit"]["token"]), (&"COMMITTED".into(), &token));
    has(&node.says(&["resolve", "HP-2026", "hold-BK-88421"]), &["COMMITTED: it happened"]);
    let trace = node.json(&["trace", "HP-2026", "hold-BK-88421"]);
    assert_eq!(trace["facts"]["request.outcome"], "committed");
    let unseen = node.says(&["trace", "HP-2026", "hold-BK-2"]);
    has(&unseen, &["request.outcome", "unknown: the key was never seen here, and may yet arrive"]);
    let mut late = HOLD;
    late[3] = "hold-BK-2";
    assert_eq!(node.run(&late).code, Some(1));
    assert_eq!(resolve("hold-BK-2")["status"], "REJECTED");
    has(&node.says(&["resolve", "HP-2026", "hold-BK-2"]), &["REJECTED", "CONDITION_FAILED"]);
    assert_eq!(resolve("hold-BK-3")["status"], "ABORTED");
    has(&node.says(&["resolve", "HP-2026", "hold-BK-3"]), &["ABORTED", "--first-sent TIME"]);
    late[3] = "hold-BK-3";
    has(&node.run(&late).err, &["KEY_ABORTED (205)"]);
    let wrong = node.run(&["resolve", "HP-2026", "session:1"]);
    assert_eq!(wrong.code, Some(2));
    has(&wrong.err, &["is no request key"]);
}
