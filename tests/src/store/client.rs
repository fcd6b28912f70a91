//! One client: it keeps several requests under way, sends commits again whose answers it lost, asks what became of
//! them, and writes everything down.

use std::collections::BTreeMap;

use seawall::frame::{self, FrameMeta, Kind};
use seawall::map::{Generation, ShardId};
use seawall::message::assigned::Result as Assigned;
use seawall::message::op::Op;
use seawall::message::read::{Consistency, GetRequest};
use seawall::message::settle::SettleRequest;
use seawall::message::{HelloRequest, Opcode};
use seawall::position::{Lineage, Position};
use seawall::reply::{Body, Reply};
use seawall::session::{self, ClientSession};
use seawall::token::Token;
use seawall::{Code, Commit, Key, RowRef};

use super::Shared;
use super::draw::Drawing;
use super::history::{Answer, Ask, Asked, Attempt, Book, under_key_of, write_frame, write_many};
use super::reply::{answer, note, passes};
use crate::check::{Violation, violation};
use crate::client::Workload;
use crate::net::LinkId;
use crate::random::Random;
use crate::world::{LINEAGE, When};

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
}

/// What is done at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Get(usize),
    Resolve(usize),
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
            last: (0..of.partitions * (of.rows + 3)).map(Last::Get).collect(),
            doubtful: Vec::new(),
            sequence: 1,
            seen: BTreeMap::new(),
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
        self.left == 0 && self.last.is_empty() && self.doubtful.is_empty() && self.pending.is_empty()
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

    pub fn think(&mut self, when: When, of: &Workload, shared: &mut Shared) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.ready || self.half_closed || self.pending.len() as u64 >= of.window {
            return out;
        }
        if self.left > 0 {
            self.left -= 1;
            self.begin(when, of, shared, &mut out);
        } else if when.healed {
            self.end(when, shared, &mut out);
        }
        out
    }

    fn begin(&mut self, when: When, of: &Workload, shared: &mut Shared, out: &mut Vec<u8>) {
        let keyed = self.any_keyed(&shared.book);
        match (self.random.below(100), keyed) {
            (0..48, _) | (_, None) => {
                let asked = self.draw(when, of, shared, None);
                self.send_commit(when, asked, &mut shared.book, out);
            }
            (48..52, _) => self.commit_many(when, of, shared, out),
            (52..66, Some(asked)) => {
                let asked = self.doubtful.pop().filter(|_| self.random.chance(500)).unwrap_or(asked);
                self.send_commit(when, asked, &mut shared.book, out);
            }
            (66..70, Some(asked)) => {
                // Another content under a key that is used already.
                let asked = self.draw(when, of, shared, Some(asked));
                self.send_commit(when, asked, &mut shared.book, out);
            }
            (70..76, Some(asked)) => self.settle(Opcode::StatusOf, when, asked, None, &mut shared.book, out),
            (76..80, Some(asked)) => self.settle(Opcode::Resolve, when, asked, None, &mut shared.book, out),
            (80..82, _) => {
                // The commit may come later.
                let asked = self.draw(when, of, shared, None);
                if shared.book.asked[asked].key.is_some() {
                    self.settle(Opcode::Resolve, when, asked, None, &mut shared.book, out);
                } else {
                    self.send_commit(when, asked, &mut shared.book, out);
                }
            }
            _ => {
                let place = self.random.index(shared.places.all().len());
                self.get(when, place, None, shared, out);
            }
        }
    }

    fn end(&mut self, when: When, shared: &mut Shared, out: &mut Vec<u8>) {
        if let Some(asked) = self.doubtful.pop() {
            let last = Some(Last::Resolve(asked));
            return self.settle(Opcode::Resolve, when, asked, last, &mut shared.book, out);
        }
        match self.last.pop() {
            Some(last @ Last::Resolve(asked)) => {
                self.settle(Opcode::Resolve, when, asked, Some(last), &mut shared.book, out);
            }
            Some(last @ Last::Get(place)) => self.get(when, place, Some(last), shared, out),
            None => {}
        }
    }

    /// A commit of anybody, most often a late one.
    fn any_keyed(&mut self, book: &Book) -> Option<usize> {
        let many = book.asked.len();
        let reach = if self.random.chance(700) { many.min(8) } else { many };
        if many == 0 {
            return None;
        }
        let pick = many - 1 - self.random.index(reach);
        book.asked[pick].key.is_some().then_some(pick)
    }

    /// A new commit, or one under the key of another.
    fn draw(&mut self, when: When, of: &Workload, shared: &mut Shared, like: Option<usize>) -> usize {
        let Shared { places, learnt, book, .. } = shared;
        let number = book.asked.len();
        let keyed = like.is_some() || self.random.chance(600);
        let partition = match like {
            Some(like) => {
                let key = book.asked[like].commit.partition().clone();
                (0..of.partitions).find(|n| places.partition(*n) == key).expect("one of ours")
            }
            None => self.random.index(of.partitions),
        };
        let random = &mut self.random;
        let mut drawing = Drawing { random, learnt, places, of, partition, wall_us: when.wall_us };
        let mut commit = drawing.commit(number, !keyed);
        if self.random.chance(10) {
            commit = commit.durable_on(3);
        }
        commit = match like.map(|like| &book.asked[like]) {
            Some(like) => under_key_of(commit, &like.commit),
            None if keyed => self.named(commit, number, when),
            None => commit,
        };
        book.asked.push(Asked::new(commit, places.shard(partition)));
        number
    }

    fn named(&mut self, commit: Commit, number: usize, when: When) -> Commit {
        let hour = 3_600_000_000;
        let off = match self.random.below(40) {
            0 => -25 * hour,
            1 => -23 * hour,
            2 => 120_000_000,
            _ => -i64::try_from(self.random.below(2_000_000)).expect("small"),
        };
        let born = when.wall_us + off;
        if self.random.chance(650) {
            return commit.key(format!("k{number}")).first_sent(born);
        }
        self.sequence += if self.random.chance(40) { 600 } else { 1 };
        let session = [u8::try_from(self.number).expect("few clients"); 16];
        commit.session_key(session, self.sequence, born)
    }

    fn oddity(&mut self, shard: ShardId) -> Oddity {
        let usual = Oddity { generation: self.session.generation(), ..Oddity::default() };
        match self.random.below(100) {
            0 => Oddity { generation: Generation(1), ..usual },
            1 => Oddity { generation: Generation(3), ..usual },
            2 => Oddity { shard: ShardId(shard.0 + 7), ..usual },
            3..20 => Oddity { deadline_ms: 1, ..usual },
            20..30 => Oddity { shard, ..usual },
            30..40 => Oddity { generation: Generation::ANY, ..usual },
            _ => usual,
        }
    }

    /// Writes the frame of `many` requests in one, and notes them as under way.
    fn ask(
        &mut self,
        when: When,
        opcode: Opcode,
        asks: Vec<(ShardId, Ask, Option<Last>)>,
        book: &mut Book,
        out: &mut Vec<u8>,
        payload: impl FnOnce(&mut Vec<u8>),
    ) {
        let last = asks.iter().any(|(.., last)| last.is_some());
        let odd = if last { Oddity::default() } else { self.oddity(asks[0].0) };
        let odd = if asks.len() > 1 { Oddity { shard: ShardId::ANY, ..odd } } else { odd };
        let meta = FrameMeta {
            kind: Kind::Request,
            opcode: opcode as u16,
            correlation: self.correlation,
            generation: odd.generation,
            shard: odd.shard,
            deadline_ms: odd.deadline_ms,
            tags: &[],
        };
        frame::write(out, &meta, payload);
        for (shard, ask, last) in asks {
            self.pending.insert(self.correlation, (book.attempts.len(), last));
            self.correlation += 1;
            let (client, life, answer) = (self.number, self.life, Answer::Unknown);
            let invoked = when.moment;
            book.attempts.push(Attempt { client, shard, ask, invoked, answered: None, life, answer });
        }
    }

    fn send_commit(&mut self, when: When, asked: usize, book: &mut Book, out: &mut Vec<u8>) {
        let Asked { commit, shard, .. } = book.asked[asked].clone();
        let asks = vec![(shard, Ask::Commit(asked), None)];
        self.ask(when, Opcode::Commit, asks, book, out, |payload| commit.encode(payload));
    }

    fn commit_many(&mut self, when: When, of: &Workload, shared: &mut Shared, out: &mut Vec<u8>) {
        let many: Vec<usize> =
            (0..self.random.between(2, 4)).map(|_| self.draw(when, of, shared, None)).collect();
        let book = &mut shared.book;
        let commits: Vec<Commit> = many.iter().map(|asked| book.asked[*asked].commit.clone()).collect();
        let asks = many.iter().map(|asked| (book.asked[*asked].shard, Ask::Commit(*asked), None)).collect();
        self.ask(when, Opcode::CommitMany, asks, book, out, |payload| {
            write_many(payload, &commits);
        });
    }

    fn settle(
        &mut self,
        opcode: Opcode,
        when: When,
        asked: usize,
        last: Option<Last>,
        book: &mut Book,
        out: &mut Vec<u8>,
    ) {
        let Asked { commit, shard, .. } = book.asked[asked].clone();
        let (ask, token) = match opcode {
            Opcode::StatusOf => (Ask::Status(asked), self.token(shard).filter(|_| self.random.chance(500))),
            _ => (Ask::Resolve(asked), None),
        };
        let request_key = commit.request_key().expect("only keys are asked about");
        let settle = SettleRequest { partition: commit.partition().as_bytes(), request_key, token };
        self.ask(when, opcode, vec![(shard, ask, last)], book, out, |payload| settle.encode(payload));
    }

    /// Of where it last stood.
    fn token(&self, shard: ShardId) -> Option<Token> {
        let position = *self.seen.get(&shard)?;
        Some(Token { lineage_tag: Lineage(LINEAGE).tag(), shard, position })
    }

    fn get(&mut self, when: When, place: usize, last: Option<Last>, shared: &mut Shared, out: &mut Vec<u8>) {
        let Shared { places, book, .. } = shared;
        let place = &places.all()[place];
        let (partition, shard): (Key, ShardId) =
            (places.partition(place.partition), places.shard(place.partition));
        let consistency = match (self.random.below(8), self.token(shard)) {
            (0, Some(token)) if last.is_none() => Consistency::Session { token, max_wait_ms: 5 },
            (1, _) if last.is_none() => Consistency::MaxStaleness { ms: 50 },
            _ => Consistency::Linearizable,
        };
        let get = GetRequest { consistency, ..GetRequest::new(&partition, &place.row) };
        let asks = vec![(shard, Ask::Get(place.stored.clone()), last)];
        self.ask(when, Opcode::Get, asks, book, out, |payload| get.encode(payload));
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
            self.answered(&reply, *moment, shared)?;
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
