//! Every request and every reply: cut at each byte, each bit changed, one above each limit, and not from strangers.

use std::ops::Bound;

use seawall::frame::{self, FrameMeta, HEADER_LEN, Kind};
use seawall::limits::*;
use seawall::map::{Generation, ShardId};
use seawall::message::declare::{Declaration, DeclareRequest, Declared, Field, Index};
use seawall::message::hello::HelloRequest;
use seawall::message::read::Found;
use seawall::message::report::{Fact, Subject};
use seawall::message::scan::{PageRow, Span};
use seawall::message::settle::{KeyStatus, SettleRequest};
use seawall::message::term::RowAt;
use seawall::message::watch::*;
use seawall::message::*;
use seawall::position::{Epoch, Lineage, Position};
use seawall::refusal::{Detail, Outcome, Refusal, Retry};
use seawall::reply::{self, Body, Reply, ReplyMeta};
use seawall::session::{Answer, ClientSession, Next, ServerSession};
use seawall::{Code, Commit, Key, List, Row, Token, row};

const AT: Position = Position::new(3, 9);
const TOKEN: Token = Token { lineage_tag: 5, shard: ShardId(1), position: AT };

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn key() -> RequestKey<'static> {
    RequestKey { name: KeyName::Caller(b"k"), first_sent_us: 4 }
}

/// One payload of each request but COMMIT and HELLO, and more where there are forms of it.
fn requests() -> Vec<(Opcode, Vec<u8>)> {
    let (partition, low) = (Key::from("p"), Key::from(1));
    let rows = [row("t", 1), row("t", 2)];
    let session = Consistency::Session { token: TOKEN, max_wait_ms: 5 };
    let settle = |token| SettleRequest { partition: partition.as_bytes(), request_key: key(), token };
    let get = GetRequest { consistency: session, ..GetRequest::new(&partition, &rows[0]) };
    let scan = ScanRequest { cursor: b"c", ..ScanRequest::new(&partition, "t") };
    let span = Span::Range { from: Bound::Excluded(low.as_bytes()), to: Bound::Unbounded };
    let indexed = ScanRequest { index: Some("by"), span, ..scan };
    let declaration = written(|out| declaration(3).encode(out));
    let declare = DeclareRequest { table: "t", version: 1, declaration: &declaration };
    let request = Subject::Request { partition: partition.as_bytes(), request_key: key() };
    let scope = Scope::Partition(partition.as_bytes());
    let (table, topic) = (Some("t"), Some("e"));
    let from = Begin::Token(TOKEN);
    let subscribe = SubscribeRequest { scope, from, rows: true, events: true, table, topic, credit: 300 };
    let commit = written(|out| Commit::new("p").delete(&rows[0]).encode(out));
    let many = [&[2u8, commit.len() as u8][..], &commit, &[commit.len() as u8], &commit].concat();
    let map = route::MapRequest { known: Generation(3) };
    vec![
        (Opcode::GetMap, written(|out| map.encode(out))),
        (Opcode::CommitMany, many),
        (Opcode::StatusOf, written(|out| settle(Some(TOKEN)).encode(out))),
        (Opcode::Resolve, written(|out| settle(None).encode(out))),
        (Opcode::Get, written(|out| get.encode(out))),
        (Opcode::MultiGet, written(|out| MultiGetRequest::encode_rows(out, &session, &partition, &rows))),
        (Opcode::Scan, written(|out| scan.encode(out))),
        (Opcode::ScanIndex, written(|out| indexed.encode(out))),
        (Opcode::Declare, written(|out| declare.encode(out))),
        (Opcode::Describe, b"\x01t".to_vec()),
        (Opcode::Status, written(|out| Subject::Node.encode(out))),
        (Opcode::Explain, written(|out| Subject::Shard(ShardId(1)).encode(out))),
        (Opcode::Trace, written(|out| request.encode(out))),
        (Opcode::Subscribe, written(|out| subscribe.encode(out))),
        (Opcode::Credit, written(|out| CreditRequest { subscription: 7, bytes: 300 }.encode(out))),
        (Opcode::Cancel, written(|out| CancelRequest { subscription: 7 }.encode(out))),
        (Opcode::AckCursor, written(|out| AckRequest { scope, cursor: "c", token: TOKEN }.encode(out))),
    ]
}

