//! A small check that distrusts the witness: each key by itself, without any position, must have been linearizable.
//!
//! For each key it searches for an order of the operations that respects real time and explains every read (Wing
//! and Gong, with Lowe's memory of what was tried). A search grows fast, so it looks at a window from the start of
//! the history to a moment of rest, and gives up, without a verdict, after a number of steps.

use std::collections::{BTreeMap, BTreeSet};

use super::{Violation, violation};
use crate::history::{Answer, Ask, History, Must};

/// As many as fit into the mask of the operations that were ordered.
const WINDOW: usize = 64;
const STEPS: usize = 2_000;

/// One operation as one key sees it.
struct Touch<'a> {
    number: usize,
    invoked: u64,
    /// `u64::MAX`: it may take effect at any time, or never.
    answered: u64,
    effect: Effect<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect<'a> {
    Write(Option<&'a [u8]>),
    Read(Option<&'a [u8]>),
}

pub fn keys_are_linearizable(history: &History) -> Result<(), Violation> {
    let mut keys: BTreeMap<&[u8], Vec<Touch<'_>>> = BTreeMap::new();
    for (number, operation) in history.operations.iter().enumerate() {
        let answered = operation.answered.unwrap_or(u64::MAX);
        let mut touch = |key, effect| {
            keys.entry(key).or_default().push(Touch { number, invoked: operation.invoked, answered, effect });
        };
        match (&operation.ask, &operation.answer) {
            (Ask::Commit(changes), Answer::Committed(_) | Answer::Unknown) => {
                changes.iter().for_each(|c| touch(c.key.as_slice(), Effect::Write(c.value.as_deref())));
            }
            (Ask::Get { key }, Answer::Read { row, .. }) if operation.must == Must::Newest => {
                touch(key, Effect::Read(row.as_ref().map(|(_, value)| value.as_slice())));
            }
            (Ask::Commit(_) | Ask::Get { .. }, _) => {}
        }
    }
    for (key, mut touches) in keys {
        touches.sort_by_key(|touch| touch.invoked);
        touches.truncate(window(&touches));
        if Search::new(&touches).run() == Some(false) {
            let numbers: Vec<_> = touches.iter().map(|touch| touch.number).collect();
            let text = format!(
                "no order explains {} operations {numbers:?}",
                String::from_utf8_lossy(key).escape_debug()
            );
            return violation("I2, each key is linearizable", text);
        }
    }
    Ok(())
}

/// How many of the first operations end at a moment when none of known end was under way.
fn window(touches: &[Touch<'_>]) -> usize {
    let mut rest = 0;
    let mut latest = 0;
    for (nth, touch) in touches.iter().enumerate() {
        if nth > WINDOW {
            return rest;
        }
        if touch.invoked > latest {
            rest = nth;
        }
        latest = latest.max(if touch.answered == u64::MAX { 0 } else { touch.answered });
    }
    if touches.len() <= WINDOW { touches.len() } else { rest }
}

struct Search<'a> {
    touches: &'a [Touch<'a>],
    tried: BTreeSet<(u64, Option<&'a [u8]>)>,
    steps: usize,
}

impl<'a> Search<'a> {
    fn new(touches: &'a [Touch<'a>]) -> Self {
        Self { touches, tried: BTreeSet::new(), steps: 0 }
    }

    /// `None` when it gave up.
    fn run(&mut self) -> Option<bool> {
        self.order(0, None)
    }

    fn order(&mut self, mut ordered: u64, value: Option<&'a [u8]>) -> Option<bool> {
        self.steps += 1;
        if self.steps > STEPS {
            return None;
        }
        // A read of the present value may always come now.
        let mut first_end = self.first_end(ordered);
        while let Some(read) =
            self.open(ordered, first_end).find(|t| self.touches[*t].effect == Effect::Read(value))
        {
            ordered |= 1 << read;
            first_end = self.first_end(ordered);
        }
        if first_end == u64::MAX {
            return Some(true);
        }
        if !self.tried.insert((ordered, value)) {
            return Some(false);
        }
        let next: Vec<usize> = self.open(ordered, first_end).collect();
        for touch in next {
            if let Effect::Write(written) = self.touches[touch].effect
                && self.order(ordered | 1 << touch, written)?
            {
                return Some(true);
            }
        }
        Some(false)
    }

    /// The earliest end of an operation that is not ordered yet.
    fn first_end(&self, ordered: u64) -> u64 {
        let open = self.touches.iter().enumerate().filter(|(nth, _)| ordered & (1 << nth) == 0);
        open.map(|(_, touch)| touch.answered).min().unwrap_or(u64::MAX)
    }

    /// Those that may come next: not ordered, and begun before any other such one ended.
    fn open(&self, ordered: u64, first_end: u64) -> impl Iterator<Item = usize> + use<'a> {
        let open = move |(nth, touch): (usize, &Touch<'_>)| {
            (ordered & (1 << nth) == 0 && touch.invoked <= first_end).then_some(nth)
        };
        self.touches.iter().enumerate().filter_map(open)
    }
}
