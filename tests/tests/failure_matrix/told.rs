//! Nothing is silent: what a member loses, refuses or is told to do is said where it happens, where it is asked, and where it
//! is recorded.

use seawall::map::MemberId;
use seawall_node::replica::Kind;
use seawall_node::seam::order::Errand;
use seawall_wal::FileId;

use crate::duo::{Duo, FOLLOWER, LEADER, SHARD};
use crate::forgery::until;
use crate::support::limits;
use crate::volatile::Crash;
use crate::whole::loses_its_disk;

const SECOND: u64 = 1_000_000;
const SECOND_MEMBER: MemberId = MemberId(2);

/// R14: it was required, and has nothing. A disk that never had anything is no news.
#[test]
fn a_member_that_lost_its_disk_says_so() {
    let mut duo = Duo::serving(limits());
    assert_eq!(duo.members[FOLLOWER].loud, [""; 0], "it began with nothing, as everybody does");
    duo.commit_now(1);
    loses_its_disk(&mut duo);
    duo.pass(SECOND);
    let loud = duo.members[FOLLOWER].loud.clone();
    let [said] = &loud[..] else { panic!("once: {loud:?}") };
    assert!(
        said.starts_with("reseeds: R14: commits wait for this member in epoch 1, and its disk is empty"),
        "{said}"
    );
}

/// R12, R15: what an accepted loss takes is said by the member that had it: which indices, and how many of them were committed.
#[test]
fn what_an_accepted_loss_took_is_said_by_whoever_had_it() {
    let mut duo = Duo::new(limits(), 1);
    duo.start(LEADER);
    duo.start(FOLLOWER);
    duo.pass(4 * SECOND);
    if duo.map.replicas(SHARD).is_some_and(|entry| entry.sync.contains(&SECOND_MEMBER)) {
        duo.order(LEADER, Errand::Release(SECOND_MEMBER));
        duo.pass(SECOND);
    }
    duo.commit_now(1);
    duo.pass(SECOND);
    duo.crash(FOLLOWER, &Crash::Process);
    duo.commit_now(2);
    duo.commit_now(3);
    duo.pass(3 * SECOND);
    let had = duo.status(LEADER).durable;
    duo.crash(LEADER, &Crash::Process);
    duo.start(FOLLOWER);
    duo.order(FOLLOWER, Errand::Promote(Kind::AcceptSplit { off: [MemberId(1)].into() }));
    duo.pass(6 * SECOND);
    assert_eq!(duo.status(FOLLOWER).state, "serving");
    duo.start(LEADER);
    let said = until(&mut duo, |duo| duo.members[LEADER].loud.first().cloned());
    assert!(
        said.starts_with("does not go on: R12: indices ") && said.contains(&format!(" to {had} are lost, ")),
        "{said}"
    );
    let lost = said.split(" are lost, ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(lost >= Some(2), "both commits were known to be committed: {said}");
    duo.pass(4 * SECOND);
    assert_eq!(duo.status(LEADER).state, "streaming");
    assert_eq!(duo.members[LEADER].loud.len(), 1, "once: {:?}", duo.members[LEADER].loud);
    let report = duo.report(LEADER).to_string();
    assert!(report.contains("were copied to quarantine/ and taken away"), "{report}");
    assert!(report.contains("a cut that was decided before this start"), "{report}");
    assert!(!report.contains("nothing that is durable stands behind it"), "{report}");
}

/// Whoever leads because it was handed over leads in the operator's name, also where it takes an epoch of its own.
#[test]
fn a_leadership_that_was_handed_over_is_recorded_in_the_name_of_whoever_told_it() {
    let mut duo = Duo::serving(limits());
    duo.commit_now(1);
    duo.order(LEADER, Errand::HandOver(SECOND_MEMBER));
    duo.pass(8 * SECOND);
    assert_eq!(duo.status(FOLLOWER).state, "serving");
    let audit = duo.map.parts().audit.clone().expect("the newest change");
    let told = (audit.actor.as_str(), audit.reason.as_str());
    assert_eq!(told, ("an operator", "the matrix asks for it"), "{audit:?}");
    // A start of its own is its own.
    duo.crash_and_start(FOLLOWER, &Crash::Process);
    duo.pass(12 * SECOND);
    assert_eq!(duo.status(FOLLOWER).state, "serving");
    let audit = duo.map.parts().audit.clone().expect("the newest change");
    assert!(audit.actor == "the member itself" || audit.actor == "the leader itself", "{audit:?}");
}

/// A member that halted at its start says so to its leader, and to whoever would promote it.
#[test]
fn a_member_that_halted_at_its_start_is_halted_for_everybody() {
    let mut duo = Duo::serving(limits());
    duo.commit_now(1);
    duo.crash(FOLLOWER, &Crash::Process);
    duo.members[FOLLOWER].disk.rot(FileId::Meta, 9, 1);
    duo.start(FOLLOWER);
    duo.pass(3 * SECOND);
    let own = duo.status(FOLLOWER);
    assert_eq!((own.state, own.replication.and_then(|own| own.committed)), ("halted", None));
    let members = duo.status(LEADER).replication.expect("a member").members;
    assert_eq!(members[0].state, "halted", "{members:?}");
    assert!(members[0].reason.as_ref().is_some_and(|why| why.contains("breaks R6")), "{members:?}");
    duo.members[FOLLOWER].obeyed.clear();
    duo.order(FOLLOWER, Errand::Promote(Kind::Recorded));
    let refused = duo.members[FOLLOWER].obeyed.first().cloned().expect("at once");
    assert!(
        refused.as_ref().is_err_and(|why| why.starts_with("R25: this member is halted: ")),
        "{refused:?}"
    );
}

/// Who cannot lead at all goes on as it was.
#[test]
fn a_promotion_that_is_refused_ends_no_session() {
    let mut duo = Duo::new(limits(), 1);
    duo.start(LEADER);
    duo.start(FOLLOWER);
    duo.pass(4 * SECOND);
    duo.order(LEADER, Errand::Release(SECOND_MEMBER));
    duo.pass(4 * SECOND);
    let before = duo.following();
    assert!(duo.map.replicas(SHARD).is_some_and(|entry| !entry.sync.contains(&SECOND_MEMBER)));
    duo.members[FOLLOWER].obeyed.clear();
    duo.order(FOLLOWER, Errand::Promote(Kind::Recorded));
    let refused = duo.members[FOLLOWER].obeyed.first().cloned().expect("at once");
    assert!(refused.is_err(), "{refused:?}");
    let after = duo.following();
    assert_eq!((before.state, before.leader), (after.state, after.leader), "{refused:?}");
}

/// `status` says how fast a member gets on, at itself and at its leader.
#[test]
fn the_rate_of_a_follower_is_shown_by_both() {
    let mut duo = Duo::serving(limits());
    for n in 1..=40 {
        duo.commit_now(n % 5);
        duo.pass(SECOND / 20);
    }
    let member = duo.status(LEADER).replication.expect("a member").members[0].clone();
    let own = duo.following();
    let rates = [own.records_per_second, member.records_per_second];
    assert!(rates[0] > 0 && rates[0].abs_diff(rates[1]) <= 2, "{rates:?}");
    duo.pass(5 * SECOND);
    assert_eq!(duo.following().records_per_second, 0, "nothing comes");
}
