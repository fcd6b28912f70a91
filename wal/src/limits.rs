//! The numbers of a log.

use crate::buffer::{BLOCK, Buffer};
use crate::checkpoint::{BLOCK_TARGET, FoldPolicy};
use crate::meta::META_BYTES;

/// Sizes and counts of one log; the same on every replica that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// The most that one batch takes in a segment, so also the largest record.
    pub buffer_bytes: usize,
    /// A batch of this size counts as full. Smaller cost throughput at depth, larger cost latency.
    pub batch_bytes: usize,
    /// Writes under way at once. The second one flies only when the open batch is full.
    pub writes_in_flight: usize,
    /// Size of a slot while the log is small, so that a new shard is cheap.
    pub small_slot_bytes: u64,
    pub slot_bytes: u64,
    /// Prepared slots kept ready. One of them is the next start's, so that a node can begin an epoch on a full disk.
    pub spares: usize,
    pub fold: FoldPolicy,
    /// A fold takes no further segment that would bring it above this many changes, 84 bytes of memory each.
    pub fold_changes: usize,
    /// Checkpoints kept, and the log behind the oldest of them: with two, a start survives the loss of the newest.
    pub checkpoints: usize,
    /// Memory for the newest batches, from which readers that are almost level are fed.
    pub tail_bytes: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            buffer_bytes: 2 << 20,
            batch_bytes: 1 << 20,
            writes_in_flight: 2,
            small_slot_bytes: 4 << 20,
            slot_bytes: 64 << 20,
            spares: 3,
            fold: FoldPolicy::default(),
            fold_changes: 1 << 20,
            checkpoints: 2,
            tail_bytes: 8 << 20,
        }
    }
}

/// Buffers for what is not a batch: metadata and segment headers.
pub(crate) const CONTROL_BUFFERS: usize = 2;
pub(crate) const CONTROL_BYTES: usize = META_BYTES;

impl LogLimits {
    /// So small that full batches, full segments and an empty pool happen within a few commits.
    pub fn test_min() -> Self {
        Self {
            buffer_bytes: 4 * BLOCK,
            batch_bytes: 2 * BLOCK,
            writes_in_flight: 2,
            small_slot_bytes: 8 * BLOCK as u64,
            slot_bytes: 16 * BLOCK as u64,
            spares: 2,
            fold: FoldPolicy { least_bytes: 24 * BLOCK as u64, most_segments: 6 },
            fold_changes: 64,
            checkpoints: 2,
            tail_bytes: 8 * BLOCK,
        }
    }

    /// The whole pool of a log. Who holds a buffer: each write in flight one, the open batch one; and the control
    /// buffers, of which recovery needs one and a roll one.
    pub fn buffers(&self) -> Vec<Buffer> {
        self.check();
        let big = self.batch_buffers();
        let ids = 0..big + CONTROL_BUFFERS;
        let bytes = |i| if i < big { self.buffer_bytes } else { CONTROL_BYTES };
        ids.map(|i| Buffer::new(u16::try_from(i).expect("a small pool"), bytes(i))).collect()
    }

    pub(crate) fn batch_buffers(&self) -> usize {
        self.writes_in_flight + 1
    }

    pub(crate) fn check(&self) {
        assert!(self.writes_in_flight >= 1 && self.spares >= 2 && self.checkpoints >= 1);
        // A checkpoint's block is read into one buffer.
        assert!(self.buffer_bytes >= BLOCK_TARGET);
        assert!(self.tail_bytes == 0 || self.tail_bytes >= self.buffer_bytes);
        assert!(self.batch_bytes <= self.buffer_bytes && self.buffer_bytes.is_multiple_of(BLOCK));
        // A batch that does not fit into an empty segment could never be written.
        assert!(self.small_slot_bytes >= (self.buffer_bytes + BLOCK) as u64);
        assert!(self.slot_bytes >= self.small_slot_bytes);
    }
}
