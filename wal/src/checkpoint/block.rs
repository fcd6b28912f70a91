//! The blocks of a checkpoint and the lines of its index, read in place.

use super::format::{self, Footer, INDEX_ENTRY, IndexHeader, SLOT};
use super::{Fault, Item, Place, Version};
use crate::{BLOCK, Space};

/// One line of the index.
#[derive(Clone, Copy, Debug)]
pub struct BlockRef<'a> {
    pub first: (Space, &'a [u8]),
    pub offset: usize,
    pub length: usize,
    pub crc: u32,
    pub entries: u32,
}

/// A block whose checksum holds.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    pub offset: usize,
    /// Entries and padding.
    pub body: &'a [u8],
    pub slots: &'a [u8],
    pub entries: usize,
}

pub fn fault(offset: usize, expected: impl Into<String>, observed: impl Into<String>) -> Fault {
    Fault::new(Place::Checkpoint, offset as u64, expected, observed)
}

/// The index, each line of it checked against its neighbours. `bytes` are its whole blocks, which stand at `offset`.
pub fn read_index<'a>(bytes: &'a [u8], offset: usize, footer: &Footer) -> Result<Vec<BlockRef<'a>>, Fault> {
    let length = usize::try_from(footer.index_length).unwrap_or(usize::MAX).min(bytes.len());
    let (mut rest, padding) = bytes.split_at(length);
    let crc = crc32c::crc32c(rest);
    if crc != footer.index_crc {
        let expected = format!("an index with the checksum {:08x}", footer.index_crc);
        return Err(fault(offset, expected, format!("{crc:08x}")));
    }
    format::zeros(padding, offset + length)?;
    let (mut index, mut next, mut entries) = (Vec::<BlockRef<'a>>::new(), BLOCK, 0u64);
    while !rest.is_empty() {
        let at = offset + length - rest.len();
        let Some((line, behind)) = BlockRef::split(rest) else {
            return Err(fault(at, "a whole line of the index", "another thing"));
        };
        let ascends = index.last().is_none_or(|last| last.first < line.first);
        let contiguous = line.offset == next && line.length <= offset - next;
        if !ascends || !contiguous || line.length == 0 || !line.length.is_multiple_of(BLOCK) {
            let expected = format!("a block at {next}, behind the one before it in place and in order");
            return Err(fault(at, expected, format!("{} bytes at {}", line.length, line.offset)));
        }
        next += line.length;
        entries += u64::from(line.entries);
        index.push(line);
        rest = behind;
    }
    if next != offset || index.len() as u64 != footer.blocks || entries != footer.entries {
        let expected = format!("{} blocks with {} entries up to {offset}", footer.blocks, footer.entries);
        return Err(fault(
            offset + bytes.len(),
            expected,
            format!("{} with {entries} up to {next}", index.len()),
        ));
    }
    Ok(index)
}

impl<'a> BlockRef<'a> {
    pub fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = bytes.split_at_checked(INDEX_ENTRY)?;
        let header: IndexHeader = bytemuck::pod_read_unaligned(header);
        let (key, rest) = rest.split_at_checked(usize::from(header.key_len))?;
        let line = Self {
            first: (Space(header.space), key),
            offset: usize::try_from(header.offset).ok()?,
            length: header.length as usize,
            crc: header.crc,
            entries: header.entries,
        };
        (header.flags == 0).then_some((line, rest))
    }
}

impl<'a> Block<'a> {
    /// `bytes` are those that `line` names.
    pub fn open(bytes: &'a [u8], line: &BlockRef<'_>) -> Result<Self, Fault> {
        let crc = crc32c::crc32c(bytes);
        if crc != line.crc {
            let expected = format!("a block with the checksum {:08x}", line.crc);
            return Err(fault(line.offset, expected, format!("{crc:08x}")));
        }
        let split = || {
            let (rest, count) = bytes.split_at_checked(bytes.len().checked_sub(SLOT)?)?;
            let entries = line.entries as usize;
            let table = rest.len().checked_sub(entries.checked_mul(SLOT)?)?;
            let (body, slots) = rest.split_at_checked(table)?;
            let same = count == line.entries.to_le_bytes() && entries > 0;
            same.then_some(Self { offset: line.offset, body, slots, entries })
        };
        let block = split()
            .ok_or_else(|| fault(line.offset, format!("a block of {} entries", line.entries), "another"))?;
        let (first, _) = block.entry(0)?;
        match (first.space, first.key) == line.first {
            true => Ok(block),
            false => Err(fault(line.offset, "the first key that the index names", "another key")),
        }
    }

    /// Where entry `nth` begins.
    pub fn slot(&self, nth: usize) -> Option<usize> {
        let at = nth.checked_mul(SLOT)?;
        let slot = self.slots.get(at..at.checked_add(SLOT)?)?;
        Some(u32::from_le_bytes(slot.try_into().ok()?) as usize)
    }

    /// Entry `nth` and where it ends.
    pub fn entry(&self, nth: usize) -> Result<(Item<'a>, usize), Fault> {
        let read = || {
            let start = self.slot(nth)?;
            let (item, len) = format::EntryHeader::split(self.body.get(start..)?)?;
            Some((item, start + len))
        };
        read().ok_or_else(|| fault(self.offset, format!("entry {nth} of the block"), "no entry"))
    }

    /// The number of entries in front, for which `before` holds.
    pub fn search(&self, before: impl Fn((Space, &[u8])) -> bool) -> Result<usize, Fault> {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            let (item, _) = self.entry(middle)?;
            match before((item.space, item.key)) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }

    /// The bytes of the entries, of which the last one ends at `edge`; what follows is padding.
    pub fn entries_up_to(&self, edge: usize) -> Result<&'a [u8], Fault> {
        let (entries, padding) = self.body.split_at_checked(edge).unwrap_or((self.body, &[]));
        match padding.iter().all(|byte| *byte == 0) {
            true => Ok(entries),
            false => Err(fault(self.offset + edge, "zeros as padding", "another byte")),
        }
    }
}

/// Beyond the checksums: entries ascend, and none is younger than the checkpoint.
pub fn check_order(
    last: Option<(Space, &[u8])>,
    item: &Item<'_>,
    cut: Version,
    at: usize,
) -> Result<(), Fault> {
    if last.is_some_and(|last| last >= (item.space, item.key)) {
        return Err(fault(at, "entries in ascending order", "an entry out of order"));
    }
    if item.version > cut || item.version.index > cut.index {
        let expected = format!("a version no younger than {cut:?}");
        return Err(fault(at, expected, format!("{:?}", item.version)));
    }
    Ok(())
}
