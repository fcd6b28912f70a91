//! F-RC1, F-RC2: a follower that ends while it recovers, and one whose metadata is rotten.

use std::collections::BTreeSet;

use seawall::refusal::Code;
use seawall_wal::recover::Report;
use seawall_wal::{BLOCK, FileId};

use crate::Seen;
use crate::client::{RELAXED, refusal, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER};
use crate::snapshot::folding;
use crate::support::limits;
use crate::volatile::{Crash, Left, Volatile};

const SECOND: u64 = 1_000_000;
const COMMITS: u64 = 14;

/// A follower that ended so many steps into a commit, with half of each write that was under way, and nobody to hear.
fn ended(steps: usize) -> Option<Duo> {
    let mut duo = Duo::serving(folding());
    (1..COMMITS).for_each(|n| {
        duo.commit_now(n);
    });
    duo.commit(LEADER, COMMITS);
    if !duo.steps(steps) {
        return None;
    }
    duo.crash(FOLLOWER, &Crash::Power(vec![Left::FirstHalf]));
    duo.parted = true;
    Some(duo)
}

/// What a start comes to: what it shows, and what it has written.
fn outcome(duo: &mut Duo) -> (u64, u64, u64, u64, usize, u64) {
    duo.settle();
    let (own, status) = (duo.following(), duo.status(FOLLOWER));
    (own.validated, own.applied, own.promise, status.durable, status.rows, status.epoch)
}

/// What a start says, but for what an earlier one of the same log had done already.
fn said(report: &Report) -> Report {
    Report { abandoned: Vec::new(), end: None, rewritten: 0, ..report.clone() }
}

pub fn crash_again() -> Seen {
    let mut seen = Seen {
        condition: "the follower ended with half of a write on its disk; its recovery ends at each of its steps, and the \
                    recovery from that at each of its first ones",
        outcome: "what the last recovery finds, keeps and shows is what one recovery alone does, and it goes on from there",
        ..Seen::default()
    };
    let mut repairs = BTreeSet::new();
    for steps in 0.. {
        let Some(mut once) = ended(steps) else { break };
        once.start(FOLLOWER);
        let (alone, report) = (outcome(&mut once), once.report(FOLLOWER).clone());
        repairs.insert(format!("{:?}", report.end.map(|end| end.tail)));
        for deaths in 0.. {
            let mut again = ended(steps).expect("as before");
            again.start(FOLLOWER);
            if !again.steps(deaths) {
                break;
            }
            for crash in [Crash::Process, Crash::Power(vec![Left::Nothing]), Crash::Power(vec![Left::Even])] {
                seen.points += 1;
                let mut again = ended(steps).expect("as before");
                again.start(FOLLOWER);
                again.steps(deaths);
                again.crash_and_start(FOLLOWER, &crash);
                again.steps(deaths / 2);
                again.crash_and_start(FOLLOWER, &crash);
                assert_eq!(outcome(&mut again), alone, "{steps} {deaths} {crash:?}");
                assert_eq!(said(again.report(FOLLOWER)), said(&report), "{steps} {deaths} {crash:?}");
            }
        }
        seen.explains("one recovery", &report.to_string());
        once.parted = false;
        once.pass(4 * SECOND);
        assert_eq!(once.read(FOLLOWER, RELAXED), row_of(COMMITS));
    }
    assert!(repairs.len() == 2, "whole logs and torn ones: {repairs:?}");
    seen
}

fn is_untouched(before: &Volatile, after: &Volatile) -> bool {
    before.read().files == after.read().files && after.at_risk() == 0
}

pub fn corrupt_metadata() -> Seen {
    let mut seen = Seen {
        condition: "a bit of one of the two copies of the follower's metadata has turned, or one of each",
        outcome: "it refuses to start, now and the next time; it serves no read, acknowledges nothing, and says what \
                  an operator is to do. Nothing on its disk has changed but for the rotten copy, which is where a whole \
                  one latches that; without one, nothing at all",
        ..Seen::default()
    };
    for byte in [0, 5, 17, 60, 130, 200, 254, 3000] {
        for rotten in [&[0][..], &[BLOCK], &[0, BLOCK]] {
            seen.points += 1;
            let mut duo = Duo::serving(limits());
            duo.commit_now(1);
            duo.crash(FOLLOWER, &Crash::Power(vec![Left::All]));
            for copy in rotten {
                duo.members[FOLLOWER].disk.rot(FileId::Meta, copy + byte, 3);
            }
            let before = duo.members[FOLLOWER].disk.clone();
            for latched in [false, rotten.len() == 1] {
                let text = refuses_to_start(&mut duo, rotten, latched);
                seen.explains("the follower's start", &text);
                assert!(rotten.len() == 1 || is_untouched(&before, &duo.members[FOLLOWER].disk));
            }
        }
    }
    seen
}

/// What it says; then its process ends.
fn refuses_to_start(duo: &mut Duo, rotten: &[usize], latched: bool) -> String {
    duo.start(FOLLOWER);
    duo.pass(3 * SECOND);
    let report = duo.report(FOLLOWER).clone();
    let halt = report.halt.clone().expect("it halts");
    assert_eq!(
        (halt.rule, halt.file, halt.offset),
        ("R6", FileId::Meta, rotten[0] as u64 * u64::from(rotten.len() == 1))
    );
    let words: &[&str] = match rotten {
        [_] if latched => &["kept until an operator clears it"],
        [_] => &["in this one; the other one is whole"],
        _ => &["first copy: ", "second copy: "],
    };
    words.iter().for_each(|word| assert!(halt.observed.contains(word), "{halt}"));
    let text = report.to_string();
    assert!(text.contains("Copy the shard's directory aside"), "{text}");
    let status = duo.status(FOLLOWER);
    assert_eq!((status.state, status.reason), ("halted", Some(text.clone())));
    assert_eq!(refusal(duo.read(FOLLOWER, RELAXED)).code, Code::ReplicaUnsafe);
    let members = duo.status(LEADER).replication.expect("a member").members;
    assert_eq!(members[0].state, "halted", "it acknowledges nothing");
    let told = members[0].reason.clone().expect("it says why");
    assert!(told.starts_with("Halted: meta at offset "), "{told}");
    duo.crash(FOLLOWER, &Crash::Process);
    text
}
