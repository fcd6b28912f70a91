//! Streams of a client: what it subscribes to, the credit that it gives, and when it has had enough.

use std::collections::{BTreeMap, VecDeque};

use seawall::Key;
use seawall::message::Opcode;
use seawall::message::watch::{Begin, CancelRequest, CreditRequest, Scope, SubscribeRequest};
use seawall::reply::{Body, Reply};

use super::{Last, Shopper};
use crate::check::{Violation, violation};
use crate::history::At;
use crate::store::Shared;
use crate::store::history::{Answer, Ask, Book, Change, Watch, What, at};
use crate::store::reply::told;
use crate::world::When;

/// The streams of one connection.
#[derive(Debug, Default)]
pub struct Streams {
    /// By correlation id.
    open: BTreeMap<u64, Stream>,
}

#[derive(Debug)]
struct Stream {
    /// The attempt that subscribed.
    number: usize,
    /// Its answer came.
    runs: bool,
    /// What it gave and what may still come of it. A frame that uses credit up goes out whole.
    given: VecDeque<u64>,
    credit: u64,
    /// One of the last ones, which goes on until it has told this much.
    until: Option<(Last, At)>,
}

impl Streams {
    /// A stream of the last phase has not told everything yet.
    pub fn last_one_runs(&self) -> bool {
        self.open.values().any(|stream| stream.until.is_some())
    }

    /// What was not told to its end is asked for again.
    pub fn disconnected(&mut self) -> Vec<Last> {
        let open = std::mem::take(&mut self.open);
        open.into_values()
            .filter_map(|stream| stream.until.filter(|_| stream.runs))
            .map(|(last, _)| last)
            .collect()
    }

    /// An attempt was answered; if it was a SUBSCRIBE, its stream begins or does not.
    pub fn answered(&mut self, number: usize, correlation: u64, book: &Book) {
        let Some(stream) = self.open.get_mut(&correlation) else { return };
        match &book.attempts[number].answer {
            Answer::Watching { behind } => {
                stream.runs = true;
                // Where it begins is committed, and everything that this client knows of is told behind it.
                stream.until = stream.until.filter(|(_, until)| behind.index < until.index);
            }
            _ => drop(self.open.remove(&correlation)),
        }
    }
}

impl Shopper {
    pub(super) fn watch(&mut self, when: When, partition: usize, shared: &mut Shared, out: &mut Vec<u8>) {
        let shard = shared.places.shard(partition);
        let wants = self.random.below(4);
        let (rows, events) = (wants != 0, wants != 1);
        let begin = match self.random.below(10) {
            0 | 1 => Begin::Now,
            2..5 => Begin::Oldest,
            5 => self.token_ahead(shard).map_or(Begin::Now, Begin::Token),
            6 => self.lost_token(shard).map_or(Begin::Now, Begin::Token),
            7 => shared.learnt.told(shard, true).map_or(Begin::Now, Begin::Token),
            _ => shared.learnt.told(shard, false).map_or(Begin::Now, Begin::Token),
        };
        let some = |random: &mut crate::random::Random, names: &[&str]| {
            random.chance(250).then(|| (*random.pick(names)).to_owned())
        };
        let watch = Watch {
            partition: self.random.chance(600).then(|| shared.places.partition(partition)),
            rows,
            events,
            table: some(&mut self.random, &["t", "d", "s"]),
            topic: some(&mut self.random, &["topic", "other"]),
            token: match begin {
                Begin::Token(token) => Some(at(token.position)),
                Begin::Now | Begin::Oldest | Begin::Cursor(_) => None,
            },
            now: begin == Begin::Now,
        };
        let credit = *self.random.pick(&[0, 1, 300, 2_000, 100_000]);
        self.subscribe(when, partition, watch, begin, credit, None, shared, out);
    }

    /// Everything that is kept of a partition.
    pub(super) fn watch_all(
        &mut self,
        when: When,
        partition: usize,
        last: Last,
        shared: &mut Shared,
        out: &mut Vec<u8>,
    ) {
        let partition_key = Some(shared.places.partition(partition));
        let watch = Watch {
            partition: partition_key,
            rows: true,
            events: true,
            table: None,
            topic: None,
            token: None,
            now: false,
        };
        self.subscribe(when, partition, watch, Begin::Oldest, 1 << 30, Some(last), shared, out);
    }

