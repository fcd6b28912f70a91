//! What members agree on: each rule of R10 to R16 against the execution that it prevents.
//! The executions with all parties are in `model/`; here the code is held to the same words.

mod candidacy;
mod leadership;
mod promise;
mod sync_set;

use seawall::map::MemberId;
use seawall::position::{Epoch, Index};
use seawall::replication::{EpochBegin, Epochs};

const A: MemberId = MemberId(1);
const B: MemberId = MemberId(2);
const C: MemberId = MemberId(3);

fn table(firsts: &[(u64, u64)]) -> Epochs {
    let mut table = Epochs::default();
    firsts
        .iter()
        .for_each(|(epoch, first)| table.push(EpochBegin { epoch: Epoch(*epoch), first: Index(*first) }));
    table
}
