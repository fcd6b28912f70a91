//! What the rig says to the process that serves the disk: one line an order, one line an answer.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::cache::{Mood, Tally};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing is accepted any more, nor read: at once, or after so many more writes were accepted and not flushed.
    Freeze {
        writes: u64,
    },
    /// The power goes: what is volatile meets its fate. The disk works again after it.
    Cut {
        seed: u64,
        mood: Mood,
    },
    /// These sectors belong to the node's files.
    Mine(Vec<Range<u64>>),
    /// Until it is healed, writes to the node's files end with EIO and are not done.
    FailWrites,
    /// Until it is healed, flushes end with EIO, and what the node's files had volatile is gone.
    FailFlushes,
    Heal,
    /// From now on a flush is acknowledged and leaves the node's files volatile: the planted bug of the rig.
    Lie,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// It works, and so many operations ended with EIO before.
    Healed(u64),
    Cut(Tally),
    Failed(String),
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Freeze { writes } => write!(f, "freeze {writes}"),
            Order::Cut { seed, mood } => {
                let named = Mood::ALL.iter().find(|(each, _)| each == mood).expect("every mood has a name");
                write!(f, "cut {seed} {}", named.1)
            }
            Order::Mine(ranges) => {
                write!(f, "mine")?;
                ranges.iter().try_for_each(|range| write!(f, " {}..{}", range.start, range.end))
            }
            Order::FailWrites => write!(f, "fail-writes"),
            Order::FailFlushes => write!(f, "fail-flushes"),
            Order::Heal => write!(f, "heal"),
            Order::Lie => write!(f, "lie"),
        }
    }
}

fn number(word: Option<&str>) -> Result<u64, String> {
    let word = word.ok_or("a number is missing")?;
    word.parse().map_err(|e| format!("{word} is no number: {e}"))
}

fn range(word: &str) -> Result<Range<u64>, String> {
    let (start, end) = word.split_once("..").ok_or_else(|| format!("{word} is no range"))?;
    Ok(number(Some(start))?..number(Some(end))?)
}

fn mood(word: Option<&str>) -> Result<Mood, String> {
    let named = Mood::ALL.iter().find(|(_, name)| Some(*name) == word);
    named.map(|(mood, _)| *mood).ok_or_else(|| format!("{word:?} is no mood"))
}

impl FromStr for Order {
    type Err = String;

    fn from_str(line: &str) -> Result<Order, String> {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("freeze") => Ok(Order::Freeze { writes: number(words.next())? }),
            Some("cut") => Ok(Order::Cut { seed: number(words.next())?, mood: mood(words.next())? }),
            Some("mine") => words.map(range).collect::<Result<_, _>>().map(Order::Mine),
            Some("fail-writes") => Ok(Order::FailWrites),
            Some("fail-flushes") => Ok(Order::FailFlushes),
            Some("heal") => Ok(Order::Heal),
            Some("lie") => Ok(Order::Lie),
            _ => Err(format!("no such order: {line}")),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Done => write!(f, "done"),
            Answer::Healed(count) => write!(f, "healed {count}"),
            Answer::Cut(Tally { volatile, mine, dropped, older, torn, kept }) => {
                write!(f, "cut {volatile} {mine} {dropped} {older} {torn} {kept}")
            }
            Answer::Failed(why) => write!(f, "failed {why}"),
        }
    }
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(line: &str) -> Result<Answer, String> {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("done") => Ok(Answer::Done),
            Some("healed") => Ok(Answer::Healed(number(words.next())?)),
            Some("cut") => Ok(Answer::Cut(Tally {
                volatile: number(words.next())?,
                mine: number(words.next())?,
                dropped: number(words.next())?,
                older: number(words.next())?,
                torn: number(words.next())?,
                kept: number(words.next())?,
            })),
            Some("failed") => Ok(Answer::Failed(words.collect::<Vec<_>>().join(" "))),
            _ => Err(format!("no such answer: {line}")),
        }
    }
}
