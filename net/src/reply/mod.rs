//! Replies: the same head on every one of them, then a reason or what the operation found.
//!
//! The `encode_…` functions write straight into a connection's output; [`Reply::decode`] is for clients.

mod body;

use bytemuck::{Pod, Zeroable};

use crate::frame::{self, Frame, FrameMeta, Kind};
use crate::list::List;
use crate::map::{Generation, ShardId};
use crate::message::assigned::{self, AssignedList};
use crate::message::declare::{self, Declared};
use crate::message::hello::HelloReply;
use crate::message::read::{Found, encode_found};
use crate::message::report::{Fact, Report};
use crate::message::route::{self, Owned};
use crate::message::scan::{Page, PageRow};
use crate::message::settle::KeyStatus;
use crate::message::watch::{self, Change, Told};
use crate::message::{Opcode, RequestMeta};
use crate::position::{Epoch, Index, Position};
use crate::refusal::{Code, Outcome, Refusal, Retry};
use crate::wire::{Malformed, Reader, put_varint};

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
    /// A read that was proven to be the newest by an answer of every required member since it came (R16).
    pub const ROUND_TRIP: Flags = Flags(8);
    /// A read that was proven to be the newest by the authority alone: the shard requires no other member (R16).
    pub const AUTHORITY: Flags = Flags(16);

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
    write_refusal(out, Kind::Reply, meta, refusal);
}

/// Appends the end of a subscription.
pub fn encode_stream_end(out: &mut Vec<u8>, meta: &ReplyMeta, refusal: &Refusal) {
    write_refusal(out, Kind::Stream, &in_stream(meta), refusal);
}

/// Appends the reply to a COMMIT that is durable; `meta.position` is its record.
pub fn encode_committed(out: &mut Vec<u8>, meta: &ReplyMeta, lineage_tag: u32, results: &AssignedList<'_>) {
    write(out, meta, head(meta, Outcome::Committed), |out| {
        out.extend_from_slice(&lineage_tag.to_le_bytes());
        assigned::encode(results, out);
    });
}

/// Appends the reply to a STATUS_OF or a RESOLVE; whether it is final follows from the status.
pub fn encode_key_status(out: &mut Vec<u8>, meta: &ReplyMeta, lineage_tag: u32, status: &KeyStatus<'_>) {
    let last = if status.is_final() { Flags::FINAL.0 } else { 0 };
    let meta = ReplyMeta { flags: Flags(meta.flags.0 & !Flags::FINAL.0 | last), ..*meta };
    found(out, &meta, lineage_tag, |out| status.encode(out));
}

/// Appends the reply to a GET; `meta.position` is what the answer, also a "not found", rests on.
pub fn encode_row(out: &mut Vec<u8>, meta: &ReplyMeta, lineage_tag: u32, row: Option<Found<'_>>) {
    found(out, meta, lineage_tag, |out| encode_found(out, row));
}

/// Appends the reply to a MULTI_GET: the rows in the order of the request.
pub fn encode_rows<'r>(
    out: &mut Vec<u8>,
    meta: &ReplyMeta,
    lineage_tag: u32,
    rows: impl ExactSizeIterator<Item = Option<Found<'r>>>,
) {
    found(out, meta, lineage_tag, |out| {
        put_varint(out, rows.len() as u64);
        rows.for_each(|row| encode_found(out, row));
    });
}

/// Appends the reply to a SCAN or a SCAN_INDEX: rows as they come, then where the next page begins (empty: nowhere),
/// which is asked for after the last row.
pub fn encode_page<'r>(
    out: &mut Vec<u8>,
    meta: &ReplyMeta,
    lineage_tag: u32,
    rows: impl IntoIterator<Item = PageRow<'r>>,
    cursor: impl FnOnce() -> &'r [u8],
) {
    found(out, meta, lineage_tag, |out| Page::encode(out, rows, cursor));
}

/// Appends the reply to a DESCRIBE.
pub fn encode_declared(out: &mut Vec<u8>, meta: &ReplyMeta, declared: Option<Declared<'_>>) {
    write(out, meta, head(meta, Outcome::None), |out| declare::encode_declared(out, declared));
}

/// Appends the reply to a STATUS, an EXPLAIN or a TRACE: facts as they come.
pub fn encode_report<'f>(out: &mut Vec<u8>, meta: &ReplyMeta, facts: impl IntoIterator<Item = Fact<'f>>) {
    write(out, meta, head(meta, Outcome::None), |out| Report::encode(out, facts));
}

/// Appends the reply to a SUBSCRIBE; the stream goes on behind `meta.position`.
pub fn encode_subscribed(out: &mut Vec<u8>, meta: &ReplyMeta, lineage_tag: u32) {
    found(out, meta, lineage_tag, |_| {});
}

/// Appends the reply to a DECLARE (which is committed at `meta.position`), CREDIT, ACK_CURSOR or CANCEL.
pub fn encode_done(out: &mut Vec<u8>, meta: &ReplyMeta, outcome: Outcome) {
    write(out, meta, head(meta, outcome), |_| {});
}

/// Appends a stream frame with changes as they come; everything up to `meta.position` has been told with it.
pub fn encode_changes<'c>(
    out: &mut Vec<u8>,
    meta: &ReplyMeta,
    lineage_tag: u32,
    changes: impl IntoIterator<Item = Change<'c>>,
) {
    tell(out, meta, lineage_tag, |out| watch::encode_changes(out, changes));
}

/// Appends a stream frame without a change: everything up to `meta.position` has been told.
pub fn encode_progress(out: &mut Vec<u8>, meta: &ReplyMeta, lineage_tag: u32) {
    tell(out, meta, lineage_tag, watch::encode_progress);
}

