//! Watching: a connection of its own over which changes arrive as they are committed.

use std::collections::VecDeque;
use std::time::Duration;

use super::Instant;
use super::answer::{Error, Failure, Result, decode_row, done, token, unexpected};
use super::ask::Ask;
use super::call::ms;
use super::line::Line;
use super::state::State;
use crate::address::{RowRef, row};
use crate::key::Key;
use crate::map::ShardId;
use crate::message::Opcode;
use crate::message::term::RowAt;
use crate::message::watch::{
    AckRequest, Begin, Change, CreditRequest, Scope, SubscribeRequest, Told, What as WireWhat,
};
use crate::position::Position;
use crate::refusal::Refusal;
use crate::reply::{Body, Reply};
use crate::row::Row;
use crate::token::Token;

/// How many bytes may be on their way to a watcher.
const CREDIT: u64 = 4 << 20;

/// How long a watch may hear nothing, if nobody says otherwise: ten times what a node is silent for.
pub const SILENCE: Duration = Duration::from_secs(10);

/// Long enough to find what has arrived already.
const LOOK: Duration = Duration::from_millis(1);

/// What to watch, and from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    scope: Owner,
    from: Start,
    rows: bool,
    events: bool,
    table: Option<String>,
    topic: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    Shard(ShardId),
    Partition(Key),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    Now,
    Oldest,
    Token(Token),
    Cursor(String),
}

impl Owner {
    fn scope(&self) -> Scope<'_> {
        match self {
            Owner::Shard(shard) => Scope::Shard(*shard),
            Owner::Partition(key) => Scope::Partition(key.as_bytes()),
        }
    }
}

impl Watch {
    fn of(scope: Owner) -> Watch {
        Watch { scope, from: Start::Now, rows: true, events: true, table: None, topic: None }
    }

    /// All changes and events of a partition, from now on.
    pub fn partition(partition: impl Into<Key>) -> Watch {
        Watch::of(Owner::Partition(partition.into()))
    }

    /// All changes and events of a shard, from now on.
    pub fn shard(shard: ShardId) -> Watch {
        Watch::of(Owner::Shard(shard))
    }

    /// Behind a token: of a commit, of a scan, or of this stream before it broke.
    pub fn behind(mut self, token: Token) -> Watch {
        self.from = Start::Token(token);
        self
    }

    /// From the oldest change that is kept.
    pub fn from_oldest(mut self) -> Watch {
        self.from = Start::Oldest;
        self
    }

    /// Behind what was acknowledged last under this name; see [`Client::ack_cursor`](crate::Client::ack_cursor).
    pub fn cursor(mut self, name: impl Into<String>) -> Watch {
        self.from = Start::Cursor(name.into());
        self
    }

    /// Only the rows of this table, and no events.
    pub fn table(mut self, table: impl Into<String>) -> Watch {
        (self.table, self.events) = (Some(table.into()), false);
        self
    }

    /// Only the events of this topic, and no rows.
    pub fn topic(mut self, topic: impl Into<String>) -> Watch {
        (self.topic, self.rows) = (Some(topic.into()), false);
        self
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let from = match &self.from {
            Start::Now => Begin::Now,
            Start::Oldest => Begin::Oldest,
            Start::Token(token) => Begin::Token(*token),
            Start::Cursor(name) => Begin::Cursor(name),
        };
        let (scope, table, topic) = (self.scope.scope(), self.table.as_deref(), self.topic.as_deref());
        let (rows, events) = (self.rows, self.events);
        SubscribeRequest { scope, from, rows, events, table, topic, credit: CREDIT }.encode(out);
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The row is this now.
    Put(RowRef, Row),
    /// There is no such row any more.
    Deleted(RowRef),
    /// There is no such row any more: its time ran out.
    Expired(RowRef),
    /// A topic and what was said.
    Event(String, Vec<u8>),
}

/// One thing that happened. Position and ordinal, with the shard and lineage of the stream's token, are its id: it may
/// arrive more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// The record that it stands in.
    pub position: Position,
    /// Its place in the record.
    pub ordinal: usize,
    /// The leader's time: microseconds since 1970, UTC.
    pub time_us: i64,
    /// Where.
    pub partition: Key,
    /// What.
    pub what: What,
}

/// Where a stream begins.
pub(crate) struct Begun {
    subscription: u64,
    behind: Token,
}

pub(crate) fn subscribe(watch: &Watch) -> Ask<impl Fn(&mut Vec<u8>), Begun> {
    Ask::new(Opcode::Subscribe, |payload| watch.encode(payload), begun)
}

fn begun(reply: &Reply<'_>) -> std::result::Result<Begun, Failure> {
    match &reply.body {
        Body::Subscribed { lineage_tag } => {
            Ok(Begun { subscription: reply.meta.correlation, behind: token(reply, *lineage_tag) })
        }
        _ => Err(unexpected(reply)),
    }
}

pub(crate) fn ack_cursor<'a>(
    watch: &'a Watch,
    cursor: &'a str,
    token: Token,
) -> Ask<impl Fn(&mut Vec<u8>), ()> {
    let ack = AckRequest { scope: watch.scope.scope(), cursor, token };
    Ask::new(Opcode::AckCursor, move |payload| ack.encode(payload), done)
}

