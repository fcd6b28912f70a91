//! One door for each decoder, for bytes that anybody may have sent: it returns, whatever they are. A fuzzer walks
//! through these, and the tests do so with bytes made from golden ones. Where an encoding is the only one of what it
//! says, the door writes again what it read and compares.

use crate::address::RowPath;
use crate::frame::{self, Decoder, Frame, FrameMeta, HEADER_LEN, Kind, Step};
use crate::glance::{self, Glance};
use crate::key::{Key, display};
use crate::limits::{COMMIT_MAX, FRAME_BODY_MAX};
use crate::map::{Generation, Map, Range, ShardId};
use crate::message::{Opcode, Request};
use crate::position::Index;
use crate::replication::{Agreement, Envelope, EpochTable, Message, PeerOpcode};
use crate::reply::{Body, Reply};
use crate::row::{self, Row};
use crate::session::{Next, ServerSession};
use crate::token::Token;
use crate::value::Value;

/// A decoder's door.
pub type Door = fn(&[u8]);

/// All of them, by name.
pub const DOORS: &[(&str, Door)] = &[
    ("frame", frame),
    ("request", request),
    ("reply", reply),
    ("peer", peer),
    ("value", value),
    ("key", key),
    ("text", text),
    ("map", map),
    ("token", token),
];

/// Frames one behind the other: as they stand, and the first of them with its checksums made right.
pub fn frame(bytes: &[u8]) {
    follow(bytes);
    let Some(body) = bytes.get(HEADER_LEN..) else { return };
    let mut sealed = bytes.to_vec();
    let body_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    sealed[..4].copy_from_slice(&frame::MAGIC);
    sealed[4] = frame::VERSION;
    sealed[12..16].copy_from_slice(&body_len.to_le_bytes());
    sealed[56..60].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let crc = crc32c::crc32c(&sealed[..HEADER_LEN - 4]);
    sealed[HEADER_LEN - 4..HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
    follow(&sealed);
}

fn follow(bytes: &[u8]) {
    let mut decoder = Decoder::new(FRAME_BODY_MAX);
    let mut rest = bytes;
    let mut glanced = glance::frames(bytes);
    while let Ok(Step::Frame(frame, used)) = decoder.next(rest) {
        meaning(&frame);
        assert_eq!(glanced.next(), Some(frame), "what is a frame looks like one");
        // Fewer bytes first: a decoder that waits says for how many, and then finds the same.
        let mut patient = Decoder::new(FRAME_BODY_MAX);
        assert_eq!(patient.next(&rest[..used - 1]), Ok(Step::Need(used)));
        assert_eq!(patient.next(rest), Ok(Step::Frame(frame, used)));
        rest = &rest[used..];
    }
    let mut session = ServerSession::new(COMMIT_MAX);
    let mut rest = bytes;
    while let Ok(Next::Request { used, .. } | Next::Refused { used, .. }) = session.next(rest) {
        rest = &rest[used..];
    }
}

fn meaning(frame: &Frame<'_>) {
    let glance = glance::of_request(frame); // of whatever it is
    if let Ok(request) = Request::decode(frame) {
        assert_eq!(glance, about(&request), "a glance is right where the request is");
        let payload = written(|out| match request {
            Request::Hello(hello) => hello.encode(out),
            Request::Get(get) => get.encode(out),
            Request::Scan(scan) => scan.encode(out),
            Request::Subscribe(subscribe) => subscribe.encode(out),
            // Its operations stand behind a head that is written by whoever builds one.
            Request::Commit(commit) => {
                let rows = commit.ops.iter().filter_map(|op| op.touches());
                assert!(rows.map(|(row, _)| Key::check(row.key)).all(|key| key.is_ok()));
                assert_eq!(commit.ops.iter().count(), commit.ops.len(), "what was checked is read whole");
                assert_eq!(commit.checks.iter().count(), commit.checks.len(), "and so are the checks");
                out.extend_from_slice(frame.payload);
            }
            _ => out.extend_from_slice(frame.payload),
        });
        assert_eq!(payload, frame.payload, "a request has one encoding");
    }
    if let Ok(Reply { body: Body::Row { found: Some(found), .. }, .. }) = Reply::decode(frame) {
        assert_eq!(row::check(found.row), Ok(()), "a client is shown rows");
    }
}

fn about<'a>(request: &Request<'a>) -> Option<Glance<'a>> {
    match request {
        Request::Commit(commit) => {
            let changed = || commit.ops.iter().next().and_then(|op| op.touches()).map(|(row, _)| row);
            Some(Glance {
                partition: commit.partition,
                name: commit.request_key.map(|key| key.name),
                row: commit.checks.iter().next().map_or_else(changed, |check| check.row()),
            })
        }
        Request::Get(get) => Some(Glance { partition: get.partition, name: None, row: Some(get.at) }),
        _ => None,
    }
}

/// A payload behind its operation's number: as a client's request.
pub fn request(bytes: &[u8]) {
    framed(Kind::Request, bytes);
}

/// The same as a node's reply.
pub fn reply(bytes: &[u8]) {
    framed(Kind::Reply, bytes);
}

