//! What `watch --cursor` acknowledges: what it printed, and no more.

use std::time::{Duration, Instant};

use seawall::client::Watch;
use seawall::{Client, Token};

/// While much is printed it acknowledges so often: each time is a record of the shard.
const EACH: Duration = Duration::from_secs(1);

/// Who wants little of what happens is moved on when it is this many records behind, so that its cursor is not lost for
/// what it did not want.
const FAR: u64 = 1024;

pub(super) struct Acks {
    watch: Watch,
    name: String,
    /// Printed, or known not to be wanted, and not acknowledged.
    owed: Option<Token>,
    acknowledged: Token,
    at: Instant,
}

impl Acks {
    pub(super) fn behind(watch: Watch, name: String, acknowledged: Token) -> Self {
        Self { watch, name, owed: None, acknowledged, at: Instant::now() }
    }

    /// Nothing was acknowledged under this name: from now on this is.
    pub(super) fn begin(&mut self, client: &mut Client) -> seawall::Result<()> {
        client.ack_cursor(&self.watch, &self.name, self.acknowledged)
    }

    /// Everything up to here was printed.
    pub(super) fn printed(&mut self, client: &mut Client, reached: Token) -> seawall::Result<()> {
        self.owed = Some(reached);
        if self.at.elapsed() < EACH { Ok(()) } else { self.settle(client) }
    }

    /// Nothing more is there to print.
    pub(super) fn quiet(&mut self, client: &mut Client, reached: Token) -> seawall::Result<()> {
        if reached.position.index.0 >= self.acknowledged.position.index.0 + FAR {
            self.owed = Some(reached);
        }
        self.settle(client)
    }

    pub(super) fn settle(&mut self, client: &mut Client) -> seawall::Result<()> {
        if let Some(token) = self.owed.filter(|token| token.position > self.acknowledged.position) {
            client.ack_cursor(&self.watch, &self.name, token)?;
            (self.acknowledged, self.at) = (token, Instant::now());
        }
        self.owed = None;
        Ok(())
    }

    /// For whoever ends the program.
    pub(super) fn said(&self) -> String {
        format!("acknowledged under {} up to {}", self.name, self.acknowledged)
    }
}
