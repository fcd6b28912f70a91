//! Keys: tuples of ints, times, texts and bytes whose encoded bytes sort as the tuples do.
//!
//! ```text
//! key    = part{1..} 00                                a shorter tuple sorts before those that begin with it
//! int    = 20-n n bytes (below 0) | 20 (zero) | 20+n n bytes (above 0)          big-endian, n = 1..16, minimal
//! time   = 40 8 bytes                                  big-endian, sign bit flipped
//! text   = 50 escaped 00                               UTF-8
//! bytes  = 60 escaped 00
//! ```
//! In escaped bytes, 00 is written 01 01 and 01 is written 01 02, so that 00 stands nowhere but at an end. A negative
//! int holds the complement of its magnitude. One tuple has one encoding; [`Key::check`] lets nothing else in.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::limits::KEY_MAX;
use crate::percent;
use crate::time;
use crate::value::{ValueRef, from_hex, write_hex};
use crate::wire::{Malformed, Reader};

const END: u8 = 0x00;
const ESCAPE: u8 = 0x01;
const INT_ZERO: u8 = 0x20;
const INT_MIN: u8 = INT_ZERO - 16;
const INT_MAX: u8 = INT_ZERO + 16;
const TIME: u8 = 0x40;
const TEXT: u8 = 0x50;
const BYTES: u8 = 0x60;

/// A partition or a row's name within its table, encoded. It sorts as its tuple does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    bytes: Vec<u8>,
}

/// One piece of a key. Kinds sort in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part<'a> {
    /// A whole number.
    Int(i128),
    /// Microseconds since 1970, UTC.
    Time(i64),
    /// UTF-8, sorted by its bytes.
    Text(Cow<'a, str>),
    /// Anything.
    Bytes(Cow<'a, [u8]>),
}

impl Key {
    /// The key of a tuple. One that is too long is refused when it is sent.
    ///
    /// # Panics
    /// When there is no part.
    pub fn of(parts: &[Part<'_>]) -> Key {
        assert!(!parts.is_empty(), "a key has at least one part");
        let mut bytes = Vec::new();
        parts.iter().for_each(|part| part.encode(&mut bytes));
        bytes.push(END);
        Key { bytes }
    }

    /// The key that `bytes` are the encoding of.
    pub fn from_bytes(bytes: &[u8]) -> Result<Key, Malformed> {
        Key::check(bytes)?;
        Ok(Key { bytes: bytes.to_owned() })
    }

    /// Whether `bytes` are the one encoding of a key within the limit. Nothing is allocated.
    pub fn check(bytes: &[u8]) -> Result<(), Malformed> {
        if bytes.len() > KEY_MAX {
            return Err(Malformed::TooLong { what: "key", limit: KEY_MAX, len: bytes.len() as u64 });
        }
        let mut reader = Reader::new(bytes);
        let mut parts = 0;
        while RawPart::read(&mut reader)?.is_some() {
            parts += 1;
        }
        reader.end()?;
        if parts == 0 { Err(Malformed::Empty) } else { Ok(()) }
    }

    /// The encoded bytes, with the end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The tuple.
    pub fn parts(&self) -> Parts<'_> {
        parts(&self.bytes)
    }
}

/// The tuple behind the bytes of a key that was checked; it ends early at bytes that are none.
pub fn parts(bytes: &[u8]) -> Parts<'_> {
    Parts { reader: Reader::new(bytes) }
}

/// Shows the bytes of a key that was checked as [`Key`] shows itself.
pub fn display(bytes: &[u8]) -> impl fmt::Display {
    fmt::from_fn(move |f| write_parts(f, parts(bytes)))
}

/// The parts of a key, in order.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        RawPart::read(&mut self.reader).ok().flatten().map(RawPart::unescape)
    }
}

