//! F-A1, F-A2: the follower ends while what is committed becomes its state, and its checkpoints.

use crate::Seen;
use crate::client::{Answer, RELAXED, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER, Op};
use crate::snapshot::folding;
use crate::volatile::{Crash, Left};
use seawall_node::seam::Event;
use seawall_wal::{FileId, Io};

const SECOND: u64 = 1_000_000;
/// Committed one by one before: the next ones are folded.
const BEFORE: u64 = 12;
const TOGETHER: u64 = 12;

/// Several commits on their way together, so many steps from their beginning.
fn under_way(steps: usize) -> Duo {
    let mut duo = Duo::serving(folding());
    (1..=BEFORE).for_each(|n| {
        duo.commit_now(n);
    });
    (1..=TOGETHER).for_each(|n| {
        duo.commit(LEADER, BEFORE + n);
    });
    (0..steps).for_each(|_| duo.go_on());
    duo
}

/// Whole commits and nothing else: both fields are of the same one.
fn is_whole(answer: &Answer) -> u64 {
    match answer {
        Answer::Row([Some(a), Some(b)]) if a == b => *a,
        other => panic!("a part is visible: {other:?}"),
    }
}

pub fn during_apply() -> Seen {
    let mut seen = Seen {
        condition: "the follower ends at each step from the arrival of twelve commits on until they are applied and folded \
                    into a checkpoint",
        outcome: "no read ever sees a part of a commit, or a later one before an earlier one; after the start the state \
                  is that of a prefix, and becomes the leader's",
        ..Seen::default()
    };
    let mut folds = 0;
    let mut newest = BEFORE;
    for steps in 0.. {
        let mut duo = under_way(steps);
        let now = is_whole(&duo.read(FOLLOWER, RELAXED));
        assert!(now >= newest, "{now} after {newest}");
        newest = now;
        if newest == BEFORE + TOGETHER && duo.members[FOLLOWER].ops.is_empty() && folds > 0 {
            break;
        }
        folds +=
            usize::from(duo.members[FOLLOWER].ops.iter().any(|op| matches!(op, Op::UnderWay(Io::Fold(_)))));
        for crash in [Crash::Process, Crash::Power(vec![Left::Nothing]), Crash::Power(vec![Left::Even])] {
            seen.points += 1;
            let mut duo = under_way(steps);
            duo.crash_and_start(FOLLOWER, &crash);
            duo.parted = true;
            duo.settle();
            let own = duo.following();
            assert!(own.applied <= own.validated && own.state == "fenced", "{own:?}");
            let report = duo.report(FOLLOWER).clone();
            let from = report.checkpoint.expect("it folded").cut.0;
            assert!(from <= own.applied && report.last.0 == own.validated, "{report}");
            let text = report.to_string();
            assert!(text.contains(&format!("from the checkpoint at index {from}; recovered ")), "{text}");
            assert!(text.contains(&format!("last index {}", own.validated)), "{text}");
            seen.explains("where the replay starts", &text);
            duo.parted = false;
            duo.pass(4 * SECOND);
            is_level(&mut duo);
        }
    }
    assert!(folds > 0 && newest == BEFORE + TOGETHER, "{folds} {newest}");
    seen
}

fn is_level(duo: &mut Duo) {
    assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(BEFORE + TOGETHER));
    let (own, durable) = (duo.following(), duo.status(LEADER).durable);
    assert_eq!((own.state, own.applied), ("streaming", durable));
    assert_eq!(duo.status(FOLLOWER).rows, duo.status(LEADER).rows);
}

/// The metadata of the follower is on its way to its disk, and says less than what is applied.
fn marks(duo: &Duo) -> bool {
    let meta = |op: &Op| {
        matches!(op, Op::UnderWay(Io::Write { file: FileId::Meta, .. }) | Op::Ended(Event::Disk { .. }))
    };
    duo.members[FOLLOWER].ops.iter().any(meta)
}

pub fn before_metadata() -> Seen {
    let mut seen = Seen {
        condition: "the follower has applied commits; it ends before its metadata says so, and while that is written",
        outcome: "what the metadata lacks is replayed from the log and applied once, whatever of the metadata was written; \
                  the state is the leader's",
        ..Seen::default()
    };
    let applied = |steps: usize| {
        let mut duo = under_way(0);
        duo.settle();
        (0..steps).for_each(|_| duo.go_on());
        duo
    };
    let mut writes = 0;
    for steps in 0..400 {
        let mut duo = applied(steps);
        let is_applied = duo.read(FOLLOWER, RELAXED) == row_of(BEFORE + TOGETHER);
        if !is_applied || !(marks(&duo) || steps % 40 == 0) {
            continue;
        }
        writes += usize::from(marks(&duo));
        let committed = duo.following().applied;
        for left in [Left::Nothing, Left::All, Left::Even, Left::SecondHalf] {
            seen.points += 1;
            let mut duo = applied(steps);
            duo.crash_and_start(FOLLOWER, &Crash::Power(vec![left]));
            duo.parted = true;
            duo.settle();
            let own = duo.following();
            assert!(own.validated >= committed, "nothing that was applied is missing: {own:?}");
            let text = duo.report(FOLLOWER).to_string();
            seen.explains("the follower's start", &text);
            duo.parted = false;
            duo.pass(4 * SECOND);
            is_level(&mut duo);
        }
    }
    assert!(writes > 0, "the metadata was written meanwhile");
    seen
}
