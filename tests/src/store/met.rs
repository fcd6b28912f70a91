//! What the runs of plan shard came past: each operation, each check, held and failed, each code and each status. A
//! plan that never meets one of them tests nothing there, and says so.

use seawall::Code;
use seawall::message::CommitRequest;
use seawall::refusal::{Detail, Refusal};

use crate::run::Counts;

#[derive(Debug)]
pub struct Met(pub Counts);

/// Operations that were done, checks that held, and rules of checks that failed.
const COMMITS: &[&str] = &[
    "PUT",
    "DELETE",
    "MERGE",
    "ADD",
    "MAX",
    "MIN",
    "SET_ADD",
    "SET_REMOVE",
    "APPEND",
    "LEASE_ACQUIRE",
    "LEASE_RENEW",
    "LEASE_RELEASE",
    "EVENT",
    "EXISTS",
    "ABSENT",
    "COMPARE",
    "STATE_IN",
    "LEASE_HELD",
    "check.exists",
    "check.absent",
    "check.compare",
    "check.state_in",
    "check.lease_held",
];

/// Rules of operations that failed.
const OPERATIONS: &[&str] = &[
    "lease.free",
    "lease.held",
    "add.floor",
    "add.ceiling",
    "add.kind",
    "add.overflow",
    "max.kind",
    "min.kind",
    "set.kind",
    "stream.next",
];

/// Every code that a node can give so far. Those that need more clients than these worlds have are missing:
/// THROTTLED, whose queues are longer.
pub const CODES: &[Code] = &[
    Code::StaleGeneration,
    Code::GenerationAhead,
    Code::ConditionFailed,
    Code::Constraint,
    Code::LeaseLost,
    Code::KeyAborted,
    Code::KeyReused,
    Code::KeyExpired,
    Code::ClockUntrusted,
    Code::DurabilityUnavailable,
    Code::DiskFull,
    Code::LogFailed,
    Code::DeadlineBeforeAppend,
    Code::Quota,
    Code::Unauthenticated,
    Code::NotReady,
    Code::BadFrame,
    Code::UnsupportedVersion,
    Code::TooLarge,
];

const STATUSES: &[&str] = &["COMMITTED", "REJECTED", "ABORTED", "UNSEEN", "EXPIRED"];

const ROOMS: &[&str] = &[
    "outcome replayed",
    "rejection replayed",
    "row shown",
    "expired",
    "outcome forgotten",
    "checkpoint compared",
    "row read",
    "absence read",
];

impl Met {
    /// Nothing so far, of everything that there is.
    pub fn names() -> Counts {
        let codes: Vec<_> = CODES.iter().map(|code| code.name()).collect();
        Counts::new(&[COMMITS, OPERATIONS, &codes, STATUSES, ROOMS].concat())
    }

    pub fn count(&mut self, name: &'static str) {
        self.0.add(name, 1);
    }

    pub fn code(&mut self, code: Code) {
        if CODES.contains(&code) {
            self.count(code.name());
        }
    }

    pub fn done(&mut self, commit: &CommitRequest<'_>) {
        commit.ops.iter().for_each(|op| self.count(op.name()));
        commit.checks.iter().for_each(|check| self.count(check.name()));
    }

    pub fn failed(&mut self, commit: &CommitRequest<'_>, why: &Refusal) {
        if let Detail::Check { ordinal, .. } = &why.reason.detail {
            commit.checks.iter().skip(*ordinal).take(1).for_each(|check| self.count(check.rule()));
        } else if let Some(rule) = OPERATIONS.iter().find(|rule| **rule == why.reason.rule) {
            self.count(rule);
        }
        if let Detail::Check { row: Some(_), .. } | Detail::Operation { row: Some(_), .. } =
            &why.reason.detail
        {
            self.count("row shown");
        }
    }
}
