//! Every check and every operation against the naive [`model`], with restarts, checkpoints and time in between.

mod model;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use model::{Act, Came, Edge, Model, Name, No, Test};
use proptest::prelude::*;
use proptest::sample::select;
use seawall::key::Part;
use seawall::message::assigned;
use seawall::message::check::Compare;
use seawall::message::condition::{Condition, Edges, Side};
use seawall::message::term::Ttl;
use seawall::position::Position;
use seawall::refusal::Detail;
use seawall::{Commit, Key, Row, RowRef, Value, now, row};
use support::{Bench, Got, WALL_US};

const PARTITION: &str = "P";
const FIELDS: [&str; 3] = ["a", "b", "c"];

/// One thing that happens in a run.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Test>, Vec<Act>, bool),
    /// Time passes unnoticed.
    Pass(u64),
    /// Time passes, and all that has ended is removed.
    Expire,
    Restart,
}

fn name() -> impl Strategy<Value = Name> {
    (select(vec!["t", "u"]), 0..2i64)
}

fn field() -> impl Strategy<Value = &'static str> {
    select(FIELDS.to_vec())
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (-3..4i128).prop_map(Value::Int),
        2 => (-3000..3000i128, 0..4u8).prop_map(|(mantissa, scale)| Value::Decimal { mantissa, scale }),
        1 => select(vec![Value::Int(i128::MAX), Value::Int(i128::MIN)]),
    ]
}

fn members() -> impl Strategy<Value = BTreeSet<Vec<u8>>> {
    proptest::collection::btree_set(select(vec![b"x".to_vec(), b"y".to_vec(), b"z".to_vec()]), 1..3)
}

fn ordered() -> impl Strategy<Value = Value> {
    prop_oneof![4 => number(), 1 => select(vec!["p", "q"]).prop_map(Value::from)]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![5 => ordered(), 1 => members().prop_map(Value::Set)]
}

fn fields() -> impl Strategy<Value = Row> {
    let one = (field(), value());
    proptest::collection::vec(one, 1..4).prop_map(|fields| fields.into_iter().collect())
}

fn compare() -> impl Strategy<Value = Compare> {
    select(Compare::ALL.to_vec())
}

fn ttl() -> impl Strategy<Value = Ttl> {
    (1..5_000u64).prop_map(|ms| Ttl::from_ms(ms).unwrap())
}

fn test() -> impl Strategy<Value = Test> {
    prop_oneof![
        name().prop_map(Test::Exists),
        name().prop_map(Test::Absent),
        (name(), field(), compare(), value()).prop_map(|(n, f, op, v)| Test::Literal(n, f, op, v)),
        (name(), field(), compare(), name(), field())
            .prop_map(|(n, f, op, m, g)| Test::Fields(n, f, op, m, g)),
        (name(), field(), proptest::collection::vec(value(), 1..4))
            .prop_map(|(n, f, v)| Test::StateIn(n, f, v)),
        (name(), compare(), 0..3usize).prop_map(|(n, op, last)| Test::Version(n, op, last)),
        (compare(), 0..20i64).prop_map(|(op, seconds)| Test::Now(op, seconds)),
        (name(), 0..2usize).prop_map(|(n, last)| Test::Lease(n, last)),
    ]
}

