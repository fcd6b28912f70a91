//! Where a row lives: (namespace, partition, table, row key), the hash that places it, and the key it is stored under.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64;

use crate::key::{Key, NoKey, encode_text, split, split_name, strip_text};
use crate::wire::check_name;

/// The namespace of a connection that has no identity of its own.
pub const DEFAULT_NAMESPACE: &str = "main";

/// A row of a partition: its table and its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowRef {
    /// The table's name.
    pub table: String,
    /// The row's name within its table.
    pub key: Key,
}

/// The row `key` of `table`.
pub fn row(table: impl Into<String>, key: impl Into<Key>) -> RowRef {
    RowRef { table: table.into(), key: key.into() }
}

impl fmt::Display for RowRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.table, self.key)
    }
}

/// The whole address of a row, borrowed from a request that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// The tenant.
    pub namespace: &'a str,
    /// The scope of the invariant: the bytes of a [`Key`].
    pub partition: &'a [u8],
    /// The table's name.
    pub table: &'a str,
    /// The row's name within its table: the bytes of a [`Key`].
    pub row: &'a [u8],
}

impl Address<'_> {
    /// Appends the key that the row is stored under: hash, namespace, partition, table, row key. Each delimits itself
    /// and sorts, so a range of hashes is a range of keys, a partition lies together, and so does each of its tables.
    pub fn stored_key(&self, out: &mut Vec<u8>) {
        partition_prefix(self.namespace, self.partition, out);
        row_suffix(self.table, self.row, out);
    }
}

impl<'a> Address<'a> {
    /// The inverse of [`stored_key`](Address::stored_key); `None` for bytes that it never wrote.
    pub fn of_stored_key(stored: &'a [u8]) -> Option<Address<'a>> {
        let (_hash, rest) = stored.split_first_chunk::<8>()?;
        let (namespace, rest) = split_name(rest)?;
        let (partition, rest) = split(rest)?;
        let (table, row) = split_name(rest)?;
        Some(Address { namespace, partition, table, row })
    }
}

/// Appends what every stored key of a partition begins with: hash, namespace, partition.
pub fn partition_prefix(namespace: &str, partition: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    encode_text(out, namespace);
    out.extend_from_slice(partition);
    let hash = xxh3_64(&out[start + 8..]);
    out[start..start + 8].copy_from_slice(&hash.to_be_bytes());
}

/// Makes `key` what every stored key of a partition begins with; returns how many bytes that are.
pub fn begin_stored_key(namespace: &str, partition: &[u8], key: &mut Vec<u8>) -> usize {
    key.clear();
    partition_prefix(namespace, partition, key);
    key.len()
}

/// Appends what follows it in the stored key of a row: table, row key.
pub fn row_suffix(table: &str, row: &[u8], out: &mut Vec<u8>) {
    encode_text(out, table);
    out.extend_from_slice(row);
}

/// Whether this is what [`row_suffix`] appends.
pub fn is_row_suffix(suffix: &[u8], table: &str, row: &[u8]) -> bool {
    strip_text(suffix, table) == Some(row)
}

/// The hash that places a partition: XXH3-64 with seed 0 over the encoded namespace and the encoded partition.
pub fn partition_hash(namespace: &str, partition: &[u8]) -> u64 {
    let mut encoded = Vec::with_capacity(namespace.len() + 2 + partition.len());
    encode_text(&mut encoded, namespace);
    encoded.extend_from_slice(partition);
    xxh3_64(&encoded)
}

/// A row as a person types it: `TABLE/PARTITION/ROW`; see [`Key`] for how keys are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPath {
    /// The scope of the invariant.
    pub partition: Key,
    /// The row in it.
    pub row: RowRef,
}

impl fmt::Display for RowPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.row.table, self.partition, self.row.key)
    }
}

/// Why a text is no path of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathError {
    /// Not three pieces.
    Pieces,
    /// The first piece is no table's name.
    Table,
    /// The second or third piece is no key.
    Key(NoKey),
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathError::Pieces => write!(f, "write TABLE/PARTITION/ROW, and '/' inside of one as %2F"),
            PathError::Table => write!(f, "a table's name is 1 to 64 of letters, digits, '_', '-', '.'"),
            PathError::Key(no_key) => no_key.fmt(f),
        }
    }
}

impl std::error::Error for PathError {}

impl FromStr for RowPath {
    type Err = PathError;

    fn from_str(path: &str) -> Result<RowPath, PathError> {
        let mut pieces = path.split('/');
        let (Some(table), Some(partition), Some(key), None) =
            (pieces.next(), pieces.next(), pieces.next(), pieces.next())
        else {
            return Err(PathError::Pieces);
        };
        check_name(table).map_err(|_| PathError::Table)?;
        let key_of = |piece: &str| piece.parse::<Key>().map_err(PathError::Key);
        Ok(RowPath { partition: key_of(partition)?, row: row(table, key_of(key)?) })
    }
}
