//! Where the entries of a table lie: dense, by number, in pieces that never move when more come.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use seawall::limits::STORED_KEY_MAX;
use seawall::position::Position;

/// The place of an entry. It changes when another one is taken out.
pub type Id = u32;

/// Entries of a piece.
const PIECE: usize = 1024;
/// In the length of a key: nothing stands there.
const DEAD: u16 = 1 << 15;
const _: () = assert!(STORED_KEY_MAX < DEAD as usize, "it is never a part of a length");

/// A key with what stands there and its version, in one piece of memory: a look has one far access for all of it. The
/// piece is shared by those who found it, and by the bucket of its key.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Length of the key and [`DEAD`] (2 bytes), epoch and index of the version (8 each), the key, and what stands
    /// there.
    bytes: Arc<[u8]>,
}

/// Where the key begins.
const KEY: usize = 2 + 8 + 8;
/// What a processor brings near at once, and so many of a piece: behind them it has seen where this is going.
const LINE: usize = 64;
const TOUCHED: usize = 4;

/// What stands at a key, shared with the state: whoever answers with it does not copy it.
#[derive(Clone)]
pub struct Bytes {
    all: Arc<[u8]>,
    from: usize,
}

impl Slot {
    /// `None` is a tombstone. `scratch` is memory that is used again.
    pub fn new(key: &[u8], value: Option<&[u8]>, version: Position, scratch: &mut Vec<u8>) -> Self {
        let len = u16::try_from(key.len()).ok().filter(|len| *len < DEAD).expect("a key is short");
        let len = if value.is_some() { len } else { len | DEAD };
        scratch.clear();
        scratch.extend_from_slice(&len.to_le_bytes());
        scratch.extend_from_slice(&version.epoch.0.to_le_bytes());
        scratch.extend_from_slice(&version.index.0.to_le_bytes());
        scratch.extend_from_slice(key);
        scratch.extend_from_slice(value.unwrap_or_default());
        Self { bytes: Arc::from(&scratch[..]) }
    }

    pub fn version(&self) -> Position {
        Position::new(self.number(2), self.number(10))
    }

    fn number(&self, at: usize) -> u64 {
        self.bytes[at..].first_chunk().copied().map_or(0, u64::from_le_bytes)
    }

    pub fn key(&self) -> &[u8] {
        &self.bytes[KEY..self.key_end()]
    }

    /// `None` is a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.is_live().then(|| &self.bytes[self.key_end()..])
    }

    pub fn share(&self) -> Option<Bytes> {
        self.is_live().then(|| Bytes { all: Arc::clone(&self.bytes), from: self.key_end() })
    }

    /// The same without a copy, of one that is not needed any more.
    pub fn into_value(self) -> Option<Bytes> {
        let from = self.key_end();
        self.is_live().then_some(Bytes { all: self.bytes, from })
    }

    /// Reads a bit of what a look reads of it, which is near afterwards.
    pub fn touch(&self) -> usize {
        let lines = self.bytes.chunks(LINE).take(TOUCHED);
        lines.filter_map(<[u8]>::first).fold(0, |all, byte| all ^ usize::from(*byte))
    }

    /// Bytes of the whole piece; it is not looked at for that.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_live(&self) -> bool {
        self.head() & DEAD == 0
    }

    fn key_end(&self) -> usize {
        KEY + usize::from(self.head() & !DEAD)
    }

    fn head(&self) -> u16 {
        u16::from_le_bytes([self.bytes[0], self.bytes[1]])
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.all[self.from..]
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { all: bytes.into(), from: 0 }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[derive(Debug)]
pub struct Slots<T = Slot> {
    pieces: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }
}

impl<T> Slots<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn at(&self, id: Id) -> &T {
        &self.pieces[id as usize / PIECE][id as usize % PIECE]
    }

    pub fn at_mut(&mut self, id: Id) -> &mut T {
        &mut self.pieces[id as usize / PIECE][id as usize % PIECE]
    }

    pub fn push(&mut self, slot: T) -> Id {
        if self.len.is_multiple_of(PIECE) {
            self.pieces.push(Vec::new());
        }
        let id = Id::try_from(self.len).expect("a shard has less memory than for so many rows");
        self.pieces[self.len / PIECE].push(slot);
        self.len += 1;
        id
    }

    /// The last one takes its place.
    pub fn swap_remove(&mut self, id: Id) -> T {
        let last = self.pieces.last_mut().and_then(Vec::pop).expect("there is one at least");
        self.len -= 1;
        if self.len.is_multiple_of(PIECE) {
            self.pieces.pop();
        }
        if id as usize == self.len {
            return last;
        }
        std::mem::replace(self.at_mut(id), last)
    }
}
