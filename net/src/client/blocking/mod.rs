//! The client that blocks its caller's thread, on the standard library alone: nothing but the waits of
//! [`laws`](super::laws), and the calls by their names.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the client owns a socket and a deadline"
)]

mod pipeline;
mod socket;
mod watch;

use std::net::TcpStream;
use std::time::Instant;

pub use pipeline::Pipeline;
pub use watch::Watching;

use super::laws::ask::{Greeting, Request};
use super::laws::commit::Tries;
use super::laws::scan::Pages;
use super::laws::state::State;
use super::laws::{read, report, scan, settle, table};
use super::{About, Got, Options, Outcome, Page, PageRow, Report, Result, Scan, SentKey, Settled, chance};
use crate::address::RowRef;
use crate::key::Key;
use crate::map::ShardId;
use crate::message::declare::Declaration;
use crate::message::{Commit, Consistency, HelloReply, Opcode};
use crate::token::Token;

/// A connection to a node that is made again when it is lost.
#[derive(Debug)]
pub struct Client {
    state: State<TcpStream>,
}

impl Client {
    /// Connects to `address` (`host:port`) and says HELLO. Several addresses stand there with commas between: of a
    /// cluster, each leads to whoever leads, and the next one is tried where one does not answer.
    pub fn connect(address: impl Into<String>) -> Result<Client> {
        Client::connect_with(address, Options::default())
    }

    /// The same, with other than the default options.
    pub fn connect_with(address: impl Into<String>, options: Options) -> Result<Client> {
        let mut client = Client { state: State::new(address.into(), options, chance()) };
        client.call(Greeting)?;
        Ok(client)
    }

    /// Has all of the commit done, or nothing. Under a request key it is sent again after a lost answer, and happens
    /// once; without one a lost answer leaves it unknown.
    ///
    /// An error means that nothing was done. That it is unknown what was done is no error but an outcome, so that a
    /// `?` cannot step over it.
    pub fn commit(&mut self, commit: &Commit) -> Result<Outcome> {
        let sending = self.state.sending(commit)?;
        self.call(sending)
    }

    /// Reads, decides and commits, and begins again (`attempts` times at most) while the commit is rejected with
    /// CONDITION_FAILED: somebody was faster. `decide` reads what it needs and makes the commit.
    ///
    /// A rejection is remembered under its key, so each attempt has a key of its own: the caller's, then the same with
    /// `/2`, `/3`, ... behind it. A program that was stopped may do all of it again: it meets its own rejections, then
    /// its own success.
    pub fn attempt(
        &mut self,
        attempts: u32,
        mut decide: impl FnMut(&mut Client) -> Result<Commit>,
    ) -> Result<Outcome> {
        let mut tries = Tries::new(attempts);
        loop {
            let commit = tries.name(decide(self)?);
            if let Some(outcome) = tries.end(self.commit(&commit)?) {
                return Ok(outcome);
            }
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
        self.call(read::get(&partition.into(), row, consistency))
    }

    /// The rows as they are now (linearizable), all at one position, in this order.
    pub fn multi_get(&mut self, partition: impl Into<Key>, rows: &[RowRef]) -> Result<Vec<Got>> {
        self.call(read::multi_get(&partition.into(), rows))
    }

    /// One page.
    pub fn scan(&mut self, scan: &Scan) -> Result<Page> {
        self.call(scan::scan(scan))
    }

    /// All rows, page after page; each page is exact at a position of its own. Ends behind the first error.
    pub fn rows(&mut self, scan: Scan) -> impl Iterator<Item = Result<PageRow>> {
        let mut pages = Pages::of(scan);
        std::iter::from_fn(move || {
            loop {
                if let Some(row) = pages.row() {
                    return Some(Ok(row));
                }
                let page = self.scan(pages.wanted()?);
                if let Err(error) = pages.turn(page) {
                    return Some(Err(error));
                }
            }
        })
    }

    /// Makes final what became of a commit: after this it can only have happened already. Takes a [`SentKey`], or the
    /// [`Unknown`](super::Unknown) that the commit ended with.
    pub fn resolve(&mut self, partition: impl Into<Key>, key: impl Into<Option<SentKey>>) -> Result<Settled> {
        self.call(settle::settle(Opcode::Resolve, partition.into(), key.into(), None)?)
    }

    /// What is known of a commit so far; with a token of it also whether that history was lost.
    pub fn status_of(
        &mut self,
        partition: impl Into<Key>,
        key: impl Into<Option<SentKey>>,
        token: Option<Token>,
    ) -> Result<Settled> {
        self.call(settle::settle(Opcode::StatusOf, partition.into(), key.into(), token)?)
    }

    /// How the node or a shard is.
    pub fn status(&mut self, about: About) -> Result<Report> {
        self.call(report::about(Opcode::Status, about))
    }

    /// The same, with what it rests on and why.
    pub fn explain(&mut self, about: About) -> Result<Report> {
        self.call(report::about(Opcode::Explain, about))
    }

    /// What is known of a commit, and of the shard that decides it. Nothing becomes final by asking.
    pub fn trace(&mut self, partition: impl Into<Key>, key: &SentKey) -> Result<Report> {
        self.call(report::trace(&partition.into(), key))
    }

    /// The shards of the partition map, in the order of their hashes.
    pub fn shards(&mut self) -> Result<Vec<ShardId>> {
        Ok(self.call(report::map())?.into_iter().map(|(_, shard)| shard).collect())
    }

    /// The shard that owns a partition.
    pub fn shard_of(&mut self, partition: impl Into<Key>) -> Result<ShardId> {
        report::owner(&self.call(report::map())?, &partition.into())
    }

    /// Declares a table on one shard. The first version is 1, each later one the successor of the last; the same
    /// version with the same content is accepted again.
    pub fn declare(
        &mut self,
        shard: ShardId,
        table: &str,
        version: u64,
        declaration: &Declaration,
    ) -> Result<()> {
        self.call(table::declare(shard, table, version, declaration))
    }

    /// The declaration of a table that a shard has, and its version.
    pub fn describe(&mut self, shard: ShardId, table: &str) -> Result<Option<(u64, Declaration)>> {
        self.call(table::describe(shard, table))
    }

    /// What the node said in HELLO, while there is a connection.
    pub fn node(&self) -> Option<&HelloReply> {
        self.state.node()
    }

    /// The highest position that this client saw of a shard.
    pub fn token(&self, shard: ShardId) -> Option<Token> {
        self.state.token(shard)
    }

    fn call<R: Request>(&mut self, request: R) -> Result<R::End> {
        socket::drive(self.state.call(request, Instant::now()))
    }
}
