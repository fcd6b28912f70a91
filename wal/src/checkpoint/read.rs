//! Reading a checkpoint in place: [`Reader::open`], then [`Reader::get`], [`Reader::range`] or [`Reader::verify`].
//! The bytes come from a disk, so nothing is believed before its checksum, and nothing panics on any bytes at all.

use std::ops::{Bound, RangeBounds};

use xxhash_rust::xxh3::Xxh3;

use super::format::{self, Footer, Header, INDEX_ENTRY, IndexHeader, MAX_INDEX, SLOT};
use super::{Boundary, Fault, Finished, Item, Place};
use crate::buffer::whole_blocks;
use crate::format::{LogId, NotValid, check, checksum};
use crate::{BLOCK, Space};

/// A checkpoint whose header, index and footer are whole. Its blocks are checked each time they are read.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    boundary: Boundary,
    finished: Finished,
    index: Vec<BlockRef<'a>>,
}

/// One line of the index.
#[derive(Clone, Copy, Debug)]
struct BlockRef<'a> {
    first: (Space, &'a [u8]),
    offset: usize,
    length: usize,
    crc: u32,
    entries: u32,
}

/// A block whose checksum holds.
#[derive(Clone, Copy, Debug)]
struct Block<'a> {
    offset: usize,
    /// Entries and padding.
    body: &'a [u8],
    slots: &'a [u8],
    entries: usize,
}

fn fault(offset: usize, expected: impl Into<String>, observed: impl Into<String>) -> Fault {
    Fault::new(Place::Checkpoint, offset as u64, expected, observed)
}

impl<'a> Reader<'a> {
    /// `bytes` are the whole file.
    pub fn open(bytes: &'a [u8], log: &LogId) -> Result<Self, Fault> {
        let header = format::read_block(bytes, 0, "header of a checkpoint", |header: &Header| {
            let whole = checksum(header) == header.header_crc;
            check(header.magic == format::HEADER_MAGIC, whole, header.version)?;
            match header.lineage == log.lineage && header.shard == log.shard {
                false => Err(NotValid::OtherLog),
                true if header.flags != 0 => Err(NotValid::Field("flags")),
                true if header.cut_index > MAX_INDEX => Err(NotValid::Field("cut index")),
                true => Ok(()),
            }
        })?;
        let last = bytes.len().saturating_sub(BLOCK);
        if last < BLOCK || !last.is_multiple_of(BLOCK) {
            return Err(fault(last, "whole blocks with a footer", format!("{} bytes", bytes.len())));
        }
        let footer = format::read_block(bytes, last, "footer of a checkpoint", |footer: &Footer| {
            let whole = checksum(footer) == footer.footer_crc;
            check(footer.magic == format::FOOTER_MAGIC, whole, footer.version)?;
            match footer.header_crc == header.header_crc {
                false => Err(NotValid::Field("header's checksum")),
                true if footer.flags != 0 => Err(NotValid::Field("flags")),
                true if footer.size != bytes.len() as u64 => Err(NotValid::Field("size")),
                true => Ok(()),
            }
        })?;
        let index = read_index(bytes, &footer, last)?;
        let digest = u128::from_le_bytes(footer.digest);
        let finished = Finished { digest, bytes: footer.size, entries: footer.entries };
        Ok(Self { bytes, boundary: header.boundary(), finished, index })
    }

    pub fn boundary(&self) -> &Boundary {
        &self.boundary
    }

