//! The five responses that are forbidden, whatever fails.

use seawall::message::Consistency;
use seawall::refusal::Code;
use seawall_node::replica::Kind;
use seawall_node::seam::MemberStatus;
use seawall_node::seam::order::Errand;
use seawall_wal::{BLOCK, FileId, Io};

use crate::client::{Answer, RELAXED, fact, refusal, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER, Op};
use crate::forgery::{bend, next_blocks, next_hello, other_batch, until};
use crate::reads::{Breaks, halt, rot_metadata, serving};
use crate::snapshot::{behind, behind_with};
use crate::support::limits;
use crate::volatile::{Crash, Left};

const SECOND: u64 = 1_000_000;

fn member(duo: &mut Duo) -> MemberStatus {
    duo.status(LEADER).replication.expect("a member").members.remove(0)
}

/// Every greeting that the leader sends is counted, and named with the state that it tries to end.
#[test]
fn no_retry_loop_is_silent() {
    let cases: [(&str, Breaks); 3] = [
        ("it is dead", |duo| duo.crash(FOLLOWER, &Crash::Process)),
        ("it is halted", halt),
        ("it could not start", rot_metadata),
    ];
    for (what, breaks) in cases {
        let (mut duo, _) = serving();
        breaks(&mut duo);
        until(&mut duo, |duo| next_hello(duo).then_some(()));
        let before = member(&mut duo);
        assert_eq!(before.state, "away", "{what}");
        let (mut hellos, mut was_next) = (0, true);
        for _ in 0..1000 {
            duo.go_on();
            let is_next = next_hello(&duo);
            hellos += u64::from(is_next && !was_next);
            was_next = is_next;
        }
        let after = member(&mut duo);
        assert!(
            hellos > 3 && after.attempts == before.attempts + hellos,
            "{what}: {hellos}, {before:?}, {after:?}"
        );
        let told = fact(&duo.explain(LEADER), "shard.replicas").clone().expect("it is known");
        assert!(
            told.contains(&format!("away since {} us, greeted {} times", after.since_us, after.attempts)),
            "{told}"
        );
        let refused = duo.commit(LEADER, 9);
        duo.pass(SECOND);
        let why =
            refusal(duo.answer(LEADER, refused).expect("commits are refused, and do not wait for ever"));
        assert_eq!(why.code, Code::DurabilityUnavailable, "{what}: {why}");
    }
}

/// Whatever is read back for a follower is read in a state that has a name, a beginning and a target.
#[test]
fn no_catching_up_is_without_a_name() {
    let read_back = |op: &Op| matches!(op, Op::UnderWay(Io::ReadBack { .. }));
    let cases = [("bootstrapping", behind()), ("catching up", behind_with(limits()))];
    for (name, mut duo) in cases {
        let mut names = Vec::new();
        for _ in 0..600 {
            duo.go_on();
            if !duo.members[LEADER].ops.iter().any(read_back) {
                continue;
            }
            let status = member(&mut duo);
            assert!(["catching up", "bootstrapping"].contains(&status.state), "{status:?}");
            assert!(status.since_us > 0 && status.target > status.acknowledged, "{status:?}");
            names.push(status.state);
        }
        assert!(names.contains(&name), "{names:?}");
        let own = duo.following();
        assert_eq!((own.state, member(&mut duo).state), ("streaming", "streaming"));
    }
}

/// By whoever is parted from the other one: a read is as young as it was to be, or refused.
#[test]
fn no_read_is_stale_without_proof() {
    let (mut duo, _) = serving();
    duo.parted = true;
    let parted_us = duo.now_us;
    for _ in 0..60 {
        duo.pass(SECOND / 4);
        let age_ms = u32::try_from((duo.now_us - parted_us) / 1000).expect("a minute");
        let younger = Consistency::MaxStaleness { ms: age_ms.saturating_sub(1) };
        refusal(duo.read(FOLLOWER, younger));
        refusal(duo.read(FOLLOWER, Consistency::Linearizable));
        match duo.read(FOLLOWER, RELAXED) {
            Answer::Row(_) => assert!(age_ms <= 10_000, "{age_ms}"),
            other => assert!(age_ms > 9_000, "{age_ms}: {:?}", refusal(other)),
        }
        if age_ms > 400 {
            let why = refusal(duo.read(LEADER, Consistency::Linearizable));
            assert!(why.reason.observed.contains("member 2"), "{why}");
        }
    }
}

