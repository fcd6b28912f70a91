//! The value of a field, and its bytes.

use std::collections::BTreeSet;
use std::fmt;

use crate::limits::{DECIMAL_SCALE_MAX, ROW_MAX, SET_MEMBERS_MAX};
use crate::list::Piece;
use crate::time;
use crate::wire::{Malformed, Reader, put_int, put_sized, put_varint};

/// The number of each kind in a row's bytes. 0 stays invalid; 8 float, 9 list and 10 map are reserved.
mod tag {
    pub(super) const BOOL: u8 = 1;
    pub(super) const INT: u8 = 2;
    pub(super) const DECIMAL: u8 = 3;
    pub(super) const TIME: u8 = 4;
    pub(super) const TEXT: u8 = 5;
    pub(super) const BYTES: u8 = 6;
    pub(super) const SET: u8 = 7;
}

/// What a field can hold. There is no null: an absent field is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// `mantissa / 10^scale`, kept as it was written: 420.00 is not 420.
    Decimal {
        /// All digits, without the point.
        mantissa: i128,
        /// How many of them stand behind the point.
        scale: u8,
    },
    /// Microseconds since 1970, UTC.
    Time(i64),
    /// UTF-8.
    Text(String),
    /// Anything.
    Bytes(Vec<u8>),
    /// Distinct byte strings, in order.
    Set(BTreeSet<Vec<u8>>),
}

impl Value {
    /// Appends the value's bytes: its kind, then its content.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let value = match self {
            Value::Bool(yes) => ValueRef::Bool(*yes),
            Value::Int(number) => ValueRef::Int(*number),
            Value::Decimal { mantissa, scale } => ValueRef::Decimal { mantissa: *mantissa, scale: *scale },
            Value::Time(us) => ValueRef::Time(*us),
            Value::Text(text) => ValueRef::Text(text),
            Value::Bytes(bytes) => ValueRef::Bytes(bytes),
            Value::Set(members) => {
                out.push(tag::SET);
                return encode_members(members, out);
            }
        };
        value.encode(out);
    }

    /// Reads a value as a person types it. Types are `text`, `int`, `bool`, `decimal`, `time` (RFC 3339 in UTC, or
    /// microseconds) and `bytes` (hex); without one, `true` and `false` are bools, whole numbers are ints, and
    /// everything else is text.
    pub fn parse(type_name: Option<&str>, text: &str) -> Result<Value, ParseError> {
        let parsed = match type_name {
            None => return Ok(guess(text)),
            Some("text") => Some(Value::from(text)),
            Some("int") => text.parse().ok().map(Value::Int),
            Some("bool") => text.parse().ok().map(Value::Bool),
            Some("decimal") => parse_decimal(text),
            Some("time") => time::parse(text).map(Value::Time),
            Some("bytes") => from_hex(text).map(Value::Bytes),
            Some(other) => return Err(ParseError::UnknownType(other.to_owned())),
        };
        parsed.ok_or_else(|| ParseError::Text {
            type_name: type_name.unwrap_or("text").to_owned(),
            text: text.to_owned(),
        })
    }
}

/// A value that borrows from the bytes it was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// See [`Value::Bool`].
    Bool(bool),
    /// See [`Value::Int`].
    Int(i128),
    /// See [`Value::Decimal`].
    Decimal {
        /// All digits, without the point.
        mantissa: i128,
        /// How many of them stand behind the point.
        scale: u8,
    },
    /// See [`Value::Time`].
    Time(i64),
    /// See [`Value::Text`].
    Text(&'a str),
    /// See [`Value::Bytes`].
    Bytes(&'a [u8]),
    /// See [`Value::Set`].
    Set(Members<'a>),
}

impl<'a> ValueRef<'a> {
    /// The number of its kind, as it stands in the bytes.
    pub fn kind(&self) -> u8 {
        match self {
            ValueRef::Bool(_) => tag::BOOL,
            ValueRef::Int(_) => tag::INT,
            ValueRef::Decimal { .. } => tag::DECIMAL,
            ValueRef::Time(_) => tag::TIME,
            ValueRef::Text(_) => tag::TEXT,
            ValueRef::Bytes(_) => tag::BYTES,
            ValueRef::Set(_) => tag::SET,
        }
    }

    /// Appends the value's bytes: its kind, then its content.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind());
        match self {
            ValueRef::Bool(yes) => out.push(u8::from(*yes)),
            ValueRef::Int(number) => put_int(out, *number),
            ValueRef::Decimal { mantissa, scale } => {
                out.push(*scale);
                put_int(out, *mantissa);
            }
            ValueRef::Time(us) => out.extend_from_slice(&us.to_le_bytes()),
            ValueRef::Text(text) => put_sized(out, text.as_bytes()),
            ValueRef::Bytes(bytes) => put_sized(out, bytes),
            ValueRef::Set(members) => members.encode(out),
        }
    }

    /// Reads one value. Nothing is allocated.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<ValueRef<'a>, Malformed> {
        Ok(match reader.u8()? {
            tag::BOOL => ValueRef::Bool(match reader.u8()? {
                0 => false,
                1 => true,
                got => return Err(Malformed::Unknown { what: "bool", got: u64::from(got) }),
            }),
            tag::INT => ValueRef::Int(reader.int()?),
            tag::DECIMAL => {
                let scale = reader.u8()?;
                if scale > DECIMAL_SCALE_MAX {
                    let (limit, len) = (usize::from(DECIMAL_SCALE_MAX), u64::from(scale));
                    return Err(Malformed::TooLong { what: "scale of a decimal", limit, len });
                }
                ValueRef::Decimal { mantissa: reader.int()?, scale }
            }
            tag::TIME => ValueRef::Time(reader.i64()?),
            tag::TEXT => ValueRef::Text(reader.text("text", ROW_MAX)?),
            tag::BYTES => ValueRef::Bytes(reader.sized("bytes", ROW_MAX)?),
            tag::SET => ValueRef::Set(Members::read(reader)?),
            got => return Err(Malformed::Unknown { what: "kind of value", got: u64::from(got) }),
        })
    }

    /// The same value, owned.
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::Bool(yes) => Value::Bool(yes),
            ValueRef::Int(number) => Value::Int(number),
            ValueRef::Decimal { mantissa, scale } => Value::Decimal { mantissa, scale },
            ValueRef::Time(us) => Value::Time(us),
            ValueRef::Text(text) => Value::Text(text.to_owned()),
            ValueRef::Bytes(bytes) => Value::Bytes(bytes.to_owned()),
            ValueRef::Set(members) => Value::Set(members.map(<[u8]>::to_owned).collect()),
        }
    }
}

