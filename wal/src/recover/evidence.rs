//! What stands behind the first invalid batch, or in a slot without a header: looked at block by block, so that
//! the verdict rests on every byte.

use crate::BLOCK;
use crate::format::{BatchHeader, Incarnation, LogId};

/// Collected window by window over a contiguous range of one slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence {
    /// A byte that is neither zero nor part of an earlier incarnation's batch.
    pub unexplained: Option<u64>,
    /// Of a self-valid batch of a watched incarnation: the highest `flushed_through`, and where it stands.
    pub flushed: Option<(u64, u64)>,
    /// Any self-valid batch of a watched incarnation.
    pub batch_at: Option<u64>,
    /// How far an earlier incarnation's batch reaches past the last window.
    skip: usize,
}

impl Evidence {
    /// Looks at `bytes`, which stand at `offset`. Batches of incarnations `from` on are watched, earlier ones are
    /// what a recycled slot still holds.
    pub fn look(&mut self, bytes: &[u8], offset: u64, log: &LogId, from: Incarnation) {
        for (i, block) in bytes.chunks_exact(BLOCK).enumerate() {
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            let at = offset + (i * BLOCK) as u64;
            match BatchHeader::read(block, log, at) {
                Ok(header) if header.incarnation >= from.0 => self.found(&header, at),
                Ok(header) => self.skip = header.blocks() / BLOCK - 1,
                Err(_) if block.iter().all(|b| *b == 0) => {}
                Err(_) => self.unexplained = self.unexplained.or(Some(at)),
            }
        }
    }

    fn found(&mut self, header: &BatchHeader, at: u64) {
        self.batch_at = self.batch_at.or(Some(at));
        self.unexplained = self.unexplained.or(Some(at));
        if self.flushed.is_none_or(|(through, _)| header.flushed_through > through) {
            self.flushed = Some((header.flushed_through, at));
        }
    }
}