fn declaration(fields: usize) -> Declaration {
    let field = Field { kind: declare::Kind::Int, required: true };
    let index =
        Index { fields: vec!["f0".to_owned()], unique: true, only: Some(("f1".to_owned(), vec![1.into()])) };
    Declaration {
        strict: true,
        fields: (0..fields).map(|n| (format!("f{n}"), field)).collect(),
        indexes: [("by".to_owned(), index)].into(),
        ..Declaration::default()
    }
}

fn open_session() -> ServerSession {
    let mut session = ServerSession::new(REQUEST_BODY_MAX);
    session.accept(&HelloRequest::new("", "")).unwrap();
    session
}

fn ask(opcode: Opcode, payload: &[u8]) -> Result<(), Code> {
    let meta = FrameMeta { opcode: opcode as u16, correlation: 9, ..FrameMeta::default() };
    let frame = written(|out| frame::write(out, &meta, |body| body.extend_from_slice(payload)));
    match open_session().next(&frame).expect("the frame itself is fine") {
        Next::Request { .. } => Ok(()),
        Next::Refused { refusal, .. } => Err(refusal.code),
        Next::Need(_) => panic!("the frame is whole"),
    }
}

#[test]
fn every_request_is_read_whole_or_refused() {
    let requests = requests();
    let missing = Opcode::ALL.iter().filter(|opcode| requests.iter().all(|(known, _)| known != *opcode));
    assert_eq!(
        missing.collect::<Vec<_>>(),
        [&Opcode::Hello, &Opcode::Commit],
        "they have tests of their own"
    );
    for (opcode, payload) in requests {
        assert_eq!(ask(opcode, &payload), Ok(()), "{}", opcode.name());
        for len in 0..payload.len() {
            assert_eq!(ask(opcode, &payload[..len]), Err(Code::BadFrame), "{} cut at {len}", opcode.name());
        }
        assert_eq!(ask(opcode, &[&payload[..], &[0]].concat()), Err(Code::BadFrame), "{}", opcode.name());
        for bit in 0..payload.len() * 8 {
            let mut changed = payload.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let _ = ask(opcode, &changed);
        }
    }
}

#[test]
fn nothing_but_hello_is_for_strangers() {
    for (opcode, payload) in requests() {
        let meta = FrameMeta { opcode: opcode as u16, ..FrameMeta::default() };
        let frame = written(|out| frame::write(out, &meta, |body| body.extend_from_slice(&payload)));
        let Ok(Next::Refused { refusal, .. }) = ServerSession::new(REQUEST_BODY_MAX).next(&frame) else {
            panic!("{} was taken", opcode.name())
        };
        assert_eq!(refusal.code, Code::Unauthenticated);
    }
}

