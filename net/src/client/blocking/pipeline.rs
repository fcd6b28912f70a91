//! Many requests under way at once, for tools that make load.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::socket;
use crate::address::RowRef;
use crate::client::laws::ask::Greeting;
use crate::client::laws::flight::Flight;
use crate::client::laws::state::State;
use crate::client::{Options, Result, chance};
use crate::key::Key;
use crate::message::{Commit, HelloReply};
use crate::reply::Reply;

/// One connection whose answers come when they come. It repeats nothing and reconnects never: after an error, what
/// was sent and not answered is unknown, and the pipeline is of no more use.
#[derive(Debug)]
pub struct Pipeline {
    flight: Flight<TcpStream>,
}

impl Pipeline {
    /// Connects to `address` and says HELLO.
    pub fn connect(address: impl Into<String>, options: Options) -> Result<Pipeline> {
        let mut client = State::new(address.into(), Flight::<TcpStream>::options(&options), chance());
        socket::drive(client.call(Greeting, Instant::now()))?;
        Ok(Pipeline { flight: Flight::over(client) })
    }

    /// What the node said in HELLO.
    pub fn node(&self) -> Option<&HelloReply> {
        self.flight.line.node()
    }

    /// How many requests were written and not answered.
    pub fn in_flight(&self) -> usize {
        self.flight.in_flight
    }

    /// Writes a commit, to be sent by the next [`flush`](Self::flush), and returns its correlation id.
    pub fn send_commit(&mut self, commit: &Commit) -> Result<u64> {
        self.flight.push_commit(commit, Instant::now())
    }

    /// Writes a read, to be sent by the next [`flush`](Self::flush), and returns its correlation id.
    pub fn send_get(&mut self, partition: &Key, row: &RowRef) -> Result<u64> {
        self.flight.push_get(partition, row)
    }

    /// Sends what was written.
    pub fn flush(&mut self) -> Result<()> {
        let deadline = Instant::now() + self.flight.deadline;
        let sent = socket::send(&mut self.flight.line, deadline);
        self.flight.flushed(sent)
    }

    /// The next answer and the correlation id of what it answers. Waits as long as the options' deadline.
    pub fn recv(&mut self) -> Result<(u64, Reply<'_>)> {
        let (late, deadline) = (self.flight.late(), self.flight.deadline);
        self.recv_within(deadline)?.ok_or(late)
    }

    /// The same; `None` when no answer comes within `wait`, after which another one may still come.
    pub fn recv_within(&mut self, wait: Duration) -> Result<Option<(u64, Reply<'_>)>> {
        let came = socket::receive(&mut self.flight.line, Instant::now() + wait);
        self.flight.answer(came)
    }
}