/// A stream of what happens, but for its waits: hand out [`told`](Self::told) until there is nothing, then send what
/// is in the line, receive one frame, [`hear`](Self::hear) it, and begin again. It may be left at every step.
#[derive(Debug)]
pub(crate) struct Stream<S> {
    pub line: Line<S>,
    /// How long it may take to give credit.
    pub deadline: Duration,
    address: String,
    subscription: u64,
    told: VecDeque<Happened>,
    /// Up to where everything was handed out, once what is told is.
    reached: Token,
    handed_out: Token,
    /// Bytes that arrived and were not given back as credit.
    used: u64,
    /// When something was heard last, how much of a frame was there then, and how long ago that may be.
    heard: Instant,
    unread: usize,
    silence: Duration,
    ended: bool,
}

impl<S> Stream<S> {
    /// Over the connection of a client that did no more than subscribe.
    pub(crate) fn over(client: State<S>, begun: Begun, now: Instant) -> Stream<S> {
        let (address, deadline) = (client.address.clone(), client.options.deadline);
        let silence = client.options.silence;
        let Begun { subscription, behind } = begun;
        Stream {
            line: client.into_line(),
            deadline,
            address,
            subscription,
            told: VecDeque::new(),
            reached: behind,
            handed_out: behind,
            used: 0,
            heard: now,
            unread: 0,
            silence,
            ended: false,
        }
    }

    /// Up to where everything was handed out, in whole records.
    pub(crate) fn token(&self) -> Token {
        self.handed_out
    }

    /// Whether nothing will ever come any more.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.told.is_empty()
    }

    /// What happened next, as far as it was heard.
    pub(crate) fn told(&mut self) -> Result<Option<Happened>> {
        let next = self.told.pop_front();
        match &next {
            None => self.handed_out = self.reached,
            // Behind the middle of a record there is no place to go on from.
            Some(last) if self.told.front().is_none_or(|after| after.position != last.position) => {
                self.handed_out.position = last.position;
            }
            Some(_) => {}
        }
        if next.is_none() && self.ended {
            let why = "the stream has ended".to_owned();
            return Err(Error::Broken { address: self.address.clone(), why });
        }
        Ok(next)
    }

    /// Until when to wait for a frame at once, if nobody waits beyond `until`; then [`hear`](Self::hear) what came.
    pub(crate) fn listens_until(&self, now: Instant, until: Instant) -> Instant {
        let lost = self.heard.checked_add(self.silence); // or never
        lost.map_or(until, |lost| until.min(lost)).max(now + LOOK)
    }

    /// Takes in the frame that came, if one did in time, and says so.
    pub(crate) fn hear(&mut self, came: std::result::Result<bool, Failure>, now: Instant) -> Result<bool> {
        let heard = came.and_then(|came| match came {
            true => {
                (self.heard, self.unread) = (now, 0);
                self.take().map(|()| true)
            }
            false => self.heard_nothing(now).map(|()| false),
        });
        heard.map_err(|failure| {
            self.ended = true;
            failure.into_error(&self.address)
        })
    }

    /// A host that vanished says no good-bye. A part of a frame is something. Whoever did not ask for long finds what
    /// came meanwhile first, so time that was not waited counts as well.
    fn heard_nothing(&mut self, now: Instant) -> std::result::Result<(), Failure> {
        let unread = self.line.unread();
        if unread != self.unread {
            (self.heard, self.unread) = (now, unread);
        }
        let silent = now.saturating_duration_since(self.heard);
        if silent < self.silence {
            return Ok(());
        }
        let ms = silent.as_millis();
        Err(Failure::Lost(format!("nothing was heard for {ms} ms, not even that there is nothing to tell")))
    }

    fn take(&mut self) -> std::result::Result<(), Failure> {
        let (reply, bytes) = self.line.reply()?;
        if reply.meta.correlation == self.subscription {
            self.used += bytes as u64;
            self.reached = take(&reply, &mut self.told)?;
        } else if !matches!(reply.body, Body::Done) {
            return Err(unexpected(&reply)); // to a CREDIT
        }
        if self.used >= CREDIT / 2 {
            let credit = CreditRequest { subscription: self.subscription, bytes: self.used };
            let ms = ms(self.deadline);
            self.line.push(|session, out| {
                session.ask(out, Opcode::Credit, ms, |payload| credit.encode(payload))
            })?;
            self.used = 0;
        }
        Ok(())
    }
}

/// Keeps what a stream frame tells and returns how far it reaches.
fn take(reply: &Reply<'_>, told: &mut VecDeque<Happened>) -> std::result::Result<Token, Failure> {
    let Body::Told { lineage_tag, told: content } = &reply.body else {
        return Err(unexpected(reply));
    };
    match content {
        Told::Changes(changes) => {
            for change in changes.iter() {
                told.push_back(owned(&change)?);
            }
        }
        Told::Progress | Told::EpochChanged { .. } => {}
    }
    Ok(token(reply, *lineage_tag))
}

fn owned(change: &Change<'_>) -> std::result::Result<Happened, Failure> {
    let Change { position, ordinal, time_us, partition, what } = *change;
    let what = match what {
        WireWhat::Put { at, row } => What::Put(owned_row(at)?, decode_row(row)?),
        WireWhat::Deleted { at } => What::Deleted(owned_row(at)?),
        WireWhat::Expired { at } => What::Expired(owned_row(at)?),
        WireWhat::Event { topic, payload } => What::Event(topic.to_owned(), payload.to_owned()),
    };
    Ok(Happened { position, ordinal, time_us, partition: owned_key(partition)?, what })
}

fn owned_row(at: RowAt<'_>) -> std::result::Result<RowRef, Failure> {
    Ok(row(at.table, owned_key(at.key)?))
}

fn owned_key(bytes: &[u8]) -> std::result::Result<Key, Failure> {
    Key::from_bytes(bytes)
        .map_err(|malformed| Failure::Protocol(Box::new(Refusal::malformed("stream.key", malformed))))
}
