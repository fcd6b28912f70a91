//! Writers that commit without pause and remember every answer.

use std::collections::BTreeMap;
use std::time::Duration;

use seawall::client::Options;
use seawall::position::Position;
use seawall::{Client, Commit, Outcome, RowRef, Value, row};

const ROWS: i64 = 5;

/// What one writer knows of one of its rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// The newest value that was acknowledged, and its version.
    pub acknowledged: Option<(i64, Position)>,
    /// The newest value that was sent.
    pub sent: i64,
}

/// The only writer of its rows; its values only grow.
#[derive(Clone, Debug)]
pub struct Writer {
    name: String,
    next: i64,
    rows: BTreeMap<i64, Known>,
}

impl Writer {
    pub fn new(number: usize) -> Self {
        Self { name: format!("writer-{number}"), next: 0, rows: BTreeMap::new() }
    }

    pub fn acknowledged(&self) -> usize {
        self.rows.values().filter(|known| known.acknowledged.is_some()).count()
    }

    /// Commits until the node goes away. Returns how many commits were acknowledged.
    pub fn run(&mut self, address: &str) -> usize {
        let options = Options { deadline: Duration::from_secs(3), attempts: 1, ..Options::default() };
        let mut client = Client::connect_with(address, options).expect("the node serves");
        let mut done = 0;
        loop {
            self.next += 1;
            let (first, second) = (self.next % ROWS, (self.next + 1) % ROWS);
            let value = [("value", Value::from(self.next))];
            let commit =
                Commit::new(self.name.as_str()).put(&place(first), value.clone()).put(&place(second), value);
            for row in [first, second] {
                self.rows.entry(row).or_default().sent = self.next;
            }
            match client.commit(&commit) {
                Ok(Outcome::Committed(committed)) => {
                    done += 1;
                    for row in [first, second] {
                        let known = self.rows.entry(row).or_default();
                        known.acknowledged = Some((self.next, committed.version));
                    }
                }
                Ok(Outcome::Rejected(why)) => {
                    panic!("{}: a commit without checks was rejected: {why}", self.name)
                }
                Ok(Outcome::Unknown(_)) | Err(_) => return done,
            }
        }
    }

    /// Every acknowledged row is there, with its value or a later one that was sent.
    pub fn verify(&mut self, client: &mut Client) {
        for (row, known) in &mut self.rows {
            let got = client.get(self.name.as_str(), &place(*row)).expect("the node serves");
            let value = got.row.as_ref().and_then(|row| row.get("value")).map(|value| match value {
                Value::Int(value) => i64::try_from(*value).expect("it was written as an i64"),
                other => panic!("{} row {row} holds {other}", self.name),
            });
            let seen = value.zip(got.version);
            match (known.acknowledged, seen) {
                (None, None) => {}
                (Some((value, version)), Some((seen, at))) if (seen, at) == (value, version) => {}
                (acknowledged, Some((seen, at)))
                    if seen <= known.sent
                        && acknowledged.is_none_or(|(value, was)| seen > value && at > was) => {}
                _ => panic!("{} row {row}: knows {known:?}, sees {seen:?} as of {}", self.name, got.token),
            }
            // What was in doubt is settled: it is the row's value now, or never will be.
            *known = Known { acknowledged: seen, sent: seen.map_or(0, |(value, _)| value) };
        }
    }
}

fn place(number: i64) -> RowRef {
    row("values", number)
}
