//! What the golden bytes of commits, reads, tables and the change stream are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound as End;

use seawall::key::sequence_key;
use seawall::map::ShardId;
use seawall::message::assigned::{Result as Came, Results};
use seawall::message::check::{Check, Compare};
use seawall::message::declare::*;
use seawall::message::outcome::{Decision, StoredOutcome};
use seawall::message::read::Found;
use seawall::message::report::{Fact, Subject};
use seawall::message::scan::{Order, PageRow, Span};
use seawall::message::settle::{KeyStatus, SettleRequest};
use seawall::message::term::{RowAt, Term, Ttl};
use seawall::message::watch::*;
use seawall::message::*;
use seawall::position::{Epoch, Index as At, Position};
use seawall::refusal::{Detail, Outcome, Refusal};
use seawall::reply::{self, ReplyMeta, Role, State};
use seawall::session::ClientSession;
use seawall::{Commit, Key, Row, Token, Value, now, row};

use crate::{Case, LINEAGE, written};

const FIRST_SENT: i64 = 1_784_053_800_000_000;
const TOKEN: Position = Position::new(2, 41);

fn ttl() -> Ttl {
    Ttl::from_ms(30_000).expect("half a minute")
}

fn token() -> Token {
    Token { lineage_tag: LINEAGE.tag(), shard: ShardId(1), position: TOKEN }
}

fn caller() -> RequestKey<'static> {
    RequestKey { name: KeyName::Caller(b"hold-BK-88421"), first_sent_us: FIRST_SENT }
}

/// The first check of a commit, or its first operation.
fn check(commit: Commit) -> Vec<u8> {
    let payload = written(|out| commit.delete(&row("t", 1)).encode(out));
    let first = decode(&payload).checks.iter().next().expect("a check");
    written(|out| first.encode(out))
}

fn op(commit: Commit) -> Vec<u8> {
    let payload = written(|out| commit.encode(out));
    let first = decode(&payload).ops.iter().next().expect("an operation");
    written(|out| first.encode(out))
}

fn decode(payload: &[u8]) -> CommitRequest<'_> {
    commit::decode_commit(payload).expect("a golden commit is a commit")
}

pub fn checks() -> Vec<Case> {
    let (cabin, c) = (row("cabin", "C14"), || Commit::new("p"));
    vec![
        ("check EXISTS", check(c().check(cabin.exists()))),
        ("check ABSENT", check(c().check(cabin.absent()))),
        ("check COMPARE, state = \"free\"", check(c().check(cabin.field("state").eq("free")))),
        ("check COMPARE, version = 2:41", check(c().check(cabin.version().eq(TOKEN)))),
        ("check COMPARE, now < ends", check(c().check(now().lt(cabin.field("ends"))))),
        ("check STATE_IN", check(c().check(cabin.field("state").is_in(["free", "held"])))),
        ("check LEASE_HELD", check(c().check(cabin.lease_held(TOKEN)))),
    ]
}

pub fn operations() -> Vec<Case> {
    let (cabin, total, c) = (row("cabin", "C14"), row("total", "held"), || Commit::new("p"));
    let held = [("state", "held")];
    vec![
        ("operation PUT", op(c().put(&cabin, held))),
        ("operation PUT, for 30 s", op(c().put_for(&cabin, held, ttl()))),
        ("operation DELETE", op(c().delete(&cabin))),
        ("operation MERGE", op(c().merge(&cabin, held))),
        ("operation ADD", op(c().add(&total, "count", 1, ..))),
        ("operation ADD, 0 to limit", op(c().add(&total, "count", 1, (0, total.field("limit"))))),
        ("operation MAX", op(c().max(&total, "peak", 7))),
        ("operation MIN", op(c().min(&total, "low", 7))),
        ("operation SET_ADD", op(c().set_add(&total, "tags", ["b", "a"]))),
        ("operation SET_REMOVE", op(c().set_remove(&total, "tags", ["a"]))),
        ("operation APPEND", op(c().append(&row("bid", "A1"), [("amount", 7)]))),
        ("operation LEASE_ACQUIRE", op(c().lease_acquire(&cabin, ttl()))),
        ("operation LEASE_RENEW", op(c().lease_renew(&cabin, TOKEN, ttl()))),
        ("operation LEASE_RELEASE", op(c().lease_release(&cabin, TOKEN))),
        ("operation EVENT", op(c().event("cabin-held", "C14"))),
        (
            "key of sequence 7 in the stream (\"A1\")",
            written(|out| sequence_key(Key::from("A1").as_bytes(), 7, out)),
        ),
    ]
}

