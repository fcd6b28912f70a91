//! Commits and declarations as documents: what is written is read back, and what is wrong is named with its place.

use std::collections::BTreeMap;

use seawall::message::declare::{Declaration, Field, Index, Kind, SumZero, Transitions};
use seawall::message::op::Op;
use seawall::message::term::Ttl;
use seawall::position::Position;
use seawall::{Commit, Key, Row, Value, now, row};
use seawall_node::json::table::Declared;
use seawall_node::json::{commit, table};
use serde_json::{Value as Json, json};

fn ttl(ms: u64) -> Ttl {
    Ttl::from_ms(ms).unwrap()
}

/// Every check, every operation, every kind of value, every option.
fn everything() -> Commit {
    let (cabin, total) = (row("cabin", ("C", 14)), row("total", "held"));
    let price = Value::Decimal { mantissa: 42_000, scale: 2 };
    let fields = Row::new()
        .with("state", "held")
        .with("paid", false)
        .with("n", 5)
        .with("big", 1i64 << 60)
        .with("price", price.clone())
        .with("raw", vec![0u8, 255])
        .with("tags", Value::Set([b"a".to_vec(), vec![255]].into()))
        .with("born", Value::Time(1_784_053_800_000_000));
    Commit::new(("HP 2026", "a/b"))
        .key([b'k', 0xff])
        .first_sent(1_784_053_800_000_000)
        .durable_on(2)
        .returning_rows()
        .check(cabin.exists())
        .check(row("cabin", "C15").absent())
        .check(cabin.field("state").eq("free"))
        .check(cabin.version().eq(Position::new(3, 142)))
        .check(cabin.field("until").gt(now()))
        .check(total.field("count").le(total.field("limit")))
        .check(cabin.field("price").ne(price.clone()))
        .check(cabin.field("n").lt(7))
        .check(cabin.field("n").ge(-7))
        .check(cabin.field("state").is_in(["free", "held"]))
        .check(cabin.lease_held(Position::new(1, 2)))
        .put(&row("a", "put"), fields.clone())
        .put_for(&row("a", "put for"), fields, ttl(30_000))
        .merge(&row("a", "merge"), [("by", "BK-88421")])
        .delete(&row("a", "delete"))
        .add(&total, "count", 1, ..=total.field("limit"))
        .add(&total, "sum", price, (0, 100))
        .add(&total, "free", -1, ..)
        .max(&total, "highest", 9)
        .min(&total, "lowest", "text")
        .set_add(&total, "who", ["me", "you"])
        .set_remove(&total, "who", [[0xffu8]])
        .append(&row("history", "C14"), [("what", "held")])
        .lease_acquire(&row("lease", 1), ttl(5_000))
        .lease_renew(&row("lease", 2), Position::new(1, 2), ttl(5_000))
        .lease_release(&row("lease", 3), Position::new(1, 2))
        .event("cabin-held", "C14")
        .event("raw", [0xffu8])
}

