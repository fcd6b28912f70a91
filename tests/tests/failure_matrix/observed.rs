//! F-O1: what is told while something is wrong.

use crate::Seen;
use crate::client::{Facts, fact};
use crate::duo::{Duo, FOLLOWER};
use crate::forgery::{next_piece, until};
use crate::reads::{halt, rot_metadata, serving};
use crate::snapshot::behind;
use crate::support::limits;
use crate::volatile::Crash;

/// Positions, rows and epochs: what a log that is not open cannot know.
const OF_LOG: [&str; 8] = [
    "shard.epoch",
    "shard.role",
    "shard.staleness_ms",
    "log.durable_index",
    "log.committed_index",
    "log.appended_index",
    "checkpoint.index",
    "state.rows",
];

fn unknown(facts: &Facts) -> Vec<&str> {
    facts.iter().filter(|(_, value)| value.is_err()).map(|(name, _)| name.as_str()).collect()
}

/// What is wrong, a follower of which it is, its state, what is not known of it, and why it is so.
type Failing = (&'static str, fn() -> Duo, &'static str, &'static [&'static str], &'static str);

const FAILING: &[Failing] = &[
    (
        "its log is being read",
        || {
            let (mut duo, _) = serving();
            duo.crash_and_start(FOLLOWER, &Crash::Process);
            duo
        },
        "recovering",
        &OF_LOG,
        "its log is being read",
    ),
    (
        "no leader was ever heard",
        || {
            let mut duo = Duo::new(limits(), 2);
            duo.start(FOLLOWER);
            duo.settle();
            duo
        },
        "uninitialised",
        &["shard.staleness_ms", "state.rows", "shard.staleness_proof"],
        "it follows",
    ),
    (
        "bootstrapping",
        || {
            let mut duo = behind();
            until(&mut duo, |duo| next_piece(duo).filter(|at| *at > 0));
            duo
        },
        "bootstrapping",
        &["shard.staleness_ms", "state.rows", "shard.staleness_proof"],
        "it follows",
    ),
    (
        "halted",
        || {
            let (mut duo, _) = serving();
            halt(&mut duo);
            duo
        },
        "halted",
        &["shard.staleness_ms", "state.rows", "shard.staleness_proof"],
        "R1: slot-000000.seg",
    ),
    (
        "could not start",
        || {
            let (mut duo, _) = serving();
            rot_metadata(&mut duo);
            duo
        },
        "halted",
        &OF_LOG,
        "recovery refused the log (R6)",
    ),
];

pub fn during_failure() -> Seen {
    let mut seen = Seen {
        condition: "a replica that recovers, has heard nobody, is bootstrapping, is halted or could not start is asked for \
                    its state and for the reasons",
        outcome: "it answers; each fact is known or says why it is not, and none is a number that nobody knows",
        ..Seen::default()
    };
    for &(what, there, state, missing, why) in FAILING {
        seen.points += 1;
        let mut duo = there();
        let facts = duo.explain(FOLLOWER);
        assert_eq!(fact(&facts, "shard.state"), &Ok(state.to_owned()), "{what}");
        let open = missing.len() < OF_LOG.len();
        assert_eq!(duo.status(FOLLOWER).open, open, "{what}: the status says that it is not complete");
        let unknown = unknown(&facts);
        for name in missing {
            assert!(unknown.contains(name), "{what}: {name} is not known: {facts:?}");
        }
        let says_why = |(name, value): &(String, Result<String, String>)| match value {
            Ok(known) => assert!(!known.is_empty() || name == "shard.epochs", "{what}: {name}"),
            Err(why) => assert!(why.contains(' '), "{what}: {name}: {why}"),
        };
        facts.iter().for_each(says_why);
        let told = fact(&facts, "shard.why").clone().expect("it says why");
        assert!(told.contains(why), "{what}: {told}");
        let of = |name: &&str| format!("{name}: {}", fact(&facts, name).clone().expect_err("unknown"));
        let text = format!("{told}. Unknown: {}", unknown.iter().map(of).collect::<Vec<_>>().join("; "));
        seen.explains(what, &text);
    }
    seen
}
