//! What went wrong in this process. Each failure is a line at error level, an event that stays for whoever asks later, and
//! one more in a counter: nothing fails silently, and no failure is forgotten by itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use seawall::map::ShardId;
use serde_json::{Value, json};

use super::{clock, console};

/// The newest ones are kept. Each is counted for as long as the process lives.
const KEPT: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Incident {
    /// The process before this one left no mark.
    Killed,
    /// Recovery refuses a log.
    LogHalted,
    /// A log ends where it was not closed.
    LogContradicted,
    CheckpointCorrupt,
    MetadataCorrupt,
    LogFailed,
    NoSpace,
    NoCheckpoint,
    Rotten,
    ReplicaHalted,
    ReplicaReseeds,
    ReplicaTroubled,
    Unproven,
    CommitsRefused,
    LinkLost,
    MapUnreachable,
}

/// A kind along the axes of the failure matrix; its place is the shard, or the node.
struct Axes {
    name: &'static str,
    /// When it happens.
    phase: &'static str,
    /// What becomes of it by itself.
    persistence: &'static str,
    /// What is seen of it.
    visibility: &'static str,
    /// What to do.
    advice: &'static str,
}

const ALL: [(Incident, Axes); 16] = [
    (
        Incident::Killed,
        Axes {
            name: "process.killed",
            phase: "start",
            persistence: "recovered",
            visibility: "what was acknowledged is there",
            advice: "find out what killed it; the recovery report says what was found",
        },
    ),
    (
        Incident::LogHalted,
        Axes {
            name: "log.halted",
            phase: "recovery",
            persistence: "over restarts",
            visibility: "nothing is served",
            advice: "copy the shard's directory aside before anything else",
        },
    ),
    (
        Incident::LogContradicted,
        Axes {
            name: "log.contradicted",
            phase: "recovery",
            persistence: "as long as the log is so",
            visibility: "what is there is served",
            advice: "files were changed, lost or put back: stop the node, and compare its directory with a copy",
        },
    ),
    (
        Incident::MetadataCorrupt,
        Axes {
            name: "metadata.corrupt",
            phase: "recovery",
            persistence: "over: both copies were written again",
            visibility: "nothing is missing: the other copy holds all that counts",
            advice: "look at the disk, and make a backup",
        },
    ),
    (
        Incident::CheckpointCorrupt,
        Axes {
            name: "checkpoint.corrupt",
            phase: "recovery",
            persistence: "until the next checkpoint",
            visibility: "nothing is missing: the log reaches back far enough",
            advice: "look at the disk, and make a backup",
        },
    ),
    (
        Incident::LogFailed,
        Axes {
            name: "log.failed",
            phase: "running",
            persistence: "until the next start",
            visibility: "nothing more is acknowledged there",
            advice: "restart the node to recover the log",
        },
    ),
    (
        Incident::NoSpace,
        Axes {
            name: "log.no_space",
            phase: "running",
            persistence: "until there is space",
            visibility: "commits are refused, or wait for this member",
            advice: "free space there; it is tried again by itself",
        },
    ),
    (
        Incident::NoCheckpoint,
        Axes {
            name: "log.no_checkpoint",
            phase: "running",
            persistence: "until one can be made",
            visibility: "its log grows",
            advice: "see `seawall log verify`",
        },
    ),
    (
        Incident::Rotten,
        Axes {
            name: "log.rotten",
            phase: "running",
            persistence: "until the file is not kept any more",
            visibility: "nothing is missing here: it is not sent to members, and not folded",
            advice: "see `seawall log verify`, hand over to another member, and look at the disk",
        },
    ),
    (
        Incident::ReplicaHalted,
        Axes {
            name: "replica.halted",
            phase: "running",
            persistence: "over restarts",
            visibility: "nothing is served",
            advice: "look with `seawall log verify`, then `seawall replica clear` or `seawall replica reseed`",
        },
    ),
    (
        Incident::ReplicaReseeds,
        Axes {
            name: "replica.reseeds",
            phase: "running",
            persistence: "until it is level again",
            visibility: "reads are refused there",
            advice: "nothing to do: it begins with a leader's checkpoint; what it had is in `quarantine/`, if its disk still had \
                     anything",
        },
    ),
    (
        Incident::ReplicaTroubled,
        Axes {
            name: "replica.troubled",
            phase: "running",
            persistence: "until a leader has greeted it, and what it sends fits",
            visibility: "its reads are refused meanwhile; commits that need it wait",
            advice: "see what it says; if it comes again, `seawall replica reseed` it",
        },
    ),
    (
        Incident::Unproven,
        Axes {
            name: "replica.unproven",
            phase: "running",
            persistence: "until something is proven again",
            visibility: "no read is served there",
            advice: "see whether its leader runs and can be reached; the end is said, too",
        },
    ),
    (
        Incident::CommitsRefused,
        Axes {
            name: "commits.refused",
            phase: "running",
            persistence: "until the members are back or the sync set is changed",
            visibility: "commits are refused with DURABILITY_UNAVAILABLE",
            advice: "bring the member back, or `seawall sync-set release` it",
        },
    ),
    (
        Incident::LinkLost,
        Axes {
            name: "link.lost",
            phase: "running",
            persistence: "until it is linked again",
            visibility: "none by itself",
            advice: "see whether the member runs and can be reached; it is tried again by itself",
        },
    ),
    (
        Incident::MapUnreachable,
        Axes {
            name: "map.unreachable",
            phase: "running",
            persistence: "until it can be read and changed again",
            visibility: "no role changes",
            advice: "make its directory readable, writable and not full",
        },
    ),
];