#[test]
fn a_commit_is_read_back_as_it_was_written() {
    let before = everything();
    let document = commit::write(&before).unwrap();
    let text = document.to_string();
    let after = commit::read(&serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(after, before, "{document:#}");
}

/// A new operation must come into the commit above.
#[test]
fn the_commit_above_has_every_operation() {
    let mut payload = Vec::new();
    everything().encode(&mut payload);
    let request = seawall::message::commit::decode_commit(&payload).unwrap();
    let mut met: Vec<&str> = request.ops.iter().map(|op: Op<'_>| op.name()).collect();
    met.sort_unstable();
    met.dedup();
    assert_eq!(met.len(), 13, "{met:?}");
}

/// The document of docs/json.md, member by member.
#[test]
fn the_documented_commit_is_what_it_says() {
    let docs = include_str!("../../docs/json.md");
    let block = docs.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let read = commit::read(&serde_json::from_str(block).unwrap()).unwrap();
    let (cabin, total) = (row("cabin", "C14"), row("total", "held"));
    let meant = Commit::new("HP-2026-07-14")
        .key("hold-BK-88421")
        .check(cabin.field("state").eq("free"))
        .merge(&cabin, [("state", "held"), ("by", "BK-88421")])
        .add(&total, "count", 1, ..=total.field("limit"))
        .event("cabin-held", "C14");
    assert_eq!(read, meant);
}

/// Every other JSON block of the page is read, too, by its heading.
#[test]
fn every_documented_form_is_read() {
    let docs = include_str!("../../docs/json.md");
    let lines = |heading: &str| -> Vec<Json> {
        let section = docs.split(&format!("## {heading}\n")).nth(1).unwrap_or_else(|| panic!("{heading}"));
        let block = section.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
        block
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
            .collect()
    };
    let something = json!([{ "op": "event", "topic": "t", "payload": "" }]);
    for check in lines("Checks") {
        let document = json!({ "partition": "p", "checks": [check], "operations": something });
        commit::read(&document).unwrap_or_else(|why| panic!("{why}: {document}"));
    }
    for operation in lines("Operations") {
        let document = json!({ "partition": "p", "operations": [operation] });
        let read = commit::read(&document).unwrap_or_else(|why| panic!("{why}: {document}"));
        read.validate().unwrap_or_else(|why| panic!("{why}: {document}"));
    }
    assert_eq!(lines("Operations").len(), 13);
}

#[test]
fn what_is_no_commit_is_told_where_and_what_to_write() {
    let event = json!({ "op": "event", "topic": "t", "payload": "" });
    let with_check = |check: Json| json!({ "partition": "p", "checks": [check], "operations": [event] });
    let with_op = |op: Json| json!({ "partition": "p", "operations": [event, op] });
    let wrong = [
        (json!([]), "commit: expected an object"),
        (json!({ "operations": [event] }), "'partition' is missing"),
        (json!({ "partition": "p" }), "'operations' is missing"),
        (json!({ "partition": "p", "operations": [] }), "at least one operation"),
        (
            json!({ "partition": "p", "opperations": [] }),
            "'opperations' is unknown here; known are partition",
        ),
        (json!({ "partition": 7, "operations": [event] }), "commit.partition: expected a text, found 7"),
        (json!({ "partition": "p", "first_sent": 1, "operations": [event] }), "beside a key"),
        (json!({ "partition": "p", "key": "k", "first_sent": "soon", "operations": [event] }), "is no time"),
        (json!({ "partition": "p", "durable_on": 256, "operations": [event] }), "at most 255"),
        (json!({ "partition": "p", "return_rows": 1, "operations": [event] }), "true or false"),
        (with_check(json!({ "check": "exist", "row": "cabin/C14" })), "there are exists, absent"),
        (with_check(json!({ "check": "exists", "row": "C14" })), "commit.checks[0].row: \"C14\" is no row"),
        (with_check(json!({ "check": "exists", "row": "a/b", "field": "x" })), "'field' is unknown here"),
        (with_check(json!({ "check": "compare", "left": 1, "is": "==", "right": 1 })), "write =, !=, <"),
        (with_check(json!({ "check": "lease_held", "row": "a/b", "token": "7" })), "EPOCH:INDEX"),
        (with_op(json!({ "op": "pot" })), "commit.operations[1]: \"pot\" is no operation; there are put"),
        (with_op(json!({ "op": "put", "row": "a/b", "fields": { "n": 1.5 } })), "operations[1].fields.n"),
        (with_op(json!({ "op": "put", "row": "a/b", "fields": { "a b": 1 } })), "letters, digits"),
        (with_op(json!({ "op": "put", "row": "a/b", "fields": {}, "ttl_ms": 0 })), "1 ms to ten years"),
        (with_op(json!({ "op": "add", "row": "a/b", "field": "n" })), "'delta' is missing"),
        (with_op(json!({ "op": "set_add", "row": "a/b", "field": "n", "members": [7] })), "members[0]"),
        (with_op(json!({ "op": "event", "topic": "t" })), "'payload' is missing"),
    ];
    for (document, expected) in wrong {
        let why = commit::read(&document).expect_err("no commit").to_string();
        assert!(why.contains(expected), "{why}, not {expected}: {document}");
    }
}

fn declared() -> Declared {
    let field = |kind, required| Field { kind, required };
    let held = || Value::from("held");
    let declaration = Declaration {
        strict: true,
        append_only: true,
        default_ttl: Some(ttl(86_400_000)),
        fields: BTreeMap::from([
            ("state".to_owned(), field(Kind::Text, true)),
            ("amount".to_owned(), field(Kind::Decimal, false)),
        ]),
        indexes: BTreeMap::from([
            ("by_state".to_owned(), Index { fields: vec!["state".to_owned()], ..Index::default() }),
            (
                "held".to_owned(),
                Index {
                    fields: vec!["by".to_owned(), "at".to_owned()],
                    unique: true,
                    only: Some(("state".to_owned(), vec![held()])),
                },
            ),
        ]),
        transitions: BTreeMap::from([(
            "state".to_owned(),
            Transitions { initial: vec!["free".into()], allowed: vec![("free".into(), held())] },
        )]),
        sums: [
            SumZero { field: "amount".to_owned(), per: None },
            SumZero { field: "amount".to_owned(), per: Some("currency".to_owned()) },
        ]
        .into(),
    };
    Declared { table: "cabin".to_owned(), version: Some(3), declaration }
}

#[test]
fn a_declaration_is_read_back_as_it_was_written() {
    let before = declared();
    let mut bytes = Vec::new();
    before.declaration.encode(&mut bytes);
    Declaration::decode(&bytes).expect("a node would take it");
    assert_eq!(table::read(&table::write(&before)), Ok(before));
    let nothing = Declared { table: "t".to_owned(), version: None, declaration: Declaration::default() };
    assert_eq!(table::write(&nothing), json!({ "table": "t" }));
    assert_eq!(table::read(&json!({ "table": "t" })), Ok(nothing));
}

#[test]
fn what_is_no_declaration_is_told_where_and_what_to_write() {
    let wrong = [
        (json!({}), "'table' is missing"),
        (json!({ "table": "a/b" }), "letters, digits"),
        (json!({ "table": "t", "version": 0 }), "begin with 1"),
        (json!({ "table": "t", "fields": { "n": "int" } }), "declaration.fields.n: expected an object"),
        (json!({ "table": "t", "fields": { "n": { "kind": "integer" } } }), "there are bool, int, decimal"),
        (json!({ "table": "t", "indexes": { "i": { "fields": [] } } }), "at least one field"),
        (json!({ "table": "t", "transitions": { "s": { "allowed": [["a"]] } } }), "a transition is a pair"),
        (
            json!({ "table": "t", "sum_zero": [{ "per": "x" }] }),
            "declaration.sum_zero[0]: 'field' is missing",
        ),
        (json!({ "table": "t", "colour": 1 }), "'colour' is unknown here"),
    ];
    for (document, expected) in wrong {
        let why = table::read(&document).expect_err("no declaration").to_string();
        assert!(why.contains(expected), "{why}, not {expected}: {document}");
    }
}

#[test]
fn keys_and_rows_are_written_as_paths_are() {
    let commit = Commit::new(("a,b", 7)).delete(&row("t", Key::from("x/y.z")));
    let document = commit::write(&commit).unwrap();
    assert_eq!(document["partition"], "a%2Cb,int:7");
    assert_eq!(document["operations"][0]["row"], "t/x%2Fy.z");
}
