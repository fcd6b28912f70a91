//! Every interleaving of workers that hand letters to each other and sleep, as far as a model checker can tell them
//! apart: nobody sleeps over a letter, and none is lost, doubled or moved. The protocol is the node's own file, on the
//! checker's atomics; mailboxes and bells are stand-ins that promise no more than the real ones do.
//!
//! Each way of spoiling the protocol is a model of its own that the checker must break.

#![allow(clippy::duplicate_mod, reason = "the same file on two kinds of atomics is what this is about")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use loom::model::Builder;
use loom::sync::Notify;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use loom::thread;

/// The node's file on atomics that the checker knows.
#[path = "."]
mod right {
    pub use sleeper::Sleeper;

    mod atomics {
        pub use loom::sync::atomic::{AtomicBool, Ordering, fence};
    }
    #[path = "../src/driver/sleeper.rs"]
    mod sleeper;
}

/// The same without its fences.
#[path = "."]
mod unfenced {
    pub use sleeper::Sleeper;

    mod atomics {
        pub use loom::sync::atomic::{AtomicBool, Ordering};
        pub fn fence(_: Ordering) {}
    }
    #[path = "../src/driver/sleeper.rs"]
    mod sleeper;
}

/// What a thread can do about sleep.
trait Protocol: Send + Sync + 'static {
    fn new() -> Self;
    fn may_sleep(&self, here: impl FnOnce() -> bool) -> bool;
    fn awake(&self);
    fn must_be_rung(&self) -> bool;
}

macro_rules! protocol {
    ($name:ident($inner:ty), |$sleeper:ident, $here:ident| $may_sleep:expr) => {
        struct $name($inner);

        impl Protocol for $name {
            fn new() -> Self {
                Self(<$inner>::new())
            }
            fn may_sleep(&self, $here: impl FnOnce() -> bool) -> bool {
                let $sleeper = &self.0;
                $may_sleep
            }
            fn awake(&self) {
                self.0.awake();
            }
            fn must_be_rung(&self) -> bool {
                self.0.must_be_rung()
            }
        }
    };
}

protocol!(AsBuilt(right::Sleeper), |sleeper, here| sleeper.may_sleep(here));
protocol!(Unfenced(unfenced::Sleeper), |sleeper, here| sleeper.may_sleep(here));
protocol!(LooksFirst(right::Sleeper), |sleeper, here| {
    let here = here();
    sleeper.may_sleep(|| here)
});
protocol!(NeverAnnounces(right::Sleeper), |_sleeper, here| !here());

/// A bounded mailbox of one sender and one receiver. Looking whether it is empty orders nothing.
struct Mailbox {
    places: Vec<AtomicUsize>,
    pushed: AtomicUsize,
    popped: AtomicUsize,
}

impl Mailbox {
    fn new(places: usize) -> Self {
        let places = (0..places).map(|_| AtomicUsize::new(0)).collect();
        Self { places, pushed: AtomicUsize::new(0), popped: AtomicUsize::new(0) }
    }

    fn push(&self, letter: usize) {
        let pushed = self.pushed.load(Relaxed);
        assert!(pushed - self.popped.load(Acquire) < self.places.len(), "no room for letter {letter}");
        self.places[pushed % self.places.len()].store(letter, Relaxed);
        self.pushed.store(pushed + 1, Release);
    }

    fn pop(&self) -> Option<usize> {
        let popped = self.popped.load(Relaxed);
        if self.pushed.load(Acquire) == popped {
            return None;
        }
        let letter = self.places[popped % self.places.len()].load(Relaxed);
        self.popped.store(popped + 1, Release);
        Some(letter)
    }

    fn holds_something(&self) -> bool {
        self.pushed.load(Relaxed) != self.popped.load(Relaxed)
    }
}

/// One worker's mailboxes, one for each sender, its flag and its bell.
struct Worker<P> {
    mailboxes: Vec<Mailbox>,
    sleeper: P,
    /// An eventfd: rings before a sleep end it, all at once. It may end for no reason, too.
    bell: Notify,
}

