use std::collections::BTreeSet;

use seawall_node::replica::sync_set::{Deposed, NoChange, SyncSet, Way};

use crate::{A, B, C};

fn required(set: &SyncSet) -> Vec<seawall::map::MemberId> {
    set.required().collect()
}

/// R14: while the answer is unknown, what is recorded may be the old set or the new one.
#[test]
fn old_and_new_are_required_until_the_answer_is_heard() {
    let mut set = SyncSet::new([B]);
    set.begin(C, Way::In).expect("nothing is under way");
    assert_eq!(required(&set), [B, C], "required before anybody is asked");
    assert_eq!(set.ask(), Some(BTreeSet::from([B, C])));
    assert_eq!(set.ask(), None, "asked once");
    set.answered(true).expect("it is the leader");
    assert_eq!(required(&set), [B, C]);

    set.begin(B, Way::Out).expect("nothing is under way");
    assert_eq!(set.ask(), Some(BTreeSet::from([C])));
    assert_eq!(required(&set), [B, C], "required until the answer is yes");
    set.answered(true).expect("it is the leader");
    assert_eq!(required(&set), [C]);
}

#[test]
fn one_change_at_a_time() {
    let mut set = SyncSet::new([B]);
    assert_eq!(set.begin(B, Way::In), Err(NoChange::AlreadySo));
    assert_eq!(set.begin(C, Way::Out), Err(NoChange::AlreadySo));
    set.begin(C, Way::In).expect("nothing is under way");
    assert!(matches!(set.begin(A, Way::In), Err(NoChange::Busy(change)) if change.member == C));
}

/// Only a leader of another epoch changes what is recorded besides.
#[test]
fn no_says_that_somebody_else_leads() {
    let mut set = SyncSet::new([B]);
    set.begin(C, Way::In).expect("nothing is under way");
    assert_eq!(set.answered(true), Err(Deposed), "an answer to what was never asked");
    set.begin(C, Way::In).expect("nothing is under way");
    set.ask();
    assert_eq!(set.answered(false), Err(Deposed));
}
