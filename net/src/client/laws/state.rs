//! What a client keeps from one call to the next.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Instant;
use super::answer::Result;
use super::ask::Request;
use super::call::Call;
use super::commit::Sending;
use super::line::Line;
use super::retry::Jitter;
use super::settle::Numbers;
use crate::client::Options;
use crate::map::ShardId;
use crate::message::{Commit, HelloReply};
use crate::token::Token;

/// A client but for its waits; `S` is a socket, which is only carried.
#[derive(Debug)]
pub(crate) struct State<S> {
    /// Where the next connection goes: an address of the caller's, or the leader that a node named.
    pub address: String,
    /// The caller's addresses, the one that is next at the front.
    known: VecDeque<String>,
    pub options: Options,
    /// Here between two calls. A call under way has it, and gives it back when it is as good as before.
    pub line: Option<Line<S>>,
    pub jitter: Jitter,
    /// The highest position that was seen of each shard, in the history that was seen last.
    tokens: BTreeMap<ShardId, Token>,
    numbers: Numbers,
}

impl<S> State<S> {
    /// `addresses`: one, or several with commas between.
    pub(crate) fn new(addresses: String, options: Options, chance: [u8; 16]) -> State<S> {
        let jitter = Jitter::seeded(u128::from_le_bytes(chance) as u64);
        let (tokens, numbers) = (BTreeMap::new(), Numbers::of(chance));
        let known: VecDeque<String> = addresses.split(',').map(|one| one.trim().to_owned()).collect();
        let address = known.front().cloned().unwrap_or_default();
        State { address, known, options, line: None, jitter, tokens, numbers }
    }

    /// All that the caller named, for another client like this one.
    pub(crate) fn addresses(&self) -> String {
        self.known.iter().map(String::as_str).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn knows_others(&self) -> bool {
        self.known.len() > 1
    }

    /// The time that one of several addresses may take of a call's.
    pub(crate) fn share(&self) -> Option<Duration> {
        let parts = u32::try_from(self.known.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.knows_others().then(|| self.options.deadline / parts)
    }

    /// Goes to the next of the caller's addresses. `false`: that is where it is already.
    pub(crate) fn turn(&mut self) -> bool {
        if self.known.front() == Some(&self.address) {
            self.known.rotate_left(1);
        }
        let Some(next) = self.known.front() else { return false };
        let other = *next != self.address;
        self.address.clone_from(next);
        other
    }

    /// A call that begins now.
    pub(crate) fn call<R: Request>(&mut self, request: R, now: Instant) -> Call<'_, S, R> {
        Call::begin(self, request, now)
    }

    pub(crate) fn sending<'a>(&mut self, commit: &'a Commit) -> Result<Sending<'a>> {
        Sending::new(commit, self.options.session_keys.then_some(&mut self.numbers))
    }

    pub(crate) fn node(&self) -> Option<&HelloReply> {
        self.line.as_ref().and_then(Line::node)
    }

    pub(crate) fn token(&self, shard: ShardId) -> Option<Token> {
        self.tokens.get(&shard).copied()
    }

    pub(crate) fn saw(&mut self, token: Token) {
        let known = self.tokens.entry(token.shard).or_insert(token);
        if known.lineage_tag != token.lineage_tag || known.position < token.position {
            *known = token;
        }
    }

    /// The connection of a client that made no more than one call, for other things than calls.
    pub(crate) fn into_line(self) -> Line<S> {
        self.line.expect("a call that was answered gives its connection back")
    }
}
