//! Replies and stream frames of any kind, as tests of reads want to look at them.
#![allow(dead_code, reason = "each test crate looks at some of them")]

use seawall::message::declare::Declaration;
use seawall::message::route::Owned;
use seawall::message::scan::{Order, ScanRequest, Span};
use seawall::message::watch::{Begin, Scope, SubscribeRequest, Told, What};
use seawall::message::{Commit, Consistency, MultiGetRequest, Opcode};
use seawall::refusal::Refusal;
use seawall::reply::{Body, Reply};
use seawall::session::Answer;
use seawall::{Key, Row, RowRef};

use super::Bench;

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub correlation: u64,
    pub at: Option<(u64, u64)>,
    pub staleness_ms: Option<u32>,
    pub what: Thing,
}

/// A version and a row.
pub type Versioned = ((u64, u64), Row);

#[derive(Clone, Debug, PartialEq)]
pub enum Thing {
    Committed,
    Row(Option<Versioned>),
    Rows(Vec<Option<Versioned>>),
    Page {
        rows: Vec<(Key, Versioned)>,
        cursor: Vec<u8>,
    },
    Done,
    Declared(Option<u64>),
    Report {
        complete: bool,
        facts: Vec<(String, Result<String, String>)>,
    },
    /// Each part in words.
    Map(Vec<String>),
    Subscribed,
    /// `put cabin/C14`, `deleted …`, `expired …`, `event topic payload`, each with index and ordinal.
    Changes(Vec<(u64, usize, String)>),
    Progress,
    EpochChanged(u64, u64),
    Refused(Refusal),
}

/// A page, a range, an order: what a test of scans wants to vary.
pub struct Scan<'a> {
    pub table: &'a str,
    pub index: Option<&'a str>,
    pub span: Span<'a>,
    pub order: Order,
    pub limit: usize,
    pub cursor: &'a [u8],
}

impl Default for Scan<'_> {
    fn default() -> Self {
        Self { table: "t", index: None, span: Span::All, order: Order::Ascending, limit: 1000, cursor: &[] }
    }
}

impl Bench {
    /// Everything that arrived since the last call.
    pub fn heard(&mut self) -> Vec<Heard> {
        let bytes = std::mem::take(&mut self.received);
        let mut rest = &bytes[..];
        let mut heard = Vec::new();
        while !rest.is_empty() {
            match self.session.next(rest).unwrap() {
                Answer::Reply(reply, used) => {
                    heard.extend(thing(&reply).map(|what| Heard {
                        correlation: reply.meta.correlation,
                        at: reply.meta.position.map(|at| (at.epoch.0, at.index.0)),
                        staleness_ms: reply.meta.staleness_ms,
                        what,
                    }));
                    rest = &rest[used..];
                }
                Answer::Need(_) => panic!("the worker sends whole frames"),
            }
        }
        heard
    }

    /// The only frame that arrived.
    pub fn hear(&mut self) -> Heard {
        let mut heard = self.heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard.remove(0)
    }

    /// Commits, makes it durable, and hears its one answer.
    pub fn done(&mut self, commit: &Commit) -> Heard {
        self.commit(commit);
        self.settle();
        self.hear()
    }

    pub fn get_as(&mut self, consistency: Consistency, partition: &Key, row: &RowRef) {
        self.ask(Opcode::Get, |out| {
            let get = seawall::message::GetRequest {
                consistency,
                ..seawall::message::GetRequest::new(partition, row)
            };
            get.encode(out);
        });
    }

    pub fn multi_get(&mut self, partition: &Key, rows: &[RowRef]) {
        let fresh = Consistency::Linearizable;
        self.ask(Opcode::MultiGet, |out| MultiGetRequest::encode_rows(out, &fresh, partition, rows));
    }

