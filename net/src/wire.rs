//! The smallest pieces: a cursor over bytes from outside, and the writers that match it.
//!
//! Lengths and counts are varints everywhere, so a writer never has to truncate one and every limit is judged
//! in one place: by the reader. A varint must be minimal; one content has one encoding.

use std::fmt;

/// Why bytes are no canonical encoding of what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end too early.
    Truncated,
    /// Bytes are left over.
    Trailing,
    /// A varint is too wide, or not as short as it could be.
    Varint,
    /// Something is longer than its limit.
    TooLong {
        /// What is too long.
        what: &'static str,
        /// The limit, in bytes or in pieces.
        limit: usize,
        /// What was announced.
        len: u64,
    },
    /// A text is no UTF-8.
    Utf8,
    /// A name is empty, too long, or has a character other than letters, digits, `_`, `-` and `.`.
    Name,
    /// Names, members or digits do not stand in their canonical order, or one stands there twice.
    Order,
    /// Something that must have at least one piece has none.
    Empty,
    /// A number that means nothing here (yet).
    Unknown {
        /// What the number stands for.
        what: &'static str,
        /// The number.
        got: u64,
    },
    /// Two parts cannot both be true; this is what should be.
    Contradiction(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Truncated => write!(f, "the bytes end too early"),
            Malformed::Trailing => write!(f, "bytes are left over"),
            Malformed::Varint => write!(f, "a varint is too wide or not minimal"),
            Malformed::TooLong { what, limit, len } => {
                write!(f, "{what}: {len} is over the limit of {limit}")
            }
            Malformed::Utf8 => write!(f, "a text is no UTF-8"),
            Malformed::Name => write!(f, "a name is not 1 to 64 of letters, digits, '_', '-', '.'"),
            Malformed::Order => write!(f, "pieces are out of order or stand there twice"),
            Malformed::Empty => write!(f, "nothing stands where something must"),
            Malformed::Unknown { what, got } => write!(f, "{what} {got} is unknown"),
            Malformed::Contradiction(should) => write!(f, "it contradicts itself: {should}"),
        }
    }
}

impl std::error::Error for Malformed {}

/// A cursor over bytes that came from outside. It never panics and never allocates.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const EMPTY: Reader<'static> = Reader { rest: &[] };

    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The end must have been reached.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        // Nearly every length and count is of one byte, and every request has dozens.
        if let Some((byte @ ..0x80, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        u64::try_from(self.wide_varint()?).map_err(|_| Malformed::Varint)
    }

    /// A signed number in zig-zag form.
    pub(crate) fn int(&mut self) -> Result<i128, Malformed> {
        let zigzag = self.wide_varint()?;
        Ok((zigzag >> 1) as i128 ^ -((zigzag & 1) as i128))
    }

    fn wide_varint(&mut self) -> Result<u128, Malformed> {
        let mut value = 0u128;
        for shift in (0..128).step_by(7) {
            let byte = self.u8()?;
            let bits = u128::from(byte & 0x7f);
            let fits = shift < 126 || bits < 4;
            let minimal = shift == 0 || byte != 0;
            if !fits || !minimal {
                return Err(Malformed::Varint);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed::Varint)
    }

    /// A number of pieces, refused before anything is read or set aside for them.
    pub(crate) fn count(&mut self, what: &'static str, limit: usize) -> Result<usize, Malformed> {
        let len = self.varint()?;
        usize::try_from(len).ok().filter(|n| *n <= limit).ok_or(Malformed::TooLong { what, limit, len })
    }

    /// Yes or no, in a byte.
    pub(crate) fn bool(&mut self, what: &'static str) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            got => Err(Malformed::Unknown { what, got: u64::from(got) }),
        }
    }

    /// Something that may be missing, behind a byte that says so.
    pub(crate) fn option<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.bool(what)? { read(self).map(Some) } else { Ok(None) }
    }

    /// Bytes behind their length.
    pub(crate) fn sized(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], Malformed> {
        let len = self.count(what, limit)?;
        self.take(len)
    }

    /// A text behind its length.
    pub(crate) fn text(&mut self, what: &'static str, limit: usize) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.sized(what, limit)?).map_err(|_| Malformed::Utf8)
    }

    /// The name of a namespace, a table or a field behind its length.
    pub(crate) fn name(&mut self) -> Result<&'a str, Malformed> {
        let name = self.text("name", crate::limits::NAME_MAX)?;
        check_name(name)?;
        Ok(name)
    }
}

/// Whether `name` may name a namespace, a table or a field. Narrow on purpose: a wider rule can follow.
pub fn check_name(name: &str) -> Result<(), Malformed> {
    let fits = (1..=crate::limits::NAME_MAX).contains(&name.len());
    if fits && name.bytes().all(|b| PLAIN[usize::from(b)]) { Ok(()) } else { Err(Malformed::Name) }
}

/// What names are made of, in a table, since every request has names.
const PLAIN: [bool; 256] = {
    let (mut plain, mut byte) = ([false; 256], 0u8);
    while byte < 128 {
        plain[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        byte += 1;
    }
    plain
};

pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    put_wide_varint(out, u128::from(value));
}

pub(crate) fn put_int(out: &mut Vec<u8>, value: i128) {
    put_wide_varint(out, ((value << 1) ^ (value >> 127)) as u128);
}

fn put_wide_varint(out: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_option<T>(out: &mut Vec<u8>, option: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(option.is_some()));
    if let Some(content) = option {
        put(out, content);
    }
}
