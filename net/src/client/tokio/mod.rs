//! The client that waits without blocking a thread, on tokio.
//!
//! Call for call it is the blocking [`Client`](crate::Client): the same options, outcomes and errors, decided by the
//! same laws. It needs a runtime with I/O and time enabled, and starts no task in it. (A host name, not an address of
//! digits, is looked up on a thread of the runtime, for want of another way to ask the operating system.)
//!
//! ```no_run
//! use seawall::client::tokio::Client;
//! use seawall::{Outcome, Commit, row};
//!
//! # async fn held() -> seawall::Result<()> {
//! let mut db = Client::connect("127.0.0.1:7411").await?;
//! let hold = Commit::new("HP-2026-07-14").key("hold-BK-88421").merge(&row("cabin", "C14"), [("state", "held")]);
//! match db.commit(&hold).await? {
//!     Outcome::Committed(c) => println!("held, {}", c.token),
//!     Outcome::Rejected(why) => println!("no: {why}"),
//!     Outcome::Unknown(key) => println!("settled: {:?}", db.resolve("HP-2026-07-14", key).await?),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # A future that is dropped
//! A call may be dropped before its end, by `select!` or a timeout of the caller's. The client stays usable:
//! * While something is under way, the connection belongs to the call, and is closed with it. The next call makes
//!   another one, so it never takes a late answer for its own.
//! * A *commit* that was dropped is like one that ended [`Unknown`](crate::Outcome::Unknown): it may have happened, it
//!   may be happening. Under a key of the caller's, send it again, unchanged: it happens once. Without one, nobody can
//!   tell; read its rows. (A number of [`session_keys`](Options::session_keys) is of no help here: it goes down with
//!   the call.) So rather than to drop a commit, give the client a [`deadline`](Options::deadline): then it says which
//!   key is in doubt, and [`resolve`](Client::resolve) ends the doubt.
//! * [`Pipeline`], [`Watching`] and [`Rows`] lose nothing: their next future goes on where the dropped one was.
#![allow(clippy::disallowed_types, reason = "the client has deadlines")]

mod pipeline;
mod socket;
mod streams;

use ::tokio::net::TcpStream;

pub use pipeline::Pipeline;
pub use streams::{Rows, Watching};

use socket::now;