fn edge() -> impl Strategy<Value = Option<Edge>> {
    prop_oneof![
        2 => Just(None),
        2 => number().prop_map(|value| Some(Edge::Literal(value))),
        1 => (name(), field()).prop_map(|(n, f)| Some(Edge::Field(n, f))),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (name(), fields(), proptest::option::of(ttl())).prop_map(|(n, row, ttl)| Act::Put(n, row, ttl)),
        1 => name().prop_map(Act::Delete),
        2 => (name(), fields()).prop_map(|(n, row)| Act::Merge(n, row)),
        3 => (name(), field(), number(), edge(), edge()).prop_map(|(n, f, d, lo, hi)| Act::Add(n, f, d, lo, hi)),
        1 => (name(), field(), ordered()).prop_map(|(n, f, v)| Act::Max(n, f, v)),
        1 => (name(), field(), ordered()).prop_map(|(n, f, v)| Act::Min(n, f, v)),
        1 => (name(), field(), members()).prop_map(|(n, f, m)| Act::SetAdd(n, f, m)),
        1 => (name(), field(), members()).prop_map(|(n, f, m)| Act::SetRemove(n, f, m)),
        1 => fields().prop_map(Act::Append),
        2 => (name(), ttl()).prop_map(|(n, ttl)| Act::Acquire(n, ttl)),
        1 => (name(), 0..2usize, ttl()).prop_map(|(n, last, ttl)| Act::Renew(n, last, ttl)),
        1 => (name(), 0..2usize).prop_map(|(n, last)| Act::Release(n, last)),
        1 => Just(Act::Event),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let tests = prop_oneof![3 => Just(Vec::new()), 2 => proptest::collection::vec(test(), 1..3)];
    prop_oneof![
        20 => (tests, proptest::collection::vec(act(), 1..4), any::<bool>())
            .prop_map(|(tests, acts, keyed)| Step::Commit(tests, acts, keyed)),
        2 => (1..4_000_000u64).prop_map(Step::Pass),
        1 => Just(Step::Expire),
        1 => Just(Step::Restart),
    ]
}

fn at((table, key): Name) -> RowRef {
    row(table, key)
}

fn condition(test: &Test, model: &Model) -> Condition {
    let compare = |left: Side, op: Compare, right: Side| match op {
        Compare::Eq => left.eq(right),
        Compare::Ne => left.ne(right),
        Compare::Lt => left.lt(right),
        Compare::Le => left.le(right),
        Compare::Gt => left.gt(right),
        Compare::Ge => left.ge(right),
    };
    match test {
        Test::Exists(n) => at(*n).exists(),
        Test::Absent(n) => at(*n).absent(),
        Test::Literal(n, f, op, value) => compare(at(*n).field(*f).into(), *op, value.clone().into()),
        Test::Fields(n, f, op, m, g) => compare(at(*n).field(*f).into(), *op, at(*m).field(*g).into()),
        Test::StateIn(n, f, states) => at(*n).field(*f).is_in(states.clone()),
        Test::Version(n, op, last) => {
            compare(at(*n).version(), *op, Model::nth_last(&model.commits, *last).into())
        }
        Test::Now(op, seconds) => compare(now(), *op, Value::Time(WALL_US + seconds * 1_000_000).into()),
        Test::Lease(n, last) => at(*n).lease_held(Model::nth_last(&model.tokens, *last)),
    }
}

fn edges(floor: &Option<Edge>, ceiling: &Option<Edge>) -> Edges {
    use seawall::message::condition::Edge as Wire;
    let wire = |edge: &Edge| match edge {
        Edge::Literal(value) => Wire::from(value.clone()),
        Edge::Field(n, f) => Wire::from(at(*n).field(*f)),
    };
    match (floor.as_ref().map(wire), ceiling.as_ref().map(wire)) {
        (None, None) => (..).into(),
        (Some(floor), None) => (floor..).into(),
        (None, Some(ceiling)) => (..=ceiling).into(),
        (Some(floor), Some(ceiling)) => (floor, ceiling).into(),
    }
}

fn operation(commit: Commit, act: &Act, model: &Model) -> Commit {
    let token = |last: &usize| Model::nth_last(&model.tokens, *last);
    match act {
        Act::Put(n, row, None) => commit.put(&at(*n), row.clone()),
        Act::Put(n, row, Some(ttl)) => commit.put_for(&at(*n), row.clone(), *ttl),
        Act::Delete(n) => commit.delete(&at(*n)),
        Act::Merge(n, row) => commit.merge(&at(*n), row.clone()),
        Act::Add(n, f, delta, floor, ceiling) => commit.add(&at(*n), f, delta.clone(), edges(floor, ceiling)),
        Act::Max(n, f, value) => commit.max(&at(*n), f, value.clone()),
        Act::Min(n, f, value) => commit.min(&at(*n), f, value.clone()),
        Act::SetAdd(n, f, members) => commit.set_add(&at(*n), f, members),
        Act::SetRemove(n, f, members) => commit.set_remove(&at(*n), f, members),
        Act::Append(row) => commit.append(&seawall::row("s", "stream"), row.clone()),
        Act::Acquire(n, ttl) => commit.lease_acquire(&at(*n), *ttl),
        Act::Renew(n, last, ttl) => commit.lease_renew(&at(*n), token(last), *ttl),
        Act::Release(n, last) => commit.lease_release(&at(*n), token(last)),
        Act::Event => commit.event("topic", "payload"),
    }
}

fn came(results: &assigned::Results) -> Vec<(usize, Came)> {
    let came = |result| match result {
        assigned::Result::Value(value) => Came::Value(value.to_value()),
        assigned::Result::Sequence(sequence) => Came::Sequence(sequence),
        assigned::Result::Lease { token, expires_us } => Came::Lease(token, expires_us),
    };
    results.list().iter().map(|assigned| (assigned.op, came(assigned.result))).collect()
}

/// A node and its model, side by side.
struct Pair {
    bench: Bench,
    model: Model,
    epoch: u64,
    /// Of the last record.
    index: u64,
}

impl Pair {
    fn step(mut self, number: usize, step: &Step) -> Pair {
        match step {
            Step::Commit(tests, acts, keyed) => self.commit(number, tests, acts, *keyed),
            Step::Pass(us) => self.bench.pass(*us),
            Step::Expire => {
                self.bench.tick_after(10_000_000);
                self.bench.settle();
                self.model.expire(self.bench.wall_us);
                self.learn_index();
            }
            Step::Restart => {
                self.bench = self.bench.restart();
                self.epoch += 1;
                self.learn_index();
            }
        }
        self
    }

    fn learn_index(&mut self) {
        self.bench.step(seawall_node::seam::Event::StatusAsked { ticket: 0 });
        self.index = self.bench.status.last().unwrap().shards[0].appended;
    }

    fn commit(&mut self, number: usize, tests: &[Test], acts: &[Act], keyed: bool) {
        let mut commit = Commit::new(PARTITION);
        if keyed {
            commit = commit.key(format!("k{number}")).first_sent(self.bench.wall_us);
        }
        for test in tests {
            commit = commit.check(condition(test, &self.model));
        }
        for act in acts {
            commit = operation(commit, act, &self.model);
        }
        if commit.validate().is_err() {
            return; // a row in two ways
        }
        let (time_us, next) = (self.bench.wall_us + 1, Position::new(self.epoch, self.index + 1));
        let expected = self.model.commit(tests, acts, WALL_US, time_us, next);
        self.bench.results.clear();
        let got = self.bench.commit_now(&commit);
        match expected {
            Ok(results) => {
                assert_eq!(got, Got::Committed(next.epoch.0, next.index.0));
                assert_eq!(came(&self.bench.results[0]), results);
                self.index += 1;
            }
            Err(no) => {
                let Got::Refused(why) = got else { panic!("{got:?} where {no:?} was expected") };
                let found = match (&why.reason.detail, &*why.reason.rule) {
                    (Detail::Check { ordinal, .. }, rule) => (0, *ordinal, why.code, rule.to_owned()),
                    (Detail::Operation { ordinal, .. }, rule) => (1, *ordinal, why.code, rule.to_owned()),
                    other => panic!("{other:?}"),
                };
                let wanted = match no {
                    No::Check(n, code, rule) => (0, n, code, rule.to_owned()),
                    No::Op(n, code, rule) => (1, n, code, rule.to_owned()),
                };
                assert_eq!(found, wanted, "{why}");
                self.index += u64::from(keyed);
                assert_eq!(why.position, Some(Position::new(self.epoch, self.index)), "{why}");
            }
        }
    }

    /// Every row is what the model says.
    fn compare(&mut self) {
        let pair = |p: &Position| (p.epoch.0, p.index.0);
        for n in ["t", "u"].into_iter().flat_map(|table| [(table, 0), (table, 1)]) {
            let expected = self.model.rows.get(&n).map(|(row, version)| (pair(version), row.clone()));
            self.bench.get(PARTITION, &at(n));
            let Got::Row(_, found) = self.bench.reply() else { panic!("no row") };
            assert_eq!(found, expected, "{n:?}");
        }
        for (nth, (row, version)) in self.model.stream.iter().enumerate() {
            let key = Key::of(&[Part::from("stream"), Part::from(nth as u64 + 1)]);
            self.bench.get(PARTITION, &seawall::row("s", key));
            let Got::Row(_, found) = self.bench.reply() else { panic!("no row") };
            assert_eq!(found, Some((pair(version), row.clone())), "{}", nth + 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_shard_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..60)) {
        let mut pair = Pair { bench: Bench::serving(), model: Model::default(), epoch: 1, index: 1 };
        for (number, step) in steps.iter().enumerate() {
            pair = pair.step(number, step);
            if number % 8 == 7 {
                pair.compare();
            }
        }
        pair = pair.step(usize::MAX, &Step::Restart);
        pair.compare();
    }
}
