//! One client: it keeps several requests under way, sends commits again whose answers it lost, asks what became of
//! them, and writes everything down.

mod look;
mod send;
mod watch;

use std::collections::BTreeMap;

use seawall::map::{Generation, ShardId};
use seawall::message::assigned::Result as Assigned;
use seawall::message::op::Op;
use seawall::message::read::GetRequest;
use seawall::message::{HelloRequest, Opcode};
use seawall::position::Position;
use seawall::reply::{Body, Reply};
use seawall::session::{self, ClientSession};
use seawall::{Code, Key, RowRef};

use super::Shared;
use super::history::{Answer, Ask, Book, write_frame};
use super::reply::{answer, note, passes};
use super::tables::TABLES;
use crate::check::{Violation, violation};
use crate::client::Workload;
use crate::net::LinkId;
use crate::random::Random;
use watch::Streams;

/// A client waits as long as a refusal says, but no longer than this.
const PATIENCE_MS: u64 = 20;
/// Correlation ids of its own requests begin here; HELLO has one of the session's.
const FIRST: u64 = 1_000;
/// That of a request which is sent too early.
const EARLY: u64 = 999;

#[derive(Debug)]
pub struct Shopper {
    number: usize,
    random: Random,
    session: ClientSession,
    pub link: Option<LinkId>,
    life: u32,
    arrived: Vec<u8>,
    hello: Option<u64>,
    ready: bool,
    pub half_closed: bool,
    correlation: u64,
    /// By correlation id: the number of the attempt, and what to do again if it brings nothing.
    pending: BTreeMap<u64, (usize, Option<Last>)>,
    pub patient_until: u64,
    left: u64,
    last: Vec<Last>,
    /// Keyed commits of this client whose fate it does not know.
    doubtful: Vec<usize>,
    sequence: u64,
    /// Where it last stood.
    seen: BTreeMap<ShardId, Position>,
    streams: Streams,
    /// Pages with a cursor, by their attempts: another page may follow.
    pages: Vec<(usize, Vec<u8>)>,
}

/// What is done at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Get(usize),
    Resolve(usize),
    /// All rows of a declared table, of this partition.
    Scan(usize, &'static str),
    /// A stream of all that is kept, until it has told what this client saw.
    Watch(usize),
}

/// Each row is read by each client; one of them also scans and watches, once.
fn last_ones(number: usize, of: &Workload) -> Vec<Last> {
    let mut last: Vec<Last> = (0..of.partitions * (of.rows + 3)).map(Last::Get).collect();
    if number == 0 {
        for n in 0..of.partitions {
            last.extend(TABLES.iter().map(|table| Last::Scan(n, table)));
            last.push(Last::Watch(n));
        }
    }
    last
}

/// What is unusual about a frame.
#[derive(Clone, Copy, Debug, Default)]
struct Oddity {
    generation: Generation,
    shard: ShardId,
    deadline_ms: u32,
}

impl Shopper {
    pub fn new(number: usize, of: &Workload, random: Random) -> Self {
        Self {
            number,
            random,
            session: ClientSession::new(),
            link: None,
            life: 0,
            arrived: Vec::new(),
            hello: None,
            ready: false,
            half_closed: false,
            correlation: FIRST,
            pending: BTreeMap::new(),
            patient_until: 0,
            left: of.operations,
            last: last_ones(number, of),
            doubtful: Vec::new(),
            sequence: 1,
            seen: BTreeMap::new(),
            streams: Streams::default(),
            pages: Vec::new(),
        }
    }

    pub fn describe(&self) -> String {
        let pending: Vec<_> = self.pending.values().map(|(number, _)| number).collect();
        format!(
            "client {} on {:?} (ready: {}) has operations {pending:?} under way, {} to begin and {} last ones",
            self.number,
            self.link,
            self.ready,
            self.left,
            self.last.len() + self.doubtful.len()
        )
    }

    pub fn done(&self) -> bool {
        let asked = self.last.is_empty() && self.doubtful.is_empty() && self.pending.is_empty();
        self.left == 0 && asked && !self.streams.last_one_runs()
    }

    /// Now and then it does not wait for HELLO to be answered, nor even send it first.
    pub fn connected(&mut self, link: LinkId, life: u32, shared: &Shared) -> Vec<u8> {
        self.session = ClientSession::new();
        (self.link, self.life) = (Some(link), life);
        (self.ready, self.half_closed) = (false, false);
        self.arrived.clear();
        let mut out = Vec::new();
        if self.random.chance(30) {
            let place = &shared.places.all()[0];
            let partition = shared.places.partition(place.partition);
            write_frame(&mut out, Opcode::Get, EARLY, |out| {
                GetRequest::new(&partition, &place.row).encode(out)
            });
        }
        self.hello = Some(self.session.hello(&mut out, &HelloRequest::new("sim", ""), 0));
        out
    }

    pub fn disconnected(&mut self, book: &mut Book) {
        self.link = None;
        self.last.extend(self.streams.disconnected());
        self.pages.clear();
        for (number, last) in std::mem::take(&mut self.pending).into_values() {
            book.attempts[number].life = self.life;
            self.last.extend(last);
            self.doubt(number, book);
        }
    }