#[test]
fn one_above_each_limit_of_a_request() {
    let (partition, tight) = (Key::from("p"), Err(Code::TooLarge));
    let rows = |n: usize| {
        let rows: Vec<_> = (0..n).map(|n| row("t", n as u64)).collect();
        let linearizable = Consistency::Linearizable;
        ask(
            Opcode::MultiGet,
            &written(|out| MultiGetRequest::encode_rows(out, &linearizable, &partition, &rows)),
        )
    };
    assert_eq!((rows(READ_ROWS_MAX), rows(READ_ROWS_MAX + 1), rows(0)), (Ok(()), tight, Err(Code::BadFrame)));
    let scan = |limit, cursor: &[u8]| {
        let scan = ScanRequest { limit, cursor, ..ScanRequest::new(&partition, "t") };
        ask(Opcode::Scan, &written(|out| scan.encode(out)))
    };
    assert_eq!((scan(SCAN_ROWS_MAX, b""), scan(SCAN_ROWS_MAX + 1, b"")), (Ok(()), tight));
    assert_eq!(scan(0, b""), Err(Code::BadFrame));
    assert_eq!((scan(1, &[0; CURSOR_MAX]), scan(1, &[0; CURSOR_MAX + 1])), (Ok(()), tight));
    let declare = |n| {
        let declaration = written(|out| declaration(n).encode(out));
        let declare = DeclareRequest { table: "t", version: 1, declaration: &declaration };
        ask(Opcode::Declare, &written(|out| declare.encode(out)))
    };
    assert_eq!((declare(TABLE_FIELDS_MAX), declare(TABLE_FIELDS_MAX + 1)), (Ok(()), tight));
    let many = |n| {
        let commits = vec![Commit::new(1).delete(&row("t", 1)); n];
        ClientSession::new()
            .commit_many(&mut Vec::new(), &commits, 0)
            .map(drop)
            .map_err(|refusal| refusal.code)
    };
    assert_eq!((many(COMMITS_MAX), many(COMMITS_MAX + 1), many(0)), (Ok(()), tight, Err(Code::BadFrame)));
}

/// Each commit of many is answered under an id of its own.
#[test]
fn commits_of_many_are_numbered() {
    let mut session = ClientSession::new();
    let commits = [Commit::new("p").delete(&row("t", 1)), Commit::new("q").delete(&row("t", 1))];
    let mut out = Vec::new();
    let first = session.commit_many(&mut out, &commits, 0).unwrap();
    let next = session.get(&mut Vec::new(), &Key::from("p"), &row("t", 1), 0).unwrap();
    assert_eq!(next, first + 2);
    let Ok(Next::Request { request: Request::CommitMany(many), .. }) = open_session().next(&out) else {
        panic!()
    };
    let partitions: Vec<_> = many.iter().map(|(_, commit)| commit.partition).collect();
    assert_eq!((many.len(), partitions), (2, vec![Key::from("p").as_bytes(), Key::from("q").as_bytes()]));
}

/// One frame of each reply, and of each content of a stream.
fn replies() -> Vec<Vec<u8>> {
    let bytes = written(|out| Row::new().with("a", 1).encode(out));
    let found = Found { version: AT, row: &bytes };
    let (partition, cabin) = (Key::from("p"), row("cabin", "C14"));
    let (part, at) = (partition.as_bytes(), RowAt::from(&cabin));
    let change = |what| Change { position: AT, ordinal: 1, time_us: 2, partition: part, what };
    let changes = [change(What::Put { at, row: &bytes }), change(What::Event { topic: "e", payload: b"x" })];
    let to = |opcode: Opcode| ReplyMeta { opcode: opcode as u16, position: Some(AT), ..ReplyMeta::default() };
    let declaration = written(|out| declaration(1).encode(out));
    let declared = Declared { version: 1, declaration: &declaration };
    let facts = [Fact { name: "a", value: Ok("b") }, Fact { name: "c", value: Err("d") }];
    let rejected = KeyStatus::Rejected { at: AT, why: Refusal::key_aborted(AT) };
    let committed = KeyStatus::Committed { at: AT, results: List::EMPTY };
    let shown = Refusal::constraint(1, "a", "b", "c").showing(Some(found));
    let page = [PageRow { key: cabin.key.as_bytes(), found }];
    let stream = to(Opcode::Subscribe);
    let part = |first_hash| {
        let (shard, epoch) = (ShardId(1), Epoch(2));
        (route::Owned { first_hash, shard, epoch, leader: "a:1", labels: List::EMPTY }, &["x", "y"][..])
    };
    vec![
        written(|out| reply::encode_committed(out, &to(Opcode::Commit), 1, &List::EMPTY)),
        written(|out| reply::encode_key_status(out, &to(Opcode::StatusOf), 1, &KeyStatus::Unseen)),
        written(|out| reply::encode_key_status(out, &to(Opcode::Resolve), 1, &rejected)),
        written(|out| reply::encode_key_status(out, &to(Opcode::Resolve), 1, &committed)),
        written(|out| reply::encode_row(out, &to(Opcode::Get), 1, Some(found))),
        written(|out| reply::encode_rows(out, &to(Opcode::MultiGet), 1, [None, Some(found)].into_iter())),
        written(|out| reply::encode_page(out, &to(Opcode::Scan), 1, page, || &b"c"[..])),
        written(|out| reply::encode_page(out, &to(Opcode::ScanIndex), 1, [], || &b""[..])),
        written(|out| reply::encode_declared(out, &to(Opcode::Describe), Some(declared))),
        written(|out| reply::encode_report(out, &to(Opcode::Trace), facts)),
        written(|out| reply::encode_map(out, &to(Opcode::GetMap), [part(0), part(9)])),
        written(|out| reply::encode_map(out, &to(Opcode::GetMap), [])),
        written(|out| reply::encode_subscribed(out, &stream, 1)),
        written(|out| reply::encode_changes(out, &stream, 1, changes)),
        written(|out| reply::encode_progress(out, &stream, 1)),
        written(|out| reply::encode_epoch_changed(out, &stream, 1, Epoch(1), seawall::position::Index(2))),
        written(|out| reply::encode_stream_end(out, &stream, &Refusal::compacted("1:1", AT))),
        written(|out| reply::encode_done(out, &to(Opcode::Cancel), Outcome::None)),
        written(|out| reply::encode_refusal(out, &to(Opcode::Commit), &shown)),
    ]
}

