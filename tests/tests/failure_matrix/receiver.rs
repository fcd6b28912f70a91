//! F-R1, F-R2: the follower ends while it takes in what the leader has shipped.

use crate::Seen;
use crate::client::{RELAXED, fact, refusal, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER, Op, TORN};
use crate::support::limits;
use crate::volatile::{Crash, Left};
use seawall_wal::{FileId, Io};

const SECOND: u64 = 1_000_000;

/// So many commits before: with some of them the next one begins a segment.
const ALREADY: [u64; 5] = [1, 2, 4, 5, 6];

/// The next commit is so many steps on its way, and the index before it.
fn under_way(already: u64, steps: usize) -> Option<(Duo, u64)> {
    let mut duo = Duo::serving(limits());
    let before = (1..=already).map(|n| duo.commit_now(n)).last().expect("one at least");
    duo.commit(LEADER, already + 1);
    duo.steps(steps).then_some((duo, before))
}

fn is_writing(duo: &Duo) -> bool {
    let write = |op: &Op| matches!(op, Op::UnderWay(Io::Write { file: FileId::Slot(_), .. }));
    duo.members[FOLLOWER].ops.iter().any(write)
}

/// The state that it shows, and where it stands with nobody to hear.
fn stands_alone_at(duo: &mut Duo, validated: u64, applied: u64) {
    duo.parted = true;
    duo.settle();
    let own = duo.following();
    assert_eq!([own.received, own.persisted, own.validated], [validated; 3]);
    assert!(own.applied <= applied, "{own:?}");
    assert_eq!(refusal(duo.read(FOLLOWER, RELAXED)).reason.rule, "R22");
    duo.parted = false;
}

pub fn before_persist() -> Seen {
    let mut seen = Seen {
        condition: "the follower ends at each step at which it writes what it received; of the sectors none, half, or \
                    every second one reached the disk",
        outcome: "what it received is gone, nothing of it was validated or applied; it resumes behind its last durable \
                  record, and gets it again",
        ..Seen::default()
    };
    for already in ALREADY {
        for steps in 0.. {
            let Some((duo, _)) = under_way(already, steps) else { break };
            if is_writing(&duo) && !duo.keeps(FOLLOWER, already + 1) {
                TORN.into_iter().for_each(|left| is_discarded(already, steps, left, &mut seen));
            }
        }
    }
    seen
}

fn is_discarded(already: u64, steps: usize, left: Left, seen: &mut Seen) {
    seen.points += 1;
    let (mut duo, before) = under_way(already, steps).expect("as before");
    let own = duo.following();
    assert_eq!((own.received, own.persisted, own.validated), (before + 1, before, before));
    assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(already));
    duo.crash_and_start(FOLLOWER, &Crash::Power(vec![left]));
    stands_alone_at(&mut duo, before, before);
    let report = duo.report(FOLLOWER).clone();
    assert_eq!((report.last.0, report.halt.as_ref()), (before, None));
    let kind = match report.end.expect("a log").leftover {
        None => "the follower's start, when nothing was left",
        Some(_) => "the follower's start, when a part was left",
    };
    seen.explains(kind, &report.to_string());
    duo.pass(5 * SECOND);
    assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(already + 1));
    assert_eq!(duo.following().validated, duo.status(LEADER).durable);
}

pub fn after_persist() -> Seen {
    let mut seen = Seen {
        condition: "the follower ends when what it received is durable, and before it has looked at it",
        outcome: "it is there to be validated, and nothing of it is applied: it is not known to be committed; then it \
                  goes on behind it",
        ..Seen::default()
    };
    for already in ALREADY {
        for steps in 0.. {
            let Some((mut duo, before)) = under_way(already, steps) else { break };
            if duo.keeps(FOLLOWER, already + 1) && duo.following().validated == before {
                let crashes = [Crash::Process, Crash::Power(vec![Left::Nothing])];
                crashes.iter().for_each(|crash| waits(already, steps, crash, &mut seen));
            }
        }
    }
    seen
}

fn waits(already: u64, steps: usize, crash: &Crash, seen: &mut Seen) {
    seen.points += 1;
    let (mut duo, before) = under_way(already, steps).expect("as before");
    let shown = fact(&duo.explain(FOLLOWER), "shard.replicas").clone().expect("it is known");
    assert!(shown.contains(&format!("received {}", before + 1)), "{shown}");
    assert!(shown.contains(&format!("validated {before}")), "{shown}");
    seen.explains("EXPLAIN, `shard.replicas`", &shown);
    duo.crash_and_start(FOLLOWER, crash);
    stands_alone_at(&mut duo, before + 1, before);
    let report = duo.report(FOLLOWER).clone();
    assert_eq!((report.last.0, report.halt.as_ref()), (before + 1, None));
    seen.explains("the follower's start", &report.to_string());
    duo.pass(5 * SECOND);
    assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(already + 1));
}
