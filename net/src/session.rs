//! A connection's two ends, without its socket: bytes in, checked messages out.

use crate::address::RowRef;
use crate::frame::{self, Decoder, FrameMeta, Kind, Step};
use crate::key::Key;
use crate::limits::{FRAME_BODY_MAX, HANDSHAKE_BODY_MAX};
use crate::map::{Generation, ShardId};
use crate::message::{
    Commit, CommitManyRequest, GetRequest, HelloReply, HelloRequest, Opcode, Request, RequestMeta,
};
use crate::refusal::Refusal;
use crate::reply::{Body, Reply};

/// The node's end. Until HELLO is accepted, it takes small frames and nothing but HELLO.
///
/// Call [`next`](Self::next) with all bytes that are not used yet; on HELLO, call [`accept`](Self::accept).
#[derive(Clone, Debug)]
pub struct ServerSession {
    decoder: Decoder,
    body_limit: usize,
    open: bool,
}

/// What a node's end made of the bytes at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// More bytes are needed: this many, counted from the first byte that was shown.
    Need(usize),
    /// A request, checked whole.
    Request {
        /// What its header says.
        meta: RequestMeta,
        /// What it asks for.
        request: Request<'a>,
        /// How many bytes it took.
        used: usize,
    },
    /// An undamaged frame that is no request for us: answer, and go on.
    Refused {
        /// What its header says.
        meta: RequestMeta,
        /// Why.
        refusal: Refusal,
        /// How many bytes it took.
        used: usize,
    },
}

/// The bytes cannot be followed any further: answer, and close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// What the header says, if it can be believed; all zero if not.
    pub meta: RequestMeta,
    /// Why.
    pub refusal: Refusal,
}

impl ServerSession {
    /// A connection that was just made. `body_limit` holds after the handshake.
    pub fn new(body_limit: usize) -> ServerSession {
        ServerSession { decoder: Decoder::new(HANDSHAKE_BODY_MAX), body_limit, open: false }
    }

    /// The request at the front of `bytes`.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Next<'a>, Fatal> {
        let (frame, used) = match self.decoder.next(bytes) {
            Ok(Step::Need(bytes)) => return Ok(Next::Need(bytes)),
            Ok(Step::Frame(frame, used)) => (frame, used),
            Err(refusal) => {
                let meta = self.decoder.header().map(RequestMeta::from).unwrap_or_default();
                return Err(Fatal { meta, refusal });
            }
        };
        let meta = RequestMeta::from(&frame.header);
        Ok(match Request::decode(&frame).and_then(|request| self.admit(request)) {
            Ok(request) => Next::Request { meta, request, used },
            Err(refusal) => Next::Refused { meta, refusal, used },
        })
    }

    fn admit<'a>(&self, request: Request<'a>) -> Result<Request<'a>, Refusal> {
        match request {
            Request::Hello(_) => Ok(request),
            _ if self.open => Ok(request),
            _ => Err(Refusal::unauthenticated()),
        }
    }

    /// Opens the session, if both sides speak a common version; it is returned.
    pub fn accept(&mut self, hello: &HelloRequest<'_>) -> Result<u8, Refusal> {
        let version = hello.version()?;
        self.open = true;
        self.decoder.set_limit(self.body_limit);
        Ok(version)
    }

    /// Whether HELLO was accepted.
    pub fn is_open(&self) -> bool {
        self.open
    }
}

/// The client's end: it numbers requests, remembers the generation, and reads replies.
#[derive(Clone, Debug)]
pub struct ClientSession {
    decoder: Decoder,
    correlation: u64,
    generation: Generation,
    node: Option<HelloReply>,
    /// A payload on its way through the check.
    scratch: Vec<u8>,
}

/// What a client's end made of the bytes at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// More bytes are needed: this many, counted from the first byte that was shown.
    Need(usize),
    /// A reply, and how many bytes it took.
    Reply(Reply<'a>, usize),
}

impl Default for ClientSession {
    fn default() -> ClientSession {
        ClientSession::new()
    }
}

impl ClientSession {
    /// A connection that was just made. Send HELLO first, and wait for its answer.
    pub fn new() -> ClientSession {
        let decoder = Decoder::new(FRAME_BODY_MAX);
        ClientSession {
            decoder,
            correlation: 0,
            generation: Generation::ANY,
            node: None,
            scratch: Vec::new(),
        }
    }

