//! F-P1, F-P2: the leader ends with a commit under way.

use seawall::message::Consistency;

use crate::Seen;
use crate::client::{RELAXED, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER, TORN};
use crate::support::limits;
use crate::volatile::{Crash, Left};

const SECOND: u64 = 1_000_000;

/// Committed is 1, and the commit of 2 is so many steps on its way; its client, and the index before it. `None`: it was
/// over before.
fn under_way(steps: usize) -> Option<(Duo, usize, u64)> {
    let mut duo = Duo::serving(limits());
    let before = duo.commit_now(1);
    duo.members[LEADER].writes = 0;
    let slot = duo.commit(LEADER, 2);
    duo.steps(steps).then_some((duo, slot, before))
}

pub fn before_fsync() -> Seen {
    let mut seen = Seen {
        condition: "the leader ends while the write of a record is under way; of its sectors none, half, or every \
                    second one reached the disk",
        outcome: "nobody was told that it is committed; after the start the record is not in the log, its place is taken \
                  by the next epoch's first, and the follower never received it",
        ..Seen::default()
    };
    for steps in 0.. {
        let Some((duo, ..)) = under_way(steps) else { break };
        if duo.members[LEADER].writes > 0 {
            break;
        }
        for left in TORN {
            seen.points += 1;
            let (mut duo, slot, before) = under_way(steps).expect("as before");
            assert_eq!(duo.answer(LEADER, slot), None, "nothing is acknowledged before it is durable");
            let received = duo.following().received;
            assert_eq!(received, before, "R9: nothing is shipped before it is durable");
            duo.crash_and_start(LEADER, &Crash::Power(vec![left]));
            duo.settle();
            let report = duo.report(LEADER).clone();
            assert_eq!((report.last.0, report.halt.as_ref()), (before, None), "{left:?}");
            let text = report.to_string();
            let why = match left {
                Left::Nothing => "nothing was ever written behind it",
                _ => "nothing proves that the bytes from offset",
            };
            assert!(text.contains(why), "{left:?}: {text}");
            seen.explains(if left == Left::Nothing { "nothing was left" } else { "half was left" }, &text);
            duo.pass(5 * SECOND);
            for nth in [LEADER, FOLLOWER] {
                assert_eq!(duo.read(nth, RELAXED), row_of(1));
            }
            assert_eq!(duo.read(LEADER, Consistency::Linearizable), row_of(1));
            assert!(duo.commit_now(3) > before + 1);
            assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(3), "and the log goes on");
        }
    }
    seen
}

pub fn after_fsync() -> Seen {
    let mut seen = Seen {
        condition: "the leader ends when the record is durable, at every step until the follower hears of it",
        outcome: "the record is replayed, commits with the next epoch, and is then on the follower too; it keeps its \
                  index, and the next commit has a higher one",
        ..Seen::default()
    };
    for steps in 0.. {
        let Some((mut duo, _, before)) = under_way(steps) else { break };
        if duo.members[LEADER].writes == 0 {
            continue;
        }
        if duo.following().received > before {
            break;
        }
        for crash in [Crash::Process, Crash::Power(vec![Left::Nothing])] {
            seen.points += 1;
            let (mut duo, slot, _) = under_way(steps).expect("as before");
            assert_eq!(duo.answer(LEADER, slot), None, "the follower is required");
            duo.crash_and_start(LEADER, &crash);
            duo.settle();
            let report = duo.report(LEADER).clone();
            assert_eq!((report.last.0, report.halt.as_ref()), (before + 1, None));
            let text = report.to_string();
            assert!(text.contains(&format!("recovered {} records", before + 1)), "{text}");
            assert!(text.contains(&format!("last index {}", before + 1)), "{text}");
            seen.explains("what was replayed", &text);
            duo.pass(5 * SECOND);
            assert_eq!(duo.read(LEADER, Consistency::Linearizable), row_of(2));
            assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(2));
            let next = duo.commit_now(3);
            assert!(next > before + 1, "the index of 2 is given to nobody else");
            assert_eq!(duo.following().validated, duo.status(LEADER).durable);
        }
    }
    seen
}