    /// A commit under a key can be asked about.
    fn doubt(&mut self, number: usize, book: &Book) {
        if let Ask::Commit(asked) = book.attempts[number].ask
            && book.asked[asked].key.is_some()
        {
            self.doubtful.push(asked);
        }
    }

    pub fn read(
        &mut self,
        now: u64,
        bytes: &[u8],
        moment: &mut u64,
        shared: &mut Shared,
    ) -> Result<(), Violation> {
        self.arrived.extend_from_slice(bytes);
        let arrived = std::mem::take(&mut self.arrived);
        let mut rest = arrived.as_slice();
        loop {
            let (reply, used) = match self.session.next(rest) {
                Ok(session::Answer::Need(_)) => break,
                Ok(session::Answer::Reply(reply, used)) => (reply, used),
                Err(refusal) => return self.strange(format!("cannot be read: {refusal:?}")),
            };
            *moment += 1;
            if !self.told(&reply, used, *moment, shared)? {
                self.answered(&reply, *moment, shared)?;
            }
            if let Body::Refused(refusal) = &reply.body {
                let wait = u64::from(refusal.retry_after_ms).clamp(1, PATIENCE_MS) * 1_000;
                self.patient_until = now + self.random.between(wait / 2, wait);
            }
            rest = &rest[used..];
        }
        self.arrived = rest.to_vec();
        Ok(())
    }

    fn answered(&mut self, reply: &Reply<'_>, moment: u64, shared: &mut Shared) -> Result<(), Violation> {
        let Reply { meta, body } = reply;
        if let Body::Refused(why) = body {
            shared.met.code(why.code);
        }
        if self.hello == Some(meta.correlation) {
            self.hello = None;
            self.ready = matches!(body, Body::Hello(_));
            return if self.ready { Ok(()) } else { self.strange(format!("to HELLO: {body:?}")) };
        }
        if meta.correlation == EARLY {
            return match body {
                Body::Refused(why) if why.code == Code::Unauthenticated => Ok(()),
                _ => self.strange(format!("before HELLO: {body:?}")),
            };
        }
        let Some((number, last)) = self.pending.remove(&meta.correlation) else {
            return self.strange(format!("to nothing that is under way: {reply:?}"));
        };
        let Some(answer) = answer(&shared.book.attempts[number].ask, reply) else {
            return self.strange(format!("to operation {number}: {reply:?}"));
        };
        let attempt = &mut shared.book.attempts[number];
        attempt.life = self.life;
        attempt.answered = Some(moment).filter(|_| answer != Answer::Unknown);
        attempt.answer = answer;
        let (shard, position) = (attempt.shard, attempt.position());
        if position.is_some() && meta.shard != shard {
            return self
                .strange(format!("to operation {number} from shard {}; expected {shard}", meta.shard));
        }
        if let Some(position) = meta.position {
            let seen = self.seen.entry(shard).or_insert(position);
            *seen = (*seen).max(position);
        }
        note(number, &mut shared.met, &shared.book);
        self.streams.answered(number, meta.correlation, &shared.book);
        self.learn(number, shared);
        match &shared.book.attempts[number].answer {
            Answer::Unknown => self.doubt(number, &shared.book),
            // What the last phase asked and did not get is asked again.
            Answer::Refused(why) if passes(why.code) => self.last.extend(last),
            _ => {}
        }
        if shared.book.attempts[number].answer == Answer::Unknown {
            self.last.extend(last);
        }
        Ok(())
    }

    /// Versions and tokens that later commits name.
    fn learn(&mut self, number: usize, shared: &mut Shared) {
        let Shared { book, learnt, places, .. } = shared;
        let attempt = &book.attempts[number];
        match (&attempt.ask, &attempt.answer) {
            (Ask::Declare(declare), Answer::Declared { .. }) => {
                learnt.declared(attempt.shard, &declare.table, declare.version);
            }
            (Ask::Describe(table), Answer::Described { found: Some((version, _)), .. }) => {
                learnt.declared(attempt.shard, table, *version);
            }
            (Ask::Scan(_), Answer::Page { cursor, .. }) if !cursor.is_empty() => {
                self.pages.push((number, cursor.clone()));
            }
            _ => {}
        }
        let (Ask::Commit(asked), Answer::Committed { at, results, .. }) = (&attempt.ask, &attempt.answer)
        else {
            return;
        };
        learnt.versions.push(Position::new(at.epoch, at.index));
        let asked = &book.asked[*asked];
        let leases: Vec<(usize, Position)> = results
            .list()
            .iter()
            .filter_map(|one| match one.result {
                Assigned::Lease { token, .. } => Some((one.op, token)),
                _ => None,
            })
            .collect();
        let partition = asked.commit.partition();
        let partition = (0..).find(|n| places.partition(*n) == *partition).expect("one of ours");
        asked.read(|commit| {
            for (nth, token) in leases {
                if let Some(Op::LeaseAcquire { at, .. } | Op::LeaseRenew { at, .. }) =
                    commit.ops.iter().nth(nth)
                {
                    let key = Key::from_bytes(at.key).expect("a key of ours");
                    learnt.leases.push((partition, RowRef { table: at.table.to_owned(), key }, token));
                }
            }
        });
    }

    fn strange<T>(&self, what: String) -> Result<T, Violation> {
        violation(
            "a reply is one that the protocol allows",
            format!("client {} got a reply {what}", self.number),
        )
    }
}
