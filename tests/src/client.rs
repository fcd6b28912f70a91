//! The clients: each speaks the real protocol through the real codec, keeps several requests under way, and writes
//! down what it asked and what it was told.

use std::collections::{BTreeMap, VecDeque};

use seawall::address::{Address, DEFAULT_NAMESPACE, partition_hash};
use seawall::map::{Map, ShardId};
use seawall::message::{Consistency, GetRequest, HelloRequest, Opcode};
use seawall::position::{Lineage, Position};
use seawall::refusal::Outcome;
use seawall::reply::{Body, Reply};
use seawall::session::{self, ClientSession};
use seawall::token::Token;
use seawall::{Code, Commit, Key, Row, RowRef, Value, row};

use crate::check::{Violation, violation};
use crate::history::{Answer, Ask, At, Change, History, Must, Operation, mark};
use crate::net::LinkId;
use crate::random::Random;
use crate::world::When;

/// What the clients of one world do.
#[derive(Clone, Debug)]
pub struct Workload {
    pub clients: usize,
    /// Operations of each client before the last ones.
    pub operations: u64,
    /// Requests under way on one connection.
    pub window: u64,
    pub partitions: usize,
    pub rows: usize,
    pub think_us: (u64, u64),
    /// Commits among the operations, in thousandths.
    pub commits: u64,
    /// The largest padding of a row.
    pub padding: u64,
    /// Reads that need not see what is newest, in thousandths.
    pub relaxed: u64,
    /// Every second client only reads, until the last operations.
    pub readers: bool,
}

impl Workload {
    pub fn only_reads(&self, client: usize) -> bool {
        self.readers && client % 2 == 1
    }
}

/// So many positions a client remembers.
const TOKENS: usize = 12;

/// A client waits as long as a refusal says, but no longer than this.
const PATIENCE_MS: u64 = 20;

/// A row that the clients of a world use.
#[derive(Clone, Debug)]
pub struct Place {
    pub partition: Key,
    pub row: RowRef,
    pub stored: Vec<u8>,
    pub shard: ShardId,
}

/// All rows of a world, partition by partition.
#[derive(Clone, Debug)]
pub struct Places(Vec<Vec<Place>>);

impl Places {
    pub fn new(workload: &Workload, map: &Map) -> Self {
        let place = |partition: usize, number: usize| {
            let (partition, row) = (Key::from(format!("p{partition}").as_str()), row("t", number as i64));
            let mut stored = Vec::new();
            let (table, key) = (row.table.as_str(), row.key.as_bytes());
            let namespace = DEFAULT_NAMESPACE;
            Address { namespace, partition: partition.as_bytes(), table, row: key }.stored_key(&mut stored);
            let shard = map.shard_of(partition_hash(namespace, partition.as_bytes()));
            Place { partition, row, stored, shard }
        };
        let rows = |partition| (0..workload.rows).map(|number| place(partition, number)).collect();
        Self((0..workload.partitions).map(rows).collect())
    }

    pub fn all(&self) -> impl Iterator<Item = &Place> {
        self.0.iter().flatten()
    }
}

#[derive(Debug)]
pub struct Client {
    number: usize,
    random: Random,
    session: ClientSession,
    pub link: Option<LinkId>,
    /// The process at the other end.
    life: u32,
    arrived: Vec<u8>,
    hello: Option<u64>,
    ready: bool,
    /// It was told that its map is another one than the node's: a new connection brings the newest.
    pub stale: bool,
    /// Ended its own direction: reads what comes and sends nothing more.
    pub half_closed: bool,
    /// By correlation id: the number in the history, and which of the last operations it is.
    pending: BTreeMap<u64, (usize, Option<Last>)>,
    /// A refusal asked for patience until this moment of virtual time, on the client's clock.
    pub patient_until: u64,
    /// Of answers to it, for reads of its session: the newest one last.
    tokens: VecDeque<Token>,
    /// Virtual time of this step.
    now: u64,
    /// Operations of the first phase that were not begun.
    left: u64,
    /// How many more may be begun anew.
    again: u64,
    /// The last operations: a commit, then every row.
    last: Vec<Last>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Commit,
    Get(usize),
}

