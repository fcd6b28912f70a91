//! What was asked of a store and what it answered, and each record that the node wrote.
//!
//! A commit that is sent again under its request key is one [`Asked`] and many [`Attempt`]s.

use std::collections::BTreeMap;
use std::ops::Bound;

use seawall::Key;
use seawall::address::DEFAULT_NAMESPACE;
use seawall::frame::{self, Decoder, FrameMeta, Kind, Step};
use seawall::limits::FRAME_BODY_MAX;
use seawall::map::{Generation, ShardId};
use seawall::message::assigned::Results;
use seawall::message::request_key::{Fingerprint, KeyName};
use seawall::message::scan::Order;
use seawall::message::{Commit, CommitRequest, Consistency, Opcode, Request};
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
    /// With what the token names.
    Status(usize, Option<At>),
    Resolve(usize),
    /// The row of this stored key.
    Get(Consistency, Vec<u8>),
    MultiGet(Consistency, Vec<Vec<u8>>),
    Scan(Scan),
    Declare(Declare),
    Describe(String),
    Watch(Watch),
    /// More credit for a stream, or its end.
    Stream,
    /// What happened to one of the commits that were asked for.
    Trace(usize),
    Explain,
}

impl Ask {
    /// How fresh a read must be.
    pub fn fresh(&self) -> Option<Consistency> {
        match self {
            Ask::Get(fresh, _) | Ask::MultiGet(fresh, _) | Ask::Scan(Scan { fresh, .. }) => Some(*fresh),
            Ask::Commit(_) | Ask::Status(..) | Ask::Resolve(_) | Ask::Declare(_) | Ask::Describe(_) => None,
            Ask::Watch(_) | Ask::Stream | Ask::Trace(_) | Ask::Explain => None,
        }
    }
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    pub fresh: Consistency,
    pub partition: Key,
    pub table: String,
    pub index: Option<String>,
    pub keys: Keys,
    pub order: Order,
    pub limit: usize,
    /// The attempt whose page it goes on behind.
    pub behind: Option<usize>,
}

/// Which keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    All,
    Prefix(Key),
    Range(Bound<Key>, Bound<Key>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declare {
    pub table: String,
    pub version: u64,
    pub bytes: Vec<u8>,
}

/// A subscription: what of the log is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// `None`: of the whole shard.
    pub partition: Option<Key>,
    pub rows: bool,
    pub events: bool,
    pub table: Option<String>,
    pub topic: Option<String>,
    /// The place behind which it is to begin.
    pub token: Option<At>,
    /// It is to begin with what is committed from now on.
    pub now: bool,
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
        row: Seen,
    },
    Rows {
        as_of: At,
        rows: Vec<Seen>,
    },
    Page {
        as_of: At,
        rows: Vec<(Vec<u8>, At, Vec<u8>)>,
        cursor: Vec<u8>,
    },
    Declared {
        at: At,
    },
    Described {
        as_of: At,
        found: Option<(u64, Vec<u8>)>,
    },
    Facts(Vec<(String, Result<String, String>)>),
    /// A stream follows, behind this.
    Watching {
        behind: At,
    },
    Done,
}

/// A version and a row, or none.
pub type Seen = Option<(At, Vec<u8>)>;

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
            Answer::Status { as_of, .. }
            | Answer::Row { as_of, .. }
            | Answer::Rows { as_of, .. }
            | Answer::Page { as_of, .. }
            | Answer::Described { as_of, .. }
            | Answer::Declared { at: as_of } => Some(*as_of),
            // Where a stream begins is judged with the stream.
            Answer::Unknown | Answer::Facts(_) | Answer::Watching { .. } | Answer::Done => None,
        }
    }

    /// The position that it has to name, as new as everything that was answered before.
    pub fn fresh_position(&self) -> Option<At> {
        match (&self.ask, &self.answer) {
            (Ask::Watch(Watch { now: true, .. }), Answer::Watching { behind }) => Some(*behind),
            _ => self.position().filter(|_| !self.replayed()),
        }
    }

    /// Whether it was answered with what an earlier one had decided.
    pub fn replayed(&self) -> bool {
        matches!(
            self.answer,
            Answer::Committed { replayed: true, .. }
                | Answer::Rejected { replayed: true, .. }
                // The same declaration may have been accepted long ago.
                | Answer::Declared { .. }
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
    /// By the attempt that subscribed.
    pub streams: BTreeMap<usize, Vec<Told>>,
}

/// A frame of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub moment: u64,
    /// Everything up to here has been told.
    pub upto: At,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Changes(Vec<Happened>),
    Progress,
    /// The old epoch, and its last record.
    EpochChanged(At),
    End(Refusal),
}

/// A change as a stream tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    pub at: At,
    pub ordinal: usize,
    pub time_us: i64,
    pub partition: Vec<u8>,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put(String, Vec<u8>, Vec<u8>),
    Deleted(String, Vec<u8>),
    Expired(String, Vec<u8>),
    Event(String, Vec<u8>),
}
