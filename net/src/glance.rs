//! What the next requests are about, as far as that shows without a look at whether they are right.
//!
//! Whoever is about to take many requests can bring near first what all of them will look at. So a glance is cheap and
//! goes over bytes that nobody has checked: what it says of bytes that are no request means nothing.

use crate::frame::Frame;
use crate::message::request_key::KeyName;
use crate::message::term::RowAt;
use crate::message::{GetRequest, Opcode, commit};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// The bytes of the partition's key.
    pub partition: &'a [u8],
    /// The name of its request key.
    pub name: Option<KeyName<'a>>,
    /// The first row that it names.
    pub row: Option<RowAt<'a>>,
}

/// What looks like frames at the front of `bytes`, in order.
pub fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> + Clone {
    std::iter::from_fn(move || {
        let (frame, rest) = Frame::unchecked(bytes)?;
        bytes = rest;
        Some(frame)
    })
}

/// Of a COMMIT or a GET; there is nothing to say of others.
pub fn of_request<'a>(frame: &Frame<'a>) -> Option<Glance<'a>> {
    match Opcode::from_u16(frame.header.opcode)? {
        Opcode::Commit => of_commit(frame.payload),
        Opcode::Get => GetRequest::glance(frame.payload),
        _ => None,
    }
}

/// Of the payload of a COMMIT.
pub fn of_commit(payload: &[u8]) -> Option<Glance<'_>> {
    commit::glance(payload).ok()
}
