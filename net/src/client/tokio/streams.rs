//! What comes one at a time: happenings, and rows over as many pages as it takes.

use std::time::Duration;

use ::tokio::net::TcpStream;

use super::Client;
use super::socket::{self, now};
use crate::client::laws::scan::Pages;
use crate::client::laws::state::State;
use crate::client::laws::watch::{self, Stream};
use crate::client::{Happened, PageRow, Result, Scan, Watch, chance};
use crate::token::Token;

/// A stream of what happens. [`next`](Self::next) waits for ever; [`next_within`](Self::next_within) does not. After an
/// error nothing more comes: watch again behind [`token`](Self::token).
///
/// Dropping one of its futures loses nothing: what arrived is there for the next one.
#[derive(Debug)]
pub struct Watching {
    stream: Stream<TcpStream>,
}

impl Client {
    /// Begins to watch, over a connection of its own.
    pub async fn watch(&mut self, watch: &Watch) -> Result<Watching> {
        let mut client = State::new(self.state.addresses(), self.state.options.clone(), chance());
        let begun = socket::drive(client.call(watch::subscribe(watch), now())).await?;
        Ok(Watching { stream: Stream::over(client, begun, now()) })
    }

    /// Has the shard remember that everything up to `token` was dealt with, under a name.
    pub async fn ack_cursor(&mut self, watch: &Watch, cursor: &str, token: Token) -> Result<()> {
        self.call(watch::ack_cursor(watch, cursor, token)).await
    }

    /// All rows, page after page; each page is exact at a position of its own. Ends behind the first error.
    pub fn rows(&mut self, scan: Scan) -> Rows<'_> {
        Rows { client: self, pages: Pages::of(scan) }
    }
}

impl Watching {
    /// Up to where everything was handed out, in whole records: acknowledge it when that was dealt with, or watch
    /// again behind it.
    pub fn token(&self) -> Token {
        self.stream.token()
    }

    /// What happened next; `None`: nothing within `wait`.
    pub async fn next_within(&mut self, wait: Duration) -> Result<Option<Happened>> {
        let until = now() + wait;
        loop {
            if let Some(happened) = self.stream.told()? {
                return Ok(Some(happened));
            }
            let listens_until = self.stream.listens_until(now(), until);
            let (line, deadline) = (&mut self.stream.line, now() + self.stream.deadline);
            let came = match socket::send(line, deadline).await {
                Ok(()) => socket::receive(line, listens_until).await,
                Err(failure) => Err(failure),
            };
            let now = now();
            if !self.stream.hear(came, now)? && now >= until {
                return Ok(None);
            }
        }
    }

    /// What happened next; `None`: the stream has ended, and its error was told.
    pub async fn next(&mut self) -> Option<Result<Happened>> {
        while !self.stream.is_over() {
            if let Some(next) = self.next_within(Duration::from_secs(3600)).await.transpose() {
                return Some(next);
            }
        }
        None
    }
}

/// The rows of a scan. Dropping a future of its [`next`](Self::next) skips none.
#[derive(Debug)]
pub struct Rows<'c> {
    client: &'c mut Client,
    pages: Pages,
}

impl Rows<'_> {
    /// The next row; `None`: that was the last one, or an error ended it.
    pub async fn next(&mut self) -> Option<Result<PageRow>> {
        loop {
            if let Some(row) = self.pages.row() {
                return Some(Ok(row));
            }
            let page = self.client.scan(self.pages.wanted()?).await;
            if let Err(error) = self.pages.turn(page) {
                return Some(Err(error));
            }
        }
    }
}
