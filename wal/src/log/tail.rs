//! The newest batches, kept in memory for readers that are almost level: followers, watchers. Whoever is further
//! behind reads closed segments.

use std::collections::VecDeque;

use crate::format::BatchHeader;
use crate::{BLOCK, Index, LogLimits};

/// A ring of whole batches. It holds sealed ones too; only durable ones are shown. A start finds in it the end of what
/// recovery read.
#[derive(Debug, Default)]
pub struct MemoryTail {
    bytes: Vec<u8>,
    batches: VecDeque<Kept>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    header: BatchHeader,
    at: usize,
    len: usize,
}

impl MemoryTail {
    pub fn new(limits: &LogLimits) -> Self {
        let batches = VecDeque::with_capacity(limits.tail_bytes / BLOCK);
        Self { bytes: vec![0; limits.tail_bytes], batches }
    }

    /// Takes the next batch; the oldest ones make room.
    pub fn push(&mut self, header: BatchHeader, batch: &[u8]) {
        if batch.len() > self.bytes.len() {
            return self.batches.clear();
        }
        let mut at = self.batches.back().map_or(0, |newest| newest.at + newest.len);
        if at + batch.len() > self.bytes.len() {
            // Behind the newest stand only older ones, up to the end of the ring.
            while self.batches.front().is_some_and(|oldest| oldest.at >= at) {
                self.batches.pop_front();
            }
            at = 0;
        }
        let end = at + batch.len();
        while self.batches.front().is_some_and(|oldest| oldest.at < end && at < oldest.at + oldest.len) {
            self.batches.pop_front();
        }
        self.bytes[at..end].copy_from_slice(batch);
        self.batches.push_back(Kept { header, at, len: batch.len() });
    }

    pub fn oldest(&self) -> Option<Index> {
        self.batches.front().map(|oldest| Index(oldest.header.first_index))
    }

    /// The batches from the one that holds `from` up to `durable`, oldest first; `None` if that one is gone.
    pub fn from(&self, from: Index, durable: Index) -> Option<impl Iterator<Item = (&BatchHeader, &[u8])>> {
        let known = self.batches.front().is_some_and(|oldest| oldest.header.first_index <= from.0);
        let first = self.batches.partition_point(move |kept| kept.header.last_index() < from);
        let shown = self.batches.range(first..).take_while(move |kept| kept.header.last_index() <= durable);
        known.then(|| shown.map(|kept| (&kept.header, &self.bytes[kept.at..kept.at + kept.len])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    /// Batches of many sizes go round the ring; what is shown is always the newest ones, whole and in order.
    #[test]
    fn the_newest_batches_stay_whole() {
        let limits = LogLimits { tail_bytes: 7 * BLOCK, ..LogLimits::test_min() };
        let mut tail = MemoryTail::new(&limits);
        for n in 1..200u64 {
            let blocks = 1 + (n * 7 % 4) as usize;
            let header = BatchHeader { first_index: n, records: 1, ..BatchHeader::zeroed() };
            tail.push(header, &vec![n as u8; blocks * BLOCK]);
            let oldest = tail.batches.front().expect("it was pushed").header.first_index;
            assert!(tail.from(Index(oldest - 1), Index(n)).is_none(), "gone");
            let mut kept = 0;
            for ((header, bytes), n) in tail.from(Index(oldest), Index(n)).expect("kept").zip(oldest..) {
                assert!(header.first_index == n && bytes.iter().all(|b| *b == n as u8), "batch {n}");
                kept += bytes.len();
            }
            assert!(kept >= blocks * BLOCK && (n < 4 || kept > 3 * BLOCK), "{kept} bytes kept at {n}");
            let durable = tail.from(Index(n), Index(n - 1)).map(Iterator::count);
            assert_eq!(durable, Some(0), "what is not durable is not shown");
        }
    }

    #[test]
    fn a_batch_larger_than_the_ring_leaves_a_gap_and_no_lie() {
        let mut tail = MemoryTail::new(&LogLimits { tail_bytes: 0, ..LogLimits::test_min() });
        tail.push(BatchHeader { first_index: 1, records: 1, ..BatchHeader::zeroed() }, &[1; BLOCK]);
        assert!(tail.from(Index(1), Index(1)).is_none());
    }
}
