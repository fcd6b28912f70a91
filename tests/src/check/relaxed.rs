//! Reads that need not see what is newest, from leaders and followers: a session never goes back (R21), and a bound on the
//! age holds (R22).

use std::collections::BTreeMap;

use super::{Logs, Violation, record, violation};
use crate::history::{At, History, Must};

pub fn see_what_they_must(history: &History, logs: &Logs) -> Result<(), Violation> {
    for (shard, token, _) in &history.called_lost {
        if record(logs, *shard, *token).is_some() {
            let text = format!("a token of {token} of {shard:?} was called lost, and its record is there");
            return violation("R21, what is not lost is not called so", text);
        }
    }
    let newest = newest_by_moment(history);
    for (number, operation) in history.operations.iter().enumerate() {
        let Some(at) = operation.position() else { continue };
        let (floor, rule) = match operation.must {
            Must::Newest => continue,
            Must::NotBeAnswered => {
                let text =
                    format!("operation {number} was answered as of {at}, and its token named what was lost");
                return violation("R21, a token of a lost record is refused", text);
            }
            Must::NotBefore(token) => (token, "R21, a session does not go back"),
            Must::SeeAllUntil(moment) => {
                let known =
                    newest.get(&operation.shard).and_then(|newest| newest.range(..=moment).next_back());
                (known.map_or(At { epoch: 0, index: 0 }, |(_, at)| *at), "R22, a bound on the age holds")
            }
        };
        if at < floor {
            let text =
                format!("operation {number} saw {:?} as of {at}, and must see {floor}", operation.shard);
            return violation(rule, text);
        }
    }
    Ok(())
}

/// For each shard, after each moment, the highest position that was answered.
fn newest_by_moment(history: &History) -> BTreeMap<seawall::map::ShardId, BTreeMap<u64, At>> {
    let mut answers: Vec<_> =
        history.operations.iter().filter_map(|o| Some((o.answered?, o.shard, o.position()?))).collect();
    answers.sort_unstable();
    let mut newest: BTreeMap<_, BTreeMap<u64, At>> = BTreeMap::new();
    for (moment, shard, at) in answers {
        let of_shard = newest.entry(shard).or_default();
        let before = of_shard.last_key_value().map_or(at, |(_, before)| *before);
        of_shard.insert(moment, before.max(at));
    }
    newest
}
