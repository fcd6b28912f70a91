//! Refusals: one closed list of codes, and one constructor for each that can be reached, so that no reason is put
//! together where it happens and every hint says what to do next.

mod code;

use std::borrow::Cow;
use std::fmt;

pub use code::{Code, Outcome, Retry};

use crate::map::Generation;
use crate::position::Position;
use crate::wire::Malformed;

/// A text of a reason: most are fixed, some were computed, some came over the wire.
pub type Text = Cow<'static, str>;

/// Why, in four texts for people. Programs decide by [`Code`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// The rule that was broken, by its short name.
    pub rule: Text,
    /// What the rule wants.
    pub expected: Text,
    /// What was there.
    pub observed: Text,
    /// What to do next.
    pub hint: Text,
}

/// A request was not done: refused, rejected, or its end is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub code: Code,
    /// What became of the request: [`Code::outcome`], but for a LOG_FAILED that met no appended record.
    pub outcome: Outcome,
    /// How long to wait before the next attempt, where one is allowed.
    pub retry_after_ms: u32,
    /// The position that the refusal rests on, if it looked at state.
    pub position: Option<Position>,
    /// Why; boxed, so that a `Result` with a refusal stays small.
    pub reason: Box<Reason>,
}

impl Refusal {
    /// What a client may do next.
    pub fn retry(&self) -> Retry {
        self.code.retry()
    }

    /// This refusal, resting on `position`.
    pub fn at(mut self, position: Position) -> Refusal {
        self.position = Some(position);
        self
    }

    fn new(
        code: Code,
        rule: &'static str,
        expected: impl Into<Text>,
        observed: impl Into<Text>,
        hint: impl Into<Text>,
    ) -> Refusal {
        let (expected, observed, hint) = (expected.into(), observed.into(), hint.into());
        let reason = Box::new(Reason { rule: rule.into(), expected, observed, hint });
        Refusal { code, outcome: code.outcome(), retry_after_ms: 0, position: None, reason }
    }

    fn after(mut self, retry_after_ms: u32) -> Refusal {
        self.retry_after_ms = retry_after_ms;
        self
    }
}

/// The constructors, in the order of the codes.
impl Refusal {
    /// STALE_GENERATION: the request acts on an older map.
    pub fn stale_generation(ours: Generation, theirs: Generation) -> Refusal {
        let hint = "send HELLO again, take the generation of its answer, then repeat the request";
        Refusal::new(Code::StaleGeneration, "route.generation", ours.to_string(), theirs.to_string(), hint)
    }

    /// GENERATION_AHEAD: the request acts on a map that has not arrived here.
    pub fn generation_ahead(ours: Generation, theirs: Generation, retry_after_ms: u32) -> Refusal {
        let hint = "this node learns the new map within moments: repeat the request after the time named";
        Refusal::new(Code::GenerationAhead, "route.generation", ours.to_string(), theirs.to_string(), hint)
            .after(retry_after_ms)
    }

    /// NOT_LEADER: another node leads the shard; `leader` is its address, if it is known.
    pub fn not_leader(leader: Option<&str>) -> Refusal {
        let hint = match leader {
            Some(address) => Text::from(format!("send it to {address}")),
            None => Text::from("no leader is known: repeat it against another node, or wait for an election"),
        };
        Refusal::new(Code::NotLeader, "route.leader", "the shard's leader", "another role", hint)
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
        let hint =
            "after the node has recovered, read the rows of the partition to learn whether it happened";
        Refusal::new(Code::LogFailed, "log.fail_stop", "the record is durable", why, hint)
    }

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

    /// UNAUTHENTICATED: a request before HELLO.
    pub fn unauthenticated() -> Refusal {
        let hint = "send HELLO first and wait for its answer";
        Refusal::new(Code::Unauthenticated, "session.hello", "HELLO", "another request", hint)
    }

    /// NOT_READY: the node or the shard is in a state that serves nothing.
    pub fn not_ready(state: impl Into<Text>, retry_after_ms: u32) -> Refusal {
        let hint = "wait until it serves; `seawall status` shows what it waits for";
        Refusal::new(Code::NotReady, "shard.state", "serving", state, hint).after(retry_after_ms)
    }

    /// BAD_FRAME: what stands there breaks `rule`.
    pub fn bad_frame(rule: &'static str, expected: impl Into<Text>, observed: impl Into<Text>) -> Refusal {
        let hint = "repair the client: docs/protocol.md has the layout and golden bytes";
        Refusal::new(Code::BadFrame, rule, expected, observed, hint)
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
        let hint = "send less at once: HELLO tells the limits";
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
            other => Refusal::bad_frame(rule, "the canonical encoding", other.to_string()),
        }
    }
}

/// One line for a person: the code, what was wrong, what became of the request, what to do.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reason { rule, expected, observed, hint } = &*self.reason;
        write!(f, "{} ({rule}): expected {expected}, observed {observed}", self.code)?;
        if let Some(position) = self.position {
            write!(f, " at {position}")?;
        }
        match self.outcome {
            Outcome::None => write!(f, "; nothing was done")?,
            Outcome::Committed | Outcome::Rejected => {}
            Outcome::Unknown => write!(f, "; whether it was done is unknown")?,
        }
        if self.retry_after_ms > 0 {
            write!(f, "; retry after {} ms", self.retry_after_ms)?;
        }
        write!(f, "; {hint}")
    }
}

impl std::error::Error for Refusal {}
