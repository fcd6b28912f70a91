//! Reading a checkpoint in place: [`Reader::open`], then [`Reader::get`], [`Reader::range`] or [`Reader::verify`].
//! The bytes come from a disk, so nothing is believed before its checksum, and nothing panics on any bytes at all.

use std::ops::{Bound, RangeBounds};

use xxhash_rust::xxh3::Xxh3;

use super::block::{self, Block, BlockRef, fault};
use super::format;
use super::{Boundary, Fault, Finished, Item};
use crate::format::LogId;
use crate::{BLOCK, Space};

/// A checkpoint whose header, index and footer are whole. Its blocks are checked each time they are read.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    boundary: Boundary,
    finished: Finished,
    index: Vec<BlockRef<'a>>,
}

impl<'a> Reader<'a> {
    /// `bytes` are the whole file.
    pub fn open(bytes: &'a [u8], log: &LogId) -> Result<Self, Fault> {
        let header = format::read_header(bytes, log)?;
        let footer = format::read_footer(bytes, 0, bytes.len() as u64, &header)?;
        let place = footer.index(bytes.len() as u64)?;
        let index = bytes.get(place.clone()).unwrap_or_default();
        let index = block::read_index(index, place.start, &footer)?;
        Ok(Self { bytes, boundary: header.boundary(), finished: footer.finished(), index })
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
        let block = Block::open(bytes, line)?;
        Ok(Some(block))
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
            block::check_order(self.last, &item, self.reader.boundary.cut, at)?;
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
        let entries = block.entries_up_to(edge)?;
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
