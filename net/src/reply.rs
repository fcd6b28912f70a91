//! Replies: the same head on every one of them, then a reason or what the operation found.
//!
//! The `encode_…` functions write straight into a connection's output; [`Reply::decode`] is for clients.

use bytemuck::{Pod, Zeroable};

use crate::frame::{self, Frame, FrameMeta, Kind};
use crate::limits::REASON_TEXT_MAX;
use crate::map::{Generation, ShardId};
use crate::message::hello::HelloReply;
use crate::message::read::{Found, encode_found, read_found};
use crate::message::{Opcode, RequestMeta};
use crate::position::Position;
use crate::refusal::{Code, Outcome, Reason, Refusal, Retry};
use crate::wire::{Malformed, Reader, put_sized};

/// The staleness of a reply that proves none.
const STALENESS_UNKNOWN: u32 = u32::MAX;
/// The code of a reply that is no refusal.
const DONE: u16 = 0;

/// What the answering node is to the shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// No shard was involved.
    #[default]
    None = 0,
    /// It decides.
    Leader = 1,
    /// It follows.
    Follower = 2,
}

/// How the shard is on the answering node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// No shard was involved.
    #[default]
    None = 0,
    /// Its log is being read.
    Recovering = 1,
    /// It serves.
    Serving = 2,
    /// Its log failed, or its data cannot be believed: it serves nothing until somebody acts.
    Halted = 3,
    /// A newer leader fenced it.
    Fenced = 4,
}

impl Role {
    fn from_u8(number: u8) -> Option<Role> {
        [Role::None, Role::Leader, Role::Follower].into_iter().find(|role| *role as u8 == number)
    }
}

impl State {
    fn from_u8(number: u8) -> Option<State> {
        [State::None, State::Recovering, State::Serving, State::Halted, State::Fenced]
            .into_iter()
            .find(|state| *state as u8 == number)
    }
}

/// What a reply says apart from its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// The outcome was decided by an earlier request with the same key.
    pub const REPLAYED: Flags = Flags(1);
    /// The promise of the shard's policy is not kept in full.
    pub const DEGRADED: Flags = Flags(2);
    /// The answer will never change.
    pub const FINAL: Flags = Flags(4);

    /// Whether all of `flags` are set.
    pub fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }
}

/// The head as it stands on the wire, at the front of every reply's payload.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct ReplyHead {
    code: u16,
    outcome: u8,
    retry: u8,
    role: u8,
    state: u8,
    flags: u16,
    retry_after_ms: u32,
    staleness_ms: u32,
    epoch: u64,
    index: u64,
}

const HEAD_LEN: usize = size_of::<ReplyHead>();
const _: () = assert!(HEAD_LEN == 32);
const _: () = assert!(std::mem::offset_of!(ReplyHead, flags) == 6);
const _: () = assert!(std::mem::offset_of!(ReplyHead, retry_after_ms) == 8);
const _: () = assert!(std::mem::offset_of!(ReplyHead, staleness_ms) == 12);
const _: () = assert!(std::mem::offset_of!(ReplyHead, epoch) == 16);
const _: () = assert!(std::mem::offset_of!(ReplyHead, index) == 24);

/// What a node knows about itself when it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplyMeta {
    /// The request's.
    pub correlation: u64,
    /// The request's.
    pub opcode: u16,
    /// Who answers, if a shard was involved.
    pub shard: ShardId,
    /// The map that the node acts on.
    pub generation: Generation,
    /// What the node is to the shard.
    pub role: Role,
    /// How the shard is.
    pub state: State,
    /// See [`Flags`].
    pub flags: Flags,
    /// What the answer rests on: a commit's own record, or the last record that a read looked at.
    pub position: Option<Position>,
    /// How old the state may be at most; `None`: not proven.
    pub staleness_ms: Option<u32>,
}

impl ReplyMeta {
    /// An answer to `request`; all else is still unsaid.
    pub fn to(request: &RequestMeta) -> ReplyMeta {
        ReplyMeta { correlation: request.correlation, opcode: request.opcode, ..ReplyMeta::default() }
    }
}

/// Appends the reply to a request that was not done.
pub fn encode_refusal(out: &mut Vec<u8>, meta: &ReplyMeta, refusal: &Refusal) {
    let meta = ReplyMeta { position: refusal.position.or(meta.position), ..*meta };
    let head = ReplyHead {
        code: refusal.code as u16,
        retry: refusal.retry() as u8,
        retry_after_ms: refusal.retry_after_ms,
        ..head(&meta, refusal.outcome)
    };
    write(out, &meta, head, |out| {
        let Reason { rule, expected, observed, hint } = &*refusal.reason;
        [rule, expected, observed, hint]
            .into_iter()
            .for_each(|text| put_sized(out, shorten(text).as_bytes()));
    });
}

/// Appends the reply to a COMMIT that is durable; `meta.position` is its record.
pub fn encode_committed(out: &mut Vec<u8>, meta: &ReplyMeta, lineage_tag: u32) {
    write(out, meta, head(meta, Outcome::Committed), |out| out.extend_from_slice(&lineage_tag.to_le_bytes()));
}

/// Appends the reply to a GET; `meta.position` is what the answer, also a "not found", rests on.
pub fn encode_row(out: &mut Vec<u8>, meta: &ReplyMeta, lineage_tag: u32, found: Option<Found<'_>>) {
    write(out, meta, head(meta, Outcome::None), |out| {
        out.extend_from_slice(&lineage_tag.to_le_bytes());
        encode_found(out, found);
    });
}