    #[allow(clippy::too_many_arguments, reason = "what is watched and where it begins are drawn apart")]
    fn subscribe(
        &mut self,
        when: When,
        partition: usize,
        watch: Watch,
        begin: Begin<'_>,
        credit: u64,
        last: Option<Last>,
        shared: &mut Shared,
        out: &mut Vec<u8>,
    ) {
        let Shared { places, book, .. } = shared;
        let shard = places.shard(partition);
        let seen = self.seen.get(&shard).copied().map(at);
        let until = last.zip(seen);
        let number = book.attempts.len();
        let stream = Stream { number, runs: false, given: VecDeque::from([credit]), credit: 0, until };
        self.streams.open.insert(self.correlation, stream);
        book.streams.insert(number, Vec::new());
        let asks = vec![(shard, Ask::Watch(watch.clone()), last)];
        self.ask(when, Opcode::Subscribe, asks, book, out, |payload| {
            let request = SubscribeRequest {
                scope: watch
                    .partition
                    .as_ref()
                    .map_or(Scope::Shard(shard), |key: &Key| Scope::Partition(key.as_bytes())),
                from: begin,
                rows: watch.rows,
                events: watch.events,
                table: watch.table.as_deref(),
                topic: watch.topic.as_deref(),
                credit,
            };
            request.encode(payload);
        });
    }

    /// More credit for one of its streams, or the end of it; without a stream, a new one.
    pub(super) fn tend(&mut self, when: When, partition: usize, shared: &mut Shared, out: &mut Vec<u8>) {
        let open: Vec<u64> = self.streams.open.iter().filter(|(_, s)| s.runs).map(|(id, _)| *id).collect();
        if open.is_empty() {
            return self.watch(when, partition, shared, out);
        }
        let subscription = *self.random.pick(&open);
        let stream = self.streams.open.get_mut(&subscription).expect("one of these");
        let shard = shared.book.attempts[stream.number].shard;
        let asks = vec![(shard, Ask::Stream, None)];
        if self.random.chance(150) {
            self.ask(when, Opcode::Cancel, asks, &mut shared.book, out, |payload| {
                CancelRequest { subscription }.encode(payload);
            });
            return shared.met.count("CANCEL");
        }
        let bytes = *self.random.pick(&[1, 200, 3_000, 100_000]);
        stream.given.push_back(bytes);
        shared.met.count("CREDIT");
        self.ask(when, Opcode::Credit, asks, &mut shared.book, out, |payload| {
            CreditRequest { subscription, bytes }.encode(payload);
        });
    }

    /// Takes a frame of a stream; false: it is a reply.
    pub(super) fn told(
        &mut self,
        reply: &Reply<'_>,
        bytes: usize,
        moment: u64,
        shared: &mut Shared,
    ) -> Result<bool, Violation> {
        let correlation = reply.meta.correlation;
        let stream =
            reply.meta.opcode == Opcode::Subscribe as u16 && !self.pending.contains_key(&correlation);
        if !stream {
            return Ok(false);
        }
        let (Some(frame), Some(stream)) = (told(reply, moment), self.streams.open.get_mut(&correlation))
        else {
            return self.strange(format!("in no stream: {reply:?}"));
        };
        let ends = matches!(frame.what, What::End(_));
        while stream.credit == 0
            && let Some(given) = stream.given.pop_front()
        {
            stream.credit = given;
        }
        if stream.credit == 0 && !ends {
            let text = format!("client {} gave no credit for {frame:?}", self.number);
            return violation("a stream keeps within its credit", text);
        }
        stream.credit = stream.credit.saturating_sub(bytes as u64);
        let shard = shared.book.attempts[stream.number].shard;
        if let Body::Refused(why) = &reply.body {
            shared.met.code(why.code);
        } else {
            shared.learnt.saw(shard, reply.meta.position);
        }
        match &frame.what {
            What::Progress => shared.met.count("progress told"),
            What::EpochChanged(_) => shared.met.count("epoch told"),
            What::End(_) => shared.met.count("stream ended"),
            What::Changes(changes) => changes.iter().for_each(|happened| {
                shared.met.count(match &happened.change {
                    Change::Put(..) => "put told",
                    Change::Deleted(..) => "deletion told",
                    Change::Expired(..) => "expiry told",
                    Change::Event(..) => "event told",
                });
            }),
        }
        let upto = frame.upto;
        shared.book.streams.entry(stream.number).or_default().push(frame);
        let enough = stream.until.filter(|(_, until)| upto.index >= until.index);
        if ends {
            self.last.extend(stream.until.filter(|_| enough.is_none()).map(|(last, _)| last));
            self.streams.open.remove(&correlation);
        } else if enough.is_some() {
            stream.until = None; // what comes still is listened to
        }
        Ok(true)
    }
}