fn framed(kind: Kind, bytes: &[u8]) {
    let Some((first, payload)) = bytes.split_first() else { return };
    // Numbers of operations are few and far between: all but the unknown ones are near at hand.
    let known = Opcode::ALL.get(usize::from(*first)).map(|opcode| *opcode as u16);
    let opcode = known.unwrap_or(u16::from(*first));
    in_frame(&FrameMeta { kind, opcode, ..FrameMeta::default() }, payload, meaning);
}

fn in_frame(meta: &FrameMeta<'_>, payload: &[u8], meaning: impl FnOnce(&Frame<'_>)) {
    if payload.len() > FRAME_BODY_MAX {
        return;
    }
    let framed = written(|out| frame::write(out, meta, |out| out.extend_from_slice(payload)));
    match Decoder::new(FRAME_BODY_MAX).next(&framed) {
        Ok(Step::Frame(frame, _)) => meaning(&frame),
        other => panic!("what was written as a frame is none: {other:?}"),
    }
}

/// A payload behind its message's number: as one member sends it to another.
pub fn peer(bytes: &[u8]) {
    let Some((first, payload)) = bytes.split_first() else { return };
    let known = PeerOpcode::ALL.get(usize::from(*first)).map(|opcode| *opcode as u16);
    let opcode = known.unwrap_or(u16::from(*first));
    let shard = ShardId(u32::from(opcode != PeerOpcode::Link as u16));
    let meta = FrameMeta { kind: Kind::Control, opcode, shard, ..FrameMeta::default() };
    in_frame(&meta, payload, |frame| {
        let Ok(envelope) = Envelope::decode(frame) else { return };
        let written = written(|out| envelope.encode(out));
        assert_eq!(written.get(HEADER_LEN..), Some(frame.payload), "a message has one encoding");
        match envelope.message {
            Message::Hello(hello) => agrees_with_itself(&hello.epochs, hello.last),
            Message::Welcome(welcome) => agrees_with_itself(&welcome.epochs, welcome.positions.received),
            Message::Fenced(fenced) => agrees_with_itself(&fenced.epochs, fenced.positions.received),
            _ => {}
        }
    });
}

/// A log is one with itself up to its end, wherever that is, and with an empty one up to nothing.
fn agrees_with_itself(epochs: &EpochTable<'_>, last: Index) {
    let mine = epochs.agreement(last, epochs, last);
    let nothing = Agreement::Until(Index(0));
    let expected =
        if epochs.iter().len() > 0 || last == Index(0) { Agreement::Until(last) } else { Agreement::Unknown };
    assert_eq!(mine, expected);
    assert_eq!(epochs.agreement(last, &EpochTable::EMPTY, Index(0)), nothing);
}

/// The values of a row, and the row.
pub fn value(bytes: &[u8]) {
    let checked = row::check(bytes);
    match Row::decode(bytes) {
        Ok(row) => {
            assert_eq!(checked, Ok(()), "a row that is read was checked");
            assert_eq!(written(|out| row.encode(out)), bytes, "a row has one encoding");
            let _ = row.to_string();
        }
        Err(malformed) => assert_eq!(checked, Err(malformed), "a row that is no row is refused"),
    }
}

/// A key as bytes, and the way to its text and back.
pub fn key(bytes: &[u8]) {
    let shown = display(bytes).to_string();
    let Ok(key) = Key::from_bytes(bytes) else { return };
    let parts: Vec<_> = key.parts().collect();
    assert_eq!(Key::of(&parts), key, "a tuple has one encoding");
    assert_eq!(key.to_string(), shown);
    assert_eq!(shown.parse(), Ok(key), "{shown}");
}

/// What a person types: keys, paths and values of each type.
pub fn text(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(path) = text.parse::<RowPath>() {
        assert_eq!(path.to_string().parse(), Ok(path));
    }
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    for type_name in
        [None, Some("text"), Some("int"), Some("bool"), Some("decimal"), Some("time"), Some("bytes")]
    {
        let Ok(value) = Value::parse(type_name, text) else { continue };
        let row = Row::new().with("value", value);
        let bytes = written(|out| row.encode(out));
        assert!(row::check(&bytes).is_ok() || text.len() > 1000, "what was typed can be sent: {row}");
    }
}

/// The ranges of a map, twelve bytes each, and the owners that it finds for them.
pub fn map(bytes: &[u8]) {
    let (ranges, _) = bytes.as_chunks::<12>();
    let range = |bytes: &[u8; 12]| {
        let [hash @ .., a, b, c, d] = *bytes;
        Range { first_hash: u64::from_be_bytes(hash), shard: ShardId(u32::from_le_bytes([a, b, c, d])) }
    };
    let ranges: Vec<Range> = ranges.iter().map(range).collect();
    let Ok(map) = Map::new(Generation(1), ranges.clone()) else { return };
    for (nth, range) in ranges.iter().enumerate() {
        assert_eq!(map.shard_of(range.first_hash), range.shard);
        let last = ranges.get(nth + 1).map_or(u64::MAX, |next| next.first_hash - 1);
        assert_eq!(map.shard_of(last), range.shard);
    }
}

/// A token as text; it is written in capitals, and read in any letters.
pub fn token(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(token) = text.parse::<Token>() {
        assert_eq!(token.to_string(), text.to_ascii_uppercase(), "a token has one text");
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}
