//! A table of the state against a plain map: what it holds, in which order, and what it says of its memory.

use std::collections::BTreeMap;

use seawall::position::{Index, Position};
use seawall_node::shard::state::{Look, Table};

/// Chance that is the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// How keys are made of numbers.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// They share a long front, and some are the front of others.
    Nested,
    /// A few bytes, many of them zero: what fills up a key that is too short must not be taken for its bytes.
    Zeros,
    /// Groups behind a hash.
    Partitions,
    /// Made so that they all have one sum, whatever an index by sums makes of that: half of each key is chosen after
    /// the other half.
    Alike,
    /// Many crowds of such: when there is a new place for all, some lose theirs.
    Crowds,
}

const SHAPES: [Shape; 5] = [Shape::Nested, Shape::Zeros, Shape::Partitions, Shape::Alike, Shape::Crowds];

impl Shape {
    fn key(self, n: u64) -> Vec<u8> {
        match self {
            Shape::Nested => [&[b'p'; 40][..(n % 41) as usize], &(n / 41).to_be_bytes()[6..]].concat(),
            Shape::Zeros => (0..n % 9).map(|digit| [0, 0, 1, 255][(n >> (2 * digit)) as usize % 4]).collect(),
            Shape::Partitions => {
                let hash = (n % 300).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
                [&hash, &b"a namespace, a partition, a table"[..], &n.to_be_bytes()].concat()
            }
            Shape::Alike => alike(n, 0),
            Shape::Crowds => alike(n, n / 25),
        }
    }
}

fn alike(n: u64, crowd: u64) -> Vec<u8> {
    let product = (16 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let half = product ^ (product >> 32) ^ (0x5eed + crowd);
    [n.to_le_bytes(), half.to_le_bytes()].concat()
}

/// The table, and what it should be.
#[derive(Default)]
struct Both {
    table: Table,
    model: BTreeMap<Vec<u8>, (Position, Option<Vec<u8>>)>,
    index: u64,
}

impl Both {
    fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.index += 1;
        let version = Position::new(1, self.index);
        let grows = self.table.growth(key, value);
        let before = self.table.memory() as i64;
        let old = self.table.set(key, value, version);
        if value.is_some() {
            assert_eq!(self.table.memory() as i64, before + grows);
        }
        let expected = self.model.insert(key.to_vec(), (version, value.map(<[u8]>::to_vec)));
        assert_eq!(old.as_deref(), expected.and_then(|(_, bytes)| bytes).as_deref());
    }

    fn fill(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.index += 1;
        self.table.fill(key, value, Position::new(1, self.index));
        self.model.insert(key.to_vec(), (Position::new(1, self.index), value.map(<[u8]>::to_vec)));
    }

    fn fill_now(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.index += 1;
        let version = Position::new(1, self.index);
        let old = self.table.fill_now(key, value, version);
        let expected = self.model.insert(key.to_vec(), (version, value.map(<[u8]>::to_vec)));
        assert_eq!(old.as_deref(), expected.and_then(|(_, bytes)| bytes).as_deref());
    }

    fn bury(&mut self, committed: u64) {
        self.table.bury(Index(committed));
        self.model.retain(|_, (version, bytes)| bytes.is_some() || version.index.0 > committed);
    }

    fn compare_look(&self, key: &[u8]) {
        let look = self.table.look(key);
        let expected = self.model.get(key);
        assert_eq!(look.changed, expected.map(|(version, _)| *version));
        let row = expected.and_then(|(version, bytes)| Some((*version, bytes.as_deref()?)));
        assert_eq!(look.row.as_ref().map(|(version, bytes)| (*version, &bytes[..])), row);
    }

    fn compare_at(&self, key: &[u8]) {
        self.compare_look(key);
        let first = self.model.range(key.to_vec()..).next().map(|(key, _)| &key[..]);
        assert_eq!(self.table.first_from(key).map(|at| at.key), first);
    }

    fn compare_between(&self, a: &[u8], b: &[u8]) {
        let expected = |low: &[u8], high: &[u8]| -> Vec<_> {
            let at = |(key, (version, bytes)): (&Vec<u8>, &(Position, Option<Vec<u8>>))| {
                (key.clone(), *version, bytes.clone())
            };
            self.model.iter().filter(|(key, _)| &key[..] >= low && &key[..] < high).map(at).collect()
        };
        for (low, high) in [(a, b), (b, a)] {
            let range = || self.table.range(low, high);
            let shown = |at: seawall_node::shard::state::At<'_>| {
                (at.key.to_vec(), at.version, at.bytes.map(|bytes| bytes.to_vec()))
            };
            let (all, mut back) = (expected(low, high), range().rev().map(shown).collect::<Vec<_>>());
            assert_eq!(range().map(shown).collect::<Vec<_>>(), all, "{low:?} up to {high:?}");
            back.reverse();
            assert_eq!(back, all, "{high:?} down to {low:?}");
            // From both ends until they meet.
            let (mut ends, mut met) = (range(), 0);
            while ends.next().is_some() {
                met += 1 + usize::from(ends.next_back().is_some());
            }
            assert_eq!(met, all.len());
        }
    }
}