impl<'a> Part<'a> {
    /// The part that stands for a value in the key of an index; `None`: values of this kind stand in no key.
    pub fn of(value: &ValueRef<'a>) -> Option<Part<'a>> {
        match *value {
            ValueRef::Int(number) => Some(Part::Int(number)),
            ValueRef::Time(us) => Some(Part::Time(us)),
            ValueRef::Text(text) => Some(Part::from(text)),
            ValueRef::Bytes(bytes) => Some(Part::from(bytes)),
            ValueRef::Bool(_) | ValueRef::Decimal { .. } | ValueRef::Set(_) => None,
        }
    }
}

impl Part<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Part::Int(number) => encode_int(out, *number),
            Part::Time(us) => {
                out.push(TIME);
                out.extend_from_slice(&(*us as u64 ^ 1 << 63).to_be_bytes());
            }
            Part::Text(text) => encode_text(out, text),
            Part::Bytes(bytes) => encode_escaped(out, BYTES, bytes),
        }
    }
}

/// A text part on its own: how the stored key writes a namespace and a table.
pub(crate) fn encode_text(out: &mut Vec<u8>, text: &str) {
    encode_escaped(out, TEXT, text.as_bytes());
}

/// What stands behind a text that was written by [`encode_text`] and has nothing to escape, if it is `text`.
pub(crate) fn strip_text<'a>(bytes: &'a [u8], text: &str) -> Option<&'a [u8]> {
    bytes.strip_prefix(&[TEXT])?.strip_prefix(text.as_bytes())?.strip_prefix(&[END])
}

/// A part of bytes on its own: how the stored key of an outcome writes a caller's key.
pub(crate) fn encode_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    encode_escaped(out, BYTES, bytes);
}

/// Appends the key of a row in a stream: the tuple of `stream` with the sequence as one part more. `stream` are the
/// bytes of a key that was checked.
pub fn sequence_key(stream: &[u8], sequence: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(prefix(stream));
    encode_int(out, i128::from(sequence));
    out.push(END);
}

/// What the bytes of all keys begin with whose tuple begins with that of `key`, the bytes of a key that was checked.
pub fn prefix(key: &[u8]) -> &[u8] {
    key.strip_suffix(&[END]).unwrap_or(key)
}

/// The whole key at the front of `bytes`, and what stands behind it: keys delimit themselves.
pub fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(bytes);
    while RawPart::read(&mut reader).ok()?.is_some() {}
    bytes.split_at_checked(bytes.len() - reader.rest().len())
}

/// The name at the front of `bytes`, written by [`encode_text`], and what stands behind it. Names have nothing to escape.
pub fn split_name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let mut reader = Reader::new(bytes);
    match RawPart::read(&mut reader).ok()?? {
        RawPart::Text(name) => Some((str::from_utf8(name).ok()?, reader.rest())),
        RawPart::Int(_) | RawPart::Time(_) | RawPart::Bytes(_) => None,
    }
}

fn encode_escaped(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.push(tag);
    let least = bytes.iter().copied().fold(u8::MAX, u8::min);
    if least > ESCAPE {
        out.extend_from_slice(bytes); // nearly always: names and texts have nothing to escape
    } else {
        for byte in bytes {
            match *byte {
                low @ (END | ESCAPE) => out.extend_from_slice(&[ESCAPE, low + 1]),
                plain => out.push(plain),
            }
        }
    }
    out.push(END);
}

fn encode_int(out: &mut Vec<u8>, number: i128) {
    let magnitude = number.unsigned_abs();
    let zeros = magnitude.leading_zeros() as usize / 8;
    let width = (16 - zeros) as u8;
    let (tag, bits) = if number < 0 { (INT_ZERO - width, !magnitude) } else { (INT_ZERO + width, magnitude) };
    out.push(tag);
    out.extend(bits.to_be_bytes().iter().skip(zeros));
}