    pub fn scan(&mut self, partition: &Key, scan: &Scan<'_>) {
        let Scan { table, index, span, order, limit, cursor } = *scan;
        let request = ScanRequest { index, span, order, limit, cursor, ..ScanRequest::new(partition, table) };
        let opcode = if index.is_some() { Opcode::ScanIndex } else { Opcode::Scan };
        self.ask(opcode, |out| request.encode(out));
    }

    pub fn declare(&mut self, table: &str, version: u64, declaration: &Declaration) {
        let mut bytes = Vec::new();
        declaration.encode(&mut bytes);
        let declare = seawall::message::declare::DeclareRequest { table, version, declaration: &bytes };
        self.ask(Opcode::Declare, |out| declare.encode(out));
    }

    /// Subscribes to rows and events; returns the number of the subscription.
    pub fn subscribe(&mut self, scope: Scope<'_>, from: Begin<'_>, credit: u64) -> u64 {
        let request =
            SubscribeRequest { scope, from, rows: true, events: true, table: None, topic: None, credit };
        let mut out = Vec::new();
        let number = self.session.ask(&mut out, Opcode::Subscribe, 0, |out| request.encode(out)).unwrap();
        self.receive(&out);
        number
    }
}

fn thing(reply: &Reply<'_>) -> Option<Thing> {
    let versioned = |found: seawall::message::read::Found<'_>| {
        ((found.version.epoch.0, found.version.index.0), Row::decode(found.row).unwrap())
    };
    Some(match &reply.body {
        Body::Hello(_) => return None,
        Body::Refused(refusal) => Thing::Refused(refusal.clone()),
        Body::Committed { .. } => Thing::Committed,
        Body::Row { found, .. } => Thing::Row(found.map(versioned)),
        Body::Rows { rows, .. } => Thing::Rows(rows.iter().map(|found| found.map(versioned)).collect()),
        Body::Page { page, .. } => Thing::Page {
            rows: page
                .rows
                .iter()
                .map(|row| (Key::from_bytes(row.key).unwrap(), versioned(row.found)))
                .collect(),
            cursor: page.cursor.to_vec(),
        },
        Body::Done => Thing::Done,
        Body::Declared { declared } => Thing::Declared(declared.map(|declared| declared.version)),
        Body::Report(report) => Thing::Report {
            complete: report.complete,
            facts: report
                .facts
                .iter()
                .map(|fact| (fact.name.to_owned(), fact.value.map(str::to_owned).map_err(str::to_owned)))
                .collect(),
        },
        Body::Map(parts) => Thing::Map(parts.iter().map(|part| owned(&part)).collect()),
        Body::Subscribed { .. } => Thing::Subscribed,
        Body::Told { told, .. } => match told {
            Told::Progress => Thing::Progress,
            Told::EpochChanged { old, prefix_end } => Thing::EpochChanged(old.0, prefix_end.0),
            Told::Changes(changes) => Thing::Changes(
                changes.iter().map(|c| (c.position.index.0, c.ordinal, change(&c.what))).collect(),
            ),
        },
        other @ Body::KeyStatus { .. } => panic!("nobody asked for {other:?}"),
    })
}

fn change(what: &What<'_>) -> String {
    let named =
        |at: &seawall::message::term::RowAt<'_>| format!("{}/{}", at.table, seawall::key::display(at.key));
    match what {
        What::Put { at, .. } => format!("put {}", named(at)),
        What::Deleted { at } => format!("deleted {}", named(at)),
        What::Expired { at } => format!("expired {}", named(at)),
        What::Event { topic, payload } => format!("event {topic} {}", String::from_utf8_lossy(payload)),
    }
}

fn owned(part: &Owned<'_>) -> String {
    let labels: Vec<&str> = part.labels.iter().map(|label| label.0).collect();
    let (hash, shard, epoch) = (part.first_hash, part.shard, part.epoch.0);
    format!("{hash:x}: shard {shard}, epoch {epoch}, leader {:?} {labels:?}", part.leader)
}
