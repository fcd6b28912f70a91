//! F-P1, F-P2: the leader ends with a commit under way.

use seawall::message::Consistency;

use crate::Seen;
use crate::client::{RELAXED, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER, TORN};
use crate::support::limits;
use crate::volatile::{Crash, Left};

const SECOND: u64 = 1_000_000;

/// So many commits before: with some of them the next one begins a segment.
const ALREADY: [u64; 5] = [1, 2, 4, 5, 6];

/// The next commit is so many steps on its way; its client, and the index before it. `None`: it was over before.
fn under_way(already: u64, steps: usize) -> Option<(Duo, usize, u64)> {
    let mut duo = Duo::serving(limits());
    let before = (1..=already).map(|n| duo.commit_now(n)).last().expect("one at least");
    let slot = duo.commit(LEADER, already + 1);
    duo.steps(steps).then_some((duo, slot, before))
}

pub fn before_fsync() -> Seen {
    let mut seen = Seen {
        condition: "the leader ends at each step until the write of a record is durable; of the sectors that are under \
                    way none, half, or every second one reached the disk",
        outcome: "nobody was told that it is committed; after the start the record is not in the log, its place is taken \
                  by the next epoch's first, and the follower never received it",
        ..Seen::default()
    };
    for already in ALREADY {
        for steps in 0.. {
            let there = under_way(already, steps);
            if there.is_none_or(|(duo, ..)| duo.keeps(LEADER, already + 1)) {
                break;
            }
            TORN.into_iter().for_each(|left| is_lost(already, steps, left, &mut seen));
        }
    }
    seen
}

fn is_lost(already: u64, steps: usize, left: Left, seen: &mut Seen) {
    seen.points += 1;
    let (mut duo, slot, before) = under_way(already, steps).expect("as before");
    assert_eq!(duo.answer(LEADER, slot), None, "nothing is acknowledged before it is durable");
    assert_eq!(duo.following().received, before, "R9: nothing is shipped before it is durable");
    duo.crash_and_start(LEADER, &Crash::Power(vec![left]));
    duo.settle();
    let report = duo.report(LEADER).clone();
    assert_eq!((report.last.0, report.halt.as_ref()), (before, None), "{left:?}");
    let text = report.to_string();
    let (kind, why) = match report.end.expect("a log").leftover {
        None => ("nothing was left", "nothing that is durable stands behind it"),
        Some(_) => ("a part was left", "nothing proves that the bytes from offset"),
    };
    assert!(text.contains(why), "{left:?}: {text}");
    seen.explains(kind, &text);
    duo.pass(5 * SECOND);
    assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(already));
    assert_eq!(duo.read(LEADER, Consistency::Linearizable), row_of(already));
    assert!(duo.commit_now(already + 2) > before + 1);
    assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(already + 2), "and the log goes on");
}

pub fn after_fsync() -> Seen {
    let mut seen = Seen {
        condition: "the leader ends when the record is durable, at each step until the follower hears of it",
        outcome: "the record is replayed, commits with the next epoch, and is then on the follower too; it keeps its \
                  index, and the next commit has a higher one",
        ..Seen::default()
    };
    for already in ALREADY {
        for steps in 0.. {
            let Some((mut duo, _, before)) = under_way(already, steps) else { break };
            if duo.following().received > before {
                break;
            }
            if duo.keeps(LEADER, already + 1) {
                let crashes = [Crash::Process, Crash::Power(vec![Left::Nothing])];
                crashes.iter().for_each(|crash| is_kept(already, steps, crash, &mut seen));
            }
        }
    }
    seen
}

fn is_kept(already: u64, steps: usize, crash: &Crash, seen: &mut Seen) {
    seen.points += 1;
    let (mut duo, slot, before) = under_way(already, steps).expect("as before");
    assert_eq!(duo.answer(LEADER, slot), None, "the follower is required");
    duo.crash_and_start(LEADER, crash);
    duo.settle();
    let report = duo.report(LEADER).clone();
    assert_eq!((report.last.0, report.halt.as_ref()), (before + 1, None));
    let text = report.to_string();
    assert!(text.contains(&format!("recovered {0} records, index 1 to {0}, in ", before + 1)), "{text}");
    assert!(text.contains(&format!("last index {}", before + 1)), "{text}");
    seen.explains("what was replayed", &text);
    duo.pass(5 * SECOND);
    assert_eq!(duo.read(LEADER, Consistency::Linearizable), row_of(already + 1));
    assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(already + 1));
    assert!(duo.commit_now(already + 2) > before + 1, "its index is given to nobody else");
    assert_eq!(duo.following().validated, duo.status(LEADER).durable);
}
