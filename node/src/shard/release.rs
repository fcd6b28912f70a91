//! The one place where answers leave a shard (R20).
//!
//! Every answer, a read's and a refusal's too, names the record that it waits for: the last one that changed
//! anything it looked at. It leaves when that record is committed, and not before. There is no other way out.

use std::collections::VecDeque;
use std::sync::Arc;

use seawall::Key;
use seawall::message::assigned::Results;
use seawall::message::request_key::RequestKey;
use seawall::message::{Opcode, RequestMeta};
use seawall::position::Position;
use seawall::refusal::{Detail, Refusal};
use seawall_wal::Index;

use super::state::Bytes;
use super::{ReplyTo, Scanned};
use crate::params::COMMIT_PATIENCE_US;

/// What to RESOLVE where the outcome of an appended record becomes unknown: a partition and a request key. Nearly
/// always it is thrown away, so it is no more than their bytes, one behind the other, until somebody asks.
#[derive(Clone, Debug)]
pub struct Doubt {
    bytes: Vec<u8>,
    partition: usize,
}

impl Doubt {
    pub fn new(partition: &[u8], key: &RequestKey<'_>) -> Self {
        let mut bytes = Vec::with_capacity(partition.len() + REQUEST_KEY_BYTES);
        bytes.extend_from_slice(partition);
        RequestKey::encode(Some(key), &mut bytes);
        Self { bytes, partition: partition.len() }
    }

    fn detail(&self) -> Detail {
        let (partition, key) = self.bytes.split_at(self.partition);
        let partition = Key::from_bytes(partition).expect("checked when it came");
        Detail::Request { partition, key: key.to_vec() }
    }
}

/// Form, time and a name of middle length.
const REQUEST_KEY_BYTES: usize = 48;

/// What is said, once it may be said.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The record at `position` holds the commit.
    Committed {
        position: Position,
        results: Results,
        doubt: Option<Doubt>,
    },
    /// The record that the refusal names holds the rejection, under the commit's key. Refusals lie apart: they are large,
    /// and every answer is moved as if it were one.
    Rejected {
        why: Box<Refusal>,
        doubt: Option<Doubt>,
    },
    /// The record at `at` holds what was decided when the key came first.
    Replayed {
        at: Position,
        stored: Bytes,
        doubt: Doubt,
    },
    /// What became of a key; with a doubt if the answer is to be final.
    Status {
        position: Position,
        status: Status,
        doubt: Option<Doubt>,
    },
    /// What a read found, and the position that its answer rests on.
    Row {
        position: Position,
        row: Option<(Position, Bytes)>,
    },
    /// The same for several rows, in the order of the request.
    Rows {
        position: Position,
        rows: Vec<Option<(Position, Bytes)>>,
    },
    Page {
        position: Position,
        rows: Vec<Scanned>,
        cursor: Vec<u8>,
    },
    /// The record at `position` holds the declaration.
    Declared {
        position: Position,
    },
    /// The record at `position` says up to where everything was dealt with.
    Acknowledged {
        position: Position,
    },
    /// A version and the declaration, if there is one.
    Described {
        position: Position,
        found: Option<(u64, Arc<[u8]>)>,
    },
    /// Facts by name: known, or why not.
    Report {
        facts: Vec<Fact>,
    },
    /// A stream follows, behind this position.
    Subscribed {
        position: Position,
    },
    /// It was done, and there is nothing to say of it.
    Done,
    Refused(Box<Refusal>),
}

pub type Fact = (&'static str, Result<String, String>);

impl Answer {
    pub fn refused(why: Refusal) -> Self {
        Answer::Refused(Box::new(why))
    }

    /// The subscription that does not begin, if this says no to a SUBSCRIBE.
    pub fn ends(&self, request: &RequestMeta) -> Option<u64> {
        let refused = matches!(self, Answer::Refused(_)) && request.opcode == Opcode::Subscribe as u16;
        refused.then_some(request.correlation)
    }
}

/// What is known of a request key.
#[derive(Clone, Debug)]
pub enum Status {
    /// The record at `at` holds this outcome.
    Stored {
        at: Position,
        stored: Bytes,
    },
    InFlight,
    Unseen,
    Expired,
    Lost,
}

/// An answer that may leave.
#[derive(Debug)]
pub struct Released {
    pub to: ReplyTo,
    pub answer: Answer,
    pub only_if: OnlyIf,
}

/// What an answer waited for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// That the record which it appended is committed, on as many members as it asked for.
    Appended,
    /// That the record which it looked at is committed.
    Looked,
    /// A proof that this shard led.
    Unproven,
}

