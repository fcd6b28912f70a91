//! How long a client may keep its place without going on. Whoever opens a connection and says nothing, sends a frame
//! byte by byte or never takes what it asked for costs a place and a buffer, and no more than for so long.

use crate::params::{FRAME_US, HANDSHAKE_US, STALL_US};
use crate::seam::Now;

#[derive(Debug)]
pub(super) struct Patience {
    opened_us: u64,
    /// Since when the front of a frame is there whose rest is still to come.
    frame_us: Option<u64>,
    /// When the client last took something of what it is owed.
    took_us: u64,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// It said HELLO.
    pub open: bool,
    /// A send to it is under way.
    pub sending: bool,
}

impl Patience {
    pub(super) fn new(now: Now) -> Self {
        Self { opened_us: now.mono_us, frame_us: None, took_us: now.mono_us }
    }

    /// What is left of the input: the front of a frame, or nothing that the client has to go on with. `whole` says that
    /// a whole frame was taken from before it.
    pub(super) fn input(&mut self, now: Now, front: bool, whole: bool) {
        self.frame_us = match self.frame_us {
            Some(since) if front && !whole => Some(since),
            _ => front.then_some(now.mono_us),
        };
    }

    /// A send begins, or some of it was taken.
    pub(super) fn took(&mut self, now: Now) {
        self.took_us = now.mono_us;
    }

    /// Of one that has nothing under way: when it last took an answer, was opened, or began with a frame whose rest is
    /// still to come.
    pub(super) fn idle_since_us(&self) -> u64 {
        self.took_us.max(self.frame_us.unwrap_or(0))
    }

    /// When the client last took something, or a send to it began.
    pub(super) fn took_us(&self) -> u64 {
        self.took_us
    }

    pub(super) fn is_over(&self, now: Now, standing: Standing) -> bool {
        let silent = !standing.open && now.mono_us > self.opened_us + HANDSHAKE_US;
        let slow = self.frame_us.is_some_and(|since| now.mono_us > since + FRAME_US);
        let stalled = standing.sending && now.mono_us > self.took_us + STALL_US;
        silent || slow || stalled
    }
}
