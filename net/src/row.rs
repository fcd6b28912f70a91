//! A row: a small map of named fields, and the one sequence of bytes that stands for it.
//!
//! The server logs a row's bytes as they came, so there must be only one way to write a row: [`check`] lets nothing
//! else in, and it allocates nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::limits::{NAME_MAX, ROW_FIELDS_MAX, ROW_MAX};
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

/// The value of a field of a row that was checked before: its names are not judged again.
pub fn field<'a>(row: &'a [u8], name: &str) -> Option<ValueRef<'a>> {
    let mut fields = Checked::open(row).ok()?.map_while(Result::ok);
    fields.find_map(|field| (field.name == name.as_bytes()).then_some(field.value))
}

/// Appends the bytes of a row with one field.
pub fn encode_one(name: &str, value: &Value, out: &mut Vec<u8>) {
    put_varint(out, SHAPE_NAMED);
    put_varint(out, 1);
    put_sized(out, name.as_bytes());
    value.encode(out);
}

/// Appends the bytes of `row` with the fields of `changes` set in it, both checked before, and says how many fields
/// there are. What is over a limit is written all the same, and refused by [`check`].
pub fn merge(row: &[u8], changes: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
    let (fields, changes) = (Checked::open(row)?, Checked::open(changes)?);
    put_varint(out, SHAPE_NAMED);
    let at = out.len();
    put_varint(out, (fields.left + changes.left) as u64); // as many at most
    let (body, most) = (out.len(), fields.left + changes.left);
    let (mut fields, mut count) = (fields.peekable(), 0);
    let mut put = |field: CheckedField<'_>| {
        out.extend_from_slice(field.whole);
        count += 1;
    };
    for change in changes {
        let change = change?;
        let in_front = |field: &Result<CheckedField<'_>, _>| match field {
            Ok(field) => field.name < change.name,
            Err(_) => true,
        };
        while let Some(field) = fields.next_if(in_front) {
            put(field?);
        }
        fields.next_if(|field| matches!(field, Ok(field) if field.name == change.name));
        put(change);
    }
    for field in fields {
        put(field?);
    }
    match (count, out.get_mut(at..body)) {
        (count, _) if count == most => {}
        (0..0x80, Some([only])) => *only = count as u8, // a varint of one byte
        _ => {
            let mut exact = Vec::new();
            put_varint(&mut exact, count as u64);
            out.splice(at..body, exact);
        }
    }
    Ok(count)
}

/// The fields of a row that was checked before, with their names as bytes, which are in the same order.
#[derive(Debug)]
struct Checked<'a> {
    reader: Reader<'a>,
    left: usize,
}

#[derive(Debug)]
struct CheckedField<'a> {
    name: &'a [u8],
    value: ValueRef<'a>,
    /// Name and value as they are encoded.
    whole: &'a [u8],
}

impl<'a> Checked<'a> {
    fn open(row: &'a [u8]) -> Result<Checked<'a>, Malformed> {
        let Fields { reader, left, .. } = Fields::open(row)?;
        Ok(Checked { reader, left })
    }

    fn read(&mut self) -> Result<CheckedField<'a>, Malformed> {
        let before = self.reader.rest();
        let name = self.reader.sized("name", NAME_MAX)?;
        let value = ValueRef::read(&mut self.reader)?;
        let (whole, _) = before.split_at(before.len() - self.reader.rest().len());
        Ok(CheckedField { name, value, whole })
    }
}

impl<'a> Iterator for Checked<'a> {
    type Item = Result<CheckedField<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.read())
    }
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
