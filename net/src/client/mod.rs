//! The blocking client, on the standard library alone.
//!
//! [`Client`] makes a call at a time, each within a deadline, and repeats only what the answer allows. [`Pipeline`]
//! keeps many requests under way and repeats nothing. Neither starts a thread.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the client owns a socket and a deadline"
)]

mod answer;
mod connection;
mod pipeline;
mod report;
mod retry;
mod scan;
mod settle;
mod table;
mod watch;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use answer::{Committed, Doubt, Error, Got, Outcome, Result, Unknown};
pub use pipeline::Pipeline;
pub use report::{About, Fact, Report};
pub use scan::{Page, PageRow, Scan};
pub use settle::{SentKey, Settled};
pub use watch::{Happened, Watch, Watching, What};

use crate::address::RowRef;
use crate::key::Key;
use crate::map::ShardId;
use crate::message::{Commit, Consistency, GetRequest, HelloReply, MultiGetRequest, Opcode};
use crate::refusal::{self, Refusal, Retry};
use crate::reply::Reply;
use crate::token::Token;
use answer::Failure;
use connection::Connection;
use retry::Attempts;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a call may take, all its attempts together.
    pub deadline: Duration,
    /// How often a call is tried at most.
    pub attempts: u32,
    /// The wait after the first attempt; it doubles from one to the next, with jitter.
    pub backoff: Duration,
    /// For the node's logs and status.
    pub client_name: String,
    /// Who the client acts for; empty: nobody in particular.
    pub identity: String,
    /// Whether commits without a key of the caller's are numbered, so that they can be repeated and resolved, too.
    pub session_keys: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            deadline: Duration::from_secs(5),
            attempts: 6,
            backoff: Duration::from_millis(10),
            client_name: concat!("seawall-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            identity: String::new(),
            session_keys: false, // until every node of this version understands them
        }
    }
}

/// A connection to a node that is made again when it is lost.
#[derive(Debug)]
pub struct Client {
    address: String,
    options: Options,
    connection: Option<Connection>,
    /// The highest position that was seen of each shard, in the history that was seen last.
    tokens: BTreeMap<ShardId, Token>,
    numbers: settle::Numbers,
}

impl Client {
    /// Connects to `address` (`host:port`) and says HELLO.
    pub fn connect(address: impl Into<String>) -> Result<Client> {
        Client::connect_with(address, Options::default())
    }

    /// The same, with other than the default options.
    pub fn connect_with(address: impl Into<String>, options: Options) -> Result<Client> {
        let address = address.into();
        let numbers = settle::Numbers::new();
        let mut client = Client { address, options, connection: None, tokens: BTreeMap::new(), numbers };
        client.call(Repeat::Freely, |_, _| Ok(())).map_err(|failure| failure.into_error(&client.address))?;
        Ok(client)
    }

    /// Has all of the commit done, or nothing. Under a request key it is sent again after a lost answer, and happens
    /// once; without one a lost answer leaves it unknown.
    ///
    /// An error means that nothing was done. That it is unknown what was done is no error but an outcome, so that a
    /// `?` cannot step over it.
    pub fn commit(&mut self, commit: &Commit) -> Result<Outcome> {
        commit.validate().map_err(|refusal| Error::Refused(Box::new(refusal)))?;
        let mut key = SentKey::of(commit);
        if key.is_none() && self.options.session_keys {
            key = Some(self.numbers.next());
        }
        let repeat = if key.is_some() { Repeat::UnderItsKey } else { Repeat::IfNotDone };
        // The first attempt that may have done something: none that comes after it can prove that it did nothing.
        let mut doubt = None;
        let committed = self.call(repeat, |connection, deadline| {
            let born = connection.server_time_us();
            let key = key.as_mut().map(|key| key.first_sent_at(born));
            let sent = connection.send(deadline, |session, out, ms| {
                session.ask(out, Opcode::Commit, ms, |payload| commit.encode_under(key.as_ref(), payload))
            })?;
            let answer =
                connection.receive(sent, deadline, answer::committed).map_err(Failure::after_sending);
            answer.inspect_err(|failure| doubt = doubt.take().or_else(|| failure.doubt()))
        });
        let unknown = |why| Outcome::Unknown(Unknown { partition: commit.partition().clone(), key, why });
        match (committed, doubt) {
            (Ok(committed), _) => {
                self.saw(committed.token);
                Ok(Outcome::Committed(committed))
            }
            (Err(Failure::Refused(refusal)), _) if refusal.outcome == refusal::Outcome::Rejected => {
                Ok(Outcome::Rejected(*refusal))
            }
            (Err(_), Some(doubt)) => Ok(unknown(doubt)),
            (Err(failure), None) => Err(failure.into_error(&self.address)),
        }
    }

    /// The row as it is now (linearizable), or that there is none.
    pub fn get(&mut self, partition: impl Into<Key>, row: &RowRef) -> Result<Got> {
        self.get_with(partition, row, Consistency::Linearizable)
    }

