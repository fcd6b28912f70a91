//! Executes the effects of a worker and reports its events; it never decides what comes next.
//!
//! ```text
//! node.rs       one process: the data directory, the probe, the threads, the signals, the end
//! directory.rs  the data directory and its shards    superblock.rs  its block of identity    lock.rs  one process
//! probe/        what the machine offers: io_uring, direct I/O, the durable primitive, the disk's CPU
//! reactor.rs    one worker's turn: reap -> clock -> step -> submit -> sleep
//! table.rs      the operations that the kernel is busy with, and the memory it may touch meanwhile
//! ring/         the io_uring driver: log files and sockets on one ring, one wait point
//! keeper.rs     folds and removals, on a thread of their own
//! clock.rs      the two clocks of the core          console.rs  what people are told
//! mailbox.rs    letters between workers, control from the service plane, waking only a sleeper
//! ```
//!
//! Every driver works on the same [`table`]: an operation owns its buffer from submission until the last completion
//! was reaped. That is the whole argument for the `unsafe` in this folder.
#![allow(unsafe_code, reason = "the kernel is handed memory here, and nowhere else in the node")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this room is made for files, sockets, clocks and threads"
)]

pub mod clock;
pub mod console;
pub mod directory;
mod keeper;
pub mod listener;
mod lock;
pub mod mailbox;
pub mod node;
pub mod probe;
mod reactor;
pub mod ring;
mod signals;
pub mod superblock;
mod table;