/// A part as it stands in the bytes.
enum RawPart<'a> {
    Int(i128),
    Time(i64),
    /// UTF-8, still escaped. Most who read a key want to know no more than where its parts end.
    Text(&'a [u8]),
    Bytes(&'a [u8]),
}

impl<'a> RawPart<'a> {
    /// The next part, or `None` at the end of the tuple.
    fn read(reader: &mut Reader<'a>) -> Result<Option<RawPart<'a>>, Malformed> {
        Ok(Some(match reader.u8()? {
            END => return Ok(None),
            tag @ INT_MIN..=INT_MAX => RawPart::Int(read_int(reader, tag)?),
            TIME => RawPart::Time((u64::from_be_bytes(reader.array()?) ^ 1 << 63) as i64),
            TEXT => {
                let Escaped { raw, plain } = read_escaped(reader)?;
                // An escape is plain ASCII for plain ASCII: what is UTF-8 without it is UTF-8 with it.
                if !plain && str::from_utf8(raw).is_err() {
                    return Err(Malformed::Utf8);
                }
                RawPart::Text(raw)
            }
            BYTES => RawPart::Bytes(read_escaped(reader)?.raw),
            got => return Err(Malformed::Unknown { what: "kind of key part", got: u64::from(got) }),
        }))
    }

    fn unescape(self) -> Part<'a> {
        match self {
            RawPart::Int(number) => Part::Int(number),
            RawPart::Time(us) => Part::Time(us),
            RawPart::Text(raw) => {
                let raw = str::from_utf8(raw).expect("checked when it was read");
                Part::Text(match raw.as_bytes().contains(&ESCAPE) {
                    false => Cow::Borrowed(raw),
                    true => Cow::Owned(raw.replace("\x01\x01", "\0").replace("\x01\x02", "\x01")),
                })
            }
            RawPart::Bytes(raw) if !raw.contains(&ESCAPE) => Part::Bytes(Cow::Borrowed(raw)),
            RawPart::Bytes(raw) => Part::Bytes(Cow::Owned(unescape(raw))),
        }
    }
}

fn read_int(reader: &mut Reader<'_>, tag: u8) -> Result<i128, Malformed> {
    let width = tag.abs_diff(INT_ZERO);
    let negative = tag < INT_ZERO;
    let flip = if negative { 0xff } else { 0 };
    let digits = reader.take(usize::from(width))?;
    if digits.first().is_some_and(|first| first ^ flip == 0) {
        return Err(Malformed::Order);
    }
    let magnitude = digits.iter().fold(0u128, |sum, digit| sum << 8 | u128::from(digit ^ flip));
    let number =
        if negative { 0i128.checked_sub_unsigned(magnitude) } else { i128::try_from(magnitude).ok() };
    number.ok_or(Malformed::TooLong { what: "int", limit: 16, len: u64::from(width) })
}

/// The bytes of a text or of bytes, up to the end of the part.
struct Escaped<'a> {
    raw: &'a [u8],
    /// All of it is ASCII, and nothing in it is an escape.
    plain: bool,
}

/// Each escape is one of the two.
fn read_escaped<'a>(reader: &mut Reader<'a>) -> Result<Escaped<'a>, Malformed> {
    let plain = plain(reader.rest());
    if reader.rest().get(plain) == Some(&END) {
        let raw = reader.take(plain)?;
        reader.u8()?;
        return Ok(Escaped { raw, plain: true });
    }
    let behind =
        reader.rest().iter().skip(plain).position(|byte| *byte == END).ok_or(Malformed::Truncated)?;
    let raw = reader.take(plain + behind)?;
    reader.u8()?;
    let mut bytes = raw.iter().skip(plain);
    while let Some(byte) = bytes.next() {
        if *byte == ESCAPE && !matches!(bytes.next(), Some(1 | 2)) {
            return Err(Malformed::Unknown { what: "escape in a key", got: 0 });
        }
    }
    Ok(Escaped { raw, plain: false })
}

