//! The final log, replayed on the model in the order of its indices: it must give the same decisions, the same rows and
//! the same assigned values; and each answer must be what the model says at the position that it names.

use std::collections::{BTreeMap, BTreeSet};

use seawall::message::declare::Declaration;
use seawall::message::outcome::{Decision, StoredOutcome};
use seawall::position::Position;
use seawall::refusal::{Detail, Refusal};
use seawall_node::shard::spaces::{EVENTS, HORIZON, LEASES, OUTCOMES, ROWS, TABLES, TTLS};
use seawall_wal::Space;

use super::answers;
use super::history::{Answer, Ask, Book, Declare};
use super::image;
use super::kept::Final;
use super::met::Met;
use super::model::{Came, Model, No, Remembered, Table, Why, came};
use crate::check::{RecordKind, Violation, violation};
use crate::history::{At, marks};
use crate::world::finish::{ReadBack, Whole};

/// Outcomes are remembered so long, at least.
const RETENTION_US: i64 = 24 * 3_600_000_000;

/// What a record decided.
#[derive(Clone, Debug)]
pub enum Decided {
    Yes { asked: usize, came: Vec<(usize, Came)> },
    No { asked: usize, why: Refusal },
    Aborted,
    Declared(Declare),
}

/// A log on its way through the model.
pub struct Judge<'a> {
    pub book: &'a Book,
    pub model: Model,
    /// By index.
    pub decided: BTreeMap<u64, Decided>,
    /// What stands under each key, by the commits that asked for it.
    by_key: BTreeMap<&'a [u8], Vec<usize>>,
    /// Where each key was decided, also of those that are forgotten.
    settled: BTreeMap<Vec<u8>, At>,
    /// Commits that took effect.
    done: BTreeSet<usize>,
    resolved: BTreeSet<&'a [u8]>,
    /// Where pages with a cursor ended, by their attempts.
    pub ends: BTreeMap<usize, Vec<u8>>,
    pub met: &'a mut Met,
}

impl<'a> Judge<'a> {
    pub fn new(book: &'a Book, met: &'a mut Met) -> Self {
        let mut by_key: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (number, asked) in book.asked.iter().enumerate() {
            if let Some(key) = &asked.key {
                by_key.entry(key.stored.as_slice()).or_default().push(number);
            }
        }
        let resolve = |ask: &Ask| match ask {
            Ask::Resolve(asked) => book.asked[*asked].key.as_ref().map(|key| key.stored.as_slice()),
            _ => None,
        };
        let resolved = book.attempts.iter().filter_map(|attempt| resolve(&attempt.ask)).collect();
        let (decided, settled, done, ends) = Default::default();
        Self { book, model: Model::default(), decided, by_key, settled, done, resolved, ends, met }
    }

