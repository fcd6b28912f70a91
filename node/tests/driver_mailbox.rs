//! Letters between real threads: none lost, in order, and nobody sleeps through one.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the threads")]

#[macro_use]
mod driver_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use seawall_node::driver::choice::Kind;
use seawall_node::driver::either::{Driver, DriverConfig};
use seawall_node::driver::mailbox::{Control, Inbox, Post};
use seawall_node::driver::probe::Durable;
use seawall_node::params::MAILBOX_LETTERS;
use seawall_node::seam::{ConnId, Event, Letter, WorkerId};

/// Long enough for the slowest machine; only a lost wake-up takes it.
const PATIENCE: Duration = Duration::from_secs(60);
const RECEIVER: WorkerId = WorkerId(0);

for_both_drivers! {
    nobody_sleeps_through_a_single_letter,
    nobody_sleeps_through_many_senders,
}

fn letter(number: u64) -> Letter {
    let conn = ConnId { slot: number as u32, serial: (number >> 32) as u32 };
    Letter::Reply { conn, frame: Vec::new(), ended: None }
}

fn number(letter: &Letter) -> u64 {
    let Letter::Reply { conn, .. } = letter else { panic!("only replies are sent here: {letter:?}") };
    u64::from(conn.serial) << 32 | u64::from(conn.slot)
}

/// Receives like a worker's thread, without a tick: a lost wake-up hangs here for ever.
fn receive(kind: Kind, inbox: &Inbox, senders: u16, each: u64, taken: &[AtomicU64]) {
    let mut driver = Driver::new(DriverConfig::new(kind, 0, Durable::Link, false)).unwrap();
    driver.listen_to_bell(inbox.bell());
    let mut events = Vec::new();
    let mut next = vec![0; usize::from(senders) + 1];
    while next.iter().sum::<u64>() < each * u64::from(senders) {
        if inbox.may_sleep() {
            driver.wait();
            inbox.awake();
        } else {
            driver.submit();
        }
        driver.reap(&mut events);
        inbox.letters(&mut events);
        for event in events.drain(..) {
            let Event::Mail { from, letter } = event else { panic!("only letters here") };
            let from = usize::from(from.0);
            assert_eq!(number(&letter), next[from], "in order");
            next[from] += 1;
            taken[from].store(next[from], Ordering::Release);
        }
    }
    assert!(driver.finish());
}

/// `window` letters of each sender may be under way; with 1 the receiver goes to sleep before nearly each.
fn stress(kind: Kind, senders: u16, each: u64, window: u64) {
    let post = Post::new(senders + 1).unwrap();
    let taken: Arc<Vec<AtomicU64>> = Arc::new((0..=senders).map(|_| AtomicU64::new(0)).collect());
    let inbox = post.inbox(RECEIVER);
    let receiver = {
        let taken = taken.clone();
        thread::spawn(move || receive(kind, &inbox, senders, each, &taken))
    };
    let sending = (1..=senders).map(|sender| {
        let (post, taken) = (post.clone(), taken.clone());
        thread::spawn(move || {
            let patience = Instant::now() + PATIENCE;
            for sent in 0..each {
                while sent - taken[usize::from(sender)].load(Ordering::Acquire) >= window {
                    assert!(Instant::now() < patience, "the receiver sleeps over letter {}", sent - 1);
                    thread::yield_now();
                }
                post.send(WorkerId(sender), RECEIVER, letter(sent));
                post.wake(RECEIVER);
            }
        })
    });
    sending.collect::<Vec<_>>().into_iter().for_each(|sender| sender.join().unwrap());
    let patience = Instant::now() + PATIENCE;
    while !receiver.is_finished() {
        assert!(Instant::now() < patience, "the receiver sleeps over a letter: {taken:?}");
        thread::sleep(Duration::from_millis(1));
    }
    receiver.join().unwrap();
}

fn nobody_sleeps_through_a_single_letter(kind: Kind) {
    stress(kind, 1, 20_000, 1);
}

fn nobody_sleeps_through_many_senders(kind: Kind) {
    stress(kind, 3, 20_000, 4);
    stress(kind, 2, 100_000, MAILBOX_LETTERS as u64);
}

#[test]
fn control_is_bounded_and_comes_back_when_there_is_no_room() {
    let post = Post::new(1).unwrap();
    for _ in 0..seawall_node::params::CONTROL_PLACES {
        post.control(RECEIVER, Control::Stop).unwrap();
    }
    assert!(matches!(post.control(RECEIVER, Control::Stop), Err(Control::Stop)));
    let inbox = post.inbox(RECEIVER);
    assert!(!inbox.may_sleep());
    assert!(matches!(inbox.control(), Some(Control::Stop)));
    post.control(RECEIVER, Control::Stop).unwrap();
}
