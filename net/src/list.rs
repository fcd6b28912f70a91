//! Pieces one behind the other, checked when they arrive and read one by one when they are wanted.
//!
//! Nothing is allocated for them, however many there are: a list borrows its bytes.

use std::fmt;
use std::marker::PhantomData;

use crate::wire::{Malformed, Reader};

/// What lists are made of.
pub trait Piece<'a>: Copy {
    /// What the pieces are called.
    const WHAT: &'static str;

    /// Reads one, delimited; what [`check`](Self::check) judges is not looked at.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed>;

    /// Whether what was read may stand there.
    fn check(&self) -> Result<(), Malformed> {
        Ok(())
    }
}

/// Pieces that were checked whole, so reading them cannot fail.
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    count: usize,
    bytes: &'a [u8],
    of: PhantomData<fn() -> T>,
}

/// A piece that may not stand there, and its place among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPiece {
    pub(crate) ordinal: usize,
    pub(crate) malformed: Malformed,
}

impl From<BadPiece> for Malformed {
    fn from(bad: BadPiece) -> Malformed {
        bad.malformed
    }
}

impl<'a, T> List<'a, T> {
    /// No pieces.
    pub const EMPTY: List<'static, T> = List { count: 0, bytes: &[], of: PhantomData };

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their bytes, without the count.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Pieces that this library wrote or checked itself.
    pub(crate) fn trusted(count: usize, bytes: &'a [u8]) -> List<'a, T> {
        List { count, bytes, of: PhantomData }
    }
}

impl<'a, T: Piece<'a>> List<'a, T> {
    /// Reads them one by one.
    pub fn iter(&self) -> ListIter<'a, T> {
        ListIter { left: self.count, reader: Reader::new(self.bytes), of: PhantomData }
    }

    /// `count` pieces at the front of what is left to read.
    pub(crate) fn read(reader: &mut Reader<'a>, count: usize) -> Result<List<'a, T>, BadPiece> {
        let before = reader.rest();
        for ordinal in 0..count {
            let piece = T::read(reader).and_then(|piece| piece.check());
            piece.map_err(|malformed| BadPiece { ordinal, malformed })?;
        }
        Ok(List { count, bytes: consumed(before, reader), of: PhantomData })
    }

    /// The same for pieces that were checked before.
    pub(crate) fn reread(reader: &mut Reader<'a>, count: usize) -> Result<List<'a, T>, Malformed> {
        let before = reader.rest();
        (0..count).try_for_each(|_| T::read(reader).map(drop))?;
        Ok(List { count, bytes: consumed(before, reader), of: PhantomData })
    }

    /// A count of at most `limit`, then that many pieces.
    pub(crate) fn read_counted(reader: &mut Reader<'a>, limit: usize) -> Result<List<'a, T>, Malformed> {
        let count = reader.count(T::WHAT, limit)?;
        Ok(List::read(reader, count)?)
    }

    /// Pieces up to a byte 0: no piece begins with one.
    pub(crate) fn read_ended(reader: &mut Reader<'a>) -> Result<List<'a, T>, Malformed> {
        let before = reader.rest();
        let mut count = 0;
        while *reader.rest().first().ok_or(Malformed::Truncated)? != 0 {
            T::read(reader)?.check()?;
            count += 1;
        }
        let bytes = consumed(before, reader);
        reader.u8()?;
        Ok(List { count, bytes, of: PhantomData })
    }
}

fn consumed<'a>(before: &'a [u8], reader: &Reader<'a>) -> &'a [u8] {
    before.get(..before.len() - reader.rest().len()).unwrap_or_default()
}

impl<T> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        (self.count, self.bytes) == (other.count, other.bytes)
    }
}

impl<T> Eq for List<'_, T> {}

impl<'a, T: Piece<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Piece<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

/// See [`List::iter`].
#[derive(Clone, Debug)]
pub struct ListIter<'a, T> {
    left: usize,
    reader: Reader<'a>,
    of: PhantomData<fn() -> T>,
}

impl<'a, T: Piece<'a>> Iterator for ListIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        Some(T::read(&mut self.reader).expect("the pieces were checked"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, T: Piece<'a>> ExactSizeIterator for ListIter<'a, T> {}