/// A client tells a stream's frames from replies by their opcode, and the last one came with none.
#[test]
fn the_end_of_a_stream_is_a_frame_of_the_stream() {
    let meta = ReplyMeta { correlation: 7, position: Some(AT), ..ReplyMeta::default() };
    let bytes = written(|out| reply::encode_stream_end(out, &meta, &Refusal::compacted("1:1", AT)));
    let mut session = ClientSession::new();
    let Ok(Answer::Reply(reply, _)) = session.next(&bytes) else { panic!("{bytes:02x?}") };
    assert_eq!((reply.meta.opcode, reply.meta.correlation), (Opcode::Subscribe as u16, 7));
}

#[test]
fn every_reply_is_read_whole_or_refused() {
    for bytes in replies() {
        let mut session = ClientSession::new();
        let Ok(Answer::Reply(reply, used)) = session.next(&bytes) else { panic!("{bytes:02x?}") };
        assert_eq!(used, bytes.len());
        let name = format!("{:?}", reply.body);
        let header = frame::Decoder::new(FRAME_BODY_MAX).next(&bytes);
        let Ok(frame::Step::Frame(whole, _)) = header else { panic!("{name}") };
        let kind = whole.header.kind().unwrap();
        let read = |payload: &[u8]| {
            let meta = FrameMeta { kind, opcode: whole.header.opcode, ..FrameMeta::default() };
            let frame = written(|out| frame::write(out, &meta, |body| body.extend_from_slice(payload)));
            ClientSession::new().next(&frame).is_ok()
        };
        let payload = &bytes[HEADER_LEN..];
        assert!(read(payload), "{name}");
        (0..payload.len()).for_each(|len| assert!(!read(&payload[..len]), "{name} cut at {len}"));
        assert!(!read(&[payload, &[0]].concat()), "{name} with a byte more");
        for bit in 0..payload.len() * 8 {
            let mut changed = payload.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            read(&changed);
        }
    }
}

