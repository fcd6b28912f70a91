//! DECLARE and DESCRIBE.

use seawall::Key;
use seawall::address::{Address, RowRef};
use seawall::message::declare::{Declaration, DeclareRequest};
use seawall::position::Position;
use seawall::refusal::{Detail, Refusal};
use seawall_wal::Index;

use super::check::{Broken, fits, in_known_state};
use super::{index, table_key, table_value};
use crate::params::DECLARE_ROWS;
use crate::seam::Now;
use crate::shard::release::Answer;
use crate::shard::state::State;
use crate::shard::{Asked, Shard, spaces, to_wal};

impl Shard {
    pub(in crate::shard) fn declare(&mut self, now: Now, asked: &Asked<'_>, declare: &DeclareRequest<'_>) {
        match self.try_declare(now, asked.namespace, declare) {
            Ok(at) => self.release.answer(asked.to, to_wal(at.index), Answer::Declared { position: at }),
            Err((refusal, None)) => self.release.answer(asked.to, Index(0), Answer::refused(refusal)),
            Err((refusal, Some(rests_on))) => {
                let (until, at) = self.rests_on(Some(rests_on));
                self.release.answer(asked.to, until, Answer::refused(refusal.at(at)));
            }
        }
    }

    /// Where the declaration stands, or why there is none, and the record that this rests on.
    fn try_declare(
        &mut self,
        now: Now,
        namespace: &str,
        declare: &DeclareRequest<'_>,
    ) -> Result<Position, (Refusal, Option<Position>)> {
        let current = self.state.tables().get(namespace, declare.table).map(|table| &table.declared);
        let (version, at) = current.map_or((0, None), |current| (current.version, Some(current.position)));
        if let Some(same) =
            current.filter(|c| c.version == declare.version && *c.bytes == *declare.declaration)
        {
            return Ok(same.position);
        }
        if declare.version != version + 1 {
            return Err((Refusal::cas_failed("declare.version", declare.version - 1, version), at));
        }
        let promises = Declaration::decode(declare.declaration)
            .map_err(|malformed| (Refusal::malformed("declare", malformed), None))?;
        // That it comes to the rows at all rests on the version before it.
        judge(&self.state, namespace, declare.table, &promises)
            .map_err(|(refusal, seen)| (refusal, seen.max(at)))?;
        let key = table_key(namespace, declare.table);
        let value = table_value(declare.version, declare.declaration);
        self.append_one(now, spaces::TABLES, &key, &value).map_err(|refusal| (refusal, None))
    }

    pub(in crate::shard) fn describe(&mut self, asked: &Asked<'_>, table: &str) {
        let declared = self.state.tables().get(asked.namespace, table).map(|table| &table.declared);
        let found = declared.map(|declared| (declared.version, declared.bytes.clone()));
        let (until, position) = self.rests_on(declared.map(|declared| declared.position));
        self.release.answer(asked.to, until, Answer::Described { position, found });
    }
}

/// Whether every row that is there keeps the promises; the first that does not is named. What is said of it rests on
/// all rows before it, too, those that were removed as well.
fn judge(
    state: &State,
    namespace: &str,
    table: &str,
    promises: &Declaration,
) -> Result<(), (Refusal, Option<Position>)> {
    let mut unique: Vec<_> = promises
        .indexes
        .iter()
        .filter(|(_, index)| index.unique)
        .map(|(name, index)| (name, index, None))
        .collect();
    let mut newest = None;
    let looked = index::visit(state.ordered(), namespace, table, DECLARE_ROWS, |address, at| {
        newest = newest.max(Some(at.version));
        let Some(row) = at.bytes else { return Ok(()) };
        let offends = |broken| Err((names_row(broken, &address), newest));
        if let Err(broken) = fits(promises, row).and_then(|()| in_known_state(promises, row)) {
            return offends(broken);
        }
        for (name, index, seen) in &mut unique {
            let index::InIndex::Key(key) = index::key_of(index, row) else { continue };
            // The keys of one partition at a time: it lies together.
            let (partition, keys) =
                seen.get_or_insert_with(|| (address.partition.to_vec(), std::collections::BTreeSet::new()));
            if partition != address.partition {
                *partition = address.partition.to_vec();
                keys.clear();
            }
            if !keys.insert(key.clone()) {
                let (expected, observed) =
                    (format!("one row with each key in {name}"), format!("{key} twice"));
                return offends(Broken::Constraint { rule: "table.unique", expected, observed });
            }
        }
        Ok(())
    })?;
    match looked {
        true => Ok(()),
        false => {
            let more = DECLARE_ROWS as u64 + 1;
            Err((Refusal::too_large("declare.rows_to_scan", DECLARE_ROWS, more), None))
        }
    }
}

fn names_row(broken: Broken, address: &Address<'_>) -> Refusal {
    let (rule, expected, observed) = match broken {
        Broken::Constraint { rule, expected, observed } => (rule, expected, observed),
        Broken::Transition { field, allowed, from, to } => {
            ("table.transitions", allowed, format!("{field}: {from} to {to}"))
        }
    };
    let keys = Key::from_bytes(address.partition).ok().zip(Key::from_bytes(address.row).ok());
    let row = keys.map_or(Detail::None, |(partition, key)| Detail::Row {
        partition,
        row: RowRef { table: address.table.to_owned(), key },
    });
    Refusal::row_does_not_fit(rule, row, expected, observed)
}