    /// Replays a whole log. `resting` are the attempts whose answers name its positions.
    pub fn replay(
        &mut self,
        log: &[Final<'_>],
        read: &ReadBack,
        resting: &BTreeMap<u64, Vec<usize>>,
    ) -> Result<(), Violation> {
        for Final { record, .. } in log {
            self.record(record)?;
            for attempt in resting.get(&record.at.index).into_iter().flatten() {
                answers::check(self, *attempt, record)?;
            }
            if let Some((cut, held)) = &read.base
                && *cut == record.at
            {
                self.checkpoint(*cut, held)?;
            }
        }
        Ok(())
    }

    fn record(&mut self, record: &Whole) -> Result<(), Violation> {
        if record.kind == RecordKind::EpochStart {
            self.model.epochs.insert(record.at.epoch, record.at.index);
        }
        if record.kind != RecordKind::Data {
            return Ok(());
        }
        if record.entries.iter().any(|(space, ..)| *space == TABLES) {
            return self.declared(record);
        }
        let puts = |space: Space| {
            record.entries.iter().filter(move |(of, _, value)| *of == space && value.is_some())
        };
        let outcomes: Vec<_> = puts(OUTCOMES).collect();
        let marked = puts(EVENTS).flat_map(|(.., event)| marks(event.as_deref().unwrap_or_default())).next();
        match (outcomes.as_slice(), marked) {
            ([(_, key, Some(stored))], _) => self.keyed(record, key, stored),
            ([], Some(number)) => self.unkeyed(record, usize::try_from(number).expect("a number of ours")),
            ([], None) => self.expiry(record),
            _ => violation("a record decides on one commit", format!("{} does not", record.at)),
        }
    }

    /// A record that holds the outcome of a key.
    fn keyed(&mut self, record: &Whole, key: &[u8], stored: &[u8]) -> Result<(), Violation> {
        let at = record.at;
        let Some(askers) = self.by_key.get(key) else {
            return violation("the log holds what was asked", format!("nobody used the key at {at}"));
        };
        let outcome = StoredOutcome::decode(stored)
            .map_err(|bad| Violation { rule: "an outcome can be read", text: format!("{bad:?} at {at}") })?;
        let sent = match &outcome.decision {
            Decision::Committed { fingerprint, .. } | Decision::Rejected { fingerprint, .. } => {
                Some(*fingerprint)
            }
            Decision::Aborted => None,
        };
        let book = self.book;
        let asker =
            askers.iter().copied().find(|n| sent.is_none_or(|sent| book.asked[*n].fingerprint == sent));
        let Some(number) = asker else {
            let text = format!("what stands at {at} was never sent under its key");
            return violation("the log holds what was asked", text);
        };
        let known = book.asked[number].key.clone().expect("it was found by its key");
        self.key_is_open(&known, record, &outcome)?;
        let decided = match outcome.decision {
            Decision::Aborted if self.resolved.contains(key) => {
                self.changes_nothing(record)?;
                Decided::Aborted
            }
            Decision::Aborted => {
                return violation("only RESOLVE aborts a key", format!("nobody resolved that of {at}"));
            }
            Decision::Committed { results, .. } => {
                let expected = self.decides_yes(number, record)?;
                if expected != came(&results) {
                    let text = format!("{at} stores {:?} for {expected:?}", came(&results));
                    return violation("a stored outcome is what came of it", text);
                }
                Decided::Yes { asked: number, came: expected }
            }
            Decision::Rejected { why, .. } => {
                self.decides_no(number, record, &why)?;
                self.changes_nothing(record)?;
                Decided::No { asked: number, why }
            }
        };
        self.decided.insert(at.index, decided);
        self.settled.insert(key.to_vec(), at);
        self.model.outcomes.insert(key.to_vec(), Remembered { key: known, at });
        self.forgets(record)
    }

    /// I3: nothing stands under the key, and nothing was forgotten that might have.
    fn key_is_open(
        &self,
        key: &super::history::KeyOf,
        record: &Whole,
        outcome: &StoredOutcome<'_>,
    ) -> Result<(), Violation> {
        let rule = "I3, a key takes effect at most once";
        let at = record.at;
        if let Some(before) = self.settled.get(&key.stored) {
            return violation(rule, format!("what was decided at {before} is decided again at {at}"));
        }
        if self.model.forgotten(key) {
            let text = format!("{at} decides on a key of {}, which is forgotten", key.born_us);
            return violation(rule, text);
        }
        if outcome.first_sent_us != key.born_us {
            return violation("an outcome keeps the birth of its key", format!("{at} does not"));
        }
        Ok(())
    }

    fn unkeyed(&mut self, record: &Whole, number: usize) -> Result<(), Violation> {
        let at = record.at;
        match self.book.asked.get(number) {
            Some(asked) if asked.key.is_none() => {}
            _ => return violation("the log holds what was asked", format!("{at} lost its outcome")),
        }
        let came = self.decides_yes(number, record)?;
        self.decided.insert(at.index, Decided::Yes { asked: number, came });
        Ok(())
    }

    /// The model does the commit, too, and makes the same rows of it.
    fn decides_yes(&mut self, number: usize, record: &Whole) -> Result<Vec<(usize, Came)>, Violation> {
        let at = record.at;
        if !self.done.insert(number) {
            return violation("I3, a commit takes effect once", format!("commit {number} again at {at}"));
        }
        let model = &self.model;
        let asked = &self.book.asked[number];
        let verdict = asked.read(|commit| model.decide(commit, record.time_us, to_wire(at)));
        let yes = match verdict {
            Ok(yes) => yes,
            Err(whys) => {
                let text = format!("commit {number} was done at {at}; the model says {whys:?}");
                return violation("a commit is decided as the protocol says", text);
            }
        };
        image::record_holds(&self.model, &yes, asked.commit.partition().as_bytes(), record)?;
        asked.read(|commit| self.met.done(commit));
        let results = yes.came.clone();
        self.model.apply(yes);
        Ok(results)
    }

    fn decides_no(&mut self, number: usize, record: &Whole, why: &Refusal) -> Result<(), Violation> {
        let model = &self.model;
        let asked = &self.book.asked[number];
        let verdict = asked.read(|commit| model.decide(commit, record.time_us, to_wire(record.at)));
        if !verdict.as_ref().is_err_and(|whys| explain(whys, why)) {
            let expected = verdict.map(|yes| yes.came);
            let text = format!("commit {number} at {}: {why}; the model says {expected:?}", record.at);
            return violation("a commit is decided as the protocol says", text);
        }
        asked.read(|commit| self.met.failed(commit, why));
        Ok(())
    }

    fn changes_nothing(&self, record: &Whole) -> Result<(), Violation> {
        match record.entries.iter().find(|(space, ..)| *space != OUTCOMES) {
            None => Ok(()),
            Some(entry) => {
                violation("what was not done changes nothing", format!("{}: {entry:?}", record.at))
            }
        }
    }

    /// A DECLARE: the next version of what it promises, which all rows keep.
    fn declared(&mut self, record: &Whole) -> Result<(), Violation> {
        let rule = "a declaration is one that was asked for, and may stand";
        let [(TABLES, key, Some(value))] = record.entries.as_slice() else {
            return violation(rule, format!("{}: {:?}", record.at, record.entries));
        };
        let stands = |attempt: &&super::history::Attempt| match (&attempt.ask, &attempt.answer) {
            (Ask::Declare(_), Answer::Refused(_) | Answer::Rejected { .. }) => false,
            (Ask::Declare(ask), _) => {
                let bytes = [&ask.version.to_le_bytes()[..], &ask.bytes].concat();
                *key == image::table_key(&ask.table) && *value == bytes
            }
            _ => false,
        };
        let Some(Ask::Declare(declare)) =
            self.book.attempts.iter().find(stands).map(|attempt| attempt.ask.clone())
        else {
            return violation(rule, format!("nobody asked for, or was told of, that of {}", record.at));
        };
        let promises = Declaration::decode(&declare.bytes).expect("one of ours");
        let known = self.model.tables.get(&declare.table).map_or(0, |table| table.version);
        let offenders = self.model.offenders(&declare.table, &promises);
        if declare.version != known + 1 || !offenders.is_empty() {
            let text = format!("{}: {declare:?} behind version {known}, over {offenders:?}", record.at);
            return violation(rule, text);
        }
        let Declare { table, version, bytes } = declare.clone();
        self.model.tables.insert(table, Table { version, bytes, promises });
        self.decided.insert(record.at.index, Decided::Declared(declare));
        Ok(())
    }

    /// A record that nobody asked for: time passed.
    fn expiry(&mut self, record: &Whole) -> Result<(), Violation> {
        self.forgets(record)?;
        for (space, key, value) in &record.entries {
            let ended = match (*space, value) {
                (ROWS, None) => self.model.rows.remove(key).map(|held| held.ends.unwrap_or(i64::MAX)),
                (LEASES, None) => self.model.leases.remove(key).map(|lease| lease.ends),
                (TTLS, None) | (OUTCOMES, None) | (HORIZON, Some(_)) => continue,
                _ => None,
            };
            if ended.is_none_or(|ended| ended > record.time_us) {
                let text = format!(
                    "{} of time {} removes, in space {}, what ends at {ended:?}",
                    record.at, record.time_us, space.0
                );
                return violation("only what has ended by leader time is removed", text);
            }
            self.met.count("expired");
        }
        Ok(())
    }

    /// Outcomes that go are those that nobody may ask for any more.
    fn forgets(&mut self, record: &Whole) -> Result<(), Violation> {
        for (space, _, value) in &record.entries {
            let (HORIZON, Some(value)) = (*space, value) else { continue };
            let horizon = value.as_slice().try_into().map(i64::from_le_bytes).unwrap_or(i64::MAX);
            let old = self.model.horizon;
            if horizon > record.time_us - RETENTION_US || old.is_some_and(|old| old >= horizon) {
                let text = format!("{} of time {}: {horizon} after {old:?}", record.at, record.time_us);
                return violation("the horizon follows leader time, and never goes back", text);
            }
            self.model.horizon = Some(horizon);
        }
        for (_, key, _) in
            record.entries.iter().filter(|(space, _, value)| *space == OUTCOMES && value.is_none())
        {
            match self.model.outcomes.get(key) {
                Some(known) if self.model.forgotten(&known.key) => self.met.count("outcome forgotten"),
                known => {
                    let text = format!("{} forgets {known:?}", record.at);
                    return violation("R19, an outcome lives as long as its key may be used", text);
                }
            }
        }
        let gone = record.entries.iter().filter(|(space, _, value)| *space == OUTCOMES && value.is_none());
        gone.for_each(|(_, key, _)| drop(self.model.outcomes.remove(key)));
        Ok(())
    }

    /// What the folds made of the log up to here.
    fn checkpoint(&mut self, cut: At, held: &[crate::world::finish::Held]) -> Result<(), Violation> {
        if !image::checkpoint_holds(&self.model, held) {
            return violation("a checkpoint holds the state of its cut", format!("that of {cut} does not"));
        }
        self.met.count("checkpoint compared");
        Ok(())
    }
}

pub fn encoded(row: &seawall::Row) -> Vec<u8> {
    let mut bytes = Vec::new();
    row.encode(&mut bytes);
    bytes
}

pub fn to_wire(at: At) -> Position {
    Position::new(at.epoch, at.index)
}

/// Which check or operation a rejection names.
pub fn place_of(why: &Refusal) -> Option<No> {
    match why.reason.detail {
        Detail::Check { ordinal, .. } => Some(No::Check(ordinal, why.code)),
        Detail::Operation { ordinal, .. } => Some(No::Op(ordinal, why.code)),
        _ => None,
    }
}

/// Whether a refusal says one of these, and names who stands in its way where somebody does.
pub fn explain(whys: &[Why], refusal: &Refusal) -> bool {
    let place = place_of(refusal);
    let unique = refusal.reason.rule == "table.unique";
    whys.iter().filter(|why| Some(why.no) == place).any(|why| {
        let named = |holder: &String| refusal.reason.observed.contains(holder.as_str());
        unique != why.holders.is_empty() && (!unique || why.holders.iter().any(named))
    })
}
