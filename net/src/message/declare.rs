//! DECLARE and DESCRIBE: what a table promises about its rows.
//!
//! A declaration is rare and is kept, so unlike a commit it is decoded into memory of its own; each count is checked
//! against its limit before anything is set aside for it.

use std::collections::{BTreeMap, BTreeSet};

use super::term::Ttl;
use crate::limits::{
    DECLARATION_MAX, INDEX_FIELDS_MAX, ROW_MAX, STATES_MAX, SUMS_MAX, TABLE_FIELDS_MAX, TABLE_INDEXES_MAX,
    TRANSITION_FIELDS_MAX, TRANSITIONS_MAX,
};
use crate::refusal::Refusal;
use crate::value::{Value, ValueRef};
use crate::wire::{Malformed, Reader, put_sized, put_varint};

/// The first number of a declaration; another layout takes another.
const LAYOUT: u64 = 1;

/// Bits of a declaration, of a field and of an index.
mod bit {
    pub(super) const STRICT: u8 = 1;
    pub(super) const APPEND_ONLY: u8 = 2;
    pub(super) const REQUIRED: u8 = 1;
    pub(super) const UNIQUE: u8 = 1;
    pub(super) const PARTIAL: u8 = 2;
}

/// A kind of value, by the number that it has in a row's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// See [`Value::Bool`].
    Bool = 1,
    /// See [`Value::Int`].
    Int = 2,
    /// See [`Value::Decimal`].
    Decimal = 3,
    /// See [`Value::Time`].
    Time = 4,
    /// See [`Value::Text`].
    Text = 5,
    /// See [`Value::Bytes`].
    Bytes = 6,
    /// See [`Value::Set`].
    Set = 7,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] =
        [Kind::Bool, Kind::Int, Kind::Decimal, Kind::Time, Kind::Text, Kind::Bytes, Kind::Set];

    /// The kind of a number; see [`ValueRef::kind`].
    pub fn from_u8(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// As people write it.
    pub fn name(self) -> &'static str {
        ["bool", "int", "decimal", "time", "text", "bytes", "set"][self as usize - 1]
    }
}

/// What is declared of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// What it holds.
    pub kind: Kind,
    /// Whether every row must have it.
    pub required: bool,
}

/// Fields whose values are the keys of an index, in this order. Only kinds that a key can have: int, time, text, bytes.
/// A row that lacks one of them is not in the index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// At least one.
    pub fields: Vec<String>,
    /// Whether two rows of a partition may not have the same key in it.
    pub unique: bool,
    /// Only rows whose field holds one of these values are in it.
    pub only: Option<(String, Vec<Value>)>,
}

/// The states of a field. A change that is not listed is an INVALID_TRANSITION; a state without a change is the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transitions {
    /// What a new row may begin with.
    pub initial: Vec<Value>,
    /// From, to.
    pub allowed: Vec<(Value, Value)>,
}

/// Numbers that must cancel each other out: over the rows that one commit puts into the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SumZero {
    /// The field that is added up.
    pub field: String,
    /// Added up apart for each value of this field, a currency for example.
    pub per: Option<String>,
}

/// What a table promises. The default promises nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declaration {
    /// Whether a row may have declared fields only.
    pub strict: bool,
    /// Whether a row that is there can neither be changed nor deleted.
    pub append_only: bool,
    /// How long rows live that are put without a ttl of their own.
    pub default_ttl: Option<Ttl>,
    /// By name.
    pub fields: BTreeMap<String, Field>,
    /// By name.
    pub indexes: BTreeMap<String, Index>,
    /// By the field that holds the state.
    pub transitions: BTreeMap<String, Transitions>,
    /// What must be balanced.
    pub sums: BTreeSet<SumZero>,
}