    /// The generation that the last HELLO told, and that requests name.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// What the node said in the last HELLO.
    pub fn node(&self) -> Option<&HelloReply> {
        self.node.as_ref()
    }

    /// Appends a HELLO and returns its correlation id.
    pub fn hello(&mut self, out: &mut Vec<u8>, hello: &HelloRequest<'_>, deadline_ms: u32) -> u64 {
        self.generation = Generation::ANY;
        self.scratch.clear();
        hello.encode(&mut self.scratch);
        self.append(out, ShardId::ANY, Opcode::Hello, deadline_ms)
    }

    /// Appends a COMMIT and returns its correlation id; one that no node would read is refused here, and so is a
    /// caller's key without a [first time](Commit::first_sent): it would be older than every memory.
    pub fn commit(&mut self, out: &mut Vec<u8>, commit: &Commit, deadline_ms: u32) -> Result<u64, Refusal> {
        commit.check_first_sent()?;
        self.ask(out, Opcode::Commit, deadline_ms, |payload| commit.encode(payload))
    }

    /// Appends a COMMIT_MANY and returns its correlation id. Its commits are answered under this id and those that
    /// follow it, in their order.
    pub fn commit_many(
        &mut self,
        out: &mut Vec<u8>,
        commits: &[Commit],
        deadline_ms: u32,
    ) -> Result<u64, Refusal> {
        commits.iter().try_for_each(Commit::check_first_sent)?;
        let first = self.ask(out, Opcode::CommitMany, deadline_ms, |payload| {
            CommitManyRequest::encode(payload, commits);
        })?;
        self.correlation += commits.len() as u64 - 1;
        Ok(first)
    }

    /// Appends a GET and returns its correlation id; one that no node would read is refused here.
    pub fn get(
        &mut self,
        out: &mut Vec<u8>,
        partition: &Key,
        row: &RowRef,
        deadline_ms: u32,
    ) -> Result<u64, Refusal> {
        self.ask(out, Opcode::Get, deadline_ms, |payload| GetRequest::new(partition, row).encode(payload))
    }

    /// Appends any request and returns its correlation id; one that no node would read is refused here.
    pub fn ask(
        &mut self,
        out: &mut Vec<u8>,
        opcode: Opcode,
        deadline_ms: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, Refusal> {
        self.ask_shard(out, ShardId::ANY, opcode, deadline_ms, write)
    }

    /// The same, of one shard: for requests whose content does not say which.
    pub fn ask_shard(
        &mut self,
        out: &mut Vec<u8>,
        shard: ShardId,
        opcode: Opcode,
        deadline_ms: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, Refusal> {
        self.scratch.clear();
        write(&mut self.scratch);
        Request::decode_payload(opcode, &self.scratch)?;
        Ok(self.append(out, shard, opcode, deadline_ms))
    }

    /// Appends a frame around what stands in the scratch.
    fn append(&mut self, out: &mut Vec<u8>, shard: ShardId, opcode: Opcode, deadline_ms: u32) -> u64 {
        self.correlation += 1;
        let meta = FrameMeta {
            kind: Kind::Request,
            opcode: opcode as u16,
            correlation: self.correlation,
            generation: self.generation,
            shard,
            deadline_ms,
            tags: &[],
        };
        frame::write(out, &meta, |payload| payload.extend_from_slice(&self.scratch));
        self.correlation
    }

    /// How many bytes the reply at the front of `bytes` takes; see [`Decoder::need`].
    pub fn need(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        self.decoder.need(bytes)
    }

    /// The reply at the front of `bytes`. A refusal is the client's own: it cannot follow the node any further.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Answer<'a>, Refusal> {
        match self.decoder.next(bytes)? {
            Step::Need(bytes) => Ok(Answer::Need(bytes)),
            Step::Frame(frame, used) => {
                let reply = Reply::decode(&frame)?;
                if let Body::Hello(node) = &reply.body {
                    self.generation = reply.meta.generation;
                    self.node = Some(node.clone());
                }
                Ok(Answer::Reply(reply, used))
            }
        }
    }
}
