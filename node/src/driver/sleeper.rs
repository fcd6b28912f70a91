//! How a thread goes to sleep without missing what others put into its queues, and is woken only when it sleeps.
//!
//! ```text
//! owner: sleeping = true; fence; are all queues empty? then sleep      sender: push; fence; sleeping? then ring
//! ```
//!
//! With sequentially consistent fences at least one of the two sees what the other did: either the owner finds the
//! letter, or the sender finds the flag. Both may happen; a ring too many costs one empty turn.
//!
//! `node/tests/driver_wakeups.rs` includes this file with a model checker's atomics in the place of the machine's, and
//! goes through every interleaving.

use super::atomics::{AtomicBool, Ordering, fence};

/// The flag of one owner. Both sides change it, and all changes are swaps: each knows the one before it, so none comes
/// too late to matter.
#[derive(Debug)]
pub struct Sleeper {
    sleeping: AtomicBool,
}

impl Sleeper {
    pub fn new() -> Self {
        Self { sleeping: AtomicBool::new(false) }
    }

    /// The owner announces its sleep, and only then looks whether something is `here` already. `true`: whatever comes
    /// from now on rings, so it may sleep.
    pub fn may_sleep(&self, here: impl FnOnce() -> bool) -> bool {
        self.sleeping.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let here = here();
        if here {
            self.awake();
        }
        !here
    }

    /// The owner looks at its queues again: nobody needs to ring.
    pub fn awake(&self) {
        self.sleeping.swap(false, Ordering::Relaxed);
    }

    /// A sender has pushed: must it ring? The first of many does.
    pub fn must_be_rung(&self) -> bool {
        fence(Ordering::SeqCst);
        // Reading before swapping keeps the line shared while the owner is awake.
        self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed)
    }
}