impl Declaration {
    /// Appends the bytes, unchecked. One declaration has one encoding: names ascend.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, LAYOUT);
        out.push((u8::from(self.strict) * bit::STRICT) | (u8::from(self.append_only) * bit::APPEND_ONLY));
        Ttl::encode(self.default_ttl, out);
        put_varint(out, self.fields.len() as u64);
        for (name, field) in &self.fields {
            put_sized(out, name.as_bytes());
            out.extend_from_slice(&[field.kind as u8, u8::from(field.required) * bit::REQUIRED]);
        }
        put_varint(out, self.indexes.len() as u64);
        for (name, index) in &self.indexes {
            put_sized(out, name.as_bytes());
            index.encode(out);
        }
        put_varint(out, self.transitions.len() as u64);
        for (name, Transitions { initial, allowed }) in &self.transitions {
            put_sized(out, name.as_bytes());
            encode_values(initial, out);
            put_varint(out, allowed.len() as u64);
            for (from, to) in allowed {
                from.encode(out);
                to.encode(out);
            }
        }
        put_varint(out, self.sums.len() as u64);
        for SumZero { field, per } in &self.sums {
            put_sized(out, field.as_bytes());
            put_sized(out, per.as_deref().unwrap_or_default().as_bytes());
        }
    }

    /// The declaration that `bytes` stand for.
    pub fn decode(bytes: &[u8]) -> Result<Declaration, Malformed> {
        if bytes.len() > DECLARATION_MAX {
            let (limit, len) = (DECLARATION_MAX, bytes.len() as u64);
            return Err(Malformed::TooLong { what: "declaration", limit, len });
        }
        let mut reader = Reader::new(bytes);
        let layout = reader.varint()?;
        if layout != LAYOUT {
            return Err(Malformed::Unknown { what: "layout of a declaration", got: layout });
        }
        let bits = read_bits(&mut reader, bit::STRICT | bit::APPEND_ONLY)?;
        let declaration = Declaration {
            strict: bits & bit::STRICT != 0,
            append_only: bits & bit::APPEND_ONLY != 0,
            default_ttl: Ttl::read(&mut reader)?,
            fields: read_map(&mut reader, "declared fields", TABLE_FIELDS_MAX, Field::read)?,
            indexes: read_map(&mut reader, "indexes", TABLE_INDEXES_MAX, Index::read)?,
            transitions: read_map(
                &mut reader,
                "fields with transitions",
                TRANSITION_FIELDS_MAX,
                Transitions::read,
            )?,
            sums: read_sums(&mut reader)?,
        };
        reader.end()?;
        declaration.check_indexes()?;
        Ok(declaration)
    }

    /// Whether what is declared of the indexed fields can stand in a key; of an undeclared one nothing is known.
    fn check_indexes(&self) -> Result<(), Malformed> {
        let indexed = self.indexes.values().flat_map(|index| &index.fields);
        for Field { kind, .. } in indexed.filter_map(|field| self.fields.get(field)) {
            match kind {
                Kind::Int | Kind::Time | Kind::Text | Kind::Bytes => {}
                Kind::Bool | Kind::Decimal | Kind::Set => {
                    let got = *kind as u64;
                    return Err(Malformed::Unknown { what: "kind of value in a key", got });
                }
            }
        }
        Ok(())
    }
}

impl Field {
    fn read(reader: &mut Reader<'_>) -> Result<Field, Malformed> {
        let number = reader.u8()?;
        let unknown = Malformed::Unknown { what: "kind of value", got: u64::from(number) };
        let kind = Kind::from_u8(number).ok_or(unknown)?;
        Ok(Field { kind, required: read_bits(reader, bit::REQUIRED)? != 0 })
    }
}

