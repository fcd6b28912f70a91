use proptest::prelude::*;
use seawall_node::replica::EpochTable;
use seawall_wal::{Epoch, Index};

use crate::table;

#[test]
fn logs_are_one_as_far_as_their_tables_say() {
    let one = table(&[(1, 1), (3, 10)]);
    let agrees = |last, other: &[(u64, u64)], other_last| {
        one.agrees_until(Index(last), &table(other), Index(other_last)).0
    };
    assert_eq!(agrees(20, &[(1, 1), (3, 10)], 15), 15, "the shorter one");
    assert_eq!(agrees(20, &[(1, 1), (3, 12)], 15), 9, "epoch 3 began elsewhere: nothing of it is the same");
    assert_eq!(agrees(20, &[(1, 1), (4, 10)], 15), 9, "another epoch");
    assert_eq!(agrees(20, &[(1, 1)], 15), 9, "the other one wrote on in epoch 1 what this one never saw");
    assert_eq!(agrees(20, &[(1, 1)], 5), 5, "it is only behind");
    assert_eq!(agrees(9, &[(1, 1), (3, 10)], 12), 9, "an epoch of which nothing is here yet");
    assert_eq!(agrees(20, &[(2, 1)], 5), 0, "another beginning");
    assert_eq!(agrees(20, &[], 0), 0, "an empty log is a part of every log");
}

/// KIP-101: B was behind A's commit index when it took over; by commit indexes A would keep [e1 w2].
#[test]
fn a_suffix_that_nobody_else_has_is_found_behind_the_commit_index() {
    let deposed = table(&[(1, 1)]);
    let leader = table(&[(1, 1), (2, 2)]);
    assert_eq!(deposed.agrees_until(Index(3), &leader, Index(4)), Index(1));
}

#[test]
fn epochs_begin_one_behind_the_other() {
    for wrong in [&[(2, 1), (1, 5)][..], &[(1, 1), (2, 1)], &[(1, 5), (2, 3)], &[(1, 0)]] {
        let made = EpochTable::new(wrong.iter().map(|(epoch, first)| (Epoch(*epoch), Index(*first))));
        assert!(made.is_err(), "{wrong:?}");
    }
    let table = table(&[(2, 1), (5, 4)]);
    let at = |index| table.epoch_at(Index(index)).map(|epoch| epoch.0);
    assert_eq!([at(0), at(1), at(3), at(4), at(90)], [None, Some(2), Some(2), Some(5), Some(5)]);
}

proptest! {
    /// Against logs that are written down record by record.
    #[test]
    fn agreement_is_what_the_records_say(one in log(), other in log()) {
        let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
        let found = of(&one).agrees_until(Index(one.len() as u64), &of(&other), Index(other.len() as u64));
        prop_assert_eq!(found, Index(same as u64));
    }
}

/// The epoch of each record. Epochs of one number are one leader's, so equal beginnings are all there is to draw.
fn log() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec((1u64..4, 1usize..4), 0..4).prop_map(|spans| {
        let mut epoch = 0;
        let mut log = Vec::new();
        for (step, len) in spans {
            epoch += step;
            log.extend(std::iter::repeat_n(epoch, len));
        }
        log
    })
}

fn of(log: &[u64]) -> EpochTable {
    let mut table = EpochTable::default();
    for (index, epoch) in (1..).zip(log) {
        if table.last_epoch() < Epoch(*epoch) {
            table.begin(Epoch(*epoch), Index(index)).expect("drawn in order");
        }
    }
    table
}
