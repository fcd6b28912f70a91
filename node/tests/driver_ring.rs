//! What the ring saves: receives that are asked for once, and sends that report nothing when all is well.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the I/O")]

mod driver_support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use driver_support::{Scratch, seccomp};
use seawall::map::ShardId;
use seawall_node::driver::choice::{Kind, Receive};
use seawall_node::driver::directory::Directory;
use seawall_node::driver::either::{Driver, DriverConfig};
use seawall_node::driver::listener;
use seawall_node::driver::probe::{self, Durable};
use seawall_node::driver::ring::Ring;
use seawall_node::params::RECEIVE_BUFFER_BYTES;
use seawall_node::seam::{ConnId, Effect, Event, SocketError};
use seawall_wal::{BLOCK, Buffer, FileId, Io, IoId, LogLimits, SlotId};

const SHARD: ShardId = ShardId(1);

/// A ring without a tick, a client of it, and a log with one slot.
struct World {
    ring: Driver,
    client: TcpStream,
    conn: ConnId,
    buffers: Vec<Buffer>,
    written: u64,
    _directory: Directory,
}

impl World {
    fn new(scratch: &Scratch, receive: Receive) -> Self {
        let directory = Directory::open(&scratch.path().join("data"), None, 1).unwrap();
        let mut config = DriverConfig::new(Kind::Ring, 1, Durable::Link, true);
        config.receive = receive;
        let mut ring = Driver::new(config).expect("io_uring is needed by the tests of the ring");
        let pool = LogLimits::test_min().buffers();
        let (_, found) = ring.open_logs(vec![(directory.shard(SHARD).unwrap(), pool)]).unwrap().remove(0);
        let listener = listener::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        let address = listener.local_addr().unwrap();
        ring.listen(listener);
        let client = TcpStream::connect(address).unwrap();
        let nobody = ConnId { slot: 0, serial: 0 };
        let mut world =
            Self { ring, client, conn: nobody, buffers: found.buffers, written: 0, _directory: directory };
        let Some(Event::Accepted { conn }) = world.events(1).pop() else { panic!("a connection") };
        world.conn = conn;
        let slot = Io::Prepare { id: IoId(0), slot: SlotId(1), bytes: 1 << 20 };
        assert!(world.ring.execute(Effect::Disk { shard: SHARD, io: slot }).is_none());
        world.events(1);
        world
    }

    fn ring(&self) -> &Ring {
        match &self.ring {
            Driver::Ring(ring) => ring,
            Driver::Syscall(_) => unreachable!("it was ordered"),
        }
    }

    fn events(&mut self, least: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < least {
            self.ring.wait();
            self.ring.reap(&mut events);
        }
        events
    }

    /// Begins a log write, and a send while it is under way.
    fn write_and_send(&mut self, buf: Vec<u8>) {
        self.written += 1;
        let (id, file, offset) = (IoId(self.written), FileId::Slot(SlotId(1)), 0);
        let write = Io::Write { id, file, offset, buf: self.buffers.pop().unwrap(), at: 0, len: BLOCK };
        for effect in
            [Effect::Disk { shard: SHARD, io: write }, Effect::Send { conn: self.conn, buf, from: 1 }]
        {
            assert!(self.ring.execute(effect).is_none());
        }
    }
}

impl World {
    /// What a send beside a log write came to when the write has ended; `None`: it waits.
    fn write_beside(&mut self, buf: Vec<u8>) -> Option<Result<usize, SocketError>> {
        self.write_and_send(buf);
        let (mut written, mut sent) = (false, None);
        while !written {
            for event in self.events(1) {
                match event {
                    Event::Disk { done, .. } => {
                        written = true;
                        self.buffers.extend(done.buf);
                    }
                    Event::Sent { result, .. } => sent = Some(result),
                    _ => panic!("nothing else is under way"),
                }
            }
        }
        sent
    }
}

#[test]
fn a_send_beside_a_log_write_reports_nothing_and_is_known_to_be_over() {
    let scratch = Scratch::new("ring-silent");
    let mut world = World::new(&scratch, Receive::OneShot);
    for round in 0..3 {
        let before = (world.ring().completions(), world.ring().enters());
        world.write_and_send(b"-answer".to_vec());
        let events = world.events(1);
        let [Event::Disk { done, .. }, Event::Sent { buf, result, .. }] = &events[..] else {
            panic!("the write and then the send");
        };
        assert_eq!((&done.result, &buf[..], *result), (&Ok(BLOCK), &b"-answer"[..], Ok(6)));
        assert_eq!(world.ring().completions() - before.0, 1, "the write's alone");
        assert_eq!(world.ring().enters() - before.1, 1, "and one sleep until it, in round {round}");
        let mut answer = [0; 6];
        world.client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
    }
    assert_eq!(world.ring.under_way(), 1, "the accept");
}