/// Neither time, nor a start, nor another leader, nor an order to lead ends a halt.
#[test]
fn no_failure_state_ends_by_itself() {
    let (mut duo, _) = serving();
    halt(&mut duo);
    let why = duo.following().reason.expect("it says why");
    duo.order(FOLLOWER, Errand::Promote(Kind::Recorded));
    duo.pass(60 * SECOND);
    let obeyed = duo.members[FOLLOWER].obeyed.pop().expect("an order is answered");
    assert!(obeyed.as_ref().is_err_and(|told| told.contains("R25") && told.contains(&why)), "{obeyed:?}");
    assert_eq!(duo.following().reason.as_ref(), Some(&why));
    for round in 0..3 {
        duo.crash_and_start(FOLLOWER, &Crash::Power(vec![Left::Nothing]));
        duo.crash_and_start(LEADER, &Crash::Process);
        duo.pass(10 * SECOND);
        let status = duo.status(FOLLOWER);
        let text = status.reason.expect("it says why");
        assert_eq!(status.state, "halted", "start {round}");
        let part = why.split("observed ").nth(1).expect("it names what it observed");
        assert!(text.contains(part) && text.contains("kept until an operator clears it"), "{text}");
        refusal(duo.read(FOLLOWER, RELAXED));
    }
}

/// Whatever bit of a follower's log rots, the next start names it or says that it cut; and what does not continue the log is
/// told to both, and goes on only by where the logs stand.
#[test]
fn no_wrong_checksum_or_place_is_passed_over() {
    let mut duo = Duo::serving(limits());
    (1..6).for_each(|n| {
        duo.commit_now(n);
    });
    duo.pass(3 * SECOND);
    let last = duo.following().validated;
    duo.crash(FOLLOWER, &Crash::Power(vec![Left::All]));
    let disk = duo.members[FOLLOWER].disk.clone();
    let file = FileId::Slot(seawall_wal::SlotId(0));
    let used = 6 * BLOCK;
    let mut halts = 0;
    for bit in (0..used * 8).step_by(1009) {
        duo.members[FOLLOWER].disk = disk.clone();
        duo.members[FOLLOWER].disk.rot(file, bit / 8, u8::try_from(bit % 8).expect("a bit"));
        duo.start(FOLLOWER);
        duo.settle();
        let report = duo.report(FOLLOWER).clone();
        refusal(duo.read(FOLLOWER, RELAXED));
        duo.crash(FOLLOWER, &Crash::Process);
        let Some(halt) = report.halt.clone() else {
            assert_eq!(report.last.0, last, "bit {bit}: it may turn where nothing was written: {report}");
            continue;
        };
        assert!(["R1", "R2"].contains(&halt.rule) && !halt.observed.is_empty(), "bit {bit}: {halt}");
        // Without the header of its segment, the one behind it names it.
        assert!(halt.file == file || bit < BLOCK * 8, "bit {bit}: {halt}");
        assert!(halt.offset <= (bit / 8) as u64, "bit {bit}: {halt}");
        halts += 1;
    }
    assert!(halts > 100 && last > 6, "{halts} {last}");

    let (mut duo, _) = serving();
    duo.commit(LEADER, 2);
    let blocks = until(&mut duo, next_blocks);
    bend(&mut duo, &other_batch(&blocks, |header| header.chain ^= 1));
    duo.step();
    let said = duo.following().reason.expect("it says why");
    until(&mut duo, |duo| duo.wire.is_empty().then_some(()));
    let told = member(&mut duo).reason.expect("the leader was told");
    assert!(told.contains(&said), "{told}");
    duo.pass(2 * SECOND);
    assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(2));
}
