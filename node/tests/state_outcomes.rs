//! What is kept under request keys against a plain map: what it holds, what its sessions know, what is old enough to be
//! forgotten, and what it says of its memory.

use std::collections::{BTreeMap, BTreeSet};

use seawall::message::outcome::{Decision, StoredOutcome};
use seawall::message::request_key::{KeyName, StoredName};
use seawall::position::{Index, Position};
use seawall_node::shard::state::{Look, Outcomes};

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

/// With it and a namespace of four letters, an encoded session begins at a word of eight bytes.
const PARTITION: &[u8] = b"Psample\0\0";

/// Who the requests are of.
#[derive(Clone, Copy, Debug)]
enum Who {
    Sessions,
    /// Sessions made so that they all have one sum, whatever an index by sums makes of that.
    Alike,
    /// Many crowds of such: when there is a new place for all, some lose theirs.
    Crowds,
    Callers,
    /// Half and half.
    Both,
}

const ALL: [Who; 5] = [Who::Sessions, Who::Alike, Who::Crowds, Who::Callers, Who::Both];

impl Who {
    fn stored(self, holder: u64, sequence: u64) -> Vec<u8> {
        let name = format!("request {holder}");
        let session = match self {
            Who::Alike => alike(holder, 0),
            Who::Crowds => alike(holder, holder / 25),
            Who::Sessions | Who::Callers | Who::Both => [holder.to_be_bytes(), [7; 8]].concat(),
        };
        let session = session.try_into().expect("16 bytes");
        let mut stored = Vec::new();
        let key = match self {
            Who::Callers => KeyName::Caller(name.as_bytes()),
            Who::Both if holder.is_multiple_of(2) => KeyName::Caller(name.as_bytes()),
            _ => KeyName::Session { session, sequence },
        };
        key.stored_key(namespace(holder), PARTITION, &mut stored);
        if let Who::Alike | Who::Crowds = self {
            stored[..8].fill(0); // all words in front of the session are known
        }
        stored
    }
}

fn namespace(holder: u64) -> &'static str {
    if holder.is_multiple_of(3) { "some" } else { "rest" }
}