/// The number and the name of each check and each operation that stands in the golden bytes: of all of them.
pub fn names() -> Vec<(u8, String)> {
    let of = |cases: Vec<Case>, what: &str| -> Vec<(u8, String)> {
        let name = |case: &str| Some(case.strip_prefix(what)?.split(',').next()?.trim().to_owned());
        let mut names: Vec<_> =
            cases.iter().filter_map(|(case, bytes)| Some((*bytes.first()?, name(case)?))).collect();
        names.dedup();
        assert!(names.iter().map(|(number, _)| *number).eq(1..=names.len() as u8), "{names:?}");
        names
    };
    let (checks, operations) = (of(checks(), "check "), of(operations(), "operation "));
    assert_eq!((checks.len(), operations.len()), (5, 13), "each has golden bytes");
    [checks, operations].concat()
}

/// The first program's commit.
fn hold() -> Commit {
    let (cabin, total) = (row("cabin", "C14"), row("total", "held"));
    Commit::new("HP-2026-07-14")
        .key("hold-BK-88421")
        .first_sent(FIRST_SENT)
        .check(cabin.field("state").eq("free"))
        .merge(&cabin, [("state", "held"), ("by", "BK-88421")])
        .add(&total, "count", 1, ..=total.field("limit"))
        .event("cabin-held", "C14")
}

fn results() -> Results {
    let mut results = Results::default();
    results.push(1, Came::Value(seawall::value::ValueRef::Int(15)));
    results.push(2, Came::Sequence(7));
    results.push(3, Came::Lease { token: TOKEN, expires_us: FIRST_SENT });
    results
}

fn rejection() -> Refusal {
    let cabin = row("cabin", "C14");
    let failed = Check::Compare {
        op: Compare::Eq,
        left: Term::Version(RowAt::from(&cabin)),
        right: Term::Position(TOKEN),
    };
    Refusal::condition_failed(0, &failed, "state = free", "held")
}

pub fn keys() -> Vec<Case> {
    let session = KeyName::Session { session: LINEAGE.0, sequence: 300 };
    let sent = RequestKey { name: session, first_sent_us: FIRST_SENT };
    let partition = Key::from("a");
    let stored = |name: KeyName<'_>| written(|out| name.stored_key("main", partition.as_bytes(), out));
    let payload = written(|out| hold().encode(out));
    let many = Commit::new("a").delete(&row("t", 1));
    let mut client = ClientSession::new();
    let frame = written(|out| {
        client.commit_many(out, &[many.clone(), many], 0).expect("a node would read it");
    });
    let fingerprint = decode(&payload).fingerprint();
    let results = results();
    let stored_outcome =
        |decision| written(|out| StoredOutcome { first_sent_us: FIRST_SENT, decision }.encode(out));
    vec![
        ("no request key", written(|out| RequestKey::encode(None, out))),
        ("request key, the caller's", written(|out| RequestKey::encode(Some(&caller()), out))),
        ("request key, of a session", written(|out| RequestKey::encode(Some(&sent), out))),
        ("payload COMMIT, the first program", payload.clone()),
        ("fingerprint of it", fingerprint.0.to_vec()),
        ("payload COMMIT_MANY", payload_of(&frame)),
        ("stored key of the outcome of \"hold-BK-88421\", partition (\"a\")", stored(caller().name)),
        ("stored key of the outcome of a session's 300th, partition (\"a\")", stored(session)),
        ("outcome committed", stored_outcome(Decision::Committed { fingerprint, results: results.list() })),
        ("outcome rejected", stored_outcome(Decision::Rejected { fingerprint, why: rejection() })),
        ("outcome aborted", stored_outcome(Decision::Aborted)),
    ]
}

