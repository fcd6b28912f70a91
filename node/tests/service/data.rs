//! Rows, commits and explanations by HTTP: the codes and the reasons that every client gets.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use seawall::refusal::Code;
use seawall::{Client, Commit, Outcome, Value, row};
use serde_json::{Value as Json, json};

use crate::node::{Folder, Node};

fn put(key: &str, place: &str, fields: &Json) -> String {
    json!({
        "partition": "sailing",
        "key": key,
        "operations": [{ "op": "put", "row": place, "fields": fields }],
    })
    .to_string()
}

#[test]
fn what_is_committed_by_http_is_read_by_http_and_by_every_other_client() {
    let folder = Folder::new("data");
    let node = Node::start(&folder, "");
    let fields =
        json!({ "state": "held", "price": { "decimal": "420.00" }, "big": { "int": "9007199254740993" } });
    let (code, done) = node.json("POST", "/v1/commit", &put("hold-1", "cabin/C14", &fields));
    assert_eq!(
        (code, &done["outcome"], &done["replayed"]),
        (200, &json!("committed"), &json!(false)),
        "{done}"
    );
    let (code, again) = node.json("POST", "/v1/commit", &put("hold-1", "cabin/C14", &fields));
    assert_eq!((code, &again["replayed"]), (200, &json!(true)), "the same key twice is one commit");
    assert_eq!(again["version"], done["version"]);

    let (code, got) = node.json("GET", "/v1/rows/cabin/sailing/C14", "");
    assert_eq!((code, &got["found"]), (200, &json!(true)), "{got}");
    assert_eq!(got["row"], json!({ "big": "9007199254740993", "price": "420.00", "state": "held" }));
    assert_eq!(got["version"], done["version"]);
    let token = done["token"].as_str().expect("a token");
    for query in [format!("?token={token}"), "?max_staleness_ms=1000".into()] {
        let (code, got) = node.json("GET", &format!("/v1/rows/cabin/sailing/C14{query}"), "");
        assert_eq!((code, &got["version"]), (200, &done["version"]), "{query}: {got}");
    }
    let (code, got) = node.json("GET", "/v1/rows/cabin/sailing/C15", "");
    assert_eq!((code, &got["found"]), (404, &json!(false)), "{got}");

    let mut client = Client::connect(node.address.clone()).expect("it serves");
    let got = client.get("sailing", &row("cabin", "C14")).expect("it serves");
    assert_eq!(got.row.as_ref().and_then(|row| row.get("state")), Some(&Value::from("held")));
    assert_eq!(Some(got.version.expect("it is there").to_string().as_str()), done["version"].as_str());
}

/// The same commit by a frame and by HTTP: the same code, rule and outcome.
#[test]
fn a_refusal_by_http_is_the_one_by_frame() {
    let folder = Folder::new("refusals");
    let node = Node::start(&folder, "");
    assert_eq!(
        node.ask("POST", "/v1/commit", &put("first", "cabin/C14", &json!({ "state": "held" }))).0,
        200
    );
    let free = json!({
        "partition": "sailing",
        "checks": [{ "check": "compare", "left": { "row": "cabin/C14", "field": "state" }, "is": "=", "right": "free" }],
        "operations": [{ "op": "merge", "row": "cabin/C14", "fields": { "state": "held" } }],
    });
    let (code, said) = node.json("POST", "/v1/commit", &free.to_string());
    assert_eq!((code, &said["outcome"]), (409, &json!("rejected")), "{said}");
    let cabin = row("cabin", "C14");
    let commit =
        Commit::new("sailing").check(cabin.field("state").eq("free")).merge(&cabin, [("state", "held")]);
    let mut client = Client::connect(node.address.clone()).expect("it serves");
    let Outcome::Rejected(why) = client.commit(&commit).expect("it serves") else { panic!("it is not free") };
    assert_eq!(why.code, Code::ConditionFailed);
    let refusal = &said["refusal"];
    for (name, text) in [
        ("code", why.code.name().to_owned()),
        ("rule", why.reason.rule.to_string()),
        ("expected", why.reason.expected.to_string()),
        ("observed", why.reason.observed.to_string()),
        ("hint", why.reason.hint.to_string()),
        ("retry", why.retry().to_string()),
    ] {
        assert_eq!(refusal[name], json!(text), "{said}");
    }
    let (code, said) =
        node.json("POST", "/v1/commit", &put("first", "cabin/C14", &json!({ "state": "free" })));
    assert_eq!(
        (code, &said["refusal"]["code"], &said["outcome"]),
        (409, &json!("KEY_REUSED"), &json!("none"))
    );
}

