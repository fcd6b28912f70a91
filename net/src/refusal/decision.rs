//! Refusals of the group 2xx: decisions on a commit, and on its request key.

use super::{Code, Detail, Refusal, Text};
use crate::message::check::Check;
use crate::message::request_key::Fingerprint;
use crate::position::Position;

fn check(ordinal: usize) -> Detail {
    Detail::Check { ordinal, row: None }
}

fn operation(ordinal: usize) -> Detail {
    Detail::Operation { ordinal, row: None }
}

/// 2xx: most of them are outcomes, and are remembered like a success. A caller who tries again takes a new key.
impl Refusal {
    /// CONDITION_FAILED: check `ordinal` does not hold.
    pub fn condition_failed(
        ordinal: usize,
        failed: &Check<'_>,
        expected: impl Into<Text>,
        observed: impl Into<Text>,
    ) -> Refusal {
        let hint = "read what is there now, decide again, and send it under a new request key";
        Refusal::new(Code::ConditionFailed, failed.rule(), expected, observed, hint).with(check(ordinal))
    }

    /// CONDITION_FAILED: operation `ordinal` acquires a lease that somebody holds.
    pub fn lease_taken(ordinal: usize, token: Position, left_ms: u64) -> Refusal {
        let hint = "wait until it ends or is given back, and send it under a new request key";
        let observed = format!("held under token {token} for {left_ms} ms more");
        Refusal::new(Code::ConditionFailed, "lease.free", "a lease that nobody holds", observed, hint)
            .with(operation(ordinal))
    }

    /// INVALID_TRANSITION: operation `ordinal` changes a declared state in a way that is not allowed.
    pub fn invalid_transition(
        ordinal: usize,
        field: &str,
        allowed: impl Into<Text>,
        from: impl std::fmt::Display,
        to: impl std::fmt::Display,
    ) -> Refusal {
        let hint = "read the state that is there now; DESCRIBE shows the transitions of the table";
        let observed = format!("{field}: {from} to {to}");
        Refusal::new(Code::InvalidTransition, "table.transitions", allowed, observed, hint)
            .with(operation(ordinal))
    }

    /// CONSTRAINT: operation `ordinal` would break `rule`, a bound or something declared.
    pub fn constraint(
        ordinal: usize,
        rule: &'static str,
        expected: impl Into<Text>,
        observed: impl Into<Text>,
    ) -> Refusal {
        let hint = "change the commit, and send it under a new request key; DESCRIBE shows what is declared";
        Refusal::new(Code::Constraint, rule, expected, observed, hint).with(operation(ordinal))
    }

    /// CONSTRAINT: a row that is there does not fit a declaration.
    pub fn row_does_not_fit(
        rule: &'static str,
        row: Detail,
        expected: impl Into<Text>,
        observed: impl Into<Text>,
    ) -> Refusal {
        let hint = "repair the row that is named, then declare again; nothing was declared";
        Refusal::new(Code::Constraint, rule, expected, observed, hint).with(row)
    }

    /// LEASE_LOST: check `ordinal` rests on a lease that is not held.
    pub fn lease_lost_in_check(ordinal: usize, token: Position, observed: impl Into<Text>) -> Refusal {
        lease_lost(token, observed).with(check(ordinal))
    }

    /// LEASE_LOST: operation `ordinal` renews or releases a lease that is not held.
    pub fn lease_lost_in_operation(ordinal: usize, token: Position, observed: impl Into<Text>) -> Refusal {
        lease_lost(token, observed).with(operation(ordinal))
    }

    /// KEY_ABORTED: a RESOLVE at `at` came first.
    pub fn key_aborted(at: Position) -> Refusal {
        let hint =
            "it was not done and never will be under this key: send it under a new one if it still should be";
        let observed = format!("resolved at {at}");
        Refusal::new(Code::KeyAborted, "request_key.open", "a key that nobody resolved", observed, hint)
    }

    /// KEY_REUSED: the key was sent with another content.
    pub fn key_reused(stored: Fingerprint, sent: Fingerprint) -> Refusal {
        let hint = "take a new key for a new request; a retry repeats every byte of the content";
        let (stored, sent) = (format!("content {stored}"), format!("content {sent}"));
        Refusal::new(Code::KeyReused, "request_key.fingerprint", stored, sent, hint)
    }

    /// CROSS_PARTITION: a commit has one partition.
    pub fn cross_partition(one: impl Into<Text>, other: impl Into<Text>) -> Refusal {
        let hint = "put what must hold together into one partition, or make a saga of several commits";
        Refusal::new(Code::CrossPartition, "commit.partition", one, other, hint)
    }

    /// KEY_EXPIRED: outcomes that old are forgotten, so nobody knows whether it happened.
    pub fn key_expired(horizon_us: i64, first_sent_us: i64) -> Refusal {
        let hint = "read the rows to learn whether it happened, and send it under another key if it did not; a row of its own \
                    remembers for ever";
        let (horizon, born) = (crate::Value::Time(horizon_us), crate::Value::Time(first_sent_us));
        let (expected, observed) = (format!("first sent after {horizon}"), format!("first sent at {born}"));
        Refusal::new(Code::KeyExpired, "request_key.retention", expected, observed, hint)
    }

    /// KEY_EXPIRED: the shard keeps the last outcomes of a session, and this one is before them.
    pub fn sequence_expired(oldest: u64, sequence: u64) -> Refusal {
        let hint = "read the rows to learn whether it happened, and send it under another key if it did not; keep fewer requests \
                    of a session under way";
        let (expected, observed) = (format!("sequence {oldest} or later"), format!("sequence {sequence}"));
        Refusal::new(Code::KeyExpired, "request_key.session", expected, observed, hint)
    }
}

fn lease_lost(token: Position, observed: impl Into<Text>) -> Refusal {
    let hint = "stop what the lease protects; acquire it again if it is still needed";
    Refusal::new(Code::LeaseLost, "lease.held", format!("held under token {token}"), observed, hint)
}