use super::laws::ask::{Greeting, Request};
use super::laws::commit::Tries;
use super::laws::state::State;
use super::laws::{read, report, scan, settle, table};
use super::{About, Got, Options, Outcome, Page, Report, Result, Scan, SentKey, Settled, chance};
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
    pub async fn connect(address: impl Into<String>) -> Result<Client> {
        Client::connect_with(address, Options::default()).await
    }

    /// The same, with other than the default options.
    pub async fn connect_with(address: impl Into<String>, options: Options) -> Result<Client> {
        let mut client = Client { state: State::new(address.into(), options, chance()) };
        client.call(Greeting).await?;
        Ok(client)
    }

    /// Has all of the commit done, or nothing. Under a request key it is sent again after a lost answer, and happens
    /// once; without one a lost answer leaves it unknown.
    ///
    /// An error means that nothing was done. That it is unknown what was done is no error but an outcome, so that a
    /// `?` cannot step over it.
    pub async fn commit(&mut self, commit: &Commit) -> Result<Outcome> {
        let sending = self.state.sending(commit)?;
        self.call(sending).await
    }

    /// Reads, decides and commits, and begins again (`attempts` times at most) while the commit is rejected with
    /// CONDITION_FAILED: somebody was faster. `decide` reads what it needs and makes the commit.
    ///
    /// A rejection is remembered under its key, so each attempt has a key of its own: the caller's, then the same with
    /// `/2`, `/3`, ... behind it. A program that was stopped may do all of it again: it meets its own rejections, then
    /// its own success.
    pub async fn attempt(
        &mut self,
        attempts: u32,
        mut decide: impl AsyncFnMut(&mut Client) -> Result<Commit>,
    ) -> Result<Outcome> {
        let mut tries = Tries::new(attempts);
        loop {
            let commit = tries.name(decide(self).await?);
            if let Some(outcome) = tries.end(self.commit(&commit).await?) {
                return Ok(outcome);
            }
        }
    }

    /// The row as it is now (linearizable), or that there is none.
    pub async fn get(&mut self, partition: impl Into<Key>, row: &RowRef) -> Result<Got> {
        self.get_with(partition, row, Consistency::Linearizable).await
    }

    /// The row as it is in a state of this consistency, or that there is none.
    pub async fn get_with(
        &mut self,
        partition: impl Into<Key>,
        row: &RowRef,
        consistency: Consistency,
    ) -> Result<Got> {
        self.call(read::get(&partition.into(), row, consistency)).await
    }

    /// The rows as they are now (linearizable), all at one position, in this order.
    pub async fn multi_get(&mut self, partition: impl Into<Key>, rows: &[RowRef]) -> Result<Vec<Got>> {
        self.call(read::multi_get(&partition.into(), rows)).await
    }

    /// One page.
    pub async fn scan(&mut self, scan: &Scan) -> Result<Page> {
        self.call(scan::scan(scan)).await
    }

    /// Makes final what became of a commit: after this it can only have happened already. Takes a [`SentKey`], or the
    /// [`Unknown`](super::Unknown) that the commit ended with.
    pub async fn resolve(
        &mut self,
        partition: impl Into<Key>,
        key: impl Into<Option<SentKey>>,
    ) -> Result<Settled> {
        self.call(settle::settle(Opcode::Resolve, partition.into(), key.into(), None)?).await
    }

    /// What is known of a commit so far; with a token of it also whether that history was lost.
    pub async fn status_of(
        &mut self,
        partition: impl Into<Key>,
        key: impl Into<Option<SentKey>>,
        token: Option<Token>,
    ) -> Result<Settled> {
        self.call(settle::settle(Opcode::StatusOf, partition.into(), key.into(), token)?).await
    }

    /// How the node or a shard is.
    pub async fn status(&mut self, about: About) -> Result<Report> {
        self.call(report::about(Opcode::Status, about)).await
    }

    /// The same, with what it rests on and why.
    pub async fn explain(&mut self, about: About) -> Result<Report> {
        self.call(report::about(Opcode::Explain, about)).await
    }

    /// What is known of a commit, and of the shard that decides it. Nothing becomes final by asking.
    pub async fn trace(&mut self, partition: impl Into<Key>, key: &SentKey) -> Result<Report> {
        self.call(report::trace(&partition.into(), key)).await
    }

    /// The shards of the partition map, in the order of their hashes.
    pub async fn shards(&mut self) -> Result<Vec<ShardId>> {
        Ok(self.call(report::map()).await?.into_iter().map(|(_, shard)| shard).collect())
    }

    /// The shard that owns a partition.
    pub async fn shard_of(&mut self, partition: impl Into<Key>) -> Result<ShardId> {
        report::owner(&self.call(report::map()).await?, &partition.into())
    }

    /// Declares a table on one shard. The first version is 1, each later one the successor of the last; the same
    /// version with the same content is accepted again.
    pub async fn declare(
        &mut self,
        shard: ShardId,
        table: &str,
        version: u64,
        declaration: &Declaration,
    ) -> Result<()> {
        self.call(table::declare(shard, table, version, declaration)).await
    }

    /// The declaration of a table that a shard has, and its version.
    pub async fn describe(&mut self, shard: ShardId, table: &str) -> Result<Option<(u64, Declaration)>> {
        self.call(table::describe(shard, table)).await
    }

    /// What the node said in HELLO, while there is a connection.
    pub fn node(&self) -> Option<&HelloReply> {
        self.state.node()
    }

    /// The highest position that this client saw of a shard.
    pub fn token(&self, shard: ShardId) -> Option<Token> {
        self.state.token(shard)
    }

    async fn call<R: Request>(&mut self, request: R) -> Result<R::End> {
        socket::drive(self.state.call(request, now())).await
    }
}
