//! The named numbers of a node. Each says what moving it does.

/// Requests of one connection that may wait for their replies; beyond it the node stops reading from it.
/// More lets a deeper pipeline fill a batch, at the price of memory per connection.
pub const CONNECTION_REQUESTS: usize = 4096;

/// Bytes of replies that may wait for a connection whose client does not read; beyond it the node stops reading
/// from it, so a client that never reads costs this much and no more.
pub const CONNECTION_OUTPUT: usize = 1 << 20;

/// Bytes of a connection's receive buffer once it said HELLO. A larger frame grows it for as long as it lasts.
pub const CONNECTION_INPUT: usize = 32 << 10;

/// Time to say HELLO, and to take the last replies when the node stops.
pub const HANDSHAKE_US: u64 = 10_000_000;
pub const STOP_US: u64 = 5_000_000;

/// Commits that may wait for room in the log, in number and in bytes; beyond it they are THROTTLED. They wait only
/// while every buffer of the log is being written.
pub const PARKED_COMMITS: usize = 1024;
pub const PARKED_BYTES: usize = 8 << 20;

/// Requests that a worker may have under way at one other worker; also the size of the mailbox between them.
pub const MAILBOX: usize = 1024;

/// What a refused client is told to wait: for a queue, for recovery, for disk space.
pub const RETRY_QUEUE_MS: u32 = 10;
pub const RETRY_RECOVERY_MS: u32 = 100;
pub const RETRY_SPACE_MS: u32 = 1000;

/// Time between two attempts to prepare a segment after one failed.
pub const PREPARE_RETRY_US: u64 = 1_000_000;

// A parked commit must be able to be as large as any commit.
const _: () = assert!(PARKED_BYTES >= 2 * seawall::limits::COMMIT_MAX);
const _: () = assert!(CONNECTION_OUTPUT >= 2 * seawall::limits::ROW_MAX);