    /// What the footer says; [`Self::verify`] tells whether it is true.
    pub fn finished(&self) -> Finished {
        self.finished
    }

    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Item<'a>>, Fault> {
        let wanted = (space, key);
        let behind = self.index.partition_point(|block| block.first <= wanted);
        let Some(nth) = behind.checked_sub(1) else { return Ok(None) };
        let Some(block) = self.block(nth)? else { return Ok(None) };
        let at = block.search(|found| found < wanted)?;
        match at < block.entries {
            false => Ok(None),
            true => {
                let (item, _) = block.entry(at)?;
                Ok(((item.space, item.key) == wanted).then_some(item))
            }
        }
    }

    /// The entries of one space with keys in a range, in ascending order.
    pub fn range<'r>(&'r self, space: Space, keys: impl RangeBounds<&'r [u8]>) -> Cursor<'r, 'a> {
        let start = match keys.start_bound() {
            Bound::Included(key) => Start { space, key, at: true },
            Bound::Excluded(key) => Start { space, key, at: false },
            Bound::Unbounded => Start { space, key: &[], at: true },
        };
        let end = match keys.end_bound() {
            Bound::Included(key) => Bound::Included(*key),
            Bound::Excluded(key) => Bound::Excluded(*key),
            Bound::Unbounded => Bound::Unbounded,
        };
        Cursor::new(self, Some(start), Some((space, end)))
    }

    /// Every entry of every space, in ascending order.
    pub fn iter(&self) -> Cursor<'_, 'a> {
        Cursor::new(self, None, None)
    }

    /// Reads everything: each block, the order of the entries, the padding, and the digest over all of them.
    pub fn verify(&self) -> Result<Finished, Fault> {
        let mut cursor = self.iter().digested();
        for item in cursor.by_ref() {
            item?;
        }
        cursor.check_digest()?;
        Ok(self.finished)
    }

    /// Block `nth`, its checksum checked; `None` behind the last one.
    fn block(&self, nth: usize) -> Result<Option<Block<'a>>, Fault> {
        let Some(line) = self.index.get(nth) else { return Ok(None) };
        let bytes = self.bytes.get(line.offset..line.offset + line.length).unwrap_or_default();
        let crc = crc32c::crc32c(bytes);
        if crc != line.crc {
            let (expected, observed) = (line.crc, crc);
            let expected = format!("a block with the checksum {expected:08x}");
            return Err(fault(line.offset, expected, format!("{observed:08x}")));
        }
        let block = Block::open(bytes, line)?;
        let (first, _) = block.entry(0)?;
        if (first.space, first.key) != line.first {
            return Err(fault(line.offset, "the first key that the index names", "another key"));
        }
        Ok(Some(block))
    }
}

/// The index, each line of it checked against its neighbours.
fn read_index<'a>(bytes: &'a [u8], footer: &Footer, end: usize) -> Result<Vec<BlockRef<'a>>, Fault> {
    let bad = |why: &str| fault(end, "an index between the blocks and the footer", why);
    let offset = usize::try_from(footer.index_offset).map_err(|_| bad("its offset"))?;
    let length = usize::try_from(footer.index_length).map_err(|_| bad("its length"))?;
    if offset < BLOCK || offset > end || !offset.is_multiple_of(BLOCK) {
        return Err(bad("its offset"));
    }
    if length > end - offset || whole_blocks(length) != end - offset {
        return Err(bad("its length"));
    }
    let mut rest = bytes.get(offset..offset + length).unwrap_or_default();
    let crc = crc32c::crc32c(rest);
    if crc != footer.index_crc {
        let expected = format!("an index with the checksum {:08x}", footer.index_crc);
        return Err(fault(offset, expected, format!("{crc:08x}")));
    }
    format::zeros(bytes, offset + length, end)?;
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
        return Err(fault(end, expected, format!("{} with {entries} up to {next}", index.len())));
    }
    Ok(index)
}

impl<'a> BlockRef<'a> {
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
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
    fn open(bytes: &'a [u8], line: &BlockRef<'_>) -> Result<Self, Fault> {
        let split = || {
            let (rest, count) = bytes.split_at_checked(bytes.len().checked_sub(SLOT)?)?;
            let entries = line.entries as usize;
            let table = rest.len().checked_sub(entries.checked_mul(SLOT)?)?;
            let (body, slots) = rest.split_at_checked(table)?;
            let same = count == line.entries.to_le_bytes() && entries > 0;
            same.then_some(Self { offset: line.offset, body, slots, entries })
        };
        split().ok_or_else(|| fault(line.offset, format!("a block of {} entries", line.entries), "another"))
    }

    /// Where entry `nth` begins.
    fn slot(&self, nth: usize) -> Option<usize> {
        let at = nth.checked_mul(SLOT)?;
        let slot = self.slots.get(at..at.checked_add(SLOT)?)?;
        Some(u32::from_le_bytes(slot.try_into().ok()?) as usize)
    }

    /// Entry `nth` and where it ends.
    fn entry(&self, nth: usize) -> Result<(Item<'a>, usize), Fault> {
        let read = || {
            let start = self.slot(nth)?;
            let (item, len) = format::EntryHeader::split(self.body.get(start..)?)?;
            Some((item, start + len))
        };
        read().ok_or_else(|| fault(self.offset, format!("entry {nth} of the block"), "no entry"))
    }

    /// The number of entries in front, for which `before` holds.
    fn search(&self, before: impl Fn((Space, &[u8])) -> bool) -> Result<usize, Fault> {
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
}

#[derive(Clone, Copy, Debug)]
struct Start<'r> {
    space: Space,
    key: &'r [u8],
    /// Is an entry with this very key in the range?
    at: bool,
}

impl Start<'_> {
    /// Does an entry stand in front of the range?
    fn excludes(&self, space: Space, key: &[u8]) -> bool {
        match (space, key).cmp(&(self.space, self.key)) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => !self.at,
            std::cmp::Ordering::Greater => false,
        }
    }
}