impl Released {
    /// Nothing is said any more of what it rests on: `appended` if that may be committed yet, by this very request.
    fn refused(self, appended: &dyn Fn() -> Refusal, none: &dyn Fn() -> Refusal) -> Self {
        let unknown = |doubt: Option<Doubt>| {
            let mut refusal = appended();
            if let Some(doubt) = doubt {
                refusal.reason.detail = doubt.detail();
            }
            refusal
        };
        let refusal = match self.answer {
            Answer::Committed { doubt, .. } | Answer::Rejected { doubt, .. } => unknown(doubt),
            Answer::Replayed { doubt, .. } | Answer::Status { doubt: Some(doubt), .. } => {
                unknown(Some(doubt))
            }
            Answer::Declared { .. } | Answer::Acknowledged { .. } => unknown(None),
            Answer::Status { doubt: None, .. }
            | Answer::Row { .. }
            | Answer::Rows { .. }
            | Answer::Page { .. }
            | Answer::Described { .. }
            | Answer::Report { .. }
            | Answer::Subscribed { .. }
            | Answer::Done
            | Answer::Refused(_) => none(),
        };
        Self { to: self.to, answer: Answer::refused(refusal), only_if: OnlyIf::Always }
    }
}

/// What is looked at again when an answer leaves: what it says may be so no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlyIf {
    /// It stays true.
    Always,
    /// A lease proves that it is the newest (R16).
    Leased,
    /// A round that begins after the read came proves that this shard still led then (R16).
    Led { round: u64 },
    /// That has been proven.
    Proven(Proof),
    /// The shard has the role in which it was evaluated, and what it knows is proven to be no older than this (R22, F-RS2).
    Young { role: u64, ms: u32 },
}

/// How it was proven that this shard led when a read came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Every required member answered.
    RoundTrip,
    /// Nobody is required, and the authority had recorded nobody else.
    Authority,
}

/// Answers wait in groups, one per batch, because batches become durable as a whole.
#[derive(Debug, Default)]
pub struct Release {
    committed: Index,
    /// Sealed batches that are under way, oldest first.
    groups: VecDeque<Group>,
    /// Answers that wait for the open batch.
    open: Vec<Held>,
    /// Since when the oldest of them waits, as far as a tick has seen it.
    open_since_us: Option<u64>,
    /// What they rest on is committed, and more members are to have it.
    wide: Vec<Beyond>,
    /// What they rest on is committed, and it is to be proven that this shard led when they were asked for.
    unproven: Vec<Beyond>,
    ready: Vec<Released>,
}

#[derive(Debug)]
struct Group {
    through: Index,
    since_us: Option<u64>,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    until: Index,
    /// How many members must have it, where that is more than the shard's policy says; else 0.
    members: u8,
    released: Released,
}

/// An answer that waits for more than the commit.
#[derive(Debug)]
struct Beyond {
    since_us: Option<u64>,
    held: Held,
}

impl Held {
    fn patience_us(&self) -> u64 {
        match self.released.to.request.deadline_ms {
            0 => COMMIT_PATIENCE_US,
            ms => u64::from(ms) * 1000,
        }
    }
}

impl Release {
    pub fn committed(&self) -> Index {
        self.committed
    }

    /// Hands in an answer that rests on the record `until`.
    pub fn answer(&mut self, to: ReplyTo, until: Index, answer: Answer) {
        self.hold(Held { until, members: 0, released: Released { to, answer, only_if: OnlyIf::Always } });
    }

    /// The same, for what a read found.
    pub fn answer_if(&mut self, only_if: OnlyIf, to: ReplyTo, until: Index, answer: Answer) {
        self.hold(Held { until, members: 0, released: Released { to, answer, only_if } });
    }

    /// The same, for what so many members are to have before it is said; 0: as many as the policy says.
    pub fn answer_on(&mut self, members: u8, to: ReplyTo, until: Index, answer: Answer) {
        self.hold(Held { until, members, released: Released { to, answer, only_if: OnlyIf::Always } });
    }

    fn hold(&mut self, held: Held) {
        if held.until <= self.committed {
            return self.let_go(held);
        }
        match self.groups.iter_mut().find(|group| group.through >= held.until) {
            Some(group) => group.held.push(held),
            None => self.open.push(held),
        }
    }

    /// What it rests on is committed.
    fn let_go(&mut self, held: Held) {
        match held.released.only_if {
            _ if held.members > 0 => self.wide.push(Beyond { since_us: None, held }),
            OnlyIf::Led { .. } => self.unproven.push(Beyond { since_us: None, held }),
            _ => self.ready.push(held.released),
        }
    }

    /// The open batch was sealed; its last record is `through`.
    pub fn sealed(&mut self, through: Index) {
        if self.groups.back().is_some_and(|group| group.through >= through) || through <= self.committed {
            return;
        }
        assert!(
            self.open.iter().all(|h| h.until <= through),
            "nobody waits for a record that does not exist"
        );
        let since_us = self.open_since_us.take();
        self.groups.push_back(Group { through, since_us, held: std::mem::take(&mut self.open) });
    }

