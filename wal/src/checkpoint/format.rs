//! The bytes of a checkpoint; `docs/log-format.md` draws them.
//!
//! Checksums of blocks stand in the index, not in the blocks: a block that was written to another block's place, or
//! an old one that stayed, is whole in itself and would vouch for itself. The checksum of the index stands in the
//! footer together with that of the header, so one file is one chain of checksums from its last block.

use bytemuck::{Pod, Zeroable};

use super::{Boundary, Fault, Item, Place, Version};
use crate::buffer::whole_blocks;
use crate::format::{self, Incarnation, LogId, VERSION};
use crate::record::MAX_KEY;
use crate::{BLOCK, Epoch, Index, Space};

pub(super) const HEADER_MAGIC: [u8; 4] = *b"SWCK";
pub(super) const FOOTER_MAGIC: [u8; 4] = *b"SWCF";

/// A block takes entries up to this size; a larger entry has a block for itself. Small enough that a lookup reads
/// little, large enough that the index is small beside the data.
pub const BLOCK_TARGET: usize = 4 * BLOCK;
/// Far above what a batch can hold, and low enough that the size of a block fits into 32 bits.
pub const MAX_VALUE: usize = 1 << 30;

/// The indices of a log are far below it, so that counting on from a hostile one cannot overflow.
pub(super) const MAX_INDEX: u64 = 1 << 62;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Header {
    pub magic: [u8; 4],
    pub version: u16,
    pub flags: u16,
    pub lineage: [u8; 16],
    pub cut_index: u64,
    pub cut_epoch: u64,
    pub cut_time_us: i64,
    pub incarnation: u64,
    pub end: u64,
    pub chain: u32,
    pub shard: u32,
    /// [`BLOCK_TARGET`] of the writer: equal content has equal bytes only under an equal target.
    pub block_target: u32,
    pub reserved: [u8; 48],
    pub header_crc: u32,
}

/// In front of each entry in a block; key and value follow.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct EntryHeader {
    pub epoch: u64,
    pub index: u64,
    pub value_len: u32,
    pub key_len: u16,
    pub space: u8,
    pub flags: u8,
}

/// In front of each block's first key in the index.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct IndexHeader {
    pub offset: u64,
    pub length: u32,
    /// Of the whole block, its padding included.
    pub crc: u32,
    pub entries: u32,
    pub key_len: u16,
    pub space: u8,
    pub flags: u8,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Footer {
    pub magic: [u8; 4],
    pub version: u16,
    pub flags: u16,
    /// Of the whole file.
    pub size: u64,
    pub index_offset: u64,
    /// Without the zeros that fill its last block.
    pub index_length: u64,
    pub entries: u64,
    pub blocks: u64,
    /// XXH3-128, little-endian, of all entries one after the other as they stand in the blocks.
    pub digest: [u8; 16],
    /// This footer belongs to the header with this checksum.
    pub header_crc: u32,
    pub index_crc: u32,
    pub reserved: [u8; 52],
    pub footer_crc: u32,
}

pub(super) const HEADER: usize = size_of::<Header>();
pub(super) const ENTRY: usize = size_of::<EntryHeader>();
pub(super) const INDEX_ENTRY: usize = size_of::<IndexHeader>();
pub(super) const FOOTER: usize = size_of::<Footer>();
/// A block ends with the offset of each of its entries and their count.
pub(super) const SLOT: usize = size_of::<u32>();

const _: () = {
    assert!(HEADER == 128 && ENTRY == 24 && INDEX_ENTRY == 24 && FOOTER == 128);
    assert!(std::mem::offset_of!(Header, cut_index) == 24);
    assert!(std::mem::offset_of!(Header, chain) == 64);
    assert!(std::mem::offset_of!(Header, header_crc) == 124);
    assert!(std::mem::offset_of!(EntryHeader, value_len) == 16);
    assert!(std::mem::offset_of!(IndexHeader, entries) == 16);
    assert!(std::mem::offset_of!(Footer, digest) == 48);
    assert!(std::mem::offset_of!(Footer, footer_crc) == 124);
    assert!(HEADER <= BLOCK && FOOTER <= BLOCK, "each stands at the start of its own block");
    assert!(BLOCK_TARGET.is_multiple_of(BLOCK));
    // The largest block holds one entry, its slot and the count.
    assert!(whole_blocks(ENTRY + MAX_KEY + MAX_VALUE + 2 * SLOT) <= u32::MAX as usize);
    // A count of entries in a block fits into 32 bits too.
    assert!(BLOCK_TARGET / (ENTRY + SLOT) < u32::MAX as usize);
};