/// Appends a stream frame that says that a new epoch began, behind the last record of the old one that counts.
pub fn encode_epoch_changed(
    out: &mut Vec<u8>,
    meta: &ReplyMeta,
    lineage_tag: u32,
    old: Epoch,
    prefix_end: Index,
) {
    tell(out, meta, lineage_tag, |out| watch::encode_epoch_changed(out, old, prefix_end));
}

/// Appends the reply to a GET_MAP: parts as they come, each with its labels; none if nothing is new.
pub fn encode_map<'p>(
    out: &mut Vec<u8>,
    meta: &ReplyMeta,
    parts: impl IntoIterator<Item = (Owned<'p>, &'p [&'p str])>,
) {
    write(out, meta, head(meta, Outcome::None), |out| route::encode(out, parts));
}

/// Appends the reply to a HELLO.
pub fn encode_hello(out: &mut Vec<u8>, meta: &ReplyMeta, hello: &HelloReply) {
    write(out, meta, head(meta, Outcome::None), |out| hello.encode(out));
}

fn write_refusal(out: &mut Vec<u8>, kind: Kind, meta: &ReplyMeta, refusal: &Refusal) {
    let meta = ReplyMeta { position: refusal.position.or(meta.position), ..*meta };
    let head = ReplyHead {
        code: refusal.code as u16,
        retry: refusal.retry() as u8,
        retry_after_ms: refusal.retry_after_ms,
        ..head(&meta, refusal.outcome)
    };
    write_frame(out, kind, &meta, head, |out| refusal.encode_reason(out));
}

/// Something that was looked up in a history.
fn found(out: &mut Vec<u8>, meta: &ReplyMeta, lineage_tag: u32, content: impl FnOnce(&mut Vec<u8>)) {
    write(out, meta, head(meta, Outcome::None), |out| {
        out.extend_from_slice(&lineage_tag.to_le_bytes());
        content(out);
    });
}

fn tell(out: &mut Vec<u8>, meta: &ReplyMeta, lineage_tag: u32, content: impl FnOnce(&mut Vec<u8>)) {
    let meta = in_stream(meta);
    write_frame(out, Kind::Stream, &meta, head(&meta, Outcome::None), |out| {
        out.extend_from_slice(&lineage_tag.to_le_bytes());
        content(out);
    });
}

/// Each frame of a stream has the opcode of its SUBSCRIBE, the last one too.
fn in_stream(meta: &ReplyMeta) -> ReplyMeta {
    ReplyMeta { opcode: Opcode::Subscribe as u16, ..*meta }
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
    write_frame(out, Kind::Reply, meta, head, content);
}

fn write_frame(
    out: &mut Vec<u8>,
    kind: Kind,
    meta: &ReplyMeta,
    head: ReplyHead,
    content: impl FnOnce(&mut Vec<u8>),
) {
    let meta = FrameMeta {
        kind,
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
    /// To GET_MAP, of the generation of the meta; no parts: it is the one that is known.
    Map(List<'a, Owned<'a>>),
    /// To COMMIT: durable, at the position of the meta.
    Committed {
        /// Which history; see [`Lineage::tag`](crate::position::Lineage::tag).
        lineage_tag: u32,
        /// What its operations came to.
        results: AssignedList<'a>,
    },
    /// To STATUS_OF and RESOLVE.
    KeyStatus {
        /// Which history.
        lineage_tag: u32,
        /// What is known.
        status: KeyStatus<'a>,
    },
    /// To GET.
    Row {
        /// Which history.
        lineage_tag: u32,
        /// The row, if there is one.
        found: Option<Found<'a>>,
    },
    /// To MULTI_GET.
    Rows {
        /// Which history.
        lineage_tag: u32,
        /// In the order of the request.
        rows: List<'a, Option<Found<'a>>>,
    },
    /// To SCAN and SCAN_INDEX.
    Page {
        /// Which history.
        lineage_tag: u32,
        /// Its rows.
        page: Page<'a>,
    },
    /// To DESCRIBE.
    Declared {
        /// The declaration, if there is one.
        declared: Option<Declared<'a>>,
    },
    /// To STATUS, EXPLAIN and TRACE.
    Report(Report<'a>),
    /// To SUBSCRIBE: a stream follows.
    Subscribed {
        /// Which history.
        lineage_tag: u32,
    },
    /// Of a stream, until a refusal ends it.
    Told {
        /// Which history.
        lineage_tag: u32,
        /// What happened.
        told: Told<'a>,
    },
    /// To DECLARE, CREDIT, ACK_CURSOR and CANCEL.
    Done,
}

impl<'a> Reply<'a> {
    /// What an undamaged frame answers. A refusal here is the client's own: it does not understand the node.
    pub fn decode(frame: &Frame<'a>) -> Result<Reply<'a>, Refusal> {
        let kind = frame.header.kind().filter(|kind| matches!(kind, Kind::Reply | Kind::Stream));
        let kind = kind.ok_or_else(|| Refusal::bad_frame("frame.kind", "a reply", "another kind"))?;
        frame.tags.check(&[])?;
        let malformed = |malformed| Refusal::malformed("reply", malformed);
        let mut reader = Reader::new(frame.payload);
        let head: ReplyHead = bytemuck::cast(reader.array::<HEAD_LEN>().map_err(malformed)?);
        let meta = read_meta(frame, &head).map_err(malformed)?;
        let body = match head.code {
            DONE => body::read(kind, meta.opcode, meta.flags, &mut reader),
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
    let reason = Refusal::read_reason(reader)?;
    Ok(Refusal { code, outcome, retry_after_ms: head.retry_after_ms, position, reason })
}
