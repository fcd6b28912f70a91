//! The bytes of a checkpoint; `docs/log-format.md` draws them.
//!
//! Checksums of blocks stand in the index, not in the blocks: a block that was written to another block's place, or
//! an old one that stayed, is whole in itself and would vouch for itself. The checksum of the index stands in the
//! footer together with that of the header, so one file is one chain of checksums from its last block.

use bytemuck::{Pod, Zeroable};

use std::ops::Range;

use super::{Boundary, Fault, Finished, Item, Place, Version};
use crate::buffer::whole_blocks;
use crate::format::{self, Incarnation, LogId, NotValid, VERSION};
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
    pub(super) fn finished(&self) -> Finished {
        let digest = u128::from_le_bytes(self.digest);
        Finished { digest, bytes: self.size, entries: self.entries }
    }

    /// Where the whole blocks of the index stand in a file of `size` bytes: they end where the footer begins.
    pub(super) fn index(&self, size: u64) -> Result<Range<usize>, Fault> {
        let end = size - BLOCK as u64;
        let bad =
            |why: &str| Fault::new(Place::Checkpoint, end, "an index between the blocks and the footer", why);
        let (offset, length) = (self.index_offset, self.index_length);
        if offset < BLOCK as u64 || offset > end || !offset.is_multiple_of(BLOCK as u64) {
            return Err(bad("its offset"));
        }
        if length > end - offset || length.next_multiple_of(BLOCK as u64) != end - offset {
            return Err(bad("its length"));
        }
        let place = |at: u64| usize::try_from(at).map_err(|_| bad("its size"));
        Ok(place(offset)?..place(end)?)
    }

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

/// The header, from the front of a file.
pub(super) fn read_header(bytes: &[u8], log: &LogId) -> Result<Header, Fault> {
    read_block(bytes, 0, 0, "header of a checkpoint", |header: &Header| {
        let whole = format::checksum(header) == header.header_crc;
        format::check(header.magic == HEADER_MAGIC, whole, header.version)?;
        match header.lineage == log.lineage && header.shard == log.shard {
            false => Err(NotValid::OtherLog),
            true if header.flags != 0 => Err(NotValid::Field("flags")),
            true if header.cut_index > MAX_INDEX => Err(NotValid::Field("cut index")),
            true => Ok(()),
        }
    })
}

/// The footer of a file of `size` bytes, from `bytes`, which stand at `at` and reach to its end.
pub(super) fn read_footer(bytes: &[u8], at: u64, size: u64, header: &Header) -> Result<Footer, Fault> {
    let block = BLOCK as u64;
    let last = size.saturating_sub(block);
    if last < block.max(at) || !last.is_multiple_of(block) {
        let observed = format!("{size} bytes");
        return Err(Fault::new(Place::Checkpoint, last, "whole blocks with a footer", observed));
    }
    let from = usize::try_from(last - at).unwrap_or(usize::MAX);
    read_block(bytes, from, at, "footer of a checkpoint", |footer: &Footer| {
        let whole = format::checksum(footer) == footer.footer_crc;
        format::check(footer.magic == FOOTER_MAGIC, whole, footer.version)?;
        match footer.header_crc == header.header_crc {
            false => Err(NotValid::Field("header's checksum")),
            true if footer.flags != 0 => Err(NotValid::Field("flags")),
            true if footer.size != size => Err(NotValid::Field("size")),
            true => Ok(()),
        }
    })
}

/// A sealed struct, alone in the block at `from` of `bytes`, which stand at `at` of the file.
fn read_block<T: Pod>(
    bytes: &[u8],
    from: usize,
    at: u64,
    name: &str,
    check: impl Fn(&T) -> Result<(), NotValid>,
) -> Result<T, Fault> {
    let place = at + from as u64;
    let fault = |expected: String, observed: String| Fault::new(Place::Checkpoint, place, expected, observed);
    let block = from.checked_add(BLOCK).and_then(|end| bytes.get(from..end));
    let Some(block) = block else {
        return Err(fault(format!("a whole block with the {name}"), "the end of the file".into()));
    };
    let read = format::cast::<T>(block).and_then(|value| check(&value).map(|()| value));
    let value = read.map_err(|why| fault(format!("a valid {name}"), why.to_string()))?;
    zeros(block.get(size_of::<T>()..).unwrap_or_default(), from + size_of::<T>())?;
    Ok(value)
}

/// Padding is zeros: what no checksum covers must not differ either.
pub(super) fn zeros(padding: &[u8], at: usize) -> Result<(), Fault> {
    match padding.iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(nth) => {
            let offset = (at + nth) as u64;
            Err(Fault::new(Place::Checkpoint, offset, "zeros as padding", "another byte"))
        }
    }
}
