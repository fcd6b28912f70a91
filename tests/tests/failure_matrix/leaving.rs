//! Out of a halt on purpose (R25), and logs that begin anew (R14, R12): nothing else ends either, and whoever dies in
//! between goes on with it.

use seawall::map::MemberId;
use seawall::message::Consistency;
use seawall_node::replica::Kind;
use seawall_node::seam::Event;
use seawall_node::seam::order::{Done, Errand, Obeyed};
use seawall_wal::{BLOCK, FileId, SlotId};

use crate::client::RELAXED;
use crate::duo::{Duo, FOLLOWER, LEADER, Letter, SHARD, TORN};
use crate::forgery::until;
use crate::reads::{Breaks, halt, rot_metadata, serving};
use crate::snapshot::folding;
use crate::support::limits;
use crate::volatile::{Crash, Left};

const SECOND: u64 = 1_000_000;
const SECOND_MEMBER: MemberId = MemberId(2);

fn obeyed(duo: &mut Duo, nth: usize, errand: Errand) -> Obeyed {
    duo.members[nth].obeyed.clear();
    duo.order(nth, errand);
    until(duo, |duo| duo.members[nth].obeyed.first().cloned())
}

fn recorded(duo: &Duo) -> bool {
    duo.map.replicas(SHARD).is_some_and(|entry| entry.sync.contains(&SECOND_MEMBER))
}

/// It has all that the leader has, is required again, and says nothing of a loss.
fn is_whole(duo: &mut Duo, what: &str) {
    duo.pass(8 * SECOND);
    let own = duo.following();
    assert_eq!((own.state, own.reseeding, own.reseed), ("streaming", false, None), "{what}");
    assert_eq!(own.validated, duo.status(LEADER).durable, "{what}");
    assert!(recorded(duo), "{what}: the policy needs it");
    let newest = duo.read(LEADER, Consistency::Linearizable);
    assert_eq!(duo.read(FOLLOWER, RELAXED), newest, "{what}");
}

