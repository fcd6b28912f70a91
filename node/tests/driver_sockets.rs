//! The ring's socket operations against plain clients.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the I/O")]

mod driver_support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use driver_support::Bench;
use seawall_node::driver::listener;
use seawall_node::driver::probe::Durable;
use seawall_node::driver::ring::RingConfig;
use seawall_node::seam::{ConnId, Effect, Event};

fn listening(connections: u32) -> (Bench, SocketAddr) {
    let mut config = RingConfig::new(0, Durable::Link, false);
    config.connections = connections;
    let mut bench = Bench::new(config);
    let listener = listener::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    bench.ring.listen(listener);
    bench.ring.submit();
    (bench, address)
}

fn accepted(bench: &mut Bench) -> ConnId {
    match bench.next() {
        Event::Accepted { conn } => conn,
        other => panic!("no connection: {other:?}"),
    }
}

#[test]
fn bytes_come_in_behind_what_is_there_and_go_out_from_where_they_start() {
    let (mut bench, address) = listening(8);
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

#[test]
fn closing_ends_what_is_under_way_and_then_says_so() {
    let (mut bench, address) = listening(8);
    let client = TcpStream::connect(address).unwrap();
    let conn = accepted(&mut bench);
    // The client reads nothing, so one of the two stays in the kernel whatever the buffers' size.
    bench.execute(Effect::Receive { conn, buf: vec![0; 64], from: 0 });
    bench.execute(Effect::Send { conn, buf: vec![1; 64 << 20], from: 0 });
    bench.ring.submit();
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

#[test]
fn closing_an_idle_connection_is_an_event_too_and_its_number_is_never_the_same() {
    let (mut bench, address) = listening(8);
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

#[test]
fn a_full_worker_leaves_clients_in_the_kernels_queue_and_takes_them_up_again() {
    let (mut bench, address) = listening(2);
    let _first = TcpStream::connect(address).unwrap();
    let one = accepted(&mut bench);
    let _second = TcpStream::connect(address).unwrap();
    accepted(&mut bench);
    bench.ring.submit(); // the pause
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

#[test]
fn the_end_takes_back_every_operation() {
    let (mut bench, address) = listening(8);
    let _clients: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..4 {
        let conn = accepted(&mut bench);
        bench.execute(Effect::Receive { conn, buf: vec![0; 16], from: 0 });
    }
    bench.ring.submit();
    assert!(bench.ring.under_way() >= 5);
    assert!(bench.ring.finish());
    assert_eq!(bench.ring.under_way(), 0);
}

#[test]
fn a_turn_enters_the_kernel_once_for_all_it_started() {
    let (mut bench, address) = listening(64);
    let mut clients: Vec<TcpStream> = (0..32).map(|_| TcpStream::connect(address).unwrap()).collect();
    let connections: Vec<ConnId> = (0..32).map(|_| accepted(&mut bench)).collect();
    let before = bench.ring.enters();
    for conn in connections {
        bench.execute(Effect::Receive { conn, buf: vec![0; 16], from: 0 });
    }
    bench.ring.submit();
    assert_eq!(bench.ring.enters() - before, 1);
    clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
    for _ in 0..32 {
        assert!(matches!(bench.next(), Event::Received { result: Ok(1), .. }));
    }
}
