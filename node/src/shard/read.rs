//! Reads: evaluated at once, answered when what they saw is committed.

use seawall::address::Address;
use seawall::message::GetRequest;
use seawall_wal::Index;

use super::release::Answer;
use super::{Asked, Life, Shard, position, spaces};

impl Shard {
    pub(super) fn get(&mut self, asked: &Asked<'_>, get: &GetRequest<'_>) {
        let Life::Running(running) = &self.life else { return };
        let address = Address {
            namespace: asked.namespace,
            partition: get.partition,
            table: get.at.table,
            row: get.at.key,
        };
        self.scratch.clear();
        address.stored_key(&mut self.scratch);
        let look = self.state.look(spaces::ROWS, &self.scratch);
        let committed = self.release.committed();
        // The answer rests on the last record that changed the row, its deletion too; if that is committed, on
        // everything that is.
        let until = look.changed.map_or(committed, |changed| committed.max(Index(changed.index.0)));
        let rests_on = match look.changed {
            Some(changed) if changed.index.0 == until.0 => changed,
            _ => position(running.log.epoch(), until),
        };
        self.release.answer(asked.to, until, Answer::Row { position: rests_on, row: look.row });
    }
}
