//! What frames mean: one file a group of operations, requests and replies side by side.

pub mod commit;
pub mod hello;
pub mod read;

use crate::frame::{Frame, FrameHeader, Kind};
use crate::map::{Generation, ShardId};
use crate::refusal::Refusal;

pub use commit::{Commit, CommitRequest, Op, Ops};
pub use hello::{HelloReply, HelloRequest, Limits};
pub use read::{Consistency, GetRequest};

/// The number of each operation. Those that are not built yet have theirs in docs/protocol.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Opcode {
    /// Who are you, and what can you do?
    Hello = 1,
    /// Change rows of one partition, all or none.
    Commit = 16,
    /// One row.
    Get = 32,
}

impl Opcode {
    /// All of them.
    pub const ALL: [Opcode; 3] = [Opcode::Hello, Opcode::Commit, Opcode::Get];

    /// The operation of a number.
    pub fn from_u16(number: u16) -> Option<Opcode> {
        Opcode::ALL.into_iter().find(|opcode| *opcode as u16 == number)
    }

    /// The name, as documents and people write it.
    pub fn name(self) -> &'static str {
        match self {
            Opcode::Hello => "HELLO",
            Opcode::Commit => "COMMIT",
            Opcode::Get => "GET",
        }
    }
}

/// What a request's header says apart from its content; a reply repeats part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestMeta {
    /// Pairs the answer with the request; 0 when the header could not be believed.
    pub correlation: u64,
    /// What was asked, even if it is unknown here; 0 when the header could not be believed.
    pub opcode: u16,
    /// Whose log; [`ShardId::ANY`] leaves it to the node.
    pub shard: ShardId,
    /// The map that the client acts on; [`Generation::ANY`] leaves it to the node.
    pub generation: Generation,
    /// Milliseconds that the client will wait; 0: no limit.
    pub deadline_ms: u32,
}

impl From<&FrameHeader> for RequestMeta {
    fn from(header: &FrameHeader) -> RequestMeta {
        RequestMeta {
            correlation: header.correlation,
            opcode: header.opcode,
            shard: ShardId(header.shard),
            generation: Generation(header.generation),
            deadline_ms: header.deadline_ms,
        }
    }
}

/// A request that was checked whole, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// See [`HelloRequest`].
    Hello(HelloRequest<'a>),
    /// See [`CommitRequest`].
    Commit(CommitRequest<'a>),
    /// See [`GetRequest`].
    Get(GetRequest<'a>),
}

impl<'a> Request<'a> {
    /// What an undamaged frame asks for. A refusal concerns this frame alone: the next one can be read.
    pub fn decode(frame: &Frame<'a>) -> Result<Request<'a>, Refusal> {
        if frame.header.kind() != Some(Kind::Request) {
            return Err(Refusal::bad_frame("frame.kind", "a request", "another kind"));
        }
        let number = frame.header.opcode;
        let opcode = Opcode::from_u16(number)
            .ok_or_else(|| Refusal::unsupported("frame.opcode", "operation", u64::from(number)))?;
        frame.tags.check(&[])?;
        match opcode {
            Opcode::Hello => HelloRequest::decode(frame.payload).map(Request::Hello),
            Opcode::Commit => CommitRequest::decode(frame.payload).map(Request::Commit),
            Opcode::Get => GetRequest::decode(frame.payload).map(Request::Get),
        }
    }
}
