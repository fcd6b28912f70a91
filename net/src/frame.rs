//! Frames: a fixed header of 64 bytes, then a body of tagged fields and a payload.
//!
//! ```text
//! header  magic, lengths, correlation id, both checksums
//! body    tags_len bytes of tagged fields | the payload, which the opcode gives a meaning
//! ```
//! [`Decoder`] finds frames in bytes as they arrive, [`write()`] appends one to an output buffer.

use bytemuck::{Pod, Zeroable};

use crate::limits::FRAME_BODY_MAX;
use crate::map::{Generation, ShardId};
use crate::refusal::Refusal;
use crate::tags::{Tag, Tags};

/// The first bytes of every frame.
pub const MAGIC: [u8; 4] = *b"SWL1";
/// The version of the protocol that this library speaks.
pub const VERSION: u8 = 1;
/// Bytes of a frame before its body.
pub const HEADER_LEN: usize = size_of::<FrameHeader>();

/// What a frame is, apart from what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A client asks.
    #[default]
    Request = 1,
    /// A server answers one request.
    Reply = 2,
    /// One of many answers.
    Stream = 3,
    /// Between nodes.
    Control = 4,
}

impl Kind {
    fn from_u8(number: u8) -> Option<Kind> {
        match number {
            1 => Some(Kind::Request),
            2 => Some(Kind::Reply),
            3 => Some(Kind::Stream),
            4 => Some(Kind::Control),
            _ => None,
        }
    }
}

/// The header as it stands on the wire. Little-endian; the order leaves no hidden padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FrameHeader {
    magic: [u8; 4],
    version: u8,
    kind: u8,
    /// What is asked or answered; see [`Opcode`](crate::message::Opcode).
    pub opcode: u16,
    /// Zero in this version.
    pub flags: u32,
    /// Bytes of the body, tagged fields and payload together.
    pub body_len: u32,
    /// Chosen by whoever asks, repeated in the answer. Answers may come in any order.
    pub correlation: u64,
    /// The version of the partition map that the sender acts on; 0 in a request: any.
    pub generation: u64,
    /// Whose log; 0 in a request: route for me.
    pub shard: u32,
    /// Milliseconds that the sender will wait, counted from the arrival; 0: no limit.
    pub deadline_ms: u32,
    /// Bytes of the tagged fields at the front of the body.
    pub tags_len: u32,
    /// Zero in this version.
    pub reserved: [u32; 3],
    /// CRC32C of the body.
    pub body_crc: u32,
    /// CRC32C of the 60 bytes before it.
    pub header_crc: u32,
}

const _: () = assert!(HEADER_LEN == 64);
const _: () = assert!(std::mem::offset_of!(FrameHeader, opcode) == 6);
const _: () = assert!(std::mem::offset_of!(FrameHeader, flags) == 8);
const _: () = assert!(std::mem::offset_of!(FrameHeader, body_len) == 12);
const _: () = assert!(std::mem::offset_of!(FrameHeader, correlation) == 16);
const _: () = assert!(std::mem::offset_of!(FrameHeader, generation) == 24);
const _: () = assert!(std::mem::offset_of!(FrameHeader, shard) == 32);
const _: () = assert!(std::mem::offset_of!(FrameHeader, deadline_ms) == 36);
const _: () = assert!(std::mem::offset_of!(FrameHeader, tags_len) == 40);
const _: () = assert!(std::mem::offset_of!(FrameHeader, reserved) == 44);
const _: () = assert!(std::mem::offset_of!(FrameHeader, body_crc) == 56);
const _: () = assert!(std::mem::offset_of!(FrameHeader, header_crc) == 60);
const _: () = assert!(cfg!(target_endian = "little"), "headers are cast, and the wire is little-endian");

impl FrameHeader {
    /// What the frame is.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_u8(self.kind)
    }

    fn seal(&mut self) {
        self.header_crc = self.crc();
    }

    fn crc(&self) -> u32 {
        let bytes: &[u8; HEADER_LEN] = bytemuck::cast_ref(self);
        crc32c::crc32c(&bytes[..HEADER_LEN - 4])
    }

    /// The header, if it may be believed and its body may be awaited. From cheap and general to particular: whether
    /// this is a frame, of this version, undamaged, not too large, and meaningful.
    fn verify(bytes: &[u8; HEADER_LEN], body_limit: usize) -> Result<FrameHeader, Refusal> {
        let header: FrameHeader = bytemuck::cast(*bytes);
        let body_len = header.body_len as usize;
        if header.magic != MAGIC {
            Err(Refusal::bad_frame("frame.magic", "SWL1", format!("{:02x?}", header.magic)))
        } else if header.version != VERSION {
            Err(Refusal::unsupported_version(VERSION, u64::from(header.version)))
        } else if header.header_crc != header.crc() {
            Err(Refusal::bad_frame("frame.header_crc", hex(header.crc()), hex(header.header_crc)))
        } else if body_len > body_limit {
            Err(Refusal::too_large("frame.body_len", body_limit, body_len as u64))
        } else if header.tags_len > header.body_len {
            Err(Refusal::bad_frame("frame.tags_len", "at most body_len", header.tags_len.to_string()))
        } else if header.kind().is_none() {
            Err(Refusal::bad_frame("frame.kind", "1 to 4", header.kind.to_string()))
        } else if header.flags != 0 || header.reserved != [0; 3] {
            Err(Refusal::bad_frame("frame.reserved", "flags and reserved bytes are 0", "other bits"))
        } else {
            Ok(header)
        }
    }
}

