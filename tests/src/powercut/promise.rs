//! What one writer was promised, and whether a node that came back keeps it.
//!
//! Writer `w` is the only one that commits to partition `w`. Its `n`th commit puts three rows with the number `n` and a
//! text that is made from it: `newest/a` and `newest/b`, which every commit overwrites, and `commit/n`, which no other
//! one touches.

use seawall::position::Position;
use seawall::{Commit, Key, Row, RowRef, Value, row};

use crate::random::Random;

/// Of the commits that were found after an earlier cut, so many are looked at again.
const LOOK_AGAIN: usize = 50;
/// What is wrong with one writer's rows is said so often at most.
const WORDS: usize = 4;
const PAIR: [&str; 2] = ["a", "b"];

/// A row as a node showed it.
pub type Seen = Option<(Row, Position)>;

#[derive(Clone, Debug)]
pub struct Promises {
    name: String,
    next: i64,
    /// Commits that happened: acknowledged, or found after a cut.
    happened: Vec<(i64, Position)>,
    /// So many of them were found after a cut already.
    found: usize,
    /// Sent, and nobody said what became of them.
    doubts: Vec<i64>,
    /// Refused: nothing was done.
    refused: Vec<i64>,
}

/// What a look after a cut found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Rows that were compared.
    pub rows: usize,
    pub doubts: usize,
    /// Doubtful commits that turned out to have happened.
    pub happened: usize,
}

impl Promises {
    pub fn new(number: usize) -> Promises {
        Promises {
            name: format!("writer-{number}"),
            next: 0,
            happened: Vec::new(),
            found: 0,
            doubts: Vec::new(),
            refused: Vec::new(),
        }
    }

    pub fn partition(&self) -> Key {
        Key::from(self.name.as_str())
    }

    /// The next commit; it is in doubt until one of the answers is told here.
    pub fn commit(&mut self) -> Commit {
        self.next += 1;
        self.doubts.push(self.next);
        let fields = || [("number", Value::from(self.next)), ("text", Value::from(self.text(self.next)))];
        let commit = Commit::new(self.partition()).put(&commit_row(self.next), fields());
        PAIR.iter().fold(commit, |commit, name| commit.put(&newest_row(name), fields()))
    }

    /// The last commit was acknowledged.
    pub fn acknowledged(&mut self, version: Position) {
        let number = self.doubts.pop().expect("it was sent");
        self.happened.push((number, version));
    }

    /// The last commit was refused, and nothing was done.
    pub fn refused(&mut self) {
        let number = self.doubts.pop().expect("it was sent");
        self.refused.push(number);
    }

    /// A few hundred bytes, now and then many blocks, that tell which commit they belong to.
    fn text(&self, number: i64) -> String {
        let words = if number % 41 == 0 { 1500 } else { number.unsigned_abs() * 7 % 97 };
        let word = format!("{}/{number};", self.name);
        word.repeat(usize::try_from(words).expect("a small number"))
    }

    /// Compares everything that was promised with what `read` sees, and says what is broken. What was in doubt is
    /// settled by it: a row that is there now was committed.
    pub fn judge<E>(
        &mut self,
        random: &mut Random,
        mut read: impl FnMut(&RowRef) -> Result<Seen, E>,
    ) -> Result<(Kept, Vec<String>), E> {
        let mut kept = Kept { doubts: self.doubts.len(), ..Kept::default() };
        let mut wrong = Vec::new();
        let mut doubts = Vec::new();
        for number in std::mem::take(&mut self.doubts) {
            doubts.extend(read(&commit_row(number))?.map(|(_, version)| (number, version)));
        }
        kept.happened = doubts.len();
        self.happened.append(&mut doubts);
        for (number, version) in self.to_look_at(random) {
            let seen = read(&commit_row(number))?;
            wrong.extend(self.differs("its own row", Some((number, version)), &seen));
            kept.rows += 1;
        }
        let newest = self.happened.iter().max_by_key(|(_, version)| *version).copied();
        for name in PAIR {
            let seen = read(&newest_row(name))?;
            wrong.extend(self.differs(name, newest, &seen));
            kept.rows += 1;
        }
        for number in std::mem::take(&mut self.refused) {
            if let Some((_, version)) = read(&commit_row(number))? {
                wrong.push(format!("{} commit {number}: refused, yet it is there at {version}", self.name));
            }
        }
        self.found = self.happened.len();
        let more = wrong.len().saturating_sub(WORDS);
        wrong.truncate(WORDS);
        wrong.extend((more > 0).then(|| format!("{}: and {more} more", self.name)));
        Ok((kept, wrong))
    }

    /// All commits since the last look, and some from before it.
    fn to_look_at(&self, random: &mut Random) -> Vec<(i64, Position)> {
        let (old, new) = self.happened.split_at(self.found);
        let again = old.len().min(LOOK_AGAIN);
        let again = (0..again).map(|_| *random.pick(old));
        again.chain(new.iter().copied()).collect()
    }