impl Incident {
    fn axes(self) -> &'static Axes {
        let found = ALL.iter().find(|(incident, _)| *incident == self);
        found.map(|(_, axes)| axes).expect("each has its axes")
    }

    /// The line of a shard to which it happened.
    pub fn said_of(self, shard: ShardId, why: &str) -> String {
        match self {
            Incident::NoSpace => format!("THE LOG OF SHARD {shard} CANNOT GROW: {why}"),
            Incident::NoCheckpoint => format!("NO NEWER CHECKPOINT OF SHARD {shard}: {why}"),
            Incident::ReplicaHalted => format!("THE REPLICA OF SHARD {shard} HALTED: {why}"),
            Incident::ReplicaReseeds => format!("THE REPLICA OF SHARD {shard} BEGINS ANEW: {why}"),
            Incident::ReplicaTroubled => format!("THE REPLICA OF SHARD {shard} DOES NOT GO ON: {why}"),
            Incident::Unproven => format!("NO READ OF SHARD {shard} HERE: {why}"),
            Incident::Rotten => format!("WHAT THE LOG OF SHARD {shard} KEEPS IS ROTTEN: {why}"),
            Incident::LogFailed => format!("THE LOG OF SHARD {shard} FAILED: {why}"),
            Incident::CommitsRefused => format!("COMMITS OF SHARD {shard} ARE REFUSED: {why}"),
            _ => format!("SHARD {shard}: {why}"),
        }
    }
}

struct Noted {
    number: u64,
    at_us: i64,
    kind: Incident,
    shard: Option<ShardId>,
    said: String,
}

#[derive(Default)]
struct Kept {
    newest: VecDeque<Noted>,
    counted: BTreeMap<(Incident, Option<ShardId>), u64>,
    number: u64,
}

/// Shared by whoever notices and whoever is asked.
#[derive(Clone, Default)]
pub struct Incidents(Arc<Mutex<Kept>>);

impl std::fmt::Debug for Incidents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} incidents", self.kept().number)
    }
}

impl Incidents {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("nobody panics while it notes something")
    }

    /// Without a shard it is the node's.
    pub fn note(&self, kind: Incident, shard: Option<ShardId>, said: &str) {
        let axes = kind.axes();
        console::complain(format_args!("ERROR {}: {said}", axes.name));
        console::complain(format_args!("      {}; {}", axes.visibility, axes.advice));
        let mut kept = self.kept();
        kept.number += 1;
        *kept.counted.entry((kind, shard)).or_default() += 1;
        let (number, at_us, said) = (kept.number, clock::now().wall_us, said.to_owned());
        kept.newest.push_back(Noted { number, at_us, kind, shard, said });
        if kept.newest.len() > KEPT {
            kept.newest.pop_front();
        }
    }

    /// How often each kind happened; those that never did are there with 0, for whoever alerts on a change.
    pub fn counts(&self) -> Vec<(&'static str, Option<ShardId>, u64)> {
        let kept = self.kept();
        let never = ALL.iter().filter(|(kind, _)| !kept.counted.keys().any(|(seen, _)| seen == kind));
        let seen = kept.counted.iter().map(|((kind, shard), count)| (kind.axes().name, *shard, *count));
        seen.chain(never.map(|(_, axes)| (axes.name, None, 0))).collect()
    }

    /// The newest ones, oldest first.
    pub fn json(&self) -> Vec<Value> {
        let one = |incident: &Noted| {
            let axes = incident.kind.axes();
            json!({
                "number": incident.number,
                "at_us": incident.at_us,
                "event": axes.name,
                "shard": incident.shard.map(|shard| shard.0),
                "phase": axes.phase,
                "persistence": axes.persistence,
                "visibility": axes.visibility,
                "said": incident.said,
                "advice": axes.advice,
            })
        };
        self.kept().newest.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each event stands in the manual, and no other.
    #[test]
    fn the_manual_lists_every_event() {
        let manual = include_str!("../../../docs/operations.md");
        let (_, section) = manual.split_once("### What went wrong").expect("a section");
        let (section, _) = section.split_once("\n### ").expect("and the next one");
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let listed: Vec<&str> = rows.map(|(name, _)| name).collect();
        assert_eq!(listed, ALL.each_ref().map(|(_, axes)| axes.name));
    }

    #[test]
    fn each_kind_is_counted_and_only_the_newest_are_kept() {
        let incidents = Incidents::default();
        assert_eq!(incidents.counts().len(), ALL.len());
        assert!(incidents.counts().iter().all(|(_, _, count)| *count == 0));
        for n in 0..=KEPT {
            incidents.note(Incident::NoSpace, Some(ShardId(2)), &format!("number {n}"));
        }
        incidents.note(Incident::LinkLost, None, "gone");
        let count = incidents.counts().into_iter().find(|(name, ..)| *name == "log.no_space");
        assert_eq!(count, Some(("log.no_space", Some(ShardId(2)), KEPT as u64 + 1)));
        assert_eq!(incidents.counts().len(), ALL.len());
        let events = incidents.json();
        assert_eq!((events.len(), &events[0]["number"]), (KEPT, &3.into()));
        let last = &events[KEPT - 1];
        assert_eq!((&last["event"], &last["shard"]), (&"link.lost".into(), &Value::Null));
        assert_eq!(events[0]["shard"], 2);
    }
}
