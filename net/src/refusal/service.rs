//! Refusals of the groups 4xx durability, 5xx integrity, 6xx load, 7xx access, 8xx control and 9xx protocol.

use super::{Code, Outcome, Refusal, Text};
use crate::map::Generation;
use crate::position::{Epoch, Lineage};
use crate::wire::Malformed;

/// 4xx: the log cannot take it, or cannot tell whether it did.
impl Refusal {
    /// DURABILITY_UNAVAILABLE: fewer members are there than must have the record; `who` is missing.
    pub fn durability_unavailable(need: usize, have: usize, who: &str, retry_after_ms: u32) -> Refusal {
        let hint = "bring the members back, or change the policy; nothing was appended";
        let (need, have) = (format!("{need} members in sync"), format!("{have}: {who}"));
        Refusal::new(Code::DurabilityUnavailable, "durability.members", need, have, hint)
            .after(retry_after_ms)
    }

    /// DISK_FULL: the log has no room, and `why` it could not make any.
    pub fn disk_full(why: impl Into<Text>, retry_after_ms: u32) -> Refusal {
        let hint = "free space on the data volume; reads go on, and writes resume by themselves";
        Refusal::new(Code::DiskFull, "log.space", "a prepared segment", why, hint).after(retry_after_ms)
    }

    /// LOG_FAILED for a request of which nothing was appended: a read, or a commit that came after the failure.
    pub fn log_failed(why: impl Into<Text>) -> Refusal {
        let hint = "repair the disk and restart the node: recovery decides what is durable";
        let refusal = Refusal::new(Code::LogFailed, "log.fail_stop", "a log that takes writes", why, hint);
        Refusal { outcome: Outcome::None, ..refusal }
    }

    /// LOG_FAILED for a commit whose record was on its way: only recovery knows.
    pub fn log_failed_after_append(why: impl Into<Text>) -> Refusal {
        let hint = "after the node has recovered, RESOLVE the request key, or without one read the rows of the partition";
        Refusal::new(Code::LogFailed, "log.fail_stop", "the record is durable", why, hint)
    }

    /// DURABILITY_TIMEOUT: the record is appended, and not durable everywhere in time.
    pub fn durability_timeout(waited_ms: u32, missing: impl Into<Text>) -> Refusal {
        let hint =
            "send it again with the same request key, or RESOLVE the key, to learn whether it happened";
        let expected = format!("durable everywhere within {waited_ms} ms");
        Refusal::new(Code::DurabilityTimeout, "durability.in_time", expected, missing, hint)
    }

    /// DURABILITY_UNAVAILABLE for a request that appended nothing: what it looked at is not committed.
    pub fn not_committed_in_time(waited_ms: u32, missing: impl Into<Text>, retry_after_ms: u32) -> Refusal {
        let hint = "what it looked at is on its way to the members: repeat it after the time named";
        let expected = format!("what was looked at is durable everywhere within {waited_ms} ms");
        Refusal::new(Code::DurabilityUnavailable, "durability.looked_at", expected, missing, hint)
            .after(retry_after_ms)
    }

    /// LEADERSHIP_LOST: `newer` began while the record was on its way.
    pub fn leadership_lost(ours: Epoch, newer: Epoch) -> Refusal {
        let hint = "ask the new leader: send it again with the same request key, or RESOLVE the key";
        let expected = format!("epoch {} until the record is committed", ours.0);
        Refusal::new(Code::LeadershipLost, "durability.epoch", expected, format!("epoch {}", newer.0), hint)
    }
}

/// 5xx: what is stored cannot be believed.
impl Refusal {
    /// CHECKSUM: the bytes at `place` are not what was written.
    pub fn checksum(place: impl std::fmt::Display, expected: u32, observed: u32) -> Refusal {
        let hint = "ask another replica; `seawall log verify` shows how far the damage goes";
        let expected = format!("{expected:08x} at {place}");
        Refusal::new(Code::Checksum, "integrity.checksum", expected, format!("{observed:08x}"), hint)
    }

    /// CONTINUITY: the log has a gap or goes backwards.
    pub fn continuity(expected: impl Into<Text>, observed: impl Into<Text>) -> Refusal {
        let hint = "ask another replica; this one is halted until an operator has looked at it";
        Refusal::new(Code::Continuity, "integrity.continuity", expected, observed, hint)
    }

