//! `declare`, `describe`, and scans by an index.

use super::node::{Node, has};

/// The declaration of docs/json.md.
fn documented() -> &'static str {
    let docs = include_str!("../../../docs/json.md");
    docs.split("```toml\n").nth(1).unwrap().split("```").next().unwrap()
}

#[test]
fn a_table_is_declared_described_and_keeps_its_promises() {
    let node = Node::start("declare");
    has(&node.says(&["describe", "cabin"]), &["(nothing is declared"]);
    assert_eq!(node.json(&["describe", "cabin"])["version"], serde_json::Value::Null);
    let file = node.file("cabin.toml", documented());
    has(
        &node.says(&["declare", "-f", &file]),
        &["declared cabin\n", "shard 1  version 1", "shard 2  version 1"],
    );
    assert_eq!(node.json(&["declare", "-f", &file])["shards"][1]["version"], 1, "the same again is no other");
    has(
        &node.says(&["describe", "cabin"]),
        &[
            "cabin\nversion  1\n",
            "field    state: text, required",
            "free -> held",
            "by_holder: by; unique; only rows",
        ],
    );
    let described = node.json(&["describe", "cabin"]);
    assert_eq!(described["fields"]["state"]["kind"], "text");
    let again = node.file("again.json", &described.to_string());
    node.says(&["declare", "-f", &again]);
    let (strict, _) = node.refused(&["put", "cabin/P/C14", "state=free", "colour=red"]);
    assert_eq!(strict["refusal"]["code"], "CONSTRAINT");
    node.says(&["put", "cabin/P/C14", "state=free"]);
    let (skipped, _) = node.refused(&["commit", "P", "--set", "cabin/C14.state=sold"]);
    assert_eq!(skipped["refusal"]["code"], "INVALID_TRANSITION");
    node.says(&["commit", "P", "--set", "cabin/C14.state=held", "--set", "cabin/C14.by=BK-1"]);
    let found = node.json(&["scan", "P", "cabin", "--index", "by_holder", "--prefix", "BK-1"]);
    assert_eq!(found["rows"][0]["key"], "C14");
    let (unindexed, _) = node.refused(&["scan", "P", "cabin", "--index", "nowhere"]);
    assert_eq!(unindexed["outcome"], "none");
}

#[test]
fn a_declaration_that_is_left_without_a_version_takes_the_next_one() {
    let node = Node::start("versions");
    let declare = |content: &str| node.run(&["declare", "--json", "-f", &node.file("t.json", content)]);
    has(&declare(r#"{"table": "t"}"#).out, &[r#"{"shard":1,"version":1}"#]);
    has(&declare(r#"{"table": "t", "strict": true}"#).out, &[r#"{"shard":2,"version":2}"#]);
    let stale = declare(r#"{"table": "t", "version": 1, "append_only": true}"#);
    assert_eq!(stale.code, Some(1));
    has(&stale.err, &["CAS_FAILED (803)", "declare.version"]);
    let wrong = declare(r#"{"table": "t", "fields": {"n": {"kind": "integer"}}}"#);
    assert_eq!(wrong.code, Some(2));
    has(
        &wrong.err,
        &["t.json: declaration.fields.n.kind: \"integer\" is no kind of value; there are bool, int"],
    );
    let wrong = declare(r#"{"table": "t", "strict": true, "table": "u"}"#);
    assert_eq!(wrong.code, Some(2));
    has(
        &wrong.err,
        &["t.json is no JSON document: the member \"table\" stands twice in one object", "line 1"],
    );
    let wrong = node.run(&["declare", "-f", &node.file("t.toml", "table = cabin")]);
    assert_eq!(wrong.code, Some(2));
    has(&wrong.err, &["t.toml is no TOML", "line 1"]);
}

/// Shards declare one after the other: when one of them refuses, the command says which took it, and can be repeated.
#[test]
fn a_declaration_that_one_shard_refuses_names_those_that_took_it() {
    let node = Node::start("in-part");
    let on_shard = |shard: &str| {
        let is_there =
            |partition: &String| node.json(&["explain", partition])["shards"][0]["shard.id"] == shard;
        (0..1000).map(|n| format!("P{n}")).find(is_there).expect("every shard has partitions")
    };
    let row = format!("cabin/{}/C14", on_shard("2"));
    node.says(&["put", &row, "colour=red"]);
    let file =
        node.file("t.json", r#"{"table": "cabin", "strict": true, "fields": {"state": {"kind": "text"}}}"#);
    let (refused, why) = node.refused(&["declare", "-f", &file]);
    assert_eq!(refused["refusal"]["code"], "CONSTRAINT");
    has(
        &why,
        &[
            "shard 1 has the declaration; shard 2 refused it. Mend what is said below, and repeat",
            "CONSTRAINT",
        ],
    );
    assert_eq!(node.refused(&["declare", "-f", &file]).1, why, "repeating it changes nothing");
    node.says(&["put", &row, "state=free"]);
    let declared = node.says(&["declare", "-f", &file]);
    has(&declared, &["shard 1  version 1", "shard 2  version 1"]);
    let elsewhere = on_shard("1");
    let file = node.file("u.json", r#"{"table": "seat", "strict": true, "version": 1}"#);
    node.says(&["put", &format!("seat/{elsewhere}/1"), "colour=red"]);
    let (_, why) = node.refused(&["declare", "-f", &file]);
    has(&why, &["no shard has the declaration; shard 1 refused it, shard 2 was not asked. Mend"]);
    node.says(&["put", &format!("seat/{}/1", on_shard("2")), "colour=red"]);
    node.says(&["commit", &elsewhere, "--delete", "seat/1"]);
    let (_, why) = node.refused(&["declare", "-f", &file]);
    has(&why, &["shard 1 has the declaration; shard 2 refused it"]);
    assert_eq!(node.refused(&["declare", "-f", &file]).1, why, "with a version of one's own, too");
}