/// What stands behind a frame's header.
fn payload_of(frame: &[u8]) -> Vec<u8> {
    frame.get(64..).expect("a header").to_vec()
}

/// What stands behind a reply's head.
fn content_of(frame: &[u8]) -> Vec<u8> {
    frame.get(96..).expect("a header and a head").to_vec()
}

fn meta(opcode: Opcode) -> ReplyMeta {
    ReplyMeta {
        opcode: opcode as u16,
        shard: ShardId(1),
        role: Role::Leader,
        state: State::Serving,
        position: Some(TOKEN),
        ..ReplyMeta::default()
    }
}

fn status(status: KeyStatus<'_>) -> Vec<u8> {
    let encode = |out: &mut Vec<u8>| {
        reply::encode_key_status(out, &meta(Opcode::Resolve), LINEAGE.tag(), &status);
    };
    content_of(&written(encode))
}

pub fn settling() -> Vec<Case> {
    let partition = Key::from("a");
    let settle = |token| SettleRequest { partition: partition.as_bytes(), request_key: caller(), token };
    let results = results();
    let committed = |out: &mut Vec<u8>| {
        reply::encode_committed(out, &meta(Opcode::Commit), LINEAGE.tag(), &results.list());
    };
    vec![
        ("content COMMIT, with results", content_of(&written(committed))),
        ("payload RESOLVE", written(|out| settle(None).encode(out))),
        ("payload STATUS_OF, with a token", written(|out| settle(Some(token())).encode(out))),
        ("content RESOLVE, COMMITTED", status(KeyStatus::Committed { at: TOKEN, results: results.list() })),
        ("content RESOLVE, REJECTED", status(KeyStatus::Rejected { at: TOKEN, why: rejection() })),
        ("content RESOLVE, ABORTED", status(KeyStatus::Aborted { at: TOKEN })),
        ("content STATUS_OF, IN_FLIGHT", status(KeyStatus::InFlight)),
        ("content STATUS_OF, UNSEEN", status(KeyStatus::Unseen)),
        ("content STATUS_OF, EXPIRED", status(KeyStatus::Expired)),
        ("content STATUS_OF, LOST", status(KeyStatus::Lost)),
    ]
}

pub fn reads() -> Vec<Case> {
    let partition = Key::from("a");
    let (low, high) = (Key::from(1), Key::from(9));
    let get = |consistency| {
        let cabin = row("cabin", "C14");
        written(|out| GetRequest { consistency, ..GetRequest::new(&partition, &cabin) }.encode(out))
    };
    let scan = ScanRequest { limit: 10, ..ScanRequest::new(&partition, "bid") };
    let range = Span::Range { from: End::Included(low.as_bytes()), to: End::Excluded(high.as_bytes()) };
    let range = ScanRequest { span: range, order: Order::Descending, cursor: b"c", ..scan };
    let indexed = ScanRequest { index: Some("by-state"), span: Span::Prefix(low.as_bytes()), ..scan };
    let bytes = written(|out| Row::new().with("a", 1).encode(out));
    let found = Found { version: TOKEN, row: &bytes };
    let rows = [Some(found), None];
    let reply = |write: &dyn Fn(&mut Vec<u8>)| content_of(&written(write));
    let page_row = PageRow { key: low.as_bytes(), found };
    vec![
        ("payload GET, SESSION", get(Consistency::Session { token: token(), max_wait_ms: 50 })),
        ("payload GET, MAX_STALENESS", get(Consistency::MaxStaleness { ms: 2000 })),
        (
            "payload MULTI_GET",
            written(|out| {
                let rows = [row("t", 1), row("t", 2)];
                MultiGetRequest::encode_rows(out, &Consistency::Linearizable, &partition, &rows);
            }),
        ),
        (
            "content MULTI_GET",
            reply(&|out| {
                reply::encode_rows(out, &meta(Opcode::MultiGet), LINEAGE.tag(), rows.into_iter());
            }),
        ),
        ("payload SCAN, all rows", written(|out| scan.encode(out))),
        ("payload SCAN, 1 up to 9 backwards, behind a cursor", written(|out| range.encode(out))),
        ("payload SCAN_INDEX, what begins with 1", written(|out| indexed.encode(out))),
        (
            "content SCAN",
            reply(&|out| {
                reply::encode_page(out, &meta(Opcode::Scan), LINEAGE.tag(), [page_row], || &b"c"[..]);
            }),
        ),
    ]
}

