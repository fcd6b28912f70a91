//! F-1, F-2, F-3: what holds in every row.

use seawall::message::Consistency;
use seawall_wal::recover::Report;

use crate::client::{Answer, Facts, RELAXED, fact, refusal, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER, TORN};
use crate::forgery::{bend, next_blocks, until};
use crate::reads::{Breaks, halt, rot_metadata, serving};
use crate::snapshot::{behind, folding};
use crate::support::limits;
use crate::volatile::{Crash, Left};

const SECOND: u64 = 1_000_000;

/// F-1: replication has stopped, no read of any kind is answered, and it is said, loudly and whenever somebody asks.
#[test]
fn f_1_what_cannot_be_proven_stops() {
    let cases: [(&str, Breaks); 2] = [("rotten blocks", halt), ("rotten metadata", rot_metadata)];
    for (what, breaks) in cases {
        let (mut duo, _) = serving();
        breaks(&mut duo);
        let files = duo.members[FOLLOWER].disk.read().files;
        duo.settle();
        let unanswered = duo.commit(LEADER, 7);
        for _ in 0..5 {
            duo.pass(3 * SECOND);
            let status = duo.status(FOLLOWER);
            assert!(status.state == "halted" && status.reason.is_some(), "{what}: {status:?}");
            for consistency in
                [RELAXED, Consistency::MaxStaleness { ms: u32::MAX }, Consistency::Linearizable]
            {
                refusal(duo.read(FOLLOWER, consistency));
            }
            assert!(
                fact(&duo.explain(FOLLOWER), "shard.trouble")
                    .as_ref()
                    .is_ok_and(|why| why.contains("expected"))
            );
            assert!(duo.members[FOLLOWER].disk.read().files == files, "{what}: its log has not grown");
        }
        let loud = duo.members[FOLLOWER].loud.len();
        let halts = duo.members[FOLLOWER].reports.iter().filter(|report| report.halt.is_some()).count();
        assert_eq!(loud + halts, 1, "{what}: loud, and once");
        assert!(!matches!(duo.answer(LEADER, unanswered), Some(Answer::Committed(..))), "{what}");
    }
}

/// Received >= persisted >= validated >= applied, and what is read is one whole commit, no older than the one before.
fn is_whole(duo: &mut Duo, newest: &mut u64) {
    let own = duo.following();
    let order = [own.received, own.persisted, own.validated, own.applied];
    assert!(order.is_sorted_by(|a, b| a >= b), "{own:?}");
    match duo.read(FOLLOWER, RELAXED) {
        Answer::Row([Some(a), Some(b)]) if a == b && a >= *newest => *newest = a,
        Answer::Refused(_) => {}
        other => panic!("{other:?} after {newest}"),
    }
}

/// F-2, at every step: while commits come, one of which is rotten, and over a bootstrap.
#[test]
fn f_2_nothing_is_visible_in_part() {
    for rotten in [None, Some(4)] {
        let (mut duo, before) = serving();
        (2..8).for_each(|n| {
            duo.commit(LEADER, n);
        });
        let (mut newest, mut letters) = (1, 0);
        for _ in 0..400 {
            if let Some(mut blocks) = next_blocks(&duo) {
                letters += 1;
                if rotten == Some(letters) {
                    let at = blocks.len() - 4096 + 200;
                    blocks[at] ^= 4;
                    bend(&mut duo, &blocks);
                }
            }
            duo.go_on();
            is_whole(&mut duo, &mut newest);
        }
        let own = duo.following();
        match rotten {
            None => assert_eq!(newest, 7),
            Some(_) if letters < 4 => assert_eq!(newest, 7, "they went out together"),
            Some(_) => assert!(own.state == "halted" && own.validated < before + 6, "{own:?}"),
        }
    }
    let mut duo = behind();
    let (mut cut, mut last) = (0, 0);
    for _ in 0..600 {
        duo.go_on();
        let Some(own) = duo.status(FOLLOWER).replication.and_then(|replication| replication.following) else {
            continue;
        };
        if own.applied > 0 && cut == 0 {
            cut = duo.report(FOLLOWER).checkpoint.expect("it began with a checkpoint").cut.0;
        }
        assert!(own.applied == 0 || own.applied >= cut, "a checkpoint is there as a whole: {own:?}");
        assert!(own.applied >= last && (own.applied > 0) == (duo.status(FOLLOWER).rows > 0), "{own:?}");
        last = own.applied;
    }
    assert!(cut > 0 && last > cut, "{cut} {last}");
}

/// Everything that a start of the member comes to, with nobody to hear.
fn recovered(duo: &Duo, nth: usize) -> (Vec<Report>, String, Facts, Answer, Duo) {
    let mut alone = Duo::new(duo.limits, 2);
    (alone.map, alone.now_us, alone.parted) = (duo.map.clone(), duo.now_us, true);
    alone.members[nth].disk = duo.members[nth].disk.clone();
    alone.start(nth);
    alone.settle();
    let status = format!("{:?}", alone.status(nth));
    let (facts, read) = (alone.explain(nth), alone.read(nth, Consistency::Linearizable));
    (alone.members[nth].reports.clone(), status, facts, read, alone)
}

/// F-3: two copies of one disk, wherever a member ended, are recovered in the same way, to the same state and bytes.
#[test]
fn f_3_the_same_disk_is_recovered_in_the_same_way() {
    let (mut points, mut torn) = (0, 0);
    for nth in [LEADER, FOLLOWER] {
        for limits in [limits(), folding()] {
            for steps in 0.. {
                let under_way = || {
                    let mut duo = Duo::serving(limits);
                    (1..9).for_each(|n| {
                        duo.commit_now(n);
                    });
                    duo.commit(LEADER, 9);
                    duo.steps(steps).then_some(duo)
                };
                if under_way().is_none() {
                    break;
                }
                for left in TORN.into_iter().chain([Left::All, Left::SecondHalf]) {
                    points += 1;
                    let mut duo = under_way().expect("as before");
                    duo.crash(nth, &Crash::Power(vec![left]));
                    let (one, other) = (recovered(&duo, nth), recovered(&duo, nth));
                    torn += usize::from(one.0[0].end.is_some_and(|end| end.leftover.is_some()));
                    assert_eq!((&one.0, &one.1, &one.2, &one.3), (&other.0, &other.1, &other.2, &other.3));
                    let files = |duo: &Duo| duo.members[nth].disk.read().files;
                    assert!(files(&one.4) == files(&other.4), "{nth} {steps} {left:?}");
                }
            }
        }
    }
    assert!(points > 100 && torn > 10, "{points} {torn}");
}

/// The whole matrix rests on this: without a failure everything is committed, seen, and silent.
#[test]
fn without_a_failure_nothing_is_said() {
    let (mut duo, _) = serving();
    (2..30).for_each(|n| {
        duo.commit_now(n);
        assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(n));
    });
    until(&mut duo, |duo| duo.wire.is_empty().then_some(()));
    assert!(duo.members.iter().all(|member| member.loud.is_empty()));
    assert_eq!(duo.following().reason, None);
}