impl Client {
    pub fn new(number: usize, workload: &Workload, random: Random) -> Self {
        let gets = 0..workload.partitions * workload.rows;
        let last = gets.map(Last::Get).chain([Last::Commit]).collect();
        Self {
            number,
            random,
            session: ClientSession::new(),
            link: None,
            life: 0,
            arrived: Vec::new(),
            hello: None,
            ready: false,
            stale: false,
            half_closed: false,
            pending: BTreeMap::new(),
            patient_until: 0,
            tokens: VecDeque::new(),
            now: 0,
            left: workload.operations,
            again: 20 * workload.operations,
            last,
        }
    }

    /// What it waits for.
    pub fn describe(&self) -> String {
        let pending: Vec<_> = self.pending.values().map(|(number, _)| number).collect();
        format!(
            "client {} on {:?} (ready: {}) has operations {pending:?} under way, {} to begin and {} last ones",
            self.number,
            self.link,
            self.ready,
            self.left,
            self.last.len()
        )
    }

    pub fn done(&self) -> bool {
        self.left == 0 && self.last.is_empty() && self.pending.is_empty()
    }

    /// Connected to process `life`: what to send first.
    pub fn connected(&mut self, link: LinkId, life: u32) -> Vec<u8> {
        self.session = ClientSession::new();
        (self.link, self.life) = (Some(link), life);
        (self.ready, self.half_closed, self.stale) = (false, false, false);
        self.arrived.clear();
        let mut out = Vec::new();
        self.hello = Some(self.session.hello(&mut out, &HelloRequest::new("sim", ""), 0));
        out
    }

    /// The connection is gone: what was under way on it is unknown.
    pub fn disconnected(&mut self, history: &mut History) {
        self.link = None;
        for (number, last) in std::mem::take(&mut self.pending).into_values() {
            history.operations[number].life = self.life;
            self.last.extend(last);
        }
    }

    /// Begins one operation if there is one to begin; the bytes to send, if any. The last operations begin only
    /// when the world has `healed`.
    pub fn think(
        &mut self,
        When { now, moment, healed, .. }: When,
        of: &Workload,
        at: &Places,
        history: &mut History,
    ) -> Vec<u8> {
        self.now = now;
        let mut out = Vec::new();
        if !self.ready || self.half_closed || self.pending.len() as u64 >= of.window {
            return out;
        }
        if self.left > 0 {
            self.left -= 1;
            let commits = if of.only_reads(self.number) { 0 } else { of.commits };
            if self.random.chance(commits) {
                self.commit(None, moment, of, at, history, &mut out);
            } else {
                let place =
                    at.all().nth(self.random.index(of.partitions * of.rows)).expect("below their number");
                match self.random.chance(of.relaxed) {
                    true => self.get_relaxed(moment, place, history, &mut out),
                    false => self.get(None, moment, place, history, &mut out),
                }
            }
        } else if healed {
            let last = self.last.pop();
            match last {
                Some(Last::Commit) => self.commit(last, moment, of, at, history, &mut out),
                Some(Last::Get(nth)) => {
                    self.get(last, moment, at.all().nth(nth).expect("below their number"), history, &mut out);
                }
                None => {}
            }
        }
        out
    }