#[test]
fn a_map_begins_at_zero_and_ascends() {
    let read = |hashes: &[u64]| {
        let meta = ReplyMeta { opcode: Opcode::GetMap as u16, ..ReplyMeta::default() };
        let (shard, epoch) = (ShardId(1), Epoch(2));
        let part = |first_hash| route::Owned { first_hash, shard, epoch, leader: "", labels: List::EMPTY };
        let bytes = written(|out| {
            reply::encode_map(out, &meta, hashes.iter().map(|hash| (part(*hash), &["x"][..])));
        });
        let mut session = ClientSession::new();
        match session.next(&bytes) {
            Ok(Answer::Reply(Reply { body: Body::Map(parts), .. }, _)) => {
                Some(parts.iter().map(|part| part.first_hash).collect::<Vec<_>>())
            }
            _ => None,
        }
    };
    assert_eq!(read(&[0, 5, u64::MAX]), Some(vec![0, 5, u64::MAX]));
    assert_eq!(read(&[]), Some(vec![]));
    assert_eq!((read(&[1]), read(&[0, 5, 5]), read(&[0, 6, 5])), (None, None, None));
}

#[test]
fn a_stream_is_not_taken_for_a_reply() {
    let meta = ReplyMeta { opcode: Opcode::Get as u16, position: Some(AT), ..ReplyMeta::default() };
    let mut bytes = written(|out| reply::encode_progress(out, &meta, 1));
    assert!(matches!(
        ClientSession::new().next(&bytes),
        Ok(Answer::Reply(Reply { body: Body::Told { told: Told::Progress, .. }, .. }, _))
    ));
    let payload = bytes.split_off(HEADER_LEN);
    let meta = FrameMeta { kind: Kind::Stream, opcode: Opcode::Get as u16, ..FrameMeta::default() };
    let frame = written(|out| frame::write(out, &meta, |body| body.extend_from_slice(&payload)));
    assert!(ClientSession::new().next(&frame).is_err());
}

#[test]
fn declarations_have_one_encoding() {
    let bytes = written(|out| declaration(12).encode(out));
    assert_eq!(Declaration::decode(&bytes), Ok(declaration(12)));
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = Declaration::decode(&changed) {
            assert_eq!(written(|out| read.encode(out)), changed, "bit {bit}");
        }
    }
}

#[test]
fn an_index_is_of_what_a_key_can_hold() {
    for kind in declare::Kind::ALL {
        let mut declaration = declaration(2);
        declaration.fields.insert("f0".to_owned(), Field { kind, required: false });
        let fits = ["int", "time", "text", "bytes"].contains(&kind.name());
        let read = Declaration::decode(&written(|out| declaration.encode(out)));
        assert_eq!(read.is_ok(), fits, "{}", kind.name());
    }
}

