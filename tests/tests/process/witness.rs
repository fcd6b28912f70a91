//! Writers and readers of a cluster that remember what they were told and when, and hold the members to it.
//!
//! * Each acknowledged row is there, once, with the version that was acknowledged (I1).
//! * No index of a shard has two commits, whoever led (I6).
//! * What was answered before something else was asked stands before it (I2). The readers ask each member by itself for
//!   what must be linearizable: a leader that was deposed and does not know it must not answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use seawall::client::Options;
use seawall::map::ShardId;
use seawall::position::Position;
use seawall::{Client, Commit, Outcome, Token, Value, row};

use crate::members::PATIENCE;

const WRITERS: usize = 3;
/// Fewer acknowledged commits than this say nothing about what happened to them.
const ENOUGH: usize = 20;

/// A commit, or a read that had to be as new as anything.
#[derive(Clone, Debug)]
struct Answered {
    asked: Instant,
    answered: Instant,
    token: Token,
    /// The writer and its booking; `None`: it was a read.
    booked: Option<(usize, i64)>,
}

/// Of one writer: what it sent, and the version that it was told.
type Sent = BTreeMap<i64, Option<Position>>;

pub struct Writers {
    /// Of all writers in this process: a key that was used before would be answered from memory, and load nothing.
    run: u32,
    stop: Arc<AtomicBool>,
    /// The newest booking of which anybody was told.
    newest: Arc<Mutex<Option<(usize, i64)>>>,
    acknowledged: Arc<AtomicUsize>,
    writers: Vec<JoinHandle<(Sent, Vec<Answered>)>>,
    readers: Vec<JoinHandle<Vec<Answered>>>,
}

impl Writers {
    pub fn begin(addresses: &str) -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let (stop, newest, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
        let mut all = Self { run, stop, newest, acknowledged, writers: Vec::new(), readers: Vec::new() };
        for nth in 0..WRITERS {
            let (stop, newest, addresses) = (all.stop.clone(), all.newest.clone(), addresses.to_owned());
            let acknowledged = all.acknowledged.clone();
            let write = move || write_until(run, nth, addresses, &stop, (&newest, &acknowledged));
            all.writers.push(thread::spawn(write));
        }
        for own in addresses.split(',') {
            let (stop, newest, own) = (all.stop.clone(), all.newest.clone(), own.to_owned());
            all.readers.push(thread::spawn(move || read_until(run, own, &stop, &newest)));
        }
        all
    }

    /// The newest booking that was acknowledged: who looks twice sees whether writes go on.
    pub fn newest(&self) -> Option<(usize, i64)> {
        *self.newest.lock().expect("nobody panics with it")
    }

    /// The same, once so many were acknowledged that it says something: on a busy machine that takes its time.
    pub fn verify_enough(self, client: &mut Client, what: &str) -> usize {
        let until = Instant::now() + PATIENCE;
        let so_far = || self.acknowledged.load(Ordering::Relaxed);
        while so_far() <= ENOUGH {
            assert!(Instant::now() < until, "{what}: only {} were acknowledged", so_far());
            thread::sleep(Duration::from_millis(10));
        }
        self.verify(client)
    }

    /// Holds the members to all that was answered; returns how many commits were acknowledged.
    pub fn verify(self, client: &mut Client) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = 0;
        let mut answers = Vec::new();
        for (nth, thread) in self.writers.into_iter().enumerate() {
            let (sent, told) = thread.join().expect("a writer does not panic");
            answers.extend(told);
            for (n, told) in sent {
                let got =
                    client.get(partition(self.run, nth, n), &row("booking", n)).expect("somebody leads");
                let value = got.row.as_ref().and_then(|row| row.get("n")).cloned();
                match value {
                    Some(value) => assert_eq!(value, Value::from(n), "writer {nth}"),
                    None => {
                        assert!(told.is_none(), "booking {n} of writer {nth} was acknowledged, and is gone");
                    }
                }
                if let Some(version) = told {
                    assert_eq!(got.version, Some(version), "booking {n} of writer {nth} happened again");
                    acknowledged += 1;
                }
            }
        }
        answers.extend(self.readers.into_iter().flat_map(|thread| thread.join().expect("a reader held")));
        one_commit_at_an_index(&answers);
        as_they_happened(&answers);
        acknowledged
    }
}

fn one_commit_at_an_index(answers: &[Answered]) {
    let mut at = BTreeMap::new();
    for answer in answers.iter().filter(|answer| answer.booked.is_some()) {
        let place = (answer.token.shard, answer.token.position.index);
        if let Some(other) = at.insert(place, answer) {
            panic!("two commits at one index: {other:?} and {answer:?}");
        }
    }
}

