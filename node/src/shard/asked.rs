//! A request that was routed here, and how it came.

use seawall::frame::{self, FrameMeta, HEADER_LEN};
use seawall::message::{Request, RequestMeta};

use crate::seam::{ConnId, WorkerId};

/// Whom an answer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The worker that has the connection.
    pub worker: WorkerId,
    pub conn: ConnId,
    pub request: RequestMeta,
}

/// A request that was routed here.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub to: ReplyTo,
    pub namespace: &'a str,
    pub request: Request<'a>,
    /// Its bytes, if it has to wait.
    pub sent: Sent<'a>,
}

/// How a request came. Whoever has to keep it keeps a frame.
#[derive(Clone, Copy, Debug)]
pub enum Sent<'a> {
    /// In a frame of its own.
    Frame(&'a [u8]),
    /// As the payload of one among many.
    Among(&'a [u8]),
}

impl Sent<'_> {
    /// The frame, or what would be one.
    pub fn to_frame(self, meta: &RequestMeta) -> Vec<u8> {
        let payload = match self {
            Sent::Frame(frame) => return frame.to_vec(),
            Sent::Among(payload) => payload,
        };
        let meta = FrameMeta {
            kind: frame::Kind::Request,
            opcode: meta.opcode,
            correlation: meta.correlation,
            generation: meta.generation,
            shard: meta.shard,
            deadline_ms: meta.deadline_ms,
            tags: &[],
        };
        let mut whole = Vec::with_capacity(HEADER_LEN + payload.len());
        frame::write(&mut whole, &meta, |out| out.extend_from_slice(payload));
        whole
    }

    /// How many bytes of a frame there are to keep.
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(self) -> usize {
        match self {
            Sent::Frame(frame) => frame.len(),
            Sent::Among(payload) => HEADER_LEN + payload.len(),
        }
    }
}