#[test]
fn a_request_that_is_wrong_is_told_what_is_right() {
    let folder = Folder::new("wrong");
    let node = Node::start(&folder, "admin.body_bytes = 4096\nadmin.request_ms = 1000");
    for (method, path, body, rule, word) in [
        ("POST", "/v1/commit", "{", "http.json", "EOF"),
        ("POST", "/v1/commit", "", "http.json", "EOF"),
        ("POST", "/v1/commit", "[]", "http.commit", ""),
        ("POST", "/v1/commit", r#"{"partition":"p","operations":[{"op":"fly"}]}"#, "http.commit", "fly"),
        ("POST", "/v1/commit", r#"{"partition":"p","wings":2,"operations":[]}"#, "http.commit", "wings"),
        ("GET", "/v1/rows/cabin/sailing", "", "http.path", ""),
        ("GET", "/v1/rows/cabin/sailing/C14?tokn=1", "", "query", "tokn"),
        ("GET", "/v1/rows/cabin/sailing/C14?token=1", "", "query.token", "1"),
        ("GET", "/v1/explain?shard=one", "", "query.shard", "one"),
        ("GET", "/v1/trace?partition=p", "", "query", "partition=PARTITION&key=KEY"),
        ("GET", "/v1/trace?partition=p&key=%2", "", "query.key", "1 to 64 bytes"),
    ] {
        let (code, said) = node.json(method, path, body);
        let refusal = &said["refusal"];
        assert_eq!(
            (code, &refusal["code"], &refusal["rule"]),
            (400, &json!("BAD_FRAME"), &json!(rule)),
            "{path} {body}: {said}"
        );
        assert_eq!(said["outcome"], "none");
        let text = format!("{} {}", refusal["expected"], refusal["observed"]);
        assert!(
            text.contains(word) && refusal["hint"].as_str().is_some_and(|hint| hint.contains("docs/http.md")),
            "{said}"
        );
    }
    let long = put("long", "cabin/C14", &json!({ "state": "x".repeat(5000) }));
    let (code, said) = node.json("POST", "/v1/commit", &long);
    assert_eq!((code, &said["refusal"]["code"]), (413, &json!("TOO_LARGE")), "{said}");
    // Without a length it is found while it is read.
    let mut chunks =
        "POST /v1/commit HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_owned();
    for _ in 0..10 {
        chunks += &format!("{:x}\r\n{}\r\n", 1000, "y".repeat(1000));
    }
    let answer = node.raw((chunks + "0\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(node.get("/v1/rows/cabin/sailing/C14").0, 404, "nothing was done");
}

/// A body that never ends is given up, and costs one place for as long as that takes.
#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let folder = Folder::new("body");
    let node = Node::start(&folder, "admin.request_ms = 300");
    let mut stream = node.connect();
    let head =
        "POST /v1/commit HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).expect("it takes them");
    let begin = Instant::now();
    let mut answer = String::new();
    let _reset_after_the_answer = stream.read_to_string(&mut answer);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("within 300 ms"), "{answer}");
}

#[test]
fn explain_and_trace_show_facts_and_say_what_is_not_known() {
    let folder = Folder::new("explain");
    let node = Node::start(&folder, "workers = 1");
    assert_eq!(
        node.ask("POST", "/v1/commit", &put("hold-7", "cabin/C14", &json!({ "state": "held" }))).0,
        200
    );
    let fact = |report: &Json, name: &str| {
        let facts = report["facts"].as_array().expect("a list");
        facts
            .iter()
            .find(|fact| fact["name"] == name)
            .unwrap_or_else(|| panic!("no {name} in {report}"))
            .clone()
    };
    let (code, node_facts) = node.json("GET", "/v1/explain", "");
    assert_eq!((code, &fact(&node_facts, "node.workers")["value"]), (200, &json!("1")));
    let (code, shard) = node.json("GET", "/v1/explain?shard=1", "");
    assert_eq!((code, &fact(&shard, "shard.state")["value"]), (200, &json!("serving")));
    assert!(fact(&shard, "shard.why")["value"].as_str().is_some_and(|why| why.contains("R10")));
    let (code, traced) = node.json("GET", "/v1/trace?partition=sailing&key=hold-7", "");
    assert_eq!((code, &fact(&traced, "request.outcome")["value"]), (200, &json!("committed")), "{traced}");
    let (code, unseen) = node.json("GET", "/v1/trace?partition=sailing&key=hold-8", "");
    assert_eq!((code, &unseen["complete"]), (200, &json!(false)));
    assert!(
        fact(&unseen, "request.outcome")["unknown"].as_str().is_some_and(|why| why.contains("never seen"))
    );
    let (code, said) = node.json("GET", "/v1/explain?shard=99", "");
    assert!(code >= 400 && said["refusal"]["code"].is_string(), "{code}: {said}");
}

/// More commits at once than may be under way: all of them are done, none is lost.
#[test]
fn a_crowd_waits_for_its_turn() {
    let folder = Folder::new("crowd");
    let node = Node::start(&folder, "admin.calls = 2");
    std::thread::scope(|scope| {
        let one = |number: usize| {
            let body = put(&format!("k{number}"), &format!("cabin/C{number}"), &json!({ "number": number }));
            let (code, said) = node.json("POST", "/v1/commit", &body);
            assert_eq!(code, 200, "{said}");
        };
        let threads: Vec<_> = (0..24).map(|number| scope.spawn(move || one(number))).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("it is done"));
    });
    for number in 0..24 {
        let (code, got) = node.json("GET", &format!("/v1/rows/cabin/sailing/C{number}"), "");
        assert_eq!((code, &got["row"]["number"]), (200, &json!(number)));
    }
}
