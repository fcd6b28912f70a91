//! The witness checker: the final log is the order, and every answer must fit it.
//!
//! Each reply names a position, so no search is needed: the log is replayed once, and every acknowledged commit and
//! every read is compared with what stands at its position. [`window`] distrusts this witness.

mod commits;
pub mod order;
mod reads;
mod relaxed;
pub mod window;

use std::collections::BTreeMap;

use seawall::map::ShardId;

use crate::cluster::Loss;
use crate::history::{Answer, At, Change, History, Must, Operation};

/// One record of the final log, as recovery reads it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub at: At,
    pub kind: RecordKind,
    /// In the order of the record; rows alone.
    pub changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    Data,
    EpochStart,
    Fence,
}

pub type Logs = BTreeMap<ShardId, Vec<LogRecord>>;

/// A promise that was broken: which, what it asks for and what was seen.
#[derive(Clone, Debug)]
pub struct Violation {
    pub rule: &'static str,
    pub text: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

pub fn violation<T>(rule: &'static str, text: String) -> Result<T, Violation> {
    Err(Violation { rule, text })
}

impl History {
    /// What an accepted loss took is as if nobody had been told of it. Returned is how many answers that were.
    pub fn forgive(&mut self, logs: &Logs, losses: &[Loss]) -> Result<u64, Violation> {
        let mut within = 0;
        // Who said that something was lost may have led a history that another accepted loss took.
        self.called_lost.retain(|(shard, _, said)| {
            let taken =
                |loss: &Loss| said.epoch < loss.epoch && (loss.from..=loss.until).contains(&said.index);
            !losses.iter().any(taken) || record(logs, *shard, *said).is_some()
        });
        let begun = losses.iter().map(|loss| self.first_answer_from(loss.epoch)).collect::<Vec<_>>();
        for (number, operation) in self.operations.iter_mut().enumerate() {
            let Some(at) = operation.position() else { continue };
            let taken = |loss: &Loss| at.epoch < loss.epoch && (loss.from..=loss.until).contains(&at.index);
            let lost = losses.iter().any(taken) && record(logs, operation.shard, at).is_none();
            // R21: a token of what was lost means nothing in the history that goes on without it.
            if let Must::NotBefore(token) = operation.must
                && losses.iter().any(|loss| token.epoch < loss.epoch && loss.epoch <= at.epoch)
                && record(logs, operation.shard, token).is_none()
            {
                operation.must = Must::NotBeAnswered;
            }
            // I2: but whoever was deposed answers nothing that is asked after the one behind it has answered (R16).
            let taken = losses.iter().zip(&begun).filter(|(loss, _)| taken(loss));
            let after = taken.filter_map(|(_, begun)| *begun).find(|begun| operation.invoked > *begun);
            if let (true, Must::Newest, Some(_)) = (lost, operation.must, after) {
                let text = format!(
                    "operation {number} was answered as of {at}, and asked when a later epoch had answered"
                );
                return violation("I2, what is deposed answers nothing new", text);
            }
            if lost {
                (operation.answer, operation.answered) = (Answer::Unknown, None);
                within += 1;
            }
        }
        Ok(within)
    }

    /// When anything of this epoch or a later one was answered first.
    fn first_answer_from(&self, epoch: u64) -> Option<u64> {
        let of_it = |o: &&Operation| o.position().is_some_and(|at| at.epoch >= epoch);
        self.operations.iter().filter(of_it).filter_map(|operation| operation.answered).min()
    }
}

/// Everything that must hold between a history and the logs that it left.
pub fn check(history: &History, logs: &Logs) -> Result<(), Violation> {
    order::log_is_well_formed(logs)?;
    commits::stand_where_acknowledged(history, logs)?;
    order::an_epoch_has_one_process(history)?;
    order::real_time_is_kept(history)?;
    commits::log_holds_what_was_asked_once(history, logs)?;
    commits::acknowledged_after_durable(history)?;
    reads::see_the_log_at_their_position(history, logs)?;
    reads::see_only_what_is_durable(history)?;
    relaxed::see_what_they_must(history, logs)?;
    window::keys_are_linearizable(history)
}

/// The record at a position, if the log has exactly it.
fn record(logs: &Logs, shard: ShardId, at: At) -> Option<&LogRecord> {
    let before = usize::try_from(at.index.checked_sub(1)?).ok()?;
    logs.get(&shard)?.get(before).filter(|record| record.at == at)
}

#[cfg(test)]
mod tests;
