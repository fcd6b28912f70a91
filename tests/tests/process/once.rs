//! Exactly once through SIGKILL: counters that are added to under request keys, by clients that retry and settle.

use std::time::Duration;

use seawall::client::{Options, SentKey, Settled};
use seawall::{Client, Commit, Outcome, Value, row};

use crate::node::{Node, folder};

const CLERKS: usize = 4;
const ROUNDS: usize = 4;
const SAILING: &str = "HP-2026-07-14";

/// One clerk and all it knows.
struct Clerk {
    number: usize,
    next: usize,
    /// Keys that are known to be done.
    done: Vec<String>,
    /// The one that may be.
    doubt: Option<Commit>,
}

impl Clerk {
    /// The seat counts, and there is a row for who has it: together or not at all.
    fn booking(&self, key: &str) -> Commit {
        let commit = Commit::new(SAILING).key(key).add(&row("total", "held"), "count", 1, ..=1_000_000);
        commit.put(&row("booking", key), [("by", Value::from(self.number as i64))]).event("booked", key)
    }

    /// Books until the node goes away.
    fn run(&mut self, address: &str) {
        let options = Options { deadline: Duration::from_secs(3), attempts: 1, ..Options::default() };
        let Ok(mut client) = Client::connect_with(address, options) else { return };
        let born = client.node().expect("it said HELLO").server_time_us;
        loop {
            self.next += 1;
            let key = format!("clerk-{}-{}", self.number, self.next);
            let commit = self.booking(&key).first_sent(born);
            match client.commit(&commit) {
                Ok(Outcome::Committed(_)) => self.done.push(key),
                Ok(Outcome::Rejected(why)) => panic!("{key}: {why}"),
                Ok(Outcome::Unknown(_)) | Err(_) => {
                    self.doubt = Some(commit);
                    return;
                }
            }
        }
    }

    /// What was in doubt is sent again under its key, or settled: each in turn.
    fn settle(&mut self, client: &mut Client) {
        let Some(commit) = self.doubt.take() else { return };
        let key = format!("clerk-{}-{}", self.number, self.next);
        if self.next.is_multiple_of(2) {
            match client.commit(&commit).expect("the node serves") {
                Outcome::Committed(_) => self.done.push(key),
                other => panic!("{key}: {other:?}"),
            }
            return;
        }
        let born = commit.request_key().expect("it has one").first_sent_us;
        match client.resolve(SAILING, SentKey::caller(&key, born)).expect("the node serves") {
            Settled::Committed(_) => self.done.push(key),
            Settled::Aborted => {
                let late = client.commit(&commit).expect("the node serves");
                assert!(matches!(late, Outcome::Rejected(_)), "{key} was aborted, and then: {late:?}");
            }
            other => panic!("{key}: {other:?}"),
        }
    }
}

#[test]
fn a_booking_counts_once_whatever_was_killed_retried_and_settled() {
    let folder = folder("once");
    let rounds =
        std::env::var("SEAWALL_KILL_ROUNDS").ok().map_or(ROUNDS, |n| n.parse().expect("a number of rounds"));
    let clerk = |number| Clerk { number, next: 0, done: Vec::new(), doubt: None };
    let mut clerks: Vec<Clerk> = (0..CLERKS).map(clerk).collect();
    let mut node = Node::start_with(&folder, &[]);
    for round in 0..rounds {
        let address = node.address.clone();
        let threads: Vec<_> = clerks
            .into_iter()
            .map(|mut clerk| {
                let address = address.clone();
                std::thread::spawn(move || {
                    clerk.run(&address);
                    clerk
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(120 + 97 * (round as u64 % 4)));
        node.kill();
        clerks = threads.into_iter().map(|thread| thread.join().expect("a clerk held")).collect();
        node = Node::start_with(&folder, &[]);
        let mut client = Client::connect(node.address.as_str()).expect("the node serves");
        clerks.iter_mut().for_each(|clerk| clerk.settle(&mut client));
        let total = client.get(SAILING, &row("total", "held")).expect("it serves").row;
        let count = total.as_ref().and_then(|row| row.get("count")).cloned();
        let done: usize = clerks.iter().map(|clerk| clerk.done.len()).sum();
        assert!(done > round, "round {round}: nobody booked anything");
        assert_eq!(count, Some(Value::Int(done as i128)), "round {round}");
        for clerk in &clerks {
            let (first, last) = (clerk.done.first(), clerk.done.last());
            for key in first.into_iter().chain(last) {
                let booking = client.get(SAILING, &row("booking", key.as_str())).expect("it serves");
                assert!(booking.row.is_some(), "{key} counts and is not there");
            }
        }
    }
    assert!(node.terminate().success());
}
