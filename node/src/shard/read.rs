//! Reads by name: evaluated at once, answered when what they saw is committed.

use seawall::address::Address;
use seawall::message::term::RowAt;
use seawall::message::{GetRequest, MultiGetRequest};

use super::release::Answer;
use super::state::Look;
use super::{Asked, Shard, spaces};

impl Shard {
    pub(super) fn get(&mut self, asked: &Asked<'_>, get: &GetRequest<'_>) {
        let look = self.look_at(asked, get.partition, &get.at);
        let (until, position) = self.rests_on(look.changed);
        self.answer_read(asked, until, Answer::Row { position, row: look.row });
    }

    /// All rows as they are at one position: that of the newest change among them, or the committed one.
    pub(super) fn multi_get(&mut self, asked: &Asked<'_>, get: &MultiGetRequest<'_>) {
        let looks: Vec<Look> = get.rows.iter().map(|at| self.look_at(asked, get.partition, &at)).collect();
        let (until, position) = self.rests_on(looks.iter().filter_map(|look| look.changed).max());
        let rows = looks.into_iter().map(|look| look.row).collect();
        self.answer_read(asked, until, Answer::Rows { position, rows });
    }

    fn look_at(&mut self, asked: &Asked<'_>, partition: &[u8], at: &RowAt<'_>) -> Look {
        let address = Address { namespace: asked.namespace, partition, table: at.table, row: at.key };
        self.scratch.clear();
        address.stored_key(&mut self.scratch);
        self.state.look(spaces::ROWS, &self.scratch)
    }
}