    /// SNAPSHOT_LOG_MISMATCH: the log does not go on where the checkpoint ends.
    pub fn snapshot_log_mismatch(cut: impl Into<Text>, resumed: impl Into<Text>) -> Refusal {
        let hint = "ask another replica; this one must be built again from a checkpoint and its log";
        Refusal::new(Code::SnapshotLogMismatch, "integrity.cut", cut, resumed, hint)
    }

    /// CORRUPT_METADATA: no copy of the metadata can be believed.
    pub fn corrupt_metadata(observed: impl Into<Text>) -> Refusal {
        let hint = "ask another replica; an operator builds this one again";
        let expected = "one copy with a checksum that fits";
        Refusal::new(Code::CorruptMetadata, "integrity.metadata", expected, observed, hint)
    }

    /// LINEAGE_MISMATCH: two histories that have nothing to do with each other.
    pub fn lineage_mismatch(ours: &Lineage, theirs: &Lineage) -> Refusal {
        let hint = "this is another cluster, or a restored one: check the address, and drop old tokens";
        let (ours, theirs) = (ours.to_string(), theirs.to_string());
        Refusal::new(Code::LineageMismatch, "integrity.lineage", ours, theirs, hint)
    }
}

/// 6xx: nothing was appended; it is too much, or too late.
impl Refusal {
    /// THROTTLED: a queue of `limit` is full.
    pub fn throttled(queue: &'static str, limit: usize, retry_after_ms: u32) -> Refusal {
        let hint = "nothing was appended: repeat it after the time named, and send less at once";
        let observed = format!("{queue} is full");
        Refusal::new(Code::Throttled, "load.queue", format!("fewer than {limit}"), observed, hint)
            .after(retry_after_ms)
    }

    /// DEADLINE_BEFORE_APPEND: it waited too long, and nothing was appended.
    pub fn deadline_before_append(deadline_ms: u32) -> Refusal {
        let hint = "nothing was appended: repeat it, with more time if this happens often";
        let expected = format!("appended within {deadline_ms} ms");
        Refusal::new(Code::DeadlineBeforeAppend, "load.deadline", expected, "still waiting", hint)
    }

    /// QUOTA: the namespace has used up `what`.
    pub fn quota(what: &'static str, limit: u64, used: u64, retry_after_ms: u32) -> Refusal {
        let hint = "nothing was appended: use less, or ask an operator for more";
        let (expected, observed) = (format!("at most {limit} {what}"), used.to_string());
        Refusal::new(Code::Quota, "load.quota", expected, observed, hint).after(retry_after_ms)
    }
}

/// 7xx: it may not be done, by this identity or at all.
impl Refusal {
    /// UNAUTHENTICATED: a request before HELLO.
    pub fn unauthenticated() -> Refusal {
        let hint = "send HELLO first and wait for its answer";
        Refusal::new(Code::Unauthenticated, "session.hello", "HELLO", "another request", hint)
    }

    /// DENIED: no role of the identity allows it.
    pub fn denied(rule: &'static str, expected: impl Into<Text>, observed: impl Into<Text>) -> Refusal {
        let hint = "ask an operator for a role that allows it";
        Refusal::new(Code::Denied, rule, expected, observed, hint)
    }

    /// PROJECTION_READONLY: `table` is written by its projector alone.
    pub fn projection_readonly(table: &str) -> Refusal {
        let hint = "change what the projection is made of, or replay it";
        let observed = format!("a write to {table}");
        Refusal::new(Code::ProjectionReadonly, "table.projection", "writes of its projector", observed, hint)
    }
}

/// 8xx: the node or the cluster is not in the state for it.
impl Refusal {
    /// PROMOTE_REFUSED: these checks do not hold.
    pub fn promote_refused(failed: impl Into<Text>) -> Refusal {
        let hint = "make the checks hold; `--accept-loss` overrides them, and is audited";
        Refusal::new(Code::PromoteRefused, "control.promotion", "every check holds", failed, hint)
    }

    /// NOT_READY: the node or the shard is in a state that serves nothing.
    pub fn not_ready(state: impl Into<Text>, retry_after_ms: u32) -> Refusal {
        let hint = "wait until it serves; `seawall status` shows what it waits for";
        Refusal::new(Code::NotReady, "shard.state", "serving", state, hint).after(retry_after_ms)
    }

    /// CAS_FAILED: what was to be changed has another version now.
    pub fn cas_failed(rule: &'static str, expected: u64, current: u64) -> Refusal {
        let hint = "read it as it is now, decide again, and name its version";
        let (expected, current) = (format!("version {expected}"), format!("version {current}"));
        Refusal::new(Code::CasFailed, rule, expected, current, hint)
    }

