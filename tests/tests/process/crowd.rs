//! All places are taken by clients that said HELLO and keep still: who comes after them gets in, and nobody goes who has
//! a request or a subscription under way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use seawall::client::{Options, Watch};
use seawall::message::read::GetRequest;
use seawall::message::{Consistency, Opcode};
use seawall::position::Index;
use seawall::reply::Body;
use seawall::session::Answer;
use seawall::{Client, Commit, Key, Outcome, Token, row};

use crate::hostile::connect;
use crate::node::{Node, folder};

const PLACES: usize = 16;

/// Until an idle client gives way, and a little more; what a busy machine takes on top is waited for.
const IDLE: Duration = Duration::from_secs(11);
const PATIENCE: Duration = Duration::from_secs(60);

fn patient(node: &Node) -> Client {
    let options = Options { deadline: PATIENCE, silence: 4 * PATIENCE, ..Options::default() };
    Client::connect_with(node.address.as_str(), options).expect("there is a place for it")
}

fn held(client: &mut Client) -> Token {
    let commit = Commit::new("sailing").put(&row("cabin", "C14"), [("state", "held")]).event("held", "C14");
    let told = client.commit(&commit);
    let Ok(Outcome::Committed(committed)) = told else { panic!("{told:?}") };
    committed.token
}

/// A read that waits for what is still to come, as far behind the token.
fn waits_for(node: &Node, token: Token, further: u64) -> TcpStream {
    let (mut socket, mut session) = connect(&node.address);
    let at = Index(token.position.index.0 + further);
    let token = Token { position: seawall::position::Position { index: at, ..token.position }, ..token };
    let consistency = Consistency::Session { token, max_wait_ms: 300_000 };
    let (partition, cabin) = (Key::from("sailing"), row("cabin", "C14"));
    let get = GetRequest { consistency, ..GetRequest::new(&partition, &cabin) };
    let mut frame = Vec::new();
    session.ask(&mut frame, Opcode::Get, 0, |payload| get.encode(payload)).expect("it is small");
    socket.write_all(&frame).expect("it reads");
    socket
}

/// Skips HELLO's reply, and wants a row.
fn is_answered(mut socket: TcpStream) {
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let (mut session, mut bytes, mut used) = (seawall::session::ClientSession::new(), Vec::new(), 0);
    loop {
        match session.next(&bytes[used..]).expect("frames") {
            Answer::Reply(reply, took) => {
                used += took;
                match reply.body {
                    Body::Hello(_) => {}
                    Body::Row { found, .. } => return assert!(found.is_some(), "the cabin is there"),
                    other => panic!("{other:?}"),
                }
            }
            Answer::Need(_) => {
                let mut more = [0; 4096];
                let n = socket.read(&mut more).expect("it is answered in time");
                assert!(n > 0, "the node hung up on one that waits for an answer");
                bytes.extend_from_slice(&more[..n]);
            }
        }
    }
}

#[test]
fn whoever_asks_for_nothing_gives_way_to_a_newcomer() {
    let folder = folder("idle-crowd");
    let places = format!("connections.per_worker={PLACES}");
    let node = Node::start_with(&folder, &["--set", &places, "--set", "workers=1"]);
    let mut first = patient(&node);
    let token = held(&mut first);
    let mut watching = first.watch(&Watch::partition("sailing").topic("held")).expect("it watches");
    let waiting = waits_for(&node, token, 10);
    let idle: Vec<TcpStream> = (3..PLACES).map(|_| connect(&node.address).0).collect();
    std::thread::sleep(IDLE);
    let came = Instant::now();
    let mut newcomer = patient(&node);
    for _ in 0..10 {
        held(&mut newcomer);
    }
    println!("a newcomer beside {} idle clients was served after {:?}", idle.len(), came.elapsed());
    is_answered(waiting);
    let seen = watching.next_within(PATIENCE).expect("the subscription goes on");
    assert!(seen.is_some(), "the watcher was told nothing");
    let gone = |mut socket: &TcpStream| {
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
        let mut bytes = [0; 4096];
        loop {
            match socket.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {} // HELLO's reply
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    };
    let dismissed = idle.iter().filter(|socket| gone(socket)).count();
    assert!((1..=idle.len()).contains(&dismissed), "{dismissed} of {} gave way", idle.len());
    assert!(node.terminate().success());
}