impl Index {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push((u8::from(self.unique) * bit::UNIQUE) | (u8::from(self.only.is_some()) * bit::PARTIAL));
        put_varint(out, self.fields.len() as u64);
        self.fields.iter().for_each(|field| put_sized(out, field.as_bytes()));
        if let Some((field, values)) = &self.only {
            put_sized(out, field.as_bytes());
            encode_values(values, out);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Index, Malformed> {
        let bits = read_bits(reader, bit::UNIQUE | bit::PARTIAL)?;
        let count = reader.count("fields of an index", INDEX_FIELDS_MAX)?;
        if count == 0 {
            return Err(Malformed::Empty);
        }
        let fields = (0..count).map(|_| reader.name().map(str::to_owned)).collect::<Result<_, _>>()?;
        let partial = bits & bit::PARTIAL != 0;
        let only = if partial { Some((reader.name()?.to_owned(), read_values(reader)?)) } else { None };
        Ok(Index { fields, unique: bits & bit::UNIQUE != 0, only })
    }
}

impl Transitions {
    fn read(reader: &mut Reader<'_>) -> Result<Transitions, Malformed> {
        let initial = read_values(reader)?;
        let count = reader.count("transitions", TRANSITIONS_MAX)?;
        let mut allowed = Vec::with_capacity(count);
        for _ in 0..count {
            allowed.push((read_value(reader)?, read_value(reader)?));
        }
        Ok(Transitions { initial, allowed })
    }
}

fn read_sums(reader: &mut Reader<'_>) -> Result<BTreeSet<SumZero>, Malformed> {
    let count = reader.count("sums", SUMS_MAX)?;
    let mut sums = BTreeSet::new();
    for _ in 0..count {
        let field = reader.name()?.to_owned();
        // An empty text stands for none; a name is never empty.
        let per = if reader.rest().first() == Some(&0) {
            reader.u8()?;
            None
        } else {
            Some(reader.name()?.to_owned())
        };
        let sum = SumZero { field, per };
        if sums.last().is_some_and(|last| *last >= sum) {
            return Err(Malformed::Order);
        }
        sums.insert(sum);
    }
    Ok(sums)
}

fn read_map<T>(
    reader: &mut Reader<'_>,
    what: &'static str,
    limit: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<BTreeMap<String, T>, Malformed> {
    let count = reader.count(what, limit)?;
    let mut map = BTreeMap::new();
    let mut last = "";
    for _ in 0..count {
        let name = reader.name()?;
        if name <= last {
            return Err(Malformed::Order);
        }
        last = name;
        map.insert(name.to_owned(), read(reader)?);
    }
    Ok(map)
}

fn read_bits(reader: &mut Reader<'_>, known: u8) -> Result<u8, Malformed> {
    match reader.u8()? {
        bits if bits & !known == 0 => Ok(bits),
        bits => Err(Malformed::Unknown { what: "bits", got: u64::from(bits) }),
    }
}

fn encode_values(values: &[Value], out: &mut Vec<u8>) {
    put_varint(out, values.len() as u64);
    values.iter().for_each(|value| value.encode(out));
}

fn read_values(reader: &mut Reader<'_>) -> Result<Vec<Value>, Malformed> {
    let count = reader.count("values", STATES_MAX)?;
    (0..count).map(|_| read_value(reader)).collect()
}

fn read_value(reader: &mut Reader<'_>) -> Result<Value, Malformed> {
    ValueRef::read(reader).map(ValueRef::to_value)
}

const _: () = assert!(DECLARATION_MAX <= ROW_MAX, "a declaration is kept where rows are");

/// A DECLARE. The declaration is kept as it came, so it is shown as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclareRequest<'a> {
    /// Whose rows.
    pub table: &'a str,
    /// The first is 1, each later one is the last one's successor. The same version with the same bytes is accepted
    /// again.
    pub version: u64,
    /// The bytes of a [`Declaration`], checked by its `decode`.
    pub declaration: &'a [u8],
}

impl<'a> DeclareRequest<'a> {
    /// Appends the payload, unchecked.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_sized(out, self.table.as_bytes());
        put_varint(out, self.version);
        put_sized(out, self.declaration);
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<DeclareRequest<'a>, Refusal> {
        let read = || {
            let mut reader = Reader::new(payload);
            let declare = DeclareRequest {
                table: reader.name()?,
                version: reader.varint()?,
                declaration: reader.sized("declaration", DECLARATION_MAX)?,
            };
            reader.end()?;
            Declaration::decode(declare.declaration)?;
            if declare.version == 0 { Err(Malformed::Empty) } else { Ok(declare) }
        };
        read().map_err(|malformed| Refusal::malformed("declare", malformed))
    }
}

/// The declaration of a table as a node has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared<'a> {
    /// Which one.
    pub version: u64,
    /// The bytes of a [`Declaration`].
    pub declaration: &'a [u8],
}

/// What DESCRIBE found.
pub(crate) fn encode_declared(out: &mut Vec<u8>, declared: Option<Declared<'_>>) {
    put_varint(out, declared.map_or(0, |declared| declared.version));
    if let Some(Declared { declaration, .. }) = declared {
        put_sized(out, declaration);
    }
}

/// The inverse of [`encode_declared`]; version 0 is none.
pub(crate) fn read_declared<'a>(reader: &mut Reader<'a>) -> Result<Option<Declared<'a>>, Malformed> {
    let version = reader.varint()?;
    if version == 0 {
        return Ok(None);
    }
    let declaration = reader.sized("declaration", DECLARATION_MAX)?;
    Declaration::decode(declaration)?;
    Ok(Some(Declared { version, declaration }))
}
