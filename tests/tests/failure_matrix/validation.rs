//! F-V1, F-V2: what the leader ships is not whole, or does not continue the follower's log.

use seawall::message::Consistency;
use seawall::refusal::Code;

use crate::Seen;
use crate::client::{RELAXED, fact, refusal, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER};
use crate::forgery::{bend, next_blocks, other_batch, until};
use crate::support::limits;
use crate::volatile::Crash;

const SECOND: u64 = 1_000_000;

/// Committed is 1, and the batch of 2 arrives next.
fn about_to_arrive() -> (Duo, Vec<u8>, usize, u64) {
    let mut duo = Duo::serving(limits());
    let before = duo.commit_now(1);
    let slot = duo.commit(LEADER, 2);
    let blocks = until(&mut duo, next_blocks);
    (duo, blocks, slot, before)
}

pub fn checksum() -> Seen {
    let mut seen = Seen {
        condition: "one bit of what is shipped is another one, in the header or in the content, and the frame around it \
                    is whole",
        outcome: "it is never validated or applied; the follower halts, durably and loudly; it acknowledges nothing, so \
                  the commit is not answered by success; it refuses every read, also after the next start",
        ..Seen::default()
    };
    let bits = about_to_arrive().1.len() * 8;
    for bit in (0..bits).step_by(331) {
        seen.points += 1;
        let (mut duo, mut blocks, slot, before) = about_to_arrive();
        blocks[bit / 8] ^= 1 << (bit % 8);
        bend(&mut duo, &blocks);
        duo.settle();
        assert_eq!(duo.members[FOLLOWER].loud.len(), 1, "bit {bit}: it is said, and once");
        let loud = duo.members[FOLLOWER].loud[0].clone();
        assert!(loud.starts_with("halted: R1: slot-000000.seg, offset "), "bit {bit}: {loud}");
        assert!(loud.contains(&format!("index {}: expected", before + 1)), "bit {bit}: {loud}");
        assert!(loud.contains("observed"), "{loud}");
        let kind = match (bit < 128 * 8, loud.contains("checksum")) {
            (true, true) => "a bit of the header",
            (true, false) => "a bit of what the header begins with",
            (false, _) => "a bit of the content",
        };
        seen.explains(kind, &loud);
        for _ in 0..2 {
            let own = duo.following();
            assert_eq!((own.state, own.validated, own.applied), ("halted", before, before));
            assert_eq!(own.reason.as_deref(), loud.strip_prefix("halted: "));
            let why = refusal(duo.read(FOLLOWER, RELAXED));
            assert_eq!((why.code, &*why.reason.rule), (Code::ReplicaUnsafe, "R25"));
            assert!(why.reason.observed.contains("R1: slot"), "{why}");
            seen.explains("a read at the follower", &why.to_string());
            duo.pass(2 * SECOND);
        }
        assert!(!matches!(duo.answer(LEADER, slot), Some(crate::client::Answer::Committed(..))));
        refusal(duo.read(LEADER, Consistency::Linearizable)); // who is required promises nothing any more
        duo.crash_and_start(FOLLOWER, &Crash::Process);
        duo.pass(2 * SECOND);
        let report = duo.report(FOLLOWER).to_string();
        assert!(report.contains("HALTED") && report.contains("kept until an operator clears it"), "{report}");
        seen.explains("its next start", &report);
        assert_eq!(refusal(duo.read(FOLLOWER, RELAXED)).code, Code::ReplicaUnsafe);
        assert_eq!(duo.status(FOLLOWER).state, "halted");
    }
    seen
}

pub fn continuity() -> Seen {
    let mut seen = Seen {
        condition: "a batch is missing, one overlaps what is there, stands at the place of another one, is of another \
                    lineage or of an older epoch",
        outcome: "it is rejected, nothing of the follower's log or state has changed, and both members say why, the \
                  follower loudly; the session is over, and a new one begins with where both stand",
        ..Seen::default()
    };
    type Forge = fn(&mut Duo, &[u8]) -> Vec<u8>;
    let cases: [(&'static str, &str, Forge); 5] = [
        ("a gap", "R1", |duo, _| {
            duo.wire.pop_front();
            duo.commit(LEADER, 3);
            until(duo, next_blocks)
        }),
        ("an overlap", "R1", |_, blocks| other_batch(blocks, |header| header.first_index -= 1)),
        ("another batch at its place", "R1", |_, blocks| other_batch(blocks, |header| header.chain ^= 1)),
        ("another lineage", "R11", |_, blocks| other_batch(blocks, |header| header.lineage[3] ^= 1)),
        ("an older epoch", "R11", |_, blocks| other_batch(blocks, |header| header.epoch -= 1)),
    ];
    for (what, rule, forge) in cases {
        seen.points += 1;
        let (mut duo, blocks, _, before) = about_to_arrive();
        let blocks = forge(&mut duo, &blocks);
        bend(&mut duo, &blocks);
        let (files, own) = (duo.members[FOLLOWER].disk.read().files, duo.following());
        assert_eq!((own.received, own.validated, own.reason.as_ref()), (before, before, None));
        duo.step();
        assert!(files == duo.members[FOLLOWER].disk.read().files, "{what}: nothing was written");
        let after = duo.following();
        let reason = after.reason.clone().expect("it says why");
        assert!(
            reason.starts_with(&format!("F-V2: {rule} at index {}: expected", before + 1)),
            "{what}: {reason}"
        );
        assert!(reason.contains("observed"), "{what}: {reason}");
        let positions = |own: &seawall_node::seam::FollowerStatus| {
            [own.received, own.persisted, own.validated, own.applied, own.promise]
        };
        assert_eq!(positions(&after), positions(&own), "{what}");
        assert_eq!(fact(&duo.explain(FOLLOWER), "shard.why"), &Ok(reason.clone()));
        seen.explains(what, &reason);
        assert_eq!(duo.read(FOLLOWER, RELAXED), row_of(1), "{what}: what was proven is still so");
        // The leader hears of it before anything else goes on.
        until(&mut duo, |duo| duo.wire.is_empty().then_some(()));
        let members = duo.status(LEADER).replication.expect("it is a member").members;
        let told = members[0].reason.clone().unwrap_or_default();
        assert!(told.contains(&reason), "{what}: {members:?}");
        seen.explains("the leader of it", &told);
        duo.pass(3 * SECOND);
        assert_eq!(duo.following().validated, duo.status(LEADER).durable, "{what}");
        assert_eq!(
            duo.members[FOLLOWER].loud,
            [format!("does not go on: {reason}")],
            "{what}: loud, once, and no halt"
        );
    }
    seen
}
