//! The end of a log that is torn, reordered or rotten cannot be told from one that was never acknowledged (R2): the other
//! members settle it before anybody leads with what is left.

use seawall_node::replica::Kind;
use seawall_node::seam::order::Errand;
use seawall_wal::format::{BatchHeader, SegmentHeader};
use seawall_wal::{BLOCK, FileId};

use crate::client::row_of;
use crate::duo::{Duo, FOLLOWER, LEADER};
use crate::support::{LOG, limits};
use crate::volatile::Crash;
use seawall::message::Consistency;

const SECOND: u64 = 1_000_000;

/// Both have row 2, which is acknowledged. Then one dies, and a bit of the last batch turns on its disk, before anything
/// there says that it is durable.
fn with_a_rotten_end(whose: usize) -> Duo {
    let mut duo = Duo::serving(limits());
    duo.commit_now(1);
    duo.pass(3 * SECOND);
    let pre = duo.commit(LEADER, 1);
    duo.settle();
    assert!(duo.answer(LEADER, pre).is_some());
    duo.commit_now(2);
    duo.settle();
    duo.crash(whose, &Crash::Process);
    let (file, last) = last_batch(&duo, whose);
    duo.members[whose].disk.rot(file, last + 140, 1);
    duo
}

/// The newest segment of a member's disk, and where its last batch begins.
fn last_batch(duo: &Duo, whose: usize) -> (FileId, usize) {
    let disk = duo.members[whose].disk.read();
    let segments = disk.files.iter().filter_map(|(file, bytes)| {
        let header = SegmentHeader::read(bytes, &LOG).ok()?;
        Some((header.incarnation, *file, bytes))
    });
    let (_, file, bytes) = segments.max().expect("there is a log");
    let (mut end, mut last) = (BLOCK, BLOCK);
    while let Ok(batch) = BatchHeader::read(&bytes[end..], &LOG, end as u64) {
        (last, end) = (end, end + batch.blocks());
    }
    (file, last)
}

#[test]
fn a_leader_that_lost_the_end_of_its_log_does_not_lead_with_the_rest() {
    let mut duo = with_a_rotten_end(LEADER);
    duo.start(LEADER);
    duo.pass(20 * SECOND);
    assert!(duo.report(LEADER).to_string().contains("tail: uncertain"), "{}", duo.report(LEADER));
    let own = duo.status(LEADER);
    let told = own.reason.clone().unwrap_or_default();
    assert!(told.contains("R2: member 2, which has more of this log"), "{own:?}");
    let loud = &duo.members[LEADER].loud;
    assert_eq!(loud.iter().filter(|said| said.contains("R2: member 2")).count(), 1, "{loud:?}");
    // Whoever has it leads, and the one that lost it gets it back.
    duo.order(FOLLOWER, Errand::Promote(Kind::Recorded));
    duo.pass(20 * SECOND);
    assert_eq!(duo.status(FOLLOWER).state, "serving", "{:?}", duo.status(FOLLOWER));
    assert_eq!(duo.read(FOLLOWER, Consistency::Linearizable), row_of(2));
    assert_eq!(duo.status(LEADER).state, "streaming", "{:?}", duo.status(LEADER));
    assert_eq!(duo.status(LEADER).durable, duo.status(FOLLOWER).durable);
    // And its end is certain again: it may lead.
    duo.crash(FOLLOWER, &Crash::Process);
    duo.order(LEADER, Errand::Promote(Kind::Recorded));
    duo.pass(20 * SECOND);
    duo.start(FOLLOWER);
    duo.pass(20 * SECOND);
    assert_eq!(duo.status(LEADER).state, "serving", "{:?}", duo.status(LEADER));
    assert_eq!(duo.read(LEADER, Consistency::Linearizable), row_of(2));
}

#[test]
fn a_follower_that_lost_the_end_of_its_log_is_not_promoted_before_that_is_settled() {
    for leader_is_there in [true, false] {
        let mut duo = with_a_rotten_end(FOLLOWER);
        duo.crash(LEADER, &Crash::Process);
        duo.start(FOLLOWER);
        duo.pass(SECOND);
        duo.order(FOLLOWER, Errand::Promote(Kind::Recorded));
        duo.pass(20 * SECOND);
        let own = duo.status(FOLLOWER);
        assert!(
            own.reason.clone().unwrap_or_default().contains("R2: an answer to R_FENCE from one of 1"),
            "{own:?}"
        );
        assert_eq!(
            duo.map.replicas(crate::duo::SHARD).and_then(|entry| entry.leader),
            Some(seawall::map::MemberId(1))
        );
        if leader_is_there {
            duo.start(LEADER);
            duo.pass(30 * SECOND);
            assert_eq!(duo.read(LEADER, Consistency::Linearizable), row_of(2));
            assert_eq!(duo.status(FOLLOWER).state, "streaming", "{:?}", duo.status(FOLLOWER));
        } else {
            duo.pass(20 * SECOND); // the order is given up
            duo.order(FOLLOWER, Errand::Promote(Kind::AcceptLoss));
            duo.pass(20 * SECOND);
            assert!(duo.status(FOLLOWER).epoch > 1, "a loss is accepted: {:?}", duo.members[FOLLOWER].obeyed);
        }
    }
}
