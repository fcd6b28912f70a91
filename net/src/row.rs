//! A row: a small map of named fields, and the one sequence of bytes that stands for it.
//!
//! The server logs a row's bytes as they came, so there must be only one way to write a row: [`check`] lets nothing
//! else in, and it allocates nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::limits::{ROW_FIELDS_MAX, ROW_MAX};
use crate::value::{Value, ValueRef};
use crate::wire::{Malformed, Reader, put_sized, put_varint};

/// The shape of a row that names its fields. Others are reserved for declared tables, with numbers for names.
const SHAPE_NAMED: u64 = 0;

/// Named fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    fields: BTreeMap<String, Value>,
}

impl Row {
    /// A row without fields.
    pub fn new() -> Row {
        Row::default()
    }

    /// This row with one field set.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Row {
        self.insert(name, value);
        self
    }

    /// Sets one field; the value that it had is returned.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        self.fields.insert(name.into(), value.into())
    }

    /// The value of a field, if it is there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// The fields, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Appends the row's bytes. What is over a limit is written all the same, and refused by [`check`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, SHAPE_NAMED);
        put_varint(out, self.fields.len() as u64);
        for (name, value) in &self.fields {
            put_sized(out, name.as_bytes());
            value.encode(out);
        }
    }

    /// The row that `bytes` stand for.
    pub fn decode(bytes: &[u8]) -> Result<Row, Malformed> {
        let owned = |(name, value): (&str, ValueRef<'_>)| (name.to_owned(), value.to_value());
        let fields = Fields::open(bytes)?.map(|field| field.map(owned)).collect::<Result<_, _>>()?;
        Ok(Row { fields })
    }
}

/// Whether `bytes` are the one encoding of a row within the limits.
pub fn check(bytes: &[u8]) -> Result<(), Malformed> {
    Fields::open(bytes)?.try_for_each(|field| field.map(drop))
}

/// Appends the bytes of `row` with the fields of `changes` set in it, both encoded, and says how many fields there are.
/// What is over a limit is written all the same, and refused by [`check`].
pub fn merge(row: &[u8], changes: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
    let mut fields = Fields::open(row)?.peekable();
    let (mut body, mut count) = (Vec::with_capacity(row.len() + changes.len()), 0);
    let mut put = |name: &str, value: ValueRef<'_>| {
        put_sized(&mut body, name.as_bytes());
        value.encode(&mut body);
        count += 1;
    };
    for change in Fields::open(changes)? {
        let (name, value) = change?;
        while let Some(field) = fields.next_if(|field| !matches!(field, Ok((other, _)) if *other >= name)) {
            let (other, old) = field?;
            put(other, old);
        }
        fields.next_if(|field| matches!(field, Ok((other, _)) if *other == name));
        put(name, value);
    }
    for field in fields {
        let (name, value) = field?;
        put(name, value);
    }
    put_varint(out, SHAPE_NAMED);
    put_varint(out, count as u64);
    out.extend_from_slice(&body);
    Ok(count)
}

/// The fields of an encoded row, checked one by one as they are read. After an error comes nothing more.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    reader: Reader<'a>,
    left: usize,
    last: &'a str,
}

impl<'a> Fields<'a> {
    /// Begins to read the bytes of a row.
    pub fn open(bytes: &'a [u8]) -> Result<Fields<'a>, Malformed> {
        if bytes.len() > ROW_MAX {
            return Err(Malformed::TooLong { what: "row", limit: ROW_MAX, len: bytes.len() as u64 });
        }
        let mut reader = Reader::new(bytes);
        match reader.varint()? {
            SHAPE_NAMED => {}
            got => return Err(Malformed::Unknown { what: "shape of a row", got }),
        }
        let left = reader.count("fields of a row", ROW_FIELDS_MAX)?;
        if left == 0 {
            reader.end()?;
        }
        Ok(Fields { reader, left, last: "" }) // a name is never empty, so each is above ""
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    fn read(&mut self) -> Result<(&'a str, ValueRef<'a>), Malformed> {
        let name = self.reader.name()?;
        if name <= self.last {
            return Err(Malformed::Order);
        }
        self.last = name;
        let value = ValueRef::read(&mut self.reader)?;
        if self.left == 0 {
            self.reader.end()?;
        }
        Ok((name, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(&'a str, ValueRef<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let field = self.read();
        if field.is_err() {
            self.left = 0;
        }
        Some(field)
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Row {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Row {
        Row { fields: fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

impl IntoIterator for Row {
    type Item = (String, Value);
    type IntoIter = std::collections::btree_map::IntoIter<String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.into_iter()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}: {value}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, "}}")
    }
}
