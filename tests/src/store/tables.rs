//! Declarations, and rows of declared tables, as chance makes them.

use seawall::key::Part;
use seawall::message::declare::{Declaration, Field, Index, Kind, SumZero, Transitions};
use seawall::message::term::Ttl;
use seawall::{Commit, Key, Row, RowRef, Value};

use crate::random::Random;

/// One with states and indexes, and a book whose lines stay and add up.
pub const TABLES: &[&str] = &["d", "e"];

/// The names that indexes of the first table have; of the last one none ever does.
pub const INDEXES: &[&str] = &["who", "held", "state", "n", "none"];

pub const WHO: [&str; 3] = ["ann", "bob", "cy"];
pub const STATES: [&str; 3] = ["free", "held", "sold"];

/// Rows of each table in a partition.
const ROWS: u64 = 6;

fn row_key(n: u64) -> Key {
    let half = if n.is_multiple_of(2) { "x" } else { "y" };
    Key::of(&[Part::from(half), Part::from(i64::try_from(n / 2).expect("few rows"))])
}

/// All rows of a table.
pub fn rows(table: &str) -> impl Iterator<Item = RowRef> {
    (0..ROWS).map(move |n| RowRef { table: table.to_owned(), key: row_key(n) })
}

fn any_row(random: &mut Random, table: &str) -> RowRef {
    RowRef { table: table.to_owned(), key: row_key(random.below(ROWS)) }
}

/// What a table might promise in this version: more often than not, what the rows keep.
pub fn declaration(random: &mut Random, table: &str, version: u64) -> Declaration {
    if version > 1 && random.chance(60) {
        return Declaration::default();
    }
    match table {
        "d" => states(random),
        _ => book(random),
    }
}

fn field(random: &mut Random, kind: Kind) -> Field {
    Field { kind, required: random.chance(300) }
}

fn states(random: &mut Random) -> Declaration {
    let mut declaration = Declaration { strict: random.chance(300), ..Declaration::default() };
    for (name, kind) in [("who", Kind::Text), ("state", Kind::Text), ("n", Kind::Int)] {
        if declaration.strict || random.chance(500) {
            declaration.fields.insert(name.to_owned(), field(random, kind));
        }
    }
    let index = |unique, fields: &[&str], only: Option<&[&str]>| Index {
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        unique,
        only: only.map(|states| ("state".to_owned(), states.iter().map(|s| Value::from(*s)).collect())),
    };
    let mut indexes = vec![
        ("who", index(true, &["who"], None)),
        ("held", index(true, &["who"], Some(&["held"]))),
        ("state", index(false, &["state", "n"], None)),
        ("n", index(false, &["n"], Some(&["free", "held"]))),
    ];
    indexes.retain(|(name, _)| random.chance(if *name == "who" { 300 } else { 700 }));
    declaration.indexes = indexes.into_iter().map(|(name, index)| (name.to_owned(), index)).collect();
    if random.chance(500) {
        let pair = |(from, to): (&str, &str)| (Value::from(from), Value::from(to));
        let pairs = [("free", "held"), ("held", "free"), ("held", "sold")].map(pair);
        let initial = vec![Value::from("free"), Value::from("held")];
        let transitions = Transitions { initial, allowed: pairs.to_vec() };
        declaration.transitions.insert("state".to_owned(), transitions);
    }
    if random.chance(300) {
        declaration.default_ttl = Ttl::from_ms(random.between(1, 3_000));
    }
    declaration
}

fn book(random: &mut Random) -> Declaration {
    let per = random.chance(500).then(|| "cur".to_owned());
    let sums = [SumZero { field: "amount".to_owned(), per }];
    let sums = sums.into_iter().filter(|_| random.chance(700)).collect();
    Declaration { append_only: random.chance(500), sums, ..Declaration::default() }
}

/// A row with states.
fn person(random: &mut Random) -> Row {
    let mut row = Row::new();
    if random.chance(850) {
        row.insert("who", *random.pick(&WHO));
    }
    if random.chance(850) {
        row.insert("state", *random.pick(&STATES));
    }
    if random.chance(700) {
        row.insert("n", i64::try_from(random.below(4)).expect("small"));
    }
    match random.below(40) {
        0 => drop(row.insert("z", 1)),
        1 => drop(row.insert("who", 7)),
        2 => drop(row.insert("n", Value::Decimal { mantissa: 15, scale: 1 })),
        3 => drop(row.insert("state", "odd")),
        _ => {}
    }
    row
}

fn line(random: &mut Random, amount: i64) -> Row {
    let mut row = Row::new().with("cur", *random.pick(&["EUR", "USD"]));
    match random.below(12) {
        0 => drop(row.insert("amount", "much")),
        1..3 => drop(row.insert("amount", Value::Decimal { mantissa: i128::from(amount) * 10, scale: 1 })),
        _ => drop(row.insert("amount", amount)),
    }
    row
}

/// An operation on a declared table, or two that belong together.
pub fn operation(random: &mut Random, commit: Commit) -> Commit {
    let ttl = Ttl::from_ms(random.between(1, 5_000)).expect("above 0");
    let (d, e) = (any_row(random, "d"), any_row(random, "e"));
    match random.below(16) {
        0..4 => commit.put(&d, person(random)),
        4 => commit.put_for(&d, person(random), ttl),
        5..8 => {
            let mut fields = person(random);
            if fields.is_empty() {
                fields.insert("n", 1);
            }
            commit.merge(&d, fields)
        }
        8..10 => commit.delete(&d),
        10 => commit.put(&d, person(random)).put(&any_row(random, "d"), person(random)),
        11..15 => {
            let amount = 1 + i64::try_from(random.below(3)).expect("small");
            let other = any_row(random, "e");
            commit.put(&e, line(random, amount)).put(&other, line(random, -amount))
        }
        _ => match random.chance(500) {
            true => commit.delete(&e),
            false => commit.put(&e, line(random, 1)),
        },
    }
}
