//! Many requests under way at once over one connection, none of them repeated.

use std::time::Duration;

use super::Instant;
use super::answer::{Error, Failure, Result};
use super::call::ms;
use super::line::Line;
use super::settle::SentKey;
use super::state::State;
use crate::address::RowRef;
use crate::client::Options;
use crate::key::Key;
use crate::message::{Commit, Opcode};
use crate::reply::Reply;

/// A pipeline but for its waits.
#[derive(Debug)]
pub(crate) struct Flight<S> {
    pub line: Line<S>,
    pub deadline: Duration,
    pub in_flight: usize,
    address: String,
}

impl<S> Flight<S> {
    /// What a pipeline connects with: it tries once.
    pub(crate) fn options(options: &Options) -> Options {
        Options { attempts: 1, ..options.clone() }
    }

    /// Over the connection of a client that did nothing else.
    pub(crate) fn over(client: State<S>) -> Flight<S> {
        let (address, deadline) = (client.address.clone(), client.options.deadline);
        Flight { line: client.into_line(), deadline, in_flight: 0, address }
    }

    pub(crate) fn push_commit(&mut self, commit: &Commit, now: Instant) -> Result<u64> {
        let mut key = SentKey::of(commit);
        let born = self.line.server_time_us(now);
        let key = key.as_mut().map(|key| key.first_sent_at(born));
        let ms = ms(self.deadline);
        let pushed = self.line.push(|session, out| {
            session.ask(out, Opcode::Commit, ms, |payload| commit.encode_under(key.as_ref(), payload))
        });
        self.count(pushed)
    }

    pub(crate) fn push_get(&mut self, partition: &Key, row: &RowRef) -> Result<u64> {
        let ms = ms(self.deadline);
        let pushed = self.line.push(|session, out| session.get(out, partition, row, ms));
        self.count(pushed)
    }

    fn count(&mut self, pushed: std::result::Result<u64, Failure>) -> Result<u64> {
        let correlation = pushed.map_err(|failure| failure.into_error(&self.address))?;
        self.in_flight += 1;
        Ok(correlation)
    }

    /// Whether it was sent.
    pub(crate) fn flushed(&self, flushed: std::result::Result<(), Failure>) -> Result<()> {
        flushed.map_err(|failure| broken(failure, &self.address))
    }

    /// The answer that came, if one did.
    pub(crate) fn answer(
        &mut self,
        came: std::result::Result<bool, Failure>,
    ) -> Result<Option<(u64, Reply<'_>)>> {
        let reply = came.and_then(|came| came.then(|| self.line.reply()).transpose());
        let reply = reply.map_err(|failure| broken(failure, &self.address))?;
        self.in_flight -= usize::from(reply.is_some() && self.in_flight > 0);
        Ok(reply.map(|(reply, _)| (reply.meta.correlation, reply)))
    }

    /// An answer that had to come.
    pub(crate) fn late(&self) -> Error {
        Error::NoAnswer { address: self.address.clone(), why: "the deadline passed".to_owned() }
    }
}

/// Several requests may be under way, so a connection that ends says nothing about any of them.
fn broken(failure: Failure, address: &str) -> Error {
    match failure {
        Failure::NotSent(why) | Failure::Lost(why) => Error::Broken { address: address.to_owned(), why },
        other @ (Failure::Refused(_) | Failure::Protocol(_)) => other.into_error(address),
    }
}
