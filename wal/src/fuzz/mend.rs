//! Checksums made right, so that a fuzzer gets behind them. `docs/log-format.md` draws the bytes.

use std::ops::Range;

use bytemuck::Zeroable;

use super::LOG;
use crate::batch::Expected;
use crate::format::{BATCH_HEADER, BatchHeader, SegmentHeader, VERSION};
use crate::{BLOCK, LogLimits};

const CRC: usize = 124;
const CUT_INDEX: usize = 24;
const CUT_EPOCH: usize = 32;
const FOOTER_SIZE: usize = 8;
const INDEX_OFFSET: usize = 16;
const INDEX_LENGTH: usize = 24;
const ENTRIES: usize = 32;
const BLOCKS: usize = 40;
const HEADER_CRC: usize = 64;
const INDEX_CRC: usize = 68;
const INDEX_LINE: usize = 24;
const ENTRY_HEADER: usize = 24;
/// Behind the last entry of a forged block: slots and their count.
const FORGED_SLOTS: usize = 16;

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn number(bytes: &[u8], at: usize) -> usize {
    let eight = bytes[at..at + 8].try_into().expect("eight bytes");
    usize::try_from(u64::from_le_bytes(eight)).unwrap_or(usize::MAX)
}

fn seal(struct_bytes: &mut [u8], magic: [u8; 4]) {
    put(struct_bytes, 0, &magic);
    put(struct_bytes, 4, &VERSION.to_le_bytes());
    let crc = crc32c::crc32c(&struct_bytes[..CRC]);
    put(struct_bytes, CRC, &crc.to_le_bytes());
}

/// A segment of this log, and the blocks of `bytes` as batches of one block each that continue it: what is left of
/// the bytes is what no place and no checksum covers.
pub(super) fn items(bytes: &[u8], limits: &LogLimits) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(limits.buffer_bytes)];
    let segment = SegmentHeader {
        lineage: LOG.lineage,
        shard: LOG.shard,
        incarnation: 1,
        bytes: limits.small_slot_bytes,
        epoch: 1,
        first_index: 1,
        ..Zeroable::zeroed()
    };
    let mut expected = Expected::first(&segment.seal());
    let mut items = vec![0; BLOCK];
    put(&mut items, 0, bytemuck::bytes_of(&segment.seal()));
    for part in bytes.chunks(BLOCK) {
        let mut block = part.to_vec();
        block.resize(BLOCK, 0);
        let was: BatchHeader = bytemuck::pod_read_unaligned(&block[..BATCH_HEADER]);
        let payload = usize::try_from(was.length).unwrap_or(0) % (BLOCK - BATCH_HEADER + 1);
        block[BATCH_HEADER + payload..].fill(0);
        let header = BatchHeader {
            lineage: LOG.lineage,
            shard: LOG.shard,
            incarnation: expected.incarnation.0,
            offset: expected.offset,
            epoch: expected.epoch.0,
            first_index: expected.next.0,
            chain: expected.chain,
            length: u32::try_from(payload).unwrap_or(0),
            payload_crc: crc32c::crc32c(&block[BATCH_HEADER..BATCH_HEADER + payload]),
            ..was
        }
        .seal();
        put(&mut block, 0, bytemuck::bytes_of(&header));
        items.extend_from_slice(&block);
        expected.offset += BLOCK as u64;
        expected.next.0 += u64::from(header.records);
        expected.chain = header.header_crc;
    }
    items
}

/// The same file with every checksum right; `None` if it is too short to be one.
pub(super) fn checkpoint(bytes: &[u8]) -> Option<Vec<u8>> {
    let blocks = bytes.len() / BLOCK;
    if blocks < 2 {
        return None;
    }
    let mut file = bytes[..blocks * BLOCK].to_vec();
    let last = file.len() - BLOCK;
    let offset = number(&file, last + INDEX_OFFSET).min(last);
    let end = offset.saturating_add(number(&file, last + INDEX_LENGTH)).min(last);
    mend_index(&mut file, offset..end);
    finish(&mut file, offset..end);
    Some(file)
}

/// The checksum of each block, into its line of the index.
fn mend_index(file: &mut [u8], index: Range<usize>) {
    let mut at = index.start;
    while at + INDEX_LINE <= index.end {
        let start = number(file, at).min(index.start);
        let length = number(file, at + 8) & 0xffff_ffff;
        let crc = crc32c::crc32c(&file[start..start.saturating_add(length).min(index.start)]);
        put(file, at + 12, &crc.to_le_bytes());
        at += INDEX_LINE + usize::from(u16::from_le_bytes([file[at + 20], file[at + 21]]));
    }
}