    /// The row as it is in a state of this consistency, or that there is none.
    pub fn get_with(
        &mut self,
        partition: impl Into<Key>,
        row: &RowRef,
        consistency: Consistency,
    ) -> Result<Got> {
        let partition = partition.into();
        let get = GetRequest { consistency, ..GetRequest::new(&partition, row) };
        let got = self.ask(Opcode::Get, |payload| get.encode(payload), answer::got)?;
        self.saw(got.token);
        Ok(got)
    }

    /// The rows as they are now (linearizable), all at one position, in this order.
    pub fn multi_get(&mut self, partition: impl Into<Key>, rows: &[RowRef]) -> Result<Vec<Got>> {
        let partition = partition.into();
        let write = |payload: &mut Vec<u8>| {
            MultiGetRequest::encode_rows(payload, &Consistency::Linearizable, &partition, rows);
        };
        let got = self.ask(Opcode::MultiGet, write, answer::got_many)?;
        got.first().into_iter().for_each(|got| self.saw(got.token));
        Ok(got)
    }

    /// Any request that changes nothing when it is repeated.
    fn ask<T>(
        &mut self,
        opcode: Opcode,
        write: impl Fn(&mut Vec<u8>),
        read: impl Fn(&Reply<'_>) -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        self.ask_shard(ShardId::ANY, opcode, write, read)
    }

    /// The same, of one shard.
    fn ask_shard<T>(
        &mut self,
        shard: ShardId,
        opcode: Opcode,
        write: impl Fn(&mut Vec<u8>),
        read: impl Fn(&Reply<'_>) -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        let done = self.call(Repeat::Freely, |connection, deadline| {
            let sent = connection.send(deadline, |session, out, ms| {
                session.ask_shard(out, shard, opcode, ms, |payload| write(payload))
            })?;
            connection.receive(sent, deadline, &read)
        });
        done.map_err(|failure| failure.into_error(&self.address))
    }

    /// What the node said in HELLO, while there is a connection.
    pub fn node(&self) -> Option<&HelloReply> {
        self.connection.as_ref().and_then(Connection::node)
    }

    /// The highest position that this client saw of a shard.
    pub fn token(&self, shard: ShardId) -> Option<Token> {
        self.tokens.get(&shard).copied()
    }

    fn saw(&mut self, token: Token) {
        let known = self.tokens.entry(token.shard).or_insert(token);
        if known.lineage_tag != token.lineage_tag || known.position < token.position {
            *known = token;
        }
    }

    /// Tries until it is done, or may not be repeated, or time or attempts run out; what is returned is the end of the
    /// last attempt.
    fn call<T>(
        &mut self,
        repeat: Repeat,
        mut once: impl FnMut(&mut Connection, Instant) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        let mut attempts = Attempts::begin(&self.options);
        loop {
            let failure = match self.ready(attempts.deadline()).and_then(|c| once(c, attempts.deadline())) {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            let elsewhere = failure.leader().map(str::to_owned);
            let wait = match &failure {
                Failure::Refused(_) if elsewhere.is_some() => Some(Duration::ZERO),
                Failure::Refused(refusal) => repeat.after_refusal(refusal),
                Failure::NotSent(_) => Some(Duration::ZERO),
                Failure::Lost(_) => repeat.after_loss(),
                Failure::Protocol(_) => None,
            };
            if !failure.leaves_connection() {
                self.connection = None;
            }
            if let Some(leader) = elsewhere {
                self.address = leader;
                self.connection = None;
            }
            if !wait.is_some_and(|at_least| attempts.wait(at_least)) {
                return Err(failure);
            }
        }
    }

    fn ready(&mut self, deadline: Instant) -> std::result::Result<&mut Connection, Failure> {
        let usable = self.connection.take().filter(Connection::is_alive);
        let connection = match usable {
            Some(connection) => connection,
            None => Connection::open(&self.address, &self.options, deadline)?,
        };
        Ok(self.connection.insert(connection))
    }
}

/// Whether a request may be sent again when its fate is unknown.
#[derive(Clone, Copy, Debug)]
enum Repeat {
    /// It changes nothing.
    Freely,
    /// Only if it is certain that nothing was done.
    IfNotDone,
    /// It happens once, however often it arrives.
    UnderItsKey,
}

impl Repeat {
    /// How long to wait at least before the next attempt, or `None`: there is none.
    fn after_refusal(self, refusal: &Refusal) -> Option<Duration> {
        let undecided = match refusal.outcome {
            refusal::Outcome::None => true,
            refusal::Outcome::Unknown => matches!(self, Repeat::UnderItsKey | Repeat::Freely),
            refusal::Outcome::Committed | refusal::Outcome::Rejected => false,
        };
        if !undecided {
            return None;
        }
        match refusal.retry() {
            Retry::Never | Retry::OtherReplica => None, // it knows one address
            Retry::SameKeyNow | Retry::RefreshMap => Some(Duration::ZERO),
            Retry::SameKeyAfter => Some(Duration::from_millis(refusal.retry_after_ms.into())),
        }
    }

    fn after_loss(self) -> Option<Duration> {
        match self {
            Repeat::Freely | Repeat::UnderItsKey => Some(Duration::ZERO),
            Repeat::IfNotDone => None,
        }
    }
}
