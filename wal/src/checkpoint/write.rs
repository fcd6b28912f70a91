//! Writing a checkpoint, front to back: [`Writer::new`], [`Writer::push`] for each entry in ascending order of
//! (space, key), [`Writer::finish`]. The same entries at the same boundary are always the same bytes.

use xxhash_rust::xxh3::Xxh3;

use super::format::{BLOCK_TARGET, ENTRY, EntryHeader, Footer, Header, IndexHeader, SLOT};
use super::{Boundary, Item};
use crate::buffer::whole_blocks;
use crate::{BLOCK, Space};

/// A checkpoint on its way. It holds one block and the index in memory; everything else has gone into the sink.
///
/// The sink gets whole blocks, one after the other, never an earlier one again. It cannot fail: a caller whose write
/// fails remembers that and drops the file.
pub struct Writer<S: FnMut(&[u8])> {
    sink: S,
    header_crc: u32,
    /// Bytes that went into the sink.
    written: u64,
    /// Entries of the open block.
    block: Vec<u8>,
    /// Where each of them begins.
    slots: Vec<u32>,
    index: Vec<u8>,
    blocks: u64,
    entries: u64,
    digest: Xxh3,
    /// What was pushed last.
    last: Option<(Space, Vec<u8>)>,
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Of the entries alone: equal for equal states, wherever the segments before them ended.
    pub digest: u128,
    pub bytes: u64,
    pub entries: u64,
}

impl<S: FnMut(&[u8])> Writer<S> {
    pub fn new(boundary: &Boundary, mut sink: S) -> Self {
        let header = Header::new(boundary);
        let mut block = [0; BLOCK];
        block[..size_of::<Header>()].copy_from_slice(bytemuck::bytes_of(&header));
        sink(&block);
        Self {
            sink,
            header_crc: header.header_crc,
            written: BLOCK as u64,
            block: Vec::with_capacity(BLOCK_TARGET),
            slots: Vec::new(),
            index: Vec::new(),
            blocks: 0,
            entries: 0,
            digest: Xxh3::new(),
            last: None,
        }
    }

    /// Panics if the entry is not behind the one before it: a reader would never find it.
    pub fn push(&mut self, item: &Item<'_>) {
        let header = EntryHeader::new(item);
        self.ascend(item);
        let entry = ENTRY + item.key.len() + item.value.len();
        if !self.slots.is_empty() && self.block.len() + entry + (self.slots.len() + 2) * SLOT > BLOCK_TARGET {
            self.close_block();
        }
        self.slots.push(u32::try_from(self.block.len()).expect("a block's size fits into 32 bits"));
        for part in [bytemuck::bytes_of(&header), item.key, item.value] {
            self.block.extend_from_slice(part);
        }
        self.entries += 1;
    }

    pub fn finish(mut self) -> Finished {
        if !self.slots.is_empty() {
            self.close_block();
        }
        let index_length = self.index.len();
        let digest = self.digest.digest128();
        let footer = Footer {
            size: self.written + (whole_blocks(index_length) + BLOCK) as u64,
            index_offset: self.written,
            index_length: index_length as u64,
            entries: self.entries,
            blocks: self.blocks,
            digest: digest.to_le_bytes(),
            header_crc: self.header_crc,
            index_crc: crc32c::crc32c(&self.index),
            ..bytemuck::Zeroable::zeroed()
        }
        .seal();
        self.index.resize(whole_blocks(index_length), 0);
        if !self.index.is_empty() {
            (self.sink)(&self.index);
        }
        let mut block = [0; BLOCK];
        block[..size_of::<Footer>()].copy_from_slice(bytemuck::bytes_of(&footer));
        (self.sink)(&block);
        Finished { digest, bytes: footer.size, entries: self.entries }
    }

    fn ascend(&mut self, item: &Item<'_>) {
        match &mut self.last {
            Some((space, key)) => {
                let ascends = (*space, key.as_slice()) < (item.space, item.key);
                assert!(ascends, "entries of a checkpoint are pushed in strictly ascending order");
                *space = item.space;
                key.clear();
                key.extend_from_slice(item.key);
            }
            None => self.last = Some((item.space, item.key.to_vec())),
        }
    }

    fn close_block(&mut self) {
        self.digest.update(&self.block);
        let (first, _) = EntryHeader::split(&self.block).expect("a block begins with the entry pushed first");
        let table = (self.slots.len() + 1) * SLOT;
        let length = whole_blocks(self.block.len() + table);
        let mut header = IndexHeader {
            offset: self.written,
            length: u32::try_from(length).expect("a block's size fits into 32 bits"),
            crc: 0,
            entries: u32::try_from(self.slots.len()).expect("a small block"),
            key_len: u16::try_from(first.key.len()).expect("the log has no longer keys"),
            space: first.space.0,
            flags: 0,
        };
        let key = ENTRY..ENTRY + first.key.len();
        self.block.resize(length - table, 0);
        self.block.extend_from_slice(bytemuck::cast_slice(&self.slots));
        self.block.extend_from_slice(&header.entries.to_le_bytes());
        header.crc = crc32c::crc32c(&self.block);
        self.index.extend_from_slice(bytemuck::bytes_of(&header));
        self.index.extend_from_slice(&self.block[key]);
        (self.sink)(&self.block);
        self.written += length as u64;
        self.blocks += 1;
        self.block.clear();
        self.block.shrink_to(BLOCK_TARGET);
        self.slots.clear();
    }
}