/// Half of a session is chosen after the other half.
fn alike(n: u64, crowd: u64) -> Vec<u8> {
    let mix = |sum: u64, word: u64| {
        let product = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        product ^ (product >> 32)
    };
    let mut front = Vec::new();
    KeyName::Session { session: [0; 16], sequence: 0 }.stored_key(namespace(n), PARTITION, &mut front);
    front[..8].fill(0);
    assert_eq!(front.len(), 24 + 16 + 8);
    let words = front[..24].as_chunks::<8>().0;
    let sum = words.iter().fold(40, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    [n.to_le_bytes(), (mix(sum, n) ^ (0x5eed + crowd)).to_le_bytes()].concat()
}

fn outcome(born: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    StoredOutcome { first_sent_us: born, decision: Decision::Aborted }.encode(&mut bytes);
    bytes
}

/// By holder, then by sequence: version, and when it was born.
type Model = BTreeMap<Vec<u8>, BTreeMap<u64, (Position, i64)>>;

/// The outcomes, and what they should be.
#[derive(Default)]
struct Both {
    outcomes: Outcomes,
    model: Model,
    /// The last removal of each holder, as long as it may be asked for.
    removed: BTreeMap<Vec<u8>, Position>,
    index: u64,
}

impl Both {
    fn set(&mut self, stored: &[u8], born: Option<i64>) {
        self.index += 1;
        let version = Position::new(1, self.index);
        let value = born.map(outcome);
        let (grows, before) = (self.outcomes.growth(stored, value.as_deref()), self.outcomes.memory() as i64);
        let most = Outcomes::most_growth(stored, value.as_deref()) as i64;
        self.outcomes.set(stored, value.as_deref(), version);
        let grew = self.outcomes.memory() as i64 - before;
        assert!(grew <= most, "{grew} more, at most {most} were foreseen");
        let name = StoredName::of(stored).unwrap();
        let kept = self.model.entry(name.holder.to_vec()).or_default();
        match born {
            Some(born) => {
                assert_eq!(grew, grows);
                kept.insert(name.sequence, (version, born));
            }
            None if kept.remove(&name.sequence).is_some() => {
                self.removed.insert(name.holder.to_vec(), version);
            }
            None => {}
        }
    }

    fn bury(&mut self, committed: u64) {
        self.outcomes.bury(Index(committed));
        self.model.retain(|holder, kept| {
            let open = self.removed.get(holder).is_some_and(|removed| removed.index.0 > committed);
            let gone = kept.is_empty() && !open;
            if gone {
                self.removed.remove(holder);
            }
            !gone
        });
    }

    fn compare(&self, stored: &[u8]) {
        let name = StoredName::of(stored).unwrap();
        let held = self.outcomes.of(name.holder);
        let none = BTreeMap::new();
        let kept = self.model.get(name.holder).unwrap_or(&none);
        let newest = kept.last_key_value().map(|(sequence, (version, _))| (*sequence, *version));
        assert_eq!(held.newest(), newest);
        let below: Vec<u64> = kept.range(..name.sequence).map(|(sequence, _)| *sequence).collect();
        assert_eq!(held.behind(name.sequence, i64::MAX).collect::<Vec<_>>(), below);
        let look = held.look(name.sequence);
        match kept.get(&name.sequence) {
            Some((version, born)) => {
                assert_eq!(look.changed, Some(*version));
                let row = look.row.as_ref().map(|(version, bytes)| (*version, bytes.to_vec()));
                assert_eq!(row, Some((*version, outcome(*born))));
            }
            None => assert_eq!(look, Look { changed: self.removed.get(name.holder).copied(), row: None }),
        }
    }

    fn compare_counts(&self) {
        let count = |namespace: &str| {
            let mine = self
                .model
                .iter()
                .filter(|(holder, _)| holder[8..].starts_with(&[b"P", namespace.as_bytes(), b"\0"].concat()));
            mine.map(|(_, kept)| kept.len()).sum::<usize>()
        };
        let (some, rest) = (count("some"), count("rest"));
        assert_eq!(self.outcomes.of_namespace("some"), some);
        assert_eq!(self.outcomes.of_namespace("rest"), rest);
        assert_eq!(self.outcomes.live(), some + rest);
    }

    /// What one call hands over.
    fn born_until(&mut self, horizon: i64) -> BTreeSet<Vec<u8>> {
        let mut seen = BTreeSet::new();
        self.outcomes.born_until(horizon, |stored| {
            assert!(seen.insert(stored.to_vec()), "once");
            true
        });
        for stored in &seen {
            let name = StoredName::of(stored).unwrap();
            assert!(self.model[name.holder][&name.sequence].1 <= horizon);
        }
        seen
    }

    /// Forgets what was born up to then, as a shard does, and then nothing of it is there.
    fn expire(&mut self, horizon: i64) {
        // A call that hands over nothing has put right as many holders as it looks into, or all that are left.
        let mut nothing = 0;
        while nothing <= self.model.len() / 256 {
            let seen = self.born_until(horizon);
            nothing = if seen.is_empty() { nothing + 1 } else { 0 };
            seen.iter().for_each(|stored| self.set(stored, None));
        }
        assert!(self.model.values().flat_map(BTreeMap::values).all(|(_, born)| *born > horizon));
    }
}

#[test]
fn outcomes_are_a_map_of_sessions_that_remembers_removals() {
    for (seed, who) in (1..).zip(ALL) {
        let (mut random, mut both) = (Random(seed), Both::default());
        // It grows, shrinks to next to nothing, and grows again.
        for (steps, sets, holders) in [(20_000, 9, 3000), (30_000, 1, 3000), (10_000, 6, 200)] {
            for step in 0..steps {
                let stored = who.stored(random.below(holders), 1 + random.below(6));
                let born = (random.below(10) < sets).then(|| random.below(1000) as i64);
                both.set(&stored, born);
                both.compare(&stored);
                both.compare(&who.stored(random.below(holders), 1 + random.below(8)));
                if step % 64 == 0 {
                    both.bury(both.index.saturating_sub(random.below(200)));
                }
                if step % 2000 == 0 {
                    both.compare_counts();
                    both.expire(random.below(300) as i64);
                    assert_eq!(both.born_until(-1), BTreeSet::new());
                }
            }
            both.compare_counts();
        }
        let all: Vec<_> = (0..3000).flat_map(|holder| (1..7).map(move |n| who.stored(holder, n))).collect();
        all.iter().for_each(|stored| both.set(stored, None));
        both.bury(u64::MAX);
        both.compare_counts();
        assert_eq!((both.outcomes.live(), both.outcomes.memory()), (0, 0), "{who:?}");
        assert_eq!(both.born_until(i64::MAX), BTreeSet::new());
    }
}

/// A session that goes on for longer than outcomes are remembered: its time in the order of births was that of its
/// first, which is long gone, and what is old of it by now must still be found.
#[test]
fn a_long_session_forgets_by_what_it_holds_now() {
    let mut both = Both::default();
    let stored = |n: u64| Who::Sessions.stored(1, n);
    for n in 1..2000 {
        both.set(&stored(n), Some(n as i64));
        if n > 10 {
            both.set(&stored(n - 10), None);
        }
    }
    let from = |first: u64, last: u64| (first..=last).map(stored).collect::<BTreeSet<_>>();
    assert_eq!(both.born_until(1980), BTreeSet::new(), "1990 is the oldest that is left");
    assert_eq!(both.born_until(1995), from(1990, 1995));
    // A request that was born long ago, and long on its way.
    both.set(&stored(2000), Some(3));
    assert_eq!(both.born_until(2), BTreeSet::new());
    assert_eq!(both.born_until(3), from(2000, 2000));
    assert_eq!(both.born_until(1_000_000), from(1990, 2000));
}

/// What is said of the memory is a budget, so it must be near what is taken, however outcomes came, and after most of
/// them went.
#[test]
fn what_it_says_of_its_memory_is_about_what_it_takes() {
    const OUTCOMES: u64 = 60_000;
    for (who, in_each) in [(Who::Callers, 1), (Who::Sessions, 1), (Who::Sessions, 5), (Who::Sessions, 1000)] {
        let mut outcomes = Outcomes::default();
        let stored = |n: u64| who.stored(n / in_each, 1 + n % in_each);
        let mut measured = 0;
        for (live, range) in [(OUTCOMES, 0..OUTCOMES), (OUTCOMES / 8, OUTCOMES / 8..OUTCOMES)] {
            let keys: Vec<_> = range.clone().map(stored).collect();
            let value = [outcome(1), vec![7; 20]].concat();
            let taken = allocation_counter::measure(|| {
                for (n, key) in range.zip(&keys) {
                    outcomes.set(key, (live == OUTCOMES).then_some(&value), Position::new(1, n + 1));
                }
                outcomes.bury(Index(u64::MAX));
            });
            // An allocation takes more than was asked for: a word, and rounding.
            measured += taken.bytes_current + 16 * taken.count_current;
            let said = outcomes.memory() as i64;
            let off = (said - measured) as f64 / measured as f64;
            assert!(off.abs() < 0.25, "{who:?} of {in_each}: {live} outcomes, {said} said, {measured} taken");
        }
    }
}
