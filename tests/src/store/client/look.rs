//! What a client looks at: rows, pages, declarations, reports.

use std::ops::Bound;

use seawall::key::Part;
use seawall::map::ShardId;
use seawall::message::Opcode;
use seawall::message::declare::DeclareRequest;
use seawall::message::read::{Consistency, GetRequest, MultiGetRequest};
use seawall::message::report::Subject;
use seawall::message::scan::{Order, ScanRequest, Span};
use seawall::{Key, RowRef};

use super::{Last, Shopper};
use crate::client::Workload;
use crate::store::Shared;
use crate::store::history::{Ask, Asked, Declare, Keys, Scan};
use crate::store::tables::{self, INDEXES, TABLES};
use crate::world::When;

impl Shopper {
    pub(super) fn look(&mut self, when: When, of: &Workload, shared: &mut Shared, out: &mut Vec<u8>) {
        let partition = self.random.index(of.partitions);
        match self.random.below(48) {
            0..14 => {
                let place = self.random.index(shared.places.all().len());
                self.get(when, place, None, shared, out);
            }
            14..18 => self.multi_get(when, partition, shared, out),
            18..24 => self.scan(when, partition, None, shared, out),
            24..30 => self.scan(when, partition, Some(()), shared, out),
            30..34 => self.declare(when, partition, shared, out),
            34..36 => self.ask_for_table(when, partition, shared, out),
            36..38 => self.report(when, partition, shared, out),
            38..41 => self.watch(when, partition, shared, out),
            _ => self.tend(when, partition, shared, out),
        }
    }

    /// Most reads want the newest state.
    fn fresh(&mut self, shard: ShardId) -> Consistency {
        let wait = *self.random.pick(&[0, 5, 40]);
        let token = match self.random.below(16) {
            0..2 => self.token(shard),
            2 => self.token_ahead(shard),
            3 => self.lost_token(shard),
            4 | 5 => return Consistency::MaxStaleness { ms: 50 },
            _ => None,
        };
        match token {
            Some(token) => Consistency::Session { token, max_wait_ms: wait },
            None => Consistency::Linearizable,
        }
    }

    pub(super) fn get(
        &mut self,
        when: When,
        place: usize,
        last: Option<Last>,
        shared: &mut Shared,
        out: &mut Vec<u8>,
    ) {
        let Shared { places, book, .. } = shared;
        let place = &places.all()[place];
        let (partition, shard): (Key, ShardId) =
            (places.partition(place.partition), places.shard(place.partition));
        let consistency = if last.is_some() { Consistency::Linearizable } else { self.fresh(shard) };
        let get = GetRequest { consistency, ..GetRequest::new(&partition, &place.row) };
        let asks = vec![(shard, Ask::Get(consistency, place.stored.clone()), last)];
        self.ask(when, Opcode::Get, asks, book, out, |payload| get.encode(payload));
    }

    fn multi_get(&mut self, when: When, partition: usize, shared: &mut Shared, out: &mut Vec<u8>) {
        let Shared { places, book, .. } = shared;
        let (key, shard) = (places.partition(partition), places.shard(partition));
        let here: Vec<_> = places.all().iter().filter(|place| place.partition == partition).collect();
        let wanted: Vec<_> = (0..self.random.between(1, 5)).map(|_| *self.random.pick(&here)).collect();
        let fresh = self.fresh(shard);
        let rows: Vec<RowRef> = wanted.iter().map(|place| place.row.clone()).collect();
        let ask = Ask::MultiGet(fresh, wanted.iter().map(|place| place.stored.clone()).collect());
        self.ask(when, Opcode::MultiGet, vec![(shard, ask, None)], book, out, |payload| {
            MultiGetRequest::encode_rows(payload, &fresh, &key, &rows);
        });
    }

    /// A new scan, or the next page of one.
    fn scan(
        &mut self,
        when: When,
        partition: usize,
        indexed: Option<()>,
        shared: &mut Shared,
        out: &mut Vec<u8>,
    ) {
        if let Some((behind, cursor)) = self.pages.pop().filter(|_| self.random.chance(700)) {
            let attempt = &shared.book.attempts[behind];
            let Ask::Scan(scan) = attempt.ask.clone() else { unreachable!("only scans have pages") };
            let shard = attempt.shard;
            let scan = Scan { fresh: self.fresh(shard), behind: Some(behind), ..scan };
            return self.send_scan(when, shard, scan, &cursor, None, shared, out);
        }
        let places = &shared.places;
        let (key, shard) = (places.partition(partition), places.shard(partition));
        let table = match indexed {
            Some(()) => TABLES[0],
            None => *self.random.pick(&["t", "s", TABLES[0], TABLES[1]]),
        };
        let index = indexed.map(|()| (*self.random.pick(INDEXES)).to_owned());
        let scan = Scan {
            fresh: self.fresh(shard),
            partition: key,
            table: table.to_owned(),
            keys: self.keys(index.as_deref()),
            index,
            order: if self.random.chance(300) { Order::Descending } else { Order::Ascending },
            limit: *self.random.pick(&[1, 1, 2, 3, 100]),
            behind: None,
        };
        self.send_scan(when, shard, scan, &[], None, shared, out);
    }