impl Header {
    pub(super) fn new(boundary: &Boundary) -> Self {
        let mut header = Self {
            magic: HEADER_MAGIC,
            version: VERSION,
            flags: 0,
            lineage: boundary.log.lineage,
            cut_index: boundary.cut.index.0,
            cut_epoch: boundary.cut.epoch.0,
            cut_time_us: boundary.time_us,
            incarnation: boundary.incarnation.0,
            end: boundary.end,
            chain: boundary.chain,
            shard: boundary.log.shard,
            block_target: BLOCK_TARGET as u32,
            reserved: [0; 48],
            header_crc: 0,
        };
        header.header_crc = format::checksum(&header);
        header
    }

    pub(super) fn boundary(&self) -> Boundary {
        Boundary {
            log: LogId { lineage: self.lineage, shard: self.shard },
            cut: Version { epoch: Epoch(self.cut_epoch), index: Index(self.cut_index) },
            time_us: self.cut_time_us,
            incarnation: Incarnation(self.incarnation),
            end: self.end,
            chain: self.chain,
        }
    }
}

impl Footer {
    pub(super) fn seal(mut self) -> Self {
        (self.magic, self.version) = (FOOTER_MAGIC, VERSION);
        self.footer_crc = format::checksum(&self);
        self
    }
}

impl EntryHeader {
    pub(super) fn new(item: &Item<'_>) -> Self {
        assert!(item.value.len() <= MAX_VALUE, "a value of {} bytes", item.value.len());
        Self {
            epoch: item.version.epoch.0,
            index: item.version.index.0,
            value_len: u32::try_from(item.value.len()).expect("just checked"),
            key_len: u16::try_from(item.key.len()).expect("the log has no longer keys"),
            space: item.space.0,
            flags: 0,
        }
    }

    /// The entry at the front of `bytes`, and how many bytes it takes.
    pub(super) fn split(bytes: &[u8]) -> Option<(Item<'_>, usize)> {
        let (header, rest) = bytes.split_at_checked(ENTRY)?;
        let header: Self = bytemuck::pod_read_unaligned(header);
        let (key, rest) = rest.split_at_checked(usize::from(header.key_len))?;
        let value = rest.get(..header.value_len as usize)?;
        if header.flags != 0 || value.len() > MAX_VALUE {
            return None;
        }
        let version = Version { epoch: Epoch(header.epoch), index: Index(header.index) };
        let item = Item { space: Space(header.space), key, version, value };
        Some((item, ENTRY + key.len() + value.len()))
    }
}

/// A sealed struct at `offset`, alone in its block.
pub(super) fn read_block<T: Pod>(
    bytes: &[u8],
    offset: usize,
    name: &str,
    check: impl Fn(&T) -> Result<(), format::NotValid>,
) -> Result<T, Fault> {
    let fault = |at: usize, expected: String, observed: String| {
        Fault::new(Place::Checkpoint, at as u64, expected, observed)
    };
    let block = offset.checked_add(BLOCK).and_then(|end| bytes.get(offset..end));
    let Some(block) = block else {
        return Err(fault(offset, format!("a whole block with the {name}"), "the end of the file".into()));
    };
    let read = format::cast::<T>(block).and_then(|value| check(&value).map(|()| value));
    let value = read.map_err(|why| fault(offset, format!("a valid {name}"), why.to_string()))?;
    zeros(bytes, offset + size_of::<T>(), offset + BLOCK)?;
    Ok(value)
}

/// Padding is zeros: what no checksum covers must not differ either.
pub(super) fn zeros(bytes: &[u8], from: usize, to: usize) -> Result<(), Fault> {
    let padding = bytes.get(from..to).unwrap_or_default();
    match padding.iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(at) => {
            let offset = (from + at) as u64;
            Err(Fault::new(Place::Checkpoint, offset, "zeros as padding", "another byte"))
        }
    }
}