/// A walk over entries in order. It ends behind the first error. Beyond the checksums it checks that the entries
/// fill their block without a gap, ascend, and are no younger than the checkpoint.
pub struct Cursor<'r, 'a> {
    reader: &'r Reader<'a>,
    end: Option<(Space, Bound<&'r [u8]>)>,
    start: Option<Start<'r>>,
    /// The block after the current one.
    next: usize,
    block: Option<Block<'a>>,
    entry: usize,
    /// Where the entry before this one ended in the block; `None` if the walk began at this entry.
    edge: Option<usize>,
    last: Option<(Space, &'a [u8])>,
    digest: Option<Box<Xxh3>>,
    done: bool,
}

impl<'r, 'a> Cursor<'r, 'a> {
    fn new(reader: &'r Reader<'a>, start: Option<Start<'r>>, end: Option<(Space, Bound<&'r [u8]>)>) -> Self {
        let behind =
            start.map_or(0, |start| reader.index.partition_point(|b| b.first <= (start.space, start.key)));
        let next = behind.saturating_sub(1);
        let (block, entry, edge, last, digest) = (None, 0, None, None, None);
        Self { reader, end, start, next, block, entry, edge, last, digest, done: false }
    }

    /// Computes the digest on the way; only a walk over everything has one.
    pub(super) fn digested(mut self) -> Self {
        assert!(self.start.is_none() && self.end.is_none());
        self.digest = Some(Box::new(Xxh3::new()));
        self
    }

    /// Behind the last entry: is the digest the one of the footer?
    pub(super) fn check_digest(&self) -> Result<(), Fault> {
        let (offset, expected) = (self.reader.bytes.len() - BLOCK, self.reader.finished.digest);
        match self.digest.as_ref().map(|digest| digest.digest128()) {
            Some(observed) if observed != expected => {
                let expected = format!("entries with the digest {expected:032x}");
                Err(fault(offset, expected, format!("{observed:032x}")))
            }
            _ => Ok(()),
        }
    }

    fn advance(&mut self) -> Result<Option<Item<'a>>, Fault> {
        loop {
            let Some(block) = self.current()? else { return Ok(None) };
            let (item, end) = block.entry(self.entry)?;
            let at = block.offset + block.slot(self.entry).unwrap_or_default();
            if self.edge.is_some_and(|edge| block.offset + edge != at) {
                return Err(fault(at, "entries without a gap", "a gap"));
            }
            if self.last.is_some_and(|last| last >= (item.space, item.key)) {
                return Err(fault(at, "entries in ascending order", "an entry out of order"));
            }
            let cut = self.reader.boundary.cut;
            if item.version > cut || item.version.index > cut.index {
                let expected = format!("a version no younger than {cut:?}");
                return Err(fault(at, expected, format!("{:?}", item.version)));
            }
            (self.last, self.edge) = (Some((item.space, item.key)), Some(end));
            self.entry += 1;
            if self.start.is_some_and(|start| start.excludes(item.space, item.key)) {
                continue;
            }
            let inside = self.end.is_none_or(|(space, end)| {
                item.space == space
                    && match end {
                        Bound::Included(key) => item.key <= key,
                        Bound::Excluded(key) => item.key < key,
                        Bound::Unbounded => true,
                    }
            });
            return Ok(inside.then_some(item));
        }
    }

    /// The block with the next entry, after the end of the one before it was checked.
    fn current(&mut self) -> Result<Option<Block<'a>>, Fault> {
        if let Some(block) = self.block {
            if self.entry < block.entries {
                return Ok(Some(block));
            }
            self.leave(&block)?;
        }
        let first = self.block.is_none();
        self.block = self.reader.block(self.next)?;
        self.next += 1;
        (self.entry, self.edge) = (0, Some(0));
        if let (true, Some(block), Some(start)) = (first, &self.block, &self.start) {
            self.entry = block.search(|(space, key)| start.excludes(space, key))?;
            self.edge = (self.entry == 0).then_some(0);
            if self.entry == block.entries {
                return self.current();
            }
        }
        Ok(self.block)
    }

    fn leave(&mut self, block: &Block<'a>) -> Result<(), Fault> {
        let Some(edge) = self.edge else { return Ok(()) };
        let (entries, padding) = block.body.split_at_checked(edge).unwrap_or((block.body, &[]));
        if padding.iter().any(|byte| *byte != 0) {
            return Err(fault(block.offset + edge, "zeros as padding", "another byte"));
        }
        if let Some(digest) = &mut self.digest {
            digest.update(entries);
        }
        Ok(())
    }
}

impl<'a> Iterator for Cursor<'_, 'a> {
    type Item = Result<Item<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.advance().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}