/// A count and the members.
pub(crate) fn encode_members(members: &BTreeSet<Vec<u8>>, out: &mut Vec<u8>) {
    put_varint(out, members.len() as u64);
    members.iter().for_each(|member| put_sized(out, member));
}

impl<'a> Piece<'a> for ValueRef<'a> {
    const WHAT: &'static str = "values";

    fn read(reader: &mut Reader<'a>) -> Result<ValueRef<'a>, Malformed> {
        ValueRef::read(reader)
    }
}

/// The members of a set that was checked whole, in order.
#[derive(Clone, Copy, Debug)]
pub struct Members<'a> {
    left: usize,
    reader: Reader<'a>,
}

impl<'a> Members<'a> {
    /// None.
    pub(crate) const NONE: Members<'static> = Members { left: 0, reader: Reader::EMPTY };

    /// Whether there is none left.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.left as u64);
        self.for_each(|member| put_sized(out, member));
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Members<'a>, Malformed> {
        let left = reader.count("members of a set", SET_MEMBERS_MAX)?;
        let members = Members { left, reader: *reader };
        let mut last = None;
        for _ in 0..left {
            let member = reader.sized("member of a set", ROW_MAX)?;
            if last.is_some_and(|last| last >= member) {
                return Err(Malformed::Order);
            }
            last = Some(member);
        }
        Ok(members)
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        self.reader.sized("member of a set", ROW_MAX).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Members<'_> {}

impl PartialEq for Members<'_> {
    fn eq(&self, other: &Self) -> bool {
        Iterator::eq(*self, *other)
    }
}

impl Eq for Members<'_> {}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(yes) => write!(f, "{yes}"),
            Value::Int(number) => write!(f, "{number}"),
            Value::Decimal { mantissa, scale } => write_decimal(f, *mantissa, *scale),
            Value::Time(us) => time::write(f, *us),
            Value::Text(text) => write!(f, "{text}"),
            Value::Bytes(bytes) => write_hex(f, bytes),
            Value::Set(members) => {
                write!(f, "{{")?;
                for (i, member) in members.iter().enumerate() {
                    write!(f, "{}", if i == 0 { "" } else { ", " })?;
                    match std::str::from_utf8(member) {
                        Ok(text) => write!(f, "{text}")?,
                        Err(_) => write_hex(f, member)?,
                    }
                }
                write!(f, "}}")
            }
        }
    }
}

/// Why a typed text is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// There is no such type.
    UnknownType(String),
    /// The text is none of its type.
    Text {
        /// What it should have been.
        type_name: String,
        /// What was typed.
        text: String,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::UnknownType(name) => {
                write!(f, "{name:?} is no type: use text, int, bool, decimal, time or bytes")
            }
            ParseError::Text { type_name, text } => write!(f, "{text:?} is no {type_name}"),
        }
    }
}

impl std::error::Error for ParseError {}

fn guess(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse().map_or_else(|_| Value::from(text), Value::Int),
    }
}

fn parse_decimal(text: &str) -> Option<Value> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let scale = u8::try_from(fraction.len()).ok().filter(|scale| *scale <= DECIMAL_SCALE_MAX)?;
    let digits =
        fraction.bytes().all(|b| b.is_ascii_digit()) && whole.ends_with(|c: char| c.is_ascii_digit());
    let mantissa = format!("{whole}{fraction}").parse().ok().filter(|_| digits)?;
    Some(Value::Decimal { mantissa, scale })
}

fn write_decimal(f: &mut fmt::Formatter<'_>, mantissa: i128, scale: u8) -> fmt::Result {
    let sign = if mantissa < 0 { "-" } else { "" };
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", mantissa.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let point = if fraction.is_empty() { "" } else { "." };
    write!(f, "{sign}{whole}{point}{fraction}")
}

pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let (pairs, odd) = digits.as_deref()?.as_chunks::<2>();
    odd.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

impl From<bool> for Value {
    fn from(yes: bool) -> Value {
        Value::Bool(yes)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Value {
        Value::Bytes(bytes.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Bytes(bytes)
    }
}

impl From<BTreeSet<Vec<u8>>> for Value {
    fn from(members: BTreeSet<Vec<u8>>) -> Value {
        Value::Set(members)
    }
}

macro_rules! from_integers {
    ($($integer:ty)*) => { $(
        impl From<$integer> for Value {
            fn from(number: $integer) -> Value {
                Value::Int(i128::from(number))
            }
        }
    )* };
}
from_integers!(i8 i16 i32 i64 i128 u8 u16 u32 u64);
