//! Watching, one happening at a time.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Client, socket};
use crate::client::laws::state::State;
use crate::client::laws::watch::{self, Stream};
use crate::client::{Happened, Result, Watch, chance};
use crate::token::Token;

/// A stream of what happens. Iterating over it waits for ever; [`next_within`](Self::next_within) does not. After an
/// error nothing more comes: watch again behind [`token`](Self::token).
#[derive(Debug)]
pub struct Watching {
    stream: Stream<TcpStream>,
}

impl Client {
    /// Begins to watch, over a connection of its own.
    pub fn watch(&mut self, watch: &Watch) -> Result<Watching> {
        let mut client = State::new(self.state.addresses(), self.state.options.clone(), chance());
        let begun = socket::drive(client.call(watch::subscribe(watch), Instant::now()))?;
        Ok(Watching { stream: Stream::over(client, begun, Instant::now()) })
    }

    /// Has the shard remember that everything up to `token` was dealt with, under a name.
    pub fn ack_cursor(&mut self, watch: &Watch, cursor: &str, token: Token) -> Result<()> {
        self.call(watch::ack_cursor(watch, cursor, token))
    }
}

impl Watching {
    /// Up to where everything was handed out, in whole records: acknowledge it when that was dealt with, or watch
    /// again behind it.
    pub fn token(&self) -> Token {
        self.stream.token()
    }

    /// What happened next; `None`: nothing within `wait`.
    pub fn next_within(&mut self, wait: Duration) -> Result<Option<Happened>> {
        let until = Instant::now() + wait;
        loop {
            if let Some(happened) = self.stream.told()? {
                return Ok(Some(happened));
            }
            let now = Instant::now();
            let listens_until = self.stream.listens_until(now, until);
            let (line, deadline) = (&mut self.stream.line, now + self.stream.deadline);
            let came = socket::send(line, deadline).and_then(|()| socket::receive(line, listens_until));
            let now = Instant::now();
            if !self.stream.hear(came, now)? && now >= until {
                return Ok(None);
            }
        }
    }
}

impl Iterator for Watching {
    type Item = Result<Happened>;

    fn next(&mut self) -> Option<Result<Happened>> {
        while !self.stream.is_over() {
            if let Some(next) = self.next_within(Duration::from_secs(3600)).transpose() {
                return Some(next);
            }
        }
        None
    }
}
