//! The closed table of everything that can go wrong, and what each of it means for the request.

use std::fmt;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// Nothing was appended for this frame.
    None = 0,
    /// It happened, and will not be undone.
    Committed = 1,
    /// It was decided, and the decision is no.
    Rejected = 2,
    /// It may have happened, or may yet happen.
    Unknown = 3,
}

/// What a client may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Retry {
    /// Repeating it changes nothing.
    Never = 0,
    /// Send the same content again, with the same request key.
    SameKeyNow = 1,
    /// The same, after the milliseconds that the reply names.
    SameKeyAfter = 2,
    /// Say HELLO again, learn the generation, then send it again.
    RefreshMap = 3,
    /// Ask another replica.
    OtherReplica = 4,
}

impl Outcome {
    pub(crate) fn from_u8(number: u8) -> Option<Outcome> {
        [Outcome::None, Outcome::Committed, Outcome::Rejected, Outcome::Unknown]
            .into_iter()
            .find(|outcome| *outcome as u8 == number)
    }
}

impl Retry {
    pub(crate) fn from_u8(number: u8) -> Option<Retry> {
        [Retry::Never, Retry::SameKeyNow, Retry::SameKeyAfter, Retry::RefreshMap, Retry::OtherReplica]
            .into_iter()
            .find(|retry| *retry as u8 == number)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::None => "none",
            Outcome::Committed => "committed",
            Outcome::Rejected => "rejected",
            Outcome::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Retry::Never => "never",
            Retry::SameKeyNow => "same key now",
            Retry::SameKeyAfter => "same key after a while",
            Retry::RefreshMap => "refresh the map",
            Retry::OtherReplica => "another replica",
        })
    }
}

