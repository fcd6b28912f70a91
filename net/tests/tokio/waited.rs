//! The client on tokio, waited for: it has the calls of the blocking one, so the same scenarios hold for both.

use std::time::Duration;

use seawall::address::RowRef;
use seawall::client::{Happened, Options, PageRow, Scan, SentKey, Settled, Watch, tokio as waiting};
use seawall::map::ShardId;
use seawall::message::HelloReply;
use seawall::reply::Reply;
use seawall::{Commit, Key, Outcome, Result, Token};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub struct Client {
    runtime: Runtime,
    inner: waiting::Client,
}

impl Client {
    pub fn connect(address: impl Into<String>) -> Result<Client> {
        let runtime = runtime();
        let inner = runtime.block_on(waiting::Client::connect(address))?;
        Ok(Client { runtime, inner })
    }

    pub fn connect_with(address: impl Into<String>, options: Options) -> Result<Client> {
        let runtime = runtime();
        let inner = runtime.block_on(waiting::Client::connect_with(address, options))?;
        Ok(Client { runtime, inner })
    }

    pub fn commit(&mut self, commit: &Commit) -> Result<Outcome> {
        self.runtime.block_on(self.inner.commit(commit))
    }

    pub fn attempt(
        &mut self,
        attempts: u32,
        mut decide: impl FnMut(&mut waiting::Client) -> Result<Commit>,
    ) -> Result<Outcome> {
        self.runtime.block_on(self.inner.attempt(attempts, async |db| decide(db)))
    }

    pub fn get(&mut self, partition: impl Into<Key>, row: &RowRef) -> Result<seawall::client::Got> {
        self.runtime.block_on(self.inner.get(partition, row))
    }

    pub fn rows(&mut self, scan: Scan) -> impl Iterator<Item = Result<PageRow>> {
        let Client { runtime, inner } = self;
        let mut rows = inner.rows(scan);
        std::iter::from_fn(move || runtime.block_on(rows.next()))
    }

    pub fn resolve(&mut self, partition: impl Into<Key>, key: impl Into<Option<SentKey>>) -> Result<Settled> {
        self.runtime.block_on(self.inner.resolve(partition, key))
    }

    pub fn status_of(
        &mut self,
        partition: impl Into<Key>,
        key: impl Into<Option<SentKey>>,
        token: Option<Token>,
    ) -> Result<Settled> {
        self.runtime.block_on(self.inner.status_of(partition, key, token))
    }

    pub fn watch(&mut self, watch: &Watch) -> Result<Watching> {
        let runtime = runtime(); // a stream outlives the client that began it
        let inner = runtime.block_on(self.inner.watch(watch))?;
        Ok(Watching { runtime, inner })
    }

    pub fn node(&self) -> Option<&HelloReply> {
        self.inner.node()
    }

    pub fn token(&self, shard: ShardId) -> Option<Token> {
        self.inner.token(shard)
    }
}

pub struct Watching {
    runtime: Runtime,
    inner: waiting::Watching,
}

impl Watching {
    pub fn token(&self) -> Token {
        self.inner.token()
    }

    pub fn next_within(&mut self, wait: Duration) -> Result<Option<Happened>> {
        self.runtime.block_on(self.inner.next_within(wait))
    }
}

impl Iterator for Watching {
    type Item = Result<Happened>;

    fn next(&mut self) -> Option<Result<Happened>> {
        self.runtime.block_on(self.inner.next())
    }
}

pub struct Pipeline {
    runtime: Runtime,
    inner: waiting::Pipeline,
}

impl Pipeline {
    pub fn connect(address: impl Into<String>, options: Options) -> Result<Pipeline> {
        let runtime = runtime();
        let inner = runtime.block_on(waiting::Pipeline::connect(address, options))?;
        Ok(Pipeline { runtime, inner })
    }

    pub fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }

    pub fn send_commit(&mut self, commit: &Commit) -> Result<u64> {
        self.inner.send_commit(commit)
    }

    pub fn send_get(&mut self, partition: &Key, row: &RowRef) -> Result<u64> {
        self.inner.send_get(partition, row)
    }

    pub fn flush(&mut self) -> Result<()> {
        self.runtime.block_on(self.inner.flush())
    }

    pub fn recv(&mut self) -> Result<(u64, Reply<'_>)> {
        self.runtime.block_on(self.inner.recv())
    }

    pub fn recv_within(&mut self, wait: Duration) -> Result<Option<(u64, Reply<'_>)>> {
        self.runtime.block_on(self.inner.recv_within(wait))
    }
}
