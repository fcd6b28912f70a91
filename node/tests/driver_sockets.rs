//! The socket operations of both drivers against plain clients.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the I/O")]

mod driver_support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use driver_support::Bench;
use seawall_node::driver::choice::{Kind, Receive};
use seawall_node::driver::either::DriverConfig;
use seawall_node::driver::listener;
use seawall_node::driver::probe::Durable;
use seawall_node::seam::{ConnId, Effect, Event, SocketError};

/// A driver, and how it receives.
type Way = (Kind, Receive);

/// Runs each of these tests in each way: all keep one contract.
macro_rules! in_every_way {
    ($($test:ident),* $(,)?) => {
        mod ring {
            $(#[test] fn $test() { super::$test((super::Kind::Ring, super::Receive::OneShot)) })*
        }
        mod multishot {
            $(#[test] fn $test() { super::$test((super::Kind::Ring, super::Receive::Multishot { buffers: 64 })) })*
        }
        mod short_of_buffers {
            $(#[test] fn $test() { super::$test((super::Kind::Ring, super::Receive::Multishot { buffers: 1 })) })*
        }
        mod syscall {
            $(#[test] fn $test() { super::$test((super::Kind::Syscall, super::Receive::OneShot)) })*
        }
    };
}

in_every_way! {
    who_is_not_read_from_is_held_up_and_nobody_else,
    who_never_sleeps_hears_all_the_same,
    the_last_bytes_of_a_peer_are_heard_and_then_its_end,
    more_than_the_kernel_keeps_flows_both_ways,
    a_crowd_is_let_in_to_the_last,
    a_connection_that_the_peer_broke_ends_what_is_under_way,
    bytes_come_in_behind_what_is_there_and_go_out_from_where_they_start,
    closing_ends_what_is_under_way_and_then_says_so,
    closing_an_idle_connection_is_an_event_too_and_its_number_is_never_the_same,
    a_full_worker_leaves_clients_in_the_kernels_queue_and_takes_them_up_again,
    the_end_takes_back_every_operation,
}

fn listening((kind, receive): Way, connections: u32) -> (Bench, SocketAddr) {
    let mut config = DriverConfig::new(kind, 0, Durable::Link, false);
    (config.connections, config.receive) = (connections, receive);
    let mut bench = Bench::new(config);
    let listener = listener::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    bench.driver.listen(listener);
    bench.driver.submit();
    (bench, address)
}

fn accepted(bench: &mut Bench) -> ConnId {
    match bench.next() {
        Event::Accepted { conn } => conn,
        other => panic!("no connection: {other:?}"),
    }
}

fn bytes_come_in_behind_what_is_there_and_go_out_from_where_they_start(way: Way) {
    let (mut bench, address) = listening(way, 8);
    let mut client = TcpStream::connect(address).unwrap();
    let conn = accepted(&mut bench);
    client.write_all(b"wall").unwrap();
    bench.execute(Effect::Receive { conn, buf: b"sea.............".to_vec(), from: 3 });
    let Event::Received { buf, result, .. } = bench.next() else { panic!("bytes") };
    assert_eq!((result, &buf[..7]), (Ok(4), &b"seawall"[..]));
    bench.execute(Effect::Send { conn, buf, from: 3 });
    let Event::Sent { result, buf, .. } = bench.next() else { panic!("sent") };
    assert_eq!((result, buf.len()), (Ok(13), 16));
    let mut answer = [0; 13];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"wall.........");
    drop(client);
    bench.execute(Effect::Receive { conn, buf, from: 0 });
    let Event::Received { result, .. } = bench.next() else { panic!("the end") };
    assert_eq!(result, Ok(0));
}

/// Bytes and the end are here before anybody looks, so the kernel tells of both only once.
fn the_last_bytes_of_a_peer_are_heard_and_then_its_end(way: Way) {
    let (mut bench, address) = listening(way, 8);
    let mut client = TcpStream::connect(address).unwrap();
    let conn = accepted(&mut bench);
    client.write_all(b"sea").unwrap();
    drop(client);
    assert!(bench.next_within(1).is_none());
    bench.execute(Effect::Receive { conn, buf: vec![0; 64], from: 0 });
    let Event::Received { buf, result, .. } = bench.next() else { panic!("bytes") };
    assert_eq!((result, &buf[..3]), (Ok(3), &b"sea"[..]));
    bench.execute(Effect::Receive { conn, buf, from: 0 });
    assert!(matches!(bench.next(), Event::Received { result: Ok(0), .. }));
}

/// An echo of more bytes than all the buffers between the two hold, to a client that begins to read late.
fn more_than_the_kernel_keeps_flows_both_ways(way: Way) {
    const BYTES: usize = 24 << 20;
    let (mut bench, address) = listening(way, 8);
    let client = TcpStream::connect(address).unwrap();
    let mut sender = client.try_clone().unwrap();
    let byte = |at: usize| (at % 251) as u8;
    let sending = std::thread::spawn(move || {
        let bytes: Vec<u8> = (0..BYTES).map(byte).collect();
        sender.write_all(&bytes).unwrap();
        sender.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let conn = accepted(&mut bench);
    let (mut late, mut reading) = (Some(client), None);
    bench.execute(Effect::Receive { conn, buf: vec![0; 1 << 20], from: 0 });
    loop {
        let event = match late.take() {
            None => bench.next(),
            Some(mut client) => match bench.next_within(2) {
                Some(event) => {
                    late = Some(client);
                    event
                }
                None => {
                    // Everything is full, and only now the client reads.
                    reading = Some(std::thread::spawn(move || {
                        let mut all = Vec::new();
                        client.read_to_end(&mut all).map(|_| all).unwrap()
                    }));
                    continue;
                }
            },
        };
        match event {
            Event::Received { result: Ok(0), .. } => break bench.execute(Effect::Close { conn }),
            Event::Received { mut buf, result, .. } => {
                buf.truncate(result.unwrap());
                bench.execute(Effect::Send { conn, buf, from: 0 });
            }
            Event::Sent { buf, result, .. } if result.unwrap() < buf.len() => {
                let from = result.unwrap();
                bench.execute(Effect::Send { conn, buf: buf[from..].to_vec(), from: 0 });
            }
            Event::Sent { mut buf, .. } => {
                buf.resize(1 << 20, 0);
                bench.execute(Effect::Receive { conn, buf, from: 0 });
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(bench.next(), Event::Closed { .. }));
    sending.join().unwrap();
    let all = reading.expect("the buffers between the two are smaller").join().unwrap();
    assert!(all.len() == BYTES && all.iter().enumerate().all(|(at, b)| *b == byte(at)));
}

/// A worker whose mailbox is never empty does not sleep, turn after turn.
fn who_never_sleeps_hears_all_the_same(way: Way) {
    let (mut bench, address) = listening(way, 8);
    let _client = TcpStream::connect(address).unwrap();
    let patience = Instant::now() + Duration::from_secs(10);
    let (mut accepted, mut ticked) = (false, false);
    let mut events = Vec::new();
    while !(accepted && ticked) {
        assert!(Instant::now() < patience, "accepted: {accepted}, ticked: {ticked}");
        bench.driver.submit();
        bench.driver.reap(&mut events);
        for event in events.drain(..) {
            accepted |= matches!(event, Event::Accepted { .. });
            ticked |= matches!(event, Event::Tick);
        }
    }
}

fn a_crowd_is_let_in_to_the_last(way: Way) {
    let (mut bench, address) = listening(way, 300);
    let clients: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut seen: Vec<ConnId> = (0..clients.len()).map(|_| accepted(&mut bench)).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), clients.len());
}

fn a_connection_that_the_peer_broke_ends_what_is_under_way(way: Way) {
    let (mut bench, address) = listening(way, 8);
    let client = TcpStream::connect(address).unwrap();
    let conn = accepted(&mut bench);
    bench.execute(Effect::Send { conn, buf: b"unread".to_vec(), from: 0 });
    assert!(matches!(bench.next(), Event::Sent { result: Ok(6), .. }));
    bench.execute(Effect::Receive { conn, buf: vec![0; 64], from: 0 });
    assert!(bench.next_within(1).is_none());
    drop(client); // with bytes unread: a reset, no end
    let Event::Received { result, .. } = bench.next() else { panic!("the break") };
    assert_eq!(result, Err(SocketError(libc::ECONNRESET)));
    bench.execute(Effect::Close { conn });
    assert!(matches!(bench.next(), Event::Closed { .. }));
}

fn closing_ends_what_is_under_way_and_then_says_so(way: Way) {
    let (mut bench, address) = listening(way, 8);
    let client = TcpStream::connect(address).unwrap();
    let conn = accepted(&mut bench);
    bench.execute(Effect::Receive { conn, buf: vec![0; 64], from: 0 });
    // The client reads nothing, so one of these stays in the driver whatever the kernel has room for.
    let mut buf = vec![1; 64 << 20];
    loop {
        bench.execute(Effect::Send { conn, buf, from: 0 });
        match bench.next_within(2) {
            Some(Event::Sent { buf: back, result: Ok(_), .. }) => buf = back,
            Some(other) => panic!("{other:?}"),
            None => break,
        }
    }
    bench.execute(Effect::Close { conn });
    let (mut received, mut sent) = (0, 0);
    loop {
        match bench.next() {
            Event::Received { conn: of, buf, .. } => {
                assert_eq!((of, buf.len()), (conn, 64));
                received += 1;
            }
            Event::Sent { conn: of, buf, .. } => {
                assert_eq!((of, buf.len()), (conn, 64 << 20));
                sent += 1;
            }
            Event::Closed { conn: of } => break assert_eq!((of, received, sent), (conn, 1, 1)),
            other => panic!("{other:?}"),
        }
    }
    drop(client);
}

fn closing_an_idle_connection_is_an_event_too_and_its_number_is_never_the_same(way: Way) {
    let (mut bench, address) = listening(way, 8);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let _client = TcpStream::connect(address).unwrap();
        let conn = accepted(&mut bench);
        assert_eq!(conn.slot, 0, "the slot is given again");
        assert!(!seen.contains(&conn));
        seen.push(conn);
        bench.execute(Effect::Close { conn });
        assert!(matches!(bench.next(), Event::Closed { conn: of } if of == conn));
    }
}

fn a_full_worker_leaves_clients_in_the_kernels_queue_and_takes_them_up_again(way: Way) {
    let (mut bench, address) = listening(way, 2);
    let _first = TcpStream::connect(address).unwrap();
    let one = accepted(&mut bench);
    let _second = TcpStream::connect(address).unwrap();
    accepted(&mut bench);
    bench.driver.submit(); // the pause
    assert!(bench.next_within(1).is_none());
    let mut third = TcpStream::connect(address).unwrap();
    assert!(bench.next_within(2).is_none(), "no third connection");
    bench.execute(Effect::Close { conn: one });
    assert!(matches!(bench.next(), Event::Closed { conn } if conn == one));
    let conn = accepted(&mut bench);
    bench.execute(Effect::Send { conn, buf: b"x".to_vec(), from: 0 });
    assert!(matches!(bench.next(), Event::Sent { result: Ok(1), .. }));
    third.read_exact(&mut [0]).unwrap();
}

fn the_end_takes_back_every_operation(way: Way) {
    let (mut bench, address) = listening(way, 8);
    let _clients: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..4 {
        let conn = accepted(&mut bench);
        bench.execute(Effect::Receive { conn, buf: vec![0; 16], from: 0 });
    }
    bench.driver.submit();
    assert!(bench.driver.under_way() >= 4);
    assert!(bench.driver.finish());
    assert_eq!(bench.driver.under_way(), 0);
}

#[test]
fn a_turn_enters_the_kernel_once_for_all_it_started() {
    let (mut bench, address) = listening((Kind::Ring, Receive::OneShot), 64);
    let mut clients: Vec<TcpStream> = (0..32).map(|_| TcpStream::connect(address).unwrap()).collect();
    let connections: Vec<ConnId> = (0..32).map(|_| accepted(&mut bench)).collect();
    let before = bench.driver.enters();
    for conn in connections {
        bench.execute(Effect::Receive { conn, buf: vec![0; 16], from: 0 });
    }
    bench.driver.submit();
    assert_eq!(bench.driver.enters() - before, 1);
    clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
    for _ in 0..32 {
        assert!(matches!(bench.next(), Event::Received { result: Ok(1), .. }));
    }
}

/// A crowd sends more than all buffers hold, and is read from in small pieces; one of them is not read from at all until
/// the others are through.
fn who_is_not_read_from_is_held_up_and_nobody_else(way: Way) {
    const BYTES: usize = 1 << 20;
    const CROWD: usize = 6;
    let (mut bench, address) = listening(way, 8);
    let byte = |client: usize, at: usize| ((at + 31 * client) % 251) as u8;
    let (mut received, mut sending) = (Vec::new(), Vec::new());
    for nth in 0..CROWD {
        let mut client = TcpStream::connect(address).unwrap();
        received.push((accepted(&mut bench), 0));
        sending.push(std::thread::spawn(move || {
            let bytes: Vec<u8> = (0..16 * BYTES).map(|at| byte(nth, at)).collect();
            let bytes = if nth == 0 { &bytes } else { &bytes[..BYTES] };
            client.write_all(bytes).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            client
        }));
    }
    let stuck = received[0].0;
    for (conn, _) in &received {
        bench.execute(Effect::Receive { conn: *conn, buf: vec![0; 3000], from: 7 });
    }
    let mut ended = 0;
    while ended < CROWD {
        let Event::Received { conn, buf, result } = bench.next() else { panic!("bytes") };
        let nth = received.iter().position(|(of, _)| *of == conn).unwrap();
        let (so_far, got) = (received[nth].1, result.unwrap());
        assert!(
            buf[7..7 + got].iter().enumerate().all(|(at, b)| *b == byte(nth, so_far + at)),
            "client {nth}"
        );
        received[nth].1 += got;
        ended += usize::from(got == 0);
        if got > 0 && conn != stuck {
            bench.execute(Effect::Receive { conn, buf, from: 7 });
        }
        let its_turn = ended == CROWD - 1;
        if got == 0 && its_turn {
            assert!(!sending[0].is_finished(), "nobody reads what it sends");
        }
        // Its first bytes may come last of all: then it is still asked for them.
        let first_is_here = received[0].1 > 0;
        if (conn == stuck || got == 0) && its_turn && first_is_here {
            bench.execute(Effect::Receive { conn: stuck, buf: vec![0; 3000], from: 7 });
        }
    }
    let whole = received.iter().map(|(_, bytes)| *bytes).collect::<Vec<_>>();
    assert_eq!(whole, [&[16 * BYTES][..], &[BYTES; CROWD - 1]].concat());
    sending.into_iter().for_each(|client| drop(client.join().unwrap()));
}