    /// Bytes arrived at `now`; `moment` counts up with each reply in them.
    pub fn read(
        &mut self,
        now: u64,
        bytes: &[u8],
        moment: &mut u64,
        history: &mut History,
    ) -> Result<(), Violation> {
        self.now = now;
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
            self.answered(&reply, *moment, history)?;
            if let Body::Refused(refusal) = &reply.body {
                let wait = u64::from(refusal.retry_after_ms).clamp(1, PATIENCE_MS) * 1_000;
                self.patient_until = now + self.random.between(wait / 2, wait);
            }
            rest = &rest[used..];
        }
        self.arrived = rest.to_vec();
        Ok(())
    }

    fn answered(&mut self, reply: &Reply<'_>, moment: u64, history: &mut History) -> Result<(), Violation> {
        let Reply { meta, body } = reply;
        if self.hello == Some(meta.correlation) {
            self.hello = None;
            self.ready = matches!(body, Body::Hello(_));
            return if self.ready { Ok(()) } else { self.strange(format!("to HELLO: {body:?}")) };
        }
        let Some((number, last)) = self.pending.remove(&meta.correlation) else {
            return self.strange(format!("to nothing that is under way: {reply:?}"));
        };
        if let Body::Refused(refusal) = body {
            self.stale |= matches!(refusal.code, Code::StaleGeneration | Code::GenerationAhead);
            self.stale |= refusal.code == Code::NotLeader && self.random.chance(300);
            // Nothing was tried: it is no operation of those that it was to begin.
            if self.again > 0 && matches!(refusal.code, Code::NotLeader | Code::NotReady) {
                self.again -= 1;
                self.left += u64::from(last.is_none());
            }
        }
        let operation = &mut history.operations[number];
        let position = meta.position.map(position);
        let commit = matches!(operation.ask, Ask::Commit(_));
        operation.answer = match (body, position) {
            (Body::Committed { .. }, Some(position)) if commit => Answer::Committed(position),
            (Body::Row { found, .. }, Some(as_of)) if !commit => {
                let row = found.as_ref().map(|found| (self::position(found.version), found.row.to_vec()));
                Answer::Read { as_of, row }
            }
            (Body::Refused(refusal), _) if may_refuse(refusal.code) && refusal.outcome == Outcome::None => {
                Answer::Refused
            }
            (Body::Refused(refusal), _)
                if commit
                    && matches!(
                        refusal.code,
                        Code::LogFailed | Code::LeadershipLost | Code::DurabilityTimeout
                    ) =>
            {
                Answer::Unknown
            }
            _ => return self.strange(format!("to operation {number}: {reply:?}")),
        };
        if let (Body::Refused(refusal), Must::NotBefore(at)) = (body, operation.must)
            && refusal.code == Code::TokenLostHistory
        {
            let said = refusal.position.map_or(At { epoch: 0, index: 0 }, self::position);
            history.called_lost.push((operation.shard, at, said));
            self.tokens.retain(|token| self::position(token.position) != at);
        }
        history.moments.insert(self.now, moment);
        if let Some(position) = meta.position.filter(|_| operation.answer != Answer::Refused) {
            let lineage_tag = Lineage(crate::world::LINEAGE).tag();
            self.tokens.push_back(Token { lineage_tag, shard: meta.shard, position });
            if self.tokens.len() > TOKENS {
                self.tokens.pop_front();
            }
        }
        operation.life = self.life;
        operation.answered = Some(moment).filter(|_| operation.answer != Answer::Unknown);
        if operation.position().is_some() && meta.shard != operation.shard {
            let (said, expected) = (meta.shard, operation.shard);
            return self.strange(format!("to operation {number} from shard {said}; expected {expected}"));
        }
        if operation.position().is_none() {
            self.last.extend(last); // what the last phase asked and did not get is asked again
        }
        Ok(())
    }

    fn commit(
        &mut self,
        last: Option<Last>,
        moment: u64,
        of: &Workload,
        at: &Places,
        history: &mut History,
        out: &mut Vec<u8>,
    ) {
        let number = history.operations.len();
        let mut rows: Vec<&Place> = self.random.pick(&at.0).iter().collect();
        self.random.shuffle(&mut rows);
        let count = self.random.between(1, 4.min(rows.len() as u64));
        rows.truncate(usize::try_from(count).expect("at most 4"));
        let bare = self.random.chance(50);
        let mut commit = Commit::new(rows[0].partition.clone());
        let mut changes = Vec::new();
        for (nth, place) in rows.iter().enumerate() {
            let put = !bare && (nth == 0 || self.random.chance(650));
            let value = put.then(|| self.value(number, nth, of));
            commit = match &value {
                Some(fields) => commit.put(&place.row, fields.clone()),
                None => commit.delete(&place.row),
            };
            let value = value.map(|fields| {
                let mut bytes = Vec::new();
                fields.into_iter().collect::<Row>().encode(&mut bytes);
                bytes
            });
            changes.push(Change { key: place.stored.clone(), value });
        }
        if of.relaxed > 0 && self.random.chance(50) {
            commit = commit.durable_on(*self.random.pick(&[2, 3, 4]));
        }
        let correlation = self.session.commit(out, &commit, 0).expect("the workload stays within the limits");
        self.pending.insert(correlation, (number, last));
        self.begin(moment, rows[0].shard, Ask::Commit(changes), history);
    }

    fn get(
        &mut self,
        last: Option<Last>,
        moment: u64,
        place: &Place,
        history: &mut History,
        out: &mut Vec<u8>,
    ) {
        let correlation = self.session.get(out, &place.partition, &place.row, 0).expect("within the limits");
        self.pending.insert(correlation, (history.operations.len(), last));
        self.begin(moment, place.shard, Ask::Get { key: place.stored.clone() }, history);
    }

    /// A read that a follower may answer.
    fn get_relaxed(&mut self, moment: u64, place: &Place, history: &mut History, out: &mut Vec<u8>) {
        let max_wait_ms = *self.random.pick(&[0, 20]);
        let newest = self.random.chance(500);
        let nth = if newest { self.tokens.len().saturating_sub(1) } else { self.random.index(TOKENS) };
        let token = self.tokens.get(nth).copied().filter(|_| self.random.chance(500));
        let (consistency, must) = match token {
            Some(token) => {
                (Consistency::Session { token, max_wait_ms }, Must::NotBefore(position(token.position)))
            }
            None => {
                let ms = *self.random.pick(&[150, 400, 3_000]);
                // The age is measured on a clock that may be slow: by less than a thousandth.
                let until = self.now.saturating_sub(u64::from(ms) * 1001);
                let known = history.moments.range(..until).next_back();
                let seen = known.map_or(0, |(_, moment)| *moment);
                (Consistency::MaxStaleness { ms }, Must::SeeAllUntil(seen))
            }
        };
        let request = GetRequest { consistency, ..GetRequest::new(&place.partition, &place.row) };
        let asked = self.session.ask(out, Opcode::Get, 0, |payload| request.encode(payload));
        self.pending.insert(asked.expect("within the limits"), (history.operations.len(), None));
        self.begin(moment, place.shard, Ask::Get { key: place.stored.clone() }, history);
        if let Some(operation) = history.operations.last_mut() {
            operation.must = must;
        }
    }

    fn begin(&self, invoked: u64, shard: ShardId, ask: Ask, history: &mut History) {
        let answer = Answer::Unknown;
        let (client, life) = (self.number, self.life);
        let must = Must::Newest;
        history.operations.push(Operation {
            client,
            shard,
            ask,
            invoked,
            answered: None,
            life,
            answer,
            must,
        });
    }

    fn value(&mut self, number: usize, nth: usize, of: &Workload) -> Vec<(&'static str, Value)> {
        let most = if self.random.chance(200) { of.padding } else { of.padding.min(60) };
        let padding = vec![b'.'; self.random.below(most + 1) as usize];
        let by = [mark(number as u64), vec![u8::try_from(nth).expect("at most 4")]].concat();
        vec![("by", Value::Bytes(by)), ("padding", Value::Bytes(padding))]
    }

    fn strange<T>(&self, what: String) -> Result<T, Violation> {
        violation(
            "a reply is one that the protocol allows",
            format!("client {} got a reply {what}", self.number),
        )
    }
}

/// Refusals that the faults of these worlds explain.
fn may_refuse(code: Code) -> bool {
    use Code::*;
    matches!(code, NotReady | LogFailed | DiskFull | Throttled | ClockUntrusted)
        || matches!(code, NotLeader | DurabilityUnavailable | LeaseUnproven)
        || matches!(code, StaleGeneration | GenerationAhead)
        || matches!(code, ReplicaUnsafe | NotCaughtUp | StaleBound | TokenLostHistory)
}

fn position(position: Position) -> At {
    At { epoch: position.epoch.0, index: position.index.0 }
}
