//! Frames and sessions: fed in pieces, damaged, cut short, and asked for what they do not know.

use proptest::collection::vec;
use proptest::prelude::*;
use seawall::frame::{self, Decoder, FrameMeta, HEADER_LEN, Kind, Step};
use seawall::limits::*;
use seawall::message::hello::HelloRequest;
use seawall::message::term::RowAt;
use seawall::message::{Op, Opcode, Request};
use seawall::refusal::Outcome;
use seawall::reply::{self, Body, Reply, ReplyMeta};
use seawall::session::{Answer, ClientSession, Next, ServerSession};
use seawall::tags::{MANDATORY, Tag};
use seawall::{Code, Commit, Key, Refusal, row};

/// HELLO, COMMIT and GET, one behind the other.
fn requests() -> Vec<u8> {
    let (mut session, mut out) = (ClientSession::new(), Vec::new());
    session.hello(&mut out, &HelloRequest::new("test", "me"), 1000);
    let commit = Commit::new("p").put(&row("t", 1), [("a", "b")]).delete(&row("t", 2));
    session.commit(&mut out, &commit, 1000).unwrap();
    session.get(&mut out, &Key::from("p"), &row("t", 1), 0).unwrap();
    out
}

fn open_session() -> ServerSession {
    let mut session = ServerSession::new(REQUEST_BODY_MAX);
    assert_eq!(session.accept(&HelloRequest::new("", "")), Ok(1));
    session
}

