//! What members of a cluster say to each other, over one link for each pair of nodes: one file a message, or a pair.
//!
//! ```text
//! link        R_LINK both ways: who are you?             before anything else
//! hello       R_HELLO -> R_WELCOME: a session            leader -> follower -> leader
//! append      R_APPEND: blocks of the log, verbatim      leader -> follower
//! checkpoint  R_CHECKPOINT: a checkpoint, in pieces      leader -> follower
//! heartbeat   R_HEARTBEAT -> R_ACK                       leader -> follower -> leader
//! fence       R_FENCE -> R_FENCED                        candidate -> member -> candidate
//! refused     R_REFUSED: whoever heard it does not do it
//! ```
//! [`Envelope::decode`] takes an undamaged frame and gives a message that was checked whole and borrows from it; nothing
//! is allocated. What a member may believe, and does, is decided elsewhere: these are types and bytes. docs/protocol.md
//! draws them, docs/replication.md says what they mean.

mod append;
mod checkpoint;
mod epochs;
mod fence;
mod heartbeat;
mod hello;
mod link;
mod refused;
mod stamp;

pub use append::Append;
pub use checkpoint::{Checkpoint, Cut};
pub use epochs::{Agreement, EpochBegin, EpochTable, Epochs};
pub use fence::{Fence, Fenced, Verdict};
pub use heartbeat::{Ack, ClosedSegment, Echo, Heartbeat, StateDigest};
pub use hello::{FollowerState, Hello, Standing, Welcome};
pub use link::{Link, VERSION};
pub use refused::{Refused, Why};
pub use stamp::{Incarnation, Positions, Session, Stamp, Start};

use crate::frame::{self, Frame, FrameMeta, Kind};
use crate::map::{Generation, ShardId};
use crate::message::opcodes;
use crate::refusal::Refusal;
use crate::wire::{Malformed, Reader};

opcodes! {
    /// The number of each message between members; a client never sends one.
    PeerOpcode;
    Link       = 96  "R_LINK"       "Who are you, and do we belong together?"
    Hello      = 97  "R_HELLO"      "I lead this shard: follow me."
    Welcome    = 98  "R_WELCOME"    "I do, and this is what I have."
    Refused    = 99  "R_REFUSED"    "I do not, and why."
    Append     = 100 "R_APPEND"     "Blocks of the log."
    Checkpoint = 102 "R_CHECKPOINT" "A piece of a checkpoint."
    Heartbeat  = 103 "R_HEARTBEAT"  "I am here, and this is how far I am."
    Ack        = 104 "R_ACK"        "This is how far I am."
    Fence      = 105 "R_FENCE"      "Accept nothing of a lower epoch any more."
    Fenced     = 106 "R_FENCED"     "I do not, and this is all that I have; or why I go on."
}

/// Clients' operations end below, so that neither is ever taken for the other.
const _: () = assert!((crate::message::Opcode::Cancel as u16) < PeerOpcode::Link as u16);