impl<P: Protocol> Worker<P> {
    fn new(senders: usize, places: usize) -> Arc<Self> {
        let mailboxes = (0..senders).map(|_| Mailbox::new(places)).collect();
        Arc::new(Self { mailboxes, sleeper: P::new(), bell: Notify::new() })
    }

    fn send(&self, from: usize, letter: usize) {
        self.mailboxes[from].push(letter);
        if self.sleeper.must_be_rung() {
            self.bell.notify();
        }
    }

    /// A turn as the reactor takes it: sleep unless something is here, then empty the mailboxes. Everything that was
    /// sent by each sender must come, once and in order.
    fn receive(&self, each: usize) {
        let mut next = vec![1; self.mailboxes.len()];
        while next.iter().any(|next| *next <= each) {
            if self.sleeper.may_sleep(|| self.mailboxes.iter().any(Mailbox::holds_something)) {
                self.bell.wait();
                self.sleeper.awake();
            }
            for (mailbox, next) in self.mailboxes.iter().zip(&mut next) {
                while let Some(letter) = mailbox.pop() {
                    assert_eq!(letter, *next, "once and in order");
                    *next += 1;
                }
            }
        }
        assert!(!self.mailboxes.iter().any(Mailbox::holds_something), "nothing comes twice");
    }
}

/// Several senders, and a worker that receives.
fn many_to_one<P: Protocol>(senders: usize, letters: usize) {
    let worker = Worker::<P>::new(senders, letters);
    for from in 0..senders {
        let worker = worker.clone();
        thread::spawn(move || (1..=letters).for_each(|letter| worker.send(from, letter)));
    }
    worker.receive(letters);
}

/// Two workers that ask and answer each other, each with one place for the other's letter: a lost wake-up of either
/// lets both sleep.
fn back_and_forth<P: Protocol>(rounds: usize) {
    let (asks, answers) = (Worker::<P>::new(1, 1), Worker::<P>::new(1, 1));
    let take = |worker: &Worker<P>| {
        loop {
            if let Some(letter) = worker.mailboxes[0].pop() {
                return letter;
            }
            if worker.sleeper.may_sleep(|| worker.mailboxes[0].holds_something()) {
                worker.bell.wait();
                worker.sleeper.awake();
            }
        }
    };
    let there = {
        let (asks, answers) = (asks.clone(), answers.clone());
        thread::spawn(move || {
            for _ in 0..rounds {
                let asked = take(&answers);
                asks.send(0, asked + 100);
            }
        })
    };
    for round in 1..=rounds {
        answers.send(0, round);
        assert_eq!(take(&asks), round + 100);
    }
    there.join().unwrap();
}

/// `preemptions`: how often a thread is interrupted at most where it could go on; `None`: as often as it can be.
fn explore(preemptions: Option<usize>, model: fn()) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}

#[test]
fn a_letter_is_never_slept_over() {
    explore(None, || many_to_one::<AsBuilt>(1, 1));
    explore(None, || many_to_one::<AsBuilt>(1, 2));
}

#[test]
fn many_senders_ring_for_all() {
    explore(Some(3), || many_to_one::<AsBuilt>(2, 1));
    explore(Some(2), || many_to_one::<AsBuilt>(2, 2));
}

#[test]
fn two_workers_never_sleep_at_once() {
    explore(Some(3), || back_and_forth::<AsBuilt>(2));
}

/// A model that cannot fail shows nothing.
#[test]
fn each_way_of_spoiling_it_is_found() {
    let plants: [(&str, fn()); 3] = [
        ("looks before it announces", || many_to_one::<LooksFirst>(1, 1)),
        ("without the fences", || many_to_one::<Unfenced>(1, 1)),
        ("without the announcement", || many_to_one::<NeverAnnounces>(1, 1)),
    ];
    for (plant, model) in plants {
        let found = catch_unwind(AssertUnwindSafe(|| explore(None, model)));
        let why = found.expect_err(plant);
        let why = why.downcast_ref::<String>().map_or("", String::as_str);
        assert!(why.contains("deadlock"), "{plant}: a lost wake-up, and not this: {why}");
    }
}
