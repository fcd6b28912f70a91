//! F-R1, F-R2: the follower ends while it takes in what the leader has shipped.

use crate::Seen;
use crate::client::{RELAXED, fact, refusal, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER, Op, TORN};
use crate::support::limits;
use crate::volatile::{Crash, Left};
use seawall_wal::{FileId, Io};

const SECOND: u64 = 1_000_000;

/// Committed is 1, and the commit of 2 is so many steps on its way.
fn under_way(steps: usize) -> Option<(Duo, u64)> {
    let mut duo = Duo::serving(limits());
    let before = duo.commit_now(1);
    duo.members[FOLLOWER].writes = 0;
    duo.commit(LEADER, 2);
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
        condition: "the follower ends while it writes what it received; of the sectors none, half, or every second one \
                    reached the disk",
        outcome: "what it received is gone, nothing of it was validated or applied; it resumes behind its last durable \
                  record, and gets it again",
        ..Seen::default()
    };
    for steps in 0.. {
        let Some((duo, _)) = under_way(steps) else { break };
        if !is_writing(&duo) {
            continue;
        }
        for left in TORN {
            seen.points += 1;
            let (mut duo, before) = under_way(steps).expect("as before");
            let own = duo.following();
            assert_eq!((own.received, own.persisted, own.validated), (before + 1, before, before));
            assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(1));
            duo.crash_and_start(FOLLOWER, &Crash::Power(vec![left]));
            stands_alone_at(&mut duo, before, before);
            let report = duo.report(FOLLOWER).clone();
            assert_eq!((report.last.0, report.halt.as_ref()), (before, None));
            seen.explains("the follower's start", &report.to_string());
            duo.pass(5 * SECOND);
            assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(2));
            assert_eq!(duo.following().validated, duo.status(LEADER).durable);
        }
    }
    seen
}

pub fn after_persist() -> Seen {
    let mut seen = Seen {
        condition: "the follower ends when what it received is durable, and before it has looked at it",
        outcome: "it is there to be validated, and nothing of it is applied: it is not known to be committed; then it \
                  goes on behind it",
        ..Seen::default()
    };
    for steps in 0.. {
        let Some((duo, _)) = under_way(steps) else { break };
        if duo.members[FOLLOWER].writes == 0
            || !matches!(duo.members[FOLLOWER].ops.front(), Some(Op::Ended(_)))
        {
            continue;
        }
        for crash in [Crash::Process, Crash::Power(vec![Left::Nothing])] {
            seen.points += 1;
            let (mut duo, before) = under_way(steps).expect("as before");
            let own = duo.following();
            assert!(own.received == before + 1 && own.validated == before, "{own:?}");
            let shown = fact(&duo.explain(FOLLOWER), "shard.replicas").clone().expect("it is known");
            assert!(shown.contains(&format!("received {}", before + 1)), "{shown}");
            assert!(shown.contains(&format!("validated {before}")), "{shown}");
            seen.explains("EXPLAIN, `shard.replicas`", &shown);
            duo.crash_and_start(FOLLOWER, &crash);
            stands_alone_at(&mut duo, before + 1, before);
            let report = duo.report(FOLLOWER).clone();
            assert_eq!((report.last.0, report.halt.as_ref()), (before + 1, None));
            seen.explains("the follower's start", &report.to_string());
            duo.pass(5 * SECOND);
            assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(2));
        }
    }
    seen
}
