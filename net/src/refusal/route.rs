//! Refusals of the groups 1xx routing and 3xx freshness.

use super::{Code, Detail, Refusal, Text};
use crate::map::Generation;
use crate::position::{Epoch, Position};

/// 1xx: nothing was appended for this frame.
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
        let detail = leader.map_or(Detail::None, |address| Detail::Leader(address.to_owned()));
        Refusal::new(Code::NotLeader, "route.leader", "the shard's leader", "another role", hint).with(detail)
    }

    /// FENCED_EPOCH: `ours` is over, `newer` has begun.
    pub fn fenced_epoch(ours: Epoch, newer: Epoch) -> Refusal {
        let hint = "send HELLO again, learn the map and ask the new leader";
        let (expected, observed) = (format!("epoch {} still runs", ours.0), format!("epoch {}", newer.0));
        Refusal::new(Code::FencedEpoch, "route.epoch", expected, observed, hint)
    }

    /// UNKNOWN_EPOCH: the request names an epoch that has not arrived here.
    pub fn unknown_epoch(ours: Epoch, theirs: Epoch, retry_after_ms: u32) -> Refusal {
        let hint = "this node learns of the new leader within moments: repeat it after the time named";
        let (expected, observed) = (format!("at most epoch {}", ours.0), format!("epoch {}", theirs.0));
        Refusal::new(Code::UnknownEpoch, "route.epoch", expected, observed, hint).after(retry_after_ms)
    }

    /// SHARD_MOVING: the shard is on its way; `phase` says how far.
    pub fn shard_moving(phase: impl Into<Text>, retry_after_ms: u32) -> Refusal {
        let hint = "the move ends within moments: repeat it after the time named";
        Refusal::new(Code::ShardMoving, "route.owner", "a shard at rest", phase, hint).after(retry_after_ms)
    }

    /// LEASE_UNPROVEN: nobody promised lately not to elect another leader.
    pub fn lease_unproven(missing: impl Into<Text>, retry_after_ms: u32) -> Refusal {
        let hint = "followers are slow or away: repeat it after the time named; `seawall status` names them";
        let expected = "a running promise of every sync member";
        Refusal::new(Code::LeaseUnproven, "route.lease", expected, missing, hint).after(retry_after_ms)
    }
}

/// 3xx: nothing was appended, and what could be read is not fresh enough.
impl Refusal {
    /// NOT_CAUGHT_UP: `applied` is below `need`; `eta_ms` is a guess at when it will be reached.
    pub fn not_caught_up(applied: Position, need: Position, eta_ms: Option<u32>) -> Refusal {
        let hint = match eta_ms {
            Some(ms) => Text::from(format!("ask the leader, or this replica again in about {ms} ms")),
            None => Text::from("ask the leader: when this replica will have caught up is not known"),
        };
        let (need, observed) = (format!("applied {need}"), format!("applied {applied}"));
        Refusal::new(Code::NotCaughtUp, "read.token", need, observed, hint).with(Detail::Position(applied))
    }

    /// STALE_BOUND: the proof is older than the bound, or there is none.
    pub fn stale_bound(have_ms: Option<u32>, bound_ms: u32) -> Refusal {
        let hint = "ask the leader, or allow more staleness";
        let observed = have_ms.map_or(Text::from("not proven"), |ms| format!("{ms} ms").into());
        Refusal::new(Code::StaleBound, "read.staleness", format!("at most {bound_ms} ms"), observed, hint)
    }

    /// TOKEN_LOST_HISTORY: what `token` names is not in this history, which agrees with it up to `fork`.
    pub fn token_lost_history(token: Position, fork: Position) -> Refusal {
        let hint =
            "what this token names was lost in a failover or a restore: read again without it, and see docs";
        let observed = format!("this history goes on from {fork} without it");
        Refusal::new(
            Code::TokenLostHistory,
            "read.history",
            format!("a history with {token}"),
            observed,
            hint,
        )
        .with(Detail::Position(fork))
    }

    /// LINEAGE_MISMATCH: the token was given out by another history than the one with the tag `ours`.
    pub fn foreign_token(ours: u32, theirs: u32) -> Refusal {
        let hint = "this is another cluster, or a restored one: check the address, and drop old tokens";
        let (expected, observed) =
            (format!("a token of lineage {ours:08x}"), format!("lineage {theirs:08x}"));
        Refusal::new(Code::LineageMismatch, "read.lineage", expected, observed, hint)
    }

    /// COMPACTED: what is kept begins at `oldest`; `asked` for was something before it.
    pub fn compacted(asked: impl Into<Text>, oldest: Position) -> Refusal {
        let hint = "changes before the oldest are gone: scan the rows, then watch from the scan's token";
        let expected = format!("at or behind {oldest}, the oldest that is kept");
        Refusal::new(Code::Compacted, "watch.retention", expected, asked, hint).with(Detail::Position(oldest))
    }

    /// CURSOR_LOST: what follows `at`, where the cursor stands, is not kept; what is begins at `oldest`.
    pub fn cursor_lost(cursor: &str, at: Position, oldest: Position) -> Refusal {
        let hint =
            "what happened between is gone: scan the rows, watch from the scan's token, and acknowledge that";
        let expected = format!("a cursor at or behind {oldest}, the oldest that is kept");
        let observed = format!("{cursor} at {at}");
        Refusal::new(Code::CursorLost, "watch.retention", expected, observed, hint)
            .with(Detail::Position(oldest))
    }

    /// CURSOR_UNKNOWN: there is no cursor of this name.
    pub fn cursor_unknown(cursor: &str) -> Refusal {
        let hint =
            "watch from a token, the oldest or now, and acknowledge what was dealt with under this name";
        let expected = "a name under which something of this partition or shard was acknowledged";
        Refusal::new(Code::CursorUnknown, "watch.cursor", expected, cursor.to_owned(), hint)
    }

    /// REPLICA_UNSAFE: its `state` serves no reads, by `rule`.
    pub fn replica_unsafe(rule: &'static str, state: impl Into<Text>) -> Refusal {
        let hint = "ask another replica; `seawall status` shows what this one waits for";
        Refusal::new(Code::ReplicaUnsafe, rule, "a replica that is safe to read", state, hint)
    }

    /// CLOCK_UNTRUSTED: the clock is off by more than is believed.
    pub fn clock_untrusted(expected: impl Into<Text>, observed: impl Into<Text>) -> Refusal {
        let hint =
            "set the clock of the node right, or accept it as it is: POST /v1/clock/accept on its admin port";
        Refusal::new(Code::ClockUntrusted, "clock.jump", expected, observed, hint)
    }
}
