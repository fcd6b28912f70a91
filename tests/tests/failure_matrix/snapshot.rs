//! F-S1 to F-S3: a follower that needs a checkpoint, and what goes wrong while it comes.

use seawall::map::MemberId;
use seawall_node::seam::Event;
use seawall_node::seam::order::Errand;
use seawall_wal::checkpoint::FoldPolicy;
use seawall_wal::format::SEGMENT_MAGIC;
use seawall_wal::{BLOCK, Io, LogLimits};

use crate::Seen;
use crate::client::{RELAXED, fact, refusal, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER, Op};
use crate::forgery::{bend, next_blocks, next_piece, other_segment, until};
use crate::volatile::{Crash, Left};

const SECOND: u64 = 1_000_000;
const COMMITS: u64 = 40;

/// Checkpoints soon, and hardly anything in memory.
pub fn folding() -> LogLimits {
    let fold = FoldPolicy { least_bytes: 8 * BLOCK as u64, most_segments: 2 };
    LogLimits { fold, checkpoints: 1, ..LogLimits::test_min() }
}

/// A leader that needs nobody and has folded what it began with, and an empty follower that starts now.
pub fn behind() -> Duo {
    let mut duo = behind_with(folding());
    assert!(duo.status(LEADER).checkpoint > 10, "{:?}", duo.status(LEADER));
    duo
}

/// A leader that needs nobody, and an empty follower that starts now.
pub fn behind_with(limits: LogLimits) -> Duo {
    let mut duo = Duo::new(limits, 1);
    duo.start(LEADER);
    duo.pass(3 * SECOND);
    for n in 1..=COMMITS {
        duo.commit(LEADER, n);
        duo.settle();
    }
    duo.start(FOLLOWER);
    duo
}

/// So many steps later.
fn later(steps: usize) -> Duo {
    let mut duo = behind();
    (0..steps).for_each(|_| duo.go_on());
    duo
}

fn adopts(duo: &Duo, wanted: fn(&Op) -> bool) -> bool {
    duo.members[FOLLOWER].ops.iter().any(wanted)
}

fn is_adopting(op: &Op) -> bool {
    matches!(op, Op::UnderWay(Io::Adopt(_)))
}

fn is_adopted(op: &Op) -> bool {
    matches!(op, Op::Ended(Event::Folded { .. }))
}

fn is_empty(duo: &mut Duo) {
    duo.parted = true;
    duo.settle();
    let own = duo.following();
    assert_eq!((own.state, own.received, own.validated, own.applied), ("uninitialised", 0, 0, 0));
    assert_eq!(duo.status(FOLLOWER).rows, 0);
    assert!(duo.members[FOLLOWER].disk.offered.is_empty());
    assert_eq!(refusal(duo.read(FOLLOWER, RELAXED)).reason.rule, "R22");
    duo.wire.clear();
    duo.parted = false;
}

/// The first piece that comes now is the first of all; in the end it is level, and may answer reads.
fn begins_anew_and_is_level(duo: &mut Duo) {
    assert_eq!(until(duo, next_piece), 0, "from its beginning");
    duo.pass(5 * SECOND);
    assert_eq!((duo.following().state, duo.following().validated), ("streaming", duo.status(LEADER).durable));
    duo.order(LEADER, Errand::Require(MemberId(2)));
    duo.pass(3 * SECOND);
    assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(COMMITS));
}

pub fn during_transfer() -> Seen {
    let mut seen = Seen {
        condition: "the follower ends at each step from the first piece of the checkpoint on, until all are written",
        outcome: "what came is gone; it is uninitialised, has no record and no row, and took nothing of the log; the \
                  transfer begins anew",
        ..Seen::default()
    };
    for steps in 0.. {
        let mut duo = later(steps);
        if adopts(&duo, is_adopting) {
            break;
        }
        if next_piece(&duo).is_none() && duo.members[FOLLOWER].disk.offered.is_empty() {
            continue;
        }
        let own = duo.following();
        assert_eq!((own.validated, own.applied), (0, 0));
        let told = fact(&duo.explain(LEADER), "shard.replicas").clone().expect("it is known");
        assert!(told.contains("bootstrapping") && told.contains("checkpoint"), "{told}");
        seen.explains("the leader meanwhile: EXPLAIN, `shard.replicas`", &told);
        for crash in [Crash::Process, Crash::Power(vec![Left::Nothing])] {
            seen.points += 1;
            let mut duo = later(steps);
            duo.crash_and_start(FOLLOWER, &crash);
            is_empty(&mut duo);
            let report = duo.report(FOLLOWER).to_string();
            assert!(report.contains("a new log; it follows"), "{report}");
            seen.explains("the follower's start", &report);
            begins_anew_and_is_level(&mut duo);
        }
    }
    seen
}

