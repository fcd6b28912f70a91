//! R_CHECKPOINT: a checkpoint for a follower that is behind everything that the leader's segments hold (R23).
//!
//! Each piece says what the whole is, so none is special; the file's own last block holds the checksums of all of it.

use super::append::{check_blocks, read_blocks};
use super::{Incarnation, Session, Stamp};
use crate::limits::LOG_BLOCK;
use crate::position::Position;
use crate::wire::{Malformed, Reader, put_u64};

/// Where the log goes on behind a checkpoint: the end of the last segment that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The last record in it.
    pub at: Position,
    /// Its leader time.
    pub time_us: i64,
    /// The segment that the next one names as the one before it,
    pub incarnation: Incarnation,
    /// where that ends, in bytes,
    pub end: u64,
    /// and the checksum of the last header in it.
    pub chain: u32,
}

/// An R_CHECKPOINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint<'a> {
    /// The leader's.
    pub stamp: Stamp,
    /// The session that it belongs to.
    pub session: Session,
    /// The leader's clock when it was sent.
    pub sent_us: u64,
    /// Which checkpoint it is. From there on the leader keeps its log until this follower has it.
    pub cut: Cut,
    /// Bytes of the whole file.
    pub bytes: u64,
    /// Where the piece stands in it.
    pub offset: u64,
    /// Whole blocks of 4 KiB, verbatim.
    pub blocks: &'a [u8],
}

impl<'a> Checkpoint<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        assert_eq!(self.check(), Ok(()), "a leader ships pieces of checkpoints");
        self.stamp.encode(out);
        put_u64(out, self.session.0);
        put_u64(out, self.sent_us);
        let Cut { at, time_us, incarnation, end, chain } = self.cut;
        at.encode(out);
        out.extend_from_slice(&time_us.to_le_bytes());
        put_u64(out, incarnation.0);
        put_u64(out, end);
        out.extend_from_slice(&chain.to_le_bytes());
        put_u64(out, self.bytes);
        put_u64(out, self.offset);
        out.extend_from_slice(self.blocks);
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Checkpoint<'a>, Malformed> {
        let checkpoint = Checkpoint {
            stamp: Stamp::read(reader)?,
            session: Session::read(reader)?,
            sent_us: reader.u64()?,
            cut: Cut {
                at: Position::read(reader)?,
                time_us: i64::from_le_bytes(reader.array()?),
                incarnation: Incarnation(reader.u64()?),
                end: reader.u64()?,
                chain: reader.u32()?,
            },
            bytes: reader.u64()?,
            offset: reader.u64()?,
            blocks: read_blocks(reader)?,
        };
        checkpoint.check()?;
        Ok(checkpoint)
    }

    fn check(&self) -> Result<(), Malformed> {
        check_blocks(self.blocks.len())?;
        let block = LOG_BLOCK as u64;
        if !self.offset.is_multiple_of(block) || !self.bytes.is_multiple_of(block) {
            return Err(Malformed::Contradiction("a checkpoint is made of whole blocks of 4096 bytes"));
        }
        match self.offset.checked_add(self.blocks.len() as u64) {
            Some(until) if until <= self.bytes => Ok(()),
            _ => Err(Malformed::Contradiction("a piece lies within its checkpoint")),
        }
    }
}
