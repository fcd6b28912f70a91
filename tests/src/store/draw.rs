//! Commits as chance makes them: small enough a world that they meet each other in it.

use std::collections::{BTreeMap, BTreeSet};

use seawall::map::ShardId;
use seawall::message::CommitRequest;
use seawall::message::check::Check;
use seawall::message::condition::{Condition, Edge, Edges, Side};
use seawall::message::term::{Term, Ttl};
use seawall::position::{Lineage, Position};
use seawall::token::Token;
use seawall::value::ValueRef;
use seawall::{Commit, Key, Row, RowRef, Value, now, row};

use super::places::Places;
use super::tables;
use crate::client::Workload;
use crate::history::mark;
use crate::random::Random;
use crate::world::LINEAGE;

/// What clients learnt from answers, and use again.
#[derive(Debug, Default)]
pub struct Learnt {
    pub versions: Vec<Position>,
    /// Leases: partition, row, token.
    pub leases: Vec<(usize, RowRef, Position)>,
    /// The newest declaration of each table of each shard.
    declared: BTreeMap<(ShardId, String), u64>,
    /// Where streams have told up to.
    told: Vec<(ShardId, Position)>,
}

impl Learnt {
    pub fn declared(&mut self, shard: ShardId, table: &str, version: u64) {
        let known = self.declared.entry((shard, table.to_owned())).or_default();
        *known = version.max(*known);
    }

    pub fn version(&self, shard: ShardId, table: &str) -> u64 {
        self.declared.get(&(shard, table.to_owned())).copied().unwrap_or(0)
    }

    pub fn saw(&mut self, shard: ShardId, position: Option<Position>) {
        self.told.extend(position.filter(|at| at.index.0 > 0).map(|at| (shard, at)));
    }

    /// A token to go on with: of the oldest one, or of the newest.
    pub fn told(&self, shard: ShardId, oldest: bool) -> Option<Token> {
        let mut of = self.told.iter().filter(|(of, _)| *of == shard);
        let (_, position) = if oldest { of.next() } else { of.next_back() }?;
        Some(Token { lineage_tag: Lineage(LINEAGE).tag(), shard, position: *position })
    }
}

/// What a commit is drawn for.
pub struct Drawing<'a> {
    pub random: &'a mut Random,
    pub learnt: &'a Learnt,
    pub places: &'a Places,
    pub of: &'a Workload,
    pub partition: usize,
    pub wall_us: i64,
}

const FIELDS: [&str; 3] = ["a", "b", "c"];