/// Sends are cut short while the socket fills, then one finds no room at all and waits, and the last ends with the
/// connection.
#[test]
fn a_send_that_cannot_be_silent_speaks() {
    let scratch = Scratch::new("ring-full");
    let mut world = World::new(&scratch, Receive::OneShot);
    let whole: Vec<u8> = (0..32 << 20).map(|at| (at % 251) as u8).collect();
    let (mut sent, mut short) = (1, 0);
    while let Some(more) = world.write_beside([&[0], &whole[sent..]].concat()) {
        sent += more.expect("the connection holds");
        short += 1;
        assert!(sent < whole.len(), "no socket holds so much");
    }
    assert!(short > 0 && world.ring.under_way() == 2, "the accept, and a send that waits");
    let mut client = world.client.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut all = vec![0; (32 << 20) - 1];
        client.read_exact(&mut all).map(|()| all).unwrap()
    });
    while sent < whole.len() {
        let Some(Event::Sent { result, .. }) = world.events(1).pop() else { panic!("sent") };
        sent += result.expect("the connection holds");
        if sent < whole.len() {
            let rest = Effect::Send { conn: world.conn, buf: whole.clone(), from: sent };
            assert!(world.ring.execute(rest).is_none());
        }
    }
    assert!(reading.join().unwrap() == whole[1..], "whole and in order");
    world.client.shutdown(std::net::Shutdown::Both).unwrap();
    let mut last = Some(Ok(0));
    for _ in 0..3 {
        last = world.write_beside(vec![1; 8]); // the first is answered by a reset
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(matches!(last, Some(Err(SocketError(libc::EPIPE | libc::ECONNRESET)))), "{last:?}");
    assert!(world.ring.execute(Effect::Close { conn: world.conn }).is_none());
    world.ring.submit();
    assert!(world.ring.finish());
}

/// Buffers come back, or the fifth round would find none and ask by itself.
#[test]
fn a_multishot_receive_is_asked_for_once() {
    let scratch = Scratch::new("ring-multishot");
    let mut world = World::new(&scratch, Receive::Multishot { buffers: 4 });
    let mut buf = vec![0; RECEIVE_BUFFER_BYTES];
    let before = world.ring().submissions();
    for round in 0..40 {
        let receive = Effect::Receive { conn: world.conn, buf, from: 0 };
        assert!(world.ring.execute(receive).is_none());
        world.ring.submit();
        world.client.write_all(&[round; 100]).unwrap();
        let Some(Event::Received { buf: back, result, .. }) = world.events(1).pop() else { panic!("bytes") };
        assert!(result == Ok(100) && back[..100] == [round; 100]);
        buf = back;
    }
    assert_eq!(world.ring().submissions() - before, 1);
}

/// A connection may fill four buffers unasked: then it is not read from, and what it sent is there when it is asked for.
#[test]
fn who_is_not_asked_is_cancelled_and_taken_up_again() {
    let scratch = Scratch::new("ring-held");
    let mut world = World::new(&scratch, Receive::Multishot { buffers: 64 });
    let expected = |byte: usize| (byte / 1000) as u8;
    let mut at = 0;
    let mut take = |events: Vec<Event>| {
        for event in events {
            let Event::Received { buf, result: Ok(got), .. } = event else { panic!("bytes") };
            assert!(buf[..got].iter().enumerate().all(|(nth, byte)| *byte == expected(at + nth)));
            at += got;
        }
        at
    };
    let receive = |world: &mut World, len| {
        let receive = Effect::Receive { conn: world.conn, buf: vec![0; len], from: 0 };
        assert!(world.ring.execute(receive).is_none());
    };
    for round in 0..3_u8 {
        receive(&mut world, 1);
        world.ring.submit();
        // Piece by piece, each seen before the next is sent.
        for piece in 0..6 {
            world.client.write_all(&[6 * round + piece; 1000]).unwrap();
            std::thread::sleep(Duration::from_millis(5));
            let mut events = Vec::new();
            world.ring.submit();
            world.ring.reap(&mut events);
            take(events);
        }
        assert_eq!(world.ring.under_way(), 1, "the accept, and no receive");
        while take(Vec::new()) < 6000 * (usize::from(round) + 1) {
            receive(&mut world, 700);
            take(world.events(1));
        }
    }
}

#[test]
fn a_kernel_without_it_is_noticed() {
    assert_eq!(probe::multishot(), Ok(()));
    const REGISTER_PBUF_RING: i32 = 22;
    let register =
        seccomp::when(libc::SYS_io_uring_register, 1, seccompiler::SeccompCmpOp::Eq, REGISTER_PBUF_RING);
    let why = seccomp::without(vec![register], libc::EINVAL, probe::multishot);
    assert!(why.is_err_and(|why| why.contains("cannot do it")));
}