    pub(super) fn scan_all(
        &mut self,
        when: When,
        partition: usize,
        table: &str,
        last: Last,
        shared: &mut Shared,
        out: &mut Vec<u8>,
    ) {
        let (partition, shard) = (shared.places.partition(partition), shared.places.shard(partition));
        let fresh = Consistency::Linearizable;
        let (index, keys, order) = (None, Keys::All, Order::Ascending);
        let table = table.to_owned();
        let scan = Scan { fresh, partition, table, index, keys, order, limit: 1_000, behind: None };
        self.send_scan(when, shard, scan, &[], Some(last), shared, out);
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "a page, where it goes on, and who wants it are drawn apart"
    )]
    fn send_scan(
        &mut self,
        when: When,
        shard: ShardId,
        scan: Scan,
        cursor: &[u8],
        last: Option<Last>,
        shared: &mut Shared,
        out: &mut Vec<u8>,
    ) {
        let opcode = if scan.index.is_some() { Opcode::ScanIndex } else { Opcode::Scan };
        let asks = vec![(shard, Ask::Scan(scan.clone()), last)];
        self.ask(when, opcode, asks, &mut shared.book, out, |payload| {
            let span = match &scan.keys {
                Keys::All => Span::All,
                Keys::Prefix(key) => Span::Prefix(key.as_bytes()),
                Keys::Range(from, to) => {
                    Span::Range { from: from.as_ref().map(Key::as_bytes), to: to.as_ref().map(Key::as_bytes) }
                }
            };
            let request = ScanRequest {
                consistency: scan.fresh,
                index: scan.index.as_deref(),
                span,
                order: scan.order,
                limit: scan.limit,
                cursor,
                ..ScanRequest::new(&scan.partition, &scan.table)
            };
            request.encode(payload);
        });
    }

    fn keys(&mut self, index: Option<&str>) -> Keys {
        match self.random.below(3) {
            0 => Keys::All,
            1 => Keys::Prefix(self.key(index)),
            _ => {
                let (one, other) = (self.key(index), self.key(index));
                Keys::Range(self.bound(one), self.bound(other))
            }
        }
    }

    fn bound(&mut self, key: Key) -> Bound<Key> {
        match self.random.below(3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(key),
            _ => Bound::Excluded(key),
        }
    }

    /// The beginning of a key of a row, or of an index.
    fn key(&mut self, index: Option<&str>) -> Key {
        let number = Part::from(i64::try_from(self.random.below(4)).expect("small"));
        match (index, self.random.below(3)) {
            (None, 0) => Key::of(&[number]),
            (None, 1) => Key::of(&[Part::from(*self.random.pick(&["x", "y", "log"]))]),
            (None, _) => Key::of(&[Part::from(*self.random.pick(&["x", "y", "log"])), number]),
            (Some(_), 0) => Key::of(&[number]),
            (Some(_), 1) => Key::of(&[Part::from(*self.random.pick(&tables::WHO))]),
            (Some(_), _) => Key::of(&[Part::from(*self.random.pick(&tables::STATES)), number]),
        }
    }

    fn declare(&mut self, when: When, partition: usize, shared: &mut Shared, out: &mut Vec<u8>) {
        let shard = shared.places.shard(partition);
        let table = *self.random.pick(TABLES);
        let known = shared.learnt.version(shard, table);
        let version = match self.random.below(12) {
            0 => known.max(1),
            1 => known + 2,
            _ => known + 1,
        };
        let declaration = tables::declaration(&mut self.random, table, version);
        let mut bytes = Vec::new();
        declaration.encode(&mut bytes);
        let declare = Declare { table: table.to_owned(), version, bytes: bytes.clone() };
        let asks = vec![(shard, Ask::Declare(declare), None)];
        self.ask(when, Opcode::Declare, asks, &mut shared.book, out, |payload| {
            DeclareRequest { table, version, declaration: &bytes }.encode(payload);
        });
    }

    fn ask_for_table(&mut self, when: When, partition: usize, shared: &mut Shared, out: &mut Vec<u8>) {
        let shard = shared.places.shard(partition);
        let table = *self.random.pick(TABLES);
        let asks = vec![(shard, Ask::Describe(table.to_owned()), None)];
        self.ask(when, Opcode::Describe, asks, &mut shared.book, out, |payload| {
            payload.push(u8::try_from(table.len()).expect("a short name"));
            payload.extend_from_slice(table.as_bytes());
        });
    }

    /// A request that somebody is in doubt about, or a shard.
    fn report(&mut self, when: When, partition: usize, shared: &mut Shared, out: &mut Vec<u8>) {
        let Shared { places, book, .. } = shared;
        let doubt = self.doubtful.last().copied().or_else(|| self.any_keyed(book));
        let Some(asked) = doubt.filter(|_| self.random.chance(600)) else {
            let shard = places.shard(partition);
            let asks = vec![(shard, Ask::Explain, None)];
            return self.ask(when, Opcode::Explain, asks, book, out, |out| Subject::Shard(shard).encode(out));
        };
        let Asked { commit, shard, .. } = book.asked[asked].clone();
        let asks = vec![(shard, Ask::Trace(asked), None)];
        let request_key = commit.request_key().expect("only keys are asked about");
        let subject = Subject::Request { partition: commit.partition().as_bytes(), request_key };
        self.ask(when, Opcode::Trace, asks, book, out, |payload| subject.encode(payload));
    }
}
