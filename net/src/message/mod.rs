//! What frames mean: one file a group of operations, requests and replies side by side.
//!
//! ```text
//! commit     envelope | content: partition, checks, operations          -> term, check, op, request_key
//! answers    assigned (results of operations), outcome (what is stored), settle (what became of a key)
//! reads      read (by name), scan (in order), watch (as they change)
//! tables     declare          insight    report          where things are    route
//! ```

pub mod assigned;
pub mod build;
pub mod check;
pub mod commit;
pub mod condition;
pub mod declare;
pub mod hello;
pub mod op;
pub mod outcome;
pub mod read;
pub mod report;
pub mod request_key;
pub mod route;
pub mod scan;
pub mod settle;
pub mod term;
pub mod watch;

use crate::frame::{Frame, FrameHeader, Kind};
use crate::map::{Generation, ShardId};
use crate::refusal::Refusal;
use crate::wire::Reader;

pub use build::Commit;
pub use check::{Check, Checks};
pub use commit::{CommitManyRequest, CommitRequest};
pub use hello::{HelloReply, HelloRequest, Limits};
pub use op::{Op, Ops};
pub use read::{Consistency, GetRequest, MultiGetRequest};
pub use request_key::{Fingerprint, KeyName, RequestKey};
pub use scan::ScanRequest;

use declare::DeclareRequest;
use report::Subject;
use route::MapRequest;
use settle::SettleRequest;
use watch::{AckRequest, CancelRequest, CreditRequest, SubscribeRequest};

