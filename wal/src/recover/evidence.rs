//! What stands behind the first invalid batch, or in a slot without a header: looked at block by block, so that
//! the verdict rests on every byte.

use crate::BLOCK;
use crate::format::{BATCH_HEADER, BatchHeader, Incarnation, LogId};

/// Collected window by window over a contiguous range of one slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence {
    /// A byte that is neither zero nor part of an earlier incarnation's batch.
    unexplained: Option<u64>,
    /// Of a whole header of a watched incarnation: the highest `flushed_through`, and where it stands.
    pub flushed: Option<(u64, u64)>,
    /// Any self-valid batch of a watched incarnation.
    pub batch_at: Option<u64>,
    /// The last one of the oldest watched incarnation.
    pub last_at: Option<u64>,
    /// One that is newer than the oldest watched incarnation.
    pub newer_at: Option<u64>,
    /// An earlier incarnation's batch of which more blocks should follow.
    older: Option<Older>,
}

/// A header alone explains nothing behind it: what it announces may have been overwritten since. Only the payload's
/// checksum tells that these blocks are what the slot held before.
#[derive(Clone, Copy, Debug)]
struct Older {
    at: u64,
    /// Bytes of payload still to come, and the blocks that hold them.
    left: usize,
    blocks: usize,
    crc: u32,
    announced: u32,
}

impl Evidence {
    /// Looks at `bytes`, which stand at `offset`. Batches of incarnations `from` on are watched, earlier ones are
    /// what a recycled slot still holds.
    pub fn look(&mut self, bytes: &[u8], offset: u64, log: &LogId, from: Incarnation) {
        for (i, block) in bytes.chunks_exact(BLOCK).enumerate() {
            let at = offset + (i * BLOCK) as u64;
            match (BatchHeader::read_anywhere(block, log), self.older.take()) {
                (Ok(header), older) if header.incarnation >= from.0 => {
                    self.found(&header, at, from);
                    self.unexplained = self.unexplained.or(older.map(|o| o.at)).or(Some(at));
                }
                (_, Some(older)) => self.take(older, block),
                (Ok(header), None) if header.offset == at => {
                    let (announced, left) = (header.payload_crc, header.length as usize);
                    let older = Older { at, left, blocks: header.blocks() / BLOCK, crc: 0, announced };
                    self.take(older, &block[BATCH_HEADER..]);
                }
                (_, None) if is_zero(block) => {}
                (_, None) => self.unexplained = self.unexplained.or(Some(at)),
            }
        }
    }

    /// First byte that nothing explains.
    pub fn unexplained(&self) -> Option<u64> {
        self.unexplained.or(self.older.map(|cut_short| cut_short.at))
    }

    /// A header in the wrong place was sealed by this log all the same, so what it says was durable was durable.
    fn found(&mut self, header: &BatchHeader, at: u64, from: Incarnation) {
        if header.offset == at {
            self.batch_at = self.batch_at.or(Some(at));
            let newer = header.incarnation > from.0;
            self.last_at = if newer { self.last_at } else { Some(at) };
            self.newer_at = self.newer_at.or(newer.then_some(at));
        }
        if self.flushed.is_none_or(|(through, _)| header.flushed_through > through) {
            self.flushed = Some((header.flushed_through, at));
        }
    }

    /// What the next block holds of an earlier incarnation's payload.
    fn take(&mut self, mut older: Older, payload: &[u8]) {
        let part = &payload[..older.left.min(payload.len())];
        older.crc = crc32c::crc32c_append(older.crc, part);
        (older.left, older.blocks) = (older.left - part.len(), older.blocks - 1);
        if older.blocks > 0 {
            self.older = Some(older);
        } else if older.crc != older.announced {
            self.unexplained = self.unexplained.or(Some(older.at));
        }
    }
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|b| *b == 0)
}