fn declaration() -> Declaration {
    let field = |kind, required| Field { kind, required };
    let text = |text: &str| Value::from(text);
    Declaration {
        strict: true,
        append_only: false,
        default_ttl: Some(ttl()),
        fields: BTreeMap::from([
            ("by".to_owned(), field(Kind::Text, false)),
            ("state".to_owned(), field(Kind::Text, true)),
        ]),
        indexes: BTreeMap::from([(
            "by-holder".to_owned(),
            Index {
                fields: vec!["by".to_owned()],
                unique: true,
                only: Some(("state".to_owned(), vec![text("held")])),
            },
        )]),
        transitions: BTreeMap::from([(
            "state".to_owned(),
            Transitions { initial: vec![text("free")], allowed: vec![(text("free"), text("held"))] },
        )]),
        sums: BTreeSet::from([SumZero { field: "amount".to_owned(), per: Some("currency".to_owned()) }]),
    }
}

pub fn tables() -> Vec<Case> {
    let bytes = written(|out| declaration().encode(out));
    assert_eq!(Declaration::decode(&bytes), Ok(declaration()));
    let declare = DeclareRequest { table: "cabin", version: 1, declaration: b"\x01\0\0\0\0\0\0" };
    let declared = Declared { version: 1, declaration: declare.declaration };
    let reply =
        |declared| content_of(&written(|out| reply::encode_declared(out, &meta(Opcode::Describe), declared)));
    let facts = [
        Fact { name: "log.durable_index", value: Ok("41") },
        Fact { name: "disk.direct_io", value: Err("the file system does not say") },
    ];
    let partition = Key::from("a");
    let request = Subject::Request { partition: partition.as_bytes(), request_key: caller() };
    let (shard, epoch, leader) = (ShardId(1), Epoch(2), "10.0.0.1:7411");
    let part = route::Owned { first_hash: 0, shard, epoch, leader, labels: seawall::List::EMPTY };
    let map = [(part, &["region=eu"][..])];
    vec![
        (
            "payload GET_MAP",
            written(|out| route::MapRequest { known: seawall::map::Generation(0) }.encode(out)),
        ),
        ("content GET_MAP", content_of(&written(|out| reply::encode_map(out, &meta(Opcode::GetMap), map)))),
        ("declaration of a table", bytes),
        ("payload DECLARE, of nothing", written(|out| declare.encode(out))),
        ("content DESCRIBE, found", reply(Some(declared))),
        ("content DESCRIBE, none", reply(None)),
        ("payload STATUS, of the node", written(|out| Subject::Node.encode(out))),
        ("payload EXPLAIN, of shard 1", written(|out| Subject::Shard(ShardId(1)).encode(out))),
        ("payload TRACE, of a request", written(|out| request.encode(out))),
        (
            "content STATUS, incomplete",
            content_of(&written(|out| reply::encode_report(out, &meta(Opcode::Status), facts))),
        ),
    ]
}

