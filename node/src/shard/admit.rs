//! Commits: from a checked request to a record in the open batch, applied at once and answered when it is
//! committed.

use std::collections::VecDeque;

use seawall::address::Address;
use seawall::frame::{Decoder, Step};
use seawall::limits::{COMMIT_MAX, COMMIT_OPS_MAX, FRAME_BODY_MAX, STORED_KEY_MAX};
use seawall::message::term::RowAt;
use seawall::message::{CommitRequest, Op, Request, RequestMeta};
use seawall::refusal::Refusal;
use seawall_wal::{Entry, Index, Kind, NoRoom};

use super::release::{Answer, Release};
use super::{Asked, Life, ReplyTo, Shard, position, spaces};
use crate::params::{PARKED_BYTES, PARKED_COMMITS, RETRY_QUEUE_MS, RETRY_SPACE_MS};
use crate::seam::Now;

// The largest commit fits into one batch: its rows, a stored key and a small header for each operation.
const _: () = assert!(COMMIT_MAX + COMMIT_OPS_MAX * (STORED_KEY_MAX + 64) + 4096 < 2 << 20);

impl Shard {
    pub(super) fn commit(&mut self, now: Now, asked: &Asked<'_>, commit: &CommitRequest<'_>) {
        if !self.parked.is_empty() {
            return self.park(now, asked); // who came first is served first
        }
        match self.append(now, asked, commit) {
            Ok(index) => self.applied(asked, commit, index),
            Err(NoRoom::Busy) => self.park(now, asked),
            Err(why) => self.refuse(asked.to, &why),
        }
    }

    fn append(&mut self, now: Now, asked: &Asked<'_>, commit: &CommitRequest<'_>) -> Result<Index, NoRoom> {
        let Life::Running(running) = &mut self.life else { return Err(NoRoom::Failed) };
        self.keys.all(asked.namespace, commit);
        let time = running.time.at(now);
        running.appended_us = now.mono_us;
        running.log.append(Kind::Data, time, entries(&self.keys, commit))
    }

    /// The record has its index. The state runs ahead of the disk; the answer waits for it.
    fn applied(&mut self, asked: &Asked<'_>, commit: &CommitRequest<'_>, index: Index) {
        let Life::Running(running) = &self.life else { return };
        let version = position(running.log.epoch(), index);
        for entry in entries(&self.keys, commit) {
            self.state.apply(entry.key, entry.value, version);
        }
        self.release.answer(asked.to, index, Answer::Committed { position: version });
    }

    fn park(&mut self, now: Now, asked: &Asked<'_>) {
        if let Err(refusal) = self.parked.push(now, asked) {
            self.release.answer(asked.to, Index(0), Answer::Refused(refusal));
        }
    }

    fn refuse(&mut self, to: ReplyTo, why: &NoRoom) {
        let refusal = match why {
            NoRoom::Busy => Refusal::throttled("the shard's log", PARKED_COMMITS, RETRY_QUEUE_MS),
            NoRoom::DiskFull(error) => Refusal::disk_full(error.to_string(), RETRY_SPACE_MS),
            NoRoom::TooLarge => unreachable!("the largest commit fits into a batch: asserted above"),
            NoRoom::Failed => Refusal::log_failed("the log failed"),
        };
        self.release.answer(to, Index(0), Answer::Refused(refusal));
    }

    /// Takes in what waited for room, in order; true if anything was appended.
    pub(super) fn admit_parked(&mut self, now: Now) -> bool {
        let mut any = false;
        while let Some(waiting) = self.parked.pop() {
            if waiting.expired(now) {
                let refusal = Refusal::deadline_before_append(waiting.to.request.deadline_ms);
                self.release.answer(waiting.to, Index(0), Answer::Refused(refusal));
                continue;
            }
            let (_, request) = decode(&waiting.frame);
            let Request::Commit(commit) = request else { unreachable!("only commits wait for room") };
            let asked = waiting.asked(request);
            match self.append(now, &asked, &commit) {
                Ok(index) => {
                    self.applied(&asked, &commit, index);
                    any = true;
                }
                Err(NoRoom::Busy) => {
                    self.parked.unpop(waiting);
                    break;
                }
                Err(why) => self.refuse(waiting.to, &why),
            }
        }
        any
    }
}

