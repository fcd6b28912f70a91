//! R_CHECKPOINT: a checkpoint for a follower that is behind everything that the leader's segments hold (R23).

use super::append::check_run;
use super::{Incarnation, Session, Stamp};
use crate::position::Position;
use crate::wire::{Malformed, Reader, put_u64};

/// What is sent of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// First: what will come.
    Begin {
        /// Bytes of the whole file.
        bytes: u64,
        /// Over its contents, as its footer says.
        digest: [u8; 16],
        /// The segment from which on the leader keeps its log until this follower has it.
        pin: Incarnation,
    },
    /// Bytes of the file, verbatim.
    Chunk {
        /// Where they stand.
        offset: u64,
        /// At least one.
        bytes: &'a [u8],
    },
    /// Last: all of it was sent.
    End {
        /// The same as at the beginning.
        digest: [u8; 16],
    },
}

/// The number of each piece.
mod number {
    pub(super) const BEGIN: u8 = 1;
    pub(super) const CHUNK: u8 = 2;
    pub(super) const END: u8 = 3;
}

impl<'a> Piece<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Piece::Begin { bytes, digest, pin } => {
                out.push(number::BEGIN);
                put_u64(out, *bytes);
                out.extend_from_slice(digest);
                put_u64(out, pin.0);
            }
            Piece::Chunk { offset, bytes } => {
                assert_eq!(
                    check_run(bytes.len()),
                    Ok(()),
                    "a leader ships some bytes at once, not all of them"
                );
                out.push(number::CHUNK);
                put_u64(out, *offset);
                out.extend_from_slice(bytes);
            }
            Piece::End { digest } => {
                out.push(number::END);
                out.extend_from_slice(digest);
            }
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Piece<'a>, Malformed> {
        Ok(match reader.u8()? {
            number::BEGIN => Piece::Begin {
                bytes: reader.u64()?,
                digest: reader.array()?,
                pin: Incarnation(reader.u64()?),
            },
            number::CHUNK => {
                let offset = reader.u64()?;
                let len = reader.rest().len();
                check_run(len)?;
                if offset.checked_add(len as u64).is_none() {
                    return Err(Malformed::Contradiction("a chunk lies within a file"));
                }
                Piece::Chunk { offset, bytes: reader.take(len)? }
            }
            number::END => Piece::End { digest: reader.array()? },
            got => return Err(Malformed::Unknown { what: "piece of a checkpoint", got: u64::from(got) }),
        })
    }
}

/// An R_CHECKPOINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint<'a> {
    /// The leader's.
    pub stamp: Stamp,
    /// The session that it belongs to.
    pub session: Session,
    /// The last record in the checkpoint: which one it is.
    pub cut: Position,
    /// What of it.
    pub piece: Piece<'a>,
}

impl<'a> Checkpoint<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.stamp.encode(out);
        put_u64(out, self.session.0);
        self.cut.encode(out);
        self.piece.encode(out);
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Checkpoint<'a>, Malformed> {
        Ok(Checkpoint {
            stamp: Stamp::read(reader)?,
            session: Session::read(reader)?,
            cut: Position::read(reader)?,
            piece: Piece::read(reader)?,
        })
    }
}