impl Drawing<'_> {
    /// Checks and operations; `number` marks its event, which a commit without a request key must have.
    pub fn commit(&mut self, number: usize, must_mark: bool) -> Commit {
        loop {
            let mut commit = Commit::new(self.places.partition(self.partition));
            for _ in 0..*self.random.pick(&[0, 0, 0, 1, 1, 2]) {
                commit = commit.check(self.check());
            }
            for _ in 0..self.random.between(1, 3) {
                commit = self.operation(commit);
            }
            if must_mark || self.random.chance(200) {
                commit = commit.event("topic", mark(number as u64));
            }
            if self.random.chance(500) {
                commit = commit.returning_rows();
            }
            if commit.validate().is_ok() {
                return commit; // else a row stood there in two ways
            }
        }
    }

    fn row(&mut self) -> RowRef {
        row("t", i64::try_from(self.random.below(self.of.rows as u64)).expect("few rows"))
    }

    fn field(&mut self) -> &'static str {
        FIELDS[self.random.index(FIELDS.len())]
    }

    fn number(&mut self) -> Value {
        match self.random.below(12) {
            0 => Value::Int(i128::MAX),
            1 => Value::Int(i128::MIN),
            2..4 => {
                let mantissa = i128::from(self.random.below(8_000)) - 4_000;
                Value::Decimal { mantissa, scale: u8::try_from(self.random.below(4)).expect("below 4") }
            }
            _ => Value::Int(i128::from(self.random.below(9)) - 3),
        }
    }

    fn members(&mut self) -> BTreeSet<Vec<u8>> {
        (0..self.random.between(1, 2))
            .map(|_| self.random.pick(&[b"x".to_vec(), b"y".to_vec()]).clone())
            .collect()
    }

    fn value(&mut self) -> Value {
        match self.random.below(12) {
            0 => Value::Set(self.members()),
            1 => Value::from(*self.random.pick(&["free", "held"])),
            2 => Value::Bool(self.random.chance(500)),
            3 => Value::Bytes(vec![u8::try_from(self.random.below(3)).expect("below 3")]),
            4 => Value::Time(self.wall_us),
            _ => self.number(),
        }
    }

    fn fields(&mut self) -> Row {
        let mut fields = Row::new();
        for _ in 0..self.random.between(1, 3) {
            let (field, value) = (self.field(), self.value());
            fields.insert(field, value);
        }
        fields
    }

    /// A row, padded so that batches and segments fill.
    fn whole(&mut self) -> Row {
        let most = if self.random.chance(200) { self.of.padding } else { self.of.padding.min(60) };
        let most = if self.random.chance(8) { 20_000 } else { most };
        let padding = vec![b'.'; usize::try_from(self.random.below(most + 1)).expect("small")];
        self.fields().with("padding", Value::Bytes(padding))
    }

    fn ttl(&mut self) -> Ttl {
        let ms = *self.random.pick(&[1, 30, 700, 2_500, 9_000, 1_800_000]);
        Ttl::from_ms(self.random.between(1, ms)).expect("above 0")
    }

    fn version(&mut self) -> Position {
        match self.learnt.versions.len() {
            0 => Position::new(1, 1),
            n => self.learnt.versions[n - 1 - self.random.index(n.min(4))],
        }
    }

    fn lease(&mut self) -> (RowRef, Position) {
        let known: Vec<_> =
            self.learnt.leases.iter().rev().filter(|(of, ..)| *of == self.partition).take(3).collect();
        match known.is_empty() || self.random.chance(150) {
            true => (self.row(), self.version()),
            false => {
                let (_, row, token) = *self.random.pick(&known);
                (row.clone(), *token)
            }
        }
    }

    fn check(&mut self) -> Condition {
        let at = self.row();
        match self.random.below(8) {
            0 => at.exists(),
            1 => at.absent(),
            2 => {
                let field = self.field();
                at.field(field)
                    .is_in((0..self.random.between(1, 3)).map(|_| self.value()).collect::<Vec<_>>())
            }
            3 => {
                let (row, token) = self.lease();
                row.lease_held(token)
            }
            4 => {
                let version = self.version();
                self.compare(at.version(), version.into())
            }
            5 => {
                let off = i64::try_from(self.random.below(8_000_000)).expect("small") - 2_000_000;
                let ends = Value::Time(self.wall_us + off);
                self.compare(now(), ends.into())
            }
            6 => {
                let (left, other, right) = (self.field(), self.row(), self.field());
                self.compare(at.field(left).into(), other.field(right).into())
            }
            _ => {
                let (field, value) = (self.field(), self.value());
                self.compare(at.field(field).into(), value.into())
            }
        }
    }

    fn compare(&mut self, left: Side, right: Side) -> Condition {
        match self.random.below(6) {
            0 => left.eq(right),
            1 => left.ne(right),
            2 => left.lt(right),
            3 => left.le(right),
            4 => left.gt(right),
            _ => left.ge(right),
        }
    }

    fn edge(&mut self) -> Edge {
        match self.random.below(3) {
            0 => {
                let field = self.field();
                Edge::from(self.row().field(field))
            }
            _ => Edge::from(self.number()),
        }
    }

    fn edges(&mut self) -> Edges {
        match self.random.below(6) {
            0 => (self.edge()..).into(),
            1 => (..=self.edge()).into(),
            2 => (self.edge(), self.edge()).into(),
            _ => (..).into(),
        }
    }

    fn operation(&mut self, commit: Commit) -> Commit {
        if self.random.chance(350) {
            return tables::operation(self.random, commit);
        }
        let (at, field) = (self.row(), self.field());
        match self.random.below(24) {
            0..3 => commit.put(&at, self.whole()),
            3..5 => commit.put_for(&at, self.whole(), self.ttl()),
            5..7 => commit.delete(&at),
            7..9 => commit.merge(&at, self.fields()),
            9..12 => commit.add(&at, field, self.number(), self.edges()),
            12 => commit.max(&at, field, self.comparable()),
            13 => commit.min(&at, field, self.comparable()),
            14 => commit.set_add(&at, field, self.members()),
            15 => commit.set_remove(&at, field, self.members()),
            16..18 => commit.append(&row("s", "log"), self.fields()),
            18..20 => commit.lease_acquire(&at, self.ttl()),
            20 => {
                let (row, token) = self.lease();
                commit.lease_renew(&row, token, self.ttl())
            }
            21 => {
                let (row, token) = self.lease();
                commit.lease_release(&row, token)
            }
            22 if self.random.chance(100) => {
                // In the way of a stream.
                let ahead = i64::try_from(self.random.between(1, 6)).expect("small");
                commit.put(&row("s", in_stream(ahead)), self.fields())
            }
            _ => {
                let payload = vec![b'!'; self.random.index(4)];
                let topic = if self.random.chance(500) { "topic" } else { "other" };
                commit.event(topic, payload)
            }
        }
    }

    fn comparable(&mut self) -> Value {
        loop {
            match self.value() {
                Value::Set(_) => {}
                value => return value,
            }
        }
    }
}

/// The key of a place in the stream of these worlds.
pub fn in_stream(sequence: i64) -> Key {
    use seawall::key::Part;
    Key::of(&[Part::from("log"), Part::from(sequence)])
}

/// Times at which a check of this commit changes its mind.
pub fn times(commit: &CommitRequest<'_>) -> Vec<i64> {
    let literal = |term: &Term<'_>| match term {
        Term::Literal(ValueRef::Time(us)) => Some(*us),
        _ => None,
    };
    let of = |check: Check<'_>| match check {
        Check::Compare { left, right, .. } => literal(&left).or(literal(&right)),
        _ => None,
    };
    commit.checks.iter().filter_map(of).flat_map(|us| [us - 1, us, us + 1]).collect()
}