/// The header's checksum, the footer's, and what the footer says of both.
fn finish(file: &mut [u8], index: Range<usize>) {
    put(file, 8, &LOG.lineage);
    put(file, 68, &LOG.shard.to_le_bytes());
    seal(&mut file[..CRC + 4], *b"SWCK");
    let header_crc: [u8; 4] = file[CRC..CRC + 4].try_into().expect("four bytes");
    let size = file.len() as u64;
    let index_crc = crc32c::crc32c(&file[index]);
    let last = file.len() - BLOCK;
    let footer = &mut file[last..];
    put(footer, FOOTER_SIZE, &size.to_le_bytes());
    put(footer, HEADER_CRC, &header_crc);
    put(footer, INDEX_CRC, &index_crc.to_le_bytes());
    seal(&mut footer[..CRC + 4], *b"SWCF");
}

/// A file of one block: `bytes` are its entries, and the last of them the slots at its end and their count.
pub(super) fn forge_checkpoint(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(BLOCK)];
    let (entries, slots) = bytes.split_at(bytes.len().saturating_sub(FORGED_SLOTS));
    let mut file = vec![0; 4 * BLOCK];
    put(&mut file, BLOCK, entries);
    put(&mut file, 2 * BLOCK - slots.len(), slots);
    // The line of the index is what the block's own bytes say of it.
    let count: [u8; 4] = file[2 * BLOCK - 4..2 * BLOCK].try_into().expect("four bytes");
    let (space, key_len) = (file[BLOCK + 22], u16::from_le_bytes([file[BLOCK + 20], file[BLOCK + 21]]));
    let key_len = key_len.min(256);
    let key = file[BLOCK + ENTRY_HEADER..][..usize::from(key_len)].to_vec();
    let line = 2 * BLOCK;
    put(&mut file, line, &(BLOCK as u64).to_le_bytes());
    put(&mut file, line + 8, &(BLOCK as u32).to_le_bytes());
    put(&mut file, line + 16, &count);
    put(&mut file, line + 20, &key_len.to_le_bytes());
    file[line + 22] = space;
    put(&mut file, line + INDEX_LINE, &key);
    let end = line + INDEX_LINE + key.len();
    mend_index(&mut file, line..end);
    let footer = &mut file[3 * BLOCK..];
    put(footer, INDEX_OFFSET, &(line as u64).to_le_bytes());
    put(footer, INDEX_LENGTH, &((end - line) as u64).to_le_bytes());
    put(footer, ENTRIES, &u64::from(u32::from_le_bytes(count)).to_le_bytes());
    put(footer, BLOCKS, &1u64.to_le_bytes());
    // No entry is younger than the checkpoint.
    put(&mut file, CUT_INDEX, &(1u64 << 62).to_le_bytes());
    put(&mut file, CUT_EPOCH, &u64::MAX.to_le_bytes());
    finish(&mut file, line..end);
    file
}

#[cfg(test)]
mod tests {
    use super::{CRC, checkpoint, forge_checkpoint};
    use crate::BLOCK;
    use crate::checkpoint::{Boundary, Item, Reader, Version, Writer};
    use crate::fuzz::LOG;
    use crate::{Epoch, Index, Space};

    /// Mended bytes that no reader opens would leave a fuzzer in front of the door.
    #[test]
    fn what_was_mended_is_read_to_its_end() {
        let boundary = Boundary { cut: Version { epoch: Epoch(1), index: Index(9) }, ..Boundary::start(LOG) };
        let mut file = Vec::new();
        let mut writer = Writer::new(&boundary, |chunk: &[u8]| file.extend_from_slice(chunk));
        let version = Version { epoch: Epoch(1), index: Index(1) };
        writer.push(&Item { space: Space(1), key: b"a", version, value: b"one" });
        writer.push(&Item { space: Space(1), key: b"b", version, value: b"two" });
        writer.finish();
        let body = file[BLOCK..2 * BLOCK].to_vec();
        let last = file.len() - BLOCK;
        for at in [CRC, BLOCK + 26, 2 * BLOCK + 12, last + CRC] {
            file[at] ^= 1;
        }
        assert!(Reader::open(&file, &LOG).is_err());
        let forged = [&body[..56], &[0; 4], &body[BLOCK - 12..]].concat();
        for mended in [checkpoint(&file).expect("a file"), forge_checkpoint(&forged)] {
            let reader = Reader::open(&mended, &LOG).expect("its checksums are right");
            assert_eq!(reader.iter().filter_map(Result::ok).count(), 2);
        }
        assert_eq!(checkpoint(&file[..BLOCK]), None);
    }
}
