//! Block-aligned memory without `unsafe`: the bytes that direct I/O reads and writes.

use bytemuck::{Pod, Zeroable};

/// The unit of the log: every batch starts on a multiple of it and every write is a multiple of it.
pub const BLOCK: usize = 4096;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK]);

const _: () = assert!(size_of::<Block>() == BLOCK && align_of::<Block>() == BLOCK);

/// A block-aligned buffer. It *moves* into an operation and comes back with the operation's completion, so that
/// nobody can touch memory that the device is using. Its address never changes, so a driver may register it.
pub struct Buffer {
    blocks: Box<[Block]>,
    id: u16,
}

impl Buffer {
    /// `id` is the place of this buffer in its owner's pool; a driver registers buffers under it.
    pub fn new(id: u16, bytes: usize) -> Self {
        assert!(bytes > 0 && bytes.is_multiple_of(BLOCK), "a buffer is whole blocks, not {bytes} bytes");
        Self { blocks: bytemuck::allocation::zeroed_slice_box(bytes / BLOCK), id }
    }

    pub fn id(&self) -> u16 {
        self.id
    }

    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.blocks)
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.blocks)
    }

    /// Always a multiple of [`BLOCK`], never zero.
    pub fn capacity(&self) -> usize {
        self.blocks.len() * BLOCK
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({}, {} bytes)", self.id, self.capacity())
    }
}

/// `len` rounded up to whole blocks.
pub const fn whole_blocks(len: usize) -> usize {
    len.next_multiple_of(BLOCK)
}
