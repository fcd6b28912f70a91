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

/// Connections of a worker that may be without HELLO at once; one more, and the oldest of them gives way, so sockets
/// that only lie there keep nobody out. More bears larger storms of clients that come back at once.
pub const STRANGERS: usize = 1024;

/// Time for a frame to arrive whole once its front is there, and for a client to take anything at all of what it is
/// owed. Shorter: places are free sooner; longer: worse networks are borne.
pub const FRAME_US: u64 = 60_000_000;
pub const STALL_US: u64 = 60_000_000;

/// Bytes of receive buffers that a worker may have beyond [`CONNECTION_INPUT`] for each connection: large frames that
/// are still arriving. Beyond it a large frame is read on when others have arrived.
pub const LARGE_INPUT: usize = 256 << 20;

/// Commits that may wait for room in the log, in number and in bytes; beyond it they are THROTTLED. They wait only
/// while every buffer of the log is being written.
pub const PARKED_COMMITS: usize = 1024;
pub const PARKED_BYTES: usize = 8 << 20;

/// Requests that a worker may have under way at one other worker.
pub const MAILBOX: usize = 1024;

/// What a refused client is told to wait: for a queue, for recovery, for disk space.
pub const RETRY_QUEUE_MS: u32 = 10;
pub const RETRY_RECOVERY_MS: u32 = 100;
pub const RETRY_SPACE_MS: u32 = 1000;

/// And for members that are missing, for a quota.
pub const RETRY_MEMBERS_MS: u32 = 1000;
pub const RETRY_QUOTA_MS: u32 = 1000;

/// Bytes of state that a shard may hold. More holds more rows; together the shards of a node must fit into its
/// memory, since all rows are resident.
pub const SHARD_MEMORY_BYTES: u64 = 4 << 30;

/// Outcomes under request keys that a namespace may have in one shard, about 300 bytes of memory each. Fewer bound
/// the rate of keyed commits: this many in [`KEY_RETENTION_US`], but for sessions, which forget their oldest.
pub const NAMESPACE_KEYS: u64 = 4_000_000;

/// How long an outcome is remembered after its key was first sent. Longer: later retries are safe, more memory.
pub const KEY_RETENTION_US: u64 = 24 * 3600 * 1_000_000;

/// How far ahead of the leader's time a key may be born. Less refuses clients that learnt the time from a node whose
/// clock is a little ahead; more keeps outcomes of wrong clocks longer than asked for.
pub const KEY_AHEAD_US: u64 = 60_000_000;

/// Outcomes of a session that are kept; see docs/protocol.md. What falls behind is removed at most so many at a time,
/// by the commits that follow.
pub const SESSION_OUTCOMES: u64 = 1024;
pub const SESSION_SWEEP: usize = 8;

/// Removals in one record of expiry, and such records at one tick. More end faster what ended together, and delay
/// the commits of that moment.
pub const EXPIRY_BATCH: usize = 256;
pub const EXPIRY_RECORDS: usize = 16;

/// Rows that end together are removed over this time. Longer: smaller bursts, rows that outlive their ttl longer.
pub const EXPIRY_SPREAD_US: u64 = 1_000_000;

/// How far the wall clock may be from the log's time before nothing is decided by it any more, and how fast the log's
/// time nears it: CLOCK_SLEW_PPM microseconds a second, at most every CLOCK_SLEW_STEP_US. A larger gap bears worse
/// clocks; ttls and first times of keys are wrong by as much.
pub const CLOCK_GAP_US: u64 = 10_000_000;
pub const CLOCK_SLEW_PPM: u64 = 500;
pub const CLOCK_SLEW_STEP_US: u64 = 10_000;

/// How long a log is idle before a fence proves its last batch durable. Shorter: a smaller window in which damage
/// to the last commits cannot be told from a torn write; more fences when commits are rare.
pub const FENCE_IDLE_US: u64 = 100_000;

/// Time between two attempts to prepare a segment after one failed.
pub const PREPARE_RETRY_US: u64 = 1_000_000;

/// Time between two attempts to make a checkpoint after one failed: each reads whole segments before it can fail.
pub const FOLD_RETRY_US: u64 = 60_000_000;

// The driver and the services.

/// Time between two `Tick` events of a worker. Smaller: timeouts are noticed sooner, an idle node wakes more often.
pub const TICK_MS: u64 = 100;

/// Connections that one worker serves at once; accepting pauses beyond it. Each costs one slot here and at most
/// two operations in the ring.
pub const CONNECTIONS_PER_WORKER: u32 = 4096;

/// Entries of a worker's submission queue. A turn that needs more pays one more enter for each time it fills.
pub const SUBMISSION_ENTRIES: u32 = 1024;

/// Log operations that one shard may have under way; bounds its share of the completion queue, or of the queues to
/// and from the threads of the syscall driver.
pub const LOG_OPERATIONS_PER_SHARD: u32 = 64;

