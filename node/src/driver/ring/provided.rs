//! Memory into which the kernel receives by its own choice, for all connections of a worker together: it takes a buffer
//! when bytes arrive, says which, and gets it back when they were taken out.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use seawall_wal::{BLOCK, Buffer};

use super::queue::Queue;

/// A ring has one group of such buffers.
pub(in crate::driver) const GROUP: u16 = 0;

pub(in crate::driver) struct Provided {
    /// The kernel's view: the buffers that it may take, in a ring that only we write.
    offers: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    count: u16,
    size: usize,
    tail: u16,
    _owned: [Buffer; 2],
}

/// Bytes that arrived: a part of one buffer.
#[derive(Clone, Copy, Debug)]
pub(in crate::driver) struct Piece {
    pub buffer: u16,
    pub from: usize,
    pub to: usize,
}

impl Provided {
    /// `count` buffers, a power of two, of `size` bytes each.
    pub fn new(queue: &Queue, count: u16, size: usize) -> io::Result<Self> {
        assert!(count.is_power_of_two() && count <= 1 << 15, "{count} buffers cannot be offered");
        let offers = usize::from(count) * size_of::<BufRingEntry>();
        let mut owned = [offers, usize::from(count) * size]
            .map(|bytes| Buffer::new(u16::MAX, bytes.next_multiple_of(BLOCK)));
        let [offers, memory] = owned.each_mut().map(|buffer| NonNull::from(buffer.bytes_mut()).cast::<u8>());
        let mut provided = Self { offers: offers.cast(), memory, count, size, tail: 0, _owned: owned };
        // SAFETY: the memory is whole, aligned blocks that live as long as this value. The ring that owns this value
        // goes first or forgets it.
        unsafe { queue.register_offers(provided.offers.as_ptr().addr() as u64, count, GROUP) }?;
        (0..count).for_each(|buffer| provided.give_back(buffer));
        Ok(provided)
    }

    pub fn bytes(&self, piece: Piece) -> &[u8] {
        let Piece { buffer, from, to } = piece;
        assert!(buffer < self.count && from <= to && to <= self.size, "{piece:?} lies outside the buffers");
        // SAFETY: within the memory, as just checked. The kernel filled this buffer, and touches it no more until it
        // is given back, which takes `self` mutably.
        unsafe {
            let start = self.memory.as_ptr().add(usize::from(buffer) * self.size + from);
            std::slice::from_raw_parts(start, to - from)
        }
    }

    /// The kernel may take this buffer again; nobody reads from it any more.
    pub fn give_back(&mut self, buffer: u16) {
        assert!(buffer < self.count, "there is no buffer {buffer}");
        let place = usize::from(self.tail & (self.count - 1));
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: both lie within their memory. An entry behind the tail is ours; its fields are set one by one, since
        // the tail itself lies in the unused end of the first. The kernel reads the entry after it saw the tail.
        unsafe {
            let entry = &mut *self.offers.as_ptr().add(place);
            entry.set_addr(self.memory.as_ptr().add(usize::from(buffer) * self.size).addr() as u64);
            entry.set_len(self.size as u32);
            entry.set_bid(buffer);
            let tail = BufRingEntry::tail(self.offers.as_ptr()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}