pub fn stream() -> Vec<Case> {
    let partition = Key::from("a");
    let scope = Scope::Partition(partition.as_bytes());
    let subscribe = SubscribeRequest {
        scope,
        from: Begin::Token(token()),
        rows: true,
        events: true,
        table: Some("cabin"),
        topic: None,
        credit: 1 << 20,
    };
    let cabin = row("cabin", "C14");
    let at = RowAt::from(&cabin);
    let bytes = written(|out| Row::new().with("a", 1).encode(out));
    let change = |ordinal, what| Change {
        position: TOKEN,
        ordinal,
        time_us: FIRST_SENT,
        partition: partition.as_bytes(),
        what,
    };
    let changes = [
        change(0, What::Put { at, row: &bytes }),
        change(1, What::Deleted { at }),
        change(2, What::Expired { at }),
        change(3, What::Event { topic: "cabin-held", payload: b"C14" }),
    ];
    let (meta, tag) = (ReplyMeta { correlation: 7, ..meta(Opcode::Subscribe) }, LINEAGE.tag());
    let content = |write: &dyn Fn(&mut Vec<u8>)| content_of(&written(write));
    let compacted = Refusal::compacted("1:3", TOKEN);
    vec![
        ("payload SUBSCRIBE", written(|out| subscribe.encode(out))),
        (
            "payload SUBSCRIBE, a cursor of shard 1, events of a topic",
            written(|out| {
                let scope = Scope::Shard(ShardId(1));
                let (from, rows, table) = (Begin::Cursor("mails"), false, None);
                let topic = Some("cabin-held");
                SubscribeRequest { scope, from, rows, table, topic, ..subscribe }.encode(out);
            }),
        ),
        ("payload CREDIT", written(|out| CreditRequest { subscription: 7, bytes: 4096 }.encode(out))),
        ("payload CANCEL", written(|out| CancelRequest { subscription: 7 }.encode(out))),
        (
            "payload ACK_CURSOR",
            written(|out| AckRequest { scope, cursor: "mails", token: token() }.encode(out)),
        ),
        ("content SUBSCRIBE", content(&|out| reply::encode_subscribed(out, &meta, tag))),
        ("stream, progress", written(|out| reply::encode_progress(out, &meta, tag))),
        ("content of a stream, changes", content(&|out| reply::encode_changes(out, &meta, tag, changes))),
        (
            "content of a stream, epoch changed",
            content(&|out| reply::encode_epoch_changed(out, &meta, tag, Epoch(1), At(40))),
        ),
        ("stream, the end", written(|out| reply::encode_stream_end(out, &meta, &compacted))),
    ]
}

pub fn refusals() -> Vec<Case> {
    let bytes = written(|out| Row::new().with("a", 1).encode(out));
    let shown = rejection().showing(Some(Found { version: TOKEN, row: &bytes }));
    let to = |refusal: &Refusal| {
        written(|out| reply::encode_refusal(out, &meta(Opcode::Commit), refusal))
            .get(64..)
            .map(<[u8]>::to_vec)
    };
    let bent = Detail::Row { partition: Key::from("p"), row: row("t", 7) };
    let bent = Refusal::row_does_not_fit("table.fields", bent, "total: int", "total: text");
    let late = Refusal::durability_timeout(500, "member 3 is away")
        .naming(Key::from("p").as_bytes(), Some(&caller()));
    let done = written(|out| reply::encode_done(out, &meta(Opcode::Declare), Outcome::Committed));
    vec![
        ("payload of a reply, CONDITION_FAILED with the row", to(&shown).expect("a payload")),
        (
            "payload of a reply, NOT_LEADER",
            to(&Refusal::not_leader(Some("10.0.0.1:7411"))).expect("a payload"),
        ),
        ("payload of a reply, CONSTRAINT of a declaration with the row", to(&bent).expect("a payload")),
        ("payload of a reply, DURABILITY_TIMEOUT with what to RESOLVE", to(&late).expect("a payload")),
        ("payload of a reply, DECLARE", payload_of(&done)),
    ]
}
