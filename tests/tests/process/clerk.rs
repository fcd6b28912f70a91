//! Clerks: writers that book under request keys, remember every answer, settle what is in doubt, and hold the node to
//! all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use seawall::client::{Error, Got, Options, SentKey, Settled};
use seawall::limits::READ_ROWS_MAX;
use seawall::position::Position;
use seawall::refusal::Code;
use seawall::{Client, Commit, Outcome, RowRef, Value, row};

pub const SAILING: &str = "HP-2026-07-14";
/// One in so many bookings asks for a place that is taken, and must be rejected.
const HOPELESS: usize = 7;

/// One booking that was acknowledged.
#[derive(Clone, Debug)]
pub struct Booking {
    pub key: String,
    pub version: Position,
}

/// The one whose answer never came.
struct Doubt {
    key: String,
    commit: Commit,
    hopeless: bool,
}

/// One clerk and all it was told.
pub struct Clerk {
    number: usize,
    next: usize,
    /// Makes each booking as large as this.
    padding: usize,
    /// Between two bookings: what they leave behind grows no faster than it can be read.
    pause: Duration,
    pub booked: Vec<Booking>,
    /// Keys whose bookings must never be there: rejected, aborted, or not done.
    refused: Vec<String>,
    doubt: Option<Doubt>,
    newest: Position,
    /// How much of the two lists was found to be right before.
    audited: (usize, usize),
}

/// Why a clerk stopped working.
#[derive(Debug)]
pub enum Ended {
    Told,
    /// The last answer did not come.
    Unknown,
    Error(Error),
}

/// One attempt and a short deadline: what is lost stays in doubt.
pub fn impatient(deadline: Duration) -> Options {
    Options { deadline, attempts: 1, ..Options::default() }
}

/// Each clerk gets a thread and works until `stop` is set, or its connection fails it.
pub fn put_to_work(
    clerks: Vec<Clerk>,
    address: &str,
    options: &Options,
    stop: &Arc<AtomicBool>,
) -> Vec<JoinHandle<(Clerk, Ended)>> {
    let work = |mut clerk: Clerk| {
        let (address, options, stop) = (address.to_owned(), options.clone(), Arc::clone(stop));
        std::thread::spawn(move || {
            let ended = clerk.work(&address, options, &stop);
            (clerk, ended)
        })
    };
    clerks.into_iter().map(work).collect()
}

pub fn come_back(threads: Vec<JoinHandle<(Clerk, Ended)>>) -> Vec<(Clerk, Ended)> {
    threads.into_iter().map(|thread| thread.join().expect("a clerk held")).collect()
}

impl Clerk {
    pub fn new(number: usize) -> Self {
        Self::with_padding(number, 0, Duration::ZERO)
    }

    pub fn with_padding(number: usize, padding: usize, pause: Duration) -> Self {
        let (booked, refused, newest) = (Vec::new(), Vec::new(), Position::default());
        Self { number, next: 0, padding, pause, booked, refused, doubt: None, newest, audited: (0, 0) }
    }

    /// The seat counts, and there is a row for who has it: together or not at all.
    fn booking(&self, key: &str) -> Commit {
        let commit = Commit::new(SAILING).key(key).add(&row("total", "held"), "count", 1, ..=1_000_000);
        let by = [("by", Value::from(self.number as i64)), ("note", Value::from("x".repeat(self.padding)))];
        commit.put(&place(key), by).event("booked", key)
    }