/// A message, checked whole, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// See [`Link`].
    Link(Link),
    /// See [`Hello`].
    Hello(Hello<'a>),
    /// See [`Welcome`].
    Welcome(Welcome<'a>),
    /// See [`Refused`].
    Refused(Refused<'a>),
    /// See [`Append`].
    Append(Append<'a>),
    /// See [`Checkpoint`].
    Checkpoint(Checkpoint<'a>),
    /// See [`Heartbeat`].
    Heartbeat(Heartbeat),
    /// See [`Ack`].
    Ack(Ack),
    /// See [`Fence`].
    Fence(Fence),
    /// See [`Fenced`].
    Fenced(Fenced<'a>),
}

impl<'a> Message<'a> {
    /// Its number.
    pub fn opcode(&self) -> PeerOpcode {
        match self {
            Message::Link(_) => PeerOpcode::Link,
            Message::Hello(_) => PeerOpcode::Hello,
            Message::Welcome(_) => PeerOpcode::Welcome,
            Message::Refused(_) => PeerOpcode::Refused,
            Message::Append(_) => PeerOpcode::Append,
            Message::Checkpoint(_) => PeerOpcode::Checkpoint,
            Message::Heartbeat(_) => PeerOpcode::Heartbeat,
            Message::Ack(_) => PeerOpcode::Ack,
            Message::Fence(_) => PeerOpcode::Fence,
            Message::Fenced(_) => PeerOpcode::Fenced,
        }
    }

    /// What is common to all but R_LINK: the sender's history, the epoch it speaks in, and which start of it speaks.
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            Message::Link(_) => None,
            Message::Hello(Hello { stamp, .. })
            | Message::Welcome(Welcome { stamp, .. })
            | Message::Refused(Refused { stamp, .. })
            | Message::Append(Append { stamp, .. })
            | Message::Checkpoint(Checkpoint { stamp, .. })
            | Message::Heartbeat(Heartbeat { stamp, .. })
            | Message::Ack(Ack { stamp, .. })
            | Message::Fence(Fence { stamp, .. })
            | Message::Fenced(Fenced { stamp, .. }) => Some(*stamp),
        }
    }

    /// Appends the payload.
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Message::Link(link) => link.encode(out),
            Message::Hello(hello) => hello.encode(out),
            Message::Welcome(welcome) => welcome.encode(out),
            Message::Refused(refused) => refused.encode(out),
            Message::Append(append) => append.encode(out),
            Message::Checkpoint(checkpoint) => checkpoint.encode(out),
            Message::Heartbeat(heartbeat) => heartbeat.encode(out),
            Message::Ack(ack) => ack.encode(out),
            Message::Fence(fence) => fence.encode(out),
            Message::Fenced(fenced) => fenced.encode(out),
        }
    }

    fn read(opcode: PeerOpcode, reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
        Ok(match opcode {
            PeerOpcode::Link => Message::Link(Link::read(reader)?),
            PeerOpcode::Hello => Message::Hello(Hello::read(reader)?),
            PeerOpcode::Welcome => Message::Welcome(Welcome::read(reader)?),
            PeerOpcode::Refused => Message::Refused(Refused::read(reader)?),
            PeerOpcode::Append => Message::Append(Append::read(reader)?),
            PeerOpcode::Checkpoint => Message::Checkpoint(Checkpoint::read(reader)?),
            PeerOpcode::Heartbeat => Message::Heartbeat(Heartbeat::read(reader)?),
            PeerOpcode::Ack => Message::Ack(Ack::read(reader)?),
            PeerOpcode::Fence => Message::Fence(Fence::read(reader)?),
            PeerOpcode::Fenced => Message::Fenced(Fenced::read(reader)?),
        })
    }
}

/// A message with what its frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The version of the partition map that the sender acts on. Of R_FENCE: the one that the candidate is judged by.
    pub generation: Generation,
    /// Whose log; [`ShardId::ANY`] for R_LINK, and for nothing else but the refusal of one.
    pub shard: ShardId,
    /// What is said.
    pub message: Message<'a>,
}

impl<'a> Envelope<'a> {
    /// What an undamaged frame says. A refusal concerns this frame alone: the next one can be read.
    pub fn decode(frame: &Frame<'a>) -> Result<Envelope<'a>, Refusal> {
        if frame.header.kind() != Some(Kind::Control) {
            return Err(Refusal::bad_frame("frame.kind", "control, as between members", "another kind"));
        }
        let number = frame.header.opcode;
        let opcode = PeerOpcode::from_u16(number)
            .ok_or_else(|| Refusal::unsupported("frame.opcode", "message between members", number.into()))?;
        frame.tags.check(&[])?;
        let (generation, shard) = (Generation(frame.header.generation), ShardId(frame.header.shard));
        let of_no_shard = match opcode {
            PeerOpcode::Link => shard == ShardId::ANY,
            PeerOpcode::Refused => true,
            _ => shard != ShardId::ANY,
        };
        if !of_no_shard {
            let expected = "a shard, and 0 for R_LINK";
            return Err(Refusal::bad_frame(
                "frame.shard",
                expected,
                format!("shard {shard} for {}", opcode.name()),
            ));
        }
        let mut reader = Reader::new(frame.payload);
        let message = Message::read(opcode, &mut reader).and_then(|message| reader.end().map(|()| message));
        let message = message.map_err(|malformed| Refusal::malformed(opcode.name(), malformed))?;
        Ok(Envelope { generation, shard, message })
    }

    /// Appends the whole frame.
    ///
    /// # Panics
    /// When the message breaks a rule that its reader would refuse it for, where the sender alone can know: a run of
    /// bytes that is too long, positions out of order.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write(out, self.generation, self.shard, self.message.opcode(), |out| self.message.encode(out));
    }
}

/// Appends an R_APPEND whose blocks stand in several places; those of `append` itself are not looked at. For a leader
/// that ships batches out of the buffers that they were written from, each copied once.
///
/// # Panics
/// When there are no blocks, a part of one, or more than [`RUN_MAX`](crate::limits::RUN_MAX) bytes.
pub fn encode_append<'b>(
    out: &mut Vec<u8>,
    generation: Generation,
    shard: ShardId,
    append: &Append<'_>,
    blocks: impl IntoIterator<Item = &'b [u8]>,
) {
    write(out, generation, shard, PeerOpcode::Append, |out| append.encode_with(out, blocks));
}

fn write(
    out: &mut Vec<u8>,
    generation: Generation,
    shard: ShardId,
    opcode: PeerOpcode,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    let meta =
        FrameMeta { kind: Kind::Control, opcode: opcode as u16, generation, shard, ..FrameMeta::default() };
    frame::write(out, &meta, payload);
}