/// One row a code: a code without its meaning cannot be written.
macro_rules! codes {
    ($($variant:ident = $number:literal $name:literal $outcome:ident $retry:ident $meaning:literal)*) => {
        /// Why a request was refused or rejected. The numbers are frozen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Code { $(#[doc = $meaning] $variant = $number,)* }

        impl Code {
            /// All of them, by number.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code of a number.
            pub const fn from_u16(number: u16) -> Option<Code> {
                match number { $($number => Some(Code::$variant),)* _ => None }
            }

            /// The name, as documents and people write it.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// What the code says about the request. LOG_FAILED alone can say less; see [`Refusal`](super::Refusal).
            pub const fn outcome(self) -> Outcome {
                match self { $(Code::$variant => Outcome::$outcome,)* }
            }

            /// What a client may do next.
            pub const fn retry(self) -> Retry {
                match self { $(Code::$variant => Retry::$retry,)* }
            }

            /// The code in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    StaleGeneration       = 101 "STALE_GENERATION"        None     RefreshMap   "The request acts on an older partition map."
    GenerationAhead       = 102 "GENERATION_AHEAD"        None     SameKeyAfter "The request acts on a partition map that this node has not seen yet."
    NotLeader             = 103 "NOT_LEADER"              None     OtherReplica "This node does not lead the shard."
    FencedEpoch           = 104 "FENCED_EPOCH"            None     RefreshMap   "A newer leader has fenced this epoch."
    UnknownEpoch          = 105 "UNKNOWN_EPOCH"           None     SameKeyAfter "The request names an epoch that this node has not seen yet."
    ShardMoving           = 106 "SHARD_MOVING"            None     SameKeyAfter "The shard is on its way to another node."
    LeaseUnproven         = 107 "LEASE_UNPROVEN"          None     SameKeyAfter "The leader cannot prove right now that it still leads."
    ConditionFailed       = 201 "CONDITION_FAILED"        Rejected Never        "A check of the commit does not hold."
    InvalidTransition     = 202 "INVALID_TRANSITION"      Rejected Never        "The declared states do not allow this change."
    Constraint            = 203 "CONSTRAINT"              Rejected Never        "A declared constraint or a bound would be broken."
    LeaseLost             = 204 "LEASE_LOST"              Rejected Never        "The row lease is not held any more."
    KeyAborted            = 205 "KEY_ABORTED"             Rejected Never        "The request key was resolved before this request arrived."
    KeyReused             = 206 "KEY_REUSED"              None     Never        "The request key belongs to another content."
    CrossPartition        = 207 "CROSS_PARTITION"         None     Never        "A commit names more than one partition."
    KeyExpired            = 208 "KEY_EXPIRED"             Unknown  Never        "The request key is older than the memory of outcomes."
    NotCaughtUp           = 301 "NOT_CAUGHT_UP"           None     OtherReplica "This replica has not applied what the token names."
    StaleBound            = 302 "STALE_BOUND"             None     OtherReplica "This replica cannot prove to be as fresh as asked."
    TokenLostHistory      = 303 "TOKEN_LOST_HISTORY"      None     Never        "The token names a history that was lost."
    Compacted             = 304 "COMPACTED"               None     Never        "What was asked for is older than what is kept."
    ReplicaUnsafe         = 305 "REPLICA_UNSAFE"          None     OtherReplica "This replica is in a state that serves no reads."
    ClockUntrusted        = 306 "CLOCK_UNTRUSTED"         None     OtherReplica "The clock of this node jumped or stood still."
    CursorLost            = 307 "CURSOR_LOST"             None     Never        "What follows the position of the cursor is not kept any more."
    CursorUnknown         = 308 "CURSOR_UNKNOWN"          None     Never        "Nothing was acknowledged under this name."
    DurabilityUnavailable = 401 "DURABILITY_UNAVAILABLE"  None     SameKeyAfter "Too few replicas are there for the durability asked for."
    DiskFull              = 402 "DISK_FULL"               None     SameKeyAfter "The log has no room for another record."
    LogFailed             = 403 "LOG_FAILED"              Unknown  OtherReplica "A write or flush of the log failed; the log is closed until recovery."
    DurabilityTimeout     = 404 "DURABILITY_TIMEOUT"      Unknown  SameKeyNow   "The record was not durable everywhere in time."
    LeadershipLost        = 405 "LEADERSHIP_LOST"         Unknown  RefreshMap   "Leadership was lost while the record was on its way."
    Checksum              = 501 "CHECKSUM"                None     OtherReplica "Stored bytes do not match their checksum."
    Continuity            = 502 "CONTINUITY"              None     OtherReplica "The log has a gap or goes backwards."
    SnapshotLogMismatch   = 503 "SNAPSHOT_LOG_MISMATCH"   None     OtherReplica "Checkpoint and log do not belong together."
    CorruptMetadata       = 504 "CORRUPT_METADATA"        None     OtherReplica "The node's own metadata cannot be believed."
    LineageMismatch       = 505 "LINEAGE_MISMATCH"        None     Never        "Two histories that have nothing to do with each other met."
    Throttled             = 601 "THROTTLED"               None     SameKeyAfter "A queue is full."
    DeadlineBeforeAppend  = 602 "DEADLINE_BEFORE_APPEND"  None     SameKeyNow   "The deadline passed before anything was appended."
    Quota                 = 603 "QUOTA"                   None     SameKeyAfter "The namespace has used up its share."
    Unauthenticated       = 701 "UNAUTHENTICATED"         None     Never        "The connection has not said who it is."
    Denied                = 702 "DENIED"                  None     Never        "The identity may not do this."
    ProjectionReadonly    = 703 "PROJECTION_READONLY"     None     Never        "A projection cannot be written to."
    PromoteRefused        = 801 "PROMOTE_REFUSED"         None     Never        "A check of the promotion does not hold."
    NotReady              = 802 "NOT_READY"               None     SameKeyAfter "The node or the shard is still starting, or is stopping."
    CasFailed             = 803 "CAS_FAILED"              None     Never        "Somebody else changed it first."
    BadFrame              = 901 "BAD_FRAME"               None     Never        "The frame, or what it asks for, makes no sense here."
    UnsupportedVersion    = 902 "UNSUPPORTED_VERSION"     None     Never        "The bytes need a newer or older reader."
    TooLarge              = 903 "TOO_LARGE"               None     Never        "Something is over its limit."
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