#[test]
fn a_table_is_a_map_that_remembers_what_was_removed() {
    for (seed, shape) in (1..).zip(SHAPES) {
        let (mut random, mut both) = (Random(seed), Both::default());
        // It grows to three levels, shrinks to next to nothing, and grows again.
        for (steps, sets, keys) in [(30_000, 9, 9000), (30_000, 1, 9000), (10_000, 6, 900)] {
            for step in 0..steps {
                let key = shape.key(random.below(keys));
                let value = vec![7; random.below(40) as usize];
                both.set(&key, (random.below(10) < sets).then_some(&value));
                both.compare_at(&shape.key(random.below(keys)));
                if step % 64 == 0 {
                    both.bury(both.index.saturating_sub(random.below(200)));
                }
                if step % 1000 == 0 {
                    both.compare_between(&shape.key(random.below(keys)), &shape.key(random.below(keys)));
                    both.compare_between(&[], &[0xff; 50]);
                }
            }
            let live = both.model.values().filter(|(_, bytes)| bytes.is_some()).count();
            assert_eq!(both.table.live(), live, "{shape:?}");
        }
        both.model.keys().cloned().collect::<Vec<_>>().iter().for_each(|key| both.set(key, None));
        both.bury(u64::MAX);
        assert_eq!((both.table.live(), both.table.memory()), (0, 0), "{shape:?}");
        assert_eq!(both.table.look(&shape.key(1)), Look::default());
    }
}

/// A table that has become empty forgets how its keys began: the next one, as long and another, was not found in its
/// place, and what came after it stood out of order.
#[test]
fn a_table_that_becomes_empty_over_and_over_keeps_its_order() {
    for (seed, keys) in (7..).zip([3, 5, 9, 40]) {
        let (mut random, mut both) = (Random(seed), Both::default());
        for _ in 0..20_000 {
            let key =
                |n: u64| [&b"partition"[..], &n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()].concat();
            let (a, b) = (key(random.below(keys)), key(random.below(keys)));
            both.set(&a, (random.below(5) < 2).then_some(&[1]));
            both.bury(both.index.saturating_sub(random.below(3)));
            both.compare_at(&b);
            both.compare_between(&a, &b);
            both.compare_between(&[], &[0xff; 50]);
        }
    }
}

#[test]
fn keys_in_their_order_and_against_it_are_found_again() {
    for ascending in [true, false] {
        let mut both = Both::default();
        for n in 0..10_000u64 {
            let n = if ascending { n } else { 10_000 - n };
            both.set(&n.to_be_bytes(), Some(&[1]));
        }
        both.compare_between(&[], &[0xff; 9]);
        for n in (0..10_001u64).step_by(7) {
            both.compare_at(&n.to_be_bytes());
        }
    }
}

/// At a start a table takes what comes in any order, some of it again, and makes its order at the end. It is then the
/// same as one that took each change at once.
#[test]
fn a_table_that_was_filled_is_one_that_was_set() {
    for (seed, shape) in (11..).zip(SHAPES) {
        for (in_order, changes, keys) in
            [(0, 0, 1), (0, 7, 3), (900, 0, 9000), (900, 3000, 2000), (0, 40_000, 9000)]
        {
            let (mut random, mut both, mut set) = (Random(seed), Both::default(), Both::default());
            let mut sorted: Vec<_> = (0..in_order).map(|n| shape.key(n * 3)).collect();
            sorted.sort();
            sorted.dedup();
            for key in sorted {
                both.fill(&key, Some(b"of a checkpoint"));
                set.set(&key, Some(b"of a checkpoint"));
            }
            for step in 0..changes {
                let key = shape.key(random.below(keys));
                let value = vec![7; random.below(40) as usize];
                let value = (random.below(10) < 7).then_some(&value[..]);
                set.set(&key, value);
                match step % 100 {
                    0 => both.fill_now(&key, value),
                    _ => both.fill(&key, value),
                }
                if step < 300 {
                    both.compare_look(&shape.key(random.below(keys)));
                }
            }
            both.table.filled();
            assert_eq!(both.table.memory(), set.table.memory(), "{shape:?}");
            both.compare_between(&[], &[0xff; 60]);
            both.model.keys().for_each(|key| both.compare_at(key));
            assert_eq!(both.table.live(), set.table.live());
            // And goes on as any other.
            for step in 0..2000 {
                both.set(&shape.key(random.below(keys)), (step % 3 > 0).then_some(b"later"));
                both.compare_at(&shape.key(random.below(keys)));
                both.bury(both.index.saturating_sub(random.below(20)));
            }
            both.compare_between(&[], &[0xff; 60]);
        }
    }
}

/// What is said of the memory is a budget, so it must be near what is taken, however rows came, and after most of them
/// went.
#[test]
fn what_it_says_of_its_memory_is_about_what_it_takes() {
    const ROWS: u64 = 50_000;
    let scattered = |n: u64| n * 305_419_897 % ROWS;
    let in_order = |n: u64| n;
    for (place, value) in
        [(scattered as fn(u64) -> u64, 100), (in_order, 100), (scattered, 0), (in_order, 400)]
    {
        let mut both = Both::default();
        let value = vec![7; value];
        let key = |n: u64| [&[b'k'; 40], &place(n).to_be_bytes()[..]].concat();
        let mut measured = 0;
        for (live, range) in [(ROWS, 0..ROWS), (ROWS / 8, ROWS / 8..ROWS)] {
            let table = &mut both.table;
            let taken = allocation_counter::measure(|| {
                for n in range {
                    table.set(&key(n), (live == ROWS).then_some(&value), Position::new(1, n + 1));
                }
                table.bury(Index(u64::MAX));
            });
            // An allocation takes more than was asked for: a word, and rounding.
            measured += taken.bytes_current + 16 * taken.count_current;
            let said = table.memory() as i64;
            let off = (said - measured) as f64 / measured as f64;
            assert!(off.abs() < 0.25, "{live} rows of {} bytes: {said} said, {measured} taken", value.len());
        }
    }
}
