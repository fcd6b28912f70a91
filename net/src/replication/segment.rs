//! R_SEGMENT: a closed segment for a follower that is behind, in pieces, each of which says what the whole is.

use super::append::{check_blocks, read_blocks};
use super::{Incarnation, Session, Stamp};
use crate::limits::LOG_BLOCK;
use crate::position::Index;
use crate::wire::{Malformed, Reader, put_u64};

/// What a closed segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Which one.
    pub incarnation: Incarnation,
    /// Where it ends, in bytes: its header block and its batches. Its slot may be longer, and is zeros from there on.
    pub end: u64,
    /// The last index in it.
    pub last: Index,
    /// CRC32C of all bytes up to the end.
    pub crc: u32,
}

/// An R_SEGMENT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The leader's.
    pub stamp: Stamp,
    /// The session that it belongs to.
    pub session: Session,
    /// Of the whole.
    pub manifest: Manifest,
    /// Where the piece stands in the segment.
    pub offset: u64,
    /// Whole blocks of 4 KiB, verbatim.
    pub blocks: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        assert_eq!(self.check(), Ok(()), "a leader ships pieces of segments");
        self.stamp.encode(out);
        put_u64(out, self.session.0);
        let Manifest { incarnation, end, last, crc } = self.manifest;
        [incarnation.0, end, last.0].into_iter().for_each(|number| put_u64(out, number));
        out.extend_from_slice(&crc.to_le_bytes());
        put_u64(out, self.offset);
        out.extend_from_slice(self.blocks);
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Segment<'a>, Malformed> {
        let segment = Segment {
            stamp: Stamp::read(reader)?,
            session: Session::read(reader)?,
            manifest: Manifest {
                incarnation: Incarnation(reader.u64()?),
                end: reader.u64()?,
                last: Index(reader.u64()?),
                crc: reader.u32()?,
            },
            offset: reader.u64()?,
            blocks: read_blocks(reader)?,
        };
        segment.check()?;
        Ok(segment)
    }

    fn check(&self) -> Result<(), Malformed> {
        check_blocks(self.blocks.len())?;
        let block = LOG_BLOCK as u64;
        if !self.offset.is_multiple_of(block) || !self.manifest.end.is_multiple_of(block) {
            return Err(Malformed::Contradiction("a segment is made of whole blocks of 4096 bytes"));
        }
        match self.offset.checked_add(self.blocks.len() as u64) {
            Some(until) if until <= self.manifest.end => Ok(()),
            _ => Err(Malformed::Contradiction("a piece lies within its segment")),
        }
    }
}