    fn work(&mut self, address: &str, options: Options, stop: &AtomicBool) -> Ended {
        let mut client = match Client::connect_with(address, options) {
            Ok(client) => client,
            Err(error) => return Ended::Error(error),
        };
        let born = client.node().expect("it said HELLO").server_time_us;
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(self.pause);
            self.next += 1;
            let key = format!("clerk-{}-{}", self.number, self.next);
            let mut commit = self.booking(&key).first_sent(born);
            let taken = self.booked.last().filter(|_| self.next.is_multiple_of(HOPELESS));
            let hopeless = taken.is_some();
            if let Some(taken) = taken {
                commit = commit.check(place(&taken.key).absent());
            }
            match client.commit(&commit) {
                Ok(Outcome::Committed(_)) if hopeless => panic!("{key} got a place that was taken"),
                Ok(Outcome::Committed(committed)) => self.book(key, committed.version),
                Ok(Outcome::Rejected(why)) => {
                    assert!(hopeless && why.code == Code::ConditionFailed, "{key}: {why}");
                    self.refused.push(key);
                }
                Ok(Outcome::Unknown(_)) => {
                    self.doubt = Some(Doubt { key, commit, hopeless });
                    return Ended::Unknown;
                }
                // "Nothing was done": the audit takes it at its word.
                Err(error) => {
                    self.refused.push(key);
                    return Ended::Error(error);
                }
            }
        }
        Ended::Told
    }

    fn book(&mut self, key: String, version: Position) {
        assert!(version > self.newest, "{key}: {version} after {}", self.newest);
        self.newest = version;
        self.booked.push(Booking { key, version });
    }

    /// What was in doubt is sent again under its key, or settled: each in turn.
    pub fn settle(&mut self, client: &mut Client) {
        let Some(Doubt { key, commit, hopeless }) = self.doubt.take() else { return };
        if self.next.is_multiple_of(2) {
            match client.commit(&commit).expect("the node serves") {
                Outcome::Committed(committed) if !hopeless => self.book(key, committed.version),
                Outcome::Rejected(_) if hopeless => self.refused.push(key),
                other => panic!("{key}: {other:?}"),
            }
            return;
        }
        let born = commit.request_key().expect("it has one").first_sent_us;
        match client.resolve(SAILING, SentKey::caller(&key, born)).expect("the node serves") {
            Settled::Committed(committed) if !hopeless => self.book(key, committed.version),
            Settled::Rejected(_) if hopeless => self.refused.push(key),
            Settled::Aborted => {
                let late = client.commit(&commit).expect("the node serves");
                assert!(matches!(late, Outcome::Rejected(_)), "{key} was aborted, and then: {late:?}");
                self.refused.push(key);
            }
            other => panic!("{key}: {other:?}"),
        }
    }

    /// Everything acknowledged since the last audit is there as it was acknowledged, and nothing refused is.
    fn audit(&mut self, client: &mut Client) {
        let (booked, refused) = self.audited;
        for bookings in self.booked[booked..].chunks(READ_ROWS_MAX) {
            let keys = bookings.iter().map(|booking| &booking.key);
            for (booking, got) in bookings.iter().zip(self.read(client, keys)) {
                let by = got.row.as_ref().and_then(|row| row.get("by")).cloned();
                let kept =
                    got.version == Some(booking.version) && by == Some(Value::from(self.number as i64));
                assert!(kept, "{booking:?} was acknowledged, and {got:?} is there");
            }
        }
        for keys in self.refused[refused..].chunks(READ_ROWS_MAX) {
            for (key, got) in keys.iter().zip(self.read(client, keys.iter())) {
                assert!(got.row.is_none(), "{key} was not done, and is there: {got:?}");
            }
        }
        self.audited = (self.booked.len(), self.refused.len());
    }

    fn read<'a>(&self, client: &mut Client, keys: impl Iterator<Item = &'a String>) -> Vec<Got> {
        let rows: Vec<RowRef> = keys.map(|key| place(key)).collect();
        let got = client.multi_get(SAILING, &rows).expect("the node serves");
        for got in &got {
            let at = got.token.position;
            assert!(at >= self.newest, "a read as of {at}, after an acknowledgement at {}", self.newest);
        }
        got
    }

    /// The same once more, for all that there ever was.
    pub fn forget_audits(&mut self) {
        self.audited = (0, 0);
    }

    /// Forgets what stands behind a position, and returns it: a backup that ends there does not hold it.
    pub fn keep_until(&mut self, covered: Position) -> Vec<Booking> {
        let later = self.booked.extract_if(.., |booking| booking.version > covered).collect();
        self.newest = self.booked.last().map_or(Position::default(), |booking| booking.version);
        self.refused.clear();
        self.forget_audits();
        later
    }
}

pub fn place(key: &str) -> RowRef {
    row("booking", key)
}

/// How many seats are held, as the node counts them.
pub fn count(client: &mut Client) -> usize {
    let total = client.get(SAILING, &row("total", "held")).expect("it serves").row;
    match total.as_ref().and_then(|row| row.get("count")) {
        Some(Value::Int(count)) => usize::try_from(*count).expect("seats are counted up"),
        None => 0,
        other => panic!("the count is {other:?}"),
    }
}

/// Settles every doubt and holds the node to every answer. How many bookings there are.
pub fn audit(clerks: &mut [Clerk], client: &mut Client) -> usize {
    clerks.iter_mut().for_each(|clerk| clerk.settle(client));
    clerks.iter_mut().for_each(|clerk| clerk.audit(client));
    let booked = clerks.iter().map(|clerk| clerk.booked.len()).sum();
    assert_eq!(count(client), booked, "each booking counts once");
    booked
}
