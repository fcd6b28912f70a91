//! What a call asks for.

use super::answer::{Error, Failure};
use super::retry::Repeat;
use crate::map::ShardId;
use crate::message::Opcode;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::session::ClientSession;
use crate::token::Token;

/// One request: how it is sent, however often, how its answer is read, and what its call ends with.
pub(crate) trait Request {
    /// What a reply says.
    type Answer;
    /// What the caller is told, unless it is an error.
    type End;

    /// Whether it may be sent again.
    fn repeat(&self) -> Repeat;

    /// What a connection answers by being there.
    fn greeted(&self) -> Option<Self::Answer> {
        None
    }

    /// Appends it and returns its correlation id. `now_us` is the node's time.
    fn write(
        &mut self,
        session: &mut ClientSession,
        out: &mut Vec<u8>,
        deadline_ms: u32,
        now_us: i64,
    ) -> Result<u64, Refusal>;

    /// What the reply means.
    fn read(&self, reply: &Reply<'_>) -> Result<Self::Answer, Failure>;

    /// Sees each attempt end that had been sent, and says how it is to be taken.
    fn failed(&mut self, failure: Failure) -> Failure {
        failure
    }

    /// The position that an answer rests on, for the client to keep.
    fn token(&self, _: &Self::Answer) -> Option<Token> {
        None
    }

    /// What the last attempt means to the caller.
    fn end(&mut self, answered: Result<Self::Answer, Failure>, address: &str) -> Result<Self::End, Error>;
}

/// A request that changes nothing when it is repeated.
pub(crate) struct Ask<W, T> {
    shard: ShardId,
    opcode: Opcode,
    write: W,
    read: fn(&Reply<'_>) -> Result<T, Failure>,
    token: fn(&T) -> Option<Token>,
}

impl<W: Fn(&mut Vec<u8>), T> Ask<W, T> {
    pub(crate) fn new(opcode: Opcode, write: W, read: fn(&Reply<'_>) -> Result<T, Failure>) -> Self {
        Ask { shard: ShardId::ANY, opcode, write, read, token: |_| None }
    }

    /// Of one shard.
    pub(crate) fn of(self, shard: ShardId) -> Self {
        Ask { shard, ..self }
    }

    /// Its answer has a position for the client to keep.
    pub(crate) fn seen_at(self, token: fn(&T) -> Option<Token>) -> Self {
        Ask { token, ..self }
    }
}

impl<W: Fn(&mut Vec<u8>), T> Request for Ask<W, T> {
    type Answer = T;
    type End = T;

    fn repeat(&self) -> Repeat {
        Repeat::Freely
    }

    fn write(
        &mut self,
        session: &mut ClientSession,
        out: &mut Vec<u8>,
        deadline_ms: u32,
        _: i64,
    ) -> Result<u64, Refusal> {
        session.ask_shard(out, self.shard, self.opcode, deadline_ms, &self.write)
    }

    fn read(&self, reply: &Reply<'_>) -> Result<T, Failure> {
        (self.read)(reply)
    }

    fn token(&self, answer: &T) -> Option<Token> {
        (self.token)(answer)
    }

    fn end(&mut self, answered: Result<T, Failure>, address: &str) -> Result<T, Error> {
        answered.map_err(|failure| failure.into_error(address))
    }
}

/// No more than a connection.
pub(crate) struct Greeting;

impl Request for Greeting {
    type Answer = ();
    type End = ();

    fn repeat(&self) -> Repeat {
        Repeat::Freely
    }

    fn greeted(&self) -> Option<()> {
        Some(())
    }

    fn write(&mut self, _: &mut ClientSession, _: &mut Vec<u8>, _: u32, _: i64) -> Result<u64, Refusal> {
        Ok(0) // not reached, and so is what follows it: the connection was all
    }

    fn read(&self, _: &Reply<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn end(&mut self, answered: Result<(), Failure>, address: &str) -> Result<(), Error> {
        answered.map_err(|failure| failure.into_error(address))
    }
}
