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

/// What is looked at again when an answer leaves: what it says may be so no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlyIf {
    /// It stays true.
    Always,
    /// A lease proves that it is the newest (R16).
    Leased,
    /// The shard has the role in which it was evaluated, and what it knows is proven to be no older than this (R22, F-RS2).
    Young { role: u64, ms: u32 },
}

/// Answers wait in groups, one per batch, because batches become durable as a whole.
#[derive(Debug, Default)]
pub struct Release {
    committed: Index,
    /// Sealed batches that are under way, oldest first.
    groups: VecDeque<Group>,
    /// Answers that wait for the open batch.
    open: Vec<Held>,
    ready: Vec<Released>,
}

#[derive(Debug)]
struct Group {
    through: Index,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    until: Index,
    released: Released,
}

impl Release {
    pub fn committed(&self) -> Index {
        self.committed
    }

    /// Hands in an answer that rests on the record `until`.
    pub fn answer(&mut self, to: ReplyTo, until: Index, answer: Answer) {
        self.hold(until, Released { to, answer, only_if: OnlyIf::Always });
    }

    /// The same, for what a read found.
    pub fn answer_if(&mut self, only_if: OnlyIf, to: ReplyTo, until: Index, answer: Answer) {
        self.hold(until, Released { to, answer, only_if });
    }

    fn hold(&mut self, until: Index, released: Released) {
        if until <= self.committed {
            self.ready.push(released);
            return;
        }
        let held = Held { until, released };
        match self.groups.iter_mut().find(|group| group.through >= until) {
            Some(group) => group.held.push(held),
            None => self.open.push(held),
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
        self.groups.push_back(Group { through, held: std::mem::take(&mut self.open) });
    }

    /// The contiguous committed prefix grew.
    pub fn advance(&mut self, committed: Index) {
        assert!(committed >= self.committed, "what was committed stays committed");
        self.committed = committed;
        while self.groups.front().is_some_and(|group| group.through <= committed) {
            let Some(group) = self.groups.pop_front() else { return };
            self.ready.extend(group.held.into_iter().map(|held| held.released));
        }
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
        assert!(self.groups.is_empty() && self.open.is_empty(), "everybody was answered");
        self.committed = Index(0);
    }

    fn end(&mut self, appended: &dyn Fn() -> Refusal, none: &dyn Fn() -> Refusal) {
        let unknown = |doubt: Option<Doubt>| {
            let mut refusal = appended();
            if let Some(doubt) = doubt {
                refusal.reason.detail = doubt.detail();
            }
            refusal
        };
        let groups = std::mem::take(&mut self.groups).into_iter().flat_map(|group| group.held);
        for held in groups.chain(std::mem::take(&mut self.open)) {
            let refusal = match held.released.answer {
                Answer::Committed { doubt, .. } | Answer::Rejected { doubt, .. } => unknown(doubt),
                Answer::Replayed { doubt, .. } | Answer::Status { doubt: Some(doubt), .. } => {
                    unknown(Some(doubt))
                }
                Answer::Declared { .. } => unknown(None),
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
            let (to, answer) = (held.released.to, Answer::refused(refusal));
            self.ready.push(Released { to, answer, only_if: OnlyIf::Always });
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