fn frame_of(opcode: u16, tags: &[Tag<'_>], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let meta = FrameMeta { kind: Kind::Request, opcode, correlation: 9, tags, ..FrameMeta::default() };
    frame::write(&mut out, &meta, |body| body.extend_from_slice(payload));
    out
}

/// The code that a well-framed request is refused with.
fn refused(frame: &[u8]) -> Option<Code> {
    match open_session().next(frame).expect("the frame itself is fine") {
        Next::Refused { meta, refusal, used } => {
            assert_eq!((meta.correlation, used), (9, frame.len()));
            assert_eq!(refusal.outcome, Outcome::None);
            Some(refusal.code)
        }
        Next::Request { .. } => None,
        Next::Need(_) => panic!("the frame is whole"),
    }
}

fn drain(bytes: &[u8], step: usize) -> Vec<String> {
    let (mut session, mut seen, mut start) = (open_session(), Vec::new(), 0);
    for end in (0..=bytes.len()).step_by(step).chain([bytes.len()]) {
        while start < end {
            match session.next(&bytes[start..end]).unwrap() {
                Next::Need(need) => {
                    assert!(need > end - start, "it needs more than it has");
                    break;
                }
                Next::Request { meta, request, used } => {
                    seen.push(format!("{meta:?} {request:?}"));
                    start += used;
                }
                Next::Refused { refusal, .. } => panic!("{refusal}"),
            }
        }
    }
    assert_eq!(start, bytes.len());
    seen
}

#[test]
fn byte_by_byte_is_as_good_as_whole() {
    let bytes = requests();
    let whole = drain(&bytes, bytes.len());
    assert_eq!(whole.len(), 3);
    [1, 2, 7, 63, 64, 65].into_iter().for_each(|step| assert_eq!(drain(&bytes, step), whole, "{step}"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The checksums see every change of a byte; nothing is read as something else.
    #[test]
    fn a_damaged_frame_is_refused(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let mut bytes = frame_of(Opcode::Hello as u16, &[Tag { id: 1, bytes: b"x" }], &[1, 2, 3]);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let fatal = ServerSession::new(REQUEST_BODY_MAX).next(&bytes).unwrap_err();
        let body_damaged = at >= HEADER_LEN;
        prop_assert_eq!(fatal.meta.correlation, if body_damaged { 9 } else { 0 });
    }

    #[test]
    fn any_payload_is_read_without_a_panic(opcode in 0..80u16, payload in vec(any::<u8>(), 0..300)) {
        let _ = refused(&frame_of(opcode, &[], &payload));
    }

    /// Past the checksums: what a broken or hostile client could send.
    #[test]
    fn a_changed_commit_is_read_whole_or_refused(at in any::<prop::sample::Index>(), to: u8, cut in any::<prop::sample::Index>()) {
        let mut payload = Vec::new();
        Commit::new(("p", 7)).put(&row("t", 1), [("a", "b")]).delete(&row("t", 2)).encode(&mut payload);
        let at = at.index(payload.len());
        payload[at] = to;
        for payload in [&payload[..], &payload[..cut.index(payload.len())]] {
            let bytes = frame_of(Opcode::Commit as u16, &[], payload);
            if let Next::Request { request: Request::Commit(commit), .. } = open_session().next(&bytes).unwrap() {
                prop_assert_eq!(commit.ops.iter().count(), commit.ops.len());
            }
        }
    }

    #[test]
    fn any_reply_is_read_without_a_panic(opcode in 0..80u16, payload in vec(any::<u8>(), 0..300), code in 0..1000u16) {
        let mut bytes = Vec::new();
        let meta = FrameMeta { kind: Kind::Reply, opcode, ..FrameMeta::default() };
        frame::write(&mut bytes, &meta, |body| {
            body.extend_from_slice(&code.to_le_bytes());
            body.extend_from_slice(&payload);
        });
        let _ = ClientSession::new().next(&bytes);
    }

    #[test]
    fn tags_survive(tags in vec((0..MANDATORY, vec(any::<u8>(), 0..20)), 0..8), payload in vec(any::<u8>(), 0..50)) {
        let tags: Vec<Tag<'_>> = tags.iter().map(|(id, bytes)| Tag { id: *id, bytes }).collect();
        let bytes = frame_of(7, &tags, &payload);
        let Step::Frame(frame, used) = Decoder::new(4096).next(&bytes).unwrap() else { panic!("it is whole") };
        prop_assert_eq!((frame.payload, used), (&payload[..], bytes.len()));
        prop_assert_eq!(frame.tags.check(&[]), Ok(()));
        for tag in &tags {
            let first = tags.iter().find(|other| other.id == tag.id).unwrap();
            prop_assert_eq!(frame.tags.find(tag.id), Some(first.bytes));
        }
    }
}

#[test]
fn only_hello_is_legal_before_hello() {
    let bytes = requests();
    let mut session = ServerSession::new(REQUEST_BODY_MAX);
    let Ok(Next::Request { request: Request::Hello(hello), used, .. }) = session.next(&bytes) else {
        panic!()
    };
    assert_eq!((hello.client_name, hello.identity), ("test", "me"));
    let Ok(Next::Refused { refusal, .. }) = session.next(&bytes[used..]) else { panic!("not open yet") };
    assert_eq!(refusal.code, Code::Unauthenticated);
    session.accept(&hello).unwrap();
    assert!(matches!(session.next(&bytes[used..]), Ok(Next::Request { request: Request::Commit(_), .. })));
}

#[test]
fn a_stranger_gets_four_kilobytes() {
    let hello = Opcode::Hello as u16;
    let largest = frame_of(hello, &[], &vec![0; HANDSHAKE_BODY_MAX]);
    assert!(matches!(ServerSession::new(REQUEST_BODY_MAX).next(&largest), Ok(Next::Refused { .. })));
    let header = &frame_of(hello, &[], &vec![0; HANDSHAKE_BODY_MAX + 1])[..HEADER_LEN];
    let fatal = ServerSession::new(REQUEST_BODY_MAX).next(header).unwrap_err();
    assert_eq!(fatal.refusal.code, Code::TooLarge, "before the body is there");
    assert_eq!(open_session().next(header), Ok(Next::Need(HEADER_LEN + HANDSHAKE_BODY_MAX + 1)));
}

#[test]
fn versions_that_do_not_meet() {
    for (min_version, max_version, meets) in
        [(0, 0, false), (1, 1, true), (0, 5, true), (2, 5, false), (2, 1, false)]
    {
        let hello = HelloRequest { min_version, max_version, ..HelloRequest::new("", "") };
        let mut session = ServerSession::new(REQUEST_BODY_MAX);
        assert_eq!(session.accept(&hello).is_ok(), meets, "{min_version} to {max_version}");
        assert_eq!(session.is_open(), meets);
    }
    let mut bytes = requests();
    bytes[4] = 2;
    assert_eq!(open_session().next(&bytes).unwrap_err().refusal.code, Code::UnsupportedVersion);
}

#[test]
fn what_is_unknown_is_skipped_or_refused() {
    let mut payload = Vec::new();
    HelloRequest::new("test", "me").encode(&mut payload);
    let hello = |tags: &[Tag<'_>]| refused(&frame_of(Opcode::Hello as u16, tags, &payload));
    assert_eq!(hello(&[Tag { id: 77, bytes: b"?" }]), None);
    assert_eq!(hello(&[Tag { id: MANDATORY | 77, bytes: b"?" }]), Some(Code::UnsupportedVersion));
    assert_eq!(hello(&[Tag { id: 1, bytes: &[0; TAGS_MAX] }]), Some(Code::TooLarge));
    assert_eq!(refused(&frame_of(6, &[], b"")), Some(Code::UnsupportedVersion));
    assert_eq!(refused(&frame_of(Opcode::Hello as u16, &[], b"")), Some(Code::BadFrame));
    let get = |consistency: u8| refused(&frame_of(Opcode::Get as u16, &[], &[consistency]));
    assert_eq!(get(4), Some(Code::UnsupportedVersion));
    assert_eq!(get(1), Some(Code::BadFrame));
}

#[test]
fn the_laws_of_a_commit() {
    let code = |commit: Commit| commit.validate().map_err(|refusal| refusal.code);
    let at = |i: usize| row("t", i as u64);
    let deletes = |n: usize| (0..n).fold(Commit::new("p"), |commit, i| commit.delete(&at(i)));
    assert_eq!(code(deletes(0)), Err(Code::BadFrame));
    assert_eq!(code(deletes(COMMIT_OPS_MAX)), Ok(()));
    assert_eq!(code(deletes(COMMIT_OPS_MAX + 1)), Err(Code::TooLarge));
    assert_eq!(code(deletes(2).put(&at(1), [("a", 1)])), Err(Code::BadFrame), "the same row twice");
    assert_eq!(code(deletes(2).delete(&row("u", 1u64))), Ok(()));
    assert_eq!(code(Commit::new("p".repeat(KEY_MAX)).delete(&at(1))), Err(Code::TooLarge));
    assert_eq!(code(Commit::new("p").delete(&row("t", "k".repeat(KEY_MAX)))), Err(Code::TooLarge));
    assert_eq!(code(Commit::new("p").delete(&row("", 1))), Err(Code::BadFrame));
    assert_eq!(code(Commit::new("p").put(&at(1), [("a", vec![0; ROW_MAX])])), Err(Code::TooLarge));
    assert_eq!(code(Commit::new("p").put(&at(1), [("a b", 1)])), Err(Code::BadFrame));
    let large = vec![0; ROW_MAX - 100];
    let puts =
        |n: usize| (0..n).fold(Commit::new("p"), |commit, i| commit.put(&at(i), [("a", large.clone())]));
    assert_eq!(code(puts(16)), Ok(()));
    assert_eq!(code(puts(17)), Err(Code::TooLarge));
}

#[test]
fn operations_arrive_in_their_order() {
    let bytes = requests();
    let mut session = open_session();
    let Ok(Next::Request { used, .. }) = session.next(&bytes) else { panic!() };
    let Ok(Next::Request { request: Request::Commit(commit), .. }) = session.next(&bytes[used..]) else {
        panic!()
    };
    assert_eq!(commit.partition, Key::from("p").as_bytes());
    let (one, two) = (Key::from(1), Key::from(2));
    let ops: Vec<_> = commit.ops.iter().collect();
    let at = |key| RowAt { table: "t", key };
    let put = Op::Put { at: at(one.as_bytes()), row: b"\x00\x01\x01a\x05\x01b", ttl: None };
    assert_eq!(ops, [put, Op::Delete { at: at(two.as_bytes()) }]);
}

/// A node that claims "nothing was done" under a code that cannot know it is not believed.
#[test]
fn an_outcome_must_fit_its_code() {
    let claimed = Refusal { outcome: Outcome::None, ..Refusal::log_failed_after_append("EIO") };
    let lie = Refusal { code: Code::DurabilityTimeout, ..claimed.clone() };
    for (refusal, believed) in [(claimed, true), (lie, false)] {
        let mut bytes = Vec::new();
        reply::encode_refusal(&mut bytes, &ReplyMeta::default(), &refusal);
        assert_eq!(ClientSession::new().next(&bytes).is_ok(), believed);
    }
}

#[test]
fn a_reason_that_is_too_long_is_cut_where_a_letter_ends() {
    let mut bytes = Vec::new();
    let long = Refusal::log_failed("é".repeat(REASON_TEXT_MAX) + "!");
    reply::encode_refusal(&mut bytes, &ReplyMeta::default(), &long);
    let Ok(Answer::Reply(Reply { body: Body::Refused(refusal), .. }, _)) = ClientSession::new().next(&bytes)
    else {
        panic!()
    };
    assert_eq!(refusal.reason.observed, "é".repeat(REASON_TEXT_MAX / 2));
}
