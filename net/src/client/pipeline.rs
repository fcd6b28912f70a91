//! Many requests under way at once, for tools that make load.

use std::time::{Duration, Instant};

use super::answer::{Error, Failure, Result};
use super::connection::Connection;
use super::settle::SentKey;
use super::{Attempts, Options};
use crate::address::RowRef;
use crate::key::Key;
use crate::message::{Commit, HelloReply, Opcode};
use crate::reply::Reply;

/// One connection whose answers come when they come. It repeats nothing and reconnects never: after an error, what
/// was sent and not answered is unknown, and the pipeline is of no more use.
#[derive(Debug)]
pub struct Pipeline {
    address: String,
    deadline: Duration,
    connection: Connection,
    in_flight: usize,
}

impl Pipeline {
    /// Connects to `address` and says HELLO.
    pub fn connect(address: impl Into<String>, options: Options) -> Result<Pipeline> {
        let address = address.into();
        let deadline = Attempts::begin(&options).deadline();
        let connection =
            Connection::open(&address, &options, deadline).map_err(|failure| failure.into_error(&address))?;
        Ok(Pipeline { address, deadline: options.deadline, connection, in_flight: 0 })
    }

    /// What the node said in HELLO.
    pub fn node(&self) -> Option<&HelloReply> {
        self.connection.node()
    }

    /// How many requests were written and not answered.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Writes a commit, to be sent by the next [`flush`](Self::flush), and returns its correlation id.
    pub fn send_commit(&mut self, commit: &Commit) -> Result<u64> {
        let mut key = SentKey::of(commit);
        let born = self.connection.server_time_us();
        let key = key.as_mut().map(|key| key.first_sent_at(born));
        let pushed = self.connection.push(self.deadline_ms(), |session, out, ms| {
            session.ask(out, Opcode::Commit, ms, |payload| commit.encode_under(key.as_ref(), payload))
        });
        self.count(pushed)
    }

    /// Writes a read, to be sent by the next [`flush`](Self::flush), and returns its correlation id.
    pub fn send_get(&mut self, partition: &Key, row: &RowRef) -> Result<u64> {
        let pushed =
            self.connection.push(self.deadline_ms(), |session, out, ms| session.get(out, partition, row, ms));
        self.count(pushed)
    }

    /// Sends what was written.
    pub fn flush(&mut self) -> Result<()> {
        self.connection
            .flush(Instant::now() + self.deadline)
            .map_err(|failure| broken(failure, &self.address))
    }

    /// The next answer and the correlation id of what it answers. Waits as long as the options' deadline.
    pub fn recv(&mut self) -> Result<(u64, Reply<'_>)> {
        let (address, deadline) = (self.address.clone(), self.deadline);
        let in_time = || Error::NoAnswer { address, why: "the deadline passed".to_owned() };
        self.recv_within(deadline)?.ok_or_else(in_time)
    }

    /// The same; `None` when no answer comes within `wait`, after which another one may still come.
    pub fn recv_within(&mut self, wait: Duration) -> Result<Option<(u64, Reply<'_>)>> {
        let reply = self.connection.recv(Instant::now() + wait);
        let reply = reply.map_err(|failure| broken(failure, &self.address))?;
        self.in_flight -= usize::from(reply.is_some() && self.in_flight > 0);
        Ok(reply.map(|reply| (reply.meta.correlation, reply)))
    }

    fn deadline_ms(&self) -> u32 {
        u32::try_from(self.deadline.as_millis()).unwrap_or(u32::MAX)
    }

    fn count(&mut self, pushed: std::result::Result<u64, Failure>) -> Result<u64> {
        let correlation = pushed.map_err(|failure| failure.into_error(&self.address))?;
        self.in_flight += 1;
        Ok(correlation)
    }
}

/// Several requests may be under way, so a connection that ends says nothing about any of them.
fn broken(failure: Failure, address: &str) -> Error {
    match failure {
        Failure::NotSent(why) | Failure::Lost(why) => Error::Broken { address: address.to_owned(), why },
        other @ (Failure::Refused(_) | Failure::Protocol(_)) => other.into_error(address),
    }
}
