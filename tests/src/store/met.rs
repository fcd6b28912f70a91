//! What the runs of plan shard came past: each operation, each check, held and failed, each read, each code and each
//! status. A plan that never meets one of them tests nothing there, and says so.

use seawall::Code;
use seawall::message::CommitRequest;
use seawall::message::scan::Order;
use seawall::refusal::{Detail, Refusal};

use super::history::{Keys, Scan};
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

/// Rules of operations that failed, and of tables that would have been broken.
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
    "table.strict",
    "table.kind",
    "table.required",
    "table.index_kind",
    "table.append_only",
    "table.transitions",
    "table.unique",
    "table.sum_zero",
];

/// Who meets a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The runs of this plan.
    Runs,
    /// `node/tests/every_refusal.rs`: these worlds ask for nothing that is answered so.
    Node,
    /// The client library: no frame can ask for it.
    Client,
    /// Nobody yet: it takes more than one replica.
    Replication,
    /// Nobody yet: it takes roles or projections, which are not built.
    NotBuilt,
}

/// Every code has its place here: a new one does not build before it has.
pub const fn by(code: Code) -> By {
    match code {
        Code::StaleGeneration
        | Code::GenerationAhead
        | Code::ConditionFailed
        | Code::InvalidTransition
        | Code::Constraint
        | Code::LeaseLost
        | Code::KeyAborted
        | Code::KeyReused
        | Code::KeyExpired
        | Code::NotCaughtUp
        | Code::TokenLostHistory
        | Code::Compacted
        | Code::ClockUntrusted
        | Code::DurabilityUnavailable
        | Code::DurabilityTimeout
        | Code::DiskFull
        | Code::LogFailed
        | Code::Throttled
        | Code::DeadlineBeforeAppend
        | Code::Quota
        | Code::Unauthenticated
        | Code::NotReady
        | Code::CasFailed
        | Code::BadFrame
        | Code::TooLarge => By::Runs,
        // Its clients acknowledge nothing.
        Code::UnsupportedVersion | Code::CursorLost | Code::CursorUnknown => By::Node,
        Code::CrossPartition => By::Client,
        // Another leader, another epoch, a follower's state, a lost leadership: one replica has none of these.
        Code::NotLeader
        | Code::FencedEpoch
        | Code::UnknownEpoch
        | Code::ShardMoving
        | Code::LeaseUnproven
        | Code::ReplicaUnsafe
        | Code::LeadershipLost
        | Code::PromoteRefused
        // One replica that serves is proven to be the newest.
        | Code::StaleBound
        // Damage is said to other replicas; a node alone halts and is NOT_READY.
        | Code::Checksum
        | Code::Continuity
        | Code::SnapshotLogMismatch
        | Code::CorruptMetadata
        | Code::LineageMismatch => By::Replication,
        Code::Denied | Code::ProjectionReadonly => By::NotBuilt,
    }
}

const STATUSES: &[&str] = &["COMMITTED", "REJECTED", "ABORTED", "IN_FLIGHT", "UNSEEN", "EXPIRED", "LOST"];

const READS: &[&str] = &[
    "LINEARIZABLE",
    "SESSION",
    "MAX_STALENESS",
    "row read",
    "absence read",
    "MULTI_GET",
    "SCAN",
    "SCAN_INDEX",
    "all keys",
    "prefix",
    "range",
    "descending",
    "empty page",
    "page behind another",
    "DECLARE",
    "declaration refused for a row",
    "declaration shown",
    "no declaration",
    "report, complete",
    "report, incomplete",
    "outcome traced",
];

const STREAMS: &[&str] = &[
    "SUBSCRIBE",
    "CREDIT",
    "CANCEL",
    "put told",
    "deletion told",
    "expiry told",
    "event told",
    "progress told",
    "epoch told",
    "stream ended",
];

const ROOMS: &[&str] = &[
    "COMMIT_MANY over two shards",
    "outcome replayed",
    "rejection replayed",
    "row shown",
    "expired",
    "outcome forgotten",
    "checkpoint compared",
];

impl Met {
    /// Nothing so far, of everything that there is.
    pub fn names() -> Counts {
        let codes = Code::ALL.iter().filter(|code| by(**code) == By::Runs).map(|code| code.name());
        let codes: Vec<_> = codes.collect();
        Counts::new(&[COMMITS, OPERATIONS, &codes, STATUSES, READS, STREAMS, ROOMS].concat())
    }

    pub fn count(&mut self, name: &'static str) {
        self.0.add(name, 1);
    }

    pub fn code(&mut self, code: Code) {
        if by(code) == By::Runs {
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

    pub fn page(&mut self, scan: &Scan, rows: usize) {
        self.count(if scan.index.is_some() { "SCAN_INDEX" } else { "SCAN" });
        self.count(match scan.keys {
            Keys::All => "all keys",
            Keys::Prefix(_) => "prefix",
            Keys::Range(..) => "range",
        });
        let also = [
            (scan.order == Order::Descending, "descending"),
            (rows == 0, "empty page"),
            (scan.behind.is_some(), "page behind another"),
        ];
        also.into_iter().filter(|(so, _)| *so).for_each(|(_, name)| self.count(name));
    }
}