pub fn before_validation() -> Seen {
    let mut seen = Seen {
        condition: "all pieces are written; the follower ends before they are judged and named, or what is judged is not \
                    what the leader named",
        outcome: "it never gets a name, and is no part of the log; the follower is uninitialised, and the transfer begins \
                  anew with the first piece",
        ..Seen::default()
    };
    let written = || {
        let mut duo = behind();
        until(&mut duo, |duo| adopts(duo, is_adopting).then_some(()));
        duo
    };
    for crash in [Crash::Process, Crash::Power(vec![Left::Nothing]), Crash::Power(vec![Left::All])] {
        seen.points += 1;
        let mut duo = written();
        assert_eq!(duo.following().state, "bootstrapping");
        duo.crash_and_start(FOLLOWER, &crash);
        is_empty(&mut duo);
        let report = duo.report(FOLLOWER).to_string();
        assert!(report.contains("a new log; it follows"), "{report}");
        seen.explains("the follower's start", &report);
        begins_anew_and_is_level(&mut duo);
    }
    let bits = written().members[FOLLOWER].disk.offered.len() * 8;
    for bit in (5..bits).step_by(4099) {
        seen.points += 1;
        let mut duo = written();
        duo.members[FOLLOWER].disk.offered[bit / 8] ^= 1 << (bit % 8);
        until(&mut duo, |duo| adopts(duo, is_adopted).then_some(()));
        duo.step();
        let own = duo.following();
        let why = own.reason.clone().expect("it says why");
        assert!(why.starts_with("F-S2: checkpoint-") && why.ends_with("all of it is thrown away"), "{why}");
        assert!(why.contains("expected") && why.contains("observed"), "{why}");
        assert_eq!(duo.members[FOLLOWER].loud, [format!("does not go on: {why}")], "bit {bit}: loud");
        assert_eq!((own.validated, own.applied), (0, 0), "bit {bit}");
        seen.explains("the follower's state", &why);
        duo.wire.clear();
        begins_anew_and_is_level(&mut duo);
    }
    seen
}

pub fn boundary() -> Seen {
    let mut seen = Seen {
        condition: "the segment that comes behind the checkpoint says that it continues there, and has another chain, \
                    another end or another predecessor",
        outcome: "a hard failure: the follower halts, durably and loudly, refuses reads, and does not begin anew",
        ..Seen::default()
    };
    type Forge = fn(&mut seawall_wal::format::SegmentHeader);
    let cases: [(&'static str, Forge); 3] = [
        ("another chain", |header| header.pred_chain ^= 1),
        ("another end", |header| header.pred_end += BLOCK as u64),
        ("another predecessor", |header| header.pred_incarnation -= 1),
    ];
    for (what, forge) in cases {
        seen.points += 1;
        let mut duo = behind();
        let begins = |duo: &Duo| next_blocks(duo).filter(|blocks| blocks.starts_with(&SEGMENT_MAGIC));
        let blocks = until(&mut duo, begins);
        let cut = duo.following().validated;
        assert!(cut > 0, "the checkpoint is there");
        bend(&mut duo, &other_segment(&blocks, forge));
        duo.settle();
        let loud = duo.members[FOLLOWER].loud.clone();
        assert_eq!(loud.len(), 1, "{what}: {loud:?}");
        assert!(
            loud[0].starts_with(&format!("halted: R23: checkpoint-{cut:012}.ckp, offset ")),
            "{}",
            loud[0]
        );
        assert!(loud[0].contains("expected F-S3: the segment after"), "{}", loud[0]);
        assert!(loud[0].contains("observed segment"), "{}", loud[0]);
        seen.explains(what, &loud[0]);
        duo.pass(3 * SECOND);
        let own = duo.following();
        assert_eq!((own.state, own.validated, own.applied), ("halted", cut, cut));
        assert_eq!(refusal(duo.read(FOLLOWER, RELAXED)).reason.rule, "R25");
        duo.crash_and_start(FOLLOWER, &Crash::Process);
        duo.pass(3 * SECOND);
        assert_eq!(duo.status(FOLLOWER).state, "halted", "{what}: also after a start");
        assert!(duo.report(FOLLOWER).to_string().contains("F-S3"));
    }
    seen
}
