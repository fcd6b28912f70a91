//! A node that plays a script, for tests of clients.
#![allow(dead_code, reason = "each of them uses its part")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use seawall::client::Options;
use seawall::limits::REQUEST_BODY_MAX;
use seawall::map::{Generation, ShardId};
use seawall::message::hello::{HelloReply, Limits};
use seawall::message::read::Found;
use seawall::message::{Request, RequestMeta};
use seawall::position::{Lineage, Position};
use seawall::reply::{self, ReplyMeta};
use seawall::session::{Next, ServerSession};
use seawall::{Commit, List, Refusal, Row, row};

pub const SERVER_TIME: i64 = 1_784_053_800_000_000;
pub const GENERATION: u64 = 5;
pub const AT: Position = Position::new(1, 7);

/// What the node does with a request that is not HELLO; HELLO it always welcomes.
pub type Act = Box<dyn FnOnce(&ReplyMeta, Request<'_>) -> Deed + Send>;

pub enum Deed {
    Say(Vec<u8>),
    /// In pieces of this many bytes, each a moment after the other.
    SayInPieces(Vec<u8>, usize),
    SayAndHangUp(Vec<u8>),
    /// Nothing, until the client gives up.
    Silence,
}

/// What arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub generation: u64,
    /// The first time and the name of the key that it was sent under.
    pub key: Option<(i64, String)>,
}

pub fn act(act: impl FnOnce(&ReplyMeta, Request<'_>) -> Deed + Send + 'static) -> Act {
    Box::new(act)
}

pub fn bytes(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

pub fn answer(write: impl FnOnce(&mut Vec<u8>, &ReplyMeta) + Send + 'static) -> Act {
    act(|meta, _| Deed::Say(bytes(|out| write(out, meta))))
}

pub fn commits() -> Act {
    answer(|out, meta| reply::encode_committed(out, meta, 77, &List::EMPTY))
}

pub fn refuses(refusal: Refusal) -> Act {
    answer(move |out, meta| reply::encode_refusal(out, meta, &refusal))
}

/// A row whose field is this.
pub fn finds(state: &'static str) -> Act {
    answer(move |out, meta| {
        let row = bytes(|out| Row::new().with("state", state).encode(out));
        let meta = ReplyMeta { position: Some(Position::new(1, 9)), ..*meta };
        reply::encode_row(out, &meta, 77, Some(Found { version: Position::new(1, 6), row: &row }));
    })
}

pub fn finds_nothing() -> Act {
    answer(|out, meta| {
        let meta = ReplyMeta { position: Some(Position::new(1, 9)), ..*meta };
        reply::encode_row(out, &meta, 77, None);
    })
}

pub fn hangs_up() -> Act {
    act(|_, _| Deed::SayAndHangUp(Vec::new()))
}

pub fn is_silent() -> Act {
    act(|_, _| Deed::Silence)
}

/// Plays over as many connections as it takes and returns what arrived.
pub fn node(script: Vec<Act>) -> (String, JoinHandle<Vec<Seen>>) {
    let (address, listener) = listen();
    let played = spawn(move || {
        let (mut script, mut seen) = (script.into_iter(), Vec::new());
        while script.len() > 0 {
            play(listener.accept().unwrap().0, &mut script, &mut seen);
        }
        seen
    });
    (address, played)
}

/// One that always does the same, for as long as the test runs.
pub fn endless_node(act: fn() -> Act) -> String {
    let (address, listener) = listen();
    spawn(move || {
        loop {
            let (stream, _) = listener.accept().unwrap();
            spawn(move || play(stream, &mut std::iter::repeat_with(act), &mut Vec::new()));
        }
    });
    address
}

pub fn listen() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (listener.local_addr().unwrap().to_string(), listener)
}

/// Plays until one side hangs up.
pub fn play(mut stream: TcpStream, script: &mut impl Iterator<Item = Act>, seen: &mut Vec<Seen>) {
    let (mut session, mut inbox) = (ServerSession::new(REQUEST_BODY_MAX), Vec::new());
    stream.set_nodelay(true).unwrap();
    loop {
        let (deed, used) = match session.next(&inbox).unwrap() {
            Next::Need(_) => {
                let mut bytes = vec![0; 64 << 10];
                let Some(received) = stream.read(&mut bytes).ok().filter(|n| *n > 0) else { return };
                inbox.extend_from_slice(&bytes[..received]);
                continue;
            }
            Next::Request { meta, request: Request::Hello(hello), used } => {
                session.accept(&hello).unwrap();
                let about = ReplyMeta { generation: Generation(GENERATION), ..ReplyMeta::to(&meta) };
                (Deed::Say(bytes(|out| reply::encode_hello(out, &about, &welcome()))), used)
            }
            Next::Request { meta, request, used } => {
                let key = match &request {
                    Request::Commit(commit) => commit.request_key,
                    _ => None,
                };
                let key = key.map(|key| (key.first_sent_us, key.name.to_string()));
                seen.push(Seen { generation: meta.generation.0, key });
                let act = script.next().expect("the script covers every request");
                (act(&about(&meta), request), used)
            }
            Next::Refused { refusal, .. } => panic!("{refusal}"),
        };
        inbox.drain(..used);
        if !carry_out(&mut stream, deed) {
            return;
        }
    }
}

/// Whether the connection goes on. A client may be gone by now.
fn carry_out(stream: &mut TcpStream, deed: Deed) -> bool {
    match deed {
        Deed::Say(bytes) => stream.write_all(&bytes).is_ok(),
        Deed::SayInPieces(bytes, piece) => bytes.chunks(piece).all(|piece| {
            sleep(Duration::from_millis(1));
            stream.write_all(piece).is_ok()
        }),
        Deed::SayAndHangUp(bytes) => {
            let _ = stream.write_all(&bytes);
            false
        }
        Deed::Silence => {
            while stream.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
            false
        }
    }
}

fn about(meta: &RequestMeta) -> ReplyMeta {
    let generation = Generation(GENERATION);
    ReplyMeta { generation, shard: ShardId(1), position: Some(AT), ..ReplyMeta::to(meta) }
}

fn welcome() -> HelloReply {
    HelloReply {
        version: 1,
        features: 0,
        lineage: Lineage::default(),
        cluster: Lineage::default(),
        server_time_us: SERVER_TIME,
        limits: Limits::default(),
        driver: "test".to_owned(),
        durable_primitive: "none".to_owned(),
        direct_io: false,
        dev: true,
    }
}

pub fn options() -> Options {
    Options { deadline: Duration::from_millis(800), ..Options::default() }
}

/// A commit without a key.
pub fn plain() -> Commit {
    Commit::new("p").put(&row("t", 1), [("state", "held")])
}

/// The same under a key.
pub fn hold() -> Commit {
    plain().key("hold-1")
}
