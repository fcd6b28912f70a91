//! Where commits meet declarations: between evaluation and append.

use seawall::address::Address;
use seawall::key;
use seawall::message::Op;
use seawall::message::read::Found;
use seawall::message::term::RowAt;
use seawall::refusal::Refusal;

use super::Change;
use crate::shard::evaluate::Evaluation;
use crate::shard::spaces;
use crate::shard::state::At;

impl Evaluation<'_> {
    /// Whether the declarations allow what the draft makes of rows.
    pub(in crate::shard) fn keep_promises(&mut self) -> Result<(), Refusal> {
        let tables = self.state.tables();
        if tables.is_empty() {
            return Ok(());
        }
        let drafted: Vec<_> = self.draft.entries().filter(|entry| entry.space == spaces::ROWS).collect();
        let looks: Vec<_> = drafted.iter().map(|entry| self.state.at(spaces::ROWS, entry.key)).collect();
        // What is said of a row that is not there rests on its deletion (R20).
        self.seen = looks.iter().fold(self.seen, |seen, look| seen.max(look.as_ref().map(|at| at.version)));
        let mut changes: Vec<Change<'_>> = Vec::with_capacity(drafted.len());
        for (entry, look) in drafted.iter().zip(&looks) {
            let Some(address) = Address::of_stored_key(entry.key) else { continue };
            let at = RowAt { table: address.table, key: address.row };
            let before = look.as_ref().and_then(found);
            if entry.value != before.map(|before| before.row) {
                changes.push(Change { ordinal: self.last_on(at), at, before, after: entry.value });
            }
        }
        let verdict = tables.check(self.namespace, self.commit.partition, &changes);
        verdict.map_err(|rejection| {
            self.seen = self.seen.max(Some(rejection.rests_on));
            match &rejection.about {
                Some((table, key)) => self.showing(rejection.refusal, RowAt { table, key }),
                None => rejection.refusal,
            }
        })
    }

    /// The last operation that touched a row.
    fn last_on(&self, at: RowAt<'_>) -> usize {
        let touches = |op: Op<'_>| match op {
            Op::Append { stream, .. } => {
                stream.table == at.table && at.key.starts_with(key::prefix(stream.key))
            }
            op => op.touches().is_some_and(|(row, _)| row == at),
        };
        let ops = self.commit.ops.iter().enumerate().filter(|(_, op)| touches(*op));
        ops.last().map_or(0, |(nth, _)| nth)
    }
}

fn found<'a>(at: &At<'a>) -> Option<Found<'a>> {
    at.bytes.map(|row| Found { version: at.version, row })
}