/// By shard: what was asked later stands later.
fn as_they_happened(answers: &[Answered]) {
    let mut by_shard: BTreeMap<ShardId, Vec<&Answered>> = BTreeMap::new();
    for answer in answers {
        by_shard.entry(answer.token.shard).or_default().push(answer);
    }
    for mut asked in by_shard.into_values() {
        let mut ended: Vec<&Answered> = asked.iter().copied().filter(|one| one.booked.is_some()).collect();
        asked.sort_by_key(|one| one.asked);
        ended.sort_by_key(|one| one.answered);
        let (mut ended, mut newest) = (ended.into_iter().peekable(), None::<&Answered>);
        for one in asked {
            while let Some(before) = ended.next_if(|before| before.answered < one.asked) {
                newest = Some(newer(newest, before));
            }
            let Some(newest) = newest else { continue };
            let (was, is) = (newest.token.position, one.token.position);
            assert!(is > was || (is == was && one.booked.is_none()), "{one:?} does not know of {newest:?}");
        }
    }
}

fn newer<'a>(one: Option<&'a Answered>, other: &'a Answered) -> &'a Answered {
    one.filter(|one| one.token.position >= other.token.position).unwrap_or(other)
}

fn partition(run: u32, nth: usize, n: i64) -> String {
    format!("writer-{run}-{nth}-{}", n % 5)
}

fn write_until(
    run: u32,
    nth: usize,
    addresses: String,
    stop: &AtomicBool,
    (newest, acknowledged): (&Mutex<Option<(usize, i64)>>, &AtomicUsize),
) -> (Sent, Vec<Answered>) {
    let options = Options { deadline: Duration::from_secs(2), attempts: 100, ..Options::default() };
    let mut client = None;
    let (mut sent, mut answers) = (BTreeMap::new(), Vec::new());
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let Some(connected) = &mut client else {
            client = Client::connect_with(addresses.clone(), options.clone()).ok();
            continue;
        };
        let commit = Commit::new(partition(run, nth, n)).key(format!("{run}-{nth}-{n}"));
        let commit = commit.put(&row("booking", n), [("n", Value::from(n))]);
        let asked = Instant::now();
        let told = match connected.commit(&commit) {
            Ok(Outcome::Committed(committed)) => {
                let (answered, token) = (Instant::now(), committed.token);
                answers.push(Answered { asked, answered, token, booked: Some((nth, n)) });
                *newest.lock().expect("nobody panics with it") = Some((nth, n));
                acknowledged.fetch_add(1, Ordering::Relaxed);
                Some(committed.version)
            }
            Ok(Outcome::Rejected(why)) => panic!("a commit without checks was rejected: {why}"),
            Ok(Outcome::Unknown(_)) | Err(_) => None,
        };
        sent.insert(n, told);
    }
    (sent, answers)
}

/// Asks one member alone for what was just acknowledged. Most refuse; whoever answers has it.
fn read_until(
    run: u32,
    own: String,
    stop: &AtomicBool,
    newest: &Mutex<Option<(usize, i64)>>,
) -> Vec<Answered> {
    let options = Options { deadline: Duration::from_millis(500), attempts: 1, ..Options::default() };
    let (mut client, mut answers) = (None, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(5));
        let Some((nth, n)) = *newest.lock().expect("nobody panics with it") else { continue };
        let Some(connected) = &mut client else {
            client = Client::connect_with(own.clone(), options.clone()).ok();
            continue;
        };
        let asked = Instant::now();
        let Ok(got) = connected.get(partition(run, nth, n), &row("booking", n)) else { continue };
        assert!(
            got.row.is_some(),
            "{own} does not know booking {n} of writer {nth}, which was acknowledged: {got:?}"
        );
        answers.push(Answered { asked, answered: Instant::now(), token: got.token, booked: None });
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked and answered at these milliseconds.
    fn told(from: u64, until: u64, at: (u64, u64), booked: Option<(usize, i64)>) -> Answered {
        static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let at_ms = |ms| *BEGIN.get_or_init(Instant::now) + Duration::from_millis(ms);
        let token = Token { lineage_tag: 1, shard: ShardId(1), position: Position::new(at.0, at.1) };
        Answered { asked: at_ms(from), answered: at_ms(until), token, booked }
    }

    #[test]
    fn what_happened_in_order_passes() {
        let answers = [
            told(0, 10, (1, 5), Some((0, 1))),
            told(5, 20, (1, 4), Some((1, 1))),
            told(11, 12, (1, 5), None),
            told(21, 22, (2, 6), Some((0, 2))),
        ];
        one_commit_at_an_index(&answers);
        as_they_happened(&answers);
    }

    #[test]
    #[should_panic(expected = "two commits at one index")]
    fn an_index_with_two_commits_is_found() {
        one_commit_at_an_index(&[told(0, 1, (1, 5), Some((0, 1))), told(2, 3, (2, 5), Some((1, 1)))]);
    }

    #[test]
    #[should_panic(expected = "does not know of")]
    fn a_stale_read_is_found() {
        as_they_happened(&[told(0, 10, (2, 5), Some((0, 1))), told(11, 12, (1, 4), None)]);
    }
}
