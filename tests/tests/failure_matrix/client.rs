//! Clients and the operator: what they ask of one member, and what they are answered.

use seawall::message::report::Subject;
use seawall::message::{Commit, Consistency, GetRequest, HelloRequest, Opcode};
use seawall::refusal::Refusal;
use seawall::reply::{Body, ReplyMeta};
use seawall::session::{self, ClientSession};
use seawall::{Key, Row, Value, row};

use seawall_node::seam::order::{Errand, Order};
use seawall_node::seam::{ConnId, Event};

use crate::duo::{Duo, SHARD};

const PARTITION: &str = "p";
/// Values are so long that no half of a write holds a whole record.
const WIDTH: usize = 1400;

#[derive(Debug, Default)]
pub struct Client {
    session: ClientSession,
    lent: Option<Vec<u8>>,
    heard: Vec<u8>,
    /// The head of the last reply that was answered.
    said: ReplyMeta,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Epoch and index.
    Committed(u64, u64),
    /// The two numbers that one commit wrote; `None`: the row is not there.
    Row([Option<u64>; 2]),
    Refused(Refusal),
    Report(Facts),
}

/// Each with its value, or why that is unknown.
pub type Facts = Vec<(String, Result<String, String>)>;

impl Client {
    pub fn lends(&mut self, buf: Vec<u8>) {
        self.lent = Some(buf);
    }

    pub fn borrows(&mut self) -> Vec<u8> {
        self.lent.take().expect("the worker receives")
    }

    pub fn hears(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    pub fn hello(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.session.hello(&mut out, &HelloRequest::new("test", ""), 0);
        out
    }

    fn answers(&mut self) -> Vec<Answer> {
        let bytes = std::mem::take(&mut self.heard);
        let (mut rest, mut answers) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let session::Answer::Reply(reply, used) = self.session.next(rest).expect("it makes sense") else {
                panic!("the worker sends whole frames")
            };
            rest = &rest[used..];
            self.said = reply.meta;
            answers.extend(match reply.body {
                Body::Hello(_) => None,
                Body::Committed { .. } => {
                    let at = reply.meta.position.expect("a commit has a position");
                    Some(Answer::Committed(at.epoch.0, at.index.0))
                }
                Body::Row { found, .. } => {
                    let row = found.map(|found| Row::decode(found.row).expect("a row"));
                    Some(Answer::Row(["a", "b"].map(|name| row.as_ref().and_then(|row| number(row, name)))))
                }
                Body::Refused(refusal) => Some(Answer::Refused(refusal)),
                Body::Report(report) => Some(Answer::Report(
                    report
                        .facts
                        .iter()
                        .map(|fact| {
                            let value = fact.value.map(str::to_owned).map_err(str::to_owned);
                            (fact.name.to_owned(), value)
                        })
                        .collect(),
                )),
                other => panic!("nobody asked for {other:?}"),
            });
        }
        answers
    }
}

fn number(row: &Row, name: &str) -> Option<u64> {
    let Value::Text(text) = row.get(name)? else { return None };
    text.parse().ok()
}

impl Duo {
    /// An operator tells a member something.
    pub fn order(&mut self, nth: usize, errand: Errand) {
        let (actor, reason) = ("an operator".to_owned(), "the matrix asks for it".to_owned());
        let order = Box::new(Order { errand, actor, reason, again: false });
        self.event(nth, Event::Ordered { shard: SHARD, ticket: 1, order });
    }

    /// A new connection; its number.
    pub fn connect(&mut self, nth: usize) -> usize {
        let slot = self.members[nth].clients.len();
        self.members[nth].clients.push(Client::default());
        let conn = ConnId { slot: slot as u32, serial: 1 };
        self.event(nth, Event::Accepted { conn });
        let hello = self.members[nth].clients[slot].hello();
        self.send(nth, slot, &hello);
        slot
    }

    pub fn send(&mut self, nth: usize, slot: usize, mut bytes: &[u8]) {
        let conn = ConnId { slot: slot as u32, serial: 1 };
        while !bytes.is_empty() {
            let mut buf = self.members[nth].clients[slot].borrows();
            let n = bytes.len().min(buf.len());
            buf[..n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            self.event(nth, Event::Received { conn, buf, result: Ok(n) });
        }
    }

    fn ask(&mut self, nth: usize, opcode: Opcode, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let slot = self.connect(nth);
        let mut out = Vec::new();
        self.members[nth].clients[slot].answers();
        self.members[nth].clients[slot].session.ask(&mut out, opcode, 0, write).expect("it makes sense");
        self.send(nth, slot, &out);
        slot
    }

    /// The number is written to two fields of the one row.
    pub fn commit(&mut self, nth: usize, n: u64) -> usize {
        let wide = |name: &'static str| (name, format!("{n:0WIDTH$}"));
        let commit = Commit::new(PARTITION).put(&row("t", "r"), [wide("a"), wide("b")]);
        self.ask(nth, Opcode::Commit, |out| commit.encode(out))
    }

    pub fn send_commit(&mut self, nth: usize, commit: &Commit) -> usize {
        self.ask(nth, Opcode::Commit, |out| commit.encode(out))
    }

    /// The head of what was answered last.
    pub fn last_reply(&self, nth: usize, slot: usize) -> &ReplyMeta {
        &self.members[nth].clients[slot].said
    }

    /// Nobody was told that it is there, and nobody was told that it is not.
    pub fn answer(&mut self, nth: usize, slot: usize) -> Option<Answer> {
        self.members[nth].clients.get_mut(slot)?.answers().pop()
    }

    pub fn read_later(&mut self, nth: usize, consistency: Consistency) -> usize {
        let (partition, row) = (Key::from(PARTITION), row("t", "r"));
        let get = GetRequest { consistency, ..GetRequest::new(&partition, &row) };
        self.ask(nth, Opcode::Get, |out| get.encode(out))
    }

    /// Of a read that waits for nothing.
    pub fn read(&mut self, nth: usize, consistency: Consistency) -> Answer {
        let slot = self.read_later(nth, consistency);
        self.answer(nth, slot).expect("it is answered at once")
    }

    pub fn explain(&mut self, nth: usize) -> Facts {
        let slot = self.ask(nth, Opcode::Explain, |out| Subject::Shard(SHARD).encode(out));
        match self.answer(nth, slot) {
            Some(Answer::Report(facts)) => facts,
            other => panic!("{other:?}"),
        }
    }

    /// Committed, and known to be so by the follower too; then the log rests. Its last index.
    pub fn commit_now(&mut self, n: u64) -> u64 {
        let slot = self.commit(crate::duo::LEADER, n);
        self.settle();
        let answer = self.answer(crate::duo::LEADER, slot);
        assert!(matches!(answer, Some(Answer::Committed(..))), "{answer:?}");
        self.pass(300_000);
        self.status(crate::duo::LEADER).durable
    }
}

/// Any state that is proven to be younger than ten seconds.
pub const RELAXED: Consistency = Consistency::MaxStaleness { ms: 10_000 };

/// The row as the commit of `n` left it.
pub fn row_of(n: u64) -> Answer {
    Answer::Row([Some(n); 2])
}

pub fn refusal(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        other => panic!("it was not refused: {other:?}"),
    }
}

pub fn fact<'f>(facts: &'f Facts, name: &str) -> &'f Result<String, String> {
    &facts.iter().find(|(of, _)| of == name).unwrap_or_else(|| panic!("no {name} in {facts:?}")).1
}