fn hex(crc: u32) -> String {
    format!("{crc:08x}")
}

/// A whole frame, undamaged; what its body means is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The verified header.
    pub header: FrameHeader,
    /// The tagged fields, not looked at yet.
    pub tags: Tags<'a>,
    /// The rest of the body.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// A frame that a [`Decoder`] found before, in these bytes; it is not checked again.
    pub fn checked_before(bytes: &'a [u8]) -> Option<Frame<'a>> {
        let (head, body) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let header: FrameHeader = bytemuck::cast(*head);
        let (tags, payload) = body.split_at_checked(header.tags_len as usize)?;
        (body.len() == header.body_len as usize).then_some(Frame { header, tags: Tags::new(tags), payload })
    }

    /// What looks like a frame at the front of `bytes`, and what stands behind it. Nobody has checked either.
    pub(crate) fn unchecked(bytes: &'a [u8]) -> Option<(Frame<'a>, &'a [u8])> {
        let (head, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let header: FrameHeader = bytemuck::cast(*head);
        let (body, rest) = rest.split_at_checked(header.body_len as usize)?;
        let (tags, payload) = body.split_at_checked(header.tags_len as usize)?;
        (header.magic == MAGIC).then_some((Frame { header, tags: Tags::new(tags), payload }, rest))
    }
}

/// What the decoder made of the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// More bytes are needed: this many, counted from the first byte that was shown.
    Need(usize),
    /// A frame, and how many bytes it took.
    Frame(Frame<'a>, usize),
}

/// Finds frames in bytes as they arrive. It does no I/O and allocates nothing: show it all bytes that no frame has
/// taken yet, from the front, whenever there are more of them.
///
/// A refusal is final: there is no telling where the next frame begins.
#[derive(Clone, Debug)]
pub struct Decoder {
    body_limit: usize,
    /// The header of the frame whose body is awaited, so that it is verified once.
    header: Option<FrameHeader>,
}

impl Decoder {
    /// A decoder that refuses bodies above `body_limit`.
    pub fn new(body_limit: usize) -> Decoder {
        Decoder { body_limit: body_limit.min(FRAME_BODY_MAX), header: None }
    }

    /// Another limit, for the frames whose header has not been seen yet.
    pub fn set_limit(&mut self, body_limit: usize) {
        self.body_limit = body_limit.min(FRAME_BODY_MAX);
    }

    /// The verified header of the frame that is under way, or that was refused for its body.
    pub fn header(&self) -> Option<&FrameHeader> {
        self.header.as_ref()
    }

    /// How many bytes the frame at the front of `bytes` takes; until its header is there, those of a header.
    pub fn need(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
            return Ok(HEADER_LEN);
        };
        let header = match self.header {
            Some(header) => header,
            None => *self.header.insert(FrameHeader::verify(head, self.body_limit)?),
        };
        Ok(HEADER_LEN + header.body_len as usize)
    }

    /// The frame at the front of `bytes`, or how many bytes it needs.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, Refusal> {
        let used = self.need(bytes)?;
        let (Some(header), Some(body)) = (self.header, bytes.get(HEADER_LEN..used)) else {
            return Ok(Step::Need(used));
        };
        let crc = crc32c::crc32c(body);
        if crc != header.body_crc {
            return Err(Refusal::bad_frame("frame.body_crc", hex(crc), hex(header.body_crc)));
        }
        self.header = None;
        let (tags, payload) = body.split_at(header.tags_len as usize); // verified: tags_len <= body_len
        Ok(Step::Frame(Frame { header, tags: Tags::new(tags), payload }, used))
    }
}

/// What a sender says about a frame; lengths and checksums are computed.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameMeta<'a> {
    /// What the frame is.
    pub kind: Kind,
    /// What is asked or answered.
    pub opcode: u16,
    /// Pairs an answer with its request.
    pub correlation: u64,
    /// The version of the partition map that the sender acts on.
    pub generation: Generation,
    /// Whose log.
    pub shard: ShardId,
    /// Milliseconds that the sender will wait.
    pub deadline_ms: u32,
    /// Tagged fields.
    pub tags: &'a [Tag<'a>],
}

/// Appends a frame to `out`, straight into its place: `payload` writes behind the header, which is filled in after.
///
/// # Panics
/// When the body is over [`FRAME_BODY_MAX`]: messages are checked before they are written.
pub fn write(out: &mut Vec<u8>, meta: &FrameMeta<'_>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let body = start + HEADER_LEN;
    out.resize(body, 0);
    meta.tags.iter().for_each(|tag| tag.encode(out));
    let tags_len = out.len() - body;
    payload(out);
    let body_len = out.len() - body;
    assert!(body_len <= FRAME_BODY_MAX, "a body of {body_len} bytes was written unchecked");
    let mut header = FrameHeader {
        magic: MAGIC,
        version: VERSION,
        kind: meta.kind as u8,
        opcode: meta.opcode,
        flags: 0,
        body_len: body_len as u32,
        correlation: meta.correlation,
        generation: meta.generation.0,
        shard: meta.shard.0,
        deadline_ms: meta.deadline_ms,
        tags_len: tags_len as u32,
        reserved: [0; 3],
        body_crc: crc32c::crc32c(&out[body..]),
        header_crc: 0,
    };
    header.seal();
    out[start..body].copy_from_slice(bytemuck::bytes_of(&header));
}
