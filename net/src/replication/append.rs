//! R_APPEND: what the leader's log holds, byte for byte.
//!
//! Blocks are what the log is made of: headers of segments and whole batches, in their order. Each says itself where it
//! belongs; nobody looks into them here.

use super::{Session, Stamp};
use crate::limits::{LOG_BLOCK, RUN_MAX};
use crate::position::Index;
use crate::wire::{Malformed, Reader, put_u64};

/// An R_APPEND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append<'a> {
    /// The leader's.
    pub stamp: Stamp,
    /// The session that it belongs to.
    pub session: Session,
    /// The leader's clock when it was sent.
    pub sent_us: u64,
    /// The highest index that the leader knows to be committed.
    pub committed: Index,
    /// Whole blocks of 4 KiB: segment headers and batches, durable at the leader (R9), verbatim.
    pub blocks: &'a [u8],
}

impl<'a> Append<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.encode_with(out, [self.blocks]);
    }

    pub(super) fn encode_with<'b>(&self, out: &mut Vec<u8>, blocks: impl IntoIterator<Item = &'b [u8]>) {
        self.stamp.encode(out);
        put_u64(out, self.session.0);
        put_u64(out, self.sent_us);
        put_u64(out, self.committed.0);
        let before = out.len();
        blocks.into_iter().for_each(|blocks| out.extend_from_slice(blocks));
        assert_eq!(check_blocks(out.len() - before), Ok(()), "a leader ships whole blocks");
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Append<'a>, Malformed> {
        Ok(Append {
            stamp: Stamp::read(reader)?,
            session: Session::read(reader)?,
            sent_us: reader.u64()?,
            committed: Index(reader.u64()?),
            blocks: read_blocks(reader)?,
        })
    }
}

/// All that is left of a message: whole blocks of a log, at least one.
pub(super) fn read_blocks<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = reader.rest().len();
    check_blocks(len)?;
    reader.take(len)
}

pub(super) fn check_blocks(len: usize) -> Result<(), Malformed> {
    check_run(len)?;
    match len.is_multiple_of(LOG_BLOCK) {
        true => Ok(()),
        false => Err(Malformed::Contradiction("a log is made of whole blocks of 4096 bytes")),
    }
}

/// What one message carries of a log or of a checkpoint.
pub(super) fn check_run(len: usize) -> Result<(), Malformed> {
    match len {
        0 => Err(Malformed::Empty),
        1..=RUN_MAX => Ok(()),
        _ => Err(Malformed::TooLong { what: "bytes of a log", limit: RUN_MAX, len: len as u64 }),
    }
}