/// Appends the reply to a HELLO.
pub fn encode_hello(out: &mut Vec<u8>, meta: &ReplyMeta, hello: &HelloReply) {
    write(out, meta, head(meta, Outcome::None), |out| hello.encode(out));
}

fn head(meta: &ReplyMeta, outcome: Outcome) -> ReplyHead {
    let position = meta.position.unwrap_or_default();
    ReplyHead {
        code: DONE,
        outcome: outcome as u8,
        retry: Retry::Never as u8,
        role: meta.role as u8,
        state: meta.state as u8,
        flags: meta.flags.0,
        retry_after_ms: 0,
        staleness_ms: meta.staleness_ms.unwrap_or(STALENESS_UNKNOWN),
        epoch: position.epoch.0,
        index: position.index.0,
    }
}

fn write(out: &mut Vec<u8>, meta: &ReplyMeta, head: ReplyHead, content: impl FnOnce(&mut Vec<u8>)) {
    let meta = FrameMeta {
        kind: Kind::Reply,
        opcode: meta.opcode,
        correlation: meta.correlation,
        generation: meta.generation,
        shard: meta.shard,
        ..FrameMeta::default()
    };
    frame::write(out, &meta, |out| {
        out.extend_from_slice(bytemuck::bytes_of(&head));
        content(out);
    });
}

/// A reason is for people: what is too long for them is cut.
fn shorten(text: &str) -> &str {
    text.get(..text.floor_char_boundary(REASON_TEXT_MAX)).unwrap_or_default()
}

/// A reply as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// What the node said about itself.
    pub meta: ReplyMeta,
    /// What the node said about the request.
    pub body: Body<'a>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// It was not done; see [`Refusal::outcome`].
    Refused(Refusal),
    /// To HELLO.
    Hello(HelloReply),
    /// To COMMIT: durable, at the position of the meta.
    Committed {
        /// Which history; see [`Lineage::tag`](crate::position::Lineage::tag).
        lineage_tag: u32,
    },
    /// To GET.
    Row {
        /// Which history.
        lineage_tag: u32,
        /// The row, if there is one.
        found: Option<Found<'a>>,
    },
}

impl<'a> Reply<'a> {
    /// What an undamaged frame answers. A refusal here is the client's own: it does not understand the node.
    pub fn decode(frame: &Frame<'a>) -> Result<Reply<'a>, Refusal> {
        if frame.header.kind() != Some(Kind::Reply) {
            return Err(Refusal::bad_frame("frame.kind", "a reply", "another kind"));
        }
        frame.tags.check(&[])?;
        let malformed = |malformed| Refusal::malformed("reply", malformed);
        let mut reader = Reader::new(frame.payload);
        let head: ReplyHead = bytemuck::cast(reader.array::<HEAD_LEN>().map_err(malformed)?);
        let meta = read_meta(frame, &head).map_err(malformed)?;
        let body = match head.code {
            DONE => read_content(meta.opcode, &mut reader),
            code => read_refusal(code, &head, meta.position, &mut reader).map(Body::Refused),
        };
        let body = body.and_then(|body| reader.end().map(|()| body)).map_err(malformed)?;
        Ok(Reply { meta, body })
    }
}

fn read_meta(frame: &Frame<'_>, head: &ReplyHead) -> Result<ReplyMeta, Malformed> {
    let unknown = |what, got| Malformed::Unknown { what, got: u64::from(got) };
    Ok(ReplyMeta {
        correlation: frame.header.correlation,
        opcode: frame.header.opcode,
        shard: ShardId(frame.header.shard),
        generation: Generation(frame.header.generation),
        role: Role::from_u8(head.role).ok_or(unknown("role", head.role))?,
        state: State::from_u8(head.state).ok_or(unknown("state", head.state))?,
        flags: Flags(head.flags),
        position: Some(Position::new(head.epoch, head.index)).filter(|at| *at != Position::default()),
        staleness_ms: Some(head.staleness_ms).filter(|ms| *ms != STALENESS_UNKNOWN),
    })
}

fn read_content<'a>(opcode: u16, reader: &mut Reader<'a>) -> Result<Body<'a>, Malformed> {
    match Opcode::from_u16(opcode) {
        Some(Opcode::Hello) => Ok(Body::Hello(HelloReply::read(reader)?)),
        Some(Opcode::Commit) => Ok(Body::Committed { lineage_tag: reader.u32()? }),
        Some(Opcode::Get) => Ok(Body::Row { lineage_tag: reader.u32()?, found: read_found(reader)? }),
        None => Err(Malformed::Unknown { what: "operation", got: u64::from(opcode) }),
    }
}

fn read_refusal(
    code: u16,
    head: &ReplyHead,
    position: Option<Position>,
    reader: &mut Reader<'_>,
) -> Result<Refusal, Malformed> {
    let unknown = |what, got| Malformed::Unknown { what, got };
    let code = Code::from_u16(code).ok_or(unknown("code", u64::from(code)))?;
    let allowed = |outcome: &Outcome| {
        *outcome == code.outcome() || (code == Code::LogFailed && *outcome == Outcome::None)
    };
    let outcome = Outcome::from_u8(head.outcome).filter(allowed);
    let outcome = outcome.ok_or(unknown("outcome of this code", u64::from(head.outcome)))?;
    Retry::from_u8(head.retry)
        .filter(|retry| *retry == code.retry())
        .ok_or(unknown("retry", head.retry.into()))?;
    let mut text = || reader.text("reason", REASON_TEXT_MAX).map(|text| text.to_owned().into());
    let reason = Box::new(Reason { rule: text()?, expected: text()?, observed: text()?, hint: text()? });
    Ok(Refusal { code, outcome, retry_after_ms: head.retry_after_ms, position, reason })
}