    fn differs(&self, place: &str, promised: Option<(i64, Position)>, seen: &Seen) -> Option<String> {
        let shown = seen.as_ref().map(|(row, version)| (number(row), *version));
        let expected = promised.map(|(number, version)| (Some(number), version));
        let is_text = |(row, _): &(Row, Position)| {
            promised.is_some_and(|(number, _)| row.get("text") == Some(&Value::from(self.text(number))))
        };
        if shown == expected && seen.iter().all(is_text) {
            return None;
        }
        let say = |what: Option<(Option<i64>, Position)>| match what {
            None => "nothing".to_owned(),
            Some((Some(number), version)) => format!("commit {number} at {version}"),
            Some((None, version)) => format!("no number at {version}"),
        };
        let text = if shown == expected { ", and its text is another" } else { "" };
        Some(format!("{} {place}: promised was {}, there is {}{text}", self.name, say(expected), say(shown)))
    }
}

fn number(row: &Row) -> Option<i64> {
    match row.get("number") {
        Some(Value::Int(number)) => i64::try_from(*number).ok(),
        _ => None,
    }
}

fn commit_row(number: i64) -> RowRef {
    row("commit", number)
}

fn newest_row(name: &str) -> RowRef {
    row("newest", name)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::{PAIR, Promises, Seen, commit_row, newest_row};
    use crate::random::Random;
    use seawall::position::Position;
    use seawall::{Row, Value};

    /// Rows that a node would show after these commits of a writer.
    struct Shown {
        promises: Promises,
        rows: Vec<(seawall::RowRef, (Row, Position))>,
    }

    fn row_of(promises: &Promises, number: i64) -> Row {
        let fields = [("number", Value::from(number)), ("text", Value::from(promises.text(number)))];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    impl Shown {
        /// Three commits acknowledged, one refused, one in doubt that did not happen.
        fn whole() -> Shown {
            let mut promises = Promises::new(1);
            for index in 1..=3 {
                let _ = promises.commit();
                promises.acknowledged(Position::new(1, index));
            }
            let _ = promises.commit();
            promises.refused();
            let _ = promises.commit();
            let mut shown = Shown { promises, rows: Vec::new() };
            (1..=3).for_each(|number| shown.happen(number, Position::new(1, number.unsigned_abs())));
            shown
        }

        fn happen(&mut self, number: i64, version: Position) {
            self.show(commit_row(number), number, version);
            PAIR.iter().for_each(|name| self.show(newest_row(name), number, version));
        }

        fn show(&mut self, place: seawall::RowRef, number: i64, version: Position) {
            let row = row_of(&self.promises, number);
            self.rows.retain(|(other, _)| *other != place);
            self.rows.push((place, (row, version)));
        }

        fn judged(&mut self) -> Vec<String> {
            let rows = &self.rows;
            let read = |place: &seawall::RowRef| -> Result<Seen, Infallible> {
                Ok(rows.iter().find(|(other, _)| other == place).map(|(_, seen)| seen.clone()))
            };
            let Ok((_, wrong)) = self.promises.judge(&mut Random::new(1), read);
            wrong
        }
    }

    #[test]
    fn what_was_promised_holds_with_the_doubtful_commit_and_without() {
        assert_eq!(Shown::whole().judged(), Vec::<String>::new());
        let mut shown = Shown::whole();
        shown.happen(5, Position::new(1, 9));
        assert_eq!(shown.judged(), Vec::<String>::new());
        assert_eq!(shown.judged(), Vec::<String>::new(), "once settled, it stays");
        shown.happen(3, Position::new(1, 3));
        assert!(!shown.judged().is_empty(), "what was found once must stay");
    }

    #[test]
    fn each_broken_promise_is_said() {
        type Plant = fn(&mut Shown);
        let breaks: [(&str, Plant); 6] = [
            ("an acknowledged commit is gone", |shown| {
                shown.rows.retain(|(place, _)| *place != commit_row(2));
            }),
            ("the newest value is an older one", |shown| {
                PAIR.iter().for_each(|name| shown.show(newest_row(name), 2, Position::new(1, 2)));
            }),
            ("half of the doubtful commit is visible", |shown| {
                shown.show(newest_row("a"), 5, Position::new(1, 9));
            }),
            ("a refused commit is there", |shown| shown.show(commit_row(4), 4, Position::new(1, 8))),
            ("another version", |shown| shown.show(commit_row(1), 1, Position::new(2, 1))),
            ("the text of another commit", |shown| {
                let other = row_of(&shown.promises, 1).get("text").cloned().expect("a text");
                let rows = shown.rows.iter_mut().filter(|(place, _)| *place == commit_row(3));
                rows.for_each(|(_, (row, _))| {
                    let fields = [("number", Value::from(3)), ("text", other.clone())];
                    *row = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                });
            }),
        ];
        for (what, plant) in breaks {
            let mut shown = Shown::whole();
            plant(&mut shown);
            assert!(!shown.judged().is_empty(), "{what}");
        }
    }
}
