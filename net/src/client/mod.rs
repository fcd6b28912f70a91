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
mod retry;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use answer::{Committed, Doubt, Error, Got, Outcome, Result, Unknown};
pub use pipeline::Pipeline;

use crate::address::RowRef;
use crate::key::Key;
use crate::map::ShardId;
use crate::message::{Commit, GetRequest, HelloReply};
use crate::refusal::{self, Refusal, Retry};
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
}

impl Default for Options {
    fn default() -> Options {
        Options {
            deadline: Duration::from_secs(5),
            attempts: 6,
            backoff: Duration::from_millis(10),
            client_name: concat!("seawall-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            identity: String::new(),
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
}

impl Client {
    /// Connects to `address` (`host:port`) and says HELLO.
    pub fn connect(address: impl Into<String>) -> Result<Client> {
        Client::connect_with(address, Options::default())
    }

    /// The same, with other than the default options.
    pub fn connect_with(address: impl Into<String>, options: Options) -> Result<Client> {
        let address = address.into();
        let mut client = Client { address, options, connection: None, tokens: BTreeMap::new() };
        client.call(Repeat::Freely, |_, _| Ok(())).map_err(|failure| failure.into_error(&client.address))?;
        Ok(client)
    }

    /// Has all of the commit done, or nothing.
    ///
    /// An error means that nothing was done. That it is unknown what was done is no error but an outcome, so that a
    /// `?` cannot step over it.
    pub fn commit(&mut self, commit: &Commit) -> Result<Outcome> {
        commit.validate().map_err(|refusal| Error::Refused(Box::new(refusal)))?;
        let committed = self.call(Repeat::IfNotDone, |connection, deadline| {
            let sent = connection.send(deadline, |session, out, ms| session.commit(out, commit, ms))?;
            connection.receive(sent, deadline, answer::committed).map_err(Failure::after_sending)
        });
        let doubt = match committed {
            Ok(committed) => {
                self.saw(committed.token);
                return Ok(Outcome::Committed(committed));
            }
            Err(Failure::Refused(refusal)) => match refusal.outcome {
                refusal::Outcome::None => return Err(Error::Refused(refusal)),
                refusal::Outcome::Rejected => return Ok(Outcome::Rejected(*refusal)),
                refusal::Outcome::Unknown | refusal::Outcome::Committed => Doubt::Refusal(*refusal),
            },
            Err(Failure::Lost(why)) => Doubt::Connection(why),
            Err(not_sent @ (Failure::NotSent(_) | Failure::Protocol(_))) => {
                return Err(not_sent.into_error(&self.address));
            }
        };
        Ok(Outcome::Unknown(Unknown { partition: commit.partition().clone(), why: doubt }))
    }

    /// The row as it is now (linearizable), or that there is none.
    pub fn get(&mut self, partition: impl Into<Key>, row: &RowRef) -> Result<Got> {
        let partition = partition.into();
        GetRequest::new(&partition, row).check().map_err(|refusal| Error::Refused(Box::new(refusal)))?;
        let got = self.call(Repeat::Freely, |connection, deadline| {
            let sent = connection.send(deadline, |session, out, ms| session.get(out, &partition, row, ms))?;
            connection.receive(sent, deadline, answer::got)
        });
        let got = got.map_err(|failure| failure.into_error(&self.address))?;
        self.saw(got.token);
        Ok(got)
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

    /// Tries until it is done, or may not be repeated, or time or attempts run out. Every attempt but the last one
    /// ended with nothing done, so what is said about the last one holds for the call.
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
            let wait = match &failure {
                Failure::Refused(refusal) => repeat.after_refusal(refusal),
                Failure::NotSent(_) => Some(Duration::ZERO),
                Failure::Lost(_) => repeat.after_loss(),
                Failure::Protocol(_) => None,
            };
            if !failure.leaves_connection() {
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
}

impl Repeat {
    /// How long to wait at least before the next attempt, or `None`: there is none.
    fn after_refusal(self, refusal: &Refusal) -> Option<Duration> {
        if refusal.outcome != refusal::Outcome::None {
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
            Repeat::Freely => Some(Duration::ZERO),
            Repeat::IfNotDone => None,
        }
    }
}
