//! What parameters must be to each other, whatever each of them is by itself, checked when this is compiled; and what
//! follows from them.

use super::*;

// A parked commit must be able to be as large as any commit.
const _: () = assert!(PARKED_BYTES >= 2 * seawall::limits::COMMIT_MAX);
// A key that was born by the wall clock of HELLO is not of the future.
const _: () = assert!(KEY_AHEAD_US > CLOCK_GAP_US);
// A frame that waits for room is read on before it is given up.
const _: () = assert!(LARGE_INPUT >= 2 * seawall::limits::REQUEST_BODY_MAX);
// A watcher whose node has nothing to tell hears so several times before it counts the node as lost.
const _: () = assert!(seawall::client::SILENCE.as_micros() >= 5 * PROGRESS_US as u128);
const _: () = assert!(SESSION_SWEEP > 1, "a session forgets faster than it grows");
const _: () = assert!(CONNECTION_OUTPUT >= 2 * seawall::limits::ROW_MAX && OUTPUT_SHARE < CONNECTION_OUTPUT);
// Whoever reads gets any reply while others only fill the first half, and who fills it is hung up on before it stalls.
const _: () = assert!(LARGE_OUTPUT / 2 >= 2 * seawall::limits::FRAME_BODY_MAX && DEAF_US < STALL_US);
const _: () = assert!(
    ZERO_FILL_BYTES.is_multiple_of(ZERO_FILL_LEAST) && ZERO_FILL_LEAST.is_multiple_of(seawall_wal::BLOCK)
);
const _: () = assert!(FOLD_BUFFER_BYTES.is_multiple_of(seawall_wal::BLOCK));
const _: () = assert!(READ_AHEAD_PART.is_multiple_of(seawall_wal::BLOCK));
const _: () = assert!(MAILBOX_LETTERS > 2 * (MAILBOX + STREAM_LETTERS), "a reply must always find a place");
const _: () =
    assert!(SUBMISSION_ENTRIES.is_power_of_two() && SUBMISSION_ENTRIES >= 2, "a linked pair must fit");

/// Places in the completion queue of a worker: the sum of everything that can be under way, so that it cannot
/// overflow but by a burst of accepts, which the kernel keeps aside (NODROP).
pub const fn completion_entries(shards: u32) -> u32 {
    let sockets = 2 * CONNECTIONS_PER_WORKER; // one receive and one send each
    let logs = 2 * LOG_OPERATIONS_PER_SHARD * shards; // a write and its linked flush
    let own = 4 + 256; // accept, bell, tick, cancel; and room for accepted connections
    let multishot = RECEIVE_BUFFERS as u32;
    (sockets + logs + own + multishot).next_power_of_two()
}