    /// CAS_FAILED: another generation of the map was published first.
    pub fn map_changed(expected: Generation, current: Generation) -> Refusal {
        Refusal::cas_failed("control.generation", expected.0, current.0)
    }
}

/// 9xx: the bytes cannot be understood, or may not be.
impl Refusal {
    /// BAD_FRAME: what stands there breaks `rule`.
    pub fn bad_frame(rule: &'static str, expected: impl Into<Text>, observed: impl Into<Text>) -> Refusal {
        let hint = "repair the client: docs/protocol.md has the layout and golden bytes";
        Refusal::new(Code::BadFrame, rule, expected, observed, hint)
    }

    /// BAD_FRAME: operation `ordinal` uses `row` in another way than one before it.
    pub fn row_twice(ordinal: usize, row: impl std::fmt::Display) -> Refusal {
        let expected = "each row once, as a whole or in its fields, and its lease once";
        let observed = format!("operation {ordinal}: {row} stands there twice");
        let hint = "give each row one operation: put or merge takes all of its fields at once";
        Refusal::new(Code::BadFrame, "commit.rows", expected, observed, hint)
    }

    /// BAD_FRAME: `table` has no such index.
    pub fn no_index(table: &str, index: &str) -> Refusal {
        let hint = format!(
            "`seawall describe {table}` shows the indexes that there are; `seawall declare` adds one"
        );
        let observed = format!("no index {index} of {table}");
        Refusal::new(Code::BadFrame, "scan.index", "an index that is declared", observed, hint)
    }

    /// BAD_FRAME: the map has the shards from `first` to `last`, and not this one.
    pub fn no_shard(first: u32, last: u32, asked: u32) -> Refusal {
        let hint = "name one of these; `seawall status` shows each of them";
        let expected = format!("a shard of the map: {first} to {last}");
        Refusal::new(Code::BadFrame, "route.shard", expected, format!("shard {asked}"), hint)
    }

    /// BAD_FRAME: the first time of a request key lies further in the future than clocks may differ.
    pub fn first_sent_ahead(bound_us: i64, first_sent_us: i64) -> Refusal {
        let (bound, born) = (crate::Value::Time(bound_us), crate::Value::Time(first_sent_us));
        let expected = format!("first sent before {bound}");
        let hint = "take the time from the answer to HELLO, and not from a clock of your own";
        Refusal::new(
            Code::BadFrame,
            "request_key.first_sent",
            expected,
            format!("first sent at {born}"),
            hint,
        )
    }

    /// UNSUPPORTED_VERSION: the whole frame or session is of another version.
    pub fn unsupported_version(ours: u8, theirs: u64) -> Refusal {
        let hint = "use a client and a node whose versions overlap; HELLO tells the node's";
        let (ours, theirs) = (format!("version {ours}"), format!("version {theirs}"));
        Refusal::new(Code::UnsupportedVersion, "frame.version", ours, theirs, hint)
    }

    /// UNSUPPORTED_VERSION: one part of a request is newer than this node, or not built yet.
    pub fn unsupported(rule: &'static str, what: &'static str, number: u64) -> Refusal {
        let hint = "update the node, or leave this part out; HELLO tells what the node can do";
        let expected = format!("a known {what}");
        Refusal::new(Code::UnsupportedVersion, rule, expected, format!("{what} {number}"), hint)
    }

    /// TOO_LARGE: over a limit.
    pub fn too_large(rule: &'static str, limit: usize, len: u64) -> Refusal {
        let hint =
            "make it smaller, or spread it over several rows or requests; HELLO tells a client the limits";
        Refusal::new(Code::TooLarge, rule, format!("at most {limit}"), len.to_string(), hint)
    }

    /// BAD_FRAME or TOO_LARGE, whichever the bytes deserve.
    pub fn malformed(rule: &'static str, malformed: Malformed) -> Refusal {
        match malformed {
            Malformed::TooLong { limit, len, what } => {
                let mut refusal = Refusal::too_large(rule, limit, len);
                refusal.reason.observed = format!("{what}: {len}").into();
                refusal
            }
            Malformed::Name | Malformed::Empty => {
                let (expected, hint) = match malformed {
                    Malformed::Name => ("a name", "give it another name"),
                    _ => ("at least one of what stands there", "leave it out, or say what it is about"),
                };
                Refusal::new(Code::BadFrame, rule, expected, malformed.to_string(), hint)
            }
            other => Refusal::bad_frame(rule, "the canonical encoding", other.to_string()),
        }
    }
}