    /// The contiguous committed prefix grew.
    pub fn advance(&mut self, committed: Index) {
        assert!(committed >= self.committed, "what was committed stays committed");
        self.committed = committed;
        while self.groups.front().is_some_and(|group| group.through <= committed) {
            let Some(group) = self.groups.pop_front() else { return };
            group.held.into_iter().for_each(|held| self.let_go(held));
        }
    }

    /// More members may have what was answered for: `have` counts those that have an index.
    pub fn widen(&mut self, have: impl Fn(Index) -> usize) {
        let enough = |beyond: &mut Beyond| have(beyond.held.until) >= usize::from(beyond.held.members);
        self.ready.extend(self.wide.extract_if(.., enough).map(|beyond| beyond.held.released));
    }

    /// Whether reads wait for a proof.
    pub fn wants_proof(&self) -> bool {
        !self.unproven.is_empty()
    }

    /// It is proven that this shard led when this round began: reads that had come by then leave.
    pub fn led(&mut self, last: u64, proof: Proof) {
        let proven = |beyond: &mut Beyond| matches!(beyond.held.released.only_if, OnlyIf::Led { round } if round <= last);
        let only_if = OnlyIf::Proven(proof);
        let released = self.unproven.extract_if(.., proven).map(|beyond| beyond.held.released);
        self.ready.extend(released.map(|released| Released { only_if, ..released }));
    }

    /// The log failed (R4). Whether an appended commit survives, only recovery knows; everything else that waits
    /// saw state that may be lost, and is refused.
    pub fn fail(&mut self, why: &str) {
        self.end(&|| Refusal::log_failed_after_append(why.to_owned()), &|| {
            Refusal::log_failed(why.to_owned())
        });
    }

    /// Another member leads now. What was appended may still be committed there.
    pub fn lose(&mut self, unknown: impl Fn() -> Refusal, none: impl Fn() -> Refusal) {
        self.end(&unknown, &none);
    }

    /// The disk is read anew: nothing is known to be committed.
    pub fn begin_anew(&mut self) {
        assert!(
            self.groups.is_empty() && self.open.is_empty() && self.wide.is_empty(),
            "everybody was answered"
        );
        self.committed = Index(0);
    }

    fn end(&mut self, appended: &dyn Fn() -> Refusal, none: &dyn Fn() -> Refusal) {
        let groups = std::mem::take(&mut self.groups).into_iter().flat_map(|group| group.held);
        let beyond = std::mem::take(&mut self.wide).into_iter().chain(std::mem::take(&mut self.unproven));
        let held = groups.chain(std::mem::take(&mut self.open)).chain(beyond.map(|beyond| beyond.held));
        self.open_since_us = None;
        self.ready.extend(held.map(|held| held.released.refused(appended, none)));
    }

    /// R13: whoever has waited as long as it wants to, is told; what it waits for goes its way. `late` says what is
    /// missing: of what was appended, of what only looked at it, and of reads that nothing proves.
    pub fn tick(&mut self, now_us: u64, late: &dyn Fn(Late, u32) -> Refusal) {
        if !self.open.is_empty() {
            self.open_since_us.get_or_insert(now_us);
        }
        let over = |since_us: u64, held: &Held| now_us >= since_us.saturating_add(held.patience_us());
        let mut tired: Vec<Held> = Vec::new();
        let waiting = self.groups.iter_mut().map(|group| (&mut group.since_us, &mut group.held));
        for (since_us, held) in waiting.chain([(&mut self.open_since_us, &mut self.open)]) {
            if held.is_empty() {
                continue;
            }
            let since_us = *since_us.get_or_insert(now_us);
            tired.extend(held.extract_if(.., |held| over(since_us, held)));
        }
        let gives_up = |beyond: &mut Beyond| over(*beyond.since_us.get_or_insert(now_us), &beyond.held);
        tired.extend(self.wide.extract_if(.., gives_up).map(|beyond| beyond.held));
        let unproven: Vec<Held> = self.unproven.extract_if(.., gives_up).map(|beyond| beyond.held).collect();
        let ms = |held: &Held| u32::try_from(held.patience_us() / 1000).unwrap_or(u32::MAX);
        for held in tired {
            let ms = ms(&held);
            let refused = held.released.refused(&|| late(Late::Appended, ms), &|| late(Late::Looked, ms));
            self.ready.push(refused);
        }
        for held in unproven {
            let ms = ms(&held);
            let why = || late(Late::Unproven, ms);
            self.ready.push(held.released.refused(&why, &why));
        }
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Answers that leave now.
    pub fn take_ready(&mut self) -> impl Iterator<Item = Released> + '_ {
        self.ready.drain(..)
    }
}