/// The record of a commit: full row images under their stored keys.
fn entries<'a>(keys: &'a Keys, commit: &CommitRequest<'a>) -> impl Iterator<Item = Entry<'a>> + Clone {
    commit.ops.iter().enumerate().map(|(n, op)| {
        let value = match op {
            Op::Put { row, .. } => Some(row),
            Op::Delete { .. } => None,
            other => unreachable!("{} is refused where requests are routed", other.name()),
        };
        Entry { space: spaces::ROWS, key: keys.get(n), value }
    })
}

/// A frame that was checked when it arrived.
pub(crate) fn decode(frame: &[u8]) -> (RequestMeta, Request<'_>) {
    match Decoder::new(FRAME_BODY_MAX).next(frame) {
        Ok(Step::Frame(frame, _)) => {
            let request = Request::decode(&frame).expect("it was decoded when it arrived");
            (RequestMeta::from(&frame.header), request)
        }
        other => panic!("a frame that was whole when it arrived is now {other:?}"),
    }
}

/// The stored keys of one request, in memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    fn all(&mut self, namespace: &str, commit: &CommitRequest<'_>) {
        self.bytes.clear();
        self.ends.clear();
        for op in commit.ops.iter() {
            let (RowAt { table, key: row }, _) = op.touches().expect("a PUT or a DELETE");
            Address { namespace, partition: commit.partition, table, row }.stored_key(&mut self.bytes);
            self.ends.push(self.bytes.len());
        }
    }

    fn get(&self, n: usize) -> &[u8] {
        let start = if n == 0 { 0 } else { self.ends[n - 1] };
        &self.bytes[start..self.ends[n]]
    }

    pub(super) fn one(&mut self, address: &Address<'_>) -> &[u8] {
        self.bytes.clear();
        address.stored_key(&mut self.bytes);
        &self.bytes
    }
}

/// Commits that wait for room in the log: bounded, in order.
#[derive(Debug, Default)]
pub(super) struct Parked {
    queue: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    to: ReplyTo,
    namespace: Box<str>,
    frame: Vec<u8>,
    /// The client's deadline, on our clock.
    until_us: Option<u64>,
}

impl Parked {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn push(&mut self, now: Now, asked: &Asked<'_>) -> Result<(), Refusal> {
        if self.queue.len() >= PARKED_COMMITS || self.bytes + asked.frame.len() > PARKED_BYTES {
            return Err(Refusal::throttled("the queue for the shard's log", PARKED_COMMITS, RETRY_QUEUE_MS));
        }
        let deadline = asked.to.request.deadline_ms;
        self.bytes += asked.frame.len();
        self.queue.push_back(Waiting {
            to: asked.to,
            namespace: asked.namespace.into(),
            frame: asked.frame.to_vec(),
            until_us: (deadline > 0).then(|| now.mono_us + u64::from(deadline) * 1000),
        });
        Ok(())
    }

    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.queue.pop_front()?;
        self.bytes -= waiting.frame.len();
        Some(waiting)
    }

    fn unpop(&mut self, waiting: Waiting) {
        self.bytes += waiting.frame.len();
        self.queue.push_front(waiting);
    }

    /// Nothing of these was appended.
    pub(super) fn fail(&mut self, why: &str, release: &mut Release) {
        while let Some(waiting) = self.pop() {
            release.answer(waiting.to, Index(0), Answer::Refused(Refusal::log_failed(why.to_owned())));
        }
    }
}

impl Waiting {
    fn expired(&self, now: Now) -> bool {
        self.until_us.is_some_and(|until| now.mono_us > until)
    }

    fn asked<'a>(&'a self, request: Request<'a>) -> Asked<'a> {
        Asked { to: self.to, namespace: &self.namespace, request, frame: &self.frame }
    }
}
