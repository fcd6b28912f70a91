//! Requests that wait for room in the log: bounded, in the order in which they came.

use std::collections::VecDeque;

use seawall::message::Request;
use seawall::refusal::Refusal;
use seawall_wal::Index;

use super::release::{Answer, Release};
use super::{Asked, ReplyTo, Sent};
use crate::params::{PARKED_BYTES, PARKED_COMMITS, RETRY_QUEUE_MS};
use crate::seam::Now;

#[derive(Debug, Default)]
pub(super) struct Parked {
    queue: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub to: ReplyTo,
    namespace: Box<str>,
    pub frame: Vec<u8>,
    /// The client's deadline, on our clock.
    until_us: Option<u64>,
}

impl Parked {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, now: Now, asked: &Asked<'_>) -> Result<(), Refusal> {
        if self.queue.len() >= PARKED_COMMITS || self.bytes + asked.sent.len() > PARKED_BYTES {
            return Err(Refusal::throttled("the queue for the shard's log", PARKED_COMMITS, RETRY_QUEUE_MS));
        }
        let deadline = asked.to.request.deadline_ms;
        self.bytes += asked.sent.len();
        self.queue.push_back(Waiting {
            to: asked.to,
            namespace: asked.namespace.into(),
            frame: asked.sent.to_frame(&asked.to.request),
            until_us: (deadline > 0).then(|| now.mono_us + u64::from(deadline) * 1000),
        });
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.queue.pop_front()?;
        self.bytes -= waiting.frame.len();
        Some(waiting)
    }

    pub(super) fn unpop(&mut self, waiting: Waiting) {
        self.bytes += waiting.frame.len();
        self.queue.push_front(waiting);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.queue.iter()
    }

    /// Nothing of these was appended.
    pub(super) fn fail(&mut self, why: &str, release: &mut Release) {
        self.lose(|| Refusal::log_failed(why.to_owned()), release);
    }

    pub(super) fn lose(&mut self, why: impl Fn() -> Refusal, release: &mut Release) {
        while let Some(waiting) = self.pop() {
            release.answer(waiting.to, Index(0), Answer::refused(why()));
        }
    }
}

impl Waiting {
    pub(super) fn expired(&self, now: Now) -> bool {
        self.until_us.is_some_and(|until| now.mono_us > until)
    }

    pub(super) fn asked<'a>(&'a self, request: Request<'a>) -> Asked<'a> {
        Asked { to: self.to, namespace: &self.namespace, request, sent: Sent::Frame(&self.frame) }
    }
}
