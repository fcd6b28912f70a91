//! Golden bytes: the code, the literals here and docs/protocol.md must say the same. A change of one of them changes
//! the wire or the log, and needs a reason and a new version.

mod cases;
mod literals;
mod peers;

use std::collections::BTreeSet;

use literals::GOLDEN;
use seawall::address::{Address, DEFAULT_NAMESPACE, partition_hash};
use seawall::frame::{self, FrameMeta, Kind};
use seawall::key::Part;
use seawall::limits::REQUEST_BODY_MAX;
use seawall::map::{Generation, ShardId};
use seawall::message::hello::{HelloReply, HelloRequest, Limits};
use seawall::message::read::Found;
use seawall::message::{Opcode, RequestMeta};
use seawall::position::{Lineage, Position};
use seawall::replication::{Message, PeerOpcode};
use seawall::reply::{self, Flags, ReplyMeta, Role, State};
use seawall::session::ClientSession;
use seawall::tags::{MANDATORY, Tag};
use seawall::{Code, Commit, Key, List, Refusal, Row, Token, Value, row};

const PROTOCOL: &str = include_str!("../../docs/protocol.md");
const LINEAGE: Lineage = Lineage(*b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff");

type Case = (&'static str, Vec<u8>);

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn values() -> Vec<Case> {
    let of = |value: Value| written(|out| value.encode(out));
    vec![
        ("value bool true", of(Value::Bool(true))),
        ("value int 0", of(Value::Int(0))),
        ("value int -1", of(Value::Int(-1))),
        ("value int 300", of(Value::Int(300))),
        ("value int -2^127", of(Value::Int(i128::MIN))),
        ("value decimal 420.00", of(Value::Decimal { mantissa: 42000, scale: 2 })),
        ("value time 2026-07-14T18:30:00Z", of(Value::parse(Some("time"), "2026-07-14T18:30:00Z").unwrap())),
        ("value text held", of(Value::from("held"))),
        ("value bytes 00ff", of(Value::from(&[0, 255][..]))),
        ("value set {a, b}", of(Value::Set(BTreeSet::from([b"b".to_vec(), b"a".to_vec()])))),
    ]
}

/// In ascending order.
fn keys() -> Vec<Case> {
    let of = |key: Key| key.as_bytes().to_owned();
    vec![
        ("key (-256)", of(Key::from(-256))),
        ("key (-255)", of(Key::from(-255))),
        ("key (-1)", of(Key::from(-1))),
        ("key (0)", of(Key::from(0))),
        ("key (1)", of(Key::from(1))),
        ("key (256)", of(Key::from(256))),
        ("key (time -1)", of(Key::of(&[Part::Time(-1)]))),
        ("key (time 0)", of(Key::of(&[Part::Time(0)]))),
        ("key (\"\")", of(Key::from(""))),
        ("key (\"C14\")", of(Key::from("C14"))),
        ("key (\"C14\", 7)", of(Key::from(("C14", 7)))),
        ("key (\"C14\\0\")", of(Key::from("C14\0"))),
        ("key (bytes 0001ff)", of(Key::from(&[0, 1, 255][..]))),
    ]
}

fn addresses() -> Vec<Case> {
    let (partition, key) = (Key::from("HP-2026-07-14"), Key::from("C14"));
    let address = Address {
        namespace: DEFAULT_NAMESPACE,
        partition: partition.as_bytes(),
        table: "cabin",
        row: key.as_bytes(),
    };
    let hash = |namespace, key: Key| partition_hash(namespace, key.as_bytes()).to_be_bytes().to_vec();
    let token =
        Token { lineage_tag: LINEAGE.tag(), shard: ShardId(3), position: Position::new(2, 1_000_000) };
    let row = Row::new().with("state", "held").with("fare", Value::Decimal { mantissa: 42000, scale: 2 });
    vec![
        ("row {fare: 420.00, state: held}", written(|out| row.encode(out))),
        ("hash main, (\"HP-2026-07-14\")", hash("main", partition.clone())),
        ("hash main, (\"a\")", hash("main", Key::from("a"))),
        ("hash main, (7)", hash("main", Key::from(7))),
        ("hash other, (\"a\")", hash("other", Key::from("a"))),
        ("stored key of cabin/HP-2026-07-14/C14 in main", written(|out| address.stored_key(out))),
        ("token (lineage below, shard 3, 2:1000000), as text", token.to_string().into_bytes()),
    ]
}

fn requests() -> Vec<Case> {
    let mut session = ClientSession::new();
    let cabin = row("cabin", "C14");
    let commit = Commit::new("HP-2026-07-14").put(&cabin, [("state", "held")]).delete(&row("waitlist", 7));
    let bare = FrameMeta {
        kind: Kind::Control,
        opcode: 0x1234,
        correlation: 0x1122_3344_5566_7788,
        generation: Generation(0x99),
        shard: ShardId(0xaa),
        deadline_ms: 0xbb,
        tags: &[Tag { id: 5, bytes: b"hi" }, Tag { id: MANDATORY | 6, bytes: b"" }],
    };
    vec![
        ("frame with two tagged fields", written(|out| frame::write(out, &bare, |body| body.push(0xcc)))),
        (
            "request HELLO",
            written(|out| {
                session.hello(out, &HelloRequest::new("golden", ""), 1000);
            }),
        ),
        (
            "request COMMIT",
            written(|out| {
                session.commit(out, &commit, 1000).unwrap();
            }),
        ),
        (
            "request GET",
            written(|out| {
                session.get(out, &Key::from("HP-2026-07-14"), &cabin, 1000).unwrap();
            }),
        ),
    ]
}

fn replies() -> Vec<Case> {
    let to = |correlation, opcode| ReplyMeta {
        generation: Generation(1),
        ..ReplyMeta::to(&RequestMeta { correlation, opcode: opcode as u16, ..RequestMeta::default() })
    };
    let from_leader = |correlation, opcode| ReplyMeta {
        shard: ShardId(1),
        role: Role::Leader,
        state: State::Serving,
        position: Some(Position::new(2, 41)),
        staleness_ms: Some(0),
        ..to(correlation, opcode)
    };
    let hello = HelloReply {
        version: 1,
        features: 0,
        lineage: LINEAGE,
        cluster: LINEAGE,
        server_time_us: 1_784_053_800_000_000,
        limits: Limits::default(),
        driver: "ring".to_owned(),
        durable_primitive: "RWF_DSYNC".to_owned(),
        direct_io: true,
        dev: false,
    };
    let row = written(|out| Row::new().with("state", "held").encode(out));
    let found = Some(Found { version: Position::new(2, 41), row: &row });
    let degraded = ReplyMeta { flags: Flags::DEGRADED, ..from_leader(2, Opcode::Commit) };
    let throttled = Refusal::throttled("batch", 64, 20);
    vec![
        ("reply HELLO", written(|out| reply::encode_hello(out, &to(1, Opcode::Hello), &hello))),
        (
            "reply COMMIT",
            written(|out| {
                reply::encode_committed(out, &from_leader(2, Opcode::Commit), LINEAGE.tag(), &List::EMPTY)
            }),
        ),
        (
            "reply COMMIT, degraded",
            written(|out| reply::encode_committed(out, &degraded, LINEAGE.tag(), &List::EMPTY)),
        ),
        (
            "reply GET, found",
            written(|out| {
                reply::encode_row(out, &from_leader(3, Opcode::Get), LINEAGE.tag(), found);
            }),
        ),
        (
            "reply GET, absent",
            written(|out| {
                reply::encode_row(out, &from_leader(3, Opcode::Get), LINEAGE.tag(), None);
            }),
        ),
        (
            "reply THROTTLED",
            written(|out| reply::encode_refusal(out, &from_leader(2, Opcode::Commit), &throttled)),
        ),
    ]
}

/// What members say. What is verbatim of a log stands behind all else, and would show nothing: it is left out.
fn between_members() -> Vec<Case> {
    let shown = |(name, message): (&'static str, Message<'static>)| {
        let payload = peers::framed(message).split_off(64);
        let blocks = match message {
            Message::Append(append) => append.blocks.len(),
            Message::Checkpoint(checkpoint) => checkpoint.blocks.len(),
            _ => 0,
        };
        (name, payload[..payload.len() - blocks].to_vec())
    };
    let frame = ("frame of R_ACK", peers::framed(Message::Ack(peers::ack())));
    std::iter::once(frame).chain(peers::messages().into_iter().map(shown)).collect()
}

fn cases() -> Vec<Case> {
    let older = [values(), keys(), addresses(), requests(), replies()];
    let commits = [cases::checks(), cases::operations(), cases::keys(), cases::settling()];
    let others = [cases::reads(), cases::tables(), cases::stream(), cases::refusals(), between_members()];
    older.into_iter().chain(commits).chain(others).flatten().collect()
}

/// In groups of four bytes, eight groups a line.
fn hex(bytes: &[u8]) -> String {
    let group = |group: &[u8]| group.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let groups: Vec<String> = bytes.chunks(4).map(group).collect();
    groups.chunks(8).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n")
}

/// What the document has in its `golden` blocks: a name, then lines of hex that are indented.
fn documented() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let blocks = PROTOCOL.split("```golden\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    for line in blocks.flat_map(str::lines) {
        match line.strip_prefix("    ") {
            None => found.push((line.to_owned(), String::new())),
            Some(hex) => {
                let bytes = &mut found.last_mut().expect("a name stands before its bytes").1;
                bytes.push_str(if bytes.is_empty() { "" } else { "\n" });
                bytes.push_str(hex);
            }
        }
    }
    found
}

#[test]
fn the_code_writes_the_golden_bytes() {
    let golden: Vec<(String, String)> =
        GOLDEN.iter().map(|(name, hex)| ((*name).to_owned(), (*hex).to_owned())).collect();
    let written: Vec<_> = cases().iter().map(|(name, bytes)| ((*name).to_owned(), hex(bytes))).collect();
    for (written, golden) in written.iter().zip(&golden) {
        assert_eq!(written, golden);
    }
    assert_eq!(written.len(), golden.len(), "{written:#?}");
}

#[test]
fn the_document_shows_the_golden_bytes() {
    let documented = documented();
    for (name, hex) in GOLDEN {
        let shown = documented.iter().find(|(shown, _)| shown == name);
        assert_eq!(shown.map(|(_, hex)| hex.as_str()), Some(*hex), "{name} in docs/protocol.md");
    }
    assert_eq!(documented.len(), GOLDEN.len(), "the document shows something that no test covers");
}

#[test]
fn the_document_lists_every_code_and_operation() {
    for code in Code::ALL {
        let (outcome, retry) = (code.outcome(), code.retry());
        let line =
            format!("| {} | {} | {outcome} | {retry} | {} |", *code as u16, code.name(), code.meaning());
        assert!(PROTOCOL.lines().any(|shown| shown == line), "docs/protocol.md lacks\n{line}");
        assert_eq!(Code::from_u16(*code as u16), Some(*code));
    }
    assert!(Code::ALL.is_sorted(), "by number");
    for opcode in Opcode::ALL {
        let begin = format!("| {} | {} |", *opcode as u16, opcode.name());
        assert!(PROTOCOL.lines().any(|shown| shown.starts_with(&begin)), "docs/protocol.md lacks {begin}");
    }
    for opcode in PeerOpcode::ALL {
        let begin = format!("| {} | {} |", *opcode as u16, opcode.name());
        assert!(PROTOCOL.lines().any(|shown| shown.starts_with(&begin)), "docs/protocol.md lacks {begin}");
    }
    for (number, name) in cases::names() {
        let begin = format!("| {number} | {name}");
        assert!(PROTOCOL.lines().any(|shown| shown.starts_with(&begin)), "docs/protocol.md lacks {begin}");
    }
    assert!(PROTOCOL.contains(&format!("{REQUEST_BODY_MAX}")));
}

#[test]
fn golden_keys_ascend() {
    assert!(keys().is_sorted_by(|a, b| a.1 < b.1));
}

#[test]
fn a_realistic_token_is_short() {
    let token =
        Token { lineage_tag: u32::MAX, shard: ShardId(10_000), position: Position::new(10_000, 1 << 41) };
    assert!(token.to_string().len() <= 40, "{token}");
}
