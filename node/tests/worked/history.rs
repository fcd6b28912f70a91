//! What a log says: everything that stood in it at each index, made from its records alone.

use std::collections::BTreeMap;

use seawall::address::partition_prefix;
use seawall::position::Position;
use seawall::{Key, Row, Value, key};
use seawall_node::shard::spaces;
use seawall_wal::{Entry, Replay};

use crate::support::Bench;

/// Rows of one table by their keys, as those are written.
pub type Table = BTreeMap<String, Row>;

/// Tables by their partitions and names.
pub type Tables = BTreeMap<(String, String), Table>;

/// What stood there when the record of one index was committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moment {
    pub at: Position,
    /// Leader time of the record.
    pub time_us: i64,
    pub tables: Tables,
    /// By partition, table and key: the token, and the end.
    leases: BTreeMap<(String, String, String), (Position, i64)>,
    /// Topic and payload of what this record tells.
    pub events: Vec<(String, String)>,
}

impl Moment {
    /// One of its tables.
    pub fn table(&self, partition: &str, table: &str) -> &Table {
        static NONE: Table = Table::new();
        self.tables.get(&(partition.to_owned(), table.to_owned())).unwrap_or(&NONE)
    }

    pub fn row(&self, partition: &str, table: &str, key: &str) -> Option<&Row> {
        self.table(partition, table).get(key)
    }

    /// The lease of a row, if there is one that has not ended at `time_us`.
    pub fn lease(&self, partition: &str, table: &str, key: &str, time_us: i64) -> Option<Position> {
        let (token, end) =
            self.leases.get(&(partition.to_owned(), table.to_owned(), key.to_owned())).copied()?;
        (time_us < end).then_some(token)
    }

    fn apply(&mut self, partitions: &[&str], entry: &Entry<'_>) {
        if entry.space == spaces::EVENTS {
            let mut rest = entry.value.expect("an event has a value");
            let prefix = u16::from_le_bytes([rest[0], rest[1]]);
            rest = &rest[2 + usize::from(prefix)..];
            let (topic, payload) = rest[1..].split_at(usize::from(rest[0]));
            let [topic, payload] = [topic, payload].map(|part| String::from_utf8_lossy(part).into_owned());
            self.events.push((topic, payload));
        }
        if entry.space != spaces::ROWS && entry.space != spaces::LEASES {
            return;
        }
        let Some((partition, table, row)) = address(partitions, entry.key) else { return };
        if entry.space == spaces::LEASES {
            match entry.value {
                Some(bytes) => self.leases.insert((partition, table, row), lease(bytes)),
                None => self.leases.remove(&(partition, table, row)),
            };
            return;
        }
        let table = self.tables.entry((partition, table)).or_default();
        match entry.value {
            Some(bytes) => table.insert(row, Row::decode(bytes).unwrap()),
            None => table.remove(&row),
        };
    }
}

/// Everything that was committed, index by index, since the log began.
#[derive(Clone, Debug)]
pub struct History(pub Vec<Moment>);

impl History {
    /// Replays the log; of other partitions nothing is kept.
    pub fn of(bench: &Bench, partitions: &[&str]) -> History {
        let mut moments: Vec<Moment> = Vec::new();
        bench.replay(&mut |replay| {
            let replayed = match replay {
                Replay::Base(_) => return,
                Replay::Item(_) => panic!("a checkpoint stands in for the records that are to be checked"),
                Replay::Record(replayed) => replayed,
            };
            let mut moment = moments.last().cloned().unwrap_or_default();
            moment.at = Position::new(replayed.epoch.0, replayed.index.0);
            moment.time_us = replayed.record.time_us;
            moment.events.clear();
            replayed.record.entries().for_each(|entry| moment.apply(partitions, &entry));
            moments.push(moment);
        });
        for (nth, moment) in moments.iter().enumerate() {
            assert_eq!(moment.at.index.0, nth as u64 + 1, "every index is there");
        }
        History(moments)
    }

    pub fn last(&self) -> &Moment {
        self.0.last().expect("a log begins with its epoch")
    }

    /// Each index with the one before it.
    pub fn changes(&self) -> impl Iterator<Item = (&Moment, &Moment)> {
        self.0.windows(2).map(|pair| (&pair[0], &pair[1]))
    }
}

fn address(partitions: &[&str], stored: &[u8]) -> Option<(String, String, String)> {
    partitions.iter().find_map(|partition| {
        let mut prefix = Vec::new();
        partition_prefix("main", Key::from(*partition).as_bytes(), &mut prefix);
        let row = key::display(stored.strip_prefix(&prefix[..])?).to_string();
        let (table, row) = row.split_once(',')?;
        Some((partition.to_string(), table.to_owned(), row.to_owned()))
    })
}

fn lease(bytes: &[u8]) -> (Position, i64) {
    let number = |at: usize| bytes[at..at + 8].try_into().unwrap();
    let token = Position::new(u64::from_le_bytes(number(0)), u64::from_le_bytes(number(8)));
    (token, i64::from_le_bytes(number(16)))
}

/// A number of a row; a row without it has none.
pub fn int(row: &Row, field: &str) -> i128 {
    match row.get(field) {
        Some(Value::Int(number)) => *number,
        None => 0,
        other => panic!("{field} is {other:?}"),
    }
}

/// A text of a row; a row without it has an empty one.
pub fn text<'a>(row: &'a Row, field: &str) -> &'a str {
    match row.get(field) {
        Some(Value::Text(text)) => text,
        None => "",
        other => panic!("{field} is {other:?}"),
    }
}

/// A promise that a checker looks after.
pub fn holds(promise: bool, at: &Moment, broken: impl FnOnce() -> String) -> Result<(), String> {
    if promise { Ok(()) } else { Err(format!("at {}: {}", at.at, broken())) }
}