/// How many bytes at the front are ASCII, and neither an end nor an escape. Every request has keys, and nearly all of
/// them are nothing else, so it looks at eight at a time.
fn plain(bytes: &[u8]) -> usize {
    const BELOW: u64 = u64::from_ne_bytes([ESCAPE + 1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (nth, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The high bit of each byte that is not plain; above the first of them it may be that of a plain one, too.
        let not_plain = (word | word.wrapping_sub(BELOW)) & HIGH;
        if not_plain != 0 {
            return 8 * nth + not_plain.trailing_zeros() as usize / 8;
        }
    }
    let last = rest.iter().take_while(|byte| byte.is_ascii() && **byte > ESCAPE);
    8 * words.len() + last.count()
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut bytes = raw.iter().copied();
    let mut plain = Vec::with_capacity(raw.len());
    while let Some(byte) = bytes.next() {
        plain.push(if byte == ESCAPE { bytes.next().unwrap_or(1) - 1 } else { byte });
    }
    plain
}

/// Parts joined by commas, percent-encoded; those that are no text carry their kind: `HP-2026,int:7`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_parts(f, self.parts())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

fn write_parts(f: &mut fmt::Formatter<'_>, parts: Parts<'_>) -> fmt::Result {
    for (i, part) in parts.enumerate() {
        write!(f, "{}", if i == 0 { "" } else { "," })?;
        match part {
            Part::Int(number) => write!(f, "int:{number}")?,
            Part::Time(us) => {
                write!(f, "time:")?;
                time::write(f, us)?;
            }
            Part::Text(text) => percent::write(f, &text)?,
            Part::Bytes(bytes) => {
                write!(f, "bytes:")?;
                write_hex(f, &bytes)?;
            }
        }
    }
    Ok(())
}

/// Bytes that a person chose: text if they are one without control characters, else hex.
pub(crate) fn write_label(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    match str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => f.write_str(text),
        _ => write_hex(f, bytes),
    }
}

/// The text is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoKey(String);

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no key part: write text (':' as %3A, ',' as %2C), int:N, time:T or bytes:HEX",
            self.0
        )
    }
}

impl std::error::Error for NoKey {}

/// The inverse of its `Display`.
impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Key, NoKey> {
        let parts: Result<Vec<_>, _> =
            text.split(',').map(|piece| parse_part(piece).ok_or_else(|| NoKey(piece.to_owned()))).collect();
        Ok(Key::of(&parts?))
    }
}

fn parse_part(piece: &str) -> Option<Part<'static>> {
    match piece.split_once(':') {
        None => percent::parse(piece).map(|text| Part::Text(Cow::Owned(text))),
        Some(("int", number)) => number.parse().ok().map(Part::Int),
        Some(("time", time)) => time::parse(time).map(Part::Time),
        Some(("bytes", hex)) => from_hex(hex).map(|bytes| Part::Bytes(Cow::Owned(bytes))),
        Some(_) => None,
    }
}

impl<'a> From<&'a str> for Part<'a> {
    fn from(text: &'a str) -> Part<'a> {
        Part::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Part<'_> {
    fn from(text: String) -> Self {
        Part::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a [u8]> for Part<'a> {
    fn from(bytes: &'a [u8]) -> Part<'a> {
        Part::Bytes(Cow::Borrowed(bytes))
    }
}

macro_rules! from_integers {
    ($($integer:ty)*) => { $(
        impl From<$integer> for Part<'_> {
            fn from(number: $integer) -> Self {
                Part::Int(i128::from(number))
            }
        }

        impl From<$integer> for Key {
            fn from(number: $integer) -> Key {
                Key::of(&[Part::from(number)])
            }
        }
    )* };
}
from_integers!(i32 i64 i128 u32 u64);

impl From<&str> for Key {
    fn from(text: &str) -> Key {
        Key::of(&[Part::from(text)])
    }
}

impl From<&String> for Key {
    fn from(text: &String) -> Key {
        Key::from(text.as_str())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Key {
        Key::from(text.as_str())
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Key {
        Key::of(&[Part::from(bytes)])
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Key {
        key.clone()
    }
}

impl<'a, A: Into<Part<'a>>, B: Into<Part<'a>>> From<(A, B)> for Key {
    fn from((a, b): (A, B)) -> Key {
        Key::of(&[a.into(), b.into()])
    }
}

impl<'a, A: Into<Part<'a>>, B: Into<Part<'a>>, C: Into<Part<'a>>> From<(A, B, C)> for Key {
    fn from((a, b, c): (A, B, C)) -> Key {
        Key::of(&[a.into(), b.into(), c.into()])
    }
}