/// One row an operation: its number, its name, and what it is. The enum's own line says whose operations they are.
macro_rules! opcodes {
    ($(#[$of:meta])* $all:ident; $($variant:ident = $number:literal $name:literal $meaning:literal)*) => {
        $(#[$of])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum $all { $(#[doc = $meaning] $variant = $number,)* }

        impl $all {
            /// All of them, by number.
            pub const ALL: &'static [$all] = &[$($all::$variant,)*];

            /// The operation of a number.
            pub const fn from_u16(number: u16) -> Option<$all> {
                match number { $($number => Some($all::$variant),)* _ => None }
            }

            /// The name, as documents and people write it.
            pub const fn name(self) -> &'static str {
                match self { $($all::$variant => $name,)* }
            }
        }
    };
}
pub(crate) use opcodes;

opcodes! {
    /// The number of each operation of a client; those between members are [`PeerOpcode`](crate::replication::PeerOpcode)s.
    Opcode;
    Hello      = 1  "HELLO"       "Who are you, and what can you do?"
    GetMap     = 2  "GET_MAP"     "Who owns what?"
    Status     = 3  "STATUS"      "How is the node, or a shard?"
    Explain    = 4  "EXPLAIN"     "Why is it so?"
    Trace      = 5  "TRACE"       "What happened to a commit?"
    Commit     = 16 "COMMIT"      "Change rows of one partition, all or none."
    CommitMany = 17 "COMMIT_MANY" "Many commits, each by itself."
    StatusOf   = 18 "STATUS_OF"   "What is known of a request key?"
    Resolve    = 19 "RESOLVE"     "The same, and from now on it cannot change."
    Get        = 32 "GET"         "One row."
    MultiGet   = 33 "MULTI_GET"   "Rows of a partition by their names."
    Scan       = 34 "SCAN"        "Rows of a table in the order of their keys."
    ScanIndex  = 35 "SCAN_INDEX"  "Rows of a table in the order of an index."
    Declare    = 48 "DECLARE"     "What a table promises."
    Describe   = 49 "DESCRIBE"    "What did it promise?"
    Subscribe  = 64 "SUBSCRIBE"   "Tell me what changes."
    Credit     = 65 "CREDIT"      "Tell me more."
    AckCursor  = 66 "ACK_CURSOR"  "I have dealt with it up to here."
    Cancel     = 67 "CANCEL"      "Tell me no more."
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
    /// See [`MapRequest`].
    GetMap(MapRequest),
    /// About what.
    Status(Subject<'a>),
    /// About what.
    Explain(Subject<'a>),
    /// About what.
    Trace(Subject<'a>),
    /// See [`CommitRequest`].
    Commit(CommitRequest<'a>),
    /// See [`CommitManyRequest`].
    CommitMany(CommitManyRequest<'a>),
    /// See [`SettleRequest`].
    StatusOf(SettleRequest<'a>),
    /// See [`SettleRequest`].
    Resolve(SettleRequest<'a>),
    /// See [`GetRequest`].
    Get(GetRequest<'a>),
    /// See [`MultiGetRequest`].
    MultiGet(MultiGetRequest<'a>),
    /// SCAN or SCAN_INDEX; see [`ScanRequest`].
    Scan(ScanRequest<'a>),
    /// See [`DeclareRequest`].
    Declare(DeclareRequest<'a>),
    /// Of the table of this name.
    Describe(&'a str),
    /// See [`SubscribeRequest`].
    Subscribe(SubscribeRequest<'a>),
    /// See [`CreditRequest`].
    Credit(CreditRequest),
    /// See [`AckRequest`].
    AckCursor(AckRequest<'a>),
    /// See [`CancelRequest`].
    Cancel(CancelRequest),
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
        Request::decode_payload(opcode, frame.payload)
    }

    /// What a payload asks for: for whoever writes a request, too, since the very code that a node runs decides.
    pub(crate) fn decode_payload(opcode: Opcode, payload: &'a [u8]) -> Result<Request<'a>, Refusal> {
        match opcode {
            Opcode::Hello => HelloRequest::decode(payload).map(Request::Hello),
            Opcode::GetMap => MapRequest::decode(payload).map(Request::GetMap),
            Opcode::Status => Subject::decode(payload, "status").map(Request::Status),
            Opcode::Explain => Subject::decode(payload, "explain").map(Request::Explain),
            Opcode::Trace => Subject::decode(payload, "trace").map(Request::Trace),
            Opcode::Commit => CommitRequest::decode(payload).map(Request::Commit),
            Opcode::CommitMany => CommitManyRequest::decode(payload).map(Request::CommitMany),
            Opcode::StatusOf => SettleRequest::decode(payload, "status_of").map(Request::StatusOf),
            Opcode::Resolve => SettleRequest::decode(payload, "resolve").map(Request::Resolve),
            Opcode::Get => GetRequest::decode(payload).map(Request::Get),
            Opcode::MultiGet => MultiGetRequest::decode(payload).map(Request::MultiGet),
            Opcode::Scan => ScanRequest::decode(payload, false).map(Request::Scan),
            Opcode::ScanIndex => ScanRequest::decode(payload, true).map(Request::Scan),
            Opcode::Declare => DeclareRequest::decode(payload).map(Request::Declare),
            Opcode::Describe => decode_describe(payload).map(Request::Describe),
            Opcode::Subscribe => SubscribeRequest::decode(payload).map(Request::Subscribe),
            Opcode::Credit => CreditRequest::decode(payload).map(Request::Credit),
            Opcode::AckCursor => AckRequest::decode(payload).map(Request::AckCursor),
            Opcode::Cancel => CancelRequest::decode(payload).map(Request::Cancel),
        }
    }

    /// The bytes of the partition that it is about; `None`: it is about none, or about several.
    pub fn partition(&self) -> Option<&'a [u8]> {
        match self {
            Request::Commit(commit) => Some(commit.partition),
            Request::StatusOf(settle) | Request::Resolve(settle) => Some(settle.partition),
            Request::Get(get) => Some(get.partition),
            Request::MultiGet(get) => Some(get.partition),
            Request::Scan(scan) => Some(scan.partition),
            Request::Status(subject) | Request::Explain(subject) | Request::Trace(subject) => match subject {
                Subject::Request { partition, .. } => Some(partition),
                Subject::Node | Subject::Shard(_) => None,
            },
            Request::Subscribe(SubscribeRequest { scope, .. })
            | Request::AckCursor(AckRequest { scope, .. }) => scope.partition(),
            Request::Hello(_)
            | Request::GetMap(_)
            | Request::CommitMany(_)
            | Request::Declare(_)
            | Request::Describe(_)
            | Request::Credit(_)
            | Request::Cancel(_) => None,
        }
    }
}

fn decode_describe(payload: &[u8]) -> Result<&str, Refusal> {
    let read = || {
        let mut reader = Reader::new(payload);
        let table = reader.name()?;
        reader.end()?;
        Ok(table)
    };
    read().map_err(|malformed| Refusal::malformed("describe", malformed))
}
