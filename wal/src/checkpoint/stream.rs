//! Reading a checkpoint front to back in pieces, with every check that [`Reader::verify`](super::Reader::verify)
//! makes, in the memory of its index and one piece.
//!
//! The caller reads what [`Stream::wants`] names and gives it to [`Stream::take`], until nothing is wanted.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use super::block::{self, Block, BlockRef, fault};
use super::format::{self, Footer, Header};
use super::{Boundary, Fault, Finished, Item};
use crate::format::LogId;
use crate::{BLOCK, Space};

#[derive(Debug)]
pub struct Stream {
    size: u64,
    header: Header,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Footer,
    /// The index came up to `got`.
    Index {
        footer: Footer,
        place: Range<usize>,
        got: Vec<u8>,
    },
    Blocks(Box<Blocks>),
}

struct Blocks {
    footer: Footer,
    index: Vec<u8>,
    /// How much of the index is behind us, and of the file.
    line: usize,
    next: usize,
    last: Option<(Space, Vec<u8>)>,
    digest: Xxh3,
}

impl Stream {
    /// `block` is the first one of a file of `size` bytes.
    pub fn open(block: &[u8], size: u64, log: &LogId) -> Result<Self, Fault> {
        Ok(Self { size, header: format::read_header(block, log)?, stage: Stage::Footer })
    }

    pub fn boundary(&self) -> Boundary {
        self.header.boundary()
    }

    /// What the footer says; true once nothing is wanted any more.
    pub fn finished(&self) -> Option<Finished> {
        match &self.stage {
            Stage::Footer => None,
            Stage::Index { footer, .. } => Some(footer.finished()),
            Stage::Blocks(blocks) => Some(blocks.footer.finished()),
        }
    }

    /// The next bytes to read, no more than `most`, which is whole blocks.
    pub fn wants(&self, most: usize) -> Result<Option<Range<u64>>, Fault> {
        let wanted = match &self.stage {
            Stage::Footer => {
                let at = self.size.saturating_sub(BLOCK as u64);
                return Ok(Some(at..at + BLOCK as u64));
            }
            Stage::Index { place, got, .. } => {
                let at = place.start + got.len();
                at..place.end.min(at + most)
            }
            Stage::Blocks(blocks) => {
                let Some((line, _)) = BlockRef::split(blocks.index.get(blocks.line..).unwrap_or_default())
                else {
                    return Ok(None);
                };
                if line.length > most {
                    let expected = format!("blocks of at most {most} bytes, as large as a batch can be");
                    return Err(fault(line.offset, expected, format!("{} bytes", line.length)));
                }
                let end = usize::try_from(blocks.footer.index_offset).unwrap_or(usize::MAX);
                blocks.next..end.min(blocks.next + most)
            }
        };
        Ok(Some(wanted.start as u64..wanted.end as u64))
    }

    /// Takes the bytes that were wanted, whole. Entries go to `sink` as they are met; after a fault they are void.
    pub fn take(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) -> Result<(), Fault> {
        match &mut self.stage {
            Stage::Footer => {
                let at = self.size.saturating_sub(BLOCK as u64);
                let footer = format::read_footer(bytes, at, self.size, &self.header)?;
                let place = footer.index(self.size)?;
                self.stage = Stage::Index { footer, got: Vec::new(), place };
                self.index_read()
            }
            Stage::Index { got, .. } => {
                got.extend_from_slice(bytes);
                self.index_read()
            }
            Stage::Blocks(blocks) => blocks.take(bytes, self.header.boundary(), sink),
        }
    }

    /// When the index is there, it is checked, and its blocks are next.
    fn index_read(&mut self) -> Result<(), Fault> {
        let Stage::Index { footer, place, got } = &mut self.stage else { return Ok(()) };
        if got.len() < place.len() {
            return Ok(());
        }
        block::read_index(got, place.start, footer)?;
        let mut index = std::mem::take(got);
        index.truncate(usize::try_from(footer.index_length).unwrap_or(usize::MAX));
        let (last, digest) = (None, Xxh3::new());
        let mut blocks = Blocks { footer: *footer, index, line: 0, next: BLOCK, last, digest };
        blocks.check_end()?;
        self.stage = Stage::Blocks(Box::new(blocks));
        Ok(())
    }
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blocks(next {} of {:?})", self.next, self.footer)
    }
}

impl Blocks {
    fn take(&mut self, bytes: &[u8], cut: Boundary, sink: &mut dyn FnMut(Item<'_>)) -> Result<(), Fault> {
        let mut rest = bytes;
        while let Some((line, behind)) = BlockRef::split(self.index.get(self.line..).unwrap_or_default()) {
            let Some((bytes, left)) = rest.split_at_checked(line.length) else { break };
            let block = Block::open(bytes, &line)?;
            let entries = walk(&block, &mut self.last, cut, sink)?;
            self.digest.update(entries);
            self.next += line.length;
            self.line = self.index.len() - behind.len();
            rest = left;
        }
        self.check_end()
    }

    /// Behind the last entry: is the digest the one of the footer?
    fn check_end(&mut self) -> Result<(), Fault> {
        let (expected, observed) = (self.footer.finished().digest, self.digest.digest128());
        if self.line < self.index.len() || expected == observed {
            return Ok(());
        }
        let expected = format!("entries with the digest {expected:032x}");
        Err(fault(self.next, expected, format!("{observed:032x}")))
    }
}

/// The entries of one block, in order and without a gap; returns their bytes.
fn walk<'a>(
    block: &Block<'a>,
    last: &mut Option<(Space, Vec<u8>)>,
    boundary: Boundary,
    sink: &mut dyn FnMut(Item<'_>),
) -> Result<&'a [u8], Fault> {
    let mut edge = 0;
    // Within the block the key before this one is borrowed; it is copied once a block.
    let mut before: Option<(Space, &[u8])> = None;
    for nth in 0..block.entries {
        let (item, end) = block.entry(nth)?;
        let at = block.offset + block.slot(nth).unwrap_or_default();
        if block.offset + edge != at {
            return Err(fault(at, "entries without a gap", "a gap"));
        }
        let previous = before.or(last.as_ref().map(|(space, key)| (*space, key.as_slice())));
        block::check_order(previous, &item, boundary.cut, at)?;
        sink(item);
        (before, edge) = (Some((item.space, item.key)), end);
    }
    if let Some((space, key)) = before {
        *last = Some((space, key.to_vec()));
    }
    block.entries_up_to(edge)
}
