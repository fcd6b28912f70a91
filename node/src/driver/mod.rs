//! Executes the effects of a worker and reports its events; it never decides what comes next.
//!
//! ```text
//! node.rs       one process: the data directory, the probe, the threads, the signals, the end
//! directory.rs  the data directory and its shards    superblock.rs  its block of identity    lock.rs  one process
//! probe/        what the machine offers: io_uring, the file system, the durable primitive by measurement, the disk's CPU
//! reactor.rs    one worker's turn: reap -> clock -> step -> submit -> sleep
//! table.rs      the operations that the kernel is busy with, and the memory it may touch meanwhile
//! choice.rs     which of two drivers, and why          either.rs    both behind one door
//! ring/         the io_uring driver: log files and sockets on one ring, one wait point
//! syscall/      the driver without io_uring: sockets on epoll, log files on threads
//! beside/       threads for what may take long: files, checkpoints, scrubbing      places.rs  open files of a log by number
//! mark.rs       how the process before this one ended                restore.rs  the first start on a backup
//! membership.rs what makes a node a member           linking.rs  links to other members, in their worker's thread
//! connections.rs  connections by number              admission.rs  when they are accepted, and when not
//! clock.rs      the two clocks of the core          console.rs  what people are told          bell.rs  an eventfd
//! huge_pages.rs  the memory of the whole process, in large pages     incidents.rs  what went wrong, for whoever asks
//! engine.rs     one log on one driver, and nothing else, for those who measure it
//! pace.rs       how what nobody waits for keeps out of the way of commits
//! mailbox.rs    letters between workers, control from the service plane       sleeper.rs  waking only who sleeps
//! ```
//!
//! The ring works on [`table`]: an operation owns its buffer from submission until the last completion was reaped.
//! That is the argument for nearly all of the `unsafe` in this folder; in `syscall/` a buffer moves into the call.
#![allow(unsafe_code, reason = "the kernel is handed memory here, and nowhere else in the node")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this room is made for files, sockets, clocks and threads"
)]

/// What `sleeper.rs` is made of; a model checker has its own in this place.
mod atomics {
    pub use std::sync::atomic::{AtomicBool, Ordering, fence};
}

mod admission;
mod bell;
mod beside;
pub mod choice;
pub mod clock;
mod connections;
pub mod console;
pub mod directory;
pub mod either;
pub mod engine;
pub mod huge_pages;
pub mod incidents;
mod linking;
pub mod listener;
mod lock;
pub mod mailbox;
pub mod mark;
mod membership;
pub mod node;
pub mod offline;
pub mod pace;
mod places;
pub mod probe;
mod reactor;
mod restore;
pub mod ring;
pub(crate) mod signals;
mod sleeper;
pub mod superblock;
pub mod syscall;
mod table;