/// Slots of a shard's pool that can be open at once: 256 GiB of log at 64 MiB a slot. A higher number costs eight
/// bytes a slot in the ring's file table.
pub const SLOTS_PER_SHARD: u32 = 4096;

/// Bytes of one write while a slot is filled with zeros. Larger: fewer, longer interruptions of the log's own writes.
pub const ZERO_FILL_BYTES: usize = 1 << 20;

/// Places in the mailbox of one ordered pair of workers: its requests one way, its replies to the other's, its stream
/// frames, what it took of the other's, and its good-bye.
pub const MAILBOX_LETTERS: usize = 2 * MAILBOX + 2 * STREAM_LETTERS + 1;

/// Questions and orders from the service plane that may wait for one worker.
pub const CONTROL_PLACES: usize = 64;

/// How long a start waits for the port and the lock of a process that is just going away.
pub const START_PATIENCE_MS: u64 = 2_000;

/// How long a worker waits, after its last shard stopped, for the kernel to give its operations back.
pub const DRAIN_TICKS: u32 = 50;

/// Clients that may wait in the kernel for their turn to be accepted.
pub const BACKLOG: i32 = 1024;

/// Connections of the admin port at once.
pub const ADMIN_CONNECTIONS: usize = 64;

/// How long an admin client may take to send the head of its request, and a whole connection may last idle.
pub const ADMIN_HEADER_MS: u64 = 5_000;

/// How long the admin port waits for a worker's answer before it calls it unresponsive.
pub const ADMIN_ASK_MS: u64 = 1_000;

// A parked commit must be able to be as large as any commit.
const _: () = assert!(PARKED_BYTES >= 2 * seawall::limits::COMMIT_MAX);
// A key that was born by the wall clock of HELLO is not of the future.
const _: () = assert!(KEY_AHEAD_US > CLOCK_GAP_US);
// A frame that waits for room is read on before it is given up.
const _: () = assert!(LARGE_INPUT >= 2 * seawall::limits::REQUEST_BODY_MAX);
const _: () = assert!(SESSION_SWEEP > 1, "a session forgets faster than it grows");
const _: () = assert!(CONNECTION_OUTPUT >= 2 * seawall::limits::ROW_MAX);
const _: () = assert!(ZERO_FILL_BYTES.is_multiple_of(seawall_wal::BLOCK));
const _: () = assert!(MAILBOX_LETTERS > 2 * (MAILBOX + STREAM_LETTERS), "a reply must always find a place");
const _: () =
    assert!(SUBMISSION_ENTRIES.is_power_of_two() && SUBMISSION_ENTRIES >= 2, "a linked pair must fit");

/// Places in the completion queue of a worker: the sum of everything that can be under way, so that it cannot
/// overflow but by a burst of accepts, which the kernel keeps aside (NODROP).
pub const fn completion_entries(shards: u32) -> u32 {
    let sockets = 2 * CONNECTIONS_PER_WORKER; // one receive and one send each
    let logs = 2 * LOG_OPERATIONS_PER_SHARD * shards; // a write and its linked flush
    let own = 4 + 256; // accept, bell, tick, cancel; and room for accepted connections
    (sockets + logs + own).next_power_of_two()
}

/// Bytes that a fold reads or writes at once.
pub const FOLD_BUFFER_BYTES: usize = 1 << 20;

/// Bytes that a fold writes between two flushes. Larger: fewer flushes, and a commit that comes just then waits longer.
pub const FOLD_FLUSH_BYTES: usize = 4 << 20;

/// Rows that a DECLARE may look at before it is accepted. It does so at once, so more would hold the shard up: about
/// a tenth of a second.
pub const DECLARE_ROWS: usize = 100_000;

/// Reads that may wait for what their token names, in number and in bytes; beyond it they are THROTTLED.
pub const WAITING_READS: usize = 1024;
pub const WAITING_READS_BYTES: usize = 4 << 20;

/// Subscriptions of one connection, and of one shard; beyond it they are THROTTLED. Each costs some hundred bytes: what
/// it has not been told stays in the log's memory and is read from there when credit comes.
pub const SUBSCRIPTIONS_PER_CONNECTION: usize = 64;
pub const SUBSCRIPTIONS_PER_SHARD: usize = 4096;

/// Bytes of changes after which a stream frame ends; the changes of its last record are never cut in two.
pub const STREAM_FRAME_BYTES: usize = 64 << 10;

/// Records that one subscription may look at in one turn. More: fewer turns to catch up, and longer ones.
pub const STREAM_RECORDS: usize = 4096;

/// How long a stream with credit is silent before it says how far it is.
pub const PROGRESS_US: u64 = 1_000_000;

/// Stream frames that a worker may have under way to connections of one other worker.
pub const STREAM_LETTERS: usize = 64;