#[test]
fn a_latched_halt_ends_by_an_audited_order_and_by_nothing_else() {
    let (mut duo, _) = serving();
    let refused = obeyed(&mut duo, FOLLOWER, Errand::Clear);
    assert!(
        refused.as_ref().is_err_and(|why| why.contains("R25") && why.contains("not halted")),
        "{refused:?}"
    );
    halt(&mut duo);
    let why = duo.following().reason.expect("it says why");
    duo.crash_and_start(FOLLOWER, &Crash::Process);
    duo.pass(2 * SECOND);
    assert_eq!(duo.status(FOLLOWER).state, "halted");
    assert_eq!(obeyed(&mut duo, FOLLOWER, Errand::Clear), Ok(Done::Cleared));
    let audit = duo.members[FOLLOWER].disk.audit.clone();
    let [line] = &audit[..] else { panic!("{audit:?}") };
    for part in ["\"act\":\"clear\"", "an operator", "the matrix asks for it", "R1", "2026-"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(
        line.contains(why.split(", offset").next().unwrap_or_default().trim_start_matches("R1: ")),
        "{line}"
    );
    is_whole(&mut duo, "cleared");
    duo.crash_and_start(FOLLOWER, &Crash::Process);
    is_whole(&mut duo, "after another start");
}

/// The latch of a process that goes on is one, too.
#[test]
fn a_halt_is_cleared_without_a_start_between() {
    let (mut duo, _) = serving();
    halt(&mut duo);
    assert_eq!(obeyed(&mut duo, FOLLOWER, Errand::Clear), Ok(Done::Cleared));
    is_whole(&mut duo, "cleared");
}

fn rot_log(duo: &mut Duo) {
    duo.crash(FOLLOWER, &Crash::Process);
    duo.members[FOLLOWER].disk.rot(FileId::Slot(SlotId(0)), BLOCK + 200, 1);
    duo.start(FOLLOWER);
    duo.settle();
}

#[test]
fn a_halt_whose_cause_is_still_there_comes_back_in_the_same_words() {
    for breaks in [rot_log as Breaks, rot_metadata] {
        let (mut duo, _) = serving();
        duo.pass(SECOND);
        breaks(&mut duo);
        let first = duo.report(FOLLOWER).halt.clone().expect("it halted");
        for _ in 0..2 {
            let told = obeyed(&mut duo, FOLLOWER, Errand::Clear).expect_err("nothing is mended");
            assert!(told.contains("halted again") && told.contains(&first.observed), "{told}");
            assert_eq!(duo.report(FOLLOWER).halt.as_ref(), Some(&first));
            assert_eq!(duo.status(FOLLOWER).state, "halted");
        }
    }
}

/// R14: who is recorded is released before it takes data, and counts again when it is recorded again.
#[test]
fn a_log_begins_anew_by_an_order_from_whatever_state_it_is_in() {
    let cases: [(&str, Breaks); 4] = [
        ("it runs", |_| {}),
        ("it is halted", halt),
        ("its log is rotten", rot_log),
        ("its metadata are", rot_metadata),
    ];
    for (what, breaks) in cases {
        let (mut duo, _) = serving();
        duo.pass(SECOND);
        breaks(&mut duo);
        duo.members[FOLLOWER].obeyed.clear();
        assert!(recorded(&duo), "{what}");
        duo.order(FOLLOWER, Errand::Reseed);
        let (mut names, mut released) = (Vec::new(), false);
        for _ in 0..3000 {
            duo.go_on();
            released |= !recorded(&duo);
            let status = duo.status(FOLLOWER);
            let Some(own) = status.replication.and_then(|replication| replication.following) else {
                continue;
            };
            if own.reseeding {
                assert!(own.received == 0 || released, "{what}: it takes data while it is recorded");
                names.push(own.state);
                let reseed = own.reseed.map(|reseed| reseed.reason).unwrap_or_default();
                assert!(reseed.is_empty() || reseed.contains("the matrix asks for it"), "{what}: {reseed}");
            }
        }
        assert!(names.contains(&"reseeding"), "{what}: {names:?}");
        let told = duo.members[FOLLOWER].obeyed.clone();
        assert!(matches!(&told[..], [Ok(Done::Reseeds { aside: 1.. })]), "{what}: {told:?}");
        assert!(
            duo.members[FOLLOWER].disk.aside.keys().any(|(_, file)| *file == FileId::Slot(SlotId(0))),
            "{what}"
        );
        is_whole(&mut duo, what);
    }
}

#[test]
fn whoever_leads_does_not_put_its_log_aside() {
    let (mut duo, _) = serving();
    let refused = obeyed(&mut duo, LEADER, Errand::Reseed).expect_err("it leads");
    assert!(refused.contains("R14") && refused.contains("seawall hand-over 1"), "{refused}");
    // Nor does one that led, and whose log is rotten: the map says that the shard is its.
    duo.crash(LEADER, &Crash::Process);
    duo.members[LEADER].disk.rot(FileId::Slot(SlotId(0)), BLOCK + 200, 1);
    duo.start(LEADER);
    duo.pass(SECOND);
    assert_eq!(duo.status(LEADER).state, "halted");
    let refused = obeyed(&mut duo, LEADER, Errand::Reseed).expect_err("it is the leader of the map");
    assert!(refused.contains("R14") && refused.contains("seawall promote 1"), "{refused}");
}

/// Of the process and of the machine, at each step of it.
#[test]
fn a_death_on_the_way_is_a_log_that_did_not_begin_anew_or_one_that_goes_on_with_it() {
    let crashes = TORN
        .map(|left| Crash::Power(vec![left]))
        .into_iter()
        .chain([Crash::Process, Crash::Power(vec![Left::All])]);
    for crash in crashes {
        let (mut steps, mut began) = (0, 0);
        loop {
            let (mut duo, _) = serving();
            duo.pass(SECOND);
            duo.members[FOLLOWER].obeyed.clear();
            duo.order(FOLLOWER, Errand::Reseed);
            let left = (0..steps).all(|_| duo.step());
            let done = !duo.members[FOLLOWER].obeyed.is_empty();
            duo.crash_and_start(FOLLOWER, &crash);
            is_whole(&mut duo, &format!("{crash:?} after {steps} steps"));
            began += u64::from(!duo.members[FOLLOWER].disk.aside.is_empty());
            if done || !left {
                break;
            }
            steps += 1;
        }
        assert!(steps > 8 && began > 3, "{crash:?}: {steps}, {began}");
    }
}

/// The map that a member knows may be older than what it lost.
#[test]
fn a_map_from_before_the_loss_does_not_make_a_member_whole() {
    let mut duo = Duo::new(limits(), 1);
    duo.start(LEADER);
    duo.pass(3 * SECOND);
    duo.start(FOLLOWER);
    duo.pass(3 * SECOND);
    duo.commit_now(1);
    assert!(!recorded(&duo), "the policy needs nobody");
    duo.order(LEADER, Errand::Require(SECOND_MEMBER));
    for _ in 0..500 {
        duo.wire.retain(|letter| !matches!(letter, Letter::Map { to: FOLLOWER }));
        duo.go_on();
    }
    assert!(
        recorded(&duo) && duo.members[LEADER].obeyed.iter().any(Result::is_ok),
        "and it has not heard of it"
    );
    duo.parted = true;
    obeyed(&mut duo, FOLLOWER, Errand::Reseed).expect("it follows");
    let own = duo.following();
    assert!(own.reseeding && own.received == 0, "{own:?}");
    duo.event(FOLLOWER, Event::MapChanged(duo.map.clone()));
    duo.settle();
    assert!(duo.following().reseeding, "it was recorded before it lost all");
    duo.parted = false;
    duo.pass(4 * SECOND);
    assert!(!recorded(&duo) && duo.following().state == "streaming", "its leader has released it");
    obeyed(&mut duo, LEADER, Errand::Require(SECOND_MEMBER)).expect("it is level");
    is_whole(&mut duo, "recorded again");
}

/// R12: what a checkpoint holds cannot be cut off. Covered by an accepted loss, all of the log goes aside.
#[test]
fn a_checkpoint_that_holds_what_an_accepted_loss_took_makes_its_member_begin_anew() {
    let mut duo = Duo::new(folding(), 1);
    duo.start(LEADER);
    duo.start(FOLLOWER);
    duo.pass(3 * SECOND);
    duo.commit_now(1);
    if recorded(&duo) {
        obeyed(&mut duo, LEADER, Errand::Release(SECOND_MEMBER)).expect("the policy needs nobody");
    }
    duo.crash(FOLLOWER, &Crash::Process);
    for n in 2..=40 {
        duo.commit_now(n);
    }
    duo.pass(SECOND);
    assert!(duo.status(LEADER).checkpoint > 0, "it folded");
    duo.crash(LEADER, &Crash::Process);
    duo.start(FOLLOWER);
    let off = [MemberId(1)].into();
    duo.order(FOLLOWER, Errand::Promote(Kind::AcceptSplit { off }));
    duo.pass(6 * SECOND);
    assert_eq!(duo.status(FOLLOWER).state, "serving");
    duo.start(LEADER);
    duo.pass(8 * SECOND);
    let loud = duo.members[LEADER].loud.clone();
    let [said] = &loud[..] else { panic!("it is said, and once: {loud:?}") };
    assert!(said.starts_with("reseeds: R12: indices ") && said.contains(" are lost, "), "{said}");
    let audit = duo.members[LEADER].disk.audit.clone();
    assert!(
        audit.len() == 1 && audit[0].contains("the member itself") && audit[0].contains("are lost"),
        "{audit:?}"
    );
    let aside = duo.members[LEADER].disk.aside.keys();
    assert!(aside.into_iter().any(|(_, file)| matches!(file, FileId::Checkpoint(_))), "it is kept");
    let (ours, theirs) = (duo.status(FOLLOWER).durable, duo.status(LEADER));
    assert_eq!((theirs.state, theirs.durable), ("streaming", ours));
}
