//! What was asked of a store and what it answered, and each record that the node wrote.
//!
//! A commit that is sent again under its request key is one [`Asked`] and many [`Attempt`]s.

use seawall::address::DEFAULT_NAMESPACE;
use seawall::frame::{self, Decoder, FrameMeta, Kind, Step};
use seawall::limits::FRAME_BODY_MAX;
use seawall::map::{Generation, ShardId};
use seawall::message::assigned::Results;
use seawall::message::request_key::{Fingerprint, KeyName};
use seawall::message::{Commit, CommitRequest, Opcode, Request};
use seawall::position::Position;
use seawall::refusal::Refusal;

use crate::history::At;

/// A commit as a client means it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub commit: Commit,
    pub shard: ShardId,
    pub key: Option<KeyOf>,
    pub fingerprint: Fingerprint,
    /// A frame that holds it, to read it again.
    frame: Vec<u8>,
}

/// Its request key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOf {
    /// What its outcome is stored under.
    pub stored: Vec<u8>,
    pub born_us: i64,
    /// The session within its partition, and the sequence.
    pub session: Option<(Vec<u8>, u64)>,
}

impl Asked {
    pub fn new(commit: Commit, shard: ShardId) -> Self {
        let mut frame = Vec::new();
        write_frame(&mut frame, Opcode::Commit, 1, |payload| commit.encode(payload));
        let partition = commit.partition().as_bytes().to_vec();
        let key = commit.request_key().map(|key| {
            let mut stored = Vec::new();
            key.name.stored_key(DEFAULT_NAMESPACE, &partition, &mut stored);
            let session = match key.name {
                KeyName::Caller(_) => None,
                KeyName::Session { session, sequence } => {
                    Some(([&partition, &session[..]].concat(), sequence))
                }
            };
            KeyOf { stored, born_us: key.first_sent_us, session }
        });
        let mut asked = Self { commit, shard, key, fingerprint: Fingerprint::default(), frame };
        asked.fingerprint = asked.read(|commit| commit.fingerprint());
        asked
    }

    /// The commit as a node reads it.
    pub fn read<T>(&self, look: impl FnOnce(&CommitRequest<'_>) -> T) -> T {
        let Ok(Step::Frame(frame, _)) = Decoder::new(FRAME_BODY_MAX).next(&self.frame) else {
            unreachable!("a frame of our own")
        };
        match Request::decode(&frame) {
            Ok(Request::Commit(commit)) => look(&commit),
            other => unreachable!("the commit was checked when it was drawn: {other:?}"),
        }
    }
}

/// Appends a frame for whoever has the partition.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, correlation: u64, payload: impl FnOnce(&mut Vec<u8>)) {
    let meta = FrameMeta {
        kind: Kind::Request,
        opcode: opcode as u16,
        correlation,
        generation: Generation::ANY,
        shard: ShardId::ANY,
        deadline_ms: 0,
        tags: &[],
    };
    frame::write(out, &meta, payload);
}

/// A COMMIT_MANY, as docs/protocol.md has it: a count, then each payload behind its length.
pub fn write_many(out: &mut Vec<u8>, commits: &[Commit]) {
    varint(out, commits.len());
    for commit in commits {
        let mut payload = Vec::new();
        commit.encode(&mut payload);
        varint(out, payload.len());
        out.extend_from_slice(&payload);
    }
}

fn varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The same under the key of another.
pub fn under_key_of(commit: Commit, like: &Commit) -> Commit {
    let key = like.request_key().expect("it has one");
    match key.name {
        KeyName::Caller(name) => commit.key(name).first_sent(key.first_sent_us),
        KeyName::Session { session, sequence } => commit.session_key(session, sequence, key.first_sent_us),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// One of the commits that were asked for.
    Commit(usize),
    Status(usize),
    Resolve(usize),
    /// The row of this stored key.
    Get(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No reply came, or one that says `unknown`: it may have happened or may still happen.
    Unknown,
    Committed {
        at: At,
        results: Results,
        replayed: bool,
    },
    /// The position is the refusal's.
    Rejected {
        why: Refusal,
        replayed: bool,
    },
    /// With the outcome `none`; or KEY_EXPIRED, after which nobody knows.
    Refused(Refusal),
    Status {
        as_of: At,
        status: Status,
    },
    Row {
        as_of: At,
        row: Option<(At, Vec<u8>)>,
    },
}

/// What was said of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Committed(At, Results),
    Rejected(At, Refusal),
    Aborted(At),
    InFlight,
    Unseen,
    Expired,
    Lost,
}

#[derive(Clone, Debug)]
pub struct Attempt {
    pub client: usize,
    pub shard: ShardId,
    pub ask: Ask,
    pub invoked: u64,
    pub answered: Option<u64>,
    /// Counts the processes; the one that answered.
    pub life: u32,
    pub answer: Answer,
}

impl Attempt {
    /// What the answer rests on, if it says so.
    pub fn position(&self) -> Option<At> {
        match &self.answer {
            Answer::Committed { at, .. } => Some(*at),
            Answer::Rejected { why, .. } | Answer::Refused(why) => why.position.map(at),
            Answer::Status { as_of, .. } | Answer::Row { as_of, .. } => Some(*as_of),
            Answer::Unknown => None,
        }
    }

    /// Whether it was answered with what an earlier one had decided.
    pub fn replayed(&self) -> bool {
        matches!(
            self.answer,
            Answer::Committed { replayed: true, .. } | Answer::Rejected { replayed: true, .. }
        )
    }
}

pub fn at(position: Position) -> At {
    At { epoch: position.epoch.0, index: position.index.0 }
}

/// Everything that the clients of a store wrote down.
#[derive(Debug, Default)]
pub struct Book {
    pub asked: Vec<Asked>,
    pub attempts: Vec<Attempt>,
}
