//! What waits for all clients together, and what is given back.

use seawall::message::{HelloRequest, RequestMeta};
use seawall::position::Position;

use super::*;
use crate::params::{CONNECTION_OUTPUT, OUTPUT_SHARE};

const LIMIT: usize = 4 << 20;
const ROW: usize = 60_000;

struct Bench {
    connections: Connections,
    now: Now,
    /// Sends that the clients have not taken yet.
    sends: Vec<(ConnId, Vec<u8>)>,
    closed: Vec<ConnId>,
}

fn conn(slot: u32) -> ConnId {
    ConnId { slot, serial: 1 }
}

impl Bench {
    fn new(clients: u32) -> Self {
        let now = Now { mono_us: 1, wall_us: 1 };
        let mut bench =
            Self { connections: Connections::bounded(0, LIMIT), now, sends: Vec::new(), closed: Vec::new() };
        for slot in 0..clients {
            bench.connections.accepted(now, conn(slot), &mut Effects::new());
            let session = &mut bench.connections.get(conn(slot)).expect("it was accepted").session;
            session.accept(&HelloRequest::new("test", "")).expect("it speaks as this node does");
        }
        bench
    }

    /// One answer to a client; its bytes are sent if it took those before.
    fn answer(&mut self, slot: u32, bytes: usize) {
        let request = RequestMeta::default();
        let meta = ReplyMeta::to(&request);
        self.connections.asked(conn(slot));
        let row = Some((Position::new(1, 2), vec![7; bytes].into()));
        let answer = Answer::Row { position: Position::new(1, 2), row };
        self.connections.answer(conn(slot), meta, answer, 0);
        self.flush();
    }

    fn flush(&mut self) {
        let mut effects = Effects::new();
        self.connections.flush(self.now, 0, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send { conn, buf, .. } => self.sends.push((conn, buf)),
                Effect::Close { conn } => self.closed.push(conn),
                _ => {}
            }
        }
    }

    /// The client takes all that it was sent; how much that was.
    fn takes(&mut self, slot: u32) -> usize {
        let mut took = 0;
        while let Some(at) = self.sends.iter().position(|(to, _)| *to == conn(slot)) {
            let (to, buf) = self.sends.remove(at);
            took += buf.len();
            let all = Ok(buf.len());
            self.connections.sent(self.now, to, buf, all, &mut Effects::new());
            self.flush();
        }
        took
    }

    fn tick_after(&mut self, us: u64) {
        self.now.mono_us += us;
        self.connections.tick(self.now);
        self.flush();
    }

    fn waits(&self) -> usize {
        self.connections.output_status().0
    }
}

/// Each of them stays within its own bound, and all of them together fill the memory.
#[test]
fn what_waits_for_all_clients_is_bounded_and_whoever_reads_goes_on() {
    let mut bench = Bench::new(40);
    for round in 0..20 {
        for slot in 1..40 {
            bench.answer(slot, ROW);
        }
        // Whoever reads has its answers, every one of them.
        bench.answer(0, 100);
        let told = bench.takes(0);
        assert!(told > 100, "round {round}: {told} bytes for the one that reads");
        assert!(bench.waits() <= LIMIT, "round {round}: {} bytes wait", bench.waits());
    }
    assert!(bench.waits() > LIMIT / 2, "nobody was deaf");
    bench.tick_after(DEAF_US);
    assert!(bench.closed.is_empty(), "they are deaf for no longer than that");
    bench.tick_after(2);
    let gone = std::mem::take(&mut bench.closed);
    let (_, deaf) = bench.connections.output_status();
    assert!(gone.len() == deaf as usize && (1..39).contains(&gone.len()), "{} were hung up on", gone.len());
    for conn in gone {
        assert_ne!(conn.slot, 0, "the one that reads");
        bench.connections.closed(conn);
    }
    assert!(bench.waits() < LIMIT / 2, "{} bytes wait still", bench.waits());
}

/// An answer that found no room comes when there is some.
#[test]
fn what_waited_for_room_is_told() {
    let mut bench = Bench::new(2);
    for _ in 0..LIMIT / ROW {
        bench.answer(1, ROW);
    }
    let mut told = 0;
    for _ in 0..4 * LIMIT / CONNECTION_OUTPUT {
        told += bench.takes(1);
        bench.tick_after(1);
    }
    assert!(told >= LIMIT / ROW * ROW, "{told} bytes of what was asked for");
    assert_eq!(bench.connections.slots.iter().flatten().map(|c| c.waiting).sum::<usize>(), 0);
}

/// A connection that once read a lot, and now lies there, keeps its share and no more.
#[test]
fn what_a_large_reply_took_is_given_back() {
    let mut bench = Bench::new(1);
    for _ in 0..10 {
        bench.answer(0, ROW);
    }
    assert!(bench.waits() > 5 * ROW, "{} bytes", bench.waits());
    bench.takes(0);
    assert!(bench.waits() > ROW, "a busy connection keeps its memory for the next reply");
    bench.tick_after(REST_US + 1);
    assert_eq!(bench.waits(), 0, "beyond its share");
    let connection = bench.connections.slots[0].as_ref().expect("it is there");
    assert!(connection.output.capacity() + connection.spare.capacity() <= OUTPUT_SHARE);
}