/// One of each code at least.
fn refusals() -> Vec<Refusal> {
    let (a, b) = (Lineage([1; 16]), Lineage([2; 16]));
    let (one, two) = (Fingerprint([1; 16]), Fingerprint([2; 16]));
    let cabin = row("cabin", "C14");
    let exists = Check::Exists(RowAt::from(&cabin));
    let place = Detail::Row { partition: Key::from("p"), row: cabin.clone() };
    vec![
        Refusal::stale_generation(Generation(2), Generation(1)),
        Refusal::generation_ahead(Generation(1), Generation(2), 5),
        Refusal::not_leader(None),
        Refusal::not_leader(Some("10.0.0.1:7411")),
        Refusal::fenced_epoch(Epoch(1), Epoch(2)),
        Refusal::unknown_epoch(Epoch(1), Epoch(2), 5),
        Refusal::shard_moving("copying", 5),
        Refusal::lease_unproven("b", 5),
        Refusal::condition_failed(3, &exists, "a", "b"),
        Refusal::lease_taken(3, AT, 50),
        Refusal::invalid_transition(3, "state", "held", "free", "sold"),
        Refusal::constraint(127, "add.ceiling", "a", "b"),
        Refusal::row_does_not_fit("row.strict", place, "a", "b"),
        Refusal::lease_lost_in_check(3, AT, "expired"),
        Refusal::lease_lost_in_operation(3, AT, "expired"),
        Refusal::key_aborted(AT),
        Refusal::key_reused(one, two),
        Refusal::cross_partition("a", "b"),
        Refusal::key_expired(5, 4),
        Refusal::sequence_expired(5, 4),
        Refusal::not_caught_up(AT, Position::new(4, 1), Some(5)),
        Refusal::not_caught_up(AT, Position::new(4, 1), None),
        Refusal::stale_bound(None, 5),
        Refusal::token_lost_history(AT, AT),
        Refusal::compacted("1:1", AT),
        Refusal::cursor_lost("mail", AT, AT),
        Refusal::cursor_unknown("mail"),
        Refusal::replica_unsafe("state.halted", "halted"),
        Refusal::clock_untrusted("a", "b"),
        Refusal::durability_unavailable(2, 1, "member 3 is away", 5),
        Refusal::disk_full("ENOSPC", 100),
        Refusal::log_failed("EIO").at(Position::new(1, 7)),
        Refusal::log_failed_after_append("EIO"),
        Refusal::log_failed_after_append("EIO").naming(Key::from("p").as_bytes(), Some(&key())),
        Refusal::durability_timeout(5, "b"),
        Refusal::leadership_lost(Epoch(1), Epoch(2)),
        Refusal::checksum("slot 3", 1, 2),
        Refusal::continuity("a", "b"),
        Refusal::snapshot_log_mismatch("a", "b"),
        Refusal::corrupt_metadata("a"),
        Refusal::lineage_mismatch(&a, &b),
        Refusal::foreign_token(7, 8),
        Refusal::throttled("batch", 3, 20),
        Refusal::deadline_before_append(100),
        Refusal::quota("rows", 1, 2, 5),
        Refusal::unauthenticated(),
        Refusal::denied("a", "b", "c"),
        Refusal::projection_readonly("t"),
        Refusal::promote_refused("a"),
        Refusal::not_ready("recovering", 50),
        Refusal::cas_failed("a", 1, 2),
        Refusal::map_changed(Generation(1), Generation(2)),
        Refusal::bad_frame("a", "b", "c"),
        Refusal::row_twice(1, "t/r"),
        Refusal::no_index("t", "by_v"),
        Refusal::no_shard(1, 2, 99),
        Refusal::first_sent_ahead(1, 2),
        Refusal::unsupported_version(1, 2),
        Refusal::unsupported("a", "b", 3),
        Refusal::too_large("a", 1, 2),
    ]
}

/// An unknown end names what to resolve, and nothing else does.
#[test]
fn a_doubt_names_its_key() {
    let partition = Key::from("p");
    let named = |refusal: Refusal| refusal.naming(partition.as_bytes(), Some(&key()));
    let unknown = named(Refusal::durability_timeout(5, "b"));
    assert_eq!(unknown.reason.detail.request_key(), Some(key()));
    assert!(unknown.to_string().contains("RESOLVE key k of partition p"), "{unknown}");
    assert_eq!(named(Refusal::throttled("batch", 3, 20)).reason.detail, Detail::None);
    let unkeyed = Refusal::durability_timeout(5, "b").naming(partition.as_bytes(), None);
    assert_eq!(unkeyed.reason.detail, Detail::None);
}

/// Every code has a constructor, arrives as it was sent, and says what to do.
#[test]
fn refusals_survive() {
    let refusals = refusals();
    let missing: Vec<_> =
        Code::ALL.iter().filter(|code| refusals.iter().all(|refusal| refusal.code != **code)).collect();
    assert_eq!(missing, [] as [&Code; 0]);
    for refusal in refusals {
        assert!(!refusal.reason.hint.is_empty() && !refusal.to_string().is_empty());
        assert_eq!(refusal.retry() == Retry::SameKeyAfter, refusal.retry_after_ms > 0, "{refusal}");
        let meta = ReplyMeta { shard: ShardId(4), ..ReplyMeta::default() };
        let bytes = written(|out| reply::encode_refusal(out, &meta, &refusal));
        let mut session = ClientSession::new();
        let Ok(Answer::Reply(Reply { body, meta }, used)) = session.next(&bytes) else { panic!("{refusal}") };
        assert_eq!((body, used), (Body::Refused(refusal), bytes.len()));
        assert_eq!(meta.shard, ShardId(4));
    }
}
