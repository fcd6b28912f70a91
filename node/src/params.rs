//! The numbers of a node, each with the effect of moving it. Relations among them are asserted here.

/// Time between two `Tick` events of a worker. Smaller: timeouts are noticed sooner, an idle node wakes more often.
pub const TICK_MS: u64 = 100;

/// Connections that one worker serves at once; accepting pauses beyond it. Each costs one slot here and at most
/// two operations in the ring.
pub const CONNECTIONS_PER_WORKER: u32 = 4096;

/// Entries of a worker's submission queue. A turn that needs more pays one more enter for each time it fills.
pub const SUBMISSION_ENTRIES: u32 = 1024;

/// Log operations that one shard may have under way; bounds its share of the completion queue.
pub const LOG_OPERATIONS_PER_SHARD: u32 = 64;

/// Slots of a shard's pool that can be open at once: 256 GiB of log at 64 MiB a slot. A higher number costs eight
/// bytes a slot in the ring's file table.
pub const SLOTS_PER_SHARD: u32 = 4096;

/// Bytes of one write while a slot is filled with zeros. Larger: fewer, longer interruptions of the log's own writes.
pub const ZERO_FILL_BYTES: usize = 1 << 20;

/// Requests that one worker may have under way at one other worker.
pub const REQUESTS_AWAY: usize = 1024;

/// Places in the mailbox of one ordered pair of workers: its requests one way, and its replies to the other's.
pub const MAILBOX_LETTERS: usize = 2 * REQUESTS_AWAY;

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

const _: () = assert!(ZERO_FILL_BYTES.is_multiple_of(seawall_wal::BLOCK));
const _: () = assert!(MAILBOX_LETTERS >= 2 * REQUESTS_AWAY, "a reply must always find a place");
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
