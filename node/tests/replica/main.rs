//! What members agree on: each rule of R10 to R16 against the execution that it prevents.
//! The executions with all parties are in `model/`; here the code is held to the same words.

mod candidacy;
mod epochs;
mod leadership;
mod promise;
mod sync_set;

use seawall::map::MemberId;
use seawall_node::replica::EpochTable;
use seawall_wal::{Epoch, Index};

const A: MemberId = MemberId(1);
const B: MemberId = MemberId(2);
const C: MemberId = MemberId(3);

fn table(firsts: &[(u64, u64)]) -> EpochTable {
    EpochTable::new(firsts.iter().map(|(epoch, first)| (Epoch(*epoch), Index(*first)))).expect("in order")
}
